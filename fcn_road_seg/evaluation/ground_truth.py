"""The exact ground outputs, in metres, that a mask of a synthetic frame should give."""

import numpy as np

from fcn_road_seg.ground import Boundary, GroundTables, RoadBoundary, RoadGrid, RoadScan
from fcn_road_seg.synthetic import SyntheticFrame

STEP = 0.02
"""Metres between the sampled points of a bearing."""
MIN_OBSTACLE = 0.3


class View:
    """The ground outputs of one camera with an assumed calibration."""

    def __init__(self, tables: GroundTables):
        self.tables = tables
        self.grid = RoadGrid(tables)
        self.scan = RoadScan(tables, min_obstacle=MIN_OBSTACLE)
        self.boundary = RoadBoundary(tables, max_points=2 * tables.camera.height)


class GroundTruth:
    """The road around one synthetic camera, and which parts of it cars, people and poles hide.

    Hidden edges, bearings and cells are left out of every comparison: the flat road model does not describe things
    that stand on the road.

    Args:
        frame: has its exact mask and road region.
        exact: the ground outputs of the frame's true camera.
    """

    def __init__(self, frame: SyntheticFrame, exact: View):
        self._region, self._exact, self._tables = frame.road_region, exact, exact.tables
        self._hidden = self._region.on_road(exact.tables.xy) & ~frame.road
        self._boundary = exact.boundary(frame.road.view(np.uint8))

    def edge_errors(self, found: Boundary | None) -> np.ndarray:
        """Rows of (distance ahead, error, pixel's width), metres, one per true edge in an image row.

        The error is the distance from the found point to the true edge; NaN where no point was found in that row.
        """
        true, rows = self._boundary, []
        if true is None:
            return np.empty((0, 3))
        where = {} if found is None else {row: k for k, row in enumerate(found.rows.tolist())}
        match = np.array([where.get(row, -1) for row in true.rows.tolist()])
        sides = (
            (+1, -1, true.left, true.left_seen, true.left_columns, found and (found.left, found.left_seen)),
            (-1, +1, true.right, true.right_seen, true.right_columns, found and (found.right, found.right_seen)),
        )
        for side, beyond, points, seen, columns, answer in sides:
            outer = np.clip(columns + beyond, 0, self._tables.camera.width - 1)
            counted = seen & ~self._hidden[true.rows, outer]
            xy = self._tables.xy[true.rows]
            across = np.hypot(*(xy[np.arange(len(columns)), columns] - xy[np.arange(len(columns)), outer]).T)
            error = np.full(len(points), np.nan)
            if answer:
                answered = (match >= 0) & answer[1][match]
                at = answer[0][match[answered]]
                error[answered] = np.abs(self._region.outside(side, *self._region.to_road(at[:, 0], at[:, 1])))
            rows.append(np.stack([points[:, 0], error, across], -1)[counted])
        return np.concatenate(rows)

    def scan_errors(self, seen: View, ranges: np.ndarray) -> tuple[np.ndarray, int, int]:
        """Rows of (true range, error, pixel's size along the bearing), metres; phantom ranges; free bearings.

        The error is NaN where the scan has no range although the road ends; a phantom is a range on a free bearing.
        """
        scan = seen.scan
        bearings = scan.angle_min + np.arange(len(ranges)) * scan.angle_increment
        reach = np.arange(0.0, self._tables.max_range, STEP)
        points = np.stack([np.cos(bearings), np.sin(bearings)], -1)[:, None] * reach[:, None]
        pixels = self._pixels_of(points)
        visible = pixels >= 0
        off = visible & ~self._region.on_road(points)
        enough = round(MIN_OBSTACLE / STEP)
        count = np.cumsum(np.pad(off | ~visible, ((0, 0), (1, enough)), mode="edge"), axis=1)
        ends = off & (count[:, enough:-1] - count[:, : -enough - 1] == enough)
        finite = ends.any(1)
        first = np.where(finite, ends.argmax(1), len(reach) - 1)
        hidden = visible & self._hidden.reshape(-1)[np.maximum(pixels, 0)]
        # Where the view begins off the road there is no edge to find.
        start = visible.argmax(1)
        counted = visible.any(1) & ~(ends[np.arange(len(first)), start])
        counted &= ~(hidden & (np.arange(len(reach)) <= first[:, None])).any(1)
        free = counted & ~finite
        counted &= finite
        error = np.where(np.isfinite(ranges), np.abs(ranges - reach[first]), np.nan)
        size = self._tables.pixel_size.reshape(-1)[np.maximum(pixels[np.arange(len(first)), first], 0)]
        rows = np.stack([reach[first], error, size], -1)[counted]
        return rows, int((free & np.isfinite(ranges)).sum()), int(free.sum())

    def grid_overlap(self, cells: np.ndarray) -> tuple[int, int]:
        """Numbers of known, visible cells that are road both in the grid and in truth, and in at least one of them."""
        grid = self._exact.grid
        rows, columns = np.indices(grid.shape)
        centres = np.stack([columns + 0.5, rows + 0.5], -1) * grid.resolution + grid.origin
        pixels = self._pixels_of(centres)
        counted = (cells >= 0) & (pixels >= 0) & ~self._hidden.reshape(-1)[np.maximum(pixels, 0)]
        true, found = self._region.on_road(centres), cells == 0
        return int((true & found & counted).sum()), int(((true | found) & counted).sum())

    def _pixels_of(self, points: np.ndarray) -> np.ndarray:
        """`pixel_indices` of points, cached because they are the same for every frame."""
        cache = self._exact.__dict__.setdefault("pixels", {})
        key = (points.shape, points[-1, -1].tobytes(), points[0, -1].tobytes())
        if key not in cache:
            cache[key] = self._tables.pixel_indices(points)
        return cache[key]
