"""Runs a drive through the node: bag -> player -> node -> recorded bag, with the node in its own process."""

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fcn_road_seg.bags.reader import open_bag
from fcn_road_seg.bags.writer import new_bag
from fcn_road_seg.datasets.drive import Drive
from fcn_road_seg.demo.bag import DriveInBag, camera_height, write_drive
from fcn_road_seg.demo.player import StepPlayer, player_process, step_player
from fcn_road_seg.demo.topics import MASK
from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.child_process import node_process, wait_until
from fcn_road_seg.ros.start import refusals, start_ros

if TYPE_CHECKING:
    from fcn_road_seg.demo.recorder import Recorder

PATIENCE = 60.0
"""Seconds without an answer after which a frame counts as lost; a busy machine may take many."""
AGAIN = 1.0
"""Seconds until the first frame is sent again while the node makes its lookup tables."""


class Recording(NamedTuple):
    """The node's recorded outputs for a drive; lists have one entry per frame sent."""

    bag: Path
    """The bag with the masks, and with grids, scans and boundaries if the calibration is known."""
    stamps: list[int]
    latencies: list[float | None]
    """Seconds from publishing the frame to receiving its mask; None for a frame without a mask."""
    arrivals: list[int]
    """Reception times of the masks, nanoseconds since the epoch, ascending."""
    node: dict[str, str]
    """The values of the node's status "device", see `diagnostics.device_report`."""

    def masks(self) -> Iterator[np.ndarray | None]:
        """The mask of every frame sent, uint8 H x W, 0 or 255, read from the bag; None for a frame without a mask."""
        for outputs in self._outputs([MASK]):
            mask = outputs.get("mask")
            yield None if mask is None else np.asarray(mask.data).reshape(mask.height, mask.width)

    def ground_outputs(self) -> Iterator[dict[str, Any]]:
        """OccupancyGrid "grid", LaserScan "scan" and PolygonStamped "boundary" of every frame sent.

        A frame's dict has only the outputs recorded for it.
        """
        with open_bag(self.bag) as bag:
            topics = {connection.topic for connection in bag.connections} - {MASK}
        return self._outputs(topics)

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
) -> tuple[DriveInBag, Recording]:
    """Send a drive to the node over ROS 2, on this machine only, and record its outputs in the bag `out`/recording.

    The drive is written to a bag while the node starts. Before the drive begins, the node has answered its first frame
    with all outputs.

    Args:
        rate: frames per second; 0 sends each frame when the node has answered the one before.
        parameters: of the node.
        folder: a new folder for the drive's bag.
        out: folder for the recording, which is replaced, and for node.log and player.log.
        prepare: wraps the drive's frames while they are written, for a progress bar.
        progress: called with the number of frames that are done, about ten times a second: with masks, or passed.

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
                recorder = Recorder(writer, ground_outputs=height > 0)
            with node_process(parameters | {"camera_height": height}, out / "node.log", environment) as node:
                in_bag = write_drive(drive, folder, rate or drive.rate, prepare)

                def spin() -> None:
                    node.ended()
                    rclpy.spin_once(recorder, timeout_sec=0.1)

                wait_until(recorder.node_listens, node, spin, "the node is not active")
                with step_player(in_bag, recorder) as player:
                    _warm_up(player, recorder, spin)
                    recorder.stamps = frozenset(in_bag.stamps)
                    if not rate:
                        played = _play_in_step(player, recorder, spin, progress)
                if rate:
                    played = _play_at_rate(in_bag, rate, recorder, out, environment, spin, progress)
                progress(played)
                code = node.stop()
                if code:
                    raise UserError(f"the node did not exit cleanly after SIGINT: its exit code is {code}")
            recorder.destroy_node()
    finally:
        rclpy.try_shutdown()
    sent, received = recorder.sent, recorder.received
    stamps = in_bag.stamps[:played]
    return in_bag, Recording(
        recording,
        stamps=stamps,
        latencies=[(received[s] - sent[s]) / 1e9 if s in received and s in sent else None for s in stamps],
        arrivals=sorted(received.values()),
        node=recorder.device,
    )


def _warm_up(player: StepPlayer, recorder: "Recorder", spin: Callable[[], None]) -> None:
    """Send the first frame until the node has answered with all its outputs, for which it makes lookup tables."""
    give_up = time.monotonic() + PATIENCE
    while not recorder.warm and time.monotonic() < give_up:
        player.send_first()
        again = time.monotonic() + AGAIN
        while not recorder.warm and time.monotonic() < again:
            spin()


def _play_at_rate(
    drive: DriveInBag,
    rate: float,
    recorder: "Recorder",
    out: Path,
    environment: dict[str, str],
    spin: Callable[[], None],
    progress: Callable[[int], None],
) -> int:
    """Play the drive from another process, like a camera; returns how many frames it has sent."""
    with player_process(drive, rate, out, environment) as player:
        while not player.ended():
            spin()
            progress(len(recorder.received))
    played: int = json.loads((out / "player.json").read_text())["messages"].get(drive.topic, 0)
    _wait_for_answer(drive.stamps[played - 1] if played else 0, recorder, spin)
    return played


def _play_in_step(
    player: StepPlayer, recorder: "Recorder", spin: Callable[[], None], progress: Callable[[int], None]
) -> int:
    """Send each frame when the node has answered the one before; returns how many frames there were.

    The player has sent the node its first frame, so the node has discovered its publishers and misses none.
    """
    played = 0
    for stamp in player.frames():
        _wait_for_answer(stamp, recorder, spin)
        played += 1
        progress(played)
    return played


def _wait_for_answer(stamp: int, recorder: "Recorder", spin: Callable[[], None]) -> None:
    """Wait for the mask of a frame that no newer one has replaced, until none has come for `PATIENCE` seconds."""
    give_up, answered = time.monotonic() + PATIENCE, len(recorder.received)
    while stamp not in recorder.received and time.monotonic() < give_up:
        spin()
        if len(recorder.received) > answered:
            give_up, answered = time.monotonic() + PATIENCE, len(recorder.received)
