"""KITTI Road's bird's-eye view: the road plane seen from above, by means of the frame's calibration.

Fritsch, Kuehnl, Geiger, "A New Performance Measure and Evaluation Benchmark for Road Detection
Algorithms", ITSC 2013. Road coordinates are KITTI's: x right, y down, z forward, in metres.
"""

import cv2
import numpy as np

from fcn_road_seg.frames.sample import DatasetError

X_RANGE = (-10.0, 10.0)
Z_RANGE = (6.0, 46.0)
RESOLUTION = 0.05
SHAPE = (
    round((Z_RANGE[1] - Z_RANGE[0]) / RESOLUTION),
    round((X_RANGE[1] - X_RANGE[0]) / RESOLUTION),
)  # rows, columns: 800 x 400


class BirdsEyeView:
    """Look up every cell of the bird's-eye view in an image.

    Args:
        calibration: the matrices of a KITTI Road calibration file, see `kitti_road.read_calibration`.

    Raises:
        DatasetError: a matrix is missing or unusable.
    """

    def __init__(self, calibration: dict[str, np.ndarray]):
        for name, columns in (("P2", 4), ("R0_rect", 3), ("Tr_cam_to_road", 4)):
            if calibration.get(name, np.empty(0)).shape != (3, columns):
                raise DatasetError(f"the calibration has no {name} of 3 x {columns} numbers")
        rectify, camera_to_road = np.eye(4), np.eye(4)
        rectify[:3, :3] = calibration["R0_rect"]
        camera_to_road[:3] = calibration["Tr_cam_to_road"]
        if abs(np.linalg.det(camera_to_road)) < 1e-6:
            raise DatasetError("the calibration's Tr_cam_to_road is not a rigid motion: its determinant is 0")
        to_image = calibration["P2"] @ rectify @ np.linalg.inv(camera_to_road)
        x = np.arange(X_RANGE[0] + RESOLUTION / 2, X_RANGE[1], RESOLUTION)
        z = np.arange(Z_RANGE[1] - RESOLUTION / 2, Z_RANGE[0], -RESOLUTION)  # far cells are in the top rows
        x, z = np.meshgrid(x, z)
        points = np.stack([x, np.zeros_like(x), z, np.ones_like(x)])
        u, v, w = np.tensordot(to_image, points, axes=1)
        self._u, self._v = (u / w).astype(np.float32), (v / w).astype(np.float32)

    def __call__(self, image: np.ndarray, outside: int = 0) -> np.ndarray:
        """The nearest pixel of `image` (H x W or H x W x 3) for each cell: 800 x 400; `outside` beyond the image."""
        return cv2.remap(
            image, self._u, self._v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(outside,) * 3
        )
