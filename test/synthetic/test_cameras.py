"""The named cameras, and what those behind a windscreen see of their own car."""

from dataclasses import replace

import numpy as np
import pytest

from fcn_road_seg.synthetic import CAMERAS, SyntheticDrive

SHAPES = {"kitti": 1242 / 375, "windscreen": 16 / 9, "robot": 4 / 3, "hd": 16 / 9, "vga": 4 / 3, "sxga": 5 / 4}
DEGREES = {"kitti": 81.4, "windscreen": 66, "robot": 66, "hd": 70, "vga": 60, "sxga": 52}


def small(name: str, **changes):
    camera = CAMERAS[name]
    return camera.resized(320, round(320 * camera.height / camera.width), **changes)


@pytest.mark.parametrize("name", CAMERAS)
def test_shapes_and_fields_of_view(name):
    camera = CAMERAS[name]
    assert camera.width / camera.height == pytest.approx(SHAPES[name], rel=1e-3)
    assert np.degrees(2 * np.arctan(camera.width / 2 / camera.fx)) == pytest.approx(DEGREES[name], abs=0.1)
    assert (camera.camera_height < 1) == (name == "robot") and camera.windscreen == (name == "windscreen")
    half = camera.resized(camera.width // 2, camera.height // 2)
    assert half.fx == pytest.approx(camera.fx * half.width / camera.width)
    assert (half.pitch, half.windscreen) == (camera.pitch, camera.windscreen)


@pytest.mark.parametrize("name", ["windscreen", "robot"])
def test_rays_go_through_their_pixels(name):
    camera = small(name)
    rays = camera.rays()
    assert rays.shape == (camera.height, camera.width, 3) and rays.dtype == np.float32
    pixels = camera.project(7 * rays.reshape(-1, 3) + (0, 0, camera.camera_height))
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    np.testing.assert_allclose(pixels, np.c_[columns.ravel(), rows.ravel()], atol=0.01)
    np.testing.assert_allclose(camera.depth(rays + (0, 0, camera.camera_height)), 1, atol=1e-5)


@pytest.mark.parametrize(
    "name, height", [("windscreen", 1.3), ("robot", 0.3), ("robot", 1.0), ("hd", 1.6), ("sxga", 1.5)]
)
@pytest.mark.parametrize("scene", ["country", "brick_pavement", "gravel"])
def test_road_pixels_span_the_road_s_width(name, height, scene):
    """In rows of known distance, pixels times metres per pixel are the distance between the road's edges."""
    camera = small(name, camera_height=height, windscreen=False)
    drive = SyntheticDrive(seed=12, camera=camera, scene=scene, weather="overcast")
    drive.street.things.clear()
    drive.street.side_roads.clear()
    frame = drive[4]
    x = camera.ground_points()[:, camera.width // 2, 0]
    left, right = frame.road_region.left, frame.road_region.right
    checked = 0
    for row in np.flatnonzero((x > 9) & (x < 40)):
        run = np.flatnonzero(frame.road[row])
        if run[0] == 0 or run[-1] == camera.width - 1:
            continue  # the road is wider than the picture
        ahead = np.arange(len(left)) > 80
        width = np.interp(x[row], left[ahead, 0], left[ahead, 1]) - np.interp(x[row], right[ahead, 0], right[ahead, 1])
        metres = camera.depth([x[row], 0, 0]) / camera.fx
        assert len(run) * metres == pytest.approx(width, abs=1.6 * metres + 0.06)
        checked += 1
    assert checked > 3


def test_only_a_camera_behind_a_windscreen_sees_its_car():
    for name in CAMERAS:
        frame = SyntheticDrive(seed=3, camera=small(name))[0]
        assert frame.own_vehicle.shape == frame.road.shape and frame.own_vehicle.dtype == bool
        assert frame.own_vehicle.any() == (name == "windscreen")


@pytest.mark.parametrize("seed", range(4))
def test_the_own_car_is_never_road_and_hides_nothing_else(seed):
    camera = small("windscreen")
    scene = {"seed": seed, "weather": "overcast"}
    frame = SyntheticDrive(camera=camera, **scene)[5]
    outside = SyntheticDrive(camera=replace(camera, windscreen=False), **scene)[5]
    np.testing.assert_array_equal(frame.road, outside.road & ~frame.own_vehicle)
    assert frame.own_vehicle[-1, camera.width // 4 : -camera.width // 4].all()  # it ends at the lower edge
    assert 0.08 < frame.own_vehicle.mean() < 0.4
    below = slice(int(camera.horizon) + 6, None)  # the bonnet begins well below the horizon; a mirror ends above it
    top = int(camera.horizon) + 6 + np.flatnonzero(frame.own_vehicle[below, camera.width // 2])[0]
    slope = (top - camera.cy) / camera.fy + np.tan(camera.pitch)
    assert 0.12 < slope < 0.4  # metres down per metre ahead, over a bonnet of about 0.5 m below and 2 m ahead
    assert frame.own_vehicle[top:, camera.width // 2].all()


def test_the_own_car_stays_where_it_is_and_mirrors_the_street():
    drive = SyntheticDrive(seed=2, camera=small("windscreen"), weather="sun", scene="avenue")
    drive.light.noise = 0.0
    first, later = drive[0], drive[25]
    np.testing.assert_array_equal(first.own_vehicle, later.own_vehicle)
    bonnet = drive.vehicle.bonnet == 1
    difference = np.abs(first.image[bonnet].astype(int) - later.image[bonnet])
    assert 0.5 < difference.mean() < 40
    other = SyntheticDrive(seed=4, camera=small("windscreen"), weather="sun", scene="avenue")[0]
    assert (other.own_vehicle != first.own_vehicle).any()
