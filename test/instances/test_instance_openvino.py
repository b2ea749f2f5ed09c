"""The instance network's dense part in OpenVINO."""

import numpy as np
import pytest
import torch
from tiny_instances import scene, write_detector

from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.instances.efficientnet_lite import fold
from fcn_road_seg.instances.network import build

pytest.importorskip("openvino", reason="OpenVINO is not installed")

from fcn_road_seg.instances.detector import InstanceDetector
from fcn_road_seg.instances.openvino import SIZES_KEPT, use_openvino

pytestmark = pytest.mark.usefixtures("one_thread")


@torch.inference_mode()
def test_features_scores_and_offsets_are_torchs_at_every_size():
    torch.manual_seed(0)
    exact, other = build(16), build(16)
    for name, part in exact.state_dict().items():
        if name.endswith(("running_var", "running_mean")):
            part.uniform_(0.1, 0.5)
    other.load_state_dict(exact.state_dict())
    for network in (exact.eval(), other.eval()):
        fold(network)
    use_openvino(other, "fp32", threads=1)
    for height, width in ((64, 96), (96, 32), (32, 32), (32, 64), (64, 32), (64, 96)):
        picture = torch.rand(1, 3, height, width)
        features, answers = exact.backbone(picture), other.backbone(picture)
        assert list(features) == list(answers)
        pairs = [(features[name], answers[name]) for name in features]
        for a, b in zip(exact.rpn.head([*features.values()]), other.rpn.head([*answers.values()]), strict=True):
            pairs += zip(a, b, strict=True)
        assert len(pairs) == 15 and len(other.backbone._requests) <= SIZES_KEPT
        for a, b in pairs:
            assert a.abs().max() > 0 and torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max()))


def test_the_detector_finds_the_same(tmp_path):
    path = write_detector(tmp_path / "small.safetensors")
    options = SegmenterOptions(device="cpu", backend="openvino", precision="fp32", threads=1)
    exact, other = InstanceDetector.load(path), InstanceDetector.load(path, options=options)
    assert (exact.backend, other.backend, other.precision) == ("torch", "openvino", "fp32")
    image = scene(5).image[:, :150]
    a, b = exact.detect(image), other.detect(image)
    assert len(a) == len(b) > 0
    nearest = np.abs(a.boxes[:, None] - b.boxes[None]).max(2).min(1)
    assert np.median(nearest) < 0.01 and np.mean(nearest < 0.5) > 0.95
    np.testing.assert_allclose(np.sort(a.scores), np.sort(b.scores), atol=1e-3)
