"""Records the node's outputs in a bag, and the times at which frames were published and masks received."""

import struct
import time
from collections.abc import Collection, Sequence
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
from fcn_road_seg.ros.child_process import node_listens
from fcn_road_seg.ros.qos import with_message_info
from fcn_road_seg.ros.scope import unmapped

if TYPE_CHECKING:
    from rclpy.subscription import MessageInfo

GRID = "~/grid"
GROUND_OUTPUTS = {GRID: OccupancyGrid, "~/scan": LaserScan, "~/boundary": PolygonStamped}
"""Recorded topics besides the mask, with their types; ~/points would take 7.5 MB per frame."""


class CameraRecorder:
    """Subscribes to a camera and to what the node answers to it.

    ROS 2 Humble does not tell when messages were sent and received: both times are then those of the callbacks.

    Args:
        node: has the subscriptions.
        writer: of the bag.
        ground_outputs: whether to record grid, scan and boundary as well.
        camera: its name, if the node has several.

    Attributes:
        sent: publication time of each frame, nanoseconds since the epoch, by its stamp.
        received: reception time of each frame's mask, nanoseconds since the epoch, by the frame's stamp.
        stamps: of the frames whose outputs are recorded, nanoseconds.
        warm: whether the node has answered with its last output: a grid if ground outputs are recorded, else a mask.
    """

    def __init__(self, node: Node, writer: Writer, ground_outputs: bool, camera: str):
        self.sent: dict[int, int] = {}
        self.received: dict[int, int] = {}
        self.stamps: Collection[int] = ()
        self.warm = False
        self._writer = writer
        mask = unmapped(camera, "~/mask")
        self._last_output = unmapped(camera, GRID) if ground_outputs else mask
        self._masks = self._connection(mask, Image)
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
        image = unmapped(camera, "image")
        node.create_subscription(Image, image, with_message_info(self._on_image), qos, raw=True)
        node.create_subscription(Image, mask, with_message_info(self._on_mask), qos, raw=True)
        for output, kind in GROUND_OUTPUTS.items() if ground_outputs else ():
            topic = unmapped(camera, output)
            record = partial(self._record, self._connection(topic, kind))
            node.create_subscription(kind, topic, record, qos, raw=True)

    def latency(self, stamp: int) -> float | None:
        """Seconds from publishing a frame to receiving its mask; None if one of the times is unknown."""
        known = stamp in self.received and stamp in self.sent
        return (self.received[stamp] - self.sent[stamp]) / 1e9 if known else None

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


class Recorder(Node):
    """Records the node's answers to its cameras, and its diagnostics.

    Args:
        writer: of the bag.
        ground_outputs: whether to record grid, scan and boundary as well.
        cameras: their names, if there are several.

    Attributes:
        cameras: the recorder of each camera.
        device: the values of the node's status "device"; empty until received.
    """

    def __init__(self, writer: Writer, ground_outputs: bool = False, cameras: Sequence[str] = ("",)):
        super().__init__("recorder")
        self.device: dict[str, str] = {}
        self._names = cameras
        self.cameras = [CameraRecorder(self, writer, ground_outputs, camera) for camera in cameras]
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10, raw=True)

    @property
    def answered(self) -> int:
        """The number of masks received."""
        return sum(len(camera.received) for camera in self.cameras)

    @property
    def warm(self) -> bool:
        """Whether the node has answered with its last output to every camera."""
        return all(camera.warm for camera in self.cameras)

    def _on_diagnostics(self, data: bytes) -> None:
        for status in deserialize_message(data, DiagnosticArray).status:
            if status.name == "/road_seg: device":
                self.device = {value.key: value.value for value in status.values}

    def node_listens(self) -> bool:
        """Whether the node is active, connected to the cameras and this recorder, and has published its device."""
        return bool(self.device) and node_listens(self, self._names)


def stamp_of(data: bytes) -> int:
    """The stamp in nanoseconds of a message that starts with a header, from its little-endian CDR."""
    seconds, nanoseconds = struct.unpack_from("<iI", data, 4)
    return seconds * 10**9 + nanoseconds
