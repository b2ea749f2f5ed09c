"""Runs Python modules, such as the node, as child processes, and waits until they are ready."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.scope import unmapped

if TYPE_CHECKING:
    from rclpy.node import Node

START_SECONDS = 600
"""Longest wait for a process to be ready, in which the node loads its weights; on a busy machine that takes minutes."""
STOP_SECONDS = 60
"""Longest wait for a process to exit after SIGINT, before SIGKILL; on a busy machine the node needs over 10 s."""
PLAIN_LOG = {
    "RCUTILS_CONSOLE_OUTPUT_FORMAT": "[{severity}] [{time}] [{name}]: {message}",
    "RCUTILS_COLORIZED_OUTPUT": "0",
}
"""The log format that the next expression parses, whatever the user has set."""
NODE_ERROR = re.compile(r"(?:\[ERROR\] \[[\d.]+\] \[road_seg\]|road_seg_node): (?P<sentence>.+)")


class ChildProcess:
    """A Python module as a process, with its output in a log file; a context manager that ends it."""

    def __init__(self, module: str, arguments: list[str], log: Path, environment: dict[str, str]):
        self.module = module
        self.log = log
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment | PLAIN_LOG,
            )

    def __enter__(self) -> "ChildProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def output(self) -> str:
        """Its output so far."""
        return self.log.read_text(errors="replace")

    def ended(self) -> bool:
        """Whether it has ended with code 0.

        Raises:
            UserError: it has ended with another code.
        """
        code = self._process.poll()
        if code:
            last_line = (self.output().strip() or "without output").splitlines()[-1]
            raise UserError(f"{self.module} ended with code {code}: {last_line}")
        return code == 0

    def stop(self) -> int:
        """End it with SIGINT, by force if it does not react; returns its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def node_process(parameters: dict[str, object], log: Path, environment: dict[str, str]) -> ChildProcess:
    """Start the node with parameters."""
    arguments = ["--ros-args"]
    for name, value in parameters.items():
        arguments += ["-p", f"{name}:={value}"]
    return ChildProcess("fcn_road_seg.ros.node_main", arguments, log, environment)


def wait_until(condition: Callable[[], object], process: ChildProcess, spin: Callable[[], None], missing: str) -> None:
    """Call `spin` until `condition` holds.

    Args:
        process: the process to wait for.
        spin: spins a ROS node for about 0.1 s.
        missing: the error message if the condition does not hold in time, such as "the node is not active".

    Raises:
        UserError: the process reports an error, ends, or takes more than `START_SECONDS`.
    """
    give_up = time.monotonic() + START_SECONDS
    while not condition():
        if error := NODE_ERROR.search(process.output()):
            raise UserError(f"the node does not start: {error['sentence']}")
        process.ended()
        if time.monotonic() > give_up:
            output = process.output().strip() or "there was no output"
            raise UserError(f"{missing} after {START_SECONDS} seconds: {output}")
        spin()


def node_listens(viewer: "Node", cameras: Iterable[str] = ("",)) -> bool:
    """Whether a road_seg node subscribes to the cameras' topics and `viewer` has discovered its mask publishers."""
    return all(_listens(viewer, camera) for camera in cameras)


def _listens(viewer: "Node", camera: str) -> bool:
    listeners = viewer.get_subscriptions_info_by_topic(unmapped(camera, "image"))
    masks = viewer.count_publishers(unmapped(camera, "~/mask"))
    return any(info.node_name == "road_seg" for info in listeners) and masks > 0
