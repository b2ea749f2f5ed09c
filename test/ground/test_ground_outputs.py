"""Points, grid, scan and boundary of roads whose edges are known."""

import math
import struct
from array import array

import numpy as np
import pytest

from fcn_road_seg.ground import (
    FIELDS,
    POINT_STEP,
    CameraModel,
    GroundError,
    GroundPlane,
    GroundTables,
    PointCloud,
    RoadBoundary,
    RoadGrid,
    RoadScan,
)

WIDTH, HEIGHT, FOCAL, CAMERA_HEIGHT = 640, 240, 360.0, 1.5
P = [FOCAL, 0, 319.5, 0, 0, FOCAL, 100.0, 0, 0, 0, 1, 0]
HALF = 3.0
"""Metres from the middle of the road to its edges."""


def make_tables(plane=None, **options) -> GroundTables:
    model = CameraModel.from_camera_info(WIDTH, HEIGHT, [0.0] * 9, [], "", [0.0] * 9, P)
    return GroundTables(model, plane or GroundPlane.from_mounting(CAMERA_HEIGHT), **options)


@pytest.fixture(scope="module")
def tables() -> GroundTables:
    return make_tables()


def draw(tables, *regions) -> np.ndarray:
    """A mask that is 255 where any region (bool of x, y in metres) is true, also below the known pixels."""
    full = make_tables(tables.plane, bottom_margin=0.0, max_range=200.0)
    x, y = np.moveaxis(np.nan_to_num(full.xy, nan=-1e3), -1, 0)
    return np.any([region(x, y) for region in regions], axis=0).view(np.uint8) * np.uint8(255)


def straight(x, y):
    return (np.abs(y) < HALF) & (x > 0)


@pytest.fixture(scope="module")
def road(tables) -> np.ndarray:
    return draw(tables, straight)


def test_the_cloud_matches_its_fields(tables):
    points = tables.optical_points()
    cloud = PointCloud(points)
    generator = np.random.default_rng(0)
    for _ in range(2):  # the second frame replaces the first one's labels
        labels, confidence = generator.integers(0, 256, (2, HEIGHT, WIDTH), dtype=np.uint8)
        data = cloud(labels, confidence)
    assert isinstance(data, array) and data.typecode == "B" and len(data) == HEIGHT * WIDTH * POINT_STEP
    raw = data.tobytes()
    letters = {7: "f", 2: "B"}
    for row, column in ((0, 0), (150, 17), (239, 639), (120, 320)):
        at = (row * WIDTH + column) * POINT_STEP
        values = [struct.unpack_from("<" + letters[kind], raw, at + offset)[0] for _, offset, kind in FIELDS]
        np.testing.assert_array_equal(np.float32(values[:3]), points[row, column])
        assert values[3:] == [labels[row, column], confidence[row, column]]
    assert [name for name, _, _ in FIELDS] == ["x", "y", "z", "label", "confidence"]
    assert np.isnan(points[50]).all() and np.isfinite(points[200]).all()


def test_sensor_msgs_py_reads_the_cloud(tables):
    point_cloud2 = pytest.importorskip("sensor_msgs_py.point_cloud2", reason="sensor_msgs_py is not installed")
    from sensor_msgs.msg import PointCloud2, PointField

    labels = np.arange(HEIGHT * WIDTH, dtype=np.uint32).astype(np.uint8).reshape(HEIGHT, WIDTH)
    cloud = PointCloud(tables.ground_points())
    message = PointCloud2(height=HEIGHT, width=WIDTH, point_step=POINT_STEP, row_step=WIDTH * POINT_STEP)
    message.fields = [PointField(name=n, offset=o, datatype=t, count=1) for n, o, t in FIELDS]
    message.data = cloud(labels, 255 - labels)
    read = point_cloud2.read_points(message).reshape(HEIGHT, WIDTH)  # reshape_organized_cloud swaps the two
    np.testing.assert_array_equal(read["label"], labels)
    np.testing.assert_array_equal(read["confidence"], 255 - labels)
    np.testing.assert_array_equal(read["x"], tables.xy[..., 0])


def test_the_cloud_rejects_other_sizes(tables):
    cloud, mask = PointCloud(tables.ground_points()), np.zeros((HEIGHT, WIDTH), np.uint8)
    with pytest.raises(GroundError, match="confidence must be uint8 of 640x240"):
        cloud(mask, mask[:-1])
    with pytest.raises(GroundError, match="labels must be uint8"):
        cloud(mask.astype(np.int32), mask)


