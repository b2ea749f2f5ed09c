"""The training frames from which NNCF learns the activations' ranges; validation frames are never used."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from fcn_road_seg.datasets.camvid import CamVid
from fcn_road_seg.datasets.kitti_road import KittiRoad, split_names
from fcn_road_seg.frames.image_file import images_in, read_rgb
from fcn_road_seg.frames.sample import DatasetError, Samples
from fcn_road_seg.inference.preprocess import network_frame, network_size


@dataclass(frozen=True)
class Calibration:
    """Network inputs and their origin.

    Attributes:
        images: uint8 1 x h x w x 3 RGB each, of network size.
        sources: number of frames per source; a folder's key is its name.
        sha256: of the images' sizes and bytes, in order.
    """

    images: list[np.ndarray]
    sources: dict[str, int]
    sha256: str


def load_calibration(
    frames: int,
    network_width: int,
    kitti_road: str | Path | None = None,
    camvid: str | Path | None = None,
    folders: Sequence[str | Path] = (),
    sets: Mapping[str, Samples] = MappingProxyType({}),
) -> Calibration:
    """Load `frames` frames, the same number from each source, evenly spread over it.

    Args:
        kitti_road: KITTI Road folder; this project's training split is used.
        camvid: CamVid folder; the part "train" is used.
        folders: of images.
        sets: the training parts of data sets by name.

    Raises:
        DatasetError: a source cannot be read or has no images, or no source is given.
    """
    sources: list[tuple[str, Samples | list[Path]]] = []
    if kitti_road:
        present = set(KittiRoad(kitti_road).names)
        names = [name for name in split_names("train") if name in present]
        if not names:
            raise DatasetError(f"{kitti_road} has no frame of the training split")
        sources.append(("kitti_road", KittiRoad(kitti_road, names)))
    if camvid:
        sources.append(("camvid", CamVid(camvid, ("train",))))
    sources += sets.items()
    for folder in map(Path, folders):
        files = images_in(folder) if folder.is_dir() else []
        if not files:
            raise DatasetError(f"there are no images in the folder {folder}")
        sources.append((folder.name, files))
    if not sources or frames < len(sources):
        raise DatasetError(f"{frames} calibration frames from {len(sources)} sources: each source needs at least one")

    images: list[np.ndarray] = []
    counts: Counter[str] = Counter()
    sha = hashlib.sha256()
    for name, source in sources:
        chosen = np.unique(np.linspace(0, len(source) - 1, frames // len(sources)).round().astype(int))
        counts[name] += len(chosen)
        for i in chosen:
            frame = source[int(i)]
            image = read_rgb(frame) if isinstance(frame, Path) else frame.image
            images.append(network_input(image, network_width))
            sha.update(f"{images[-1].shape}".encode())
            sha.update(images[-1].data)
    return Calibration(images, dict(counts), sha.hexdigest())


def network_input(frame: np.ndarray, network_width: int) -> np.ndarray:
    """A frame, uint8 H x W x 3 RGB, resized to network size: uint8 1 x h x w x 3."""
    height, width = frame.shape[:2]
    return np.ascontiguousarray(network_frame(frame, network_size(width, height, network_width)))
