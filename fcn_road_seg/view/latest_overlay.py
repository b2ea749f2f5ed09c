"""The newest picture, and whether anybody wants one. No ROS here."""

import time
from threading import Condition
from typing import NamedTuple

LINGER = 3.0
"""Seconds after a request in which the next one is expected; a browser that shows pictures asks all the time."""


class Picture(NamedTuple):
    """An overlay, encoded."""

    stamp: int
    """Nanoseconds, the frame's."""
    frame_id: str
    jpeg: bytes


class LatestOverlay:
    """A slot for one picture: a new one replaces that which waits. Any thread may call it."""

    def __init__(self):
        self._changed = Condition()
        self._picture: Picture | None = None
        self._number = 0
        self._asked = -LINGER

    def put(self, picture: Picture) -> None:
        """This is the newest from now on."""
        with self._changed:
            self._picture = picture
            self._number += 1
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget the picture: it is not the newest any more, and what is, is not known."""
        with self._changed:
            self._picture = None

    def wanted(self) -> bool:
        """Whether somebody waits for a picture, or has got one just now."""
        with self._changed:
            return time.monotonic() - self._asked < LINGER

    def other_than(self, number: int, seconds: float) -> tuple[int, Picture] | None:
        """The newest picture and its number, as soon as that is not `number`; None if that takes over `seconds`."""
        with self._changed:
            self._asked = time.monotonic()
            if self._changed.wait_for(lambda: self._picture and self._number != number, seconds):
                return self._number, self._picture
            return None
