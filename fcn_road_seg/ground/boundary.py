"""The left and right edges of the road ahead, in metres."""

from dataclasses import dataclass

import numpy as np

from fcn_road_seg.ground.ground_error import GroundError
from fcn_road_seg.ground.tables import GroundTables

Run = tuple[int, int]
"""First and last column of a run of road."""
MAX_MISSING_ROWS = 1
"""Consecutive sampled rows without road that do not end the edges."""


@dataclass(frozen=True)
class Boundary:
    """Edges of the road from near to far.

    Attributes:
        left, right: float32 n x 2, a point per sampled image row: x and y in the ground frame, metres.
        left_seen, right_seen: bool n; False where the road reaches the edge of the view, so that the point is on the
            view's edge and not on the road's.
        rows: intp n, the image rows.
        left_columns, right_columns: intp n, the first and last column of road in each row.
    """

    left: np.ndarray
    right: np.ndarray
    left_seen: np.ndarray
    right_seen: np.ndarray
    rows: np.ndarray
    left_columns: np.ndarray
    right_columns: np.ndarray

    def polygon(self) -> np.ndarray:
        """The outline, float32 2n x 2: counter-clockwise from above, along the right edge and back along the left."""
        return np.concatenate([self.right, self.left[::-1]])


class RoadBoundary:
    """Finds the edges of the road that the vehicle is on.

    It goes through sampled image rows from the nearest up. In each it takes the run of road that overlaps the previous
    run most, until two consecutive rows have none. The first run is the one straight ahead of the ground frame's
    origin, or else the widest.

    Args:
        tables: of the camera and the road plane.
        max_points: of the polygon.
        min_gap: narrower gaps in the road count as road, metres.

    Raises:
        GroundError: an argument is out of range.
    """

    def __init__(self, tables: GroundTables, max_points: int = 128, min_gap: float = 0.3):
        if max_points < 4:
            raise GroundError(f"max_points is {max_points}, but a polygon of two edges needs at least 4")
        if not min_gap >= 0:
            raise GroundError(f"min_gap is {min_gap:g} m, but must not be negative")
        self._check = tables.check
        known = ~np.isnan(tables.xy[..., 0])
        rows = np.flatnonzero(known.any(1))[::-1]
        if len(rows) > max_points // 2:
            rows = rows[np.linspace(0, len(rows) - 1, max_points // 2).round().astype(int)]
        self._rows, self._known = rows, known[rows]
        xy = tables.xy[rows].astype(np.float64)
        # An edge lies between two pixels, half a pixel beside the centre of the outermost pixel of road.
        step = np.zeros_like(xy)
        step[:, 1:] = xy[:, 1:] - xy[:, :-1]
        step[:, 0] = step[:, 1] if xy.shape[1] > 1 else 0
        self._left_edge = (xy - np.nan_to_num(step) / 2).astype(np.float32)
        self._right_edge = (xy + np.nan_to_num(step) / 2).astype(np.float32)
        pixel = np.nanmedian(np.where(self._known, np.hypot(step[..., 0], step[..., 1]), np.nan), axis=1)
        self._gaps = np.maximum(min_gap / np.maximum(pixel, 1e-9), 0).tolist()
        self._ahead = np.nanargmin(np.abs(np.where(self._known, xy[..., 1], np.nan)), axis=1).tolist()

    def __call__(self, mask: np.ndarray, unseen: np.ndarray | None = None) -> Boundary | None:
        """Find the edges in a frame.

        Args:
            mask: uint8 height x width, 0 = not road.
            unseen: bool height x width, pixels of which this frame knows nothing; None if there are none.

        Returns:
            The edges; None if there is no road.

        Raises:
            GroundError: the mask has another size or type.
        """
        self._check(mask)
        known = self._known if unseen is None else self._known & ~unseen[self._rows]
        road = np.zeros((len(self._rows), mask.shape[1] + 2), np.int8)
        np.logical_and(mask[self._rows], known, out=road[:, 1:-1].view(bool))
        change = np.diff(road, axis=1)
        row, first = np.nonzero(change == 1)
        bounds = np.searchsorted(row, np.arange(len(self._rows) + 1)).tolist()
        starts, ends = first.tolist(), (np.nonzero(change == -1)[1] - 1).tolist()
        found: list[tuple[int, int, int]] = []
        previous: Run | None = None
        missing = 0
        for k in range(len(self._rows)):
            runs = _join(starts[bounds[k] : bounds[k + 1]], ends[bounds[k] : bounds[k + 1]], self._gaps[k])
            run = _choose(runs, previous, self._ahead[k])
            if run is not None:
                found.append((k, *run))
                previous, missing = run, 0
            elif previous is not None:
                missing += 1
                if missing > MAX_MISSING_ROWS:
                    break
        if not found:
            return None
        k, left, right = np.array(found).T
        seen_left = np.where(left > 0, known[k, np.maximum(left - 1, 0)], False)
        seen_right = np.where(right < mask.shape[1] - 1, known[k, np.minimum(right + 1, mask.shape[1] - 1)], False)
        return Boundary(
            self._left_edge[k, left], self._right_edge[k, right], seen_left, seen_right, self._rows[k], left, right
        )


def _join(starts: list[int], ends: list[int], gap: float) -> list[Run]:
    """The runs of road in a row; those with less than `gap` columns between them become one."""
    runs: list[Run] = []
    for start, end in zip(starts, ends, strict=True):
        if runs and start - runs[-1][1] - 1 < gap:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return runs


def _choose(runs: list[Run], previous: Run | None, ahead: int) -> Run | None:
    if not runs:
        return None
    if previous is None:
        return max(runs, key=lambda run: (run[0] <= ahead <= run[1], run[1] - run[0]))
    overlap, run = max((min(run[1], previous[1]) - max(run[0], previous[0]), run) for run in runs)
    return run if overlap >= 0 else None
