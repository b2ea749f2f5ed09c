"""CamVid (Brostow, Fauqueur, Cipolla 2009) in SegNet's layout and eleven classes.

ROOT/train/0001TP_006690.png       (.jpg is read as well)
ROOT/trainannot/0001TP_006690.png  uint8 class ids, 11 = void
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.frames.image_file import read_rgb
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

    Raises:
        DatasetError: a part's folder is missing, or a frame has no annotation.
    """

    def __init__(self, root: str | Path, parts: Sequence[str] = ("train", "val", "test")):
        self.frames: list[tuple[Path, Path]] = []
        for part in parts:
            folder = Path(root) / part
            if not folder.is_dir():
                raise DatasetError(f"{root} is not a CamVid folder in SegNet's layout: it has no {part}/")
            for path in sorted(folder.iterdir()):
                if path.suffix in (".png", ".jpg"):
                    annotation = Path(root) / f"{part}annot" / f"{path.stem}.png"
                    if not annotation.exists():
                        raise DatasetError(f"{path} has no annotation {annotation}")
                    self.frames.append((path, annotation))
        self.names = [path.stem for path, _ in self.frames]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        path, annotation = self.frames[index]
        image = read_rgb(path)
        ids = cv2.imread(str(annotation), cv2.IMREAD_UNCHANGED)
        if ids is None or ids.shape != image.shape[:2]:
            raise DatasetError(f"{annotation} is not a single-channel image of the size of {path}")
        classes = np.where(ids >= VOID, np.uint8(IGNORE), ids)
        label = np.where(ids == CLASSES.index("road"), np.uint8(ROAD), np.uint8(NOT_ROAD))
        label[classes == IGNORE] = IGNORE
        return Sample(image, label, path.stem, classes)
