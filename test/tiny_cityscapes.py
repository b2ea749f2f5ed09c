"""A Cityscapes folder of drawn frames, in the official layout, for tests."""

import json
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets import Cityscapes

from fcn_road_seg.synthetic import Camera, SyntheticRoad

IDS = {entry.name: entry.id for entry in Cityscapes.classes}
PALETTE = np.array([entry.color for entry in Cityscapes.classes if entry.id >= 0], np.uint8)
SIZE = 256, 128  # the real frames are 2048x1024


@cache
def draw(seed: int, coarse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A street: image RGB and Cityscapes' ids, with a border of ignored pixels; most coarse ids are unlabeled."""
    frame = SyntheticRoad(1, seed, Camera.of_size(*SIZE)).frame(0)
    height, width = frame.road.shape
    ids = np.full((height, width), IDS["sidewalk"], np.uint8)
    ids[: int(frame.camera.horizon)] = IDS["sky"]
    ids[60:64, 20:60], ids[60:64, 200:240] = IDS["parking"], IDS["rail track"]
    ids[50:56, 100:106], ids[56:60, 110:120] = IDS["car"], IDS["dynamic"]
    ids[frame.road] = IDS["road"]
    if coarse:
        ids[:, ::3], ids[::3] = IDS["unlabeled"], IDS["unlabeled"]
    ids[:, :2], ids[:, -2:], ids[-8:] = IDS["rectification border"], IDS["out of roi"], IDS["ego vehicle"]
    return frame.image, ids


def write_frames(root: Path, part: str, city: str, count: int, mode: str = "fine") -> Path:
    """Write `count` frames of a city with all files that Cityscapes has for each; returns `root`."""
    labels = "gtFine" if mode == "fine" else "gtCoarse"
    images = root / "leftImg8bit" / part / city
    annotations = root / labels / part / city
    for folder in (images, annotations):
        folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        image, ids = draw(k, mode == "coarse")
        name = f"{city}_{k:06d}_000019"
        Image.fromarray(image).save(images / f"{name}_leftImg8bit.png")
        Image.fromarray(ids).save(annotations / f"{name}_{labels}_labelIds.png")
        Image.fromarray(ids.astype(np.uint16)).save(annotations / f"{name}_{labels}_instanceIds.png")
        alpha = np.full((*ids.shape, 1), 255, np.uint8)
        Image.fromarray(np.concatenate([PALETTE[ids], alpha], 2)).save(annotations / f"{name}_{labels}_color.png")
        polygons = {"imgHeight": SIZE[1], "imgWidth": SIZE[0], "objects": []}
        (annotations / f"{name}_{labels}_polygons.json").write_text(json.dumps(polygons))
    return root
