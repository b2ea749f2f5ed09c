"""Backends: which one is chosen, and that all of them answer like the reference, FP32 torch."""

import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from fcn_road_seg.errors import DeviceError, FrameError
from fcn_road_seg.inference.backends import choice, hardware
from fcn_road_seg.inference.checkpoint import CheckpointError, Metadata, load, save
from fcn_road_seg.inference.inference_network import InferenceNetwork
from fcn_road_seg.inference.int8_file import write_int8
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.preprocess import normalise, resize, resize_probability, to_probability
from fcn_road_seg.inference.segmenter import RoadSegmenter, weights_path

needs_openvino = pytest.mark.skipif(not choice.installed("openvino"), reason="OpenVINO is not installed")
needs_onnxruntime = pytest.mark.skipif(
    not (choice.installed("onnxruntime") and choice.installed("onnx")), reason="ONNX Runtime or onnx is not installed"
)
needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not installed")

CONFIGURATIONS = [
    pytest.param("torch", "bf16", 0.005, 16, id="torch-bf16"),
    pytest.param("compile", "fp32", 0.0001, 1, id="compile-fp32", marks=needs_compiler),
    pytest.param("openvino", "fp32", 0.0001, 1, id="openvino-fp32", marks=needs_openvino),
    pytest.param("openvino", "bf16", 0.005, 16, id="openvino-bf16", marks=needs_openvino),
    pytest.param("onnxruntime", "fp32", 0.0001, 1, id="onnxruntime-fp32", marks=needs_onnxruntime),
]
"""A backend, a precision, the share of pixels that may change class, and how much P(road) x 255 may differ."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights whose P(road) is spread over 0..1."""
    torch.manual_seed(0)
    network = FCN8s(fc_width=16, std_init=1.0).eval()
    with torch.inference_mode():
        frame = torch.from_numpy(scene(96, 192)).permute(2, 0, 1)[None]
        scores = network(normalise(frame))
    difference = scores[:, 1] - scores[:, 0]
    with torch.no_grad():
        network.head.upscore8.weight *= 2 / difference.std()
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save(path, network, Metadata(fc="atrous", fc_width=16, network_width=192))
    return path


@pytest.fixture(scope="module")
def reference(weights) -> RoadSegmenter:
    return RoadSegmenter.load(SegmenterOptions(weights, "cpu", "fp32", backend="torch"))


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth shapes with noise, like a photograph."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.integers(0, 256, (1, 3, 5, 9)).astype(np.float32))
    smooth = resize(coarse, (width, height))[0].permute(1, 2, 0).numpy()
    return np.clip(smooth + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)


def changed(answer: np.ndarray, reference: np.ndarray, level: int = 128) -> float:
    """The share of pixels whose class differs."""
    return float(np.mean((answer >= level) != (reference >= level)))


# --- their answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("backend, precision, share, steps", CONFIGURATIONS)
def test_a_backend_answers_like_the_reference(
    weights, reference, monkeypatch, pytestconfig, backend, precision, share, steps
):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(pytestconfig.cache.mkdir("inductor")))
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cpu", precision, backend=backend))
    assert (segmenter.backend, segmenter.precision, segmenter.device) == (backend, precision, "cpu")
    sizes = [(375, 750), (96, 192), (61, 130), (700, 31)]
    for height, width in sizes[: 3 if backend == "compile" else 4]:  # slow to compile; three share a size
        frame = scene(height, width)
        answer, expected = segmenter(frame), reference(frame)
        assert answer.shape == (height, width) and answer.dtype == np.uint8
        assert expected.std() > 20
        assert np.abs(answer.astype(int) - expected).max() <= steps
        assert changed(answer, expected) <= share
        assert [s for s in segmenter.seconds if s != "prepare"] == ["preprocess", "network", "postprocess"]
        assert all(seconds > 0 for seconds in segmenter.seconds.values())
    assert segmenter.memory() is None
    first = segmenter(scene(96, 192, 1))
    kept = first.copy()
    segmenter(scene(96, 192, 2))
    assert np.array_equal(first, kept)  # the caller owns the answer


