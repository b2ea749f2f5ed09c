"""Where the masks of the mask head lie in the frame."""

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from fcn_road_seg.instances.detector import InstanceDetector, paste
from fcn_road_seg.instances.network import build

pytestmark = pytest.mark.usefixtures("one_thread")


def disc(x, y, radius, height=120, width=200):
    """The pixels, bool H x W, whose centres lie in a disc."""
    down, across = np.mgrid[:height, :width] + 0.5
    return (across - x) ** 2 + (down - y) ** 2 < radius**2


def box_of(x, y, radius):
    return [x - radius, y - radius, x + radius, y + radius]


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_a_mask_that_training_would_ask_for_lies_where_the_instance_is():
    """Whatever the scale at which the network runs: the middle of the disc is hit to a quarter of a pixel."""
    circles = [(60.3, 50.6, 8.2), (100.0, 60.0, 30.0), (2.0, 3.0, 12.0), (190.5, 110.0, 20.5)]
    frame = np.stack([disc(*circle) for circle in circles])
    for scale in (1, 2):  # of the frame that the network sees
        resized = np.stack([disc(*np.multiply(circle, scale), 120 * scale, 200 * scale) for circle in circles])
        boxes = torch.tensor([box_of(*np.multiply(circle, scale)) for circle in circles], dtype=torch.float32)
        wanted = project_masks_on_boxes(torch.from_numpy(resized).float(), boxes, torch.arange(4), 28)
        result = [{"boxes": boxes, "masks": wanted[:, None]}]
        sizes = [(120 * scale, 200 * scale)], [(120, 200)]
        (found,) = build(16).eval().transform.postprocess(result, *sizes)
        assert np.allclose(found["boxes"], boxes / scale)
        pasted = paste(found["masks"][:, 0].numpy(), found["mask_boxes"].numpy(), 120, 200)
        assert all(iou(a, b) > 0.93 for a, b in zip(pasted, frame, strict=True))
        for a, b in zip(pasted[:2], frame[:2], strict=True):  # those that the frame's edge does not cut
            assert np.allclose(np.argwhere(a).mean(0), np.argwhere(b).mean(0), atol=0.25)


def test_boxes_without_pixels_have_none():
    boxes = np.array([[250.0, 10, 260, 20], [10, 10, 10, 10], [-30, -30, -20, -20]], np.float32)
    pasted = paste(np.ones((3, 28, 28), np.float32), boxes, 120, 200)
    assert not pasted[[0, 2]].any() and pasted[1].sum() <= 4
    assert paste(np.zeros((0, 28, 28), np.float32), np.zeros((0, 4), np.float32), 120, 200).shape == (0, 120, 200)


def test_what_scores_less_is_left_out():
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    network = build(16, 64).eval()
    everything = InstanceDetector(network, 0.0).detect(image)
    least = float(np.median(everything.scores))
    best = InstanceDetector(network, least).detect(image)
    assert 0 < len(best.scores) < len(everything.scores) and best.scores.min() >= least
    assert best.masks.shape == (len(best.scores), 64, 96) and best.masks.dtype == bool
