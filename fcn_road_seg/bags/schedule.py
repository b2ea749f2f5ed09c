"""Maps bag time to this machine's steady clock: when a message is due, and how late it was published."""

import time
from array import array
from collections import deque
from collections.abc import Callable

import numpy as np

from fcn_road_seg.errors import UserError

SECOND = 1_000_000_000
"""In nanoseconds."""
SLIP = SECOND // 10
"""A message that is later than this delays the schedule, so that the following messages keep their spacing."""
MAX_LATENESSES = 1_000_000
"""Number of latest latenesses kept for the figures, since a replay may loop for days."""


def played_range(start_ns: int, end_ns: int, start: float, duration: float | None) -> tuple[int, int | None, int]:
    """The part of a bag that is played.

    Args:
        start_ns, end_ns: time of the first message on the played topics, and of the bag's last message.
        start: seconds from `start_ns`.
        duration: seconds from the start; None for the rest of the bag.

    Returns:
        Bag times in ns: the start; the exclusive stop, or None for the bag's end; and the end of the part.

    Raises:
        UserError: the start is after the bag's end.
    """
    begin = start_ns + round(start * SECOND)
    if begin > end_ns:
        raise UserError(
            f"the bag has no message {start:g} s after its start; it is {(end_ns - start_ns) / SECOND:g} s long"
        )
    stop = None if duration is None else begin + round(duration * SECOND)
    return begin, stop, min(end_ns, stop or end_ns)


def words(duration_ns: int) -> str:
    """A duration of a minute or more for people, such as "5 minutes" or "53.9 years"."""
    hours = duration_ns / SECOND / 3600
    for limit, unit, length in ((2, "minutes", 1 / 60), (48, "hours", 1), (2 * 8766, "days", 24)):
        if hours < limit:
            return f"{hours / length:.0f} {unit}"
    return f"{hours / 8766:.1f} years"


class Schedule:
    """Maps bag time to the steady clock; both in int nanoseconds.

    Args:
        rate: seconds of the bag per second.
        clock: the steady clock.
    """

    def __init__(self, rate: float, clock: Callable[[], int] = time.monotonic_ns):
        self.rate = rate
        self.clock = clock
        self.slips = 0
        self._bag_ns = 0
        self._steady_ns = clock()
        self._paused = False
        self._latenesses: deque[int] = deque(maxlen=MAX_LATENESSES)

    @property
    def paused(self) -> bool:
        return self._paused

    def anchor(self, bag_ns: int) -> None:
        """Make `bag_ns` the current bag time."""
        self._bag_ns = bag_ns
        self._steady_ns = self.clock()

    def due(self, bag_ns: int) -> int:
        """The steady time of a bag time, assuming that there is no pause until then."""
        return self._steady_ns + round((bag_ns - self._bag_ns) / self.rate)

    def bag_time(self) -> int:
        """The current bag time; constant during a pause."""
        if self._paused:
            return self._bag_ns
        return self._bag_ns + round((self.clock() - self._steady_ns) * self.rate)

    def toggle(self) -> None:
        """Pause, or resume."""
        self.anchor(self.bag_time())
        self._paused = not self._paused

    def count(self, bag_ns: int) -> None:
        """Record the lateness of a message about to be published; if it is very late, delay the schedule as much."""
        late = self.clock() - self.due(bag_ns)
        self._latenesses.append(late)
        if late > SLIP:
            self.slips += 1
            self.anchor(bag_ns)

    def lateness_ms(self) -> dict[str, float | None]:
        """p50, p99 and max of the latenesses in milliseconds; None if nothing was published."""
        if not self._latenesses:
            return {"p50": None, "p99": None, "max": None}
        latenesses = np.frombuffer(array("q", self._latenesses), np.int64) / 1e6
        p50, p99 = np.percentile(latenesses, (50, 99))
        return {"p50": round(p50, 3), "p99": round(p99, 3), "max": round(latenesses.max(), 3)}
