"""Records the node's outputs in a bag, and the times at which frames were published and masks received."""

import struct
import time
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PolygonStamped
from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image, LaserScan

from fcn_road_seg.bags.writer import offered_qos
from fcn_road_seg.demo.topics import MASK
from fcn_road_seg.ros.child_process import node_listens
from fcn_road_seg.ros.qos import with_message_info

if TYPE_CHECKING:
    from rclpy.subscription import MessageInfo

GRID = "/road_seg/grid"
GROUND_OUTPUTS = {GRID: OccupancyGrid, "/road_seg/scan": LaserScan, "/road_seg/boundary": PolygonStamped}
"""Recorded topics besides the mask, with their types; ~/points would take 7.5 MB per frame."""


class Recorder(Node):
    """Subscribes to the camera, the node's mask and its diagnostics.

    ROS 2 Humble does not tell when messages were sent and received: both times are then those of the callbacks.

    Args:
        writer: of the bag.
        ground_outputs: whether to record grid, scan and boundary as well.

    Attributes:
        sent: publication time of each frame, nanoseconds since the epoch, by its stamp.
        received: reception time of each frame's mask, nanoseconds since the epoch, by the frame's stamp.
        stamps: of the frames whose outputs are recorded, nanoseconds.
        warm: whether the node has answered with its last output: a grid if ground outputs are recorded, else a mask.
        device: the values of the node's status "device"; empty until received.
    """

    def __init__(self, writer: Writer, ground_outputs: bool = False):
        super().__init__("recorder")
        self.sent: dict[int, int] = {}
        self.received: dict[int, int] = {}
        self.device: dict[str, str] = {}
        self.stamps: Collection[int] = ()
        self.warm = False
        self._last_output = GRID if ground_outputs else MASK
        self._writer = writer
        self._masks = self._connection(MASK, Image)
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, "image", with_message_info(self._on_image), qos, raw=True)
        self.create_subscription(Image, MASK, with_message_info(self._on_mask), qos, raw=True)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10, raw=True)
        for topic, kind in GROUND_OUTPUTS.items() if ground_outputs else ():
            record = partial(self._record, self._connection(topic, kind))
            self.create_subscription(kind, topic, record, qos, raw=True)

    def _connection(self, topic: str, kind: type) -> Connection:
        name = f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
        store = get_typestore(Stores.LATEST)
        return self._writer.add_connection(topic, name, typestore=store, offered_qos_profiles=offered_qos(1))

    def _record(self, connection: Connection, data: bytes) -> None:
        self.warm |= connection.topic == self._last_output
        if stamp_of(data) in self.stamps:
            self._writer.write(connection, stamp_of(data), data)

    def _on_image(self, data: bytes, info: "MessageInfo") -> None:
        if stamp_of(data) in self.stamps:
            self.sent[stamp_of(data)] = info.get("source_timestamp", time.time_ns())

    def _on_mask(self, data: bytes, info: "MessageInfo") -> None:
        if stamp_of(data) in self.stamps:
            self.received[stamp_of(data)] = info.get("received_timestamp", time.time_ns())
        self._record(self._masks, data)

    def _on_diagnostics(self, data: bytes) -> None:
        for status in deserialize_message(data, DiagnosticArray).status:
            if status.name == "/road_seg: device":
                self.device = {value.key: value.value for value in status.values}

    def node_listens(self) -> bool:
        """Whether the node is active, connected to the camera and this recorder, and has published its device."""
        return bool(self.device) and node_listens(self)


def stamp_of(data: bytes) -> int:
    """The stamp in nanoseconds of a message that starts with a header, from its little-endian CDR."""
    seconds, nanoseconds = struct.unpack_from("<iI", data, 4)
    return seconds * 10**9 + nanoseconds
