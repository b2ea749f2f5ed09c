"""Draws instances over a frame: mask, box, name and score."""

import cv2
import numpy as np

from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES
from fcn_road_seg.instances.instances import Instances

COLOURS = (
    (255, 80, 80),  # person
    (255, 140, 30),  # rider
    (255, 235, 60),  # car
    (160, 120, 80),  # truck
    (235, 80, 230),  # bus
    (190, 255, 90),  # train
    (255, 255, 255),  # motorcycle
    (255, 175, 200),  # bicycle
)
"""RGB of each class; none is near the road's azure."""
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_instances(frame: np.ndarray, instances: Instances, alpha: float = 0.45) -> np.ndarray:
    """Tint and outline each instance in its class's colour, and draw its box, name and score; the best lie on top.

    A name that would cover a better one's, or is higher than its box, is left out.

    Args:
        frame: uint8 H x W x 3 RGB.
        alpha: opacity of the tint, 0..1.

    Returns:
        uint8 H x W x 3 RGB, a new picture.
    """
    picture = frame.copy()
    line = max(1, round(frame.shape[0] / 300))
    worst_first = range(len(instances))[::-1]
    for i in worst_first:
        colour = COLOURS[instances.labels[i]]
        mask = instances.masks[i].view(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        part, inside = picture[top : top + height, left : left + width], mask[top : top + height, left : left + width]
        cv2.copyTo(cv2.addWeighted(part, 1 - alpha, np.full_like(part, colour), alpha, 0), inside, part)
        edges, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, edges, -1, colour, line, offset=(left, top))
    for i in worst_first:
        left, top, right, bottom = _corners(instances, i)
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), COLOURS[instances.labels[i]], line)
    size = max(0.35, frame.shape[0] / 1000)
    taken = np.zeros(frame.shape[:2], bool)
    for i in reversed(worst_first):
        left, top, _, bottom = _corners(instances, i)
        text = f"{INSTANCE_CLASSES[instances.labels[i]]} {instances.scores[i]:.2f}"
        (width, height), below = cv2.getTextSize(text, FONT, size, 1)
        foot = max(top - below, height)  # above the box, or inside where that is outside the frame
        left = max(0, min(left, frame.shape[1] - width))
        place = taken[max(foot - height - 1, 0) : foot + below + 1, left : left + width + 1]
        if place.any() or bottom - top < height:
            continue
        place[:] = True
        colour = COLOURS[instances.labels[i]]
        cv2.rectangle(picture, (left, foot - height - 1), (left + width, foot + below), colour, cv2.FILLED)
        cv2.putText(picture, text, (left, foot), FONT, size, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def _corners(instances: Instances, i: int) -> list[int]:
    """Left, top, right and bottom of a box in whole pixels."""
    return [round(float(edge)) for edge in instances.boxes[i]]
