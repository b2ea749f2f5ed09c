"""Collects the node's masks, when they came, and what the node runs on."""

import time
from typing import NamedTuple

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image


class RecordedMask(NamedTuple):
    """One answer of the node."""

    arrival: int
    """Nanoseconds since the epoch."""
    mask: np.ndarray
    """uint8 H x W, 0 or 255."""


class MaskRecorder(Node):
    """Subscribes to the node's mask, and to what it says of itself.

    Attributes:
        device: the figures of the node's status "device", empty until it has come.
        masks: the masks that came, by the stamp (nanoseconds) of the frame that each belongs to.
        latest: time.monotonic() of the last one, or of the start.
    """

    def __init__(self):
        super().__init__("recorder")
        self.masks: dict[int, RecordedMask] = {}
        self.device: dict[str, str] = {}
        self.latest = time.monotonic()
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, "road_seg/mask", self._on_mask, qos)

    def _on_mask(self, message: Image) -> None:
        arrival = time.time_ns()
        stamp = rclpy.time.Time.from_msg(message.header.stamp).nanoseconds
        mask = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)
        self.masks[stamp] = RecordedMask(arrival, mask)
        self.latest = time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "/road_seg: device":
                self.device = {value.key: value.value for value in status.values}

    def node_listens(self) -> bool:
        """Whether the node is active: it hears the camera, and this recorder hears it and knows what it runs on."""
        return bool(self.device and self.count_subscribers("image") and self.count_publishers("road_seg/mask"))
