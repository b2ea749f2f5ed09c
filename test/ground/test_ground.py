"""Pixels <-> metres: cameras as CameraInfo describes them, the road plane, and the tables between them."""

import math

import cv2
import numpy as np
import pytest

from fcn_road_seg.ground import CameraModel, GroundError, GroundPlane, GroundTables
from fcn_road_seg.synthetic import Camera

WIDTH, HEIGHT, FOCAL, CX, CY = 320, 240, 200.0, 158.3, 101.7
K = [FOCAL, 0, CX, 0, FOCAL, CY, 0, 0, 1]
P = [FOCAL, 0, CX, 0, 0, FOCAL, CY, 0, 0, 0, 1, 0]
PLUMB_BOB = [-0.32, 0.12, 0.001, -0.0015, -0.02]
RATIONAL = [0.4, -0.2, 0.001, 0.0005, 0.01, 0.7, -0.1, 0.02]
EQUIDISTANT = [0.02, -0.01, 0.004, -0.001]


def camera(**changes) -> CameraModel:
    values = {"width": WIDTH, "height": HEIGHT, "k": K, "d": [0.0] * 5, "distortion_model": "plumb_bob"}
    return CameraModel.from_camera_info(**{**values, "r": np.eye(3), "p": P, **changes})


def projection(focal, column=CX, row=CY, focal_y=None, shift=0.0) -> list[float]:
    """P of a camera."""
    return [focal, 0, column, shift, 0, focal_y or focal, row, 0, 0, 0, 1, 0]


FISHEYE = {"distortion_model": "equidistant", "d": EQUIDISTANT}
K_OF_FISHEYE = [70.0, 0, CX, 0, 70.0, CY, 0, 0, 1]
"""196 degrees from top to bottom, more from side to side."""


def tables(model=None, plane=None, **options) -> GroundTables:
    return GroundTables(model or camera(), plane or GroundPlane.from_mounting(1.2, 0.1), **options)