@needs_openvino
def test_the_shipped_weights_stay_within_their_bounds(shipped_weights):
    synthetic = pytest.importorskip("fcn_road_seg.synthetic")
    frame = synthetic.SyntheticDrive(seed=3, frames=1)[0].image
    reference = RoadSegmenter.load(SegmenterOptions(shipped_weights, "cpu", "fp32", backend="torch"))
    level = round(reference.threshold * 255)
    expected = reference(frame)
    for precision, share in (("fp32", 0.0001), ("bf16", 0.005)):
        answer = RoadSegmenter.load(SegmenterOptions(shipped_weights, "cpu", precision, backend="openvino"))(frame)
        assert changed(answer, expected, level) <= share
        assert np.mean(np.abs(answer.astype(int) - expected)) < 0.5


def test_a_failed_compilation_is_one_sentence(weights, monkeypatch):
    monkeypatch.setenv("CXX", sys.executable)

    def broken(*_, **__):
        raise torch._dynamo.exc.BackendCompilerFailed(broken, RuntimeError("C++ compile error\nfile.cpp:3"), None)

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cpu", "fp32", backend="compile"))
    with pytest.raises(FrameError, match="torch.compile failed: C\\+\\+ compile error$"):
        segmenter(scene(32, 64))


@pytest.mark.parametrize("shift", [20.0, -20.0, 0.01])
def test_a_compiled_network_that_answers_otherwise_is_refused(weights, monkeypatch, shift):
    """As from an altered cache: the compiled network shifts what it puts into the sigmoid."""
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "cache")
    monkeypatch.setattr(
        torch, "compile", lambda module, **_: lambda frame: torch.sigmoid(torch.logit(module(frame)) + shift)
    )
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cpu", "fp32", backend="compile"))
    if shift == 0.01:
        assert segmenter(scene(32, 64)).any() and segmenter.seconds["prepare"] > 0
        return
    for _ in range(2):
        with pytest.raises(FrameError, match="differs from the network's by 0.* on average: delete cache and"):
            segmenter(scene(32, 64))


def test_compiling_needs_a_compiler(weights, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(DeviceError, match="needs a C\\+\\+ compiler, but no-such-compiler was not found"):
        RoadSegmenter.load(SegmenterOptions(weights, "cpu", backend="compile"))


def test_compiled_networks_are_cached_where_possible(weights, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CXX", sys.executable)  # any program that exists
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # so that monkeypatch restores the value set below
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    RoadSegmenter.load(SegmenterOptions(weights, "cpu", backend="compile"))
    assert str(tmp_path) not in os.environ.get("TORCHINDUCTOR_CACHE_DIR", "")  # torch may have set its own
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    assert f"cannot write {tmp_path}/file/fcn_road_seg/inductor (Not a directory)" in caplog.text
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    RoadSegmenter.load(SegmenterOptions(weights, "cpu", backend="compile"))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "fcn_road_seg" / "inductor")


# --- which one is chosen ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, words",
    [
        ({"backend": "torch-cpu"}, "must be one of auto, torch, compile, openvino, graph, onnxruntime"),
        (
            {"backend": "graph"},
            "graph needs a CUDA device, not cpu: there choose torch, .*openvino, onnxruntime or auto",
        ),
        ({"backend": "tensorrt", "device": "cpu"}, "tensorrt needs a CUDA device"),
        ({"backend": "onnxruntime_tensorrt"}, "onnxruntime_tensorrt needs a CUDA device"),
        (
            {"backend": "torch", "device": "npu"},
            "torch needs the CPU or a CUDA device, not npu: there choose openvino or",
        ),
        (
            {"backend": "onnxruntime", "precision": "bf16"},
            "onnxruntime does not support bf16 on cpu: choose fp32, int8 or",
        ),
        ({"device": "auto:tpu"}, "must be auto, cpu, cuda or cuda:N, or for OpenVINO"),
        ({"backend": "openvino", "device": "cuda"}, "no CUDA device"),
        ({"backend": "torch", "precision": "int8"}, "for int8 the backend openvino or onnxruntime$"),
        (
            {"backend": "openvino", "precision": "fp16"},
            "does not support fp16 on cpu: choose fp32, bf16, int8 or auto$",
        ),
        ({"backend": "compile", "precision": "fp16"}, "does not support fp16 on cpu: choose fp32, bf16 or auto$"),
        ({"precision": "int4"}, "must be one of auto, fp32, bf16, fp16, int8"),
        ({"threads": -1}, "must be at least 0"),
    ],
)
def test_conflicting_options_are_refused_in_one_sentence(weights, options, words, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=words):
        RoadSegmenter.load(SegmenterOptions(weights, **options))


