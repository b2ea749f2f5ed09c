"""Reads KITTI's files: a drive of KITTI raw (Geiger et al., "Vision meets Robotics", IJRR 2013), a sequence of KITTI
odometry or a KITTI Road folder.

    2011_09_26/calib_cam_to_cam.txt, calib_velo_to_cam.txt, calib_imu_to_velo.txt
    2011_09_26/2011_09_26_drive_0001_sync/image_0N/timestamps.txt, image_0N/data/0000000000.png         N = 0..3
    2011_09_26/2011_09_26_drive_0001_sync/velodyne_points/timestamps.txt, velodyne_points/data/0000000000.bin
    2011_09_26/2011_09_26_drive_0001_sync/oxts/timestamps.txt, oxts/data/0000000000.txt

    sequences/00/calib.txt, times.txt, image_N/000000.png, velodyne/000000.bin

    KITTI_ROAD/training/image_2/um_000000.png, calib/um_000000.txt

The stamp of file number n is in line n + 1 of its timestamps.txt or times.txt.
"""

import re
from collections.abc import Callable
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
    odometry_calibration,
    raw_calibration,
    road_calibration,
    text_of,
)
from fcn_road_seg.datasets.kitti_drive import CALIBRATION, TIMES, date_folder, image_folders, is_odometry
from fcn_road_seg.files.input import read_bytes, visible
from fcn_road_seg.frames.image_file import SUFFIXES, images_in

ROAD_RATE = 10
"""Hz, nominal: KITTI Road's frames have no timestamps."""
ROAD_START = 1317042000 * 10**9
"""Nominal stamp at which KITTI Road and odometry begin: 2011-09-26 13:00:00 UTC, in nanoseconds."""
OXTS_VALUES = 30
STAMPS = "timestamps.txt"
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,9}))?$")


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
    """List a KITTI raw drive (the ..._sync folder), a sequence of KITTI odometry or a KITTI Road folder.

    Args:
        path: the folder.
        cameras: numbers, 0 to 3, of the cameras to use; None for all in the folder.

    Raises:
        KittiError: the folder is none of these, or one of its files is missing, too short or malformed.
    """
    path = Path(path)
    if is_odometry(path):
        return _open_odometry(path, cameras)
    for road in (path / "training", path):
        if (road / "image_2").is_dir():
            return _open_road(road, path.resolve().name, cameras)
    found = [n for n in range(4) if (path / f"image_0{n}").is_dir()]
    if not found:
        drives = sorted(p.name for p in path.glob("*_drive_*") if p.is_dir())
        raise KittiError(
            f"{path} is the folder of a date: give one of its drives, such as {path / drives[0]}"
            if drives
            else f"{path} has neither image_00 to image_03 of a KITTI raw drive, nor calib.txt and times.txt of KITTI "
            "odometry, nor training/image_2 of KITTI Road"
        )
    return _open_raw(path, _chosen(path, found, cameras))


def read_stamps(path: Path) -> list[int]:
    """Read the lines of a timestamps.txt as UTC; returns nanoseconds since 1970.

    Raises:
        KittiError: the file is missing or a line is not a time; the message names file and line.
    """
    return _stamps(path, _nanoseconds, "2011-09-26 13:02:25.964389445")


def read_times(path: Path) -> list[int]:
    """Read the lines of a times.txt as seconds after `ROAD_START`; returns nanoseconds since 1970.

    Raises:
        KittiError: as in `read_stamps`.
    """
    return _stamps(path, _nanoseconds_after_start, "1.036224e-01 seconds")


def _stamps(path: Path, parse: Callable[[str], int | None], example: str) -> list[int]:
    stamps = []
    for number, line in enumerate(text_of(path).rstrip().splitlines(), 1):
        stamp = parse(line.strip())
        if stamp is None:
            raise KittiError(f"{path}, line {number}: {line.strip()!r} is not a time such as {example}")
        stamps.append(stamp)
    return stamps


def _nanoseconds_after_start(text: str) -> int | None:
    """Nanoseconds since 1970 of seconds after `ROAD_START`; None if they are not a number of seconds in 0 to a day."""
    seconds = numbers(text)
    if seconds is None or len(seconds) != 1 or not 0 <= seconds[0] <= 86400:
        return None
    return ROAD_START + round(float(seconds[0]) * 1e9)


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
    content = read_bytes(path)
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
    date = date_folder(path)
    calibration = raw_calibration(date, cameras)
    drive = Drive(path.resolve().name, calibration, {})
    for n in cameras:
        folder = path / f"image_0{n}"
        drive.images[n] = _images(folder / "data", folder / STAMPS, read_stamps, calibration.projections[n])
    if (path / "velodyne_points").is_dir():
        if calibration.velo_to_rect is None:
            raise KittiError(f"{date / 'calib_velo_to_cam.txt'} is missing: {path / 'velodyne_points'} needs it")
        _add_scans(drive, path / "velodyne_points" / "data", path / "velodyne_points" / STAMPS, read_stamps)
    if (path / "oxts").is_dir():
        if calibration.imu_to_velo is None or calibration.velo_to_rect is None:
            name = "calib_velo_to_cam.txt" if calibration.velo_to_rect is None else "calib_imu_to_velo.txt"
            raise KittiError(f"{date / name} is missing: {path / 'oxts'} needs it")
        folder = path / "oxts"
        drive.oxts, missing = _readings(folder / "data", folder / STAMPS, read_stamps, "packet", (".txt",))
        if missing:
            raise KittiError(missing)
    return drive


