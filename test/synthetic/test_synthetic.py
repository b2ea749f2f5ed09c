"""The synthetic scenes: geometry, exact masks, determinism, motion."""

import cv2
import numpy as np
import pytest

from fcn_road_seg.frames.sample import Sample
from fcn_road_seg.synthetic import SCENES, WEATHERS, Camera, SyntheticDrive, SyntheticFrame, SyntheticRoad
from fcn_road_seg.synthetic.scene import Thing

SMALL = Camera.of_size(414, 125)


def bare(drive):
    """The drive with nothing standing on or beside the road."""
    drive.street.things.clear()
    return drive


def below_tree_line(frame):
    """Ground points, and whether a pixel is ground below the far tree line."""
    points = frame.camera.ground_points()
    return points, np.isfinite(points[..., 0]) & (points[..., 0] < 300)


@pytest.mark.parametrize("camera", [Camera(), SMALL, Camera(pitch=0.05, camera_height=1.2), Camera(pitch=-0.03)])
def test_ground_points_project_back_to_their_pixels(camera):
    points = camera.ground_points()
    assert points.shape == (camera.height, camera.width, 2) and points.dtype == np.float32
    rows, columns = np.nonzero(np.isfinite(points[..., 0]) & (points[..., 0] < 500))
    assert len(rows) > 0.4 * points.shape[0] * points.shape[1]
    pixels = camera.project(np.c_[points[rows, columns], np.zeros(len(rows))])
    np.testing.assert_allclose(pixels, np.c_[columns, rows], atol=0.01)


def test_ground_points_follow_rep_103_and_end_at_the_horizon():
    camera = Camera(pitch=0.04)
    points = camera.ground_points()
    seen = np.isfinite(points[..., 0]).all(1)
    assert not seen[: int(camera.horizon)].any() and seen[int(camera.horizon) + 2 :].all()
    assert points[-1, 0, 0] > 0 and points[-1, 0, 1] > 0 > points[-1, -1, 1]  # forward; left is positive
    assert points[-1, 0, 0] < points[-50, 0, 0]


def test_project_gives_nan_behind_the_camera_and_rejects_pixels():
    assert np.isnan(Camera().project([[-1.0, 0.0, 0.0]])).all()
    with pytest.raises(ValueError):
        Camera().project([[1.0, 2.0]])


@pytest.mark.parametrize("wrong", [{"width": 0}, {"fx": 0.0}, {"camera_height": -1.0}, {"pitch": 2.0}])
def test_invalid_cameras_are_rejected(wrong):
    with pytest.raises(ValueError):
        Camera(**wrong)


def test_a_drive_is_deterministic_in_any_order():
    first, second = (SyntheticDrive(seed=5, frames=6, camera=SMALL) for _ in range(2))
    forward = [first[i] for i in range(4)]
    for i in (3, 0, 2):
        again = second[i]
        np.testing.assert_array_equal(again.image, forward[i].image)
        np.testing.assert_array_equal(again.road, forward[i].road)
    assert np.any(forward[0].image != forward[1].image)
    assert np.any(SyntheticDrive(seed=6, frames=6, camera=SMALL)[0].image != forward[0].image)


def test_training_scenes_are_deterministic_samples():
    scenes = SyntheticRoad(8, seed=2, camera=SMALL)
    samples = [scenes[i] for i in range(4)]
    for sample in samples:
        assert isinstance(sample, Sample)
        assert sample.image.shape == (125, 414, 3) and sample.image.dtype == np.uint8
        assert sample.label.shape == (125, 414) and sample.label.dtype == np.uint8
        assert set(np.unique(sample.label)) <= {0, 1}
    assert len({s.name for s in samples}) == 4
    assert all(np.any(samples[0].image != s.image) for s in samples[1:])
    again = SyntheticRoad(8, seed=2, camera=SMALL)[3]
    np.testing.assert_array_equal(again.image, samples[3].image)
    np.testing.assert_array_equal(again.label, samples[3].label)
    assert np.mean([s.label.mean() for s in samples]) > 0.1


def test_training_scenes_vary_the_camera():
    cameras = [SyntheticRoad(9, camera=SMALL).frame(i).camera for i in range(3)]
    for name in ("camera_height", "pitch", "fx"):
        assert len({getattr(c, name) for c in cameras}) == 3
    assert {(c.width, c.height) for c in cameras} == {(SMALL.width, SMALL.height)}


