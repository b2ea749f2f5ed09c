"""What the node publishes of a frame's instances pixel for pixel."""

from array import array
from collections.abc import Callable
from typing import Any

from rclpy.publisher import Publisher
from sensor_msgs.msg import Image

from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES
from fcn_road_seg.ros.segmented_frame import SegmentedFrame


class InstanceOutputs:
    """~/instances, if vision_msgs is installed, and ~/instance_ids, each made only while it is subscribed to.

    Args:
        publisher: creates a publisher of a message type on a topic.

    Attributes:
        without_boxes: why there is no ~/instances, in a sentence; else empty.
    """

    def __init__(self, publisher: Callable[..., Publisher]):
        self._ids = publisher(Image, "~/instance_ids")
        self._boxes: Publisher | None = None
        self.without_boxes = ""
        try:
            from vision_msgs.msg import Detection2DArray
        except ImportError:
            self.without_boxes = "No ~/instances: the ROS 2 package vision_msgs is not installed"
        else:
            self._boxes = publisher(Detection2DArray, "~/instances")

    @property
    def wants_instances(self) -> bool:
        """Whether one of them is subscribed to."""
        return bool(self._wants_boxes() or self._ids.get_subscription_count())

    def _wants_boxes(self) -> bool:
        return self._boxes is not None and self._boxes.get_subscription_count() > 0

    def publish_instances(self, frame: SegmentedFrame) -> None:
        """Publish those that are subscribed to."""
        if self._boxes is not None and self._wants_boxes():
            self._boxes.publish(boxes_message(frame))
        if self._ids.get_subscription_count():
            self._ids.publish(ids_message(frame))


def boxes_message(frame: SegmentedFrame) -> Any:
    """The vision_msgs/Detection2DArray of a frame's instances, best first."""
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

    found = frame.instances
    assert found is not None, "boxes are those of instances"
    message = Detection2DArray(header=frame.header)
    for box, label, score in zip(found.boxes.tolist(), found.labels, found.scores.tolist(), strict=True):
        left, top, right, bottom = box
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = INSTANCE_CLASSES[label], score
        detection = Detection2D(header=frame.header, results=[result])
        detection.bbox.center.position.x, detection.bbox.center.position.y = (left + right) / 2, (top + bottom) / 2
        detection.bbox.size_x, detection.bbox.size_y = right - left, bottom - top
        message.detections.append(detection)
    return message


def ids_message(frame: SegmentedFrame) -> Image:
    """The mono16 image of a frame's instances: 0 where there is none, else the index of the best there + 1."""
    assert frame.instances is not None, "ids are those of instances"
    ids = frame.instances.ids.astype("<u2", copy=False)
    height, width = ids.shape
    message = Image(header=frame.header, height=height, width=width, encoding="mono16", is_bigendian=0, step=2 * width)
    message.data = array("B", ids.tobytes())
    return message
