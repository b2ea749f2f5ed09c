"""Opens the training or the validation part of a data set by its name and kind."""

from pathlib import Path

from fcn_road_seg.datasets import kitti_road
from fcn_road_seg.datasets.bdd100k import AREAS, Bdd100k
from fcn_road_seg.datasets.camvid import CamVid
from fcn_road_seg.datasets.cityscapes import Cityscapes
from fcn_road_seg.datasets.folder import Folder
from fcn_road_seg.datasets.label_map import LabelMap
from fcn_road_seg.datasets.selection import NamedSamples, Together
from fcn_road_seg.frames.sample import DatasetError

KINDS = ("kitti_road", "camvid", "cityscapes", "bdd100k", "folder")


def open_dataset(
    kind: str, root: str | Path, part: str, name: str = "", label_map: LabelMap | None = None
) -> NamedSamples:
    """Open one part of a data set.

    Args:
        kind: one of `KINDS`, or a variant such as "cityscapes+parking", see `road_seg train --data`.
        part: "train", "val", or "all", which is every labelled frame. CamVid is trained on all its parts.
        name: of a folder.
        label_map: of a folder, in place of its own.

    Raises:
        DatasetError: the kind is unknown, or the folder is not of this kind or has no such part.
    """
    family, *variant = kind.split("+")
    if family not in KINDS or (variant and family not in ("cityscapes", "bdd100k")):
        raise DatasetError(f"there is no data set {kind!r}; there are {', '.join(KINDS)}, synthetic and unlabelled")
    if family == "folder":
        return Folder(root, part, name, label_map)
    if family == "kitti_road":
        return kitti_road.open_split(root, part)
    parts = ["train", "val"] if part == "all" else [part]
    if family == "camvid":
        return CamVid(root, [*parts, "test"] if part == "all" else parts)
    opened = open_cityscapes if family == "cityscapes" else open_bdd100k
    sets = [opened(root, each, variant) for each in parts]
    return sets[0] if len(sets) == 1 else Together(sets)


def open_cityscapes(root: str | Path, part: str, variant: list[str]) -> Cityscapes:
    """Cityscapes with coarse labels for training, or with more classes that are road, as `variant` says."""
    also_road = [word for word in variant if word != "coarse"]
    if "coarse" in variant and part == "train":
        return Cityscapes(root, "train_extra", "coarse", also_road)
    return Cityscapes(root, part, "fine", also_road)


def open_bdd100k(root: str | Path, part: str, variant: list[str]) -> Bdd100k:
    """BDD100K, whose road are both drivable areas or, as `variant` says, only the direct one."""
    if variant not in ([], ["direct_only"]):
        raise DatasetError(f"bdd100k has only the variant bdd100k+direct_only, not bdd100k+{'+'.join(variant)}")
    return Bdd100k(root, part, road=AREAS[:1] if variant else AREAS)
