"""The latest overlay for viewers, and whether there are any. Does not import ROS."""

import time
from threading import Condition
from typing import NamedTuple

LINGER = 3.0
"""Seconds after a request within which the next is expected; a browser that shows the overlay sends them constantly."""


class Overlay(NamedTuple):
    """An overlay, encoded as JPEG."""

    stamp: int
    """Nanoseconds, of the frame."""
    frame_id: str
    jpeg: bytes


class LatestOverlay:
    """Holds one overlay; a new one replaces it. Thread-safe."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._overlay: Overlay | None = None
        self._number = 0
        self._last_request = -LINGER

    def put(self, overlay: Overlay) -> None:
        """Replace the overlay."""
        with self._changed:
            self._overlay = overlay
            self._number += 1
            self._changed.notify_all()

    def clear(self) -> None:
        """Remove the overlay, because it is out of date once the overlays stop."""
        with self._changed:
            self._overlay = None

    def requested(self) -> bool:
        """Whether a viewer is waiting for an overlay or has received one recently."""
        with self._changed:
            return time.monotonic() - self._last_request < LINGER

    def wait_for_other(self, number: int, seconds: float) -> tuple[int, Overlay] | None:
        """Wait for an overlay with another number; returns its number and the overlay, None after `seconds`."""
        with self._changed:
            self._last_request = time.monotonic()
            self._changed.wait_for(lambda: self._overlay and self._number != number, seconds)
            if self._overlay is None or self._number == number:
                return None
            return self._number, self._overlay
