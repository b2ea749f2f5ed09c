"""RoadSegmenter: it takes any frame, and its probability has exactly the frame's size."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from fcn_road_seg.errors import DeviceError, DeviceLostError, FrameError, UserError
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.backends import hardware
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.postprocess.threshold import threshold_mask


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    checkpoint.save(path, FCN8s("atrous", 16), checkpoint.Metadata(fc="atrous", fc_width=16, network_width=64))
    return path


@pytest.fixture(scope="module")
def segmenter(weights) -> RoadSegmenter:
    return RoadSegmenter.load(SegmenterOptions(weights, device="cpu", precision="fp32", backend="torch"))


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


def test_read_only_frames_are_accepted_and_not_changed(segmenter):
    frame = noise(60, 80, 3)
    frame.flags.writeable = False
    before = frame.copy()
    segmenter(frame)
    assert np.array_equal(frame, before)


def test_red_is_not_blue(segmenter):
    red, blue = np.zeros((2, 64, 64, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    assert not np.array_equal(segmenter(red), segmenter(blue))


def test_the_answer_is_the_networks(segmenter):
    """At the network's size nothing is resized, so the answer is the sigmoid of the logits."""
    frame = noise(32, 64, 3)
    x = torch.from_numpy(frame).permute(2, 0, 1)[None].float() - torch.tensor(checkpoint.MEAN).view(1, 3, 1, 1)
    with torch.inference_mode():
        logits = segmenter.checkpoint.network()(x)
    expected = torch.softmax(logits, 1)[0, 1].mul(255).round().numpy()
    assert np.abs(segmenter(frame) - expected).max() <= 1


def test_bf16_agrees_with_fp32(weights, segmenter):
    half = RoadSegmenter.load(SegmenterOptions(weights, device="cpu", precision="bf16", backend="torch"))
    frame = noise(96, 200, 3)
    assert np.abs(half(frame).astype(int) - segmenter(frame)).max() <= 8


NOT_FRAMES = (
    [np.zeros(shape, np.uint8) for shape in ((), (5,), (4, 4), (4, 4, 4), (1, 4, 4, 3), (0, 4, 3), (4, 0, 3))]
    + [np.zeros((4, 4, 3), kind) for kind in (float, bool, np.int8, np.uint16, object)]
    + [np.uint8(3), [[[1, 2, 3]]], None, b"JPEG", torch.zeros(4, 4, 3, dtype=torch.uint8)]
)


@pytest.mark.parametrize("mask", ["", "mask.png", "mask.yaml"])
def test_what_is_not_a_frame_is_refused(weights, tmp_path, mask):
    if mask:
        write_image(tmp_path / "mask.png", np.repeat(np.uint8([[0], [255]]), 2, 1))
        (tmp_path / "mask.yaml").write_text("polygons: [[[0, 0.5], [1, 0.5], [1, 1], [0, 1]]]\n")
    mask = mask and str(tmp_path / mask)
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cpu", "fp32", "torch", own_vehicle_mask=mask))
    for frame in NOT_FRAMES:
        for segment in (segmenter, segmenter.mask):
            with pytest.raises(ValueError, match="uint8 H x W x 3"):
                segment(frame)


def test_the_network_width_can_be_chosen(weights):
    with pytest.raises(ValueError, match="multiple of 32"):
        RoadSegmenter.load(SegmenterOptions(weights, "cpu", network_width=100))
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cpu", network_width=96))
    assert segmenter.network_width == 96 and segmenter.network_size is None
    for (height, width), expected in {(375, 1242): (96, 32), (480, 640): (64, 64), (960, 480): (32, 64)}.items():
        assert segmenter(np.zeros((height, width, 3), np.uint8)).shape == (height, width)
        assert segmenter.network_size == expected


@pytest.mark.parametrize(
    ("device", "precision", "words"),
    [
        ("tpu", "auto", "must be auto, cpu, cuda"),
        ("mps", "auto", "must be auto, cpu, cuda"),
        ("cpu", "int3", "must be one of auto"),
        ("cpu", "fp16", "does not support fp16 on cpu"),
    ],
)
def test_invalid_devices_and_precisions_are_refused(weights, device, precision, words):
    with pytest.raises(DeviceError, match=words):
        RoadSegmenter.load(SegmenterOptions(weights, device, precision))


