"""Labelled frames in a folder: anyone's own, or another data set's.

ROOT/images/NAME.jpg       (any image format that OpenCV reads)
ROOT/labels/NAME.png       uint8: 0 not road, 1 road, 255 ignore; or other values that the label map names
ROOT/label_map.yaml        optional: which ids, colours or categories are road, see `label_map`
ROOT/train.txt, val.txt    optional: the names of each part, one per line; `#` starts a comment

In place of a PNG, labelme's NAME.json, in labels/ or beside the image; in place of labels/, COCO's annotations.json, or
the only JSON file of annotations/.
"""

import re
import struct
from pathlib import Path

from PIL import Image

from fcn_road_seg.datasets.coco import CocoLabels
from fcn_road_seg.datasets.kitti_road import read_names
from fcn_road_seg.datasets.label_image import check_labelled, read_label
from fcn_road_seg.datasets.label_map import FILE_NAME, NAMES, LabelMap, listed, read_label_map
from fcn_road_seg.datasets.labelme import read_shapes
from fcn_road_seg.frames.image_file import LABEL_SUFFIXES, LOSSY_SUFFIXES, by_name, read_rgb
from fcn_road_seg.frames.sample import DatasetError, Sample, Samples

PARTS = ("train", "val", "all")
SPLITS = Path(__file__).parent / "splits"
HELD_OUT = 0.2
"""Share of the frames, the last ones by name (see `in_order`), that validates a folder without lists."""
EXIF_ORIENTATION = 0x0112


class EmptyPartError(DatasetError):
    """A part of a folder without frames."""


class Folder(Samples):
    """The frames of one part of a folder, read on demand.

    The validation part is listed in `val.txt`, or else in this project's `splits/NAME_val.txt`; an empty list says that
    every frame is for training. The training part is listed in `train.txt`, or else it is every frame outside the
    validation part. Without any list the last fifth of the frames by name (`HELD_OUT`) is for validation: neighbours in
    number are often neighbours in a drive, so the two parts should meet only once.

    Args:
        root: the folder that holds `images/` and the labels.
        part: one of `PARTS`.
        name: of the data set.
        label_map: in place of the folder's own.

    Attributes:
        remarks: what the user should know about the choice of frames: sentences without a full stop.

    Raises:
        DatasetError: a folder, an image or a label is missing, or invalid.
        EmptyPartError: the part has no frames.
    """

    def __init__(self, root: str | Path, part: str = "train", name: str = "", label_map: LabelMap | None = None):
        if part not in PARTS:
            raise DatasetError(f"a folder's parts are {', '.join(PARTS)}, not {part!r}")
        self.root = Path(root)
        self.remarks: list[str] = []
        if not (self.root / "images").is_dir():
            raise DatasetError(f"{root} is not a folder of labelled frames: it has no images/")
        if label_map is None and (self.root / FILE_NAME).is_file():
            label_map = read_label_map(self.root / FILE_NAME)
        self.label_map = label_map
        self._images = by_name(self.root / "images")
        self._labels = {
            **by_name(self.root / "images", (".json",)),
            **by_name(self.root / "labels", (".json",)),
            **by_name(self.root / "labels", LABEL_SUFFIXES),
        }
        coco = None if (self.root / "labels").is_dir() else coco_file(self.root)
        self._coco = CocoLabels(coco, label_map or NAMES) if coco else None
        frames = list(self._images)
        if self._coco:
            frames = sorted(self._coco.names)
            if left_out := len(self._images.keys() - set(frames)):
                self.remarks.append(
                    f"{coco} has no annotations of {left_out} of the {len(self._images)} images: they are left out"
                )
        elif (unread := self.root / "annotations.json").is_file() or (unread := self.root / "annotations").is_dir():
            self.remarks.append(f"{unread} is not read, because {self.root / 'labels'} has the labels")
        self.names, by_rule = part_names(self.root, part, frames, name)
        if by_rule and part != "all":
            held_out = f"{len(frames) - len(self.names) if part == 'train' else len(self.names)} of {len(frames)}"
            self.remarks.append(
                f"{root} has no val.txt: the last {held_out} frames by name validate; list them in val.txt to choose "
                "others, or leave it empty to train on all"
            )
        self._check(frames)
        if not self.names:
            raise EmptyPartError(f"{root} has no {'frames' if part == 'all' else f'{part} part'}")

    def _check(self, frames: list[str]) -> None:
        for name in self.names:
            if name not in self._images:
                raise DatasetError(f"{self.root / 'images'} has no image of {name}")
            if self._coco and name not in self._coco.names:
                raise DatasetError(f"{self._coco.path} has no annotation of {name}")
            if not self._coco and name not in self._labels:
                missing = len(self._images.keys() - self._labels.keys())
                if lossy := by_name(self.root / "labels", LOSSY_SUFFIXES).get(name):
                    raise DatasetError(f"{lossy} is a JPEG, whose pixels are not exact: save labels as PNG")
                raise DatasetError(
                    f"{self._images[name]} has no label {self.root / 'labels' / name}.png or .json ({missing} of "
                    f"{len(frames)} images have none): label it, or list the labelled frames in train.txt and val.txt"
                )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        name = self.names[index]
        image = read_rgb(self._images[name])
        check_upright(self._images[name])
        path = self._coco.path if self._coco else self._labels[name]
        if self._coco:
            label = self._coco.read(name, image)
        elif path.suffix.lower() == ".json":
            label = read_shapes(path, image, self.label_map or NAMES)
        else:
            label = read_label(path, image, self.label_map)
        check_labelled(label, f"{path}, image {name}," if self._coco else path)
        return Sample(image, label, name)


