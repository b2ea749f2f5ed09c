"""Turns P(road) into class ids and confidences for Nav2's semantic_segmentation_layer."""

from functools import lru_cache

import cv2
import numpy as np

from fcn_road_seg.postprocess.threshold import threshold_level

NOT_ROAD, ROAD, UNKNOWN = 0, 1, 255
"""Class ids; vision_msgs reserves the largest for unlabelled pixels."""
CLASS_NAMES = {NOT_ROAD: "not_road", ROAD: "road"}


def labels_and_confidence(
    probability: np.ndarray, threshold: float, min_confidence: float, hidden: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Class and confidence of each pixel.

    Args:
        probability: P(road) x 255, uint8 H x W.
        threshold: P(road), 0..1, from which a pixel is road.
        min_confidence: 0..1; a pixel is unknown if both P(road) and 1 - P(road) are below it.
        hidden: uint8 H x W, 255 where the vehicle itself is in view, which is unknown, else 0; None if it is not.

    Returns:
        Two uint8 H x W: ids (0 not road, 1 road, 255 unknown), and the probability of that class x 255 (0 if unknown).
    """
    labels, confidence = (cv2.LUT(probability, table) for table in _tables(threshold, min_confidence))
    if hidden is not None:
        labels = cv2.bitwise_or(labels, hidden)
        confidence = cv2.subtract(confidence, hidden)
    return labels, confidence


@lru_cache(maxsize=4)
def _tables(threshold: float, min_confidence: float) -> tuple[np.ndarray, np.ndarray]:
    levels = np.arange(256)
    road = levels >= threshold_level(threshold)
    unknown = np.maximum(levels, 255 - levels) < min_confidence * 255
    labels = np.where(unknown, UNKNOWN, np.where(road, ROAD, NOT_ROAD))
    confidence = np.where(unknown, 0, np.where(road, levels, 255 - levels))
    return labels.astype(np.uint8), confidence.astype(np.uint8)
