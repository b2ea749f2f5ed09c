"""The edge of the road as the ranges of a sensor_msgs/LaserScan."""

import math

import numpy as np

from fcn_road_seg.ground.camera_model import GroundError
from fcn_road_seg.ground.tables import GroundTables

SAMPLES_PER_PIXEL = 2
MAX_SAMPLES = 1000
MIN_ROWS = 2
"""Pixels that an obstacle must have along its bearing: a lone one may be noise, however many metres it covers."""


class RoadScan:
    """Mask -> range to the first thing that is not road, by bearing, from the ground frame's origin.

    The field of view is the camera's. Ranges follow REP-117: +inf where the road goes on to `max_range` or to the end
    of what the camera sees, NaN on bearings of which it sees nothing. What is nearer than the image's lower edge is
    unseen: an obstacle that begins there has the range at which the view begins.

    Args:
        angle_increment: radians between bearings.
        min_obstacle: metres along the bearing; what is not road for less is a speck and counts as road.

    Attributes:
        angle_min, angle_max, angle_increment: radians about z, 0 is the ground frame's x axis.
        range_min, range_max: metres; every finite range lies within.

    Raises:
        GroundError: an argument out of its range.
    """

    def __init__(self, tables: GroundTables, angle_increment: float = math.radians(0.5), min_obstacle: float = 0.3):
        if not 1e-4 <= angle_increment <= 1:
            raise GroundError(f"angle_increment is {angle_increment:g}, but must be 0.0001 to 1: it is in radians")
        if not (math.isfinite(min_obstacle) and min_obstacle >= 0):
            raise GroundError(f"min_obstacle is {min_obstacle:g} m, but must not be negative")
        self._check = tables.check
        seen = tables.xy[~np.isnan(tables.xy[..., 0])].astype(np.float64)
        distance = np.hypot(seen[:, 0], seen[:, 1])
        ahead = (seen / np.maximum(distance, 1e-9)[:, None]).mean(0)
        middle = math.atan2(ahead[1], ahead[0])
        turn = np.arctan2(seen[:, 1], seen[:, 0]) - middle
        turn = (turn + math.pi) % (2 * math.pi) - math.pi
        first, last = math.ceil(turn.min() / angle_increment), math.floor(turn.max() / angle_increment)
        steps = np.arange(first, max(first, last) + 1)
        self.angle_min, self.angle_max = (float(middle + steps[k] * angle_increment) for k in (0, -1))
        self.angle_increment = float(angle_increment)

        ranges = _ranges(tables, distance.min(), distance.max())
        bearings = middle + steps * angle_increment
        rays = np.stack([np.cos(bearings), np.sin(bearings)], -1)
        pixels = tables.pixel_indices(rays[:, None] * ranges[:, None])
        self._unseen, self._pixels = pixels < 0, np.maximum(pixels, 0)
        nothing = self._unseen.all(1)
        # The edge lies between the last sample of road and the first of anything else.
        self._edges = np.concatenate([ranges[:1], (ranges[1:] + ranges[:-1]) / 2]).astype(np.float32)
        self._clear = np.where(nothing, np.nan, np.inf).astype(np.float32)
        self.range_min = float(self._edges[np.argmin(self._unseen[~nothing], 1).min()])
        self.range_max = float(np.float32(max(tables.max_range, ranges[-1])))

        enough = np.searchsorted(ranges, ranges + min_obstacle)
        enough = np.maximum(enough, np.arange(len(ranges)) + MIN_ROWS * SAMPLES_PER_PIXEL)
        self._ends = np.minimum(enough, len(ranges))
        self._lengths = (self._ends - np.arange(len(ranges))).astype(np.int32)
        self._counts = np.zeros((len(bearings), len(ranges) + 1), np.int32)

    def __call__(self, mask: np.ndarray) -> np.ndarray:
        """Ranges of a frame.

        Args:
            mask: uint8 height x width, not 0 is road.

        Returns:
            float32, one range in metres per bearing from `angle_min` on, counter-clockwise.

        Raises:
            GroundError: the frame has another size or type.
        """
        self._check(mask)
        blocked = mask.reshape(-1).take(self._pixels) == 0
        # An obstacle may go on where the view ends, but it must begin where there is a view.
        np.cumsum(blocked | self._unseen, axis=1, out=self._counts[:, 1:])
        whole = self._counts[:, self._ends] - self._counts[:, :-1] == self._lengths
        whole &= blocked & ~self._unseen
        first = whole.argmax(1)
        return np.where(whole[np.arange(len(first)), first], self._edges[first], self._clear)


def _ranges(tables: GroundTables, near: float, far: float) -> np.ndarray:
    """Metres from the ground frame's origin at which a bearing is sampled: evenly in the angle at the camera."""
    height = tables.height_above_road
    offset = min(float(np.hypot(*tables.origin[:2])), near)
    angles = np.arctan((np.array([near, far]) - offset) / height)
    count = (angles[1] - angles[0]) * tables.camera.intrinsics[1, 1] * SAMPLES_PER_PIXEL
    angles = np.linspace(*angles, int(np.clip(math.ceil(count) + 1, 2, MAX_SAMPLES)))
    return offset + height * np.tan(angles)
