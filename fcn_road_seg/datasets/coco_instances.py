"""Instances in COCO's format (https://cocodataset.org/#format-data): COCO itself, or your own data.

ROOT/annotations/instances_train2017.json, images in ROOT/train2017, ROOT/images/train2017 or ROOT/images  (COCO, CVAT)
ROOT/train/_annotations.coco.json, images beside it                                                        (Roboflow)
"""

from pathlib import Path

import numpy as np

from fcn_road_seg.datasets.coco import CocoFile
from fcn_road_seg.frames.image_file import read_rgb
from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES, InstanceSample, InstanceSamples
from fcn_road_seg.frames.sample import DatasetError

ROBOFLOW = "_annotations.coco.json"
FOLDERS = {"train": ("train",), "val": ("val", "valid")}
"""How the folders and files of a part begin."""


class CocoInstances(InstanceSamples):
    """The frames of one part of a data set in COCO's format with their instances, read on demand.

    Categories with the names of `INSTANCE_CLASSES`, in upper or lower case, count; the others are background. Crowds
    are ignored for their class. Frames without annotations are background.

    Args:
        root: of the data set, see above.
        part: "train" or "val".

    Raises:
        DatasetError: a file is missing or malformed, or no category counts.
    """

    def __init__(self, root: str | Path, part: str = "train"):
        self.file = CocoFile(annotation_file(Path(root), part))
        self.names = list(self.file.images)
        self._labels = {
            number: INSTANCE_CLASSES.index(name.lower())
            for number, name in self.file.categories.items()
            if name.lower() in INSTANCE_CLASSES
        }
        if not self._labels:
            known = ", ".join(INSTANCE_CLASSES)
            raise DatasetError(f"{self.file.path} has none of the categories {known}: rename those that mean these")
        suffix = self.file.path.stem.removeprefix("instances_")
        self._folders = (
            [self.file.path.parent]
            if self.file.path.name == ROBOFLOW
            else [Path(root) / suffix, Path(root) / "images" / suffix, Path(root) / "images", Path(root)]
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> InstanceSample:
        name = self.names[index]
        image = read_rgb(self._image(name))
        self.file.check_size(name, image)
        height, width = image.shape[:2]
        instances: list[tuple[np.ndarray, int]] = []
        ignored: list[tuple[np.ndarray, int]] = []
        for annotation in self.file.annotations.get(name, []):
            category = self.file.category(name, annotation)
            label = self._labels.get(annotation["category_id"])
            if label is None:
                continue
            shapes = annotation.get("segmentation")
            if not shapes:
                raise DatasetError(
                    f"{self.file.place(name)} has a {category!r} without a polygon or mask: a box does not say which "
                    "pixels it has"
                )
            mask = self.file.mask(name, shapes, height, width)
            if not mask.any():
                continue
            (ignored if annotation.get("iscrowd") else instances).append((mask, label))
        return InstanceSample.of_lists(image, instances, ignored, name)

    def _image(self, name: str) -> Path:
        file_name = str(self.file.images[name]["file_name"])
        for folder in self._folders:
            if (folder / file_name).is_file():
                return folder / file_name
        raise DatasetError(f"{self.file.place(name)} is in none of {', '.join(map(str, self._folders))}")


def annotation_file(root: Path, part: str) -> Path:
    """The COCO file of a part.

    Raises:
        DatasetError: there is none, or there are several.
    """
    found = [root / start / ROBOFLOW for start in FOLDERS[part] if (root / start / ROBOFLOW).is_file()]
    for start in FOLDERS[part]:
        found += sorted((root / "annotations").glob(f"instances_{start}*.json"))
    if len(found) == 1:
        return found[0]
    wanted = f"annotations/instances_{part}*.json or {FOLDERS[part][-1]}/{ROBOFLOW}"
    if found:
        raise DatasetError(f"{root} has {' and '.join(str(path.relative_to(root)) for path in found)}: leave one")
    raise DatasetError(f"{root} is not a data set in COCO's format with a part {part}: it needs {wanted}")
