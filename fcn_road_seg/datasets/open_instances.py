"""Opens the training or the validation part of a data set with instances by its kind."""

from pathlib import Path
from typing import Protocol

from fcn_road_seg.datasets.cityscapes_instances import CityscapesInstances
from fcn_road_seg.datasets.coco_instances import CocoInstances
from fcn_road_seg.frames.instance_sample import InstanceSamples
from fcn_road_seg.frames.sample import DatasetError

INSTANCE_KINDS = ("cityscapes", "coco")


class NamedInstances(InstanceSamples, Protocol):
    """Frames with instances whose names are known without reading them."""

    names: list[str]


def open_instances(kind: str, root: str | Path, part: str) -> NamedInstances:
    """Open one part of a data set.

    Args:
        kind: one of `INSTANCE_KINDS`.
        part: "train" or "val".

    Raises:
        DatasetError: the kind is unknown, or the folder is not of this kind or has no such part.
    """
    if kind == "cityscapes":
        return CityscapesInstances(root, part)
    if kind == "coco":
        return CocoInstances(root, part)
    raise DatasetError(f"{kind!r} is not a data set with instances; there are {', '.join(INSTANCE_KINDS)}")