@pytest.mark.parametrize(
    "options, words",
    [
        (
            {"backend": "openvino"},
            "openvino needs the CPU or OpenVINO's devices, not cuda: there choose torch, compile",
        ),
        (
            {"precision": "int8"},
            "graph does not support int8 on cuda: .* int8 the backend onnxruntime_tensorrt or tensorr",
        ),
        ({"backend": "onnxruntime", "precision": "int8"}, "int8 the backend onnxruntime_tensorrt or tensorrt$"),
    ],
)
def test_options_that_conflict_with_cuda_are_refused_in_one_sentence(weights, options, words, monkeypatch):
    monkeypatch.setattr(hardware, "torch_device", lambda name, _: torch.device(name))
    with pytest.raises(DeviceError, match=words):
        RoadSegmenter.load(SegmenterOptions(weights, "cuda", **options))


@pytest.mark.parametrize(
    "installed, machine, backend",
    [(True, "x86_64", "openvino"), (False, "x86_64", "torch"), (True, "aarch64", "torch")],
)
def test_auto_chooses_openvino_if_it_is_installed(weights, monkeypatch, installed, machine, backend):
    find = choice.installed
    monkeypatch.setattr(choice, "installed", lambda package: installed if package == "openvino" else find(package))
    monkeypatch.setattr(choice.platform, "machine", lambda: machine)
    assert choice.cpu_backend() == backend
    if backend == "torch" or choice.importlib.util.find_spec("openvino"):
        assert RoadSegmenter.load(SegmenterOptions(weights, "cpu")).backend == backend
    if not installed:
        with pytest.raises(DeviceError, match="pip install openvino"):
            RoadSegmenter.load(SegmenterOptions(weights, backend="openvino"))


def test_threads_are_set_in_torch(weights):
    before = torch.get_num_threads()
    try:
        RoadSegmenter.load(SegmenterOptions(weights, "cpu", backend="torch", threads=3))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_names_of_shipped_weights(tmp_path, monkeypatch):
    assert weights_path("some/file.safetensors").name == "file.safetensors"
    monkeypatch.setattr("fcn_road_seg.inference.segmenter.share_path", lambda relative: tmp_path / relative)
    assert weights_path("") == tmp_path / "models/road_fcn8s.safetensors"
    assert weights_path("lite") == tmp_path / "models/road_fcn8s_lite.safetensors"
    assert weights_path("permissive") == tmp_path / "models/road_fcn8s_permissive_lite.safetensors"
    assert weights_path("road") == weights_path("")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_path("~/w.safetensors") == tmp_path / "w.safetensors"


@pytest.mark.parametrize(
    ("name", "file"),
    [("permissive", "road_fcn8s_permissive_lite.safetensors"), ("", "road_fcn8s.safetensors")],
)
def test_shipped_weights_that_are_missing_are_one_sentence(tmp_path, monkeypatch, name, file):
    monkeypatch.setattr("fcn_road_seg.share.share_folders", lambda: [tmp_path])
    text = f"the weights {name or 'road'} are not in this installation, which has no models/{file}: name others, "
    with pytest.raises(CheckpointError, match=text):
        RoadSegmenter.load(SegmenterOptions(name))


# --- OpenVINO --------------------------------------------------------------------------------------


@needs_openvino
@pytest.mark.parametrize("conv_widths", [None, (8, 8, 16, 16, 24, 24, 24, 32, 32, 32, 32, 32, 32)])
def test_the_openvino_model_answers_like_the_module(conv_widths):
    from fcn_road_seg.inference.backends.openvino_model import core, openvino_model

    torch.manual_seed(1)
    network = FCN8s(fc_width=16, std_init=0.5, **({"conv_widths": conv_widths} if conv_widths else {})).eval()
    with torch.no_grad():
        for parameter in network.head.parameters():  # so that a transposed kernel is not hidden by symmetry
            parameter.add_(0.01 * torch.randn_like(parameter))
    inference = InferenceNetwork(network, folded_normalisation=False).eval()
    frame = scene(64, 96)[None]
    with torch.inference_mode():
        expected = inference(torch.from_numpy(frame)).numpy()
    assert expected.std() > 0.01
    compiled = core().compile_model(openvino_model(inference), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(frame)[0], expected, atol=2e-5, rtol=0)


@needs_openvino
def test_recent_sizes_are_kept_and_threads_are_passed_on(weights):
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cpu", "fp32", backend="openvino", threads=1))
    expected = segmenter(scene(64, 192))
    requests = segmenter._backend._requests
    assert requests[192, 64].get_compiled_model().get_property("INFERENCE_NUM_THREADS") == 1
    for rows in range(1, 8):
        segmenter(scene(32 * rows, 192))
        assert len(requests) <= 4
    assert np.array_equal(segmenter(scene(64, 192)), expected)


