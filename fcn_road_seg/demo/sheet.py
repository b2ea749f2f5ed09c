"""Contact sheets: some pictures of a drive, evenly chosen, in rows."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import cv2
import numpy as np

from fcn_road_seg.view.birds_eye import UNSEEN, legend_strip

WIDTH = 640
"""Width in pixels of a captioned picture, and its greatest height without the caption."""
FINER = 4
"""How many times as many items are kept as are chosen, at most; at least half as many."""

T = TypeVar("T")


class EvenlyChosen(Generic[T]):
    """Chooses at most `most` items, evenly spaced and with the first, of a sequence whose length is not known."""

    def __init__(self, most: int):
        self._most, self._step, self._count = most, 1, 0
        self._kept: list[T] = []

    def offer(self, make: Callable[[], T]) -> None:
        """Offer the next item of the sequence; it is made only if it may be chosen."""
        if self._count % self._step == 0:
            self._kept.append(make())
        if len(self._kept) == FINER * self._most:
            del self._kept[1::2]
            self._step *= 2
        self._count += 1

    def chosen(self) -> list[T]:
        """The choice from the items offered so far."""
        return [self._kept[i] for i in evenly(len(self._kept), self._most)]


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0..`count` - 1, evenly spaced, with the first and the last."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()


def captioned(picture: np.ndarray, caption: str) -> np.ndarray:
    """Scale a picture, uint8 H x W x 3 RGB, to `WIDTH`, and write a caption below it."""
    scale = WIDTH / max(picture.shape[:2])
    height, width = (max(1, round(scale * side)) for side in picture.shape[:2])
    scaled = beside_nothing(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), WIDTH)
    return np.vstack([scaled, legend_strip(WIDTH, caption, legend=False)])


def beside_nothing(picture: np.ndarray, width: int) -> np.ndarray:
    """A picture, uint8 H x W x 3 RGB, in the middle of one that is `width` wide."""
    left = (width - picture.shape[1]) // 2
    wide = np.full((picture.shape[0], width, 3), UNSEEN, np.uint8)
    wide[:, left : left + picture.shape[1]] = picture
    return wide


def contact_sheet(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Arrange pictures of equal width, uint8 H x W x 3, in rows as high as the highest picture; the rest is black."""
    columns = min(columns, len(pictures))
    height, width = max(picture.shape[0] for picture in pictures), pictures[0].shape[1]
    sheet = np.zeros((-(-len(pictures) // columns) * height, columns * width, 3), np.uint8)
    for i, picture in enumerate(pictures):
        row, column = i // columns * height, i % columns * width
        sheet[row : row + picture.shape[0], column : column + width] = picture
    return sheet