def centres(grid: RoadGrid) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices(grid.shape)
    return grid.origin[0] + (columns + 0.5) * grid.resolution, grid.origin[1] + (rows + 0.5) * grid.resolution


def test_the_grid_is_the_road_from_above(tables, road):
    grid = RoadGrid(tables, max_pixel_size=0.5)
    cells = grid(road)
    assert cells.shape == grid.shape == (200, 400) and cells.dtype == np.int8 and cells.flags.c_contiguous
    assert grid.origin == (0.0, -10.0) and set(np.unique(cells)) == {-1, 0, 100}
    x, y = centres(grid)
    begin = np.nanmin(tables.xy[..., 0])
    pixel = np.hypot(x, y) * x / (FOCAL * CAMERA_HEIGHT)  # the longer side of a pixel on the road
    seen = (x > begin + 0.1) & (pixel < 0.45) & (np.abs(y) < x * 0.85)
    assert (cells[seen & (np.abs(y) < HALF - 0.1)] == 0).all()
    assert (cells[seen & (np.abs(y) > HALF + 0.1)] == 100).all()
    unseen = (x < begin - 0.1) | (np.abs(y) > x * 0.9 + 0.2)
    unseen |= pixel > 0.56
    assert (cells[unseen] == -1).all()


def test_left_is_up_in_the_grid(tables):
    grid = RoadGrid(tables)
    cells = grid(draw(tables, lambda x, y: y > 0.3))
    _, y = centres(grid)
    assert (y[cells == 0] > 0.2).all() and (y[cells == 100] < 0.4).all() and (cells == 0).sum() > 5000


def test_a_cell_is_the_mean_of_its_pixels(tables):
    probability = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    grid = RoadGrid(tables, resolution=0.125, mode="probability")
    cells, means = grid(probability), grid.probability(probability)
    column = np.floor(tables.xy[..., 0] / 0.125)
    row = np.floor((tables.xy[..., 1] + 10) / 0.125)
    several = 0
    for r, c in ((80, 37), (60, 40), (94, 50), (80, 80)):
        inside = (row == r) & (column == c)
        several += inside.sum() > 5
        assert means[r, c] == pytest.approx(probability[inside].mean())
        assert cells[r, c] == round(100 - probability[inside].mean() / 2.55)
    assert several >= 3 and (cells[np.isnan(means)] == -1).all()
    # A far cell without a pixel's centre takes the pixel that sees it.
    x, y = centres(grid)
    empty = np.argwhere((x > 14) & (x < 20) & (np.abs(y) < 3))
    for r, c in empty:
        if not ((row == r) & (column == c)).any():
            u, v = np.rint(tables.pixels([x[r, c], y[r, c]])).astype(int)
            assert means[r, c] == probability[v, u]
            break
    else:
        pytest.fail("every far cell has a pixel of its own")


def test_a_cell_of_many_pixels_averages_an_even_selection(tables):
    grid = RoadGrid(tables, resolution=1.0)
    cell = (np.floor(tables.xy[..., 0]) == 5) & (np.floor(tables.xy[..., 1]) == 1)
    assert cell.sum() > 500
    for index in np.indices((HEIGHT, WIDTH)):  # a ramp down, and one across, over the cell
        probability = np.interp(index, (index[cell].min(), index[cell].max()), (0, 255)).astype(np.uint8)
        assert grid.probability(probability)[11, 5] == pytest.approx(probability[cell].mean(), abs=12)


def test_the_threshold_applies_to_the_mean(tables):
    grid = RoadGrid(tables)
    grey = np.full((HEIGHT, WIDTH), 128, np.uint8)
    known = grid(grey) >= 0
    assert (grid(grey, 0.4)[known] == 0).all() and (grid(grey, 0.6)[known] == 100).all()
    assert (RoadGrid(tables, mode="probability")(grey)[known] == 50).all()


def bearings(scan: RoadScan) -> np.ndarray:
    angles = np.linspace(
        scan.angle_min, scan.angle_max, round((scan.angle_max - scan.angle_min) / scan.angle_increment) + 1
    )
    return angles