@needs_openvino
def test_each_of_two_alternating_sizes_is_prepared_once_and_logged_once(weights, monkeypatch, caplog):
    caplog.set_level("INFO", "fcn_road_seg")
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cpu", "fp32", backend="openvino"))
    prepared = []
    for shape in [(96, 192), (192, 192)] * 3:
        segmenter(scene(*shape))
        prepared.append(segmenter.seconds.get("prepare", 0) > 0)
    assert prepared == [True, True, False, False, False, False]
    monkeypatch.setattr("fcn_road_seg.inference.backends.openvino.SIZES_KEPT", 1)
    segmenter._backend._requests.clear()
    for shape in [(96, 192), (192, 192)] * 2:
        segmenter(scene(*shape))
    assert segmenter.seconds["prepare"] > 0
    lines = [record.message.rpartition(" in ")[0] for record in caplog.records]
    assert lines == [
        "Prepared the network for frames of 192x96 (network 160x64)",
        "Prepared the network for frames of 192x192 (network 96x96)",
    ]


@needs_openvino
def test_importing_openvino_sends_no_telemetry():
    """Its telemetry would start a thread, which forks a process that opens a connection."""
    code = """
import sys, threading
from fcn_road_seg.inference.backends.openvino_model import openvino
print([name for name in sys.modules if name.startswith("openvino_telemetry")], threading.active_count())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[] 1"


@needs_openvino
def test_openvinos_errors_are_shortened_to_one_sentence(weights, monkeypatch):
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, "cpu", backend="openvino"))

    def fail(*_):
        raise RuntimeError("Exception from src/core.cpp:109:\nCheck 'ok' failed at src/a.cpp:7:\nno primitive\n")

    monkeypatch.setattr(segmenter._backend._core, "compile_model", fail, raising=False)
    with pytest.raises(FrameError, match="the network failed on a frame of 64x32: no primitive$"):
        segmenter(scene(32, 64))


@needs_openvino
@pytest.mark.parametrize("device", ["auto:cpu", "HETERO:CPU"])
def test_openvino_chooses_among_the_devices_that_the_user_names(weights, reference, device):
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, device))
    assert (segmenter.backend, segmenter.device, segmenter.precision) == ("openvino", device.lower(), "fp32")
    assert segmenter.device_name == openvino_core().get_property("CPU", "FULL_DEVICE_NAME")
    frame = scene(96, 192)
    assert np.abs(segmenter(frame).astype(int) - reference(frame)).max() <= 1
    (request,) = segmenter._backend._requests.values()
    used = request.get_compiled_model().get_property("EXECUTION_DEVICES")
    assert [each.strip("()") for each in used] == ["CPU"] and segmenter.memory() is None


SIGNALLED = """
import gc, signal, sys
from fcn_road_seg import RoadSegmenter, SegmenterOptions
import numpy as np
signal.signal(signal.SIGTERM, lambda *_: print("signalled"))
frame = np.zeros((64, 96, 3), np.uint8)
segmenters = [RoadSegmenter.load(SegmenterOptions(sys.argv[1], "cpu", "fp32", "openvino")) for _ in range(2)]
while segmenters:
    segmenters[0](frame)
    segmenters[-1](frame)
    segmenters.pop(0).close()
    gc.collect()
