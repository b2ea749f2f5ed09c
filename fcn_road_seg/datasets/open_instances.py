"""Opens the training or the validation part of a data set with instances by its kind."""

from pathlib import Path

from fcn_road_seg.datasets.cityscapes_instances import CityscapesInstances
from fcn_road_seg.frames.sample import DatasetError

KINDS = ("cityscapes",)


def open_instances(kind: str, root: str | Path, part: str) -> CityscapesInstances:
    """Open one part of a data set.

    Args:
        kind: one of `KINDS`.
        part: "train" or "val".

    Raises:
        DatasetError: the kind is unknown, or the folder is not of this kind or has no such part.
    """
    if kind != "cityscapes":
        raise DatasetError(f"{kind!r} is not a data set with instances; there are {', '.join(KINDS)}")
    return CityscapesInstances(root, part)
