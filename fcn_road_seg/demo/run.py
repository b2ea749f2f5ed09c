"""Runs a drive through the node: bag -> player -> node -> recorded bag, with player and node in their own processes."""

import json
import os
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fcn_road_seg.bags.reader import open_bag
from fcn_road_seg.bags.writer import new_bag
from fcn_road_seg.demo.bag import DriveInBag
from fcn_road_seg.demo.player import player_process
from fcn_road_seg.demo.topics import MASK
from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.child_process import node_process, wait_until
from fcn_road_seg.ros.domain import DomainReservation

LAST_MASK_SECONDS = 3
"""Maximum wait for another mask after the player has exited."""


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
    drive: DriveInBag,
    rate: float,
    parameters: dict[str, object],
    out: Path,
    progress: Callable[[int], None] = lambda answered: None,
) -> Recording:
    """Play a drive to the node over ROS 2, on this machine only, and record its outputs in the bag `out`/recording.

    Args:
        rate: frames per second.
        parameters: of the node.
        out: folder for the recording, which is replaced, and for node.log and player.log.
        progress: called with the number of masks received, about ten times a second.

    Raises:
        UserError: ROS 2 is not installed, the node cannot be configured, or a process exits too early.
    """
    domain = DomainReservation()
    domain.isolate_process()
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions
    except ImportError as error:
        raise UserError(f"this needs ROS 2 ({error}): use make demo, or source a ROS 2 installation first") from None
    from fcn_road_seg.demo.recorder import Recorder

    height, width = next(drive.frames()).shape[:2]
    parameters = parameters | {"warm_up_width": width, "warm_up_height": height, "camera_height": drive.camera_height}
    environment = dict(os.environ)
    recording = out / "recording"
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        with new_bag(recording, force=True) as writer:
            recorder = Recorder(writer, ground_outputs=bool(drive.camera_info))
            with node_process(parameters, out / "node.log", environment) as node:
                spin = partial(rclpy.spin_once, recorder, timeout_sec=0.1)
                wait_until(recorder.node_listens, node, spin, "the node is not active")
                with player_process(drive, rate, out, environment) as player:
                    while not player.ended():
                        node.ended()
                        spin()
                        progress(len(recorder.received))
                played = json.loads((out / "player.json").read_text())["messages"].get(drive.topic, 0)
                quiet_since, answered = time.monotonic(), -1
                while len(recorder.received) < played and time.monotonic() - quiet_since < LAST_MASK_SECONDS:
                    node.ended()
                    spin()
                    if len(recorder.received) > answered:
                        quiet_since, answered = time.monotonic(), len(recorder.received)
                progress(len(recorder.received))
                code = node.stop()
                if code:
                    raise UserError(f"the node did not exit cleanly after SIGINT: its exit code is {code}")
            recorder.destroy_node()
    finally:
        rclpy.try_shutdown()
    sent, received = recorder.sent, recorder.received
    return Recording(
        recording,
        stamps=drive.stamps[:played],
        latencies=[
            (received[s] - sent[s]) / 1e9 if s in received and s in sent else None for s in drive.stamps[:played]
        ],
        arrivals=sorted(received.values()),
        node=recorder.device,
    )
