"""Runs a drive through the node: bag -> player -> node -> recorded bag, with the node in its own process."""

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import cycle, groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fcn_road_seg.bags.reader import open_bag
from fcn_road_seg.bags.writer import new_bag
from fcn_road_seg.datasets.drive import Drive
from fcn_road_seg.demo.bag import DriveInBag, camera_height, write_drive
from fcn_road_seg.demo.player import StepPlayer, player_process, step_player
from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.child_process import node_process, wait_until
from fcn_road_seg.ros.scope import unmapped
from fcn_road_seg.ros.start import refusals, start_ros

if TYPE_CHECKING:
    from fcn_road_seg.demo.recorder import CameraRecorder, Recorder

PATIENCE = 60.0
"""Seconds without an answer after which a frame counts as lost; a busy machine may take many."""
AGAIN = 1.0
"""Seconds until the first frame is sent again while the node makes its lookup tables."""


class Recording(NamedTuple):
    """The node's recorded outputs for a camera's drive; lists have one entry per frame sent."""

    bag: Path
    """The bag with the masks of all cameras, and with grids, scans and boundaries if the calibration is known."""
    stamps: list[int]
    latencies: list[float | None]
    """Seconds from publishing the frame to receiving its mask; None for a frame without a mask."""
    arrivals: list[int]
    """Reception times of the masks, nanoseconds since the epoch, ascending."""
    node: dict[str, str]
    """The values of the node's status "device", see `diagnostics.device_report`."""
    camera: str = ""
    """Name of the camera, if there are several."""

    @property
    def _mask(self) -> str:
        return unmapped(self.camera, "~/mask")

    def masks(self) -> Iterator[np.ndarray | None]:
        """The mask of every frame sent, uint8 H x W, 0 or 255, read from the bag; None for a frame without a mask."""
        for outputs in self._outputs([self._mask]):
            mask = outputs.get("mask")
            yield None if mask is None else np.asarray(mask.data).reshape(mask.height, mask.width)

    def ground_outputs(self) -> Iterator[dict[str, Any]]:
        """OccupancyGrid "grid", LaserScan "scan" and PolygonStamped "boundary" of every frame sent.

        A frame's dict has only the outputs recorded for it.
        """
        with open_bag(self.bag) as bag:
            topics = {connection.topic for connection in bag.connections}
        of_camera = self._mask.removesuffix("mask")
        return self._outputs({topic for topic in topics if topic.startswith(of_camera)} - {self._mask})

    def _outputs(self, topics: Collection[str]) -> Iterator[dict[str, Any]]:
        """The messages of every frame sent, by the last part of the topic."""
        with open_bag(self.bag) as bag:
            frames = groupby(bag.messages(topics), key=itemgetter(1))
            stamp, messages = next(frames, (None, iter(())))
            for sent in self.stamps:
                if stamp != sent:
                    yield {}
                    continue
                yield {c.topic.rpartition("/")[2]: bag.deserialize(data, c.msgtype) for c, _, data in messages}
                stamp, messages = next(frames, (None, iter(())))