@pytest.mark.parametrize("scene", SCENES)
def test_mask_is_the_road_region_where_nothing_stands(scene):
    frame = bare(SyntheticDrive(seed=11, camera=SMALL, weather="overcast", scene=scene))[7]
    assert isinstance(frame, SyntheticFrame) and frame.road.dtype == bool
    points, ground = below_tree_line(frame)
    np.testing.assert_array_equal(frame.road[ground], frame.road_region.on_road(points)[ground])
    assert 0.1 < frame.road[ground].mean() < 0.95


def test_mask_agrees_with_the_edges_drawn_as_a_polygon():
    drive = bare(SyntheticDrive(seed=3, camera=SMALL, weather="overcast", scene="country"))
    drive.street.side_roads.clear()
    frame = drive[20]
    region = frame.road_region
    outline = np.concatenate([region.left, region.right[::-1]]).astype(np.float32)
    points, ground = below_tree_line(frame)
    chosen = np.random.default_rng(0).choice(np.flatnonzero(ground), 3000, replace=False)
    distances = np.array(
        [cv2.pointPolygonTest(outline, tuple(map(float, p)), True) for p in points.reshape(-1, 2)[chosen]]
    )
    sure = np.abs(distances) > 0.03
    assert sure.mean() > 0.9 and 0.1 < (distances > 0).mean() < 0.9
    np.testing.assert_array_equal(frame.road.ravel()[chosen][sure], distances[sure] > 0)


def test_the_picture_changes_where_the_mask_does():
    drive = bare(SyntheticDrive(seed=3, camera=Camera.of_size(828, 250), weather="overcast", scene="country"))
    frame = drive[20]
    image = cv2.GaussianBlur(frame.image, (3, 3), 0).astype(int)
    rows, columns = np.nonzero(frame.road[150:, 20:-20] != frame.road[150:, 21:-19])
    rows, columns = rows + 150, columns + 20
    assert len(rows) > 60

    def step(shift):
        left, right = np.clip(columns + shift - 2, 0, 827), np.clip(columns + shift + 3, 0, 827)
        return np.abs(image[rows, left] - image[rows, right]).sum(1).mean()

    assert step(0) > 1.5 * max(step(-8), step(8))


def test_things_only_hide_road():
    drive = SyntheticDrive(seed=4, camera=SMALL, scene="urban")
    frame = drive[0]
    points, _ = below_tree_line(frame)
    assert not (frame.road & ~frame.road_region.on_road(points)).any()
    s, d, _ = drive.on_street(0)
    empty = bare(drive)[0]
    assert (frame.road <= empty.road).all()
    car = Thing("car", s + 12, d, length=4.4, width=1.8, height=1.5, look="saloon", colour=(90, 90, 90))
    drive.street.things.append(car)
    blocked = drive[0]
    column, row = SMALL.project([[10.2, 0.0, 0.5]])[0].round().astype(int)
    assert empty.road[row, column] and not blocked.road[row, column]
    column, row = SMALL.project([[7.0, 0.0, 0.0]])[0].round().astype(int)
    assert blocked.road[row, column]
    changed = np.abs(blocked.image.astype(int) - empty.image).max(2) > 60
    hidden = empty.road & ~blocked.road
    assert changed[hidden].mean() > 0.3 and hidden.sum() > 50


def test_edges_bound_the_road_and_side_roads_belong_to_it():
    drive = SyntheticDrive(seed=8, frames=500, camera=SMALL, scene="residential")
    assert drive.street.side_roads
    side_road = next(r for r in drive.street.side_roads if r.s > 0)
    i = int(max(0, side_road.s - 20) / drive.speed * drive.rate)
    region = bare(drive)[i].road_region
    s = np.linspace(side_road.s - 15, side_road.s + 15, 200)
    away = np.abs(s - side_road.s) > side_road.half_width + side_road.radius + 0.5
    for side in (1, -1):
        edge = region.table(region.edge[side], s.astype(np.float32))
        assert region.on_road(region.to_ground(s, edge - 0.05 * side)).all()
        beyond = region.on_road(region.to_ground(s, edge + 0.05 * side))
        others = np.array([abs(r.s - s) > r.half_width + r.radius + 0.5 for r in region.side_roads if r.side == side])
        assert not beyond[others.all(0) if len(others) else slice(None)].any()
        if side == side_road.side:
            assert beyond[np.abs(s - side_road.s) < side_road.half_width - 0.1].all() and away.any()
    assert not region.on_road([[np.nan, np.nan], [5000.0, 0.0]]).any()


