"""The loop of the Nav2 demo without ROS, in simulated time: renderer, network, scan, stand-in for a planner, motion."""

import math

import numpy as np
import pytest

from fcn_road_seg.ground import CameraModel, GroundPlane, GroundTables, RoadScan
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.ros.road_follower import BRAKING, HALF_WIDTH, STOP, RoadFollower
from fcn_road_seg.synthetic import CAMERAS, SyntheticCourse, Vehicle

STEP = math.radians(0.5)
BEARINGS = np.arange(-80, 81) * STEP
SPEED, RATE = 8.0, 3.0


def straight_road(left: float, right: float, wall: float = math.inf) -> np.ndarray:
    """The scan of a straight road with edges this far to both sides, and a wall across it."""
    with np.errstate(divide="ignore"):
        edge = np.where(BEARINGS > 0, left, right) / np.abs(np.sin(BEARINGS))
    ranges = np.minimum(edge, wall / np.cos(BEARINGS))
    return np.where(ranges > 50, np.inf, ranges)


def drive(ranges: np.ndarray, **options: float) -> tuple[float, float]:
    return RoadFollower(SPEED, **options)(ranges, BEARINGS[0], STEP)


def test_it_drives_straight_in_the_middle_and_turns_towards_it_beside():
    assert drive(straight_road(3, 3)) == pytest.approx((SPEED, 0.0), abs=1e-6)
    for left, right, sign in ((4, 2, 1), (2, 4, -1)):
        speed, turn_rate = drive(straight_road(left, right))
        assert turn_rate / speed == pytest.approx(sign * 2 * (1 / 12) / 12, rel=0.1)  # through 1 m beside at 12 m


@pytest.mark.parametrize("wall", [STOP - 2, STOP, STOP + 4.0, STOP + 9.0])
def test_it_can_stop_before_what_blocks_the_road(wall):
    speed, _ = drive(straight_road(3, 3, wall))
    assert speed == pytest.approx(math.sqrt(2 * BRAKING * max(wall - STOP, 0)), abs=1e-6)


def test_what_stands_beside_its_path_does_not_stop_it():
    for side, stops in ((HALF_WIDTH + 0.2, False), (HALF_WIDTH - 0.2, True)):
        ranges = straight_road(4, 4)
        for sign in (1, -1):
            ranges[np.argmin(np.abs(BEARINGS - sign * math.atan2(side, 7.0)))] = math.hypot(side, 7.0)
        assert (drive(ranges)[0] == 0) == stops


def test_without_a_gap_for_the_vehicle_it_keeps_its_curve_and_brakes():
    follower = RoadFollower(SPEED)
    turn = follower(straight_road(4, 2), BEARINGS[0], STEP)
    blocked = follower(straight_road(4, 2, 10.0), BEARINGS[0], STEP)
    assert blocked.turn_rate / blocked.speed == pytest.approx(turn.turn_rate / turn.speed)
    assert follower(np.full(len(BEARINGS), np.nan), BEARINGS[0], STEP).speed == SPEED  # what is unseen is no obstacle


def scan_of(camera) -> RoadScan:
    k = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    model = CameraModel.from_camera_info(
        camera.width, camera.height, k, [], "plumb_bob", np.eye(3), np.c_[k, np.zeros(3)]
    )
    return RoadScan(GroundTables(model, GroundPlane.from_mounting(camera.camera_height, camera.pitch)))


def test_a_vehicle_stays_on_the_road_for_200_m_and_stops_before_a_parked_car():
    course = SyntheticCourse(23, 213.0, CAMERAS["hd"].resized(416, 234))
    segmenter = RoadSegmenter.load(SegmenterOptions(weights="lite", device="cpu"))
    scan, follower, vehicle = scan_of(course.camera), RoadFollower(SPEED), Vehicle()
    margins, travelled, top_speed = [], 0.0, 0.0
    for number in range(200):
        ranges = scan(segmenter.mask(course.frame(vehicle.pose, number).image))
        command = follower(ranges, scan.angle_min, scan.angle_increment)
        if number and command.speed == vehicle.speed == 0:
            break
        vehicle.step(1 / RATE, *command)
        margins.append(course.margin(vehicle.pose))
        travelled += vehicle.speed / RATE
        top_speed = max(top_speed, vehicle.speed)
    s, _, _ = course.on_street(vehicle.pose)
    assert vehicle.speed == 0 and top_speed == SPEED
    assert min(margins) > HALF_WIDTH  # all of it is on the road, always
    assert 200 < s < course.parked.s - course.parked.length / 2 - 2 and travelled == pytest.approx(s, rel=0.02)
    headings = course.street.centreline.heading[(course.street.centreline.s > 0) & (course.street.centreline.s < s)]
    assert np.ptp(headings) > 0.4  # it went round curves
