"""Which way is down for a sensor on a vehicle, from its accelerometer and gyroscope or from its orientation."""

import math

Vector = tuple[float, float, float]

GRAVITY = 9.80665
"""m/s^2."""
BRAKING = 0.3
"""m/s^2 by which the length of the measured acceleration differs from gravity's when the vehicle surely accelerates."""
TIME_CONSTANT = 20.0
"""Seconds in which gravity corrects the integrated rotation: much longer than a vehicle brakes, and short enough for
the drift of a cheap gyroscope."""
SURPRISE = math.radians(1.0)
"""Largest angle between measured and expected gravity that counts: more is acceleration, but a start that was wrong is
still forgotten, 1 degree in 20 s."""
SETTLING = 2.0
"""Seconds at the start in which the measured gravity is simply averaged."""
ACCELERATES = 0.4
"""m/s^2 along the road from which a vehicle is taken to brake, to speed up or to turn."""
ACCELERATION_WINDOW = 0.5
"""Seconds over which its vibration is averaged away."""
LONGEST_HOLD = 10.0
"""Seconds that no vehicle accelerates for: what lasts longer is a wrong direction of gravity."""
BIAS_WINDOW = 60.0
"""Seconds over which the rate of a vehicle that stays upright averages to zero, so that the average is the bias."""


class Average:
    """An exponential average of vectors over time; as long as less time has passed than its window, a plain one."""

    def __init__(self) -> None:
        self._value: Vector | None = None
        self._elapsed = 0.0

    def __call__(self, value: Vector, seconds: float, window: float) -> Vector:
        """The average with a new vector.

        Args:
            seconds: since the previous one.
            window: of the average, seconds.
        """
        self._elapsed += seconds
        share = min(1.0, seconds / max(min(window, self._elapsed), 1e-9))
        self._value = value if self._value is None else add(self._value, scaled(subtract(value, self._value), share))
        return self._value


class LevelAverage:
    """The direction of gravity for a vehicle that stands as the road lies: its average over the last seconds.

    So it follows the slope of the road, and the error of the sensor's mounting is part of it. While the vehicle
    accelerates, which makes it pitch and roll, the average stays.
    """

    def __init__(self) -> None:
        self._average, self._acceleration = Average(), Average()
        self._level: Vector | None = None
        self._held = 0.0

    def __call__(self, down: Vector, acceleration: Vector | None, seconds: float, window: float) -> Vector:
        """The average with a new direction.

        Args:
            down: the direction of gravity, a unit vector.
            acceleration: as in `GravityFilter`; None if it is not known.
            seconds: since the previous one.
            window: of the average, seconds.
        """
        accelerates = False
        if acceleration is not None:
            smooth = self._acceleration(acceleration, seconds, ACCELERATION_WINDOW)
            along = subtract(smooth, scaled(down, dot(smooth, down)))
            accelerates = dot(along, along) > ACCELERATES**2
        self._held = self._held + seconds if accelerates else 0.0
        if self._level is None or not 0.0 < self._held < LONGEST_HOLD:
            self._level = self._average(down, seconds, window)
        return self._level


class GravityFilter:
    """The direction of gravity from accelerometer and gyroscope: a complementary filter.

    The rotation is integrated from one message to the next; the measured acceleration, whose average over a long time
    is gravity, corrects the drift. It is the explicit complementary filter of Mahony, Hamel, Pflimlin (Nonlinear
    complementary filters on the special orthogonal group, IEEE Transactions on Automatic Control 53, 2008) for one
    direction. Two things keep a vehicle's acceleration from being taken for a slope: an acceleration whose length is
    not gravity's is left out, and the correction is limited to what a direction that is off by `SURPRISE` gives. The
    gyroscope's bias is the average of its rate, because a vehicle does not turn over; Mahony's, the integral of the
    correction, would take minutes.
    """

    def __init__(self) -> None:
        self._down: Vector | None = None
        self._average = Average()
        self._elapsed = 0.0

    def __call__(self, acceleration: Vector, rate: Vector, seconds: float) -> Vector:
        """The direction of gravity in the sensor's frame, a unit vector.

        Args:
            acceleration: as an accelerometer measures it, so upwards at rest (REP-145), m/s^2.
            rate: of rotation about the sensor's axes, rad/s, since the previous message.
            seconds: since the previous message; of no meaning in the first call.
        """
        length = math.sqrt(dot(acceleration, acceleration))
        measured = scaled(acceleration, -1 / length) if length > 1e-6 else self._down or (0.0, 0.0, -1.0)
        if self._down is None:
            self._down = measured
            return measured
        self._elapsed += seconds
        about_vertical = scaled(self._down, dot(rate, self._down))
        turn = subtract(rate, self._average(subtract(rate, about_vertical), seconds, BIAS_WINDOW))
        error = cross(measured, self._down)
        if self._elapsed < SETTLING:
            turn = add(turn, scaled(error, 1 / self._elapsed))
        elif abs(length - GRAVITY) < BRAKING:
            size = math.sqrt(dot(error, error))
            turn = add(turn, scaled(error, min(1.0, SURPRISE / max(size, 1e-9)) / TIME_CONSTANT))
        self._down = unit(add(self._down, scaled(cross(self._down, turn), seconds)))
        return self._down


def down_in_sensor(orientation: tuple[float, float, float, float]) -> Vector:
    """The direction of gravity in a sensor's frame.

    Args:
        orientation: of the sensor in a frame whose z axis is up, a quaternion x y z w (REP-103, REP-145).
    """
    x, y, z, w = orientation
    scale = -1 / (x * x + y * y + z * z + w * w)
    return 2 * (x * z - w * y) * scale, 2 * (y * z + w * x) * scale, (w * w + z * z - x * x - y * y) * scale


def dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def add(a: Vector, b: Vector) -> Vector:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def subtract(a: Vector, b: Vector) -> Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def scaled(a: Vector, factor: float) -> Vector:
    return a[0] * factor, a[1] * factor, a[2] * factor


def unit(a: Vector) -> Vector:
    return scaled(a, 1 / math.sqrt(dot(a, a)))
