"""The loop that every evaluation runs: frame after frame through a network, one frame in memory at a time."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np

Segment = Callable[[np.ndarray], np.ndarray]
"""A segmenter: uint8 H x W x 3 RGB -> P(road) x 255, uint8 H x W."""
Clean = Callable[[np.ndarray], np.ndarray]
"""What follows the network: P(road) x 255, uint8 H x W -> the same, changed."""
Track = Callable[[Iterable[Any]], Iterable[Any]]
"""Wraps the items of a loop, for a progress bar; `iter` shows none."""


def unchanged(probability: np.ndarray) -> np.ndarray:
    """A `Clean` that does nothing."""
    return probability


class Frame(Protocol):
    """Anything with an image, uint8 H x W x 3 RGB."""

    @property
    def image(self) -> np.ndarray: ...


FrameType = TypeVar("FrameType", bound=Frame)
Answer = TypeVar("Answer")


def segmented(
    segment: Callable[[np.ndarray], Answer], frames: Iterable[FrameType]
) -> Iterator[tuple[FrameType, Answer]]:
    """Every frame with the network's answer to its image.

    Args:
        segment: a `Segment`, or any other function of an image.
        frames: read or made one at a time, on demand.
    """
    for frame in frames:
        yield frame, segment(frame.image)