def test_the_scan_of_a_straight_road(tables, road):
    scan = RoadScan(tables)
    ranges, angles = scan(road), bearings(scan)
    assert ranges.dtype == np.float32 and ranges.shape == angles.shape
    assert -0.75 < scan.angle_min < -0.7 and 0.7 < scan.angle_max < 0.75 and scan.range_max == 50
    with np.errstate(divide="ignore"):
        true = HALF / np.abs(np.sin(angles))
    start = np.nanmin(tables.xy[..., 0]) / np.cos(angles)
    edge = (true < 30) & (true > start + 0.1)
    assert edge.sum() > 50
    pixel = true**2 / (FOCAL * CAMERA_HEIGHT)
    assert (np.abs(ranges[edge] - true[edge]) < 1.2 * pixel[edge] + 0.01).all()
    assert abs(np.mean((ranges[edge] - true[edge]) / pixel[edge])) < 0.15  # no bias
    assert np.isposinf(ranges[true > 55]).all() and (true > 55).any()
    # If the ground is not road where the view begins, the range is that of the view's beginning.
    beside = true < start - 0.2
    assert beside.any() and np.allclose(ranges[beside], start[beside], atol=0.05)
    finite = ranges[np.isfinite(ranges)]
    assert (finite >= np.float32(scan.range_min)).all() and (finite <= scan.range_max).all()
    nowhere = scan(np.zeros_like(road))
    assert (nowhere >= np.float32(scan.range_min)).all() and nowhere.max() < 7


def test_the_scan_finds_obstacles_and_ignores_specks(tables):
    def obstacle(x, y):
        return straight(x, y) & ~((x > 12) & (x < 14) & (np.abs(y) < 1))

    def speck(x, y):
        return straight(x, y) & ~((x > 6) & (x < 6.2) & (np.abs(y) < 1))

    scan = RoadScan(tables, min_obstacle=0.3)
    ahead = np.abs(bearings(scan)) < 0.05
    assert np.allclose(scan(draw(tables, obstacle))[ahead], 12, atol=0.35)
    assert np.isposinf(scan(draw(tables, speck))[ahead]).all()
    assert np.allclose(RoadScan(tables, min_obstacle=0.1)(draw(tables, speck))[ahead], 6, atol=0.1)


def test_a_single_far_pixel_row_is_not_an_obstacle(tables, road):
    scan = RoadScan(tables)
    row = int(np.rint(tables.pixels([30.0, 0.0])[1]))
    mask = road.copy()
    mask[row] = 0
    assert np.isposinf(scan(mask)[np.abs(bearings(scan)) < 0.05]).all()


def test_a_mask_that_ends_above_the_image_is_not_an_obstacle_at_the_bumper(tables, road):
    """KITTI's labels, and networks trained on them, omit the lowest 1.6 % of the image."""
    cut = road.copy()
    cut[-4:] = 0
    scan, grid, boundary = RoadScan(tables), RoadGrid(tables), RoadBoundary(tables)
    np.testing.assert_array_equal(scan(cut), scan(road))
    np.testing.assert_array_equal(grid(cut), grid(road))
    np.testing.assert_array_equal(boundary(cut).polygon(), boundary(road).polygon())
    raw = RoadScan(make_tables(bottom_margin=0.0), min_obstacle=0.05)
    assert (raw(cut)[np.abs(bearings(raw)) < 0.05] < 4).all()


def test_bearings_without_a_view_are_nan(road):
    tables = make_tables()
    tables.xy[:, 300:340] = np.nan
    scan = RoadScan(tables)
    ranges, angles = scan(road), bearings(scan)
    assert np.isnan(ranges[np.abs(angles) < 0.04]).all() and not np.isnan(ranges[np.abs(angles) > 0.07]).any()


def test_the_scan_finds_an_obstacle_at_the_end_of_the_view():
    """It may continue beyond the view although too little of it is visible to distinguish it from a speck."""
    tables = make_tables()
    tables.xy[(tables.xy[..., 0] > 12) & (tables.xy[..., 1] > 0)] = np.nan
    mask = draw(tables, lambda x, y: straight(x, y) & (x < 11.8))
    mask[0, 0] = 255  # an unrelated pixel changes nothing
    scan = RoadScan(tables, min_obstacle=1.0)
    left = (bearings(scan) > 0.02) & (bearings(scan) < 0.2)
    assert np.allclose(scan(mask)[left] * np.cos(bearings(scan)[left]), 11.8, atol=0.35)


