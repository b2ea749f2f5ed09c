"""Sends the drive of the demo to the node: at a rate, from another process, or as fast as the node answers."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_road_seg.bags.reader import BagReader, Connection, open_bag
from fcn_road_seg.demo.bag import DriveInBag
from fcn_road_seg.ros.child_process import START_SECONDS, ChildProcess

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.publisher import Publisher


def player_process(drive: DriveInBag, rate: float, out: Path, environment: dict[str, str]) -> ChildProcess:
    """Start `road_seg play` with a drive, remapped to ``image`` and ``camera_info``, at `rate` frames per second.

    It begins when the node and the recorder subscribe, and writes its figures to `out`/player.json.
    """
    names = drive.remapped
    arguments = ["play", str(drive.path), "--topics", *names]
    arguments += [argument for topic, name in names.items() for argument in ("--remap", f"{topic}:={name}")]
    arguments += ["--rate", str(rate / drive.rate), "--json", str(out / "player.json")]
    arguments += ["--wait-for", "road_seg", "recorder", "--wait", str(START_SECONDS)]
    return ChildProcess("fcn_road_seg.cli.main", arguments, out / "player.log", environment)


class StepPlayer:
    """Sends the frames of a drive's bag one by one, with their calibration; see `step_player`."""

    def __init__(self, bag: BagReader, publishers: "dict[Connection, Publisher]"):
        self._bag, self._publishers = bag, publishers

    def frames(self) -> Iterator[int]:
        """Send a frame each time the iterator advances; yields its stamp in nanoseconds."""
        for stamp, messages in self._frames():
            for connection, _, data in messages:
                self._publishers[connection].publish(data)
            yield stamp

    def send_first(self) -> None:
        """Send the first frame with a stamp that is a nanosecond earlier, so that it is not one of the drive's."""
        stamp, messages = next(self._frames())
        earlier = struct.pack("<iI", *divmod(stamp - 1, 10**9))  # follows the four bytes of the CDR's encapsulation
        for connection, _, data in messages:
            self._publishers[connection].publish(data[:4] + earlier + data[12:])

    def _frames(self) -> Iterator[tuple[int, Iterator[tuple[Connection, int, bytes]]]]:
        topics = {connection.topic for connection in self._publishers}
        return groupby(self._bag.messages(topics), key=itemgetter(1))


@contextmanager
def step_player(drive: DriveInBag, node: "Node") -> Iterator[StepPlayer]:
    """A player whose publishers belong to `node`; the topics are remapped to ``image`` and ``camera_info``."""
    from fcn_road_seg.bags.publishers import create_publishers

    with open_bag(drive.path) as bag:
        chosen = [connection for connection in bag.connections if connection.topic in drive.remapped]
        publishers = create_publishers(node, chosen, drive.remapped)
        try:
            yield StepPlayer(bag, publishers)
        finally:
            for publisher in set(publishers.values()):
                node.destroy_publisher(publisher)