def coco_file(root: Path) -> Path | None:
    """The file of COCO annotations in a folder; None if there is none.

    Raises:
        DatasetError: `annotations/` has several JSON files.
    """
    if (root / "annotations.json").is_file():
        return root / "annotations.json"
    files = list(by_name(root / "annotations", (".json",)).values())
    if len(files) > 1:
        raise DatasetError(
            f"{root / 'annotations'} has {len(files)} JSON files ({files[0].name}, {files[1].name}, ...): keep the one "
            "with the road's polygons, or call it annotations.json and put it beside images/"
        )
    return files[0] if files else None


def check_upright(path: Path) -> None:
    """Check that a photo's pixels are stored as they are seen.

    Annotation tools draw on the photo as it is seen, and cameras in a vehicle send pixels, not EXIF: if the two differ,
    labels fit neither.

    Raises:
        DatasetError: the photo's EXIF orientation asks the viewer to turn or mirror it. PNGs are not checked.
    """
    try:
        with Image.open(path) as file:  # a PNG would be decoded to look for EXIF
            orientation = 1 if file.format == "PNG" else file.getexif().get(EXIF_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, struct.error):  # Pillow raises these for EXIF that cannot be read
        return
    if orientation not in (0, 1):
        raise DatasetError(
            f"{path} is stored turned or mirrored (EXIF orientation {orientation}), so its label may not fit: turn its "
            "pixels, for example with `mogrify -auto-orient`, and check the label"
        )


def part_names(root: Path, part: str, names: list[str], name: str = "") -> tuple[list[str], bool]:
    """The names of a part's frames among all `names` of a folder, and whether the last fifth is the validation part."""
    by_rule = False
    if part == "all":
        return names, by_rule
    lists = {p: root / f"{p}.txt" for p in ("train", "val")}
    if all(file.is_file() for file in lists.values()):
        train, val = map(read_names, lists.values())
        if both := [frame for frame in train if frame in set(val)]:
            raise DatasetError(
                f"{lists['train']} and {lists['val']} both name {listed(both)}: a frame trains or validates"
            )
    if lists[part].is_file():
        return read_names(lists[part]), by_rule
    known = SPLITS / f"{Path(name).name}_val.txt"
    if lists["val"].is_file():
        held_out = set(read_names(lists["val"]))
    elif name and known.is_file():
        held_out = set(read_names(known))
    elif lists["train"].is_file() or len(names) < 2:
        held_out = set[str]()
    else:
        by_rule = True
        held_out = set(sorted(names, key=in_order)[-max(1, round(HELD_OUT * len(names))) :])
    return [frame for frame in names if (frame in held_out) == (part == "val")], by_rule


def in_order(name: str) -> list[tuple[int, str]]:
    """A key that sorts names by the numbers in them, so that frame_9 comes before frame_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