def test_outputs_in_a_ground_frame_behind_and_beside_the_camera():
    """Ranges, cells and edges are in the ground frame, wherever the camera is."""
    mounting = GroundPlane.from_mounting(CAMERA_HEIGHT)
    matrix = np.column_stack([mounting.rotation, (1.5, 0.5, CAMERA_HEIGHT)])
    tables = make_tables(GroundPlane.from_transform(matrix))
    mask = draw(tables, lambda x, y: straight(x, y) & (x < 15))
    scan = RoadScan(tables)
    ahead = np.abs(bearings(scan)) < 0.05
    assert np.allclose(scan(mask)[ahead] * np.cos(bearings(scan)[ahead]), 15, atol=0.3)
    edges = RoadBoundary(tables)(mask)
    near = edges.left_seen & edges.right_seen & (edges.left[:, 0] < 12)
    assert np.abs(edges.left[near, 1] - HALF).max() < 0.03 and np.abs(edges.right[near, 1] + HALF).max() < 0.03


def test_a_camera_that_looks_backwards():
    mounting = GroundPlane.from_mounting(CAMERA_HEIGHT)
    turn = np.diag([-1.0, -1.0, 1.0])
    tables = make_tables(GroundPlane.from_transform(np.column_stack([turn @ mounting.rotation, (0, 0, CAMERA_HEIGHT)])))
    scan = RoadScan(tables)
    assert scan.angle_max - scan.angle_min < 1.5 and abs(abs(scan.angle_max + scan.angle_min) / 2 - math.pi) < 0.02
    mask = draw(tables, lambda x, y: (np.abs(y) < HALF) & (x > -12) & (x < 0))
    middle = np.abs(bearings(scan) - (scan.angle_min + scan.angle_max) / 2) < 0.05
    assert np.allclose(scan(mask)[middle], 12, atol=0.3)
    with pytest.raises(GroundError, match="sees nothing of the 40 x 20 m"):
        RoadGrid(tables)


def test_the_boundary_has_both_edges_counter_clockwise(tables, road):
    edges = RoadBoundary(tables, max_points=60)(road)
    polygon = edges.polygon()
    assert polygon.dtype == np.float32 and polygon.shape[1] == 2 and 40 <= len(polygon) <= 60
    x, y = polygon.T.astype(np.float64)
    assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0
    assert (np.diff(edges.left[:, 0]) > 0).all() and edges.left[0, 0] < 4.5 and edges.left[-1, 0] > 35
    pixel = edges.left[:, 0] / FOCAL
    for points, seen, side in ((edges.left, edges.left_seen, HALF), (edges.right, edges.right_seen, -HALF)):
        assert seen.all() and (np.abs(points[:, 1] - side) <= 0.51 * pixel + 1e-4).all()


def test_the_boundary_ignores_other_roads_and_specks(tables, road):
    """A parallel road and a speck do not change it; at the arm of a junction, the edges are not seen."""
    boundary = RoadBoundary(tables)
    parallel = draw(tables, straight, lambda x, y: (y > 4) & (y < 9))
    np.testing.assert_array_equal(boundary(parallel).polygon(), boundary(road).polygon())
    speck = draw(tables, lambda x, y: straight(x, y) & ~((np.abs(y - 1) < 0.1) & (x < 12)))
    np.testing.assert_array_equal(boundary(speck).polygon(), boundary(road).polygon())
    arm = boundary(draw(tables, straight, lambda x, y: (x > 5) & (x < 8)))
    beside = (arm.left[:, 0] > 5.1) & (arm.left[:, 0] < 7.9)
    assert beside.any() and not arm.left_seen[beside].any() and not arm.right_seen[beside].any()
    assert arm.left_seen[arm.left[:, 0] > 8.2].all()


def test_the_boundary_ends_with_the_road(tables, road):
    edges = RoadBoundary(tables)(draw(tables, lambda x, y: straight(x, y) & (x < 10)))
    assert 9 < edges.left[-1, 0] <= 10.1
    elsewhere = draw(tables, lambda x, y: straight(x, y) & (x < 10), lambda x, y: (y > 5) & (x > 10.1))
    np.testing.assert_array_equal(RoadBoundary(tables)(elsewhere).polygon(), edges.polygon())
    assert RoadBoundary(tables)(np.zeros_like(road)) is None


