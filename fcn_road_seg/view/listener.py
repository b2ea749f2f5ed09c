"""Subscribes to a running node over ROS 2: its masks and diagnostics, and what else its viewers want."""

import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Event
from typing import Any, NamedTuple

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PolygonStamped, TransformStamped
from nav_msgs.msg import OccupancyGrid
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

from fcn_road_seg.errors import FrameError
from fcn_road_seg.ros.diagnostics import camera_topics
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.frame_handler import TRANSPORTS
from fcn_road_seg.ros.qos import offered_reliability, type_name, with_message_info
from fcn_road_seg.ros.start import refusals, start_ros
from fcn_road_seg.ros.steady_clock import STEADY
from fcn_road_seg.view.figures import Figures, Status
from fcn_road_seg.view.outputs import (
    BOUNDARY,
    CAMERA,
    CAMERA_INFO,
    GRID,
    INSTANCES,
    MASK,
    OVERLAY,
    POINTS,
    SCAN,
    TRANSFORMS,
    Sample,
    Viewer,
)
from fcn_road_seg.view.transforms import Transforms

NodeNameNonExistentError = rclpy_implementation.NodeNameNonExistentError
UPDATE_PERIOD = 0.25
"""Seconds between checks for viewers, for the node, and of the reliability that it offers."""
STATUS_PERIOD = 1.0
"""Seconds between statuses for the viewers."""
TYPES: dict[str, type] = {
    MASK: Image,
    OVERLAY: Image,
    GRID: OccupancyGrid,
    SCAN: LaserScan,
    BOUNDARY: PolygonStamped,
    POINTS: PointCloud2,
    CAMERA_INFO: CameraInfo,
}
"""The message types of the node's topics."""
with suppress(ImportError):  # the node publishes ~/instances only with vision_msgs
    from vision_msgs.msg import Detection2DArray

    TYPES[INSTANCES] = Detection2DArray
DIAGNOSTICS = "diagnostics"
CAMERA_TYPES = {type_name(kind): kind for kind, _ in TRANSPORTS.values()}


class Subscribed(NamedTuple):
    """What an output is subscribed to."""

    topic: str
    kind: type
    reliability: ReliabilityPolicy


