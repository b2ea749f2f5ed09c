"""Records what the node publishes into a bag, and when frames and masks went over the wire."""

import struct

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image

from fcn_road_seg.bags.writer import offered_qos

MASK = "/road_seg/mask"


class Recorder(Node):
    """Subscribes to the camera, the node's mask, and what the node says of itself.

    Attributes:
        sent: when each frame was published, nanoseconds since the epoch, by its stamp.
        received: when each frame's mask came, nanoseconds since the epoch, by the frame's stamp.
        device: the figures of the node's status "device", empty until it has come.
    """

    def __init__(self, writer: Writer):
        super().__init__("recorder")
        self.sent: dict[int, int] = {}
        self.received: dict[int, int] = {}
        self.device: dict[str, str] = {}
        self._writer = writer
        self._masks = writer.add_connection(
            MASK,
            "sensor_msgs/msg/Image",
            typestore=get_typestore(Stores.LATEST),
            offered_qos_profiles=offered_qos(1),
        )
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, "image", self._on_image, qos, raw=True)
        self.create_subscription(Image, MASK, self._on_mask, qos, raw=True)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10, raw=True)

    def _on_image(self, data: bytes, info: dict) -> None:
        self.sent[stamp_of(data)] = info["source_timestamp"]

    def _on_mask(self, data: bytes, info: dict) -> None:
        self.received[stamp_of(data)] = info["received_timestamp"]
        self._writer.write(self._masks, stamp_of(data), data)

    def _on_diagnostics(self, data: bytes, info: dict) -> None:
        for status in deserialize_message(data, DiagnosticArray).status:
            if status.name == "/road_seg: device":
                self.device = {value.key: value.value for value in status.values}

    def node_listens(self) -> bool:
        """Whether the node is active: it hears the camera, and this recorder hears it and knows what it runs on."""
        heard = self.get_subscriptions_info_by_topic("/image")
        return bool(self.device and any(info.node_name == "road_seg" for info in heard) and self.count_publishers(MASK))


def stamp_of(data: bytes) -> int:
    """The header's stamp, in nanoseconds, of a message in little-endian CDR that begins with a header."""
    seconds, nanoseconds = struct.unpack_from("<iI", data, 4)
    return seconds * 10**9 + nanoseconds