def known_pixels(table: GroundTables) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of every pixel that sees the road, and its point there."""
    rows, columns = np.nonzero(~np.isnan(table.xy[..., 0]))
    return np.stack([columns, rows], -1), table.xy[rows, columns]


@pytest.mark.parametrize("pitch", [0.0, 0.07, -0.03])
def test_tables_match_the_geometry_of_the_synthetic_scenes(pitch):
    scene = Camera(pitch=pitch)
    k = [scene.fx, 0, scene.cx, 0, scene.fy, scene.cy, 0, 0, 1]
    p = np.column_stack([np.reshape(k, (3, 3)), np.zeros(3)])
    model = CameraModel.from_camera_info(scene.width, scene.height, k, [], "", np.eye(3), p)
    table = GroundTables(model, GroundPlane.from_mounting(scene.camera_height, pitch), 60.0, bottom_margin=0.0)
    true = scene.ground_points()
    known = np.hypot(true[..., 0], true[..., 1]) <= 60
    np.testing.assert_array_equal(~np.isnan(table.xy[..., 0]), known)
    np.testing.assert_allclose(table.xy[known], true[known], rtol=1e-5, atol=1e-4)
    points = np.column_stack([true[known][:9999], np.zeros(9999)])
    np.testing.assert_allclose(table.pixels(true[known][:9999]), scene.project(points), atol=1e-3)


@pytest.mark.parametrize(
    "model",
    [camera(), camera(d=PLUMB_BOB, rectified=False), camera(**FISHEYE, k=K_OF_FISHEYE, rectified=False)],
    ids=["pinhole", "plumb_bob", "fisheye"],
)
def test_road_points_are_the_tables_and_go_on_where_those_are_unknown(model):
    hidden = np.zeros((HEIGHT, WIDTH), np.uint8)
    hidden[200:210] = 255
    pixels, xy = known_pixels(tables(model, bottom_margin=0.0))
    table = tables(model, hidden=hidden, bottom_margin=0.2)
    points = table.road_points(pixels.astype(float))
    np.testing.assert_allclose(points[:, :2], xy, rtol=1e-4, atol=1e-3)
    assert (points[:, 2] == 0).all() and np.isnan(table.xy[HEIGHT - 1]).all()
    between = table.road_points(np.array([[CX, 180.25], [CX, 180.75], [CX, 0], [CX, 60]]))
    assert between[0, 0] > between[1, 0] > 0 and np.isnan(between[2:]).all()
    assert table.road_points(np.empty((0, 2))).shape == (0, 3)


def test_nothing_is_known_above_the_horizon_beyond_the_range_or_in_the_margin():
    table = tables(max_range=12.0, bottom_margin=0.05)
    known = ~np.isnan(table.xy[..., 0])
    horizon = CY - FOCAL * math.tan(0.1)
    assert not known[: math.ceil(horizon)].any() and not known[-12:].any() and known[-13].any()
    assert 11.5 < np.hypot(*table.xy[known].T).max() <= 12
    np.testing.assert_array_equal(np.isnan(table.pixel_size), ~known)
    assert np.isnan(table.pixels([[20.0, 0.0], [-3.0, 0.0], [3.0, 30.0]])).all()
    assert (table.pixel_indices([[20.0, 0.0]]) == -1).all()


def test_signs_of_pitch_and_roll():
    """REP-103: about y (left) a positive turn looks down; about x (forward) it leans to the right."""
    for pitch, roll in ((0.3, 0.0), (0.3, 0.4), (0.0, 0.4)):
        axis = GroundPlane.from_mounting(1.0, pitch, roll).rotation[:, 2]
        np.testing.assert_allclose(axis, (math.cos(pitch), 0, -math.sin(pitch)), atol=1e-12)
    known = ~np.isnan(tables(plane=GroundPlane.from_mounting(1.2, 0.1, 0.2)).xy[..., 0])
    first = known.argmax(0)
    assert first[-1] < first[WIDTH // 2] < first[0]


def test_a_tf_quaternion_gives_the_same_plane_as_the_mounting():
    half = 0.1 / 2
    more, less = (math.cos(half) + math.sin(half)) / 2, (math.cos(half) - math.sin(half)) / 2
    plane = GroundPlane.from_quaternion((0, 0, 1.2), (-more, more, -less, less))
    np.testing.assert_allclose(plane.rotation, GroundPlane.from_mounting(1.2, 0.1).rotation, atol=1e-12)


def test_tf_moves_the_points_and_ground_z_moves_the_road():
    mounting = GroundPlane.from_mounting(1.2, 0.1)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = mounting.rotation, (1.5, -0.3, 0.9)
    base, moved = tables(), tables(plane=GroundPlane.from_transform(matrix, z=-0.3))
    np.testing.assert_allclose(moved.xy, base.xy + np.float32([1.5, -0.3]), atol=1e-4)
    np.testing.assert_allclose(moved.optical_points(), base.optical_points(), atol=1e-4)
    assert np.nanmax(np.abs(moved.ground_points()[..., 2] + 0.3)) < 1e-6


def test_the_right_camera_of_a_stereo_pair_has_its_own_origin():
    """CameraInfo: Tx = -fx * baseline puts the optical centre to the right of the frame's origin."""
    right = camera(p=[FOCAL, 0, CX, -FOCAL * 0.5, 0, FOCAL, CY, 0, 0, 0, 1, 0])
    np.testing.assert_allclose(tables(right).xy, tables().xy + np.float32([0, -0.5]), atol=1e-4)
    table = tables(right)
    pixels, points = known_pixels(table)
    np.testing.assert_allclose(table.pixels(points), pixels, atol=1e-2)


