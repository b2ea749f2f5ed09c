"""Reads KITTI's files: a KITTI raw drive (Geiger et al., "Vision meets Robotics", IJRR 2013) or a KITTI Road folder.

    2011_09_26/calib_cam_to_cam.txt, calib_velo_to_cam.txt, calib_imu_to_velo.txt
    2011_09_26/2011_09_26_drive_0001_sync/image_0N/timestamps.txt, image_0N/data/0000000000.png         N = 0..3
    2011_09_26/2011_09_26_drive_0001_sync/velodyne_points/timestamps.txt, velodyne_points/data/0000000000.bin
    2011_09_26/2011_09_26_drive_0001_sync/oxts/timestamps.txt, oxts/data/0000000000.txt

    KITTI_ROAD/training/image_2/um_000000.png, calib/um_000000.txt

The stamp of file number n is in line n + 1 of its timestamps.txt.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fcn_road_seg.bags.kitti_calibration import (
    ROAD_CAMERA,
    Calibration,
    KittiError,
    numbers,
    raw_calibration,
    road_calibration,
    text_of,
)

ROAD_RATE = 10
"""Hz, nominal: KITTI Road's frames have no timestamps."""
ROAD_START = 1317042000 * 10**9
"""Nominal stamp of a KITTI Road folder's first frame: 2011-09-26 13:00:00 UTC, in nanoseconds."""
OXTS_VALUES = 30
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,9}))?$")
_IMAGES = (".png", ".jpg", ".jpeg")


class Reading(NamedTuple):
    """One measurement of one sensor."""

    stamp: int
    """Nanoseconds since 1970, UTC."""
    path: Path
    projection: np.ndarray | None = None
    """For images: P_rect_0N, float64 3 x 4; projects points in rectified camera 0 to this camera's pixels."""


