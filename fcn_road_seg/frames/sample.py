"""What every data set yields: labelled frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fcn_road_seg.errors import UserError

NOT_ROAD, ROAD, IGNORE = 0, 1, 255
WHAT_IS_ROAD = "in labels 1 is road and 255 is ignored, or else a label_map.yaml beside images/ says what is road"
"""Advice for messages about labels without road."""


@dataclass(frozen=True)
class Sample:
    """One labelled frame.

    Attributes:
        image: uint8 H x W x 3, RGB.
        label: uint8 H x W: 0 not road, 1 road, 255 ignore.
        name: of the frame in the data set.
        classes: uint8 H x W, the data set's own, finer class ids, 255 ignore; None if it has none.
    """

    image: np.ndarray
    label: np.ndarray
    name: str
    classes: np.ndarray | None = None


class Samples(Protocol):
    """Labelled frames by index, read one at a time: a data set, or a list of `Sample`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))


class DatasetError(UserError):
    """A data set cannot be read; the message names the file and the fault."""