@pytest.mark.parametrize(
    "model, coefficients",
    [("plumb_bob", PLUMB_BOB), ("plumb_bob", PLUMB_BOB[:4]), ("rational_polynomial", RATIONAL)]
    + [("equidistant", EQUIDISTANT)],
)
def test_a_round_trip_through_the_distortion(model, coefficients):
    table = tables(camera(d=coefficients, distortion_model=model, rectified=False))
    pixels, points = known_pixels(table)
    assert len(pixels) > 0.4 * WIDTH * HEIGHT and (np.abs(table.xy - tables().xy)[200:235] > 0.01).any()
    assert np.abs(table.pixels(points) - pixels).max() < 0.1
    # OpenCV projects the published points to the same pixels.
    optical = table.optical_points()[pixels[:, 1], pixels[:, 0]].astype(np.float64)[:, None]
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    seen = project(optical, np.zeros(3), np.zeros(3), np.reshape(K, (3, 3)), np.array(coefficients))[0]
    assert np.abs(seen.reshape(-1, 2) - pixels).max() < 0.1


@pytest.mark.parametrize("model, coefficients", [("plumb_bob", PLUMB_BOB), ("equidistant", EQUIDISTANT)])
def test_an_empty_array_of_points_projects_to_an_empty_array(model, coefficients):
    distorted = camera(d=coefficients, distortion_model=model, rectified=False)
    assert distorted.project(np.empty((0, 3))).shape == (0, 2)


def test_a_polynomial_that_folds_back_does_not_show_points_twice():
    """With strong barrel distortion, the polynomial projects points far to the side into the image again."""
    wide = camera(d=[-0.3, 0, 0, 0], rectified=False)
    table = tables(wide, GroundPlane.from_mounting(1.2, 0.5))
    x, y = np.meshgrid(np.arange(0.5, 12, 0.1), np.arange(-12, 12, 0.1))
    xy = np.stack([x, y], -1)
    body = np.concatenate([xy, np.zeros((*x.shape, 1))], -1)
    raw = wide.project(table.plane.to_optical(body))
    inside = ((raw >= 0) & (raw < (WIDTH, HEIGHT))).all(-1)
    pixels = table.pixels(xy)
    index = table.pixel_indices(xy)
    known = index >= 0
    assert (inside & ~known).sum() > 100
    miss = np.hypot(*np.moveaxis(table.xy.reshape(-1, 2)[index[known]] - xy[known], -1, 0))
    assert (miss <= 1.5 * table.pixel_size.reshape(-1)[index[known]]).all()
    assert not np.isnan(pixels[known]).any()


def test_rectification_turns_raw_rays():
    turn = cv2.Rodrigues(np.array([0.05, 0.0, 0.0]))[0]
    raw = tables(camera(r=turn, rectified=False), GroundPlane.from_mounting(1.2, 0.1))
    axis = camera(r=turn, rectified=False).rays()[102, 158]
    np.testing.assert_allclose(
        axis / axis[2], (turn @ [-0.0015, 0.0015, 1]) / (turn @ [-0.0015, 0.0015, 1])[2], atol=1e-9
    )
    pixels, points = known_pixels(raw)
    assert np.abs(raw.pixels(points) - pixels).max() < 0.01


def test_binning_and_region_of_interest_move_the_intrinsics():
    part = camera(binning=(2, 2), roi=(40, 20, 240, 200), image_size=(120, 100))
    np.testing.assert_allclose(part.intrinsics, [[100, 0, (CX - 40) / 2], [0, 100, (CY - 20) / 2], [0, 0, 1]])
    full = tables(bottom_margin=0.0).xy[20:220:2, 40:280:2]
    np.testing.assert_allclose(tables(part, bottom_margin=0.0).xy, full, rtol=1e-5)


