"""The CUDA graph backend: its recorded stages answer like the reference, and it handles replays, sizes and faults.

What a graph records runs on the CPU as well. The tests marked `cuda` are the only ones that capture a real one.
"""

import contextlib
import gc
import tracemalloc

import cuda_stand_in
import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from fcn_road_seg.inference.backends import cuda_graph
from fcn_road_seg.inference.backends.cuda_graph import STAGES, TorchGraph
from fcn_road_seg.inference.backends.static_frame import StaticFrame, TorchFrame
from fcn_road_seg.inference.backends.tensor_cores import SubpixelConvolution, canvas, for_tensor_cores, mean_in_channels
from fcn_road_seg.inference.backends.torch_eager import TorchEager
from fcn_road_seg.inference.checkpoint import load
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.preprocess import network_size, normalise, resize
from fcn_road_seg.synthetic import SyntheticDrive

CPU = torch.device("cpu")
SIZES = [(75, 248), (32, 64), (20, 50), (1, 1), (1, 90), (90, 1), (129, 65)]


@pytest.fixture(scope="module")
def network(small_weights) -> FCN8s:
    return load(small_weights).network().eval()


@pytest.fixture(scope="module")
def reference(small_weights) -> TorchEager:
    return TorchEager(load(small_weights).network(), CPU, "fp32", torch.float32)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blobs of colour: enlarged noise."""
    small = torch.from_numpy(noise(1, 3, 7, 9, seed=seed)).float()  # torch 2.15 cannot resize uint8 to 1 x 1
    return resize(small, (width, height))[0].permute(1, 2, 0).to(torch.uint8).contiguous().numpy()


@torch.inference_mode()
def answer(network: FCN8s, frame: np.ndarray, width: int = 64, bgr: bool = False, dtype=torch.float32) -> np.ndarray:
    """The answer of the graph's operations to a frame, on the CPU."""
    size = network_size(frame.shape[1], frame.shape[0], width)
    static = TorchFrame(for_tensor_cores(network, dtype), frame.shape[:2], size, bgr, CPU)
    static.frame.copy_(torch.from_numpy(frame))
    for stage in (static.preprocess, static.network, static.postprocess):
        stage()
    return static.probability.numpy()


