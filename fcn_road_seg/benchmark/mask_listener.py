"""A subscriber to the node's masks that records their age on arrival."""

import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from fcn_road_seg.ros.child_process import node_listens
from fcn_road_seg.ros.start import refusals, start_ros

PREFIX = "/road_seg: "


class MaskListener(Node):
    """Subscribes to ~/mask and /diagnostics of the node "road_seg"; a context manager that starts and stops rclpy.

    Attributes:
        ages: per mask, its stamp (nanoseconds since the epoch) and the seconds from the stamp to this process.
        statuses: values of the node's latest statuses by subject, see `diagnostics`.
    """

    def __init__(self) -> None:
        start_ros()
        with refusals():
            super().__init__("mask_listener")
        self.ages: list[tuple[int, float]] = []
        self.statuses: dict[str, dict[str, str]] = {}
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, "/road_seg/mask", self._on_mask, qos)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def __enter__(self) -> "MaskListener":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.destroy_node()
        rclpy.try_shutdown()

    def _on_mask(self, message: Image) -> None:
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        self.ages.append((stamp, (time.time_ns() - stamp) / 1e9))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(PREFIX):
                values = {value.key: value.value for value in status.values}
                self.statuses[status.name.removeprefix(PREFIX)] = values

    def node_listens(self) -> bool:
        """Whether the node is active and connected to this listener."""
        return bool(self.statuses.get("device")) and node_listens(self)

    def spin(self, seconds: float) -> None:
        """Process callbacks for that long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left, 0.1))
