"""The frames of each data set that no training sees."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fcn_road_seg.datasets.sample import DatasetError, Sample


def open_held_out(name: str, kind: str, root: str | Path) -> Sequence[Sample]:
    """The validation part of a data set by its name and kind, see `road_seg train --data`.

    Raises:
        DatasetError: there is no such kind, or the folder is none of it, or has no validation part.
    """
    if kind == "folder":
        from fcn_road_seg.datasets.folder import Folder

        return Folder(root, "val", name)
    if kind == "kitti_road":
        from fcn_road_seg.datasets.kitti_road import KittiRoad, split_names

        return KittiRoad(root, split_names("val"))
    if kind == "camvid":
        from fcn_road_seg.datasets.camvid import CamVid

        return CamVid(root, ("val",))
    if kind == "cityscapes":
        from fcn_road_seg.datasets.cityscapes import Cityscapes

        return Cityscapes(root, "val")
    if kind == "bdd100k":
        from fcn_road_seg.datasets.bdd100k import Bdd100k

        return Bdd100k(root, "val")
    raise DatasetError(f"{kind!r} has no validation part; kitti_road, camvid, cityscapes, bdd100k and folder have one")


class Thinned(Sequence):
    """At most `most` frames of a data set, evenly spaced.

    Args:
        prefix: goes before the frames' names, so that those of several sets stay apart.
    """

    def __init__(self, dataset: Sequence[Sample], most: int, prefix: str = ""):
        self.dataset, self.prefix = dataset, prefix
        count = min(most, len(dataset))
        self.indices = [int(i) for i in np.linspace(0, len(dataset) - 1, count).round()] if count else []

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[self.indices[index]]
        return replace(sample, name=self.prefix + sample.name)


class Together(Sequence):
    """Several data sets, one after the other."""

    def __init__(self, datasets: Sequence[Sequence[Sample]]):
        self.places = [(dataset, i) for dataset in datasets for i in range(len(dataset))]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        dataset, i = self.places[index]
        return dataset[i]
