"""A drive through the node: bag -> player -> node -> recorded bag, each a process of its own."""

import json
import os
import time
from collections.abc import Callable, Iterator
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
from fcn_road_seg.ros.environment import isolated_ros_environment, set_ros_defaults

LAST_MASK_SECONDS = 3
"""Longest wait for another mask when the player has ended."""


class Answers(NamedTuple):
    """What came of a drive; lists have one entry per frame that was sent."""

    recording: Path
    """The bag with the masks that came, and with grids, scans and boundaries where the calibration is known."""
    stamps: list[int]
    latencies: list[float | None]
    """Seconds from publishing the frame to the arrival of its mask; None for a frame without an answer."""
    arrivals: list[int]
    """Nanoseconds since the epoch, of the masks that came, ascending."""
    node: dict[str, str]
    """What the node runs on: the figures of its status "device", see `diagnostics.device_report`."""

    def masks(self) -> Iterator[np.ndarray | None]:
        """uint8 H x W, 0 or 255, of every frame that was sent, read back from the recording; None for no answer."""
        with open_bag(self.recording) as bag:
            recorded = bag.messages([MASK])
            connection, stamp, data = next(recorded, (None, None, b""))
            for wanted in self.stamps:
                if stamp != wanted:
                    yield None
                    continue
                message = bag.deserialize(data, connection.msgtype)
                yield np.asarray(message.data).reshape(message.height, message.width)
                connection, stamp, data = next(recorded, (None, None, b""))

    def in_metres(self) -> Iterator[dict[str, Any]]:
        """OccupancyGrid "grid", LaserScan "scan" and PolygonStamped "boundary" of every frame that was sent.

        A frame's dict has what came of it; it is empty where nothing did.
        """
        with open_bag(self.recording) as bag:
            recorded = (message for message in bag.messages() if message[0].topic != MASK)
            frames = groupby(recorded, key=itemgetter(1))
            stamp, messages = next(frames, (None, ()))
            for wanted in self.stamps:
                if stamp != wanted:
                    yield {}
                    continue
                yield {c.topic.rpartition("/")[2]: bag.deserialize(data, c.msgtype) for c, _, data in messages}
                stamp, messages = next(frames, (None, ()))


def run_drive(
    drive: DriveInBag,
    rate: float,
    parameters: dict[str, object],
    out: Path,
    progress: Callable[[int], None] = lambda answered: None,
) -> Answers:
    """Play a drive to the node over ROS 2, on this machine only, and record its answers in the bag `out`/recording.

    Args:
        rate: frames per second.
        parameters: of the node.
        out: folder for the recording, which is replaced, and for node.log and player.log.
        progress: called with the number of masks so far, about ten times a second.

    Raises:
        UserError: ROS 2 is missing, the node cannot be configured, or a process ends too early.
    """
    domain = DomainReservation()
    os.environ.update(isolated_ros_environment(domain.domain_id))
    set_ros_defaults()
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        from fcn_road_seg.demo.recorder import Recorder
    except ImportError as error:
        raise UserError(f"this needs ROS 2 ({error}): use make demo, or source a ROS 2 installation first") from None

    height, width = next(drive.frames()).shape[:2]
    parameters = parameters | {"warm_up_width": width, "warm_up_height": height, "camera_height": drive.camera_height}
    environment = dict(os.environ)
    recording = out / "recording"
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        with new_bag(recording, force=True) as writer:
            recorder = Recorder(writer, in_metres=bool(drive.camera_info))
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
                    raise UserError(f"the node did not end cleanly on SIGINT: its exit code is {code}")
            recorder.destroy_node()
    finally:
        rclpy.try_shutdown()
    sent, received = recorder.sent, recorder.received
    return Answers(
        recording,
        stamps=drive.stamps[:played],
        latencies=[
            (received[s] - sent[s]) / 1e9 if s in received and s in sent else None for s in drive.stamps[:played]
        ],
        arrivals=sorted(received.values()),
        node=recorder.device,
    )