# --- the rewritten network ---------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "classes"), [(2, 2), (8, 1)])
def test_a_subpixel_convolution_is_the_transposed_one(stride, classes):
    torch.manual_seed(0)
    transposed = nn.ConvTranspose2d(2, classes, 2 * stride, stride=stride, padding=stride // 2, bias=False)
    x = torch.randn(2, 2, 5, 7)
    with torch.no_grad():
        torch.testing.assert_close(SubpixelConvolution(transposed)(x), transposed(x), rtol=0, atol=1e-5)


def test_other_transposed_convolutions_are_refused():
    with pytest.raises(ValueError, match="kernel 2s"):
        SubpixelConvolution(nn.ConvTranspose2d(2, 2, 3, stride=2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_mean_in_channels_equals_subtracting_the_mean(network, dtype):
    """Also at the border, and as precisely as `dtype` holds the weights: the arithmetic here is float32."""
    conv = nn.Conv2d(3, 64, 3, padding=1)
    conv.load_state_dict(network.conv1_1.state_dict())
    image = torch.from_numpy(noise(1, 3, 20, 30))
    with torch.no_grad():
        conv.weight.copy_(conv.weight.to(dtype))
        x = canvas(20, 30, torch.float32, CPU)
        x[:, :3] = image
        rewritten = mean_in_channels(conv, dtype)
        rewritten.weight.copy_(rewritten.weight.to(dtype))
        torch.testing.assert_close(rewritten(x), conv(normalise(image)), rtol=0, atol=5e-3)


def test_the_network_is_copied(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for_tensor_cores(network, torch.float16)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# --- the recorded stages --------------------------------------------------------------------


@pytest.mark.parametrize("shape", SIZES)
def test_the_recorded_stages_answer_like_eager(network, reference, shape):
    frame = picture(*shape)
    expected = reference(frame, network_size(shape[1], shape[0], 64))
    difference = answer(network, frame).astype(int) - expected
    assert np.abs(difference).max() <= 2 and abs(difference.mean()) < 0.2
    assert expected.std() > 5 or min(shape) == 1  # the comparison needs an answer that varies


@pytest.mark.parametrize(("dtype", "most"), [(torch.float16, 4), (torch.bfloat16, 8)])
def test_sixteen_bits_answer_like_eager(network, reference, dtype, most):
    for shape in ((75, 248), (129, 65)):
        frame = picture(*shape)
        expected = reference(frame, network_size(shape[1], shape[0], 64))
        assert np.abs(answer(network, frame, dtype=dtype).astype(int) - expected).max() <= most


def test_swapped_colours_are_swapped_back(network):
    frame = picture(75, 248)
    swapped = np.ascontiguousarray(frame[..., ::-1])
    assert np.array_equal(answer(network, swapped, bgr=True), answer(network, frame))
    assert not np.array_equal(answer(network, swapped), answer(network, frame))


@pytest.mark.parametrize("shape", SIZES + [(375, 1242)])
def test_resized_floats_are_rounded_like_uint8(network, shape):
    frame = noise(*shape, 3)
    size = network_size(shape[1], shape[0], 64)
    static = TorchFrame(for_tensor_cores(network, torch.float32), shape, size, False, CPU)
    static.frame.copy_(torch.from_numpy(frame))
    static.preprocess()
    expected = resize(torch.from_numpy(frame).permute(2, 0, 1)[None], size).float()
    difference = (static._canvas[:, :3] - expected).abs()
    assert difference.max() <= 1 and (difference > 0).float().mean() < 0.05


class StaticOperations(TorchDispatchMode):
    """Refuse what a capture or CUDA would: reading values, shapes that depend on values, resizing integers."""

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "item", "_pin_memory")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().partition("::")[2].partition(".")[0]
        assert name not in self.FORBIDDEN, name
        if "upsample" in name or "convolution" in name:
            assert args[0].is_floating_point(), f"{name} of {args[0].dtype}"
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            assert result.device.type == "cuda", f"{name} leaves the GPU"
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(75, 248), (32, 64)])
def test_the_recorded_stages_stay_on_the_gpu(dtype, shape):
    """Every operation runs on shapes, types and devices only, as on a GPU of that precision."""
    cuda = torch.device("cuda", 0)
    network = for_tensor_cores(FCN8s("atrous", fc_width=16), dtype)
    weights = {name: (value.shape, value.dtype) for name, value in network.state_dict().items()}
    with FakeTensorMode():
        for name, (size, kind) in weights.items():
            owner, _, leaf = name.rpartition(".")
            value = nn.Parameter(torch.empty(size, dtype=kind, device=cuda), requires_grad=False)
            setattr(network.get_submodule(owner), leaf, value)
        static = TorchFrame(network, shape, (64, 32), True, cuda)
        with StaticOperations():
            for stage in (static.preprocess, static.network, static.postprocess):
                stage()
    assert static._canvas.is_contiguous(memory_format=torch.channels_last)


# --- capture and replay ------------------------------------------------------------------------


@pytest.fixture
def backend(network, monkeypatch) -> TorchGraph:
    cuda_stand_in.install(monkeypatch)
    return TorchGraph(network, CPU, "fp32", torch.float32)


def test_a_replay_answers_for_its_own_frame(backend, network):
    frames = [picture(75, 248, seed) for seed in range(3)]
    answers = [backend(frame, (64, 32)) for frame in frames]
    for frame, probability in zip(frames, answers, strict=True):  # the caller owns them, so they are not overwritten
        assert np.array_equal(probability, answer(network, frame))
    assert not np.array_equal(answers[0], answers[1])
    assert len(backend._captured) == 1


def test_views_answer_like_copies(backend):
    frame = picture(60, 100)
    for view in (frame[10:42, 20:84], frame[::-1], frame[:, ::2], frame[..., ::-1], frame.transpose(1, 0, 2)):
        assert np.array_equal(backend(view, (64, 32)), backend(view.copy(), (64, 32)))


def test_the_stages_are_timed_with_one_synchronisation(backend):
    backend(picture(60, 100), (64, 32))
    waits = backend._stream.waits
    backend(picture(60, 100), (64, 32))
    assert backend._stream.waits == waits + 1
    assert tuple(backend.seconds) == STAGES
    assert [backend.seconds[stage] for stage in STAGES[1:4]] == pytest.approx([1e-3] * 3)
    assert backend.seconds["upload"] > 1e-3 and backend.seconds["download"] > 1e-3  # including the host's copies


def test_a_torch_without_events_inside_graphs_times_the_complete_graph(backend, monkeypatch):
    class Event(cuda_stand_in.Event):
        def __init__(self, enable_timing=False):
            pass

    monkeypatch.setattr(torch.cuda, "Event", Event)
    assert backend(picture(60, 100), (64, 32)).shape == (60, 100)
    assert list(backend.seconds) == ["prepare", "upload", "network", "download"]


def test_the_least_recently_used_size_is_dropped_first(backend, monkeypatch):
    monkeypatch.setattr(cuda_graph, "SIZES", 2)
    for height in (40, 41, 40, 42):
        backend(picture(height, 70), (64, 32))
    assert [key[0][0] for key in backend._captured] == [40, 42]


def test_cudnns_setting_is_restored(backend):
    before, seen = torch.backends.cudnn.benchmark, []
    run = TorchFrame.network
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TorchFrame, "network", lambda self: (seen.append(torch.backends.cudnn.benchmark), run(self))[1])
        backend(picture(60, 100), (64, 32))
    assert seen == [True] * cuda_graph.WARM_UPS + [False]
    assert torch.backends.cudnn.benchmark == before


