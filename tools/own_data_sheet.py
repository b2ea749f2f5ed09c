"""Draw the pictures of docs/own_data.md from a folder that `road_seg synthesize` wrote.

python tools/own_data_sheet.py labels mine docs/own_data_labels.jpg
python tools/own_data_sheet.py masks mine before after docs/own_data_masks.jpg

`before` and `after` are folders of `road_seg segment mine/images`.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.frames.image_file import read_rgb
from fcn_road_seg.postprocess.overlay import overlay

WIDTH = 320
FRAMES = 3


def main() -> None:
    match sys.argv[1:]:
        case "labels", folder, out:
            rows = [labelled(Path(folder), "train")]
        case "masks", folder, before, after, out:
            names = listed(Path(folder), "val")
            rows = [[read_rgb(Path(done) / f"{name}_overlay.png") for name in names] for done in (before, after)]
        case _:
            sys.exit(__doc__)
    sheet = np.vstack([np.hstack([small(picture) for picture in row]) for row in rows])
    cv2.imwrite(out, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])


def listed(folder: Path, part: str) -> list[str]:
    """The first names of a part of the folder."""
    return (folder / f"{part}.txt").read_text().split()[:FRAMES]


def labelled(folder: Path, part: str) -> list[np.ndarray]:
    """Frames with their labels' road tinted."""
    pictures = []
    for name in listed(folder, part):
        label = cv2.imread(str(folder / "labels" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
        pictures.append(overlay(read_rgb(folder / "images" / f"{name}.jpg"), label))
    return pictures


def small(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (WIDTH, WIDTH * picture.shape[0] // picture.shape[1]), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
