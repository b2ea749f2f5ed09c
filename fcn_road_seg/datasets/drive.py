"""Opens a drive as frames: a synthetic drive, a folder of images, a drive of KITTI raw or odometry, or a video."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fcn_road_seg.datasets.kitti_drive import image_folders, stamped
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.bit_depth import BitDepth
from fcn_road_seg.frames.image_file import SUFFIXES, images_in, read_rgb
from fcn_road_seg.frames.video import VideoReader

if TYPE_CHECKING:
    from fcn_road_seg.synthetic import Camera, SyntheticDrive

SYNTHETIC_FRAMES = 40
"""Rendering them takes most of the demo's time."""
MAX_FRAMES = 600


class DriveFrame(NamedTuple):
    """One frame and its ground truth."""

    image: np.ndarray
    """uint8 H x W x 3 RGB."""
    road: np.ndarray | None
    """bool H x W, True on the road, or a label as in `Sample`; None if there is no ground truth."""


@dataclass(frozen=True)
class Drive:
    """A drive that is read frame by frame.

    Attributes:
        name: of the folder, file or synthetic drive.
        count: expected number of frames, for a progress bar.
        frames: in order; they can be read once.
        kitti: camera and folder of a drive of KITTI raw or odometry with stamps and a calibration.
        camera: of a synthetic drive.
        rate: frames per second, of each camera; images without stamps get KITTI's.
        cameras: names of the cameras, whose frames come in turn; a single camera has none.
    """

    name: str
    count: int
    frames: Iterable[DriveFrame]
    kitti: tuple[int, Path] | None = None
    camera: "Camera | None" = None
    rate: float = 10.0
    cameras: Sequence[str] = ("",)


def open_drive(
    path: Path | None, frames: int = 0, rate: float = 10.0, seed: int = 0, cameras: Sequence[str] = ("",)
) -> Drive:
    """Open a drive; its frames are read or rendered one at a time, on demand.

    Args:
        path: a folder of images, a KITTI raw drive (the ..._sync folder), a sequence of KITTI odometry or a video; None
            renders a synthetic drive.
        frames: most frames, of each camera; 0 takes 40 of a synthetic drive, or the first 600 of any other.
        rate: frames per second of the synthetic drive.
        seed: of the synthetic drive; of several cameras' drives the first.
        cameras: names of the cameras that have synthetic drives, each one of its own.

    Raises:
        UserError: ``path`` does not exist, has no images, or is not a video.
    """
    if path is None:
        return _synthetic(frames or SYNTHETIC_FRAMES, rate, seed, cameras)
    limit = frames or MAX_FRAMES
    if path.is_dir():
        images = _images(path)[:limit]
        bit_depth = BitDepth()
        pictures = (DriveFrame(read_rgb(image, bit_depth), None) for image in images)
        return Drive(path.resolve().name, len(images), pictures, stamped(path))
    if not path.exists():
        raise UserError(f"there is no drive {path}: name a folder of images, a KITTI raw drive or a video")
    video = VideoReader(path)
    return Drive(path.name, min(len(video) or limit, limit), _video(video, limit), rate=video.rate)


def _synthetic(count: int, rate: float, seed: int, cameras: Sequence[str]) -> Drive:
    from fcn_road_seg.synthetic import SyntheticDrive

    last = seed + len(cameras) - 1
    drives = [
        SyntheticDrive(seed=each, frames=count, rate=rate, scene="residential", weather="sun")
        for each in range(seed, last + 1)
    ]
    name = f"synthetic drive {seed}" if last == seed else f"synthetic drives {seed} to {last}"
    return Drive(name, len(drives) * count, _rendered(drives), camera=drives[0].camera, rate=rate, cameras=cameras)


def _rendered(drives: list["SyntheticDrive"]) -> Iterator[DriveFrame]:
    """Render the frames of drives of equal length in turn: the first here, the others, once asked for, on all cores."""
    yield _frame(drives, 0)
    count = sum(map(len, drives))
    if count > 1:
        # Spawned, because a fork of a process that has threads may hang.
        with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_keep, initargs=(drives,)) as pool:
            yield from pool.map(_render, range(1, count))


def _frame(drives: list["SyntheticDrive"], index: int) -> DriveFrame:
    at, turn = divmod(index, len(drives))
    frame = drives[turn][at]
    return DriveFrame(frame.image, frame.road)


_kept: list["SyntheticDrive"]
"""The drives of a process that renders."""


def _keep(drives: list["SyntheticDrive"]) -> None:
    global _kept
    _kept = drives


def _render(index: int) -> DriveFrame:
    return _frame(_kept, index)


def _images(folder: Path) -> list[Path]:
    folder = next(iter(image_folders(folder).values()), folder)
    images = images_in(folder)
    if not images:
        raise UserError(f"{folder} has neither images ({', '.join(SUFFIXES)}) nor a KITTI raw drive's image_02/data")
    return images


def _video(video: VideoReader, limit: int) -> Iterator[DriveFrame]:
    for image in islice(video, limit):
        yield DriveFrame(image, None)
