"""Draws instances over a frame: mask, box, name and score."""

import colorsys

import cv2
import numpy as np

from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES
from fcn_road_seg.instances.instances import Instances

COLOURS = tuple(
    tuple(round(255 * part) for part in colorsys.hsv_to_rgb((0.0 + 0.37 * i) % 1, 0.75, 1.0))
    for i in range(len(INSTANCE_CLASSES))
)
"""RGB of each class."""
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_instances(frame: np.ndarray, instances: Instances, alpha: float = 0.45) -> np.ndarray:
    """Tint each instance in its class's colour, and draw its box, name and score; the best are drawn last.

    Args:
        frame: uint8 H x W x 3 RGB.
        alpha: opacity of the tint, 0..1.

    Returns:
        uint8 H x W x 3 RGB, a new picture.
    """
    picture = frame.copy()
    line = max(1, round(frame.shape[0] / 300))
    size = max(0.35, frame.shape[0] / 1000)
    for i in reversed(range(len(instances))):
        colour = COLOURS[instances.labels[i]]
        mask = instances.masks[i].view(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        part, inside = picture[top : top + height, left : left + width], mask[top : top + height, left : left + width]
        cv2.copyTo(cv2.addWeighted(part, 1 - alpha, np.full_like(part, colour), alpha, 0), inside, part)
    for i in reversed(range(len(instances))):
        colour = COLOURS[instances.labels[i]]
        left, top, right, bottom = (round(float(edge)) for edge in instances.boxes[i])
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, line)
        text = f"{INSTANCE_CLASSES[instances.labels[i]]} {instances.scores[i]:.2f}"
        (width, height), below = cv2.getTextSize(text, FONT, size, 1)
        foot = max(top - below, height)  # above the box, or inside where that is outside the frame
        left = max(0, min(left, frame.shape[1] - width))
        cv2.rectangle(picture, (left, foot - height - 1), (left + width, foot + below), colour, cv2.FILLED)
        cv2.putText(picture, text, (left, foot), FONT, size, (0, 0, 0), 1, cv2.LINE_AA)
    return picture
