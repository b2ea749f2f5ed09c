"""The camera and the road plane of a frame of KITTI Road, from its calibration file, with all checks of both."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fcn_road_seg.datasets.kitti_road import KittiRoad, read_calibration
from fcn_road_seg.frames.sample import DatasetError
from fcn_road_seg.ground import CameraModel, GroundError, GroundPlane
from fcn_road_seg.ground.camera_model import checked_rotation
from fcn_road_seg.ground.plane import BODY_FROM_OPTICAL
from fcn_road_seg.ground.plausibility import HEIGHT, check_height, fault_of_intrinsics

Matrices = dict[str, np.ndarray]
"""P2, R0_rect and Tr_cam_to_road by name; see `kitti_road.read_calibration`."""


def check_shapes(calibration: Matrices) -> None:
    """Check that all three matrices are there.

    Raises:
        DatasetError: one is missing or has another shape.
    """
    for name, columns in (("P2", 4), ("R0_rect", 3), ("Tr_cam_to_road", 4)):
        if calibration.get(name, np.empty(0)).shape != (3, columns):
            raise DatasetError(f"the calibration has no {name} of 3 x {columns} numbers")


def road_plane(calibration: Matrices) -> GroundPlane:
    """The road as a plane in KITTI's road coordinates, as x forward, y left, z up.

    Raises:
        GroundError: the camera cannot be there.
    """
    to_road, rectify = np.eye(4), np.eye(4)
    for name, matrix in (("Tr_cam_to_road", to_road), ("R0_rect", rectify)):
        matrix[:3, : calibration[name].shape[1]] = calibration[name]
        checked_rotation(name, matrix[:3, :3])
    body = np.eye(4)
    body[:3, :3] = BODY_FROM_OPTICAL  # KITTI's road axes are x right, y down, z forward
    pose = body @ to_road @ np.linalg.inv(rectify)
    check_height(pose[2, 3], HEIGHT[1], "check Tr_cam_to_road, whose y axis points down")
    return GroundPlane.from_transform(pose)


def camera_model(calibration: Matrices, width: int, height: int) -> CameraModel:
    """The left colour camera for frames of this size in pixels.

    Raises:
        GroundError: P2 is not that of such a camera.
    """
    p = calibration["P2"]
    if fault := fault_of_intrinsics("the calibration", "P2", p[:, :3], (width, height)):
        raise GroundError(fault)
    return CameraModel.from_camera_info(width, height, p[:, :3], [], "", np.eye(3), p)


def read_checked(path: Path, size: tuple[int, int] | None = None) -> Matrices:
    """Read the calibration file of a frame.

    Args:
        size: the frame's width and height in pixels; None leaves out the check of P2 that needs them.

    Raises:
        DatasetError: the file cannot be read, or a matrix is missing or impossible; the message names the file.
    """
    calibration = read_calibration(path)
    try:
        check_shapes(calibration)
        road_plane(calibration)
        if size is not None:
            camera_model(calibration, *size)
    except (DatasetError, GroundError) as error:
        raise DatasetError(f"{path}: {error}") from None
    return calibration


def check_files(paths: Sequence[Path]) -> None:
    """Check calibration files before the work on their frames begins.

    Raises:
        DatasetError: files cannot be used; the message names the first and counts them.
    """
    faults = []
    for path in paths:
        try:
            read_checked(path)
        except DatasetError as error:
            faults.append(str(error))
    if faults:
        others = f" ({len(faults)} of {len(paths)} frames have no usable calibration)" if len(faults) > 1 else ""
        raise DatasetError(faults[0] + others)


def calibrated(dataset: KittiRoad) -> bool:
    """Whether the frames have calibration files, which are checked.

    Raises:
        DatasetError: some frames have one and others none, or one cannot be used.
    """
    paths = [dataset.calibration_path(name) for name in dataset.names]
    if not any(path.exists() for path in paths):
        return False
    dataset.require_calibrations()
    check_files(paths)
    return True
