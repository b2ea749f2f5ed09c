"""The direction of gravity: what braking, bumps, hills, a cheap gyroscope and a sensor mounted askew do to it."""

import math

import numpy as np
import pytest

from fcn_road_seg.ground.gravity import GRAVITY, Average, GravityFilter, LevelAverage, down_in_sensor
from fcn_road_seg.ground.plane import rotation_matrix
from fcn_road_seg.synthetic import PitchingDrive

SLOPE = math.radians(3)
ASKEW = rotation_matrix(np.array([0.5, -0.5, 0.5, 0.5]))  # an IMU in an optical frame
STRAIGHT = np.eye(3)
START = 500
"""Samples before the first that counts."""


def followed(drive: PitchingDrive, window: float, mounting: np.ndarray = STRAIGHT) -> np.ndarray:
    """The vehicle's pitch against the road in radians, from the drive's IMU in a mounting (sensor from vehicle)."""
    gravity, level, pitches = GravityFilter(), LevelAverage(), []
    for acceleration, rate in zip(*(np.asarray(part) @ mounting.T for part in drive.imu()), strict=True):
        down = gravity(tuple(acceleration), tuple(rate), 1 / drive.rate)
        flat = level(down, tuple(acceleration), 1 / drive.rate, window) if window else tuple(-mounting[:, 2])
        (x, _, z), (x0, _, z0) = (mounting.T @ direction for direction in (down, flat))
        pitches.append(math.atan2(x, -z) - math.atan2(x0, -z0))
    return np.array(pitches)


def worst(drive: PitchingDrive, window: float, mounting: np.ndarray = STRAIGHT) -> float:
    """The largest error in degrees."""
    return float(np.degrees(np.abs(followed(drive, window, mounting) - drive.pitch(drive.times))[START:].max()))


def test_braking_is_not_taken_for_pitch():
    drive = PitchingDrive()
    assert np.degrees(np.abs(drive.pitch(drive.times)).max()) > 2  # and 6 m/s^2 tilt the measured gravity by 31 degrees
    assert worst(drive, 3.0) < 0.45
    assert worst(drive, 0.0) < 0.45


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_the_gyroscope_s_bias_is_found(bias):
    assert worst(PitchingDrive(bias=math.radians(bias)), 3.0) < 0.45


def test_the_average_follows_a_hill():
    drive = PitchingDrive(slope=SLOPE)
    end = slice(-300, None)
    errors = [
        np.degrees(np.abs(followed(drive, window) - drive.pitch(drive.times))[end].max()) for window in (3.0, 0.0)
    ]
    assert errors[0] < 0.5 and errors[1] > 2.5


def test_the_sensor_s_mounting_is_no_matter():
    drive = PitchingDrive(bias=0.0, noise=(0.0, 0.0))
    np.testing.assert_allclose(followed(drive, 3.0, ASKEW), followed(drive, 3.0), atol=1e-9)


def test_a_start_while_braking_is_forgotten():
    """The first seconds say that the vehicle is tilted by 22 degrees."""
    gravity, level = GravityFilter(), LevelAverage()
    for i in range(6000):
        acceleration = (-4.0 if i < 300 else 0.0, 0.0, GRAVITY)
        down = gravity(acceleration, (0.0, 0.0, 0.0), 0.01)
        flat = level(down, acceleration, 0.01, 3.0)
    assert math.degrees(math.asin(down[0] - flat[0])) < 0.3


@pytest.mark.parametrize(
    "orientation, down",
    [
        ((0, 0, 0, 1), (0, 0, -1)),
        ((0, 0, 0.6, 0.8), (0, 0, -1)),  # heading
        ((0, math.sin(0.05), 0, math.cos(0.05)), (math.sin(0.1), 0, -math.cos(0.1))),  # nose down
        ((math.sin(0.05), 0, 0, math.cos(0.05)), (0, -math.sin(0.1), -math.cos(0.1))),  # leaning to the right
    ],
)
def test_down_of_an_orientation(orientation, down):
    np.testing.assert_allclose(down_in_sensor(orientation), down, atol=1e-12)
    rotation = rotation_matrix(np.array(orientation, np.float64))
    np.testing.assert_allclose(rotation.T @ (0, 0, -1), down, atol=1e-12)


def test_an_average_begins_as_a_plain_one():
    average = Average()
    values = [average((float(i), 0.0, 0.0), 0.1, 10.0)[0] for i in range(5)]
    assert values == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0])
