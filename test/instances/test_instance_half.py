"""The instance network's layers in FP16."""

import numpy as np
import pytest
import torch
from tiny_instances import scene, write_detector
from torchvision.models.detection.anchor_utils import AnchorGenerator

from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.instances.detector import InstanceDetector
from fcn_road_seg.instances.half import use_half
from fcn_road_seg.instances.network import build

pytestmark = pytest.mark.usefixtures("one_thread")


def test_layers_are_fp16_and_boxes_and_scores_fp32(monkeypatch):
    torch.manual_seed(0)
    network = build(16, 64).eval()
    use_half(network)
    network.roi_heads.score_thresh = 0.0
    assert {weight.dtype for weight in network.parameters()} == {torch.float16}
    made = []
    forward = AnchorGenerator.forward
    monkeypatch.setattr(AnchorGenerator, "forward", lambda *parts: made.append(forward(*parts)) or made[-1])
    with torch.inference_mode():
        (found,) = network([torch.rand(3, 64, 96)])
    assert len(found["boxes"]) and {found[part].dtype for part in ("boxes", "scores", "masks")} == {torch.float32}
    assert made[0][0].dtype == torch.float32


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_fp16_on_cuda_finds_what_fp32_finds_on_the_cpu(tmp_path):
    path = write_detector(tmp_path / "small.safetensors")
    image = scene(1).image
    exact = InstanceDetector.load(path).detect(image)
    rounded = InstanceDetector.load(path, options=SegmenterOptions(device="cuda", precision="fp16")).detect(image)
    assert len(exact) and rounded.boxes.dtype == np.float32
    nearest = np.abs(exact.boxes[:, None] - rounded.boxes[None]).max(2).min(1)
    assert np.median(nearest) < 0.5
