"""Some frames of one data set, or those of several."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from fcn_road_seg.frames.instance_sample import InstanceSample
from fcn_road_seg.frames.sample import Sample, Samples


class NamedSamples(Samples, Protocol):
    """Labelled frames whose names are known without reading them."""

    names: list[str]


def remarks(datasets: Iterable[Samples]) -> list[str]:
    """What the user should know about the choice of their frames, in sentences."""
    return [f"{remark}." for frames in datasets for remark in getattr(frames, "remarks", ())]


FrameType = TypeVar("FrameType", Sample, InstanceSample)
AnyFrame = TypeVar("AnyFrame", bound=Sample | InstanceSample, covariant=True)


class NamedFrames(Protocol[AnyFrame]):
    """Frames by index, of either kind, whose names are known without reading them."""

    names: list[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> AnyFrame: ...


class Thinned(Generic[FrameType]):
    """At most `most` frames of a data set, evenly spaced.

    Args:
        most: 1 or more.
        prefix: goes before the frames' names, so that frames of several sets have different names.
    """

    def __init__(self, dataset: NamedFrames[FrameType], most: int, prefix: str = ""):
        self.dataset: NamedFrames[FrameType] = dataset
        count = min(most, len(dataset))
        self.indices = [int(i) for i in np.linspace(0, len(dataset) - 1, count).round()] if count else []
        self.names = [prefix + dataset.names[i] for i in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> FrameType:
        return replace(self.dataset[self.indices[index]], name=self.names[index])

    def __iter__(self) -> Iterator[FrameType]:
        return (self[i] for i in range(len(self)))


class Together(Samples):
    """Several data sets, one after the other."""

    def __init__(self, datasets: Sequence[NamedSamples]):
        self.datasets = datasets
        self.names = [name for dataset in datasets for name in dataset.names]
        self.places = [(dataset, i) for dataset in datasets for i in range(len(dataset))]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        dataset, i = self.places[index]
        return dataset[i]
