"""Where the drives of KITTI raw and of KITTI odometry keep their files.

2011_09_26/calib_cam_to_cam.txt
2011_09_26/2011_09_26_drive_0001_sync/image_0N/timestamps.txt, image_0N/data/0000000000.png         N = 0..3
sequences/00/calib.txt, times.txt, image_N/000000.png
"""

import os
from pathlib import Path

PREFERRED = (2, 3, 0, 1)
"""The cameras: colour before grey, left before right."""
RAW_CALIBRATION = "calib_cam_to_cam.txt"
CALIBRATION, TIMES = "calib.txt", "times.txt"
"""The files of an odometry sequence."""


def is_odometry(drive: Path) -> bool:
    """Whether a folder is a sequence of KITTI odometry, although one of its files may be missing."""
    return any((drive / name).is_file() for name in (CALIBRATION, TIMES))


def image_folders(drive: Path) -> dict[int, Path]:
    """The folders of a drive's images by camera, in the order of `PREFERRED`; none if the folder is not a drive."""
    name = "image_{}" if is_odometry(drive) else "image_0{}/data"
    folders = {camera: drive / name.format(camera) for camera in PREFERRED}
    return {camera: folder for camera, folder in folders.items() if folder.is_dir()}


def date_folder(drive: Path) -> Path:
    """The folder of a raw drive's date, which holds the calibration; of a link to a drive, or else of its target."""
    beside = Path(os.path.abspath(drive)).parent
    return beside if (beside / RAW_CALIBRATION).is_file() else drive.resolve().parent


def stamped(drive: Path) -> tuple[int, Path] | None:
    """The first camera of a drive and the drive, if it has the stamps and the calibration of that camera."""
    for camera, folder in image_folders(drive).items():
        raw = date_folder(drive) / RAW_CALIBRATION, folder.parent / "timestamps.txt"
        needed = (drive / CALIBRATION, drive / TIMES) if is_odometry(drive) else raw
        return (camera, drive) if all(file.is_file() for file in needed) else None
    return None
