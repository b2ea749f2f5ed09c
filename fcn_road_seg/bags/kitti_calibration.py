"""Reads KITTI's calibration files: projections of the rectified cameras, poses of the Velodyne and the GPS/IMU."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fcn_road_seg.errors import UserError
from fcn_road_seg.files.input import read_text

ROAD_CAMERA = 2
"""The camera of KITTI Road; its projection is P2."""


class KittiError(UserError):
    """A KITTI file is missing or cannot be read; the message names the file."""


class Calibration(NamedTuple):
    """The calibration of the sensors."""

    projections: dict[int, np.ndarray]
    """P_rect_0N by camera, float64 3 x 4."""
    sizes: dict[int, tuple[int, int]]
    """Width and height in pixels by camera, S_rect_0N; only those stated in the files."""
    velo_to_rect: np.ndarray | None
    """R_rect_00 Tr_velo_to_cam: transforms points from the Velodyne to rectified camera 0, float64 4 x 4, metres."""
    imu_to_velo: np.ndarray | None
    """Transforms points from the GPS/IMU to the Velodyne, float64 4 x 4, metres."""


def raw_calibration(date: Path, cameras: list[int]) -> Calibration:
    """Read the calibration of a KITTI raw date: calib_cam_to_cam.txt and, if present, the Velodyne's and the GPS/IMU's.

    Args:
        date: the folder.
        cameras: numbers of the cameras, 0 to 3.

    Raises:
        KittiError: calib_cam_to_cam.txt is missing, or a file is malformed.
    """
    path = date / "calib_cam_to_cam.txt"
    values = _read_calibration(path)
    velo_to_rect = imu_to_velo = None
    if (velo := date / "calib_velo_to_cam.txt").exists():
        velo_to_rect = _rigid(_matrix(values, path, "R_rect_00", 3), path) @ _rigid_file(velo)
    if (imu := date / "calib_imu_to_velo.txt").exists():
        imu_to_velo = _rigid_file(imu)
    sizes = {n: tuple(values[f"S_rect_0{n}"].astype(int)) for n in cameras if len(values.get(f"S_rect_0{n}", ())) == 2}
    return Calibration(
        {n: _projection(values, path, f"P_rect_0{n}") for n in cameras}, sizes, velo_to_rect, imu_to_velo
    )


def road_calibration(path: Path) -> Calibration:
    """Read the calibration of one KITTI Road frame, such as calib/um_000000.txt; its camera is number 2.

    Raises:
        KittiError: the file is missing or malformed.
    """
    values = _read_calibration(path)
    velo_to_rect = imu_to_velo = None
    if "Tr_velo_to_cam" in values:
        rectify = _rigid(_matrix(values, path, "R0_rect", 3), path)
        velo_to_rect = rectify @ _rigid(_matrix(values, path, "Tr_velo_to_cam", 4), path)
    if "Tr_imu_to_velo" in values:
        imu_to_velo = _rigid(_matrix(values, path, "Tr_imu_to_velo", 4), path)
    return Calibration({ROAD_CAMERA: _projection(values, path, "P2")}, {}, velo_to_rect, imu_to_velo)


def odometry_calibration(path: Path, cameras: list[int]) -> Calibration:
    """Read the calibration of a sequence of KITTI odometry, calib.txt.

    Args:
        path: of the file.
        cameras: numbers of the cameras, 0 to 3.

    Raises:
        KittiError: the file is missing or malformed.
    """
    values = _read_calibration(path)
    velo_to_rect = _rigid(_matrix(values, path, "Tr", 4), path) if "Tr" in values else None
    return Calibration({n: _projection(values, path, f"P{n}") for n in cameras}, {}, velo_to_rect, None)


def numbers(text: str) -> np.ndarray | None:
    """Parse finite numbers, float64; None if there are none or the text contains anything else."""
    try:
        values = np.array(text.split(), np.float64)
    except ValueError:
        return None
    return values if len(values) and np.isfinite(values).all() else None


def text_of(path: Path) -> str:
    """Read a text file; raises KittiError if it is missing or not text."""
    try:
        return read_text(path)
    except FileNotFoundError:
        raise KittiError(f"{path} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise KittiError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not text'}") from None


def _read_calibration(path: Path) -> dict[str, np.ndarray]:
    """The lines `name: numbers`; others, such as calib_time, are left out."""
    lines = (line.partition(":") for line in text_of(path).splitlines())
    return {name: values for name, _, text in lines if (values := numbers(text)) is not None}


def _matrix(values: dict[str, np.ndarray], path: Path, name: str, columns: int) -> np.ndarray:
    if len(values.get(name, ())) != 3 * columns:
        raise KittiError(f"{path} has no {name} of {3 * columns} numbers")
    return values[name].reshape(3, columns)


def _projection(values: dict[str, np.ndarray], path: Path, name: str) -> np.ndarray:
    matrix = _matrix(values, path, name, 4)
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and np.array_equal(matrix[2, :3], (0, 0, 1))):
        raise KittiError(f"{path}: {name} is not the projection of a rectified camera")
    return matrix


def _rigid_file(path: Path) -> np.ndarray:
    values = _read_calibration(path)
    if len(values.get("T", ())) != 3:
        raise KittiError(f"{path} has no T of 3 numbers")
    return _rigid(np.column_stack([_matrix(values, path, "R", 3), values["T"]]), path)


def _rigid(matrix: np.ndarray, path: Path) -> np.ndarray:
    """Extend 3 x 3 or 3 x 4 to 4 x 4, after checking that its left part is a rotation."""
    rotation = matrix[:, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
        raise KittiError(f"{path} has a matrix that should be a rotation but is not")
    rigid = np.eye(4)
    rigid[:3, : matrix.shape[1]] = matrix
    return rigid
