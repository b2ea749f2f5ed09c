"""Labelled frames in a folder: anyone's own, or another data set's.

ROOT/images/NAME.jpg       (any image format that OpenCV reads)
ROOT/labels/NAME.png       uint8: 0 not road, 1 road, 255 ignore
ROOT/train.txt, val.txt    optional: the names of each part, one per line; `#` starts a comment
"""

from pathlib import Path

from fcn_road_seg.datasets.kitti_road import read_names
from fcn_road_seg.datasets.label_image import read_ids
from fcn_road_seg.frames.image_file import images_in, read_rgb
from fcn_road_seg.frames.sample import IGNORE, ROAD, DatasetError, Sample, Samples

PARTS = ("train", "val", "all")
SPLITS = Path(__file__).parent / "splits"


class Folder(Samples):
    """The frames of one part of a folder, read on demand.

    The validation part is listed in `val.txt`, or else in this project's `splits/NAME_val.txt`; without either list
    there is none. The training part is listed in `train.txt`, or else it is every frame outside the validation part.

    Args:
        root: the folder that holds `images/` and `labels/`.
        part: one of `PARTS`.
        name: of the data set.

    Raises:
        DatasetError: a folder, an image or a label is missing, or the part has no frames.
    """

    def __init__(self, root: str | Path, part: str = "train", name: str = ""):
        if part not in PARTS:
            raise DatasetError(f"a folder's parts are {', '.join(PARTS)}, not {part!r}")
        self.root = Path(root)
        for needed in ("images", "labels"):
            if not (self.root / needed).is_dir():
                raise DatasetError(f"{root} is not a folder of labelled frames: it has no {needed}/")
        self._images = {path.stem: path for path in images_in(self.root / "images")}
        self.names = part_names(self.root, part, list(self._images), name)
        for frame in self.names:
            if frame not in self._images:
                raise DatasetError(f"{self.root / 'images'} has no image of {frame}")
            if not self.label_path(frame).is_file():
                raise DatasetError(f"{self._images[frame]} has no label {self.label_path(frame)}")
        if not self.names:
            raise DatasetError(f"{root} has no {'frames' if part == 'all' else f'{part} part'}")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        name = self.names[index]
        image = read_rgb(self._images[name])
        label = read_ids(self.label_path(name), image, IGNORE + 1)
        invalid = (label > ROAD) & (label != IGNORE)
        if invalid.any():
            raise DatasetError(
                f"{self.label_path(name)} holds {label[invalid][0]}, but labels are 0 not road, 1 road, 255 ignore"
            )
        return Sample(image, label, name)

    def label_path(self, name: str) -> Path:
        return self.root / "labels" / f"{name}.png"


def part_names(root: Path, part: str, names: list[str], name: str = "") -> list[str]:
    """The names of a part's frames among all `names` of a folder, see `Folder`."""
    if part == "all":
        return names
    lists = {p: root / f"{p}.txt" for p in ("train", "val")}
    if lists[part].is_file():
        return read_names(lists[part])
    known = SPLITS / f"{Path(name).name}_val.txt"
    held_out: set[str] = set()
    if lists["val"].is_file():
        held_out = set(read_names(lists["val"]))
    elif name and known.is_file():
        held_out = set(read_names(known))
    return [frame for frame in names if (frame in held_out) == (part == "val")]
