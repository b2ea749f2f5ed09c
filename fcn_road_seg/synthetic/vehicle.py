"""The motion of a small vehicle that follows speed commands."""

import math
from typing import NamedTuple

ACCELERATION, BRAKING = 2.0, 5.0
"""m/s^2."""
TURN_ACCELERATION = 3.0
"""rad/s^2."""
MAX_SPEED, MAX_TURN_RATE = 12.0, 1.5
"""m/s and rad/s, in both directions."""


class Pose(NamedTuple):
    """A pose on the ground."""

    x: float = 0.0
    y: float = 0.0
    """Metres."""
    heading: float = 0.0
    """Radians, counter-clockwise."""

    def compose(self, relative: "Pose") -> "Pose":
        """The pose that is `relative` to this one."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        x, y, turn = relative
        return Pose(self.x + x * cos - y * sin, self.y + x * sin + y * cos, self.heading + turn)


class Vehicle:
    """A differential drive: it turns about its origin, also on the spot, and reaches commanded speeds by and by.

    Attributes:
        pose: of its origin.
        speed, turn_rate: forward, m/s; counter-clockwise, rad/s.
    """

    def __init__(self) -> None:
        self.pose = Pose()
        self.speed = self.turn_rate = 0.0

    def step(self, seconds: float, speed: float, turn_rate: float) -> None:
        """Move on for some time.

        Args:
            seconds: positive or 0.
            speed, turn_rate: the command, m/s and rad/s; limited to what the vehicle can do.
        """
        speed = max(-MAX_SPEED, min(speed, MAX_SPEED))
        turn_rate = max(-MAX_TURN_RATE, min(turn_rate, MAX_TURN_RATE))
        slower = speed * self.speed < 0 or abs(speed) < abs(self.speed)
        new_speed = _towards(self.speed, speed, (BRAKING if slower else ACCELERATION) * seconds)
        new_turn_rate = _towards(self.turn_rate, turn_rate, TURN_ACCELERATION * seconds)
        distance = (self.speed + new_speed) / 2 * seconds
        turn = (self.turn_rate + new_turn_rate) / 2 * seconds
        chord = distance * (math.sin(turn / 2) / (turn / 2) if turn else 1.0)
        moved = Pose(chord * math.cos(turn / 2), chord * math.sin(turn / 2), turn)
        self.pose, self.speed, self.turn_rate = self.pose.compose(moved), new_speed, new_turn_rate


def _towards(value: float, aim: float, step: float) -> float:
    return value + max(-step, min(aim - value, step))
