"""A stand-in for a planner: follows the middle of the road that a scan shows, and stops before what blocks it."""

import math
from typing import NamedTuple

import numpy as np

HALF_WIDTH = 1.1
"""Metres to each side of the path that must be road: half a car and 0.2 m."""
STOP = 8.0
"""Metres from the vehicle's origin to the first obstacle on its path at which it stands."""
BRAKING = 2.0
"""m/s^2 with which it plans to stop."""


class Command(NamedTuple):
    """What a vehicle is told to do: forward in m/s, counter-clockwise in rad/s."""

    speed: float
    turn_rate: float


class RoadFollower:
    """Drives by one scan after another, by pure pursuit (Coulter 1992).

    It aims at the middle of the directions in which the road reaches farther than `ahead`, and drives as fast as lets
    it stop before the first point on its path that is not road.

    Args:
        speed: on a free road, m/s.
        ahead: distance of the point that it aims at, metres.
    """

    def __init__(self, speed: float = 5.0, ahead: float = 12.0):
        self.speed, self.ahead = speed, ahead
        self._curvature = 0.0

    def __call__(self, ranges: np.ndarray, angle_min: float, angle_increment: float) -> Command:
        """The command for a scan.

        Args:
            ranges: float n, metres to the edge of the road per bearing; inf where it goes on, NaN where unseen.
            angle_min, angle_increment: radians; bearing 0 is straight ahead.
        """
        bearings = angle_min + np.arange(len(ranges)) * angle_increment
        aim = self._aim(ranges, bearings)
        if aim is not None:
            self._curvature = 2 * math.sin(aim) / self.ahead
        with np.errstate(invalid="ignore"):  # inf x 0
            x, y = ranges * np.cos(bearings), ranges * np.sin(bearings)
            blocked = x[np.abs(y - self._curvature * x**2 / 2) < HALF_WIDTH]
        free = float(blocked.min(initial=math.inf)) - STOP
        speed = min(self.speed, math.sqrt(2 * BRAKING * max(free, 0.0)))
        return Command(speed, speed * self._curvature)

    def _aim(self, ranges: np.ndarray, bearings: np.ndarray) -> float | None:
        """The bearing of the middle of the widest gap that the vehicle fits through."""
        far = np.concatenate([[False], ranges > self.ahead, [False]])
        starts, ends = (np.flatnonzero(np.diff(far.astype(int)) == step) for step in (1, -1))
        widths = (ends - starts) * (bearings[1] - bearings[0]) * self.ahead
        if not len(widths) or widths.max() < 2 * HALF_WIDTH:
            return None
        widest = int(widths.argmax())
        return float(bearings[starts[widest] : ends[widest]].mean())
