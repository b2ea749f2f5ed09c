"""A tilted camera's frames, turned to the level camera: the same metres as with tables of the tilted one."""

import numpy as np
import pytest

from fcn_road_seg.ground import (
    CameraModel,
    GroundError,
    GroundPlane,
    GroundTables,
    LevelView,
    RoadBoundary,
    RoadGrid,
    RoadScan,
    tilt,
)

WIDTH, HEIGHT, FOCAL = 414, 125, 240.0
DOWN = np.array([0.0, 0.0, -1.0])
LEVEL = GroundPlane.from_mounting(1.65, 0.02)
LENSES = {"pinhole": ("", []), "plumb_bob": ("plumb_bob", [-0.3, 0.1, 0, 0, 0]), "fisheye": ("equidistant", [0.02] * 4)}
TILTS = [(0.0, 0.0), (0.03, 0.0), (-0.03, 0.0), (0.02, 0.03)]


def camera(lens: str) -> CameraModel:
    model, coefficients = LENSES[lens]
    k = [FOCAL, 0, 203, 0, FOCAL, 57.6, 0, 0, 1]
    p = [FOCAL, 0, 203, 0, 0, FOCAL, 57.6, 0, 0, 0, 1, 0]
    return CameraModel.from_camera_info(
        WIDTH, HEIGHT, k, coefficients, model, np.eye(3), p, rectified=lens == "pinhole"
    )


def tilted(pitch: float, roll: float) -> tuple[np.ndarray, GroundPlane]:
    """The rotation of a vehicle, and the plane below its camera."""
    vehicle = GroundPlane.from_mounting(1.0, pitch, roll).rotation @ GroundPlane.from_mounting(1.0).rotation.T
    turn = tilt(vehicle.T @ DOWN, DOWN)
    np.testing.assert_allclose(turn @ vehicle.T @ DOWN, DOWN, atol=1e-12)
    return turn, GroundPlane(turn @ LEVEL.rotation, LEVEL.translation)


def painted(tables: GroundTables) -> np.ndarray:
    """P(road) x 255 of a straight road 7 m wide."""
    return (np.abs(tables.xy[..., 1]) < 3.5).astype(np.uint8) * np.uint8(255)


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("pitch, roll", TILTS)
def test_it_equals_tables_of_the_tilted_camera(lens, pitch, roll):
    level = GroundTables(camera(lens), LEVEL)
    turn, plane = tilted(pitch, roll)
    exact = GroundTables(camera(lens), plane)
    view = LevelView(level)
    points = LEVEL.to_ground(view.points(turn).astype(np.float64))
    np.testing.assert_array_equal(np.isnan(points[..., 0]), np.isnan(exact.xy[..., 0]))
    np.testing.assert_allclose(points[..., :2], exact.xy, atol=1e-3)
    assert np.nanmax(np.abs(points[..., 2])) < 1e-5
    rows, columns = np.nonzero(~np.isnan(exact.xy[..., 0]))
    feet = level.road_points(np.stack([columns, rows], -1).astype(np.float64), turn)
    np.testing.assert_allclose(feet[:, :2], exact.xy[rows, columns], atol=1e-3)
    probability, unseen = view.image(painted(exact), turn)
    known = ~np.isnan(level.xy[..., 0]) & ~unseen
    wrong = (probability >= 128) != (painted(level) > 0)
    # Only pixels on the edge differ, and only where rounding decides.
    near_edge = np.abs(np.abs(level.xy[..., 1]) - 3.5) < 1.1 * level.pixel_size
    assert not (wrong & known & ~near_edge).any()
    assert known.sum() > 0.7 * (~np.isnan(level.xy[..., 0])).sum()


def test_what_a_frame_does_not_show_is_unseen_in_every_output():
    """The nose is up, so the camera sees the road from farther away on, and less of it is behind the bonnet."""
    hidden = np.zeros((HEIGHT, WIDTH), np.uint8)
    hidden[-20:, 150:250] = 255
    level = GroundTables(camera("pinhole"), LEVEL, hidden=hidden)
    view = LevelView(level, hidden=hidden)
    turn, plane = tilted(-0.05, 0.0)
    exact = GroundTables(camera("pinhole"), plane, hidden=hidden)
    road = np.full((HEIGHT, WIDTH), 255, np.uint8)
    probability, unseen = view.image(road, turn)
    points = level.xy[unseen]
    points = points[~np.isnan(points[:, 0])].astype(np.float64)
    assert len(points) > 500 and (exact.pixel_indices(points) < 0).mean() > 0.97  # all but a rim
    grid = RoadGrid(level)
    assert (grid(probability, 0.5, unseen) >= 0).sum() < (grid(probability, 0.5) >= 0).sum()
    cells = grid(np.where(unseen, 0, probability).astype(np.uint8), 0.5, unseen)
    assert not (cells == 100).any()
    np.testing.assert_array_equal(grid(probability, 0.5, np.zeros_like(unseen)), grid(probability, 0.5))
    scan, mask = RoadScan(level), np.where(unseen, 0, 255).astype(np.uint8)
    assert np.isfinite(scan(mask)).any() and not np.isfinite(scan(mask, unseen)).any()
    assert np.isnan(scan(mask, np.ones_like(unseen))).all()
    boundary = RoadBoundary(level)(mask, unseen)
    assert boundary.left[0, 0] > RoadBoundary(level)(road).left[0, 0]


@pytest.mark.parametrize("pitch, roll", TILTS)
def test_the_vehicle_has_no_rim_that_is_not_road(pitch, roll):
    """A bonnet and a mast in front of a road that the network is not sure of; on the vehicle P(road) is 0."""
    hidden = np.zeros((HEIGHT, WIDTH), np.uint8)
    hidden[-20:, 150:250] = hidden[:, 100:110] = 255
    level = GroundTables(camera("pinhole"), LEVEL, hidden=hidden)
    turn, _ = tilted(pitch, roll)
    probability, unseen = LevelView(level, hidden=hidden).image(np.where(hidden, np.uint8(0), np.uint8(160)), turn)
    mask = np.where(probability >= 128, np.uint8(255), np.uint8(0))
    assert not (RoadGrid(level)(probability, 0.5, unseen) == 100).any()
    assert not np.isfinite(RoadScan(level)(mask, unseen)).any()
    assert (probability[~unseen & ~np.isnan(level.xy[..., 0])] == 160).all()


def test_a_mask_of_another_size_and_a_vehicle_upside_down_are_refused():
    view = LevelView(GroundTables(camera("pinhole"), LEVEL))
    with pytest.raises(GroundError, match="414x125"):
        view.image(np.zeros((10, 10), np.uint8), np.eye(3))
    with pytest.raises(GroundError, match="upside down"):
        tilt(-DOWN, DOWN)