signal.raise_signal(signal.SIGTERM)
"""


@needs_openvino
def test_a_signal_after_segmenters_that_ended_in_the_order_of_their_start(weights):
    """Each OpenVINO core of its own would leave the process a stack for signals that is unmapped."""
    command = [sys.executable, "-c", SIGNALLED, str(weights)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert (result.returncode, result.stdout) == (0, "signalled\n"), result.stderr


def openvino_core():
    from fcn_road_seg.inference.backends.openvino_model import core

    return core()


@needs_openvino
@pytest.mark.parametrize("device", ["gpu", "GPU.1", "npu", "auto:npu,cpu"])
def test_a_device_that_openvino_does_not_find_is_refused_and_not_replaced(weights, device):
    missing = device.upper().removeprefix("AUTO:").partition(",")[0]
    found = openvino_core().available_devices
    if missing in found or missing.partition(".")[0] in found:
        pytest.skip(f"this machine has OpenVINO's {missing}")
    with pytest.raises(DeviceError, match=f"OpenVINO finds no {missing} on this machine, only CPU: install its driver"):
        RoadSegmenter.load(SegmenterOptions(weights, device))


@needs_openvino
def test_every_other_device_of_openvino_answers_like_the_reference(weights, reference):
    others = [device for device in openvino_core().available_devices if device != "CPU"]
    if not others:
        pytest.skip("OpenVINO finds only the CPU")
    for device in others:
        segmenter = RoadSegmenter.load(SegmenterOptions(weights, device))
        assert (segmenter.device, segmenter.precision) == (device.lower(), "fp16")
        frame = scene(96, 192)
        assert changed(segmenter(frame), reference(frame)) <= 0.005


@needs_openvino
@pytest.mark.parametrize(
    ("device", "hint", "compiled_for"), [("gpu.0", "f16", "GPU.0"), ("npu", "f16", "NPU"), ("auto:npu,cpu", "f32", "")]
)
def test_openvino_gets_the_device_and_the_precision(weights, monkeypatch, device, hint, compiled_for):
    """Without such a device: what is passed to OpenVINO."""
    import types

    from fcn_road_seg.inference.backends import openvino as backend

    calls = []
    core = types.SimpleNamespace(
        available_devices=["CPU", "GPU.0", "NPU"],
        get_property=lambda name, key: f"{key} of {name}",
        compile_model=lambda model, name, config: calls.append((name, config)),
    )
    monkeypatch.setattr(backend, "core", lambda: core)
    segmenter = RoadSegmenter.load(SegmenterOptions(weights, device, threads=2))
    assert segmenter.device_name.startswith("FULL_DEVICE_NAME of ") and segmenter.precision in ("fp16", "fp32")
    with pytest.raises(AttributeError):  # there is no compiled model
        segmenter(scene(96, 192))
    ((name, config),) = calls
    assert name == (compiled_for or device.upper())
    assert config == {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}


# --- INT8 ------------------------------------------------------------------------------------------


@pytest.fixture
def with_int8(weights, tmp_path):
    """A checkpoint, and a function that writes a quantised network beside it: one layer, which averages the colours."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper, types = onnx.helper, onnx.TensorProto
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights.read_bytes())

    def write(**metadata: str) -> None:
        nodes = [
            helper.make_node("Cast", ["frame"], ["x"], to=types.FLOAT),
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[3], keepdims=0),
            helper.make_node("QuantizeLinear", ["mean", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
            helper.make_node("Div", ["d", "full"], ["road"]),
        ]
        constants = [
            helper.make_tensor("scale", types.FLOAT, [], [2.0]),
            helper.make_tensor("zero", types.UINT8, [], [0]),
            helper.make_tensor("full", types.FLOAT, [], [255.0]),
        ]
        frame = helper.make_tensor_value_info("frame", types.UINT8, ["n", "h", "w", 3])
        road = helper.make_tensor_value_info("road", types.FLOAT, ["n", "h", "w"])
        graph = helper.make_graph(nodes, "g", [frame], [road], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        helper.set_model_props(model, metadata)
        write_int8(tmp_path / "w_int8.onnx", model.SerializeToString())

    return path, write


@needs_openvino
def test_int8_needs_the_quantised_file_of_the_same_weights(with_int8):
    path, write = with_int8
    with pytest.raises(
        CheckpointError, match="there is no quantised network .*w_int8.onnx for int8: make it with road_seg quantize"
    ):
        RoadSegmenter.load(SegmenterOptions(path, precision="int8"))
    for metadata in ({}, {"weights_sha256": "0" * 64}):
        write(**metadata)
        with pytest.raises(CheckpointError, match="was not made from .*w.safetensors"):
            RoadSegmenter.load(SegmenterOptions(path, precision="int8"))
    write(weights_sha256=load(path).sha256)
    segmenter = RoadSegmenter.load(SegmenterOptions(path, precision="int8"))
    assert (segmenter.backend, segmenter.device, segmenter.precision) == ("openvino", "cpu", "int8")
    frame = scene(64, 192)  # needs no scaling
    assert np.abs(segmenter(frame) - frame.mean(axis=2)).max() <= 2  # quantised in steps of 2, BF16


@needs_openvino
def test_auto_chooses_int8_if_the_cpu_supports_it_and_the_weights_match(with_int8, monkeypatch, caplog):
    path, write = with_int8
    monkeypatch.setattr(hardware, "cpu_supports_vnni", lambda: True)
    monkeypatch.setattr(hardware, "cpu_supports_bf16", lambda: False)
    assert RoadSegmenter.load(SegmenterOptions(path, "cpu", backend="openvino")).precision == "fp32"
    write(weights_sha256="0" * 64)
    assert RoadSegmenter.load(SegmenterOptions(path, "cpu", backend="openvino")).precision == "fp32"
    assert "Running in fp32: " in caplog.text and "was not made from" in caplog.text
    write(weights_sha256=load(path).sha256)
    assert RoadSegmenter.load(SegmenterOptions(path, "cpu", backend="openvino")).precision == "int8"
    assert RoadSegmenter.load(SegmenterOptions(path, "cpu", backend="torch")).precision == "fp32"
    monkeypatch.setattr(hardware, "cpu_supports_vnni", lambda: False)
    assert RoadSegmenter.load(SegmenterOptions(path, "cpu", backend="openvino")).precision == "fp32"


@needs_openvino
def test_a_damaged_quantised_file_is_refused_in_one_sentence(with_int8):
    path, _ = with_int8
    write_int8(path.with_name("w_int8.onnx"), b"\x00 no network")
    with pytest.raises(CheckpointError, match="w_int8.onnx is not a complete ONNX file") as error:
        RoadSegmenter.load(SegmenterOptions(path, precision="int8"))
    assert "\n" not in str(error.value)


@needs_openvino
def test_an_altered_quantised_file_is_refused_and_auto_does_without_it(with_int8, monkeypatch, caplog):
    onnx = pytest.importorskip("onnx")
    path, write = with_int8
    write(weights_sha256=load(path).sha256)
    file = path.with_name("w_int8.onnx")
    intact = file.read_bytes()
    segmenter = RoadSegmenter.load(SegmenterOptions(path, precision="int8"))
    assert segmenter.network_sha256 == hashlib.sha256(intact).hexdigest() and not segmenter.why_not_int8
    model = onnx.load_from_string(intact)
    full = next(tensor for tensor in model.graph.initializer if tensor.name == "full")
    full.float_data[:] = [25.5]  # ten times the probability, with the metadata of the intact file
    file.write_bytes(model.SerializeToString())
    monkeypatch.setattr(hardware, "cpu_supports_vnni", lambda: True)
    without = "is not beside it; make it again with road_seg quantize"
    for sentence in ("w_int8.onnx was damaged or altered: its SHA-256 is not the one in w_int8.onnx.sha256", without):
        with pytest.raises(CheckpointError, match=sentence):
            RoadSegmenter.load(SegmenterOptions(path, precision="int8"))
        segmenter = RoadSegmenter.load(SegmenterOptions(path, "cpu", backend="openvino"))
        assert segmenter.precision != "int8" and segmenter.network_sha256 == load(path).sha256
        assert sentence in segmenter.why_not_int8 and sentence in caplog.text
        file.with_name("w_int8.onnx.sha256").unlink(missing_ok=True)
    file.write_bytes(intact)
    file.with_name("w_int8.onnx.sha256").write_text(f"{hashlib.sha256(intact).hexdigest().upper()} *w_int8.onnx\r\n")
    assert RoadSegmenter.load(SegmenterOptions(path, precision="int8")).precision == "int8"


# --- before and after the network --------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1242, 375), (576, 160), (577, 161), (33, 700), (40, 30), (4000, 2000)])
def test_the_probability_is_resized_like_the_frame(size):
    """OpenCV enlarges and torch shrinks, with the same result up to rounding."""
    coarse = torch.from_numpy(np.random.default_rng(0).random((1, 1, 10, 36), np.float32))
    road = resize(coarse, (576, 160))[:, 0]
    kept = road.clone()
    answer = resize_probability(road, size)
    expected = resize(road.unsqueeze(1), size)[:, 0].mul(255).round().to(torch.uint8)
    assert answer.dtype == torch.uint8 and answer.shape == (1, size[1], size[0])
    difference = (answer.int() - expected.int()).abs()
    assert difference.max() <= 1 and (difference > 0).float().mean() < 0.001
    assert torch.equal(road, kept)
    logits = torch.stack([torch.zeros_like(road), torch.logit(road, 1e-6)], 1)
    assert (to_probability(logits, size).int() - answer.int()).abs().max() <= 1


def test_the_ends_of_the_range_are_exact():
    for value, expected in ((0.0, 0), (1.0, 255)):
        assert (resize_probability(torch.full((2, 32, 64), value), (97, 61)) == expected).all()