def test_missing_cuda_is_refused_and_not_replaced_by_the_cpu(weights, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no CUDA device"):
        RoadSegmenter.load(SegmenterOptions(weights, "cuda"))
    assert RoadSegmenter.load(SegmenterOptions(weights, "auto")).device == "cpu"


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_auto_precision_follows_the_cpu(weights, monkeypatch, backend):
    for has, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(hardware, "cpu_supports_bf16", lambda has=has: has)
        assert RoadSegmenter.load(SegmenterOptions(weights, "cpu", backend=backend)).precision == precision


def test_close_frees_the_network(weights):
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cpu"))
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
    assert (on_gpu.device, on_gpu.precision, on_gpu.backend) == ("cuda", "fp16", "graph")
    frame = noise(375, 1242, 3)
    assert np.abs(on_gpu(frame).astype(int) - segmenter(frame)).max() <= 3


# --- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory.\nmore"), "memory", "not enough memory for a frame of 40x30"),
        (MemoryError(), "memory", "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "memory", "can't allocate memory"),
        (RuntimeError("cuDNN error\nmore"), "inference", "the network failed on a frame of 40x30: cuDNN error"),
    ],
)
@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_a_fault_drops_one_frame_with_one_sentence(weights, backend, fault, reason, words, monkeypatch):
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cpu", backend=backend))

    def fail(*_):
        raise fault

    with monkeypatch.context() as patch, pytest.raises(FrameError) as error:
        patch.setattr(segmenter._backend, "_network", fail)
        segmenter(noise(30, 40, 3))
    assert error.value.reason == reason and words in str(error.value) and "\n" not in str(error.value)
    assert error.value.__cause__ is (fault if reason == "inference" else None)
    assert segmenter(noise(30, 40, 3)).shape == (30, 40)


def test_a_lost_device_raises_a_different_error(weights, monkeypatch):
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cpu"))

    def fail(*_):
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(segmenter._backend, "_network", fail)
    monkeypatch.setattr(segmenter._backend, "works", lambda: False)
    with pytest.raises(DeviceLostError, match="no longer works: CUDA error: unspecified launch failure"):
        segmenter(noise(30, 40, 3))


def test_the_stages_of_a_frame_are_timed(segmenter):
    segmenter(noise(60, 80, 3))
    assert list(segmenter.seconds) == ["preprocess", "network", "postprocess"]
    assert all(seconds > 0 for seconds in segmenter.seconds.values())
    assert segmenter.memory() is None


@pytest.mark.cuda
def test_cuda_recovers_from_out_of_memory_and_close_frees_memory(weights):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    before = torch.cuda.memory_allocated()
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cuda", network_width=4096))
    small = noise(32, 32, 3)
    first = segmenter(small)
    assert segmenter.memory() > before and all(seconds > 0 for seconds in segmenter.seconds.values())
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2**26 / total)  # less than the frame itself
    try:
        with pytest.raises(FrameError) as error:
            segmenter(noise(8000, 4000, 3))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert error.value.reason == "memory"
    assert np.abs(segmenter(small).astype(int) - first).max() <= 1  # cuDNN may choose other kernels
    segmenter.close()
    assert torch.cuda.memory_allocated() == before


@pytest.mark.cuda
def test_a_sticky_cuda_error_is_recognised(weights):
    """In a separate process, because the error is permanent."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    program = f"""
import numpy, torch
from fcn_road_seg.errors import DeviceLostError
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter
segmenter = RoadSegmenter.load(SegmenterOptions({str(weights)!r}, "cuda"))
frame = numpy.zeros((32, 32, 3), numpy.uint8)
segmenter(frame)
torch.zeros(4, device="cuda")[torch.tensor([9], device="cuda")]  # an assertion on the device
try:
    segmenter(frame)
except DeviceLostError as error:
    print("lost:", error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.startswith("lost: "), result.stdout + result.stderr


def test_the_own_vehicle_is_never_road(weights, segmenter, tmp_path):
    mask = np.zeros((45, 60), np.uint8)
    mask[30:] = 255
    write_image(tmp_path / "mask.png", mask)
    masked = RoadSegmenter.load(
        SegmenterOptions(weights, "cpu", "fp32", backend="torch", own_vehicle_mask=tmp_path / "mask.png")
    )
    frame = noise(90, 120, 3)
    probability, plain = masked(frame), segmenter(frame)
    assert plain[60:].any() and not probability[60:].any() and not masked.mask(frame)[60:].any()
    np.testing.assert_array_equal(probability[:60], plain[:60])
    assert (masked.hidden(90, 120)[60:] == 255).all() and segmenter.hidden(90, 120) is None
    masked.warm_up(375, 1242)  # the size that is expected by default need not be the camera's
    with pytest.raises(FrameError, match="another aspect ratio"):
        masked(noise(90, 240, 3))
    with pytest.raises(UserError, match="there is no own-vehicle mask none.png"):
        RoadSegmenter.load(SegmenterOptions(weights, "cpu", own_vehicle_mask="none.png"))
