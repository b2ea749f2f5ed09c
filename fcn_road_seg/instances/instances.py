"""The instances of one frame. Does not import torch."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

MOST_HIDDEN = 0.5
"""Share of an instance's pixels on the own vehicle from which it is taken for a part of it."""


@dataclass(frozen=True)
class Instances:
    """The instances of one frame, best first.

    Attributes:
        boxes: float32 N x 4, left, top, right, bottom in pixels of the frame.
        labels: int64 N, indices in `INSTANCE_CLASSES`.
        scores: float32 N, 0..1.
        masks: bool N x H x W.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @cached_property
    def ids(self) -> np.ndarray:
        """uint16 H x W: 0 where there is none, else the index of the best instance there + 1."""
        ids = np.zeros(self.masks.shape[1:], np.uint16)
        for i in reversed(range(len(self))):
            left, top, right, bottom = self._extents[i]
            ids[top:bottom, left:right][self.masks[i, top:bottom, left:right]] = i + 1
        return ids

    @cached_property
    def _extents(self) -> list[tuple[int, int, int, int]]:
        """Left, top, right, bottom of each mask."""
        rectangles = [cv2.boundingRect(mask.view(np.uint8)) for mask in self.masks]
        return [(left, top, left + width, top + height) for left, top, width, height in rectangles]

    def feet(self) -> np.ndarray:
        """Where each instance meets the ground: float64 N x 2, column and row; NaN where a mask is empty.

        It is the middle of the lower edge of the mask's lowest row. Coordinates are whole at the centres of pixels.
        """
        feet = np.full((len(self), 2), np.nan)
        for foot, mask, (left, _, right, bottom) in zip(feet, self.masks, self._extents, strict=True):
            if bottom:
                foot[:] = left + np.flatnonzero(mask[bottom - 1, left:right]).mean(), bottom - 0.5
        return feet

    def without_own_vehicle(self, hidden: np.ndarray | None) -> "Instances":
        """Without those that show the vehicle itself, and with masks that end where it begins.

        Args:
            hidden: uint8 H x W, not 0 where the camera sees its own vehicle; None for nowhere.
        """
        if hidden is None or not len(self):
            return self
        visible = self.masks & (hidden == 0)
        pixels, left = self.masks.sum((1, 2)), visible.sum((1, 2))
        kept = left > (1 - MOST_HIDDEN) * pixels
        return Instances(self.boxes[kept], self.labels[kept], self.scores[kept], visible[kept])

    def cut_out(self, probability: np.ndarray) -> np.ndarray:
        """A copy of P(road) x 255, uint8 H x W, that is 0 where an instance is."""
        return np.where(self.ids == 0, probability, np.uint8(0))
