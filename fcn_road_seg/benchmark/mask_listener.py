"""A subscriber to the node's masks that records their age on arrival."""

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from fcn_road_seg.ros.child_process import node_listens
from fcn_road_seg.ros.qos import with_message_info
from fcn_road_seg.ros.scope import source_of, unmapped
from fcn_road_seg.ros.segmented_frame import nanoseconds
from fcn_road_seg.ros.start import refusals, start_ros


class Arrival(NamedTuple):
    """A mask that was received."""

    stamp: int
    """Nanoseconds since the epoch."""
    age: float
    """Seconds from the stamp."""
    way: float | None
    """... from its publication by the node; None if ROS does not tell that (Humble)."""


class MaskListener(Node):
    """Subscribes to ~/mask and /diagnostics of the node "road_seg"; a context manager that starts and stops rclpy.

    Args:
        cameras: names of the node's cameras, if it has several: each has its own mask.

    Attributes:
        arrivals: by camera, of each mask.
        statuses: values of the node's latest statuses by name, see `diagnostics`.
    """

    def __init__(self, cameras: Sequence[str] = ("",)) -> None:
        start_ros()
        with refusals():
            super().__init__("mask_listener")
        self.arrivals: dict[str, list[Arrival]] = {camera: [] for camera in cameras}
        self.statuses: dict[str, dict[str, str]] = {}
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
        for camera in cameras:
            callback = with_message_info(partial(self._on_mask, camera))
            self.create_subscription(Image, unmapped(camera, "~/mask"), callback, qos)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def __enter__(self) -> "MaskListener":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.destroy_node()
        rclpy.try_shutdown()

    def _on_mask(self, camera: str, message: Image, info: dict) -> None:
        now, stamp = time.time_ns(), nanoseconds(message.header.stamp)
        published = info.get("source_timestamp")
        way = None if published is None else (now - published) / 1e9
        self.arrivals[camera].append(Arrival(stamp, (now - stamp) / 1e9, way))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.statuses[status.name] = {value.key: value.value for value in status.values}

    def node_listens(self) -> bool:
        """Whether the node is active and connected to this listener."""
        return bool(self.device) and node_listens(self, self.arrivals)

    @property
    def device(self) -> dict[str, str]:
        """What the node runs on; empty until it is known."""
        return self.statuses.get("/road_seg: device", {})

    def latency(self, camera: str) -> dict[str, str]:
        """The latencies of a camera's frames in the node; empty until there are any."""
        return self.statuses.get(f"{source_of('/road_seg', camera)}: latency", {})

    def spin(self, seconds: float) -> None:
        """Process callbacks for that long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left, 0.1))
