"""The shape of the road: its curved centreline, its edges, and the exact test whether a point is on it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

STEP = 0.5  # metres of arc length between the samples of every table
BEHIND = 40.0  # metres of road behind the camera that are kept
AHEAD = 400.0  # metres of road ahead; beyond, nothing is road


class Centreline:
    """A plane curve.

    Args:
        curvature: 1/m, N samples `STEP` metres apart.
        start: arc length of the first sample, metres.

    Attributes:
        s, x, y, heading: arc length, world position (metres) and heading (radians) of the samples, float64 N.
    """

    def __init__(self, curvature: ArrayLike, start: float):
        self.start = float(start)
        self.curvature = np.asarray(curvature, np.float64)
        self.heading = np.concatenate([[0.0], np.cumsum(self.curvature[:-1]) * STEP])
        middle = self.heading[:-1] + self.curvature[:-1] * STEP / 2
        self.x = np.concatenate([[0.0], np.cumsum(np.cos(middle)) * STEP])
        self.y = np.concatenate([[0.0], np.cumsum(np.sin(middle)) * STEP])
        self.s = self.start + np.arange(len(self.x)) * STEP

    def at(self, s: float) -> tuple[float, float, float]:
        """World x, y (metres) and heading (radians) at arc length `s`."""
        x, y, heading = (np.interp(s, self.s, table) for table in (self.x, self.y, self.heading))
        return x, y, heading


@dataclass(frozen=True)
class SideRoad:
    """A road that joins at arc length `s` from one side (+1 left, -1 right); lengths in metres."""

    s: float
    side: int
    half_width: float
    radius: float


def round_union(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Signed distance of the union of two regions whose inner corner is rounded by `radius` (Quilez)."""
    corner = np.hypot(np.maximum(radius - a, 0), np.maximum(radius - b, 0))
    return np.maximum(radius, np.minimum(a, b)) - corner


class RoadRegion:
    """The exact road surface around one camera pose, in the ground frame (metres).

    Args:
        centreline: of the street.
        edges: lateral offsets of the left and right edge at `centreline.s`, float64 N each.
        side_roads: all of the street.
        s, d, yaw: the camera's arc length, lateral offset (metres) and yaw against the street (radians).

    Attributes:
        left, right: float32, N x 2: the edges of the main carriageway, from behind the camera onwards.
        side_roads: the `SideRoad`s that join it here; they are road as well.
    """

    def __init__(
        self,
        centreline: Centreline,
        edges: tuple[np.ndarray, np.ndarray],
        side_roads: list[SideRoad],
        s: float,
        d: float,
        yaw: float,
    ):
        x, y, heading = centreline.at(s)
        x, y, heading = x - d * np.sin(heading), y + d * np.cos(heading), heading + yaw
        first = int(np.clip((s - BEHIND - centreline.start) / STEP, 0, len(centreline.s) - 2))
        part = slice(first, int((s + AHEAD - centreline.start) / STEP) + 1)
        self.start, self.s0 = centreline.s[first], s
        dx, dy = centreline.x[part] - x, centreline.y[part] - y
        self.x = (dx * np.cos(heading) + dy * np.sin(heading)).astype(np.float32)
        self.y = (-dx * np.sin(heading) + dy * np.cos(heading)).astype(np.float32)
        turn = centreline.heading[part] - heading
        self.cos, self.sin = np.cos(turn).astype(np.float32), np.sin(turn).astype(np.float32)
        self.turn, self.curvature = turn.astype(np.float32), centreline.curvature[part].astype(np.float32)
        self.edge = {+1: edges[0][part].astype(np.float32), -1: edges[1][part].astype(np.float32)}
        self.end = self.start + (len(self.x) - 1) * STEP
        self.side_roads = [r for r in side_roads if self.start - 20 < r.s < self.end + 20]
        along = self.start + np.arange(len(self.x)) * STEP
        self.left = self.to_ground(along, self.edge[+1])
        self.right = self.to_ground(along, self.edge[-1])

    def table(self, table: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Interpolate one of the region's tables linearly at arc lengths `s` (float32)."""
        position = np.clip((s - np.float32(self.start)) * np.float32(1 / STEP), 0, len(table) - 1.001)
        index = position.astype(np.int32)
        low = table.take(index)
        return low + (table.take(index + 1) - low) * (position - index.astype(np.float32))

    def to_ground(self, s: ArrayLike, d: ArrayLike) -> np.ndarray:
        """Road coordinates (arc length, offset to the left; metres) to the ground frame; float32, ... x 2."""
        s, d = np.asarray(s, np.float32), np.asarray(d, np.float32)
        cos, sin = self.table(self.cos, s), self.table(self.sin, s)
        return np.stack([self.table(self.x, s) - d * sin, self.table(self.y, s) + d * cos], -1)

    def to_road(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ground points (float32 arrays, metres) to road coordinates s, d: the foot point on the centreline."""
        s = np.interp(x, self.x, self.start + np.arange(len(self.x)) * STEP).astype(np.float32)
        straight = not np.any(self.curvature)
        for _ in range(1 if straight else 3):
            cos, sin = self.table(self.cos, s), self.table(self.sin, s)
            dx, dy = x - self.table(self.x, s), y - self.table(self.y, s)
            bend = 1 - np.clip(self.table(self.curvature, s) * (dy * cos - dx * sin), -0.7, 0.7)
            s = s + (dx * cos + dy * sin) / bend
        cos, sin = self.table(self.cos, s), self.table(self.sin, s)
        return s, (y - self.table(self.y, s)) * cos - (x - self.table(self.x, s)) * sin

    def outside(self, side: int, s: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Signed distance in metres beyond the road's edge on one side (+1 left, -1 right); negative is road."""
        beyond = side * (d - self.table(self.edge[side], s))
        for road in self.side_roads:
            if road.side == side:
                beyond = round_union(beyond, np.abs(s - np.float32(road.s)) - np.float32(road.half_width), road.radius)
        return beyond

    def within(self, x: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Which points lie on the stretch of road that this region covers, bool N."""
        return (x < AHEAD - 20) & (s > self.start + 1) & (s < self.end - 1)

    def on_road(self, xy: ArrayLike) -> np.ndarray:
        """Whether ground points are road surface, regardless of what stands on it.

        Args:
            xy: float, ... x 2, metres in the ground frame; NaN is not road.

        Returns:
            bool, ...
        """
        xy = np.asarray(xy, np.float32)
        known = np.isfinite(xy).all(-1)
        points = xy[known]
        answer = np.zeros(known.shape, bool)
        s, d = self.to_road(points[:, 0], points[:, 1])
        answer[known] = self.within(points[:, 0], s) & (self.outside(+1, s, d) < 0) & (self.outside(-1, s, d) < 0)
        return answer
