"""The processes that the demo starts and ends."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from fcn_road_seg.demo.bag import DriveInBag
from fcn_road_seg.errors import UserError

STOP_SECONDS = 10
PLAIN_LOG = {
    "RCUTILS_CONSOLE_OUTPUT_FORMAT": "[{severity}] [{time}] [{name}]: {message}",
    "RCUTILS_COLORIZED_OUTPUT": "0",
}
"""The log's form that the next expression reads, whatever the user's is."""
NODE_COMPLAINS = re.compile(r"(?:\[ERROR\] \[[\d.]+\] \[road_seg\]|road_seg_node): (?P<sentence>.+)")


class DemoProcess:
    """A Python module as a process of its own, with its words in a log file; a context manager that ends it."""

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

    def __enter__(self) -> "DemoProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def words(self) -> str:
        """All that it said so far."""
        return self.log.read_text(errors="replace")

    def ended(self) -> bool:
        """Whether it has ended well.

        Raises:
            UserError: it has ended otherwise.
        """
        code = self._process.poll()
        if code:
            last_line = (self.words().strip() or "without a word").splitlines()[-1]
            raise UserError(f"{self.module} ended with code {code}: {last_line}")
        return code == 0

    def stop(self) -> int:
        """End it with SIGINT, by force if it does not listen; its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def node_process(parameters: dict[str, object], log: Path, environment: dict[str, str]) -> DemoProcess:
    """The node, with parameters."""
    arguments = ["--ros-args"]
    for name, value in parameters.items():
        arguments += ["-p", f"{name}:={value}"]
    return DemoProcess("fcn_road_seg.node_main", arguments, log, environment)


def player_process(drive: DriveInBag, rate: float, out: Path, environment: dict[str, str]) -> DemoProcess:
    """`road_seg play` of a drive as ``image`` and ``camera_info`` at `rate` frames per second.

    Its figures go to `out`/player.json.
    """
    names = {drive.topic: "/image"} | ({drive.camera_info: "/camera_info"} if drive.camera_info else {})
    arguments = ["play", str(drive.path), "--topics", *names]
    arguments += [word for topic, name in names.items() for word in ("--remap", f"{topic}:={name}")]
    arguments += ["--rate", str(rate / drive.rate), "--wait", "30", "--json", str(out / "player.json")]
    return DemoProcess("fcn_road_seg.cli.main", arguments, out / "player.log", environment)
