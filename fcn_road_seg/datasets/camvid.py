"""CamVid (Brostow, Fauqueur, Cipolla 2009) in SegNet's layout and eleven classes.

ROOT/train/0001TP_006690.png       (or another image format)
ROOT/trainannot/0001TP_006690.png  uint8 class ids, 11 = void
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fcn_road_seg.datasets.label_image import check_labelled, read_ids
from fcn_road_seg.frames.image_file import LABEL_SUFFIXES, by_name, read_rgb
from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD, DatasetError, Sample, Samples

CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
VOID = len(CLASSES)
CITYSCAPES_CLASSES = {
    "sky": "sky",
    "building": "building",
    "pole": "pole",
    "road": "road",
    "pavement": "sidewalk",
    "tree": "vegetation",
    "fence": "fence",
    "car": "car",
    "pedestrian": "person",
}
"""CamVid's classes and their names among Cityscapes' (`cityscapes.CLASSES`).

A sign may be a traffic light there, and a bicyclist is two classes, so both are missing here."""


class CamVid(Samples):
    """The frames of one or more of CamVid's parts ("train", "val", "test").

    `Sample.classes` are indices into `class_names`, which are `CLASSES`.

    Raises:
        DatasetError: a part's folder is missing, or a frame has no annotation.
    """

    def __init__(self, root: str | Path, parts: Sequence[str] = ("train", "val", "test")):
        self.class_names = CLASSES
        self.frames: list[tuple[Path, Path]] = []
        for part in parts:
            folder = Path(root) / part
            if not folder.is_dir():
                raise DatasetError(f"{root} is not a CamVid folder in SegNet's layout: it has no {part}/")
            annotations = by_name(Path(root) / f"{part}annot", LABEL_SUFFIXES)
            for name, path in by_name(folder).items():
                if name not in annotations:
                    raise DatasetError(f"{path} has no annotation {Path(root) / f'{part}annot' / name}.png")
                self.frames.append((path, annotations[name]))
        self.names = [path.stem for path, _ in self.frames]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        path, annotation = self.frames[index]
        image = read_rgb(path)
        ids = read_ids(annotation, image, VOID + 1)
        classes = np.where(ids == VOID, np.uint8(IGNORE), ids)
        label = np.where(ids == CLASSES.index("road"), np.uint8(ROAD), np.uint8(NOT_ROAD))
        label[classes == IGNORE] = IGNORE
        check_labelled(label, annotation)
        return Sample(image, label, path.stem, classes)
