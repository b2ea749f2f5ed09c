"""Sends the drive of the demo to the node: at a rate, from another process, or as fast as the node answers."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from fcn_road_seg.bags.reader import BagReader, Connection, open_bag
from fcn_road_seg.demo.bag import DriveInBag
from fcn_road_seg.ros.child_process import START_SECONDS, ChildProcess

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.publisher import Publisher


def player_process(drives: Sequence[DriveInBag], rate: float, out: Path, environment: dict[str, str]) -> ChildProcess:
    """Start `road_seg play` with the drives of one bag, under the node's topics, at `rate` frames per second of each.

    It begins when the node and the recorder subscribe, and writes its figures to `out`/player.json.
    """
    names = remapped(drives)
    arguments = ["play", str(drives[0].path), "--topics", *names]
    arguments += [argument for topic, name in names.items() for argument in ("--remap", f"{topic}:={name}")]
    arguments += ["--rate", str(rate / drives[0].rate), "--json", str(out / "player.json")]
    arguments += ["--wait-for", "road_seg", "recorder", "--wait", str(START_SECONDS)]
    return ChildProcess("fcn_road_seg.cli.main", arguments, out / "player.log", environment)


def remapped(drives: Sequence[DriveInBag]) -> dict[str, str]:
    """The names under which the node gets the topics of the cameras."""
    return {topic: name for drive in drives for topic, name in drive.remapped.items()}


class StepPlayer:
    """Sends the frames of a bag one by one, with their calibration; see `step_player`."""

    def __init__(self, bag: BagReader, publishers: "dict[Connection, Publisher]", cameras: int):
        self._bag, self._publishers, self._cameras = bag, publishers, cameras

    def frames(self) -> Iterator[int]:
        """Send a frame each time the iterator advances; yields its stamp in nanoseconds."""
        for stamp, messages in self._frames():
            for connection, _, data in messages:
                self._publishers[connection].publish(data)
            yield stamp

    def send_first(self) -> None:
        """Send each camera's first frame with a stamp a nanosecond earlier, so that it is not one of its drive's."""
        for stamp, messages in islice(self._frames(), self._cameras):
            earlier = struct.pack("<iI", *divmod(stamp - 1, 10**9))  # follows the four bytes of the CDR's encapsulation
            for connection, _, data in messages:
                self._publishers[connection].publish(data[:4] + earlier + data[12:])

    def _frames(self) -> Iterator[tuple[int, Iterator[tuple[Connection, int, bytes]]]]:
        topics = {connection.topic for connection in self._publishers}
        return groupby(self._bag.messages(topics), key=itemgetter(1))


@contextmanager
def step_player(drives: Sequence[DriveInBag], node: "Node") -> Iterator[StepPlayer]:
    """A player of the drives of one bag, whose publishers belong to `node`, under the topics of the road_seg node."""
    from fcn_road_seg.bags.publishers import create_publishers

    names = remapped(drives)
    with open_bag(drives[0].path) as bag:
        chosen = [connection for connection in bag.connections if connection.topic in names]
        publishers = create_publishers(node, chosen, names)
        try:
            yield StepPlayer(bag, publishers, len(drives))
        finally:
            for publisher in set(publishers.values()):
                node.destroy_publisher(publisher)