def test_out_of_memory_drops_the_other_sizes_and_then_raises(backend, monkeypatch):
    network_stage, calls = TorchFrame.network, []

    def fails(times):
        def network(self):
            calls.append(1)
            if len(calls) <= times:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried")
            network_stage(self)

        calls.clear()
        monkeypatch.setattr(TorchFrame, "network", network)

    small = picture(40, 70)
    first = backend(small, (64, 32))
    fails(1)
    assert backend(picture(60, 100), (64, 32)).shape == (60, 100)
    assert [key[0] for key in backend._captured] == [(60, 100)]
    fails(2)
    with pytest.raises(torch.cuda.OutOfMemoryError, match="Tried"):
        backend(small, (64, 32))
    assert not backend._captured
    assert np.array_equal(backend(small, (64, 32)), first)


def test_a_failed_capture_raises_its_first_error(backend, monkeypatch):
    @contextlib.contextmanager
    def graph(*_, **__):
        try:
            yield
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "graph", graph)
        patch.setattr(StaticFrame, "postprocess", Fail(after=cuda_graph.WARM_UPS))
        gc.disable()
        try:
            backend(picture(60, 100), (64, 32))
        except RuntimeError as error:
            fault = error.with_traceback(None)  # as RoadSegmenter does when memory is short
        left = [thing for thing in gc.get_objects() if type(thing) is TorchFrame]
        gc.enable()
    assert str(fault).startswith("operation not permitted")
    assert not left and not backend._captured
    assert backend(picture(60, 100), (64, 32)).shape == (60, 100)


def test_out_of_memory_in_a_capture_frees_its_memory(backend, monkeypatch):
    """At once, before garbage collection: the second try needs it."""
    network_stage, alive = TorchFrame.network, []

    def network(self):
        alive.append(sum(type(thing) is TorchFrame for thing in gc.get_objects()))
        if len(alive) == cuda_graph.WARM_UPS + 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        network_stage(self)

    backend(picture(40, 70), (64, 32))
    monkeypatch.setattr(TorchFrame, "network", network)
    gc.disable()
    backend(picture(60, 100), (64, 32))
    gc.enable()
    assert alive == [2] * (cuda_graph.WARM_UPS + 1) + [1] * (cuda_graph.WARM_UPS + 1)


class Fail:
    """A stage that does nothing a few times, then fails."""

    def __init__(self, after: int):
        self.left = after

    def __call__(self):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("operation not permitted when stream is capturing")


def test_shipped_weights_keep_their_masks_in_fp16(shipped_weights):
    """A GPU adds in another order, but accumulates in FP32 like the CPU."""
    checkpoint = load(shipped_weights)
    level = round(checkpoint.metadata.threshold * 255)
    eager = TorchEager(checkpoint.network(), CPU, "fp32", torch.float32)
    for seed in (1, 2):
        frame = SyntheticDrive(seed=seed, frames=1)[0].image
        expected = eager(frame, network_size(frame.shape[1], frame.shape[0], 576))
        probability = answer(checkpoint.network(), frame, 576, dtype=torch.float16)
        assert np.mean((probability >= level) != (expected >= level)) <= 0.0005