def test_the_pixel_size_follows_the_formula():
    """A level pinhole camera: (x^2 + h^2) / (f h) along the road; finite differences of the table elsewhere."""
    level = tables(plane=GroundPlane.from_mounting(1.2), max_range=30)
    column, row = 158, 140
    x = level.xy[row, column, 0]
    assert level.pixel_size[row, column] == pytest.approx(x**2 / (FOCAL * 1.2), rel=1e-3)
    tilted = tables(plane=GroundPlane.from_mounting(1.2, 0.2, 0.1), max_range=30)
    down = np.hypot(*np.moveaxis(tilted.xy[180:229:2] - tilted.xy[178:227:2], -1, 0)) / 2
    across = np.hypot(*np.moveaxis(tilted.xy[179:228:2, 2:] - tilted.xy[179:228:2, :-2], -1, 0)) / 2
    np.testing.assert_allclose(tilted.pixel_size[179:228:2, 1:-1], np.maximum(down[:, 1:-1], across), rtol=2e-3)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"image_size": (640, 480)}, "for images of 320x240, but the image has 640x480"),
        ({"binning": (2, 2), "image_size": (320, 240)}, "for images of 160x120"),
        ({"p": [0.0] * 12}, "P is all zero"),
        ({"k": [0.0] * 9, "rectified": False}, "K is all zero"),
        ({"p": [0, 0, CX, 0, 0, FOCAL, CY, 0, 0, 0, 1, 0]}, "focal lengths in P are 0"),
        ({"k": [FOCAL, 0, CX, 0, -FOCAL, CY, 0, 0, 1], "rectified": False}, "focal lengths in K"),
        ({"p": [*P[:10], math.nan, 0]}, "P contains a number that is not finite"),
        ({"d": [math.inf] * 5}, "D contains a number that is not finite"),
        ({"k": [1.0] * 8}, "K has 8 numbers, but must have 9"),
        ({"d": [0.1] * 3, "rectified": False}, "D has 3 numbers, but plumb_bob has 4 or 5"),
        ({"d": [0.1] * 4, "distortion_model": "ocam", "rectified": False}, "'ocam'"),
        ({"r": np.ones((3, 3)), "rectified": False}, "R is not a rotation"),
        ({"r": [0, 0, 1, 0, 1, 0, -1, 0, 0], "rectified": False}, "R turns the camera by 90 degrees"),
        ({"r": np.diag([-1, -1, 1]), "rectified": False}, "R turns the camera by 180 degrees"),
        ({"p": [FOCAL, 0, CX, 0, 0, FOCAL, CY, 0, 0, 0, 0, 0]}, "not a camera matrix"),
        ({"width": 0, "height": 0}, "images of 0x0: the driver left the size out"),
        ({"roi": (100, 0, 240, 240)}, "roi, 240x240 at 100, 0, is not within its sensor of 320x240"),
        ({"roi": (0, 10, 0, 0)}, "is not within its sensor"),
        ({"p": np.eye(3, 4)}, "P is impossible for 320x240 pixels: the principal point is at column 0, not 32 to 288"),
        ({"p": projection(1.0)}, "the focal length 1 means a field of view of 179.3 x 179 degrees, not 10 to 170"),
        ({"p": projection(0.58, 0.5, 0.5)}, "P is impossible for 320x240 pixels"),
        ({"p": projection(1e-3)}, "a field of view of 180 x 180 degrees"),
        ({"p": projection(1e9)}, "a field of view of 1.833e-05 x 1.375e-05 degrees, not 10 to 170"),
        ({"p": projection(FOCAL, CX, CY, FOCAL * 5)}, "no lens has the focal lengths 200 and 1000"),
        ({"p": [FOCAL, 50, CX, 0, 0, FOCAL, CY, 0, 0, 0, 1, 0]}, "no lens has the skew 50"),
        ({"p": projection(FOCAL, 2 * CX, 2 * CY)}, "the principal point is at column 316.6, not 32 to 288"),
        ({"p": projection(FOCAL, CX, -121)}, "the principal point is at row -121, not -120 to 360"),
        ({"p": projection(FOCAL, CX, CY, shift=-FOCAL * 11)}, "puts the optical centre 11 m from the optical frame"),
        ({"k": np.eye(3), "p": [0.0] * 12, "rectified": False}, "K is impossible"),
        ({"d": [1e6, 0, 0, 0, 0], "rectified": False}, "D cannot be that of a lens: the rays spread only"),
        ({"d": [1e-3, 1e5, 0, 0, 0], "rectified": False}, "D cannot be that of a lens"),
        ({"d": [-5.0, 0, 0, 0, 0], "rectified": False}, "% of the pixels have a ray"),
        ({"d": [0, 0, 3.0, 3.0, 0], "rectified": False}, "% of the pixels have a ray"),
        ({**FISHEYE, "d": [1e5, 0, 0, 0], "rectified": False}, "D cannot be that of a lens"),
        ({"p": np.ones((3, 4)), "rectified": False}, "P is not a camera matrix"),
        (
            {"k": [60.0, 0, CX, 0, 60, CY, 0, 0, 1], **FISHEYE, "rectified": False},
            "305.6 x 229.2 degrees, not 10 to 200",
        ),
    ],
)
def test_an_unusable_calibration_raises_one_sentence(changes, message):
    with pytest.raises(GroundError, match="^[^\n]+$") as error:
        camera(**changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"p": projection(1800.0)},  # 10.2 degrees
        {"p": projection(16.0)},  # 168.6
        {"p": projection(FOCAL, 32, -120)},
        {"p": projection(FOCAL, 288, 360)},
        {"p": projection(FOCAL, focal_y=FOCAL * 4)},
        {"p": projection(FOCAL, shift=-FOCAL * 10)},
        {"p": projection(FOCAL), "roi": (300, 230, 20, 10), "image_size": (20, 10)},  # the lens is the sensor's
        {"k": K_OF_FISHEYE, **FISHEYE, "rectified": False},
        {"k": K, "p": [0.0] * 12, "rectified": False},
    ],
)
def test_unusual_cameras_are_possible(changes):
    camera(**changes)


