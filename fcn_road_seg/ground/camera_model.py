"""Pixels <-> rays in the optical frame of a camera as sensor_msgs/CameraInfo describes it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from fcn_road_seg.ground.ground_error import GroundError
from fcn_road_seg.ground.plausibility import LEAST_KNOWN, LEAST_SPREAD, OFFSET, ROTATION, fault_of_intrinsics

COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""How many coefficients each distortion model of REP-104 and sensor_msgs may have; 0 is always allowed."""
ROUND_TRIP = 0.1
"""Largest error in pixels after undistorting and distorting a pixel; where it is larger, the model is not valid."""
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-10)


@dataclass(frozen=True, eq=False)
class CameraModel:
    """The geometry of a camera; create it with `from_camera_info`.

    Pixel centres have integer coordinates, as in OpenCV. The optical frame is the rectified one, as in ROS's
    image_geometry: a raw pixel's ray is turned by R.

    Attributes:
        width, height: of the image, pixels.
        intrinsics: float64 3 x 3, for this image.
        distortion: float64 n, OpenCV's coefficients; empty if there is no distortion.
        fisheye: whether they belong to the equidistant model (Kannala, Brandt 2006).
        rotation: float64 3 x 3, from the camera's own axes to the optical frame.
        centre: float64 3, the optical centre in the optical frame, metres (CameraInfo's Tx, Ty).
    """

    width: int
    height: int
    intrinsics: np.ndarray
    distortion: np.ndarray
    fisheye: bool
    rotation: np.ndarray
    centre: np.ndarray

    @classmethod
    def from_camera_info(
        cls,
        width: int,
        height: int,
        k: ArrayLike,
        d: ArrayLike,
        distortion_model: str,
        r: ArrayLike,
        p: ArrayLike,
        *,
        image_size: tuple[int, int] | None = None,
        rectified: bool = True,
        binning: tuple[int, int] = (0, 0),
        roi: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> "CameraModel":
        """The camera of an image, from the fields of its sensor_msgs/CameraInfo.

        Args:
            width, height: of the full sensor, pixels.
            k, r, p: 9, 9 and 12 numbers in row-major order, of any shape.
            d, distortion_model: coefficients of plumb_bob, rational_polynomial or equidistant.
            image_size: the image's width and height; None takes those of camera_info.
            rectified: True for a rectified image, which P describes; False for a raw one, which K, D and R describe.
            binning: binning_x, binning_y; 0 counts as 1.
            roi: x_offset, y_offset, width, height on the unbinned sensor; width and height 0 are the full sensor.

        Raises:
            GroundError: the calibration is not usable, or belongs to another image size.
        """
        camera_matrix, rectification = _matrix("K", k, 3, 3), _matrix("R", r, 3, 3)
        projection, coefficients = _matrix("P", p, 3, 4), _finite("D", d).ravel()
        step_x, step_y = (max(1, int(n)) for n in binning)
        x, y, roi_width, roi_height = (int(n) for n in roi)
        expected = int(roi_width or width) // step_x, int(roi_height or height) // step_y
        size = expected if image_size is None else (int(image_size[0]), int(image_size[1]))
        if min(expected) < 2:
            raise GroundError(f"camera_info is for images of {expected[0]}x{expected[1]}: the driver left the size out")
        if size != expected:
            raise GroundError(
                f"camera_info is for images of {expected[0]}x{expected[1]}, but the image has {size[0]}x{size[1]}: "
                "publish the camera_info of this image (with binning and roi if it is part of the sensor)"
            )
        if x + (roi_width or width) > width or y + (roi_height or height) > height:
            raise GroundError(
                f"camera_info's roi, {roi_width}x{roi_height} at {x}, {y}, is not within its sensor of {width}x{height}"
            )
        fisheye = not rectified and distortion_model == "equidistant" and bool(coefficients.any())
        intrinsics = projection[:, :3] if rectified else camera_matrix
        used, other = ("P", "K") if rectified else ("K", "P")
        if fault := fault_of_intrinsics("camera_info", used, intrinsics, (width, height), fisheye):
            unused = camera_matrix if rectified else projection[:, :3]
            if not fault_of_intrinsics("camera_info", other, unused, (width, height)):
                kind, value = ("raw", "false") if rectified else ("rectified", "true")
                fault += f"; its {other} is good, so set rectified to {value} if the images are {kind}"
            raise GroundError(fault)
        scale = np.diag([1 / step_x, 1 / step_y, 1.0]) @ np.array([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]])
        distortion, rotation, centre = np.empty(0), np.eye(3), np.zeros(3)
        if not rectified:
            distortion = _distortion(coefficients, distortion_model)
            if rectification.any():
                rotation = checked_rotation("camera_info's R", rectification)
                turn = np.degrees(np.arccos(np.clip((rotation.trace() - 1) / 2, -1, 1)))
                if turn > ROTATION:
                    raise GroundError(
                        f"camera_info's R turns the camera by {turn:.0f} degrees, but rectification turns it by at "
                        f"most {ROTATION:g}: calibrate the camera"
                    )
        if projection[:, 3].any():
            if fault := fault_of_intrinsics("camera_info", "P", projection[:, :3], (width, height)):
                raise GroundError(fault)
            centre = -np.linalg.solve(projection[:, :3], projection[:, 3])
            if np.linalg.norm(centre) > OFFSET:
                raise GroundError(
                    f"camera_info's P puts the optical centre {np.linalg.norm(centre):.4g} m from the optical frame, "
                    f"but must be within {OFFSET:g} m: its fourth column is -focal length x baseline, pixels x metres"
                )
        model = cls(size[0], size[1], scale @ intrinsics, distortion, fisheye, rotation, centre)
        if fault := model._fault_of_distortion():
            raise GroundError(f"camera_info's D cannot be that of a lens: {fault}; calibrate the camera")
        return model

    def rays(self) -> np.ndarray:
        """The direction of each pixel in the optical frame, float64 height x width x 3, as in `rays_of`."""
        u, v = np.meshgrid(np.arange(self.width, dtype=np.float64), np.arange(self.height, dtype=np.float64))
        return self.rays_of(np.stack([u, v], -1))

    def rays_of(self, pixels: np.ndarray) -> np.ndarray:
        """The directions of pixels, float64 ... x 2, column and row, in the optical frame: float64 ... x 3, any length.

        NaN where the distortion model cannot be inverted to 0.1 pixel, and at 90 degrees or more from the axis.
        """
        flat = pixels.reshape(-1, 1, 2)
        if not self.distortion.size:
            homogeneous = np.concatenate([flat[:, 0], np.ones((len(flat), 1))], 1)
            directions = homogeneous @ np.linalg.inv(self.intrinsics).T
        else:
            undistorted = self._invertible(flat) if len(flat) else flat[:, 0]
            directions = np.concatenate([undistorted, np.ones((len(undistorted), 1))], 1)
        return (directions @ self.rotation.T).reshape(*pixels.shape[:-1], 3)

    def _fault_of_distortion(self) -> str:
        """Why the coefficients are absurd; empty if they are not. Tested on a few pixels of the image."""
        if not self.distortion.size:
            return ""
        u, v = np.meshgrid(np.linspace(0, self.width - 1, 24), np.linspace(0, self.height - 1, 24))
        pixels = np.stack([u, v], -1).reshape(-1, 1, 2)
        radius = np.hypot(*self._invertible(pixels).T)
        straight = np.hypot(*((pixels[:, 0] - self.intrinsics[:2, 2]) / self.intrinsics.diagonal()[:2]).T)
        known = np.isfinite(radius)
        if known.mean() < LEAST_KNOWN:
            return f"only {100 * known.mean():.0f} % of the pixels have a ray"
        squeezed = float(np.median(radius[known] / np.maximum(straight[known], 1e-9)))
        if squeezed < LEAST_SPREAD:
            return f"the rays spread only {100 * squeezed:.2g} % as far as without distortion"
        return ""

    def _invertible(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels, N x 1 x 2 -> points at depth 1, N x 2; NaN where the distortion cannot be inverted to 0.1 pixel."""
        flat = self._undistort(pixels)[:, 0]
        missed = np.abs(self._distort(flat) - pixels[:, 0]).max(-1)
        flat[~(missed < ROUND_TRIP)] = np.nan
        return flat

    def _undistort(self, pixels: np.ndarray) -> np.ndarray:
        if self.fisheye:
            return cv2.fisheye.undistortPoints(pixels, self.intrinsics, self.distortion, criteria=_CRITERIA)
        if hasattr(cv2, "undistortPointsIter"):  # OpenCV 4's name for undistortPoints with criteria
            return cv2.undistortPointsIter(pixels, self.intrinsics, self.distortion, None, None, _CRITERIA)
        return cv2.undistortPoints(pixels, self.intrinsics, self.distortion, criteria=_CRITERIA)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points of the optical frame: float ... x 3, metres -> float64 ... x 2, column and row.

        NaN for points that are not in front of the camera. Pixels may be outside the image.
        """
        points = np.asarray(points, np.float64)
        own = (points.reshape(-1, 3) - self.centre) @ self.rotation
        depth = np.where(own[:, 2] > 1e-6, own[:, 2], np.nan)
        flat = own[:, :2] / depth[:, None]
        if self.distortion.size:
            pixels = self._distort(flat)
        else:
            pixels = flat @ self.intrinsics[:2, :2].T + self.intrinsics[:2, 2]
        return pixels.reshape(*points.shape[:-1], 2)

    def _distort(self, flat: np.ndarray) -> np.ndarray:
        """Points at depth 1, N x 2 -> pixels, N x 2; NaN stays NaN."""
        if not len(flat):  # OpenCV would return None
            return flat
        if self.fisheye:
            return cv2.fisheye.distortPoints(flat[:, None], self.intrinsics, self.distortion)[:, 0]
        points = np.concatenate([flat, np.ones((len(flat), 1))], 1)
        return cv2.projectPoints(points[:, None], np.zeros(3), np.zeros(3), self.intrinsics, self.distortion)[0][:, 0]


def _finite(name: str, values: ArrayLike) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise GroundError(f"camera_info's {name} is not a sequence of numbers") from None
    if not np.isfinite(array).all():
        raise GroundError(f"camera_info's {name} contains a number that is not finite")
    return array


def _matrix(name: str, values: ArrayLike, rows: int, columns: int) -> np.ndarray:
    array = _finite(name, values)
    if array.size != rows * columns:
        raise GroundError(f"camera_info's {name} has {array.size} numbers, but must have {rows * columns}")
    return array.reshape(rows, columns)


def _distortion(d: np.ndarray, model: str) -> np.ndarray:
    if not d.any():
        return np.empty(0)
    if model not in COEFFICIENTS:
        known = ", ".join(COEFFICIENTS)
        raise GroundError(f"camera_info's distortion_model is {model!r}; supported models are {known}")
    if len(d) not in COEFFICIENTS[model]:
        counts = " or ".join(map(str, COEFFICIENTS[model]))
        raise GroundError(f"camera_info's D has {len(d)} numbers, but {model} has {counts}")
    return d


def checked_rotation(name: str, matrix: np.ndarray) -> np.ndarray:
    """Return the matrix if it is a rotation.

    Raises:
        GroundError: it is not.
    """
    if not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-3) or np.linalg.det(matrix) < 0:
        raise GroundError(f"{name} is not a rotation")
    return matrix
