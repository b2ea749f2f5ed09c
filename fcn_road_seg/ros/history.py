"""What was published about moments, to look up what holds at the moment of an image."""

from bisect import bisect_left
from typing import Generic, TypeVar

from fcn_road_seg.ros.camera_info_subscription import NotYetError

T = TypeVar("T")

KEPT = 10 * 10**9
"""Nanoseconds for which values are kept, as in tf2."""
MAX_GAP = 5 * 10**8
"""Nanoseconds between two values from which nothing is known about the time between them."""
JUMP = 10**9
"""A value older by more nanoseconds than the newest means that a bag or a simulation was restarted."""


class LateTransformError(NotYetError):
    """Nothing is known about the time that was asked for; it may arrive later."""


class History(Generic[T]):
    """Values by their stamps in nanoseconds, of the last 10 s."""

    def __init__(self) -> None:
        self._stamps: list[int] = []
        self._values: list[T] = []

    def __len__(self) -> int:
        return len(self._stamps)

    @property
    def newest(self) -> int | None:
        """The largest stamp; None without values."""
        return self._stamps[-1] if self._stamps else None

    def add(self, stamp: int, value: T) -> None:
        """Add a value, in any order of time; it replaces one of the same time."""
        index = bisect_left(self._stamps, stamp)
        if self._stamps[index : index + 1] == [stamp]:
            self._values[index] = value
        else:
            self._stamps.insert(index, stamp)
            self._values.insert(index, value)
        expired = bisect_left(self._stamps, self._stamps[-1] - KEPT)
        del self._stamps[:expired], self._values[:expired]

    def clear(self) -> None:
        """Forget all values."""
        self._stamps.clear()
        self._values.clear()

    def around(self, stamp: int, what: str) -> tuple[T, T, float]:
        """The values before and after a time, and where between them it is, 0..1; never one of another time.

        Args:
            what: the values are, for the sentence.

        Raises:
            LateTransformError: nothing is known about that time.
        """
        if not self._stamps:
            raise LateTransformError(f"no {what} has arrived since time jumped: is its publisher running?")
        index = bisect_left(self._stamps, stamp)
        if self._stamps[index : index + 1] == [stamp]:
            return self._values[index], self._values[index], 0.0
        if index == len(self._stamps):
            raise LateTransformError(
                f"the newest {what} is {(stamp - self._stamps[-1]) / 1e9:.2f} s older than the image: "
                "is its publisher running, and on the camera's clock?"
            )
        if index == 0:
            raise LateTransformError(
                f"the oldest {what} is {(self._stamps[0] - stamp) / 1e9:.2f} s newer than the image: "
                "is its publisher on the camera's clock?"
            )
        before, after = self._stamps[index - 1], self._stamps[index]
        if after - before > MAX_GAP:
            raise LateTransformError(
                f"the {what} was not published for {(after - before) / 1e9:.2f} s around the image: "
                f"publish it at least every {MAX_GAP / 1e9:g} s"
            )
        return self._values[index - 1], self._values[index], (stamp - before) / (after - before)
