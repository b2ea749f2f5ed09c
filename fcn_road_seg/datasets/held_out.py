"""The parts of each data set by its kind; above all the validation part, which no training sees."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from fcn_road_seg.datasets import kitti_road
from fcn_road_seg.datasets.bdd100k import Bdd100k
from fcn_road_seg.datasets.camvid import CamVid
from fcn_road_seg.datasets.cityscapes import Cityscapes
from fcn_road_seg.datasets.folder import Folder
from fcn_road_seg.frames.sample import DatasetError, Sample, Samples


class NamedSamples(Samples, Protocol):
    """Labelled frames whose names are known without reading them."""

    names: list[str]


def open_held_out(name: str, kind: str, root: str | Path) -> NamedSamples:
    """Open the validation part of a data set by its name and kind, see `open_part`."""
    return open_part(name, kind, root, "val")


def open_part(name: str, kind: str, root: str | Path, part: str) -> NamedSamples:
    """Open a part of a data set by its name and kind, see `road_seg train --data`.

    Args:
        part: one of `folder.PARTS`; "all" is every labelled frame.

    Raises:
        DatasetError: the kind is unknown, or the folder is not of this kind or has no such part.
    """
    parts = ["train", "val"] if part == "all" else [part]
    match kind:
        case "folder":
            return Folder(root, part, name)
        case "kitti_road":
            return kitti_road.open_split(root, part)
        case "camvid":
            return CamVid(root, [*parts, "test"] if part == "all" else parts)
        case "cityscapes":
            return Together([Cityscapes(root, each) for each in parts])
        case "bdd100k":
            return Together([Bdd100k(root, each) for each in parts])
    raise DatasetError(f"{kind!r} has no validation part; kitti_road, camvid, cityscapes, bdd100k and folder have one")


class Thinned(Samples):
    """At most `most` frames of a data set, evenly spaced.

    Args:
        most: 1 or more.
        prefix: goes before the frames' names, so that frames of several sets have different names.
    """

    def __init__(self, dataset: NamedSamples, most: int, prefix: str = ""):
        self.dataset = dataset
        count = min(most, len(dataset))
        self.indices = [int(i) for i in np.linspace(0, len(dataset) - 1, count).round()] if count else []
        self.names = [prefix + dataset.names[i] for i in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return replace(self.dataset[self.indices[index]], name=self.names[index])


class Together(Samples):
    """Several data sets, one after the other."""

    def __init__(self, datasets: Sequence[NamedSamples]):
        self.names = [name for dataset in datasets for name in dataset.names]
        self.places = [(dataset, i) for dataset in datasets for i in range(len(dataset))]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        dataset, i = self.places[index]
        return dataset[i]
