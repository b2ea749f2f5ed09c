"""A BDD100K folder of drawn frames, in either layout of its drivable areas, for tests."""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from fcn_road_seg.synthetic import Camera, SyntheticRoad

SIZE = 320, 180  # the real frames are 1280x720
NAMES = ("0000f77c-6257be58", "0000f77c-62c2a288", "0000f77c-cb820c98", "0001542f-5ce3cf52")
# Ids of the direct area, the alternative one and the background.
MASKS, DRIVABLE_ID = (0, 1, 2), (1, 2, 0)


@cache
def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A street: image RGB and 0 for the direct area, 1 for the alternative one (the left half), 2 for the rest."""
    frame = SyntheticRoad(1, seed, Camera.of_size(*SIZE)).frame(0)
    areas = np.where(frame.road, np.uint8(0), np.uint8(2))
    left = areas[:, : SIZE[0] // 2]
    left[left == 0] = 1
    return frame.image, areas


def write_folder(root: Path, part: str = "train", first_release: bool = False) -> Path:
    """Write a frame for each of `NAMES`; returns `root`."""
    images = root / "images" / "100k" / part
    labels = root / ("drivable_maps/labels" if first_release else "labels/drivable/masks") / part
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(NAMES):
        image, areas = draw(seed)
        Image.fromarray(image).save(images / f"{name}.jpg", quality=90)
        ids = np.array(DRIVABLE_ID if first_release else MASKS, np.uint8)[areas]
        Image.fromarray(ids).save(labels / f"{name}{'_drivable_id' if first_release else ''}.png")
    return root
