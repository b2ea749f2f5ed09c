"""The left and right edge of the road ahead, in metres."""

from dataclasses import dataclass

import numpy as np

from fcn_road_seg.ground.camera_model import GroundError
from fcn_road_seg.ground.tables import GroundTables

MAX_MISSING_ROWS = 1
"""Rows without road, of those that are looked at, that do not end the edges."""


@dataclass(frozen=True)
class Boundary:
    """Edges of the road from near to far, float32 n x 2 each: x and y in the ground frame, metres.

    Attributes:
        left, right: a point per image row that was looked at.
        left_seen, right_seen: bool n; False where the road goes on to the edge of the view, so that the point is the
            view's edge and not the road's.
        rows: intp n, the image rows.
        left_columns, right_columns: intp n, the first and last column of road.
    """

    left: np.ndarray
    right: np.ndarray
    left_seen: np.ndarray
    right_seen: np.ndarray
    rows: np.ndarray
    left_columns: np.ndarray
    right_columns: np.ndarray

    def polygon(self) -> np.ndarray:
        """Float32 2 n x 2, counter-clockwise seen from above: along the right edge, back along the left one."""
        return np.concatenate([self.right, self.left[::-1]])


class RoadBoundary:
    """Mask -> the edges of the road that the vehicle is on.

    In each of a number of image rows, from the nearest up, it takes the run of road that overlaps the previous one
    most, until two rows in turn have none. The first is the run straight ahead of the ground frame's origin, or the
    widest.

    Args:
        max_points: of the polygon.
        min_gap: metres across; what is not road for less is a speck and counts as road.

    Raises:
        GroundError: an argument out of its range.
    """

    def __init__(self, tables: GroundTables, max_points: int = 128, min_gap: float = 0.3):
        if max_points < 4:
            raise GroundError(f"max_points is {max_points}, but a polygon of two edges has at least 4")
        if not min_gap >= 0:
            raise GroundError(f"min_gap is {min_gap:g} m, but must not be negative")
        self._check = tables.check
        known = ~np.isnan(tables.xy[..., 0])
        rows = np.flatnonzero(known.any(1))[::-1]
        if len(rows) > max_points // 2:
            rows = rows[np.linspace(0, len(rows) - 1, max_points // 2).round().astype(int)]
        self._rows, self._known = rows, known[rows]
        xy = tables.xy[rows].astype(np.float64)
        # An edge lies between two pixels: half a pixel to the left of column c is (c - 1 + c) / 2.
        step = np.zeros_like(xy)
        step[:, 1:] = xy[:, 1:] - xy[:, :-1]
        step[:, 0] = step[:, 1] if xy.shape[1] > 1 else 0
        self._left_edge = (xy - np.nan_to_num(step) / 2).astype(np.float32)
        self._right_edge = (xy + np.nan_to_num(step) / 2).astype(np.float32)
        pixel = np.nanmedian(np.where(self._known, np.hypot(step[..., 0], step[..., 1]), np.nan), axis=1)
        self._gaps = np.maximum(min_gap / np.maximum(pixel, 1e-9), 0).tolist()
        self._ahead = np.nanargmin(np.abs(np.where(self._known, xy[..., 1], np.nan)), axis=1).tolist()

    def __call__(self, mask: np.ndarray) -> Boundary | None:
        """The edges in a frame; None if there is no road.

        Args:
            mask: uint8 height x width, not 0 is road.

        Raises:
            GroundError: the frame has another size or type.
        """
        self._check(mask)
        road = np.zeros((len(self._rows), mask.shape[1] + 2), np.int8)
        np.logical_and(mask[self._rows], self._known, out=road[:, 1:-1].view(bool))
        change = np.diff(road, axis=1)
        row, starts = np.nonzero(change == 1)
        ends = np.nonzero(change == -1)[1] - 1
        bounds = np.searchsorted(row, np.arange(len(self._rows) + 1)).tolist()
        starts, ends = starts.tolist(), ends.tolist()
        found, previous, missing = [], None, 0
        for k in range(len(self._rows)):
            runs = _joined(starts[bounds[k] : bounds[k + 1]], ends[bounds[k] : bounds[k + 1]], self._gaps[k])
            run = _chosen(runs, previous, self._ahead[k])
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
        seen_left = np.where(left > 0, self._known[k, np.maximum(left - 1, 0)], False)
        seen_right = np.where(
            right < mask.shape[1] - 1, self._known[k, np.minimum(right + 1, mask.shape[1] - 1)], False
        )
        return Boundary(
            self._left_edge[k, left], self._right_edge[k, right], seen_left, seen_right, self._rows[k], left, right
        )


def _joined(starts: list[int], ends: list[int], gap: float) -> list[tuple[int, int]]:
    """Runs of columns, first and last; those with less than `gap` columns between them become one."""
    runs = []
    for start, end in zip(starts, ends, strict=True):
        if runs and start - runs[-1][1] - 1 < gap:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return runs


def _chosen(runs: list[tuple[int, int]], previous: tuple[int, int] | None, ahead: int) -> tuple[int, int] | None:
    if not runs:
        return None
    if previous is None:
        return max(runs, key=lambda run: (run[0] <= ahead <= run[1], run[1] - run[0]))
    overlap, run = max((min(run[1], previous[1]) - max(run[0], previous[0]), run) for run in runs)
    return run if overlap >= 0 else None