@pytest.mark.parametrize(
    "changes, advice",
    [
        ({"p": [0.0] * 12}, "its K is good, so set rectified to false if the images are raw"),
        ({"p": np.eye(3, 4)}, "its K is good, so set rectified to false"),
        ({"k": [0.0] * 9, "rectified": False}, "its P is good, so set rectified to true if the images are rectified"),
    ],
)
def test_a_good_matrix_of_the_other_kind_of_images_is_pointed_out(changes, advice):
    with pytest.raises(GroundError) as error:
        camera(**changes)
    assert advice in str(error.value)
    with pytest.raises(GroundError) as error:
        camera(k=[0.0] * 9, p=[0.0] * 12)
    assert "good" not in str(error.value)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GroundPlane.from_mounting(-1.0), "camera_height is -1 m"),
        (lambda: GroundPlane.from_mounting(math.nan), "camera_height is nan"),
        (lambda: GroundPlane.from_mounting(1.0, pitch=3.0), "in radians"),
        (lambda: GroundPlane.from_mounting(1.0, roll=math.inf), "in radians"),
        (lambda: GroundPlane.from_transform(np.full((4, 4), math.nan)), "finite"),
        (lambda: GroundPlane.from_transform(np.zeros((4, 4))), "is not a rotation"),
        (lambda: GroundPlane.from_transform(np.eye(4)), "0.00 m above the road"),
        (lambda: GroundPlane.from_quaternion((0, 0, 1), (0, 0, 0, 0)), "length 0, not 1"),
        (lambda: GroundPlane.from_quaternion((0, 0, 1), (0, 0, 0, 2)), "length 2, not 1"),
        (lambda: GroundPlane.from_quaternion((0, 0, 1), (math.nan, 0, 0, 1)), "length nan, not 1"),
        (lambda: tables(plane=GroundPlane.from_mounting(165.0, 0.1)), "165 m above the road, but must be 0.05 to 10 m"),
        (lambda: tables(plane=GroundPlane.from_mounting(0.04, 0.1)), "0.04 m above the road"),
        (lambda: tables(plane=GroundPlane.from_mounting(0.5), max_camera_height=0.4), "but must be 0.05 to 0.4 m"),
        (lambda: tables(max_range=0.0), "max_range is 0 m"),
        (lambda: tables(bottom_margin=0.9), "bottom_margin is 0.9"),
        (lambda: tables(plane=GroundPlane.from_mounting(1.2, -1.2)), "no pixel sees the road"),
        (lambda: tables().check(np.zeros((10, 10), np.uint8)), "uint8 masks of 320x240"),
    ],
)
def test_an_unusable_plane_raises_one_sentence(make, message):
    with pytest.raises(GroundError, match="^[^\n]+$") as error:
        make()
    assert message in str(error.value)
