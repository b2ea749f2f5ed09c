"""The validation parts of data sets, which no training sees."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from fcn_road_seg.datasets.folder import EmptyPartError
from fcn_road_seg.datasets.label_map import LabelMap
from fcn_road_seg.datasets.open_dataset import open_dataset
from fcn_road_seg.datasets.selection import NamedSamples, Thinned
from fcn_road_seg.frames.sample import DatasetError

VAL_IMAGES = {"cityscapes": "leftImg8bit/val", "bdd100k": "images/100k/val"}
"""Folders without which these data sets have no validation part."""


def open_validation(
    sets: Iterable[tuple[str, str, str]], most: int, label_maps: Mapping[str, LabelMap]
) -> dict[str, NamedSamples]:
    """The validation parts of data sets that training does not see, by their names; sets without one are left out.

    CamVid is left out because training takes all of it, and Cityscapes' coarse labels because they have no part of
    their own.

    Args:
        sets: name, kind (see `open_dataset`) and folder of each.
        most: frames of each set, evenly spaced; KITTI Road keeps all, which its bird's-eye view needs.
        label_maps: of folders by name, in place of their own.

    Raises:
        DatasetError: no set has a validation part, or one cannot be read.
    """
    parts: dict[str, NamedSamples] = {}
    for name, kind, root in sets:
        family, *variant = kind.split("+")
        if (
            "coarse" in variant
            or family in ("camvid", "unlabelled")
            or (family in VAL_IMAGES and not (Path(root) / VAL_IMAGES[family]).is_dir())
        ):
            continue
        try:
            frames = open_dataset(kind, root, "val", name, label_maps.get(name))
        except EmptyPartError:
            continue
        parts[name] = frames if family == "kitti_road" or len(frames) <= most else Thinned(frames, most)
    if not parts:
        raise DatasetError(
            "nothing validates this training: give --data folder:DIR with frames in val.txt, or --data kitti_road:DIR"
        )
    return parts
