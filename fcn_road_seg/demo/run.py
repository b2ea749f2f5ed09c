"""A drive through the node: frames on disk, camera and node as processes, masks back."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fcn_road_seg.demo.drive import Drive, DriveFrame
from fcn_road_seg.demo.processes import NODE_COMPLAINS, DemoProcess, camera_process, node_process
from fcn_road_seg.errors import UserError
from fcn_road_seg.ros_environment import isolated_ros_environment, set_ros_defaults

START_SECONDS = 120
"""Longest wait for the node to load its weights."""
LAST_MASK_SECONDS = 3
"""Longest wait for another mask when the camera has ended."""


class DriveOnDisk(NamedTuple):
    """A drive, rendered and decoded before it starts so that nothing but the node works while it runs."""

    name: str
    files: list[Path]
    """One .npy file per frame, uint8 H x W x 3 BGR."""
    roads: list[np.ndarray | None]
    """bool H x W per frame, or None."""


class Answers(NamedTuple):
    """What came of a drive; lists have one entry per frame that was sent."""

    masks: list[np.ndarray | None]
    """uint8 H x W, 0 or 255; None for a frame without an answer."""
    latencies: list[float | None]
    """Seconds from the frame's stamp to the arrival of its mask."""
    arrivals: list[int]
    """Nanoseconds since the epoch, of the masks that came, ascending."""
    node: dict[str, str]
    """What the node runs on: the figures of its status "device", see `diagnostics.device_report`."""


def lay_out(drive: Drive, folder: Path, progress: Callable[[Iterable], Iterable]) -> DriveOnDisk:
    """Write a drive's frames into a folder.

    Raises:
        UserError: the drive has no frame.
    """
    files: list[Path] = []
    roads: list[np.ndarray | None] = []
    frame: DriveFrame
    for index, frame in enumerate(progress(drive.frames)):
        files.append(folder / f"{index:06d}.npy")
        np.save(files[-1], cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        roads.append(frame.road)
    if not files:
        raise UserError(f"{drive.name} has no frame")
    return DriveOnDisk(drive.name, files, roads)


def run_drive(
    drive: DriveOnDisk,
    rate: float,
    parameters: dict[str, object],
    logs: Path,
    progress: Callable[[int], None] = lambda answered: None,
) -> Answers:
    """Send a drive through the node over ROS 2, on this machine only, and collect its masks.

    Args:
        drive: its folder is what the camera process publishes.
        rate: frames per second.
        parameters: of the node.
        logs: folder for node.log and camera.log.
        progress: called with the number of masks so far, about ten times a second.

    Raises:
        UserError: ROS 2 is missing, the node cannot be configured, or a process ends too early.
    """
    os.environ.update(isolated_ros_environment(domain_id=1 + os.getpid() % 100))
    set_ros_defaults()
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        from fcn_road_seg.demo.recorder import MaskRecorder
    except ImportError as error:
        raise UserError(f"this needs ROS 2 ({error}): use make demo, or source a ROS 2 installation first") from None

    height, width = np.load(drive.files[0], mmap_mode="r").shape[:2]
    parameters = parameters | {"warm_up_width": width, "warm_up_height": height}
    environment = dict(os.environ)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    recorder = MaskRecorder()
    try:
        with node_process(parameters, logs / "node.log", environment) as node:
            _wait_until_active(node, recorder)
            with camera_process(drive.files[0].parent, rate, logs / "camera.log", environment) as camera:
                while not camera.ended():
                    node.ended()
                    rclpy.spin_once(recorder, timeout_sec=0.1)
                    progress(len(recorder.masks))
                stamps = [int(line) for line in camera.words().split()]
            recorder.latest = time.monotonic()
            while len(recorder.masks) < len(stamps) and time.monotonic() - recorder.latest < LAST_MASK_SECONDS:
                node.ended()
                rclpy.spin_once(recorder, timeout_sec=0.1)
            progress(len(recorder.masks))
            code = node.stop()
            if code:
                raise UserError(f"the node did not end cleanly on SIGINT: its exit code is {code}")
    finally:
        recorder.destroy_node()
        rclpy.try_shutdown()
    found = [recorder.masks.get(stamp) for stamp in stamps]
    return Answers(
        masks=[answer and answer.mask for answer in found],
        latencies=[answer and (answer.arrival - stamp) / 1e9 for answer, stamp in zip(found, stamps, strict=True)],
        arrivals=sorted(answer.arrival for answer in found if answer),
        node=recorder.device,
    )


def _wait_until_active(node: DemoProcess, recorder) -> None:
    import rclpy

    give_up = time.monotonic() + START_SECONDS
    while not recorder.node_listens():
        if complaint := NODE_COMPLAINS.search(node.words()):
            raise UserError(f"the node does not start: {complaint['sentence']}")
        node.ended()
        if time.monotonic() > give_up:
            raise UserError(f"the node is not active after {START_SECONDS} seconds: {node.log} has its words")
        rclpy.spin_once(recorder, timeout_sec=0.1)
