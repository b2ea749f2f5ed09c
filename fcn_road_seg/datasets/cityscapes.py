"""Cityscapes (Cordts et al., CVPR 2016), in its official layout.

ROOT/leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png         (train, val, train_extra; or another format)
ROOT/gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png          uint8 class ids 0..33
ROOT/gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png       uint16, read where labelIds are missing:
                                                                           class ids, or class id * 1000 + instance
ROOT/gtCoarse/train_extra/bayreuth/bayreuth_000000_000000_gtCoarse_labelIds.png
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from fcn_road_seg.datasets.label_image import check_labelled, read_ids
from fcn_road_seg.errors import first_line
from fcn_road_seg.files.input import visible
from fcn_road_seg.frames.image_file import LABEL_SUFFIXES, by_name, read_rgb
from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD, DatasetError, Sample, Samples

IGNORED = ("unlabeled", "rectification border", "out of roi", "ground")  # ground: of unknown kind
OPTIONAL_ROAD = ("parking", "rail_track")
CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
"""The 19 that Cityscapes trains and evaluates on, in the order of their train ids."""
IMAGES = "leftImg8bit"
INSTANCES = 1000  # instanceIds from here up are class id * 1000 + instance


class Cityscapes(Samples):
    """The frames of one part of Cityscapes, read on demand.

    `Sample.classes` are indices into `class_names`, which are `CLASSES`; the other classes are ignored in them. The own
    vehicle is not road.

    Args:
        root: the folder that holds `leftImg8bit/` and `gtFine/` or `gtCoarse/`, or their zip files, which
            torchvision then extracts there.
        part: "train" or "val"; coarse labels have "train_extra" as well.
        mode: "fine" or "coarse" labels.
        also_road: the ones of `OPTIONAL_ROAD` that count as road besides the class road; the others are not road.

    Raises:
        DatasetError: a folder or a label is missing, or an argument has an unknown value.
    """

    def __init__(self, root: str | Path, part: str = "train", mode: str = "fine", also_road: Sequence[str] = ()):
        for name in also_road:
            if name not in OPTIONAL_ROAD:
                raise DatasetError(
                    f"Cityscapes can count {' and '.join(OPTIONAL_ROAD)} as road besides road, but not {name!r}"
                )
        kind = f"gt{mode.capitalize()}"
        images, labels = (Path(root) / folder / part for folder in (IMAGES, kind))
        if not (images.is_dir() and labels.is_dir()):
            _extract(root, part, mode, kind)
        self.frames: list[tuple[Path, Path]] = []
        self.names: list[str] = []
        for city in filter(Path.is_dir, visible(images)):
            files = by_name(labels / city.name, LABEL_SUFFIXES)
            for name, image in by_name(city).items():
                if name.endswith(f"_{IMAGES}"):
                    self.names.append(name.removesuffix(f"_{IMAGES}"))
                    stem = f"{self.names[-1]}_{kind}_"
                    label = files.get(f"{stem}labelIds") or files.get(f"{stem}instanceIds")
                    if label is None:
                        raise DatasetError(f"{image} has no label {labels / city.name / stem}labelIds.png")
                    self.frames.append((image, label))
        if not self.frames:
            raise DatasetError(f"{images} has no CITY/*_{IMAGES}.png")
        self._labels = tables(also_road)[0]
        self.name_classes(CLASSES)

    def name_classes(self, names: Sequence[str]) -> None:
        """Have `Sample.classes` be indices into these of Cityscapes' classes."""
        self.class_names = names
        self._classes = tables(classes=names)[1]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        path, annotation = self.frames[index]
        image = read_rgb(path)
        ids = read_ids(annotation, image, len(self._labels), INSTANCES)
        label = self._labels[ids]
        check_labelled(label, annotation)
        return Sample(image, label, self.names[index], self._classes[ids])


def _extract(root: str | Path, part: str, mode: str, kind: str) -> None:
    """Have torchvision extract Cityscapes' zip files in `root`.

    Raises:
        DatasetError: they are missing or damaged, or `part` or `mode` is unknown.
    """
    from torchvision import datasets

    try:
        datasets.Cityscapes(str(root), part, mode, "semantic")
    except RuntimeError:
        raise DatasetError(f"{root} is not a Cityscapes folder: it needs {IMAGES}/{part} and {kind}/{part}") from None
    except (OSError, ValueError, BadZipFile) as error:
        raise DatasetError(f"cannot read {root} as Cityscapes: {first_line(error)}") from None


@cache
def class_ids() -> dict[str, int]:
    """Cityscapes' class names and their ids, 0 to 33; torchvision, which has them, loads torch."""
    from torchvision import datasets

    return {entry.name: entry.id for entry in datasets.Cityscapes.classes if entry.id >= 0}


def tables(also_road: Sequence[str] = (), classes: Sequence[str] = CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """The label of each of Cityscapes' ids and its index in `classes`, uint8 34 each."""
    ids = class_ids()
    labels = np.full(len(ids), NOT_ROAD, np.uint8)
    labels[[ids[name] for name in IGNORED]] = IGNORE
    labels[[ids[name.replace("_", " ")] for name in ("road", *also_road)]] = ROAD
    indices = np.full(len(ids), IGNORE, np.uint8)
    indices[[ids[name] for name in classes]] = np.arange(len(classes))
    return labels, indices
