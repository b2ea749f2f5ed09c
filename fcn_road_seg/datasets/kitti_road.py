"""KITTI Road (Fritsch, Kuehnl, Geiger 2013), in its official layout and colours.

    ROOT/training/image_2/um_000000.png        (or another image format)
    ROOT/training/gt_image_2/um_road_000000.png
    ROOT/training/calib/um_000000.txt

Ground truth: red means "valid" and blue means "road", so magenta is road, red is not road, black is ignored.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fcn_road_seg.datasets.label_image import check_labelled, check_size, listed_colours
from fcn_road_seg.files.input import read_text
from fcn_road_seg.frames.image_file import LABEL_SUFFIXES, by_name, read_rgb
from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD, DatasetError, Sample, Samples

_NAME = re.compile(r"(um|umm|uu)_(\d{6})$")
SPLITS = ("train", "val")


class KittiRoad(Samples):
    """The labelled frames of a KITTI Road folder, or those of one split.

    Args:
        root: the folder that holds `training/`.
        names: frame names such as "um_000012", in this order; None takes all labelled frames.

    Raises:
        DatasetError: the folder is not a KITTI Road folder or a named frame is not in it.
    """

    def __init__(self, root: str | Path, names: Sequence[str] | None = None):
        self.root = Path(root)
        images = self.root / "training" / "image_2"
        if not images.is_dir():
            raise DatasetError(f"{root} is not a KITTI Road folder: it has no training/image_2")
        self._images = frame_images(images)
        self._labels = by_name(self.root / "training" / "gt_image_2", LABEL_SUFFIXES)
        labelled = [name for name in self._images if Path(road_file(name)).stem in self._labels]
        self.names = labelled if names is None else list(names)
        missing = [name for name in self.names if name not in labelled]
        if missing:
            raise DatasetError(
                f"{root} lacks the image or the ground truth of {missing[0]} ({len(missing)} frames in all)"
            )
        if not self.names:
            raise DatasetError(f"{root} has no labelled frame in training/image_2 and training/gt_image_2")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        name = self.names[index]
        image = read_rgb(self._images[name])
        path = self.label_path(name)
        colours = read_rgb(path)
        check_size(path, colours.shape[1], colours.shape[0], image)
        label = decode_label(colours, path)
        check_labelled(label, path)
        return Sample(image, label, name)

    def label_path(self, name: str) -> Path:
        """The file of a frame's ground truth."""
        return self._labels[Path(road_file(name)).stem]

    def calibration_path(self, name: str) -> Path:
        return self.root / "training" / "calib" / f"{name}.txt"

    def require_calibrations(self) -> None:
        """Check that every frame has a calibration file.

        Raises:
            DatasetError: a frame has none.
        """
        missing = [name for name in self.names if not self.calibration_path(name).is_file()]
        if missing:
            raise DatasetError(
                f"{self.root} lacks the calibration of {missing[0]} in training/calib ({len(missing)} frames in all)"
            )


def frame_images(folder: Path) -> dict[str, Path]:
    """The images of an image_2 folder by the frames' names, such as "um_000012", in their order."""
    return {name: path for name, path in by_name(folder).items() if _NAME.match(name)}


def road_file(name: str) -> str:
    """The name of a frame's road file: "um_000012" -> "um_road_000012.png"."""
    category, number = name.split("_")
    return f"{category}_road_{number}.png"


def decode_label(colours: np.ndarray, file: str | Path) -> np.ndarray:
    """KITTI Road's ground-truth colours, uint8 H x W x 3 RGB, which were read from `file` -> labels, uint8 H x W.

    Raises:
        DatasetError: a pixel has another colour.
    """
    red, green, blue = np.moveaxis(colours, 2, 0)
    road, not_road = (red == 255) & (blue == 255), (red == 255) & (blue == 0)
    ignored = (red == 0) & (blue == 0)
    other = (green > 0) | ~(road | not_road | ignored)
    if other.any():
        raise DatasetError(
            f"{file} has the {listed_colours(colours[other])}, but KITTI Road's labels have only #ff00ff (road), "
            "#ff0000 (not road) and #000000 (ignored): save them as PNG, and resize them without interpolation"
        )
    label = np.full(colours.shape[:2], IGNORE, np.uint8)
    label[not_road] = NOT_ROAD
    label[road] = ROAD
    return label


def encode_label(label: np.ndarray) -> np.ndarray:
    """The inverse of `decode_label`: labels, uint8 H x W -> KITTI Road's colours, uint8 H x W x 3 RGB."""
    colours = np.zeros((*label.shape, 3), np.uint8)
    colours[label != IGNORE, 0] = 255
    colours[label == ROAD, 2] = 255
    return colours


def split_names(split: str) -> list[str]:
    """The frame names of this project's split by scene: "train" or "val".

    Frames with neighbouring numbers are near-duplicates, so the split holds out complete scenes.
    """
    return read_names(split_path(split))


def split_path(split: str) -> Path:
    """The file of one of `SPLITS`."""
    return Path(__file__).parent / "splits" / f"kitti_road_{split}.txt"


def open_split(root: str | Path, split: str) -> KittiRoad:
    """The frames that an option names: all labelled ones ("all"), one of `SPLITS`, or a file of frame names."""
    if split == "all":
        return KittiRoad(root)
    return KittiRoad(root, split_names(split) if split in SPLITS else read_names(split))


def read_streets(path: str | Path) -> list[tuple[str, list[str]]]:
    """The streets of a split file with their frame names: a comment line begins a street and names it."""
    streets: list[tuple[str, list[str]]] = [("", [])]
    for line in _lines(path):
        name, _, comment = (part.strip() for part in line.partition("#"))
        if name:
            streets[-1][1].append(name)
        elif line.strip():
            streets.append((comment, []))
    return [street for street in streets if street[1]]


def read_names(path: str | Path) -> list[str]:
    """The frame names of a split file: one per line, `#` starts a comment.

    Raises:
        DatasetError: the file cannot be read, or names a frame twice.
    """
    lines: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        name = line.split("#")[0].strip()
        if name and lines.setdefault(name, number) != number:
            raise DatasetError(f"{path} names {name} twice, in lines {lines[name]} and {number}: leave one out")
    return list(lines)


def read_calibration(path: str | Path) -> dict[str, np.ndarray]:
    """Read a KITTI calibration file: its matrices by name (`P2`, `R0_rect`, `Tr_cam_to_road`, ...), float64.

    Raises:
        DatasetError: the file cannot be read, or a matrix in it is malformed.
    """
    matrices = {}
    for line in _lines(path):
        name, _, numbers = line.partition(":")
        if numbers.strip():
            try:
                matrices[name] = np.array(numbers.split(), np.float64).reshape(3, -1)
            except ValueError:
                raise DatasetError(f"{path}: {name} is not a matrix of three rows of numbers") from None
            if not np.isfinite(matrices[name]).all():
                raise DatasetError(f"{path}: {name} contains a number that is not finite")
    return matrices


def _lines(path: str | Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not a text file'}"
        ) from None
