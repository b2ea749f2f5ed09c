"""A vehicle on its springs: how it pitches when it brakes and on a speed bump, and what its IMU measures."""

import math
from dataclasses import dataclass

import numpy as np

GRAVITY = 9.80665
SPRING = 0.25
"""Seconds that the springs take to follow a change of the acceleration."""


@dataclass(frozen=True)
class PitchingDrive:
    """A straight drive whose pitch is known: it brakes gently and hard, crosses a speed bump, and climbs a hill.

    Samples of the IMU are in the vehicle's frame (REP-103: x forward, y left, z up), as an accelerometer and a
    gyroscope measure (REP-145): 9.8 m/s^2 upwards at rest.

    Attributes:
        seconds: length of the drive.
        rate: of the IMU, Hz.
        dive: pitch per deceleration, radians per m/s^2.
        bump: amplitude of the pitch on the speed bump, radians.
        lever: metres from the point about which the vehicle pitches to the camera ahead of it.
        slope: of the hill, radians; 0 for a level drive.
        bias: of the gyroscope about each axis, rad/s.
        noise: standard deviations of a sample of the gyroscope, rad/s, and of the accelerometer, m/s^2; by default a
            cheap IMU's on a running engine.
        seed: of the noise.
    """

    seconds: float = 60.0
    rate: float = 100.0
    dive: float = math.radians(0.4)
    bump: float = math.radians(2.0)
    lever: float = 0.5
    slope: float = 0.0
    bias: float = math.radians(0.1)
    noise: tuple[float, float] = (math.radians(0.3), 0.4)
    seed: int = 0

    @property
    def times(self) -> np.ndarray:
        """When the IMU measures, float64 N, seconds from 0."""
        return np.arange(int(self.seconds * self.rate)) / self.rate

    def acceleration(self, times: np.ndarray) -> np.ndarray:
        """Along the road, m/s^2: negative where it brakes, float64 like `times`."""
        result = np.zeros_like(times)
        for start, length, value in MANOEUVRES:
            result[(times >= start) & (times < start + length)] = value
        return result

    def pitch(self, times: np.ndarray) -> np.ndarray:
        """Of the vehicle against the road, radians, positive nose-down, float64 like `times` (ascending)."""
        grid = np.arange(0.0, self.seconds + 0.01, 0.005)
        dive, followed = -self.dive * self.acceleration(grid), np.zeros_like(grid)
        share = 1 - math.exp(-0.005 / SPRING)
        for i in range(1, len(grid)):
            followed[i] = followed[i - 1] + share * (dive[i] - followed[i - 1])
        since = grid - BUMP
        bump = np.where((since >= 0) & (since < 2.5), np.sin(2 * np.pi * 1.3 * since) * np.exp(-since / 0.6), 0.0)
        return np.interp(times, grid, followed - self.bump * bump)

    def sinking(self, times: np.ndarray) -> np.ndarray:
        """How much lower the camera is than on the level vehicle, metres, float64 like `times` (ascending)."""
        return self.lever * np.sin(self.pitch(times))

    def hill(self, times: np.ndarray) -> np.ndarray:
        """The road's slope, radians, positive downhill, float64 like `times`."""
        return -self.slope * np.clip((times - HILL) / 3, 0, 1)

    def imu(self) -> tuple[np.ndarray, np.ndarray]:
        """Acceleration, m/s^2, and rate of rotation, rad/s, at `times`, float64 N x 3 each."""
        times, rng = self.times, np.random.default_rng(self.seed)
        pitch = self.pitch(times) + self.hill(times)
        forward = self.acceleration(times)
        acceleration = np.zeros((len(times), 3))
        acceleration[:, 0] = forward * np.cos(self.pitch(times)) - GRAVITY * np.sin(pitch)
        acceleration[:, 2] = forward * np.sin(self.pitch(times)) + GRAVITY * np.cos(pitch)
        rates = np.zeros_like(acceleration)
        rates[:, 1] = np.gradient(pitch, times)
        acceleration += rng.normal(0, self.noise[1], acceleration.shape)
        return acceleration, rates + self.bias + rng.normal(0, self.noise[0], rates.shape)


MANOEUVRES = ((10.0, 4.0, -1.0), (20.0, 3.0, -4.0), (26.0, 5.0, 2.0), (40.0, 2.0, -6.0))
"""Start and length in seconds, and acceleration in m/s^2."""
BUMP, HILL = 34.0, 48.0
"""When it crosses the speed bump and when the hill begins, seconds."""
