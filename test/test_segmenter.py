"""RoadSegmenter: any frame in, an aligned probability of its exact size out."""

import numpy as np
import pytest
import torch

from fcn_road_seg import backends, checkpoint
from fcn_road_seg.backends import DeviceError
from fcn_road_seg.mask import threshold_mask
from fcn_road_seg.network import FCN8s
from fcn_road_seg.segmenter import RoadSegmenter


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    checkpoint.save(path, FCN8s("atrous", 16), checkpoint.Metadata(fc="atrous", fc_width=16, network_width=64))
    return path


@pytest.fixture(scope="module")
def segmenter(weights) -> RoadSegmenter:
    return RoadSegmenter.load(weights, device="cpu", precision="fp32")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("size", [(375, 1242), (1, 1), (1, 700), (700, 1), (33, 31), (479, 641)])
def test_answer_has_the_frames_size(segmenter, size):
    probability = segmenter(noise(*size, 3))
    assert probability.shape == size and probability.dtype == np.uint8


def test_8k(segmenter):
    frame = np.repeat(np.repeat(noise(135, 240, 3), 32, axis=0), 32, axis=1)
    assert segmenter(frame).shape == (4320, 7680)


def test_views_answer_like_copies(segmenter):
    frame = noise(120, 200, 3)
    for view in (frame[10:90, 20:150], frame[::-1], frame[:, ::2], frame[..., ::-1], frame.transpose(1, 0, 2)):
        assert np.array_equal(segmenter(view), segmenter(view.copy()))


def test_read_only_frames_are_taken_and_left_alone(segmenter):
    frame = noise(60, 80, 3)
    frame.flags.writeable = False
    before = frame.copy()
    segmenter(frame)
    assert np.array_equal(frame, before)


def test_red_is_not_blue(segmenter):
    red, blue = np.zeros((2, 64, 64, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    assert not np.array_equal(segmenter(red), segmenter(blue))


def test_answer_is_the_networks(segmenter):
    """At the network's own size there is no resize, so the answer is the sigmoid of the logits."""
    frame = noise(32, 64, 3)
    x = torch.from_numpy(frame).permute(2, 0, 1)[None].float() - torch.tensor(checkpoint.MEAN).view(1, 3, 1, 1)
    with torch.inference_mode():
        logits = segmenter.checkpoint.network()(x)
    expected = torch.softmax(logits, 1)[0, 1].mul(255).round().numpy()
    assert np.abs(segmenter(frame) - expected).max() <= 1


def test_bf16_agrees_with_fp32(weights, segmenter):
    half = RoadSegmenter.load(weights, device="cpu", precision="bf16")
    frame = noise(96, 200, 3)
    assert np.abs(half(frame).astype(int) - segmenter(frame)).max() <= 8


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))]
)
def test_what_is_no_frame_is_refused(segmenter, frame):
    with pytest.raises(ValueError, match="uint8 H x W x 3"):
        segmenter(frame)


def test_network_width_is_a_choice(weights):
    with pytest.raises(ValueError, match="multiple of 32"):
        RoadSegmenter.load(weights, "cpu", network_width=100)
    assert RoadSegmenter.load(weights, "cpu", network_width=96).network_width == 96


@pytest.mark.parametrize(
    ("device", "precision", "words"),
    [
        ("tpu", "auto", "must be auto, cpu, cuda"),
        ("mps", "auto", "must be auto, cpu, cuda"),
        ("cpu", "int3", "must be one of auto"),
        ("cpu", "fp16", "needs a CUDA device"),
    ],
)
def test_devices_that_cannot_be_had(weights, device, precision, words):
    with pytest.raises(DeviceError, match=words):
        RoadSegmenter.load(weights, device, precision)


def test_cuda_that_is_not_there_is_refused_not_replaced(weights, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no CUDA device"):
        RoadSegmenter.load(weights, "cuda")
    assert RoadSegmenter.load(weights, "auto").device == "cpu"


def test_auto_precision_follows_the_cpu(weights, monkeypatch):
    for has, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(backends, "cpu_has_bf16", lambda has=has: has)
        assert RoadSegmenter.load(weights, "cpu").precision == precision


def test_close_frees_the_network(weights):
    segmenter = RoadSegmenter.load(weights, "cpu")
    segmenter.close()
    with pytest.raises(RuntimeError, match="closed"):
        segmenter(noise(32, 32, 3))


def test_mask_is_inclusive_at_the_threshold():
    probability = np.array([[0, 127, 128, 255]], np.uint8)
    assert threshold_mask(probability, 128 / 255).tolist() == [[0, 0, 255, 255]]
    assert threshold_mask(probability, 0.0).tolist() == [[0, 255, 255, 255]]
    assert threshold_mask(probability, 1.0).tolist() == [[0, 0, 0, 255]]


@pytest.mark.cuda
def test_cuda_fp16_agrees_with_cpu(weights, segmenter):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_gpu = RoadSegmenter.load(weights)
    assert (on_gpu.device, on_gpu.precision, on_gpu.backend) == ("cuda", "fp16", "torch-cuda")
    frame = noise(375, 1242, 3)
    assert np.abs(on_gpu(frame).astype(int) - segmenter(frame)).max() <= 3
