"""The outputs that match the image pixel for pixel, besides the mask."""

from collections.abc import Callable, Collection
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from fcn_road_seg.frames.image_message import fill_compressed, fill_image
from fcn_road_seg.postprocess.labels import CLASS_NAMES
from fcn_road_seg.ros.segmented_frame import SegmentedFrame

OUTPUTS: dict[str, tuple[type, Callable[[Any, SegmentedFrame], Any]]] = {
    "mask/compressed": (CompressedImage, lambda message, frame: fill_compressed(message, frame.mask)),
    "labels": (Image, lambda message, frame: fill_image(message, frame.labels_and_confidence[0], "mono8")),
    "confidence": (Image, lambda message, frame: fill_image(message, frame.labels_and_confidence[1], "mono8")),
    "probability": (Image, lambda message, frame: fill_image(message, frame.probability, "mono8")),
    "overlay": (Image, lambda message, frame: fill_image(message, frame.overlay, "bgr8")),
    "overlay/compressed": (
        CompressedImage,
        lambda message, frame: fill_compressed(message, frame.overlay, frame.parameters.jpeg_quality),
    ),
}
"""By topic, in the order in which they are published: the type, and what fills a message that has the header."""
WITH_INSTANCES = {"overlay", "overlay/compressed"}
"""Those that show a frame's instances, if the node looks for them, and wait for these."""


class PixelOutputs:
    """The topics of `OUTPUTS`, each made only while it is subscribed to; ~/label_info.

    Args:
        node: logs.
        publisher: creates a publisher of a message type on a topic.
    """

    def __init__(self, node: Node, publisher: Callable[..., Publisher]):
        self._publishers = {topic: publisher(kind, f"~/{topic}") for topic, (kind, _) in OUTPUTS.items()}
        self._label_info = None
        try:
            from vision_msgs.msg import LabelInfo, VisionClass
        except ImportError:
            node.get_logger().info("No ~/label_info: the ROS 2 package vision_msgs is not installed", once=True)
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
        self._publish(frame, OUTPUTS.keys() - WITH_INSTANCES if frame.parameters.instances else OUTPUTS)

    @property
    def wants_instances(self) -> bool:
        """Whether an output that shows them is subscribed to."""
        return any(self._publishers[topic].get_subscription_count() for topic in WITH_INSTANCES)

    def publish_instances(self, frame: SegmentedFrame) -> None:
        """Publish the outputs that show a frame's instances and are subscribed to."""
        self._publish(frame, WITH_INSTANCES)

    def _publish(self, frame: SegmentedFrame, topics: Collection[str]) -> None:
        for topic, (kind, fill) in OUTPUTS.items():
            publisher = self._publishers[topic]
            if topic in topics and publisher.get_subscription_count():
                publisher.publish(fill(kind(header=frame.header), frame))

    def stop(self) -> None:
        """Nothing: they need nothing between two frames."""
