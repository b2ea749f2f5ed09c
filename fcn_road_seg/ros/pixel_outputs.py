"""The outputs that match the image pixel for pixel, besides the mask."""

from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import Image

from fcn_road_seg.frames.image_message import fill_image
from fcn_road_seg.instances.drawing import draw_instances
from fcn_road_seg.postprocess.labels import CLASS_NAMES
from fcn_road_seg.postprocess.overlay import overlay
from fcn_road_seg.ros.segmented_frame import SegmentedFrame


class PixelOutputs:
    """~/labels, ~/confidence, ~/probability and ~/overlay, each made only while it is subscribed to; ~/label_info.

    With instances, ~/overlay waits for those of its frame.

    Args:
        node: logs.
        publisher: creates a publisher of a message type on a topic.
    """

    def __init__(self, node: Node, publisher: Callable[..., Publisher]):
        self._labels, self._confidence, self._probability, self._overlay = (
            publisher(Image, f"~/{topic}") for topic in ("labels", "confidence", "probability", "overlay")
        )
        self._label_info = None
        try:
            from vision_msgs.msg import LabelInfo, VisionClass
        except ImportError:
            node.get_logger().info("No ~/label_info: the ROS 2 package vision_msgs is not installed")
        else:
            self._label_info = publisher(LabelInfo, "~/label_info", durability=DurabilityPolicy.TRANSIENT_LOCAL)
            self._names = LabelInfo(
                class_map=[VisionClass(class_id=number, class_name=name) for number, name in CLASS_NAMES.items()]
            )

    def publish_names(self, stamp: Any, threshold: float) -> None:
        """Publish ~/label_info, which late subscribers receive as well.

        Args:
            stamp: builtin_interfaces/Time, now.
            threshold: P(road), 0..1, from which a pixel is road.
        """
        if self._label_info is not None:
            self._names.header.stamp = stamp
            self._names.threshold = threshold
            self._label_info.publish(self._names)

    def publish(self, frame: SegmentedFrame) -> None:
        """Publish the outputs that are subscribed to, and ~/label_info again if the threshold has changed."""
        if self._label_info is not None and frame.threshold != self._names.threshold:
            self.publish_names(frame.header.stamp, frame.threshold)
        if self._labels.get_subscription_count():
            self._labels.publish(fill_image(Image(header=frame.header), frame.labels_and_confidence[0], "mono8"))
        if self._confidence.get_subscription_count():
            self._confidence.publish(fill_image(Image(header=frame.header), frame.labels_and_confidence[1], "mono8"))
        if self._probability.get_subscription_count():
            self._probability.publish(fill_image(Image(header=frame.header), frame.probability, "mono8"))
        if self._overlay.get_subscription_count() and not frame.parameters.instances:
            self._publish_overlay(frame, overlay(frame.image, frame.mask, frame.parameters.overlay_alpha))

    @property
    def wants_instances(self) -> bool:
        """Whether ~/overlay is subscribed to."""
        return self._overlay.get_subscription_count() > 0

    def publish_instances(self, frame: SegmentedFrame) -> None:
        """Publish ~/overlay with the road and the instances, if it is subscribed to."""
        if frame.instances is not None and self._overlay.get_subscription_count():
            road = overlay(frame.image, frame.mask, frame.parameters.overlay_alpha)
            self._publish_overlay(frame, draw_instances(road, frame.instances))

    def _publish_overlay(self, frame: SegmentedFrame, picture: np.ndarray) -> None:
        self._overlay.publish(fill_image(Image(header=frame.header), picture[:, :, ::-1], "bgr8"))