class Listener(Node):
    """Subscribes to a node's ~/mask and /diagnostics, and while a viewer wants them to other outputs and the camera.

    Of several cameras it shows the one that `figures` names, which finds the first in the node's diagnostics.

    Every subscription but the transforms' has the reliability that its publishers offer, and is KEEP_LAST 1 but for
    /diagnostics. Latency is the time at which DDS received the mask minus its stamp; in simulated time if /clock is
    published.

    Args:
        observed: fully qualified name of the node.
        figures: receives the masks' latencies, the statuses, the cameras, and whether the node is there.
        viewers: receive what they want.
    """

    def __init__(self, observed: str, figures: Figures, viewers: Sequence[Viewer], context: Context | None = None):
        super().__init__("road_seg_view", context=context, enable_rosout=False, start_parameter_services=False)
        self._observed = observed
        self._figures = figures
        self._viewers = viewers
        self._topic_subscriptions: dict[str, tuple[Subscribed, Subscription]] = {}
        self._transforms = Transforms(self, observed, self._show_transforms)
        self._last_header: Any = None  # of a mask
        self._images: dict[str, str] = {}  # the topic of each camera
        self.create_timer(UPDATE_PERIOD, self._update, clock=STEADY)
        self.create_timer(STATUS_PERIOD, self._show_status, clock=STEADY)
        self._update()

    def _update(self) -> None:
        simulated = self.count_publishers("/clock") > 0
        if simulated != self.get_parameter("use_sim_time").value:
            self.set_parameters([Parameter("use_sim_time", value=simulated)])
        namespace, _, name = self._observed.rpartition("/")
        present = (name, namespace or "/") in self.get_node_names_and_namespaces()
        self._figures.present(present)
        self._follow(DIAGNOSTICS, "/diagnostics", DiagnosticArray)
        for output, kind in TYPES.items():
            wanted = output == MASK or self._wanted(output)
            self._follow(output, f"{self._figures.source}/{output}" if wanted else "", kind)
        camera = self._camera(name, namespace or "/") if present and self._wanted(CAMERA) else ("", Image)
        self._follow(CAMERA, *camera)
        if self._wanted(TRANSFORMS):
            self._transforms.start()
        else:
            self._transforms.stop()

    def _wanted(self, output: str) -> bool:
        return any(viewer.wants(output) for viewer in self._viewers)

    def _camera(self, name: str, namespace: str) -> tuple[str, type]:
        """The topic and type of the camera's images, to which the node subscribes; no topic if it does not."""
        shown = self._figures.camera
        alone = not shown and self.count_publishers(f"{self._observed}/{MASK}")
        if not alone and shown not in self._images:  # which of the subscriptions is its one is not known yet
            return "", Image
        with suppress(NodeNameNonExistentError):  # it has just gone
            for topic, types in self.get_subscriber_names_and_types_by_node(name, namespace):
                for kind in types:
                    if kind in CAMERA_TYPES and topic == self._images.get(shown, topic):
                        return topic, CAMERA_TYPES[kind]
        return "", Image

    def _follow(self, output: str, topic: str, kind: type) -> None:
        """Subscribe to a topic with the reliability of its publishers, unless subscribed with it; "" unsubscribes."""
        wanted = Subscribed(topic, kind, offered_reliability(self, topic)) if topic else None
        if output in self._topic_subscriptions:
            if self._topic_subscriptions[output][0] == wanted:
                return
            self.destroy_subscription(self._topic_subscriptions.pop(output)[1])
        if wanted is None:
            return
        callbacks = {MASK: with_message_info(self._on_mask), DIAGNOSTICS: self._on_diagnostics}
        callback = callbacks.get(output, lambda message: self._show(output, message))
        depth = 10 if output == DIAGNOSTICS else 1
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=wanted.reliability)
        self._topic_subscriptions[output] = wanted, self.create_subscription(kind, topic, callback, qos)

    def _on_mask(self, message: Image, info: dict[str, Any]) -> None:
        stamp = _nanoseconds(message.header.stamp)
        now = self.get_clock().now().nanoseconds  # 0 until the first message on /clock
        arrival = now - (time.time_ns() - info.get("received_timestamp", time.time_ns()))  # ROS 2 Humble has none
        latency = (arrival - stamp) / 1e9 if stamp and now else None
        self._last_header = message.header
        self._figures.mask(latency)
        self._show(MASK, message)
        for viewer in self._viewers:
            viewer.show_latency(stamp, latency, self._figures)

    def _show(self, output: str, message: Any) -> None:
        self._pass_on(Sample(output, _nanoseconds(message.header.stamp), message))

    def _show_transforms(self, transforms: list[TransformStamped]) -> None:
        if transforms:
            self._pass_on(Sample(TRANSFORMS, _nanoseconds(transforms[0].header.stamp), transforms))

    def _pass_on(self, sample: Sample) -> None:
        for viewer in self._viewers:
            try:
                viewer.show(sample)
            except FrameError as error:
                self.get_logger().warning(
                    f"Cannot show the {sample.output}: {error}",
                    throttle_duration_sec=5.0,
                    throttle_time_source_type=STEADY,
                )

    def _show_status(self) -> None:
        self._show_transforms(self._transforms.fixed(self._last_header, self._figures.camera))
        now = self.get_clock().now().nanoseconds
        for viewer in self._viewers:
            viewer.show_status(now, self._figures)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        if cameras := camera_topics(message, self._observed):
            self._images = {camera: image for camera, (image, _) in cameras.items()}
            before = self._figures.others()
            self._figures.cameras(list(cameras))
            if (others := self._figures.others()) and others != before:
                self.get_logger().info(others)
        prefixes = tuple(f"{source}: " for source in (self._observed, self._figures.source))
        statuses = [
            Status(status.name.partition(": ")[2], status.level[0], status.message)
            for status in message.status
            if status.name.startswith(prefixes)
        ]
        if statuses:
            self._figures.statuses(statuses)


def _nanoseconds(stamp: Any) -> int:
    """A builtin_interfaces/Time as a number; a negative one, which rclpy's Time refuses, counts as none."""
    return max(stamp.sec * 10**9 + stamp.nanosec, 0)


def listen(observed: str, figures: Figures, viewers: Sequence[Viewer], stop: Event) -> None:
    """Run a Listener until `stop` is set; an exception in a callback is logged and does not end it.

    Raises:
        UserError: ROS 2 does not start.
    """
    context = Context()
    start_ros(context=context)
    try:
        with refusals():
            node = Listener(observed, figures, viewers, context)
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
