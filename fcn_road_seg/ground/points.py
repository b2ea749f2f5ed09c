"""The bytes of an organised sensor_msgs/PointCloud2: a point of the road plane, a label and a confidence per pixel."""

from array import array

import numpy as np

from fcn_road_seg.ground.camera_model import GroundError

FLOAT32, UINT8 = 7, 2
"""sensor_msgs/PointField's datatypes."""
FIELDS = (("x", 0, FLOAT32), ("y", 4, FLOAT32), ("z", 8, FLOAT32), ("label", 12, UINT8), ("confidence", 13, UINT8))
"""Name, offset in bytes and datatype of each PointField; every count is 1, and the byte order is little-endian."""
POINT_STEP = 16
"""Bytes per point; the last two are padding, which keeps the floats aligned."""


class PointCloud:
    """A cloud of the image's width and height, whose labels change with each frame; is_dense is false.

    Args:
        points: float32 height x width x 3, metres, NaN for pixels without a point: `GroundTables.optical_points` or
            `ground_points`, depending on the message's frame.

    Attributes:
        data: array("B") of height * width * POINT_STEP bytes, which rclpy takes as `PointCloud2.data` without a copy.
    """

    def __init__(self, points: np.ndarray):
        self.height, self.width = points.shape[:2]
        self.data = array("B", bytes(self.height * self.width * POINT_STEP))
        self._points = np.frombuffer(self.data, "<f4").reshape(self.height, self.width, POINT_STEP // 4)[..., :3]
        self.move(points)
        self._classes = np.frombuffer(self.data, "<u2").reshape(self.height, self.width, POINT_STEP // 2)[..., 6]

    def move(self, points: np.ndarray) -> None:
        """Replace the points by others of the same shape and type."""
        self._points[:] = points

    def __call__(self, labels: np.ndarray, confidence: np.ndarray) -> array:
        """Write a frame's labels and confidence, both uint8 height x width, into `data`, and return it.

        The next call overwrites the bytes.

        Raises:
            GroundError: their size is not the cloud's, or their type is not uint8.
        """
        for name, image in (("labels", labels), ("confidence", confidence)):
            if image.shape != (self.height, self.width) or image.dtype != np.uint8:
                raise GroundError(f"{name} must be uint8 of {self.width}x{self.height} pixels, like the cloud")
        # The two are adjacent in the cloud, so both take one pass over its memory.
        both = np.left_shift(confidence, 8, dtype=np.uint16)
        both |= labels
        self._classes[:] = both
        return self.data