def test_the_boundary_begins_with_the_road_ahead(tables):
    """A wider road beside it does not change the boundary."""
    boundary = RoadBoundary(tables)
    path = draw(tables, lambda x, y: np.abs(y) < 0.7)
    both = draw(tables, lambda x, y: np.abs(y) < 0.7, lambda x, y: (y > 1.2) & (y < 6))
    np.testing.assert_array_equal(boundary(both).polygon(), boundary(path).polygon())


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda t: RoadGrid(t, resolution=0), "resolution is 0 m"),
        (lambda t: RoadGrid(t, length=math.nan), "length is nan m"),
        (lambda t: RoadGrid(t, mode="colour"), "choose from binary, probability"),
        (lambda t: RoadGrid(t, max_pixel_size=-1), "max_pixel_size is -1"),
        (lambda t: RoadGrid(t, resolution=0.001), "too large"),
        (lambda t: RoadScan(t, angle_increment=0), "in radians"),
        (lambda t: RoadScan(t, angle_increment=1e-4), "take too long for every frame: set at least 0.0"),
        (lambda t: RoadScan(t, min_obstacle=-1), "min_obstacle is -1"),
        (lambda t: RoadBoundary(t, max_points=2), "max_points is 2"),
        (lambda t: RoadBoundary(t, min_gap=-1), "min_gap is -1"),
        (lambda t: RoadGrid(t)(np.zeros((10, 10), np.uint8)), "of shape"),
        (lambda t: RoadScan(t)(np.zeros((HEIGHT, WIDTH), bool)), "bool"),
        (lambda t: RoadBoundary(t)(np.zeros((HEIGHT, WIDTH, 1), np.uint8)), "of shape"),
    ],
)
def test_invalid_arguments_raise_one_sentence(tables, make, text):
    with pytest.raises(GroundError, match="^[^\n]+$") as error:
        make(tables)
    assert text in str(error.value)


def test_the_advised_angle_increment_is_accepted(tables):
    with pytest.raises(GroundError) as error:
        RoadScan(tables, angle_increment=1e-4)
    advised = float(str(error.value).rpartition(" ")[2])
    scan = RoadScan(tables, angle_increment=advised)
    assert 0.9e6 < scan._pixels.size <= 1e6


def test_a_scan_whose_bearings_all_miss_the_road_is_refused():
    hidden = np.full((HEIGHT, WIDTH), 255, np.uint8)
    hidden[200, [100, 540]] = 0  # the only bearing lies between them
    with pytest.raises(GroundError, match="no bearing of the scan sees the road"):
        RoadScan(make_tables(hidden=hidden), angle_increment=1)


def test_the_vehicle_itself_is_unknown(road):
    """A bonnet that hides what is nearer than 8 m, and a mast that hides a sector."""
    tables, hidden = make_tables(), np.zeros((HEIGHT, WIDTH), np.uint8)
    hidden[(tables.xy[..., 0] < 8) | np.isnan(tables.xy[..., 0])] = 255
    hidden[:, 200:230] = 255
    known = make_tables(hidden=hidden)
    assert np.isnan(known.xy[hidden != 0]).all() and np.isnan(known.optical_points()[hidden != 0]).all()
    np.testing.assert_array_equal(known.xy[hidden == 0], tables.xy[hidden == 0])

    nothing = road & ~hidden  # what the segmenter gives: never road there
    cells, grid = RoadGrid(known)(nothing), RoadGrid(tables)
    x, _ = centres(grid)
    assert (cells[x < 7.8] == -1).all() and (grid(road)[x < 7.8] >= 0).any()
    assert set(np.unique(cells[(x > 8.2) & (grid(road) == 0)])) == {-1, 0}  # no free cell becomes an obstacle

    scan = RoadScan(known)
    ranges, angles = scan(nothing), bearings(scan)
    behind = (angles > np.arctan((319.5 - 228) / FOCAL)) & (angles < np.arctan((319.5 - 202) / FOCAL))
    assert behind.any() and np.isnan(ranges[behind]).all()
    ahead = np.abs(angles) < 0.05
    assert np.isposinf(ranges[ahead]).all() and scan.range_min > 7.9
    edges = RoadBoundary(known)(nothing)
    assert edges.left[0, 0] >= 8
    with pytest.raises(GroundError, match="the own-vehicle mask covers all of the road"):
        make_tables(hidden=np.full((HEIGHT, WIDTH), 255, np.uint8))
