"""Subscribes to a running node over ROS 2: its masks, its diagnostics, and its overlays while there are viewers."""

import time
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any

import cv2
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image

from fcn_road_seg.errors import FrameError
from fcn_road_seg.frames.image_message import image_to_rgb
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.qos import offered_reliability, with_message_info
from fcn_road_seg.ros.start import refusals, start_ros
from fcn_road_seg.ros.steady_clock import STEADY
from fcn_road_seg.view.figures import Figures, Status
from fcn_road_seg.view.foxglove import FoxgloveServer
from fcn_road_seg.view.latest_overlay import LatestOverlay, Overlay

if TYPE_CHECKING:
    from rclpy.subscription import MessageInfo

UPDATE_PERIOD = 0.25
"""Seconds between checks for viewers and of the reliability that publishers offer."""
JPEG_QUALITY = 85


class Listener(Node):
    """Subscribes to a node's ~/mask and /diagnostics, and to its ~/overlay only while there are viewers.

    Every subscription has the reliability that its publishers offer; those of images are KEEP_LAST 1. Latency is the
    time at which DDS received the mask minus its stamp; in simulated time if /clock is published.

    Args:
        observed: fully qualified name of the node.
        figures: receives the masks' latencies and the statuses.
        latest: receives every overlay as JPEG, and knows whether there are viewers.
        foxglove: receives the overlays, masks and figures; None without Foxglove.
    """

    def __init__(
        self,
        observed: str,
        figures: Figures,
        latest: LatestOverlay,
        foxglove: FoxgloveServer | None,
        context: Context | None = None,
    ):
        super().__init__("road_seg_view", context=context, enable_rosout=False, start_parameter_services=False)
        self._observed = observed
        self._figures = figures
        self._latest = latest
        self._foxglove = foxglove
        self._followed: dict[str, tuple[ReliabilityPolicy, Subscription]] = {}
        self.create_timer(UPDATE_PERIOD, self._update, clock=STEADY)
        self._update()

    def _update(self) -> None:
        simulated = self.count_publishers("/clock") > 0
        if simulated != self.get_parameter("use_sim_time").value:
            self.set_parameters([Parameter("use_sim_time", value=simulated)])
        self._subscribe("/diagnostics", self._on_diagnostics, DiagnosticArray, depth=10)
        self._subscribe(f"{self._observed}/mask", with_message_info(self._on_mask))
        if self._latest.requested() or (self._foxglove and self._foxglove.wants_overlay()):
            self._subscribe(f"{self._observed}/overlay", self._on_overlay)
        else:
            self._latest.clear()
            self._unsubscribe(f"{self._observed}/overlay")

    def _subscribe(self, topic: str, callback: Callable[..., None], kind: type = Image, depth: int = 1) -> None:
        """Subscribe to a topic with the reliability of its publishers, unless subscribed with it."""
        wanted = offered_reliability(self, topic)
        if topic in self._followed and self._followed[topic][0] == wanted:
            return
        self._unsubscribe(topic)
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=wanted)
        self._followed[topic] = wanted, self.create_subscription(kind, topic, callback, qos)

    def _unsubscribe(self, topic: str) -> None:
        if topic in self._followed:
            self.destroy_subscription(self._followed.pop(topic)[1])

    def _on_mask(self, message: Image, info: "MessageInfo") -> None:
        stamp = _nanoseconds(message.header.stamp)
        now = self.get_clock().now().nanoseconds  # 0 until the first message on /clock
        arrival = now - (time.time_ns() - info.get("received_timestamp", time.time_ns()))  # ROS 2 Humble has none
        latency = (arrival - stamp) / 1e9 if stamp and now else None
        self._figures.mask(latency)
        if self._foxglove:
            self._foxglove.send_mask(stamp, message)
            self._foxglove.send_latency(stamp, latency, self._figures)

    def _on_overlay(self, message: Image) -> None:
        try:
            rgb = image_to_rgb(message)
        except FrameError as error:
            self.get_logger().warning(f"Cannot show an overlay: {error}", throttle_duration_sec=5.0)
            return
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        stamp = _nanoseconds(message.header.stamp)
        overlay = Overlay(stamp, message.header.frame_id, jpeg.tobytes())
        self._latest.put(overlay)
        if self._foxglove:
            self._foxglove.send_overlay(overlay)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        prefix = f"{self._observed}: "
        statuses = [
            Status(status.name.removeprefix(prefix), status.level[0], status.message)
            for status in message.status
            if status.name.startswith(prefix)
        ]
        if statuses:
            self._figures.statuses(statuses)


def _nanoseconds(stamp: Any) -> int:
    """A builtin_interfaces/Time as a number; a negative one, which rclpy's Time refuses, counts as none."""
    return max(stamp.sec * 10**9 + stamp.nanosec, 0)


def listen(
    observed: str, figures: Figures, latest: LatestOverlay, foxglove: FoxgloveServer | None, stop: Event
) -> None:
    """Run a Listener until `stop` is set; an exception in a callback is logged and does not end it.

    Raises:
        UserError: ROS 2 does not start.
    """
    context = Context()
    start_ros(context=context)
    try:
        with refusals():
            node = Listener(observed, figures, latest, foxglove, context)
        faults = FaultLog(node)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        while not stop.is_set():
            with faults.survived("A callback failed"):
                executor.spin_once(timeout_sec=0.1)
        executor.shutdown()
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
