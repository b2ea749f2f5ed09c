"""Hears a running node over ROS 2: its masks, its overlays while somebody looks at them, its diagnostics."""

import time
from collections.abc import Callable
from threading import Event

import cv2
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.time import Time
from sensor_msgs.msg import Image

from fcn_road_seg.errors import FrameError
from fcn_road_seg.frames.image_message import image_to_rgb
from fcn_road_seg.ros.steady_clock import STEADY
from fcn_road_seg.view.figures import Figures, Status
from fcn_road_seg.view.foxglove import FoxgloveServer
from fcn_road_seg.view.latest_overlay import LatestOverlay, Picture

LOOK_PERIOD = 0.25
"""Seconds between looks at who wants overlays, and at what reliability the node offers."""
JPEG_QUALITY = 85


class Listener(Node):
    """Subscribes to a node's ~/mask and /diagnostics, and to its ~/overlay only while somebody wants pictures.

    Both image topics are KEEP_LAST 1 with the reliability that the node offers. Latency is the mask's reception by DDS
    minus its stamp, on the clock of /clock where somebody publishes that.

    Args:
        observed: fully qualified name of the node.
        figures: gets the masks' latencies and the statuses.
        newest: gets every overlay as JPEG; asked whether anybody wants one.
        foxglove: gets the same and the masks; None where there is none.
    """

    def __init__(
        self,
        observed: str,
        figures: Figures,
        newest: LatestOverlay,
        foxglove: FoxgloveServer | None,
        context: Context | None = None,
    ):
        super().__init__("road_seg_view", context=context, enable_rosout=False, start_parameter_services=False)
        self._observed = observed
        self._figures = figures
        self._newest = newest
        self._foxglove = foxglove
        self._held: dict[str, tuple[ReliabilityPolicy, Subscription]] = {}
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.create_timer(LOOK_PERIOD, self._look, clock=STEADY)
        self._look()

    def _look(self) -> None:
        simulated = self.count_publishers("/clock") > 0
        if simulated != self.get_parameter("use_sim_time").value:
            self.set_parameters([Parameter("use_sim_time", value=simulated)])
        self._hold(f"{self._observed}/mask", self._on_mask)
        if self._newest.wanted() or (self._foxglove and self._foxglove.wants_overlay()):
            self._hold(f"{self._observed}/overlay", self._on_overlay)
        else:
            self._release(f"{self._observed}/overlay")
            self._newest.clear()

    def _hold(self, topic: str, callback: Callable[[Image, dict], None]) -> None:
        """Be subscribed to a topic of images, reliably if all who publish it are reliable."""
        publishers = self.get_publishers_info_by_topic(topic)
        reliable = all(publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE for publisher in publishers)
        wanted = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        if topic in self._held and self._held[topic][0] == wanted:
            return
        self._release(topic)
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=wanted)
        self._held[topic] = wanted, self.create_subscription(Image, topic, callback, qos)

    def _release(self, topic: str) -> None:
        if topic in self._held:
            self.destroy_subscription(self._held.pop(topic)[1])

    def _on_mask(self, message: Image, info: dict) -> None:
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        now = self.get_clock().now().nanoseconds  # 0 until a simulated clock begins
        arrival = now - (time.time_ns() - info["received_timestamp"])
        latency = (arrival - stamp) / 1e9 if stamp and now else None
        self._figures.mask(latency)
        if self._foxglove:
            self._foxglove.mask(stamp, message)
            self._foxglove.latency(stamp, latency, self._figures)

    def _on_overlay(self, message: Image) -> None:
        try:
            rgb = image_to_rgb(message)
        except FrameError as error:
            self.get_logger().warning(f"An overlay is not shown: {error}", throttle_duration_sec=5.0)
            return
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        picture = Picture(stamp, message.header.frame_id, jpeg.tobytes())
        self._newest.put(picture)
        if self._foxglove:
            self._foxglove.overlay(picture)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        prefix = f"{self._observed}: "
        statuses = [
            Status(status.name.removeprefix(prefix), status.level[0], status.message)
            for status in message.status
            if status.name.startswith(prefix)
        ]
        if statuses:
            self._figures.statuses(statuses)


def listen(
    observed: str, figures: Figures, newest: LatestOverlay, foxglove: FoxgloveServer | None, stop: Event
) -> None:
    """Run a Listener until `stop` is set. Call `set_ros_defaults` before."""
    context = Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = Listener(observed, figures, newest, foxglove, context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
        executor.shutdown()
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
