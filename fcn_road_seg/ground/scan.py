"""The edge of the road as ranges of a sensor_msgs/LaserScan."""

import math

import numpy as np

from fcn_road_seg.ground.ground_error import GroundError
from fcn_road_seg.ground.tables import GroundTables

SAMPLES_PER_PIXEL = 2
MAX_SAMPLES = 1000
MAX_LOOKUPS = 1_000_000
"""Most samples of all bearings together; on two cores they take about 10 ms of each frame."""
MIN_ROWS = 2
"""Pixels that an obstacle must have along its bearing: a single one may be noise, however many metres it covers."""


class RoadScan:
    """Finds the range to the first obstacle, anything that is not road, per bearing from the ground frame's origin.

    The field of view is the camera's. Ranges follow REP-117: +inf where the road extends to `max_range` or to the end
    of the view, NaN on bearings outside the view. The camera does not see what is nearer than the image's lower edge:
    an obstacle that begins there gets the range at which the view begins.

    Args:
        tables: of the camera and the road plane.
        angle_increment: radians between bearings.
        min_obstacle: shorter obstacles along a bearing count as road, metres.

    Attributes:
        angle_min, angle_max, angle_increment: radians about z; 0 is the ground frame's x axis.
        range_min, range_max: limits of every finite range, metres.

    Raises:
        GroundError: an argument is out of range, there are too many bearings, or none sees the road.
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
        if (lookups := len(steps) * len(ranges)) > MAX_LOOKUPS:
            raise GroundError(
                f"scan_angle_increment is {angle_increment:g}, but {len(steps)} bearings of {len(ranges)} samples take "
                f"too long for every frame: set at least {angle_increment * lookups / MAX_LOOKUPS * 1.01:.3g}"
            )
        bearings = middle + steps * angle_increment
        rays = np.stack([np.cos(bearings), np.sin(bearings)], -1)
        pixels = tables.pixel_indices(rays[:, None] * ranges[:, None])
        self._unseen, self._pixels = pixels < 0, np.maximum(pixels, 0)
        nothing = self._unseen.all(1)
        if nothing.all():
            raise GroundError("no bearing of the scan sees the road: check the camera's pose and the own-vehicle mask")
        # The edge lies between the last sample of road and the first sample of something else.
        self._edges = np.concatenate([ranges[:1], (ranges[1:] + ranges[:-1]) / 2]).astype(np.float32)
        self._clear = np.where(nothing, np.nan, np.inf).astype(np.float32)
        self.range_min = float(self._edges[np.argmin(self._unseen[~nothing], 1).min()])
        self.range_max = float(np.float32(max(tables.max_range, ranges[-1])))

        enough = np.searchsorted(ranges, ranges + min_obstacle)
        enough = np.maximum(enough, np.arange(len(ranges)) + MIN_ROWS * SAMPLES_PER_PIXEL)
        self._ends = np.minimum(enough, len(ranges))
        self._lengths = (self._ends - np.arange(len(ranges))).astype(np.int32)
        self._counts = np.zeros((len(bearings), len(ranges) + 1), np.int32)

    def __call__(self, mask: np.ndarray, unseen: np.ndarray | None = None) -> np.ndarray:
        """Ranges of a frame.

        Args:
            mask: uint8 height x width, 0 = not road.
            unseen: bool height x width, pixels of which this frame knows nothing; None if there are none.

        Returns:
            float32, one range in metres per bearing from `angle_min` on, counter-clockwise.

        Raises:
            GroundError: the mask has another size or type.
        """
        self._check(mask)
        blocked = mask.reshape(-1).take(self._pixels) == 0
        hidden, clear = self._unseen, self._clear
        if unseen is not None:
            hidden = hidden | unseen.reshape(-1).take(self._pixels)
            clear = np.where(hidden.all(1), np.float32(np.nan), clear)
        # An obstacle may extend beyond the view, but it must begin within it.
        np.cumsum(blocked | hidden, axis=1, out=self._counts[:, 1:])
        obstacle = self._counts[:, self._ends] - self._counts[:, :-1] == self._lengths
        obstacle &= blocked & ~hidden
        first = obstacle.argmax(1)
        return np.where(obstacle[np.arange(len(first)), first], self._edges[first], clear)


def _ranges(tables: GroundTables, near: float, far: float) -> np.ndarray:
    """Ranges in metres at which a bearing is sampled, float64 n, evenly spaced in the angle at the camera."""
    height = tables.height_above_road
    offset = min(float(np.hypot(*tables.origin[:2])), near)
    angles = np.arctan((np.array([near, far]) - offset) / height)
    count = (angles[1] - angles[0]) * tables.camera.intrinsics[1, 1] * SAMPLES_PER_PIXEL
    angles = np.linspace(angles[0], angles[1], int(np.clip(math.ceil(count) + 1, 2, MAX_SAMPLES)))
    return offset + height * np.tan(angles)
