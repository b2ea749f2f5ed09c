"""Pictures of what is right and wrong on a labelled frame."""

import cv2
import numpy as np

from fcn_road_seg.frames.sample import IGNORE, ROAD
from fcn_road_seg.postprocess.overlay import AZURE
from fcn_road_seg.postprocess.threshold import threshold_level

COLOURS = {"found": AZURE, "missed": (255, 225, 0), "false": (213, 50, 0)}
"""RGB: true positives as in overlays, false negatives, false positives. Tests hold that the colour-blind tell them
apart."""
OPACITY = {"found": 0.5, "missed": 0.8, "false": 0.8}
MEANINGS = {"found": "road, found", "missed": "road, missed", "false": "false road"}
"""What a legend says about `COLOURS`."""


def error_picture(image: np.ndarray, label: np.ndarray, probability: np.ndarray, threshold: float) -> np.ndarray:
    """A frame in grey, tinted where road was found, missed or wrongly found, see `COLOURS`.

    Args:
        image: uint8 H x W x 3 RGB; label: uint8 H x W, of which 255, ignored, is darkened; probability: P(road) x
            255, uint8 H x W; threshold: 0..1.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    picture = np.repeat(grey[..., None], 3, axis=-1)
    called, road, counted = probability >= threshold_level(threshold), label == ROAD, label != IGNORE
    for name, where in (("found", called & road), ("missed", ~called & road), ("false", called & ~road & counted)):
        tint = np.array(COLOURS[name]) * OPACITY[name]
        picture[where] = np.round(picture[where] * (1 - OPACITY[name]) + tint)
    picture[~counted] //= 3
    return picture


def label_picture(image: np.ndarray, label: np.ndarray) -> np.ndarray:
    """A frame, uint8 H x W x 3 RGB, as `error_picture` shows an answer without errors."""
    return error_picture(image, label, np.where(label == ROAD, np.uint8(255), np.uint8(0)), 0.5)