@dataclass
class Drive:
    """The contents of a drive; the files of `images`, `velodyne` and `oxts` have not been opened yet."""

    name: str
    calibration: Calibration
    images: dict[int, list[Reading]]
    velodyne: list[Reading] = field(default_factory=list)
    oxts: list[Reading] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences to show to the user."""


def open_drive(path: str | Path, cameras: list[int] | None = None) -> Drive:
    """List a KITTI raw drive (the ..._sync folder) or a KITTI Road folder, with its calibrations and stamps.

    Args:
        path: the folder.
        cameras: numbers, 0 to 3, of the cameras to use; None for all in the folder.

    Raises:
        KittiError: the folder is neither, or one of its files is missing, too short or malformed.
    """
    path = Path(path)
    for road in (path / "training", path):
        if (road / "image_2").is_dir():
            return _open_road(road, path.resolve().name, cameras)
    found = [n for n in range(4) if (path / f"image_0{n}").is_dir()]
    if not found:
        drives = sorted(p.name for p in path.glob("*_drive_*") if p.is_dir())
        raise KittiError(
            f"{path} is the folder of a date: give one of its drives, such as {path / drives[0]}"
            if drives
            else f"{path} has neither image_00 to image_03 of a KITTI raw drive nor training/image_2 of KITTI Road"
        )
    return _open_raw(path, _chosen(path, found, cameras))


def read_stamps(path: Path) -> list[int]:
    """Read the lines of a timestamps.txt as UTC; returns nanoseconds since 1970.

    Raises:
        KittiError: the file is missing or a line is not a time; the message names file and line.
    """
    stamps = []
    for number, line in enumerate(text_of(path).rstrip().splitlines(), 1):
        stamp = _nanoseconds(line.strip())
        if stamp is None:
            example = "2011-09-26 13:02:25.964389445"
            raise KittiError(f"{path}, line {number}: {line.strip()!r} is not a time such as {example}")
        stamps.append(stamp)
    return stamps


def _nanoseconds(text: str) -> int | None:
    """Nanoseconds since 1970; None if the text is not a time, or not within the range of a ROS stamp."""
    if (match := _STAMP.match(text)) is None:
        return None
    try:
        seconds = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:  # a day or hour that does not exist
        return None
    return int(seconds) * 10**9 + int((match[2] or "").ljust(9, "0")) if 0 < seconds < 2**31 else None


def read_points(path: Path) -> np.ndarray:
    """Read a Velodyne scan: float32 N x 4, x forward, y left, z up in metres, and reflectance 0 to 1.

    Raises:
        KittiError: the file is truncated.
    """
    content = path.read_bytes()
    if len(content) % 16:
        raise KittiError(f"{path} is truncated: {len(content)} bytes are not a multiple of 16, the size of a point")
    return np.frombuffer(content, "<f4").reshape(-1, 4)


def read_oxts(path: Path) -> np.ndarray:
    """Read a GPS/IMU packet: 30 values, float64, in the order of KITTI's dataformat.txt.

    Raises:
        KittiError: the file does not contain 30 numbers.
    """
    values = numbers(text_of(path))
    if values is None or len(values) != OXTS_VALUES:
        raise KittiError(f"{path} is not a GPS/IMU packet of {OXTS_VALUES} numbers")
    return values


def _open_raw(path: Path, cameras: list[int]) -> Drive:
    date = path.resolve().parent
    calibration = raw_calibration(date, cameras)
    drive = Drive(path.resolve().name, calibration, {})
    for n in cameras:
        readings, missing = _readings(path / f"image_0{n}", _IMAGES)
        if missing:
            raise _missing(path / f"image_0{n}", "image", missing)
        drive.images[n] = [r._replace(projection=calibration.projections[n]) for r in readings]
    if (path / "velodyne_points").is_dir():
        if calibration.velo_to_rect is None:
            raise KittiError(f"{date / 'calib_velo_to_cam.txt'} is missing: {path / 'velodyne_points'} needs it")
        drive.velodyne, missing = _readings(path / "velodyne_points", (".bin",))
        if missing:  # the published 2011_09_26_drive_0009_sync lacks four scans
            drive.notes.append(f"{_missing(path / 'velodyne_points', 'scan', missing)}; the bag has a gap there")
    if (path / "oxts").is_dir():
        if calibration.imu_to_velo is None or calibration.velo_to_rect is None:
            name = "calib_velo_to_cam.txt" if calibration.velo_to_rect is None else "calib_imu_to_velo.txt"
            raise KittiError(f"{date / name} is missing: {path / 'oxts'} needs it")
        drive.oxts, missing = _readings(path / "oxts", (".txt",))
        if missing:
            raise _missing(path / "oxts", "packet", missing)
    return drive


def _open_road(folder: Path, name: str, cameras: list[int] | None) -> Drive:
    _chosen(folder, [ROAD_CAMERA], cameras)
    readings, calibration = [], None
    for i, image in enumerate(sorted(p for p in (folder / "image_2").iterdir() if p.suffix.lower() in _IMAGES)):
        own = road_calibration(folder / "calib" / f"{image.stem}.txt")
        calibration = calibration or own
        readings.append(Reading(ROAD_START + i * 10**9 // ROAD_RATE, image, own.projections[ROAD_CAMERA]))
    if calibration is None:
        raise KittiError(f"{folder / 'image_2'} has no image (.png or .jpg)")
    note = f"KITTI Road has no timestamps: the frames get {ROAD_RATE} Hz, from 2011-09-26 13:00:00 UTC, ordered by name"
    return Drive(name, calibration, {ROAD_CAMERA: readings}, notes=[note])


def _chosen(path: Path, found: list[int], cameras: list[int] | None) -> list[int]:
    for n in cameras or ():
        if n not in found:
            raise KittiError(f"{path} has no camera {n}; it has {', '.join(map(str, found))}")
    return sorted(set(cameras)) if cameras else found


def _readings(folder: Path, suffixes: tuple[str, ...]) -> tuple[list[Reading], list[int]]:
    """The numbered files of `folder`/data with their stamps, and the numbers with a stamp but no file."""
    stamps = read_stamps(folder / "timestamps.txt")
    data = folder / "data"
    if not data.is_dir():
        raise KittiError(f"{data} is missing")
    files: dict[int, Path] = {}
    for path in sorted(data.iterdir()):
        if path.suffix.lower() in suffixes and path.stem.isdecimal():
            if int(path.stem) in files:
                raise KittiError(f"{path} and {files[int(path.stem)].name} have the same number: remove one")
            files[int(path.stem)] = path
    if not files:
        raise KittiError(f"{data} has no numbered file ({', '.join(suffixes)})")
    if (last := max(files)) >= len(stamps):
        raise KittiError(
            f"{folder / 'timestamps.txt'} is too short: it ends with line {len(stamps)}, "
            f"but {files[last].name} needs line {last + 1}"
        )
    missing = [n for n in range(len(stamps)) if n not in files]
    return [Reading(stamps[n], files[n]) for n in sorted(files)], missing


def _missing(folder: Path, what: str, numbers: list[int]) -> KittiError:
    more = f" ({len(numbers)} are missing in total)" if len(numbers) > 1 else ""
    return KittiError(f"{folder / 'data'} has no {what} {numbers[0]:010d}, but timestamps.txt has a stamp for it{more}")