# --- on a GPU ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda", torch.cuda.device_count() - 1)  # the last one, so that a default of 0 would be noticed


@pytest.mark.cuda
@pytest.mark.parametrize(("precision", "most"), [("fp32", 4), ("fp16", 6), ("bf16", 24)])
@pytest.mark.parametrize("shape", [*SIZES, (375, 1242)])
def test_cuda_graphs_answer_like_eager(network, reference, cuda, precision, most, shape):
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    if precision == "bf16" and torch.cuda.get_device_capability(cuda) < (8, 0):
        pytest.skip("this GPU has no BF16")
    on_gpu = TorchGraph(network, cuda, precision, dtype)
    size = network_size(shape[1], shape[0], 64)
    for seed in range(3):
        frame = picture(*shape, seed=seed)
        assert np.abs(on_gpu(frame, size).astype(int) - reference(frame, size)).max() <= most
        swapped = on_gpu(frame[..., ::-1], size).astype(int)
        assert np.abs(swapped - on_gpu(frame[..., ::-1].copy(), size)).max() <= 1
    assert tuple(on_gpu.seconds) == STAGES and all(seconds > 0 for seconds in on_gpu.seconds.values())
    assert on_gpu.works()


@pytest.mark.cuda
def test_cuda_graphs_keep_the_masks_of_the_shipped_weights(shipped_weights, cuda):
    checkpoint = load(shipped_weights)
    level = round(checkpoint.metadata.threshold * 255)
    on_gpu = TorchGraph(checkpoint.network(), cuda, "fp16", torch.float16)
    eager = TorchEager(checkpoint.network(), CPU, "fp32", torch.float32)
    for seed in (1, 2):
        frame = SyntheticDrive(seed=seed, frames=1)[0].image
        for width in (576, 1248):
            size = network_size(frame.shape[1], frame.shape[0], width)
            assert np.mean((on_gpu(frame, size) >= level) != (eager(frame, size) >= level)) <= 0.002


@pytest.mark.cuda
def test_cuda_replays_allocate_nothing(network, cuda):
    on_gpu = TorchGraph(network, cuda, "fp16", torch.float16)
    frames = [picture(375, 1242, seed) for seed in range(3)]
    for frame in frames:
        on_gpu(frame, (576, 160))

    def allocations() -> int:
        return torch.cuda.memory_stats(cuda)["allocation.all.allocated"]

    before = allocations()
    tracemalloc.start()
    for frame in frames * 5:
        on_gpu(frame, (576, 160))
    current, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert allocations() == before
    assert current < 1.5 * 375 * 1242 and peak < 3 * 375 * 1242  # only the answers


@pytest.mark.cuda
def test_cuda_memory_of_a_dropped_size_is_freed(network, cuda, monkeypatch):
    monkeypatch.setattr(cuda_graph, "SIZES", 1)
    on_gpu = TorchGraph(network, cuda, "fp16", torch.float16)
    held = []
    for _ in range(3):
        for height in (360, 1200):
            on_gpu(picture(height, 1200), network_size(1200, height, 576))
        held.append(on_gpu.memory())
    assert held[2] <= held[1] + 2**24


@pytest.mark.cuda
def test_cuda_out_of_memory_leaves_the_backend_usable(network, cuda):
    on_gpu = TorchGraph(network, cuda, "fp16", torch.float16)
    small = picture(75, 248)
    first = on_gpu(small, (64, 32))
    total = torch.cuda.get_device_properties(cuda).total_memory
    torch.cuda.set_per_process_memory_fraction(2**26 / total, cuda)  # less than the frame itself
    try:
        with pytest.raises(torch.cuda.OutOfMemoryError):
            on_gpu(np.zeros((8000, 4000, 3), np.uint8), (2048, 4096))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, cuda)
    assert on_gpu.works()
    assert np.abs(on_gpu(small, (64, 32)).astype(int) - first).max() <= 1
