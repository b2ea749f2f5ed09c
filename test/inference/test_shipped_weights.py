"""The shipped weights: the roads that they must find, and the accuracy that each precision must keep."""

import numpy as np
import pytest
import torch

from fcn_road_seg.benchmark.roofline import count_work
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.int8_file import read_int8
from fcn_road_seg.inference.options import SHIPPED_WEIGHTS, SegmenterOptions
from fcn_road_seg.inference.preprocess import to_input
from fcn_road_seg.inference.segmenter import RoadSegmenter, weights_path
from fcn_road_seg.synthetic import SyntheticDrive


@pytest.fixture(scope="module", params=["", "lite", "permissive"], ids=["full", "lite", "permissive"])
def name(request, shipped_weights, repository) -> str:
    """A value of the node's parameter weights."""
    file = SHIPPED_WEIGHTS[request.param]
    if not (repository / file).is_file():
        pytest.skip(f"{file} is not in this checkout")
    return request.param


@pytest.fixture(scope="module")
def segmenter(name) -> RoadSegmenter:
    return RoadSegmenter.load(SegmenterOptions(name, "cpu", "fp32", backend="torch"))


def frames() -> list[np.ndarray]:
    """Ordinary scenes, and extreme pictures: saturated blocks."""
    blocks = np.random.default_rng(0).integers(0, 2, (48, 156, 3), dtype=np.uint8) * 255
    scenes = [SyntheticDrive(seed=seed, frames=1)[0].image for seed in (1, 2)]
    return [*scenes, blocks.repeat(8, axis=0).repeat(8, axis=1)]


def test_the_metadata(segmenter, name):
    metadata = segmenter.checkpoint.metadata
    assert metadata.recipe["name"] == {"": "world", "lite": "world_lite", "permissive": "permissive_lite"}[name]
    sets = {"ru", "lums"}  # whose licences allow commercial use
    if name != "permissive":
        sets |= {"kitti_road", "kitti_pseudo", "cityscapes", "bdd", "idd", "camvid"}
    assert sets | {"synthetic"} == {source.split("/")[-1].split("+")[0] for source in metadata.trained_on}
    assert all(len(metadata.data[name]["names"]) == metadata.data[name]["frames"] for name in sets)
    assert metadata.figures["validation"]["max_f"] > (0.93 if name else 0.935)
    assert metadata.temperature != 1 and metadata.figures["calibration"]["after"]["ece"] <= 0.02
    assert "dirty" not in metadata.git_revision and metadata.git_revision != "unknown"
    assert segmenter.checkpoint.path.stat().st_size < 45e6


def test_every_shipped_int8_file_is_intact(shipped_weights):
    for file in shipped_weights.parent.glob("*_int8.onnx"):
        assert read_int8(file).sha256


def test_lite_needs_a_quarter_of_the_work_and_is_nearly_as_good(shipped_weights):
    full, lite = (checkpoint.load(weights_path(name)) for name in ("", "lite"))
    flops = [count_work(weights.metadata, (576, 160)).flops for weights in (full, lite)]
    assert flops[1] <= flops[0] / 4
    assert full.metadata.max_f - lite.metadata.max_f <= 0.01
    assert lite.metadata.teacher == full.metadata.origin  # before its calibration


def test_they_find_roads_in_unseen_synthetic_scenes(segmenter, name):
    counts = PixelCounts()
    for seed in range(100, 106):
        frame = SyntheticDrive(seed=seed, frames=1, weather="sun")[0]
        counts.add(segmenter(frame.image), frame.road.astype(np.uint8))
    assert counts.metrics(segmenter.threshold).iou > {"": 0.85, "lite": 0.8, "permissive": 0.7}[name]


def test_activations_stay_far_from_fp16s_limit(segmenter):
    """VGG-16 without batch norm, on inputs of 0..255, has large activations; FP16's maximum is 65504."""
    peaks = {}
    network = segmenter.checkpoint.network()
    for name, layer in network.named_modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            layer.register_forward_hook(
                lambda _, __, out, name=name: peaks.update({name: max(peaks.get(name, 0), out.abs().max().item())})
            )
    with torch.inference_mode():
        for frame in frames():
            network(to_input(torch.from_numpy(frame).permute(2, 0, 1)[None], (576, 160), torch.float32))
    assert len(peaks) == 21 and max(peaks.values()) < 50_000, peaks


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_bf16_masks_match_fp32_masks(name, segmenter, backend):
    if backend == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is not installed")
    half = RoadSegmenter.load(SegmenterOptions(name, "cpu", "bf16", backend=backend))
    level = round(segmenter.threshold * 255)
    for frame in frames()[:2]:
        assert np.mean((half(frame) >= level) != (segmenter(frame) >= level)) < 0.005


@pytest.mark.cuda
def test_cuda_masks_match_cpu_masks(name, segmenter):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_gpu = RoadSegmenter.load(SegmenterOptions(name, "cuda"))
    level = round(segmenter.threshold * 255)
    for frame in frames()[:2]:
        assert np.mean((on_gpu(frame) >= level) != (segmenter(frame) >= level)) <= 0.002