@pytest.mark.parametrize("pitch", [0.0, 0.06])
def test_no_road_above_the_horizon(pitch):
    camera = Camera.of_size(414, 125, pitch=pitch)
    for seed in (0, 1):
        frame = SyntheticDrive(seed=seed, camera=camera)[3]
        assert not frame.road[: int(np.ceil(camera.horizon))].any()
        assert frame.road.any()


@pytest.mark.parametrize(
    "camera",
    [
        Camera.of_size(640, 480),
        Camera.of_size(321, 123),
        Camera(width=97, height=230, cx=50.0),
        Camera.of_size(64, 32, pitch=0.6),
        Camera.of_size(64, 32, pitch=-0.6),
    ],
)
def test_any_size_and_view_works(camera):
    frame = SyntheticDrive(seed=1, camera=camera)[0]
    assert frame.image.shape == (camera.height, camera.width, 3) and frame.image.dtype == np.uint8
    assert frame.road.shape == (camera.height, camera.width)
    assert frame.road.any() == (camera.pitch >= 0)


def test_the_ground_moves_by_speed_over_rate():
    camera = Camera.of_size(828, 250)
    drive = bare(SyntheticDrive(seed=10, camera=camera, weather="overcast", scene="urban", speed=10.0, rate=10.0))
    drive.light.noise = 0.0
    before, after = drive[10], drive[12]
    x, y = np.meshgrid(np.linspace(8, 12, 160), np.linspace(-1.5, 1.5, 60))

    def brightness(frame, i, x, y):
        """Brightness in frame i of points given in the ground frame of frame 10, without slow variations."""
        (x0, y0, h0), (x1, y1, h1) = drive.pose(10), drive.pose(i)
        wx, wy = x0 + x * np.cos(h0) - y * np.sin(h0) - x1, y0 + x * np.sin(h0) + y * np.cos(h0) - y1
        points = np.stack([wx * np.cos(h1) + wy * np.sin(h1), -wx * np.sin(h1) + wy * np.cos(h1), 0 * x], -1)
        u, v = np.moveaxis(camera.project(points.reshape(-1, 3)), -1, 0).astype(np.float32)
        grey = cv2.remap(frame.image[..., 1], u[:, None], v[:, None], cv2.INTER_LINEAR).ravel().astype(float)
        return grey - cv2.GaussianBlur(grey.reshape(x.shape), (0, 0), 9).ravel()

    reference = brightness(before, 10, x, y)
    match = {
        shift: np.corrcoef(reference, brightness(after, 12, x + shift, y))[0, 1] for shift in (-1, -0.5, 0, 0.5, 1)
    }
    assert match[0] > 0.9 and match[0] > 0.1 + max(v for k, v in match.items() if k), match
    steps = [np.hypot(*np.subtract(drive.pose(i + 1)[:2], drive.pose(i)[:2])) for i in range(20)]
    np.testing.assert_allclose(steps, 1.0, rtol=0.05)


def test_weathers_differ_in_brightness_and_contrast():
    frames = {w: SyntheticDrive(seed=7, camera=SMALL, weather=w, scene="residential")[0] for w in WEATHERS}
    brightness = {w: f.image.mean() for w, f in frames.items()}
    assert brightness["night"] < 0.6 * brightness["overcast"]
    assert brightness["dusk"] < brightness["overcast"]
    far = {
        w: bare(SyntheticDrive(seed=7, camera=SMALL, weather=w, scene="urban"))[0].image[50:62]
        for w in ("fog", "overcast")
    }
    assert far["fog"].std() < 0.6 * far["overcast"].std()
    for frame in frames.values():  # the ground truth does not depend on the light
        np.testing.assert_array_equal(frame.road, frames["sun"].road)


def test_sequences_end_at_their_length():
    drive = SyntheticDrive(seed=0, frames=3, camera=SMALL)
    assert len(drive) == 3 and len(SyntheticRoad(5)) == 5
    np.testing.assert_array_equal(drive[-1].image, drive[2].image)
    for sequence in (drive, SyntheticRoad(3, camera=SMALL)):
        with pytest.raises(IndexError):
            sequence[3]


@pytest.mark.parametrize("wrong", [{"weather": "hail"}, {"scene": "moon"}, {"rate": 0.0}, {"speed": -1.0}])
def test_invalid_arguments_are_rejected(wrong):
    with pytest.raises(ValueError):
        SyntheticDrive(camera=SMALL, **wrong)
