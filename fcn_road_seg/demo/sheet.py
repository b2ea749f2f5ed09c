"""Contact sheets: some pictures of a drive, evenly chosen, in rows."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import cv2
import numpy as np

from fcn_road_seg.view.birds_eye import legend_strip

WIDTH = 640
"""Width in pixels of a captioned picture."""
LETTERS = 84
"""Number of a caption's letters that fit below it."""

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
    """Scale a picture, uint8 H x W x 3 RGB, to `WIDTH` and write a caption below it, or its end if it is long."""
    height = max(1, round(WIDTH * picture.shape[0] / picture.shape[1]))
    caption = caption.encode(errors="replace").decode()  # a file's name may be no text
    if len(caption) > LETTERS:
        caption = f"...{caption[3 - LETTERS :]}"
    scaled = cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA)
    return np.vstack([scaled, legend_strip(WIDTH, caption, legend=False)])


def contact_sheet(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Arrange pictures of equal width, uint8 H x W x 3, in rows as high as the highest picture; the rest is black."""
    columns = min(columns, len(pictures))
    height, width = max(picture.shape[0] for picture in pictures), pictures[0].shape[1]
    sheet = np.zeros((-(-len(pictures) // columns) * height, columns * width, 3), np.uint8)
    for i, picture in enumerate(pictures):
        row, column = i // columns * height, i % columns * width
        sheet[row : row + picture.shape[0], column : column + width] = picture
    return sheet