def run_drive(
    drive: Drive,
    rate: float,
    parameters: dict[str, object],
    folder: Path,
    out: Path,
    prepare: Callable[[Iterable], Iterable],
    progress: Callable[[int], None],
) -> list[tuple[DriveInBag, Recording]]:
    """Send a drive to the node over ROS 2, on this machine only, and record its outputs in the bag `out`/recording.

    The drive is written to a bag while the node starts. Before the drive begins, the node has answered each camera's
    first frame with all outputs.

    Args:
        rate: frames per second, of each camera; 0 sends each frame when the node has answered the one before.
        parameters: of the node.
        folder: a new folder for the drive's bag.
        out: folder for the recording, which is replaced, and for node.log and player.log.
        prepare: wraps the drive's frames while they are written, for a progress bar.
        progress: called with the number of frames that are done, about ten times a second: with masks, or passed.

    Returns:
        The drive and the recording of each camera.

    Raises:
        UserError: the drive cannot be read, ROS 2 does not start, the node cannot be configured, or a process exits too
            early.
    """
    import rclpy

    from fcn_road_seg.demo.recorder import Recorder

    environment = dict(os.environ)
    recording = out / "recording"
    start_ros()
    try:
        with new_bag(recording, force=True) as writer:
            height = camera_height(drive)
            with refusals():
                recorder = Recorder(writer, height > 0, drive.cameras)
            cameras: dict[str, object] = {}
            if len(drive.cameras) > 1:
                cameras = {f"{name}.ground_frame": f"{name}_ground" for name in drive.cameras}
                cameras["cameras"] = list(drive.cameras)
            with node_process(parameters | {"camera_height": height} | cameras, out / "node.log", environment) as node:
                drives = write_drive(drive, folder, rate or drive.rate, prepare)

                def spin() -> None:
                    node.ended()
                    rclpy.spin_once(recorder, timeout_sec=0.1)

                wait_until(recorder.node_listens, node, spin, "the node is not active")
                with step_player(drives, recorder) as player:
                    _warm_up(player, recorder, spin)
                    for camera, in_bag in zip(recorder.cameras, drives, strict=True):
                        camera.stamps = frozenset(in_bag.stamps)
                    if not rate:
                        _play_in_step(player, recorder, spin, progress)
                played = [len(in_bag.stamps) for in_bag in drives]
                if rate:
                    played = _play_at_rate(drives, rate, recorder, out, environment, spin, progress)
                progress(sum(played))
                code = node.stop()
                if code:
                    raise UserError(f"the node did not exit cleanly after SIGINT: its exit code is {code}")
            recorder.destroy_node()
    finally:
        rclpy.try_shutdown()
    answers = []
    for in_bag, count, camera in zip(drives, played, recorder.cameras, strict=True):
        stamps = in_bag.stamps[:count]
        latencies, arrivals = list(map(camera.latency, stamps)), sorted(camera.received.values())
        answers.append((in_bag, Recording(recording, stamps, latencies, arrivals, recorder.device, in_bag.camera)))
    return answers


def _warm_up(player: StepPlayer, recorder: "Recorder", spin: Callable[[], None]) -> None:
    """Send the first frames until the node has answered with all its outputs, for which it makes lookup tables."""
    give_up = time.monotonic() + PATIENCE
    while not recorder.warm and time.monotonic() < give_up:
        player.send_first()
        again = time.monotonic() + AGAIN
        while not recorder.warm and time.monotonic() < again:
            spin()


def _play_at_rate(
    drives: Sequence[DriveInBag],
    rate: float,
    recorder: "Recorder",
    out: Path,
    environment: dict[str, str],
    spin: Callable[[], None],
    progress: Callable[[int], None],
) -> list[int]:
    """Play the drives from another process, like cameras; returns how many frames of each it has sent."""
    with player_process(drives, rate, out, environment) as player:
        while not player.ended():
            spin()
            progress(recorder.answered)
    messages = json.loads((out / "player.json").read_text())["messages"]
    played = [messages.get(drive.topic, 0) for drive in drives]
    for drive, count, camera in zip(drives, played, recorder.cameras, strict=True):
        if count:
            _wait_for_answer(drive.stamps[count - 1], camera, spin)
    return played


def _play_in_step(
    player: StepPlayer, recorder: "Recorder", spin: Callable[[], None], progress: Callable[[int], None]
) -> None:
    """Send each frame when the node has answered the one before; those of several cameras come in turn.

    The player has sent the node its first frames, so the node has discovered its publishers and misses none.
    """
    for done, (stamp, camera) in enumerate(zip(player.frames(), cycle(recorder.cameras), strict=False), 1):
        _wait_for_answer(stamp, camera, spin)
        progress(done)


def _wait_for_answer(stamp: int, camera: "CameraRecorder", spin: Callable[[], None]) -> None:
    """Wait for the mask of a frame that no newer one has replaced, until none has come for `PATIENCE` seconds."""
    give_up, answered = time.monotonic() + PATIENCE, len(camera.received)
    while stamp not in camera.received and time.monotonic() < give_up:
        spin()
        if len(camera.received) > answered:
            give_up, answered = time.monotonic() + PATIENCE, len(camera.received)
