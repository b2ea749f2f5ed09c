"""BDD100K's drivable areas (Yu et al., CVPR 2020), in the current layout and in that of the first release.

    ROOT/images/100k/train/0000f77c-6257be58.jpg                         (or another image format)
    ROOT/labels/drivable/masks/train/0000f77c-6257be58.png               0 direct, 1 alternative, 2 background
    ROOT/drivable_maps/labels/train/0000f77c-6257be58_drivable_id.png    0 background, 1 direct, 2 alternative

Direct is the lane that the car is in or has the right of way on, alternative is a lane it could change to. Oncoming
lanes are background; in Cityscapes they are road, in KITTI Road mostly too.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fcn_road_seg.datasets.label_image import read_ids
from fcn_road_seg.frames.image_file import LABEL_SUFFIXES, SUFFIXES, by_name, read_rgb
from fcn_road_seg.frames.sample import NOT_ROAD, ROAD, DatasetError, Sample, Samples

AREAS = ("direct", "alternative")
# The labels' folder, what their names have behind the images', and the ids of AREAS.
LAYOUTS = (("labels/drivable/masks", "", (0, 1)), ("drivable_maps/labels", "_drivable_id", (1, 2)))
IDS = 3


class Bdd100k(Samples):
    """The frames of one part of BDD100K, read on demand.

    Args:
        root: the folder that holds `images/100k/` and `labels/drivable/` or `drivable_maps/`.
        part: "train" or "val".
        road: the ones of `AREAS` that count as road; the rest is not road.

    Raises:
        DatasetError: a folder or a label is missing, or `road` has an unknown area.
    """

    def __init__(self, root: str | Path, part: str = "train", road: Sequence[str] = AREAS):
        if not road or not set(road) <= set(AREAS):
            raise DatasetError(f"BDD100K's drivable areas are {' and '.join(AREAS)}, not {', '.join(road) or 'none'}")
        images = Path(root) / "images" / "100k" / part
        if not images.is_dir():
            raise DatasetError(f"{root} is not a BDD100K folder: it has no images/100k/{part}")
        there = [layout for layout in LAYOUTS if (Path(root) / layout[0] / part).is_dir()]
        if not there:
            folders = " nor ".join(f"{folder}/{part}" for folder, _, _ in LAYOUTS)
            raise DatasetError(f"{root} has no drivable areas for {part}: neither {folders}")
        folder, ending, ids = there[0]
        labels = by_name(Path(root) / folder / part, LABEL_SUFFIXES)
        self.frames: list[tuple[Path, Path]] = []
        for name, image in by_name(images).items():
            if name + ending not in labels:
                raise DatasetError(f"{image} has no label {Path(root) / folder / part / name}{ending}.png")
            self.frames.append((image, labels[name + ending]))
        if not self.frames:
            raise DatasetError(f"{images} has no images ({', '.join(SUFFIXES)})")
        self.names = [image.stem for image, _ in self.frames]
        self._labels = np.full(IDS, NOT_ROAD, np.uint8)
        self._labels[[ids[AREAS.index(area)] for area in road]] = ROAD

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        path, annotation = self.frames[index]
        image = read_rgb(path)
        return Sample(image, self._labels[read_ids(annotation, image, IDS)], self.names[index])
