"""KITTI Road's bird's-eye view: the road plane seen from above, by means of the frame's calibration.

Fritsch, Kuehnl, Geiger, "A New Performance Measure and Evaluation Benchmark for Road Detection
Algorithms", ITSC 2013. Road coordinates are KITTI's: x right, y down, z forward, in metres.
"""

from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from fcn_road_seg.evaluation.kitti_camera import Matrices, check_shapes, read_checked

X_RANGE = (-10.0, 10.0)
Z_RANGE = (6.0, 46.0)
RESOLUTION = 0.05
SHAPE = (
    round((Z_RANGE[1] - Z_RANGE[0]) / RESOLUTION),
    round((X_RANGE[1] - X_RANGE[0]) / RESOLUTION),
)  # rows, columns: 800 x 400
Sampling = Literal["devkit", "exact"]
"""Which pixel a cell at (u, v) takes; pixel (0, 0) is the centre of the first one.

"devkit": pixel (floor(u) - 1, floor(v) - 1), and none unless 1 <= u <= width and 1 <= v <= height, as KITTI's
development kit does: it counts pixels from 1 and cuts off fractions, so that the pixel lies 1 to 2 pixels above and to
the left of (u, v). "exact": the nearest pixel.
"""
SAMPLINGS: tuple[Sampling, ...] = get_args(Sampling)


class BirdsEyeView:
    """Look up every cell of the bird's-eye view in an image.

    Args:
        calibration: the matrices of a KITTI Road calibration file, see `kitti_road.read_calibration`.
        sampling: which pixel a cell takes. KITTI's own figures are those of "devkit".

    Raises:
        DatasetError: a matrix is missing.
    """

    def __init__(self, calibration: Matrices, sampling: Sampling = "devkit"):
        check_shapes(calibration)
        rectify, camera_to_road = np.eye(4), np.eye(4)
        rectify[:3, :3] = calibration["R0_rect"]
        camera_to_road[:3] = calibration["Tr_cam_to_road"]
        to_image = calibration["P2"] @ rectify @ np.linalg.inv(camera_to_road)
        x = np.arange(X_RANGE[0] + RESOLUTION / 2, X_RANGE[1], RESOLUTION)
        z = np.arange(Z_RANGE[1] - RESOLUTION / 2, Z_RANGE[0], -RESOLUTION)  # far cells are in the top rows
        x, z = np.meshgrid(x, z)
        points = np.stack([x, np.zeros_like(x), z, np.ones_like(x)])
        if sampling == "devkit":
            points = points.astype(np.float32)  # the kit's precision, for pixels at the limit
        u, v, w = np.tensordot(to_image, points, axes=1)
        self.sampling = sampling
        self._u, self._v = u / w, v / w

    @classmethod
    def read(cls, path: Path, size: tuple[int, int], sampling: Sampling = "devkit") -> "BirdsEyeView":
        """The view of a frame, from its calibration file.

        Args:
            size: the frame's width and height in pixels.

        Raises:
            DatasetError: as `kitti_camera.read_checked`.
        """
        return cls(read_checked(path, size), sampling)

    def pixels(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows, float32 800 x 400, that the cells take in an image of this size.

        They are whole numbers, and outside the image for cells without a pixel, with "devkit"; with "exact" they are to
        be rounded.
        """
        if self.sampling == "exact":
            return self._u.astype(np.float32), self._v.astype(np.float32)
        seen = (self._u >= 1) & (self._u <= width) & (self._v >= 1) & (self._v <= height)
        columns, rows = (np.where(seen, np.floor(where) - 1, -1) for where in (self._u, self._v))
        return columns.astype(np.float32), rows.astype(np.float32)

    def __call__(self, image: np.ndarray, outside: int = 0) -> np.ndarray:
        """The pixel of `image` (H x W or H x W x 3) for each cell: 800 x 400; `outside` beyond the image."""
        return cv2.remap(
            image,
            *self.pixels(*image.shape[:2]),
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(outside,) * 3,
        )
