"""One camera frame with its answer, for everything that is published besides the mask."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fcn_road_seg.postprocess.labels import labels_and_confidence


@dataclass
class SegmentedFrame:
    """A frame and its answer; arrays have the frame's size.

    Attributes:
        header: std_msgs/Header of the image.
        image: uint8 H x W x 3 RGB.
        probability: P(road) x 255, uint8 H x W.
        mask: uint8 H x W, 255 = road.
        threshold: P(road), 0..1, that the mask was cut at.
        min_confidence: 0..1, see `labels_and_confidence`.
    """

    header: Any
    image: np.ndarray
    probability: np.ndarray
    mask: np.ndarray
    threshold: float
    min_confidence: float

    @cached_property
    def labels_and_confidence(self) -> tuple[np.ndarray, np.ndarray]:
        """Class ids and confidence x 255, uint8 H x W each; made when first asked for."""
        return labels_and_confidence(self.probability, self.threshold, self.min_confidence)
