"""The boxes of the node's instances for viewers. Does not import ROS."""

from typing import Any, NamedTuple

from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES
from fcn_road_seg.instances.drawing import COLOURS

OTHER = (255, 255, 255)
"""RGB of a class that the node's network does not know."""


class Box(NamedTuple):
    """A box in pixels of the image, what it shows with its score, and its RGB colour."""

    left: float
    top: float
    width: float
    height: float
    text: str
    colour: tuple[int, ...]


def boxes(message: Any) -> list[Box]:
    """The boxes of a vision_msgs/Detection2DArray; those without a result are left out."""
    found = []
    for detection in message.detections:
        for result in detection.results[:1]:
            name, box = result.hypothesis.class_id, detection.bbox
            left, top = box.center.position.x - box.size_x / 2, box.center.position.y - box.size_y / 2
            colour = COLOURS[INSTANCE_CLASSES.index(name)] if name in INSTANCE_CLASSES else OTHER
            found.append(Box(left, top, box.size_x, box.size_y, f"{name} {result.hypothesis.score:.2f}", colour))
    return found