def _open_odometry(path: Path, cameras: list[int] | None) -> Drive:
    folders, times = image_folders(path), path / TIMES
    if not folders:
        raise KittiError(f"{path} has no image_0 to image_3")
    chosen = _chosen(path, sorted(folders), cameras)
    calibration = odometry_calibration(path / CALIBRATION, chosen)
    drive = Drive(path.resolve().name, calibration, {})
    for n in chosen:
        drive.images[n] = _images(folders[n], times, read_times, calibration.projections[n])
    if (path / "velodyne").is_dir():
        if calibration.velo_to_rect is None:
            raise KittiError(f"{path / CALIBRATION} has no Tr: {path / 'velodyne'} needs it")
        _add_scans(drive, path / "velodyne", times, read_times)
    drive.notes.append("KITTI odometry has no dates: the stamps are those of times.txt after 2011-09-26 13:00:00 UTC")
    return drive


def _images(folder: Path, stamps: Path, read: Callable[[Path], list[int]], projection: np.ndarray) -> list[Reading]:
    readings, missing = _readings(folder, stamps, read, "image", SUFFIXES)
    if missing:
        raise KittiError(missing)
    return [reading._replace(projection=projection) for reading in readings]


def _add_scans(drive: Drive, folder: Path, stamps: Path, read: Callable[[Path], list[int]]) -> None:
    drive.velodyne, missing = _readings(folder, stamps, read, "scan", (".bin",))
    if missing:  # the published 2011_09_26_drive_0009_sync lacks four scans
        drive.notes.append(f"{missing}; the bag has a gap there")


def _open_road(folder: Path, name: str, cameras: list[int] | None) -> Drive:
    _chosen(folder, [ROAD_CAMERA], cameras)
    readings, calibration = [], None
    for i, image in enumerate(images_in(folder / "image_2")):
        own = road_calibration(folder / "calib" / f"{image.stem}.txt")
        calibration = calibration or own
        readings.append(Reading(ROAD_START + i * 10**9 // ROAD_RATE, image, own.projections[ROAD_CAMERA]))
    if calibration is None:
        raise KittiError(f"{folder / 'image_2'} has no image ({', '.join(SUFFIXES)})")
    note = f"KITTI Road has no timestamps: the frames get {ROAD_RATE} Hz, from 2011-09-26 13:00:00 UTC, ordered by name"
    return Drive(name, calibration, {ROAD_CAMERA: readings}, notes=[note])


def _chosen(path: Path, found: list[int], cameras: list[int] | None) -> list[int]:
    for n in cameras or ():
        if n not in found:
            raise KittiError(f"{path} has no camera {n}; it has {', '.join(map(str, found))}")
    return sorted(set(cameras)) if cameras else found


def _readings(
    data: Path, stamp_file: Path, read: Callable[[Path], list[int]], what: str, suffixes: tuple[str, ...]
) -> tuple[list[Reading], str]:
    """The numbered files of a folder with their stamps, and a sentence about stamps without a file, if any."""
    stamps = read(stamp_file)
    if not data.is_dir():
        raise KittiError(f"{data} is missing")
    files: dict[int, Path] = {}
    for path in visible(data):
        if path.suffix.lower() in suffixes and path.stem.isdecimal():
            if int(path.stem) in files:
                raise KittiError(f"{path} and {files[int(path.stem)].name} have the same number: remove one")
            files[int(path.stem)] = path
    if not files:
        raise KittiError(f"{data} has no numbered file ({', '.join(suffixes)})")
    if (last := max(files)) >= len(stamps):
        raise KittiError(
            f"{stamp_file} is too short: it ends with line {len(stamps)}, but {files[last].name} needs line {last + 1}"
        )
    missing = [n for n in range(len(stamps)) if n not in files]
    readings = [Reading(stamps[n], files[n]) for n in sorted(files)]
    if not missing:
        return readings, ""
    first = f"{missing[0]:0{len(files[last].stem)}d}"
    more = f" ({len(missing)} are missing in total)" if len(missing) > 1 else ""
    return readings, f"{data} has no {what} {first}, but {stamp_file.name} has a stamp for it{more}"
