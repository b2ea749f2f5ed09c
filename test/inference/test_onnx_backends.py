"""The backends that run an ONNX file: ONNX Runtime on the CPU, and TensorRT with a stand-in for its package."""

import os
import stat
import sys
from importlib import import_module

import cuda_stand_in
import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

import tensorrt_stand_in  # noqa: E402

from fcn_road_seg.errors import DeviceError, FrameError  # noqa: E402
from fcn_road_seg.inference.backends import cache, choice, hardware  # noqa: E402
from fcn_road_seg.inference.backends.cuda_graph import STAGES  # noqa: E402
from fcn_road_seg.inference.checkpoint import CheckpointError, Metadata, save  # noqa: E402
from fcn_road_seg.inference.network import FCN8s  # noqa: E402
from fcn_road_seg.inference.options import SegmenterOptions  # noqa: E402
from fcn_road_seg.inference.segmenter import RoadSegmenter  # noqa: E402
from fcn_road_seg.synthetic import SyntheticDrive  # noqa: E402

BACKEND = "fcn_road_seg.inference.backends.tensorrt"
WIDTHS = (8, 8, 12, 12, 16, 16, 20, 24, 24, 24, 16, 16, 16)
FRAME = np.random.default_rng(0).integers(0, 256, (60, 200, 3), np.uint8)


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory):
    return written(tmp_path_factory.mktemp("weights") / "small.safetensors", seed=0)


def written(path, seed: int):
    """A checkpoint with random weights and few channels."""
    torch.manual_seed(seed)
    network = FCN8s("atrous", 16, std_init=1.0, conv_widths=WIDTHS)
    save(path, network, Metadata(fc="atrous", fc_width=16, conv_widths=WIDTHS, network_width=128))
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fcn_road_seg"


@pytest.fixture
def tensorrt(monkeypatch, folder):
    """Both stand-ins, whose GPU is the CPU."""
    cuda_stand_in.install(monkeypatch)
    tensorrt_stand_in.install(monkeypatch)
    monkeypatch.setattr(choice, "_device", lambda options: ("cpu", "cuda"))


def loaded(weights, precision: str = "fp32", backend: str = "tensorrt", **options) -> RoadSegmenter:
    return RoadSegmenter.load(SegmenterOptions(weights, "auto", precision, backend=backend, **options))


def builds() -> int:
    return tensorrt_stand_in.Builder.builds


def test_an_engine_answers_like_the_reference(small_weights, tensorrt):
    reference = RoadSegmenter.load(SegmenterOptions(small_weights, "cpu", "fp32", backend="torch"))
    for precision, most, views in (("fp32", 1, 4), ("fp16", 4, 1)):
        segmenter = loaded(small_weights, precision)
        assert (segmenter.backend, segmenter.precision) == ("tensorrt", precision)
        for frame in (FRAME, 255 - FRAME, FRAME[:, :120], FRAME[..., ::-1])[:views]:
            answer, expected = segmenter(frame), reference(frame)
            assert expected.std() > 5
            assert np.abs(answer.astype(int) - expected).max() <= most + 1  # the sizes are rounded in x, then in y
        assert tuple(segmenter.seconds)[-5:] == STAGES
        assert segmenter.memory() > 1000
    assert loaded(small_weights, "auto").precision == "fp16"


def test_an_engine_is_built_once_for_each_of_what_it_depends_on(small_weights, tensorrt, folder, monkeypatch, caplog):
    caplog.set_level("INFO", "fcn_road_seg")
    first = loaded(small_weights)(FRAME)
    assert builds() == 1 and "Building the TensorRT engine for 128x32 in fp32" in caplog.text
    assert np.array_equal(loaded(small_weights)(FRAME), first) and builds() == 1
    (engine,) = (folder / "tensorrt").glob("*.engine")
    assert engine.name.startswith("fp32_128x32_")
    assert stat.S_IMODE(os.stat(folder / "tensorrt").st_mode) == 0o700
    for count, (where, name, other) in enumerate(
        [
            (cuda_stand_in.Properties, "name", "another GPU"),
            (cuda_stand_in.Properties, "multi_processor_count", 16),  # a MIG slice
            (import_module(BACKEND), "driver_version", lambda: "580.1"),
        ],
        start=2,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, other)
            loaded(small_weights)(FRAME)
        assert builds() == count
    tensorrt_stand_in.install(monkeypatch, "11.4.0.106")
    loaded(small_weights)(FRAME)
    assert builds() == 1


def test_an_engine_of_other_weights_or_another_precision_is_not_used(small_weights, tensorrt, tmp_path):
    loaded(small_weights)(FRAME)
    loaded(small_weights, "fp16")(FRAME)
    loaded(written(tmp_path / "other.safetensors", seed=1))(FRAME)
    loaded(small_weights, network_width=160)(FRAME)
    assert builds() == 4


def test_a_damaged_engine_is_built_again(small_weights, tensorrt, folder, caplog):
    first = loaded(small_weights)(FRAME)
    (engine,) = (folder / "tensorrt").glob("*.engine")
    engine.write_bytes(engine.read_bytes()[:-1])
    assert np.array_equal(loaded(small_weights)(FRAME), first) and builds() == 2
    assert f"Building again: {engine} was damaged or altered" in caplog.text
    engine.with_name(f"{engine.name}.sha256").unlink()
    assert np.array_equal(loaded(small_weights)(FRAME), first) and builds() == 3
    loaded(small_weights)(FRAME)
    assert builds() == 3


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_can_write_to_is_not_used(folder, caplog, mode):
    (folder / "engines").mkdir(parents=True)
    (folder / "engines").chmod(mode)
    for content in (b"one", b"two"):
        assert cache.cached("engines", "a.engine", ("key",), lambda content=content: content) == content
    assert f"other users can write to {folder / 'engines'}: run chmod 700 on it" in caplog.text
    assert not list((folder / "engines").iterdir())
    (folder / "file").touch()
    assert cache.cached("file/x", "a.engine", ("key",), lambda: b"three") == b"three"
    assert "Not a directory" in caplog.text


def test_a_build_that_fails_is_one_sentence_and_never_another_backend(small_weights, tensorrt, monkeypatch):
    segmenter = loaded(small_weights)
    with monkeypatch.context() as patch, pytest.raises(FrameError, match="cannot build the engine: no reason given"):
        patch.setattr(tensorrt_stand_in.Builder, "build_serialized_network", lambda *_: None)
        segmenter(FRAME)
    with monkeypatch.context() as patch, pytest.raises(FrameError, match="cannot read the network: error 0: no netw"):
        patch.setattr(segmenter._backend, "_onnx_model", lambda size: onnx.ModelProto())
        segmenter(FRAME)

    def null(self, logger):
        logger.log(1, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    for kind in (tensorrt_stand_in.Builder, tensorrt_stand_in.Runtime):
        with monkeypatch.context() as patch, pytest.raises(FrameError, match="cannot use the GPU: CUDA init.*: 35"):
            patch.setattr(kind, "__init__", null)
            segmenter(FRAME[:, :30])

    def no_memory(self, network, config):
        self._logger.log(1, "Requested amount of GPU memory could not be allocated: out of memory")

    with monkeypatch.context() as patch, pytest.raises(FrameError, match="not enough memory for a frame of 200x60"):
        patch.setattr(tensorrt_stand_in.Builder, "build_serialized_network", no_memory)
        segmenter(FRAME)
    with monkeypatch.context() as patch, pytest.raises(FrameError, match="TensorRT failed: "):
        patch.setattr(tensorrt_stand_in.Context, "execute_async_v3", lambda *_: False)
        segmenter(FRAME)
    assert segmenter(FRAME).any()


def test_ctrl_c_ends_a_build(small_weights, tensorrt, monkeypatch, caplog):
    backend = import_module(BACKEND)
    monkeypatch.setattr(backend, "PROGRESS_SECONDS", 0.0)
    segmenter = loaded(small_weights)

    def interrupt(text, *arguments):
        if arguments[:1] == ("Tactics",):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(backend.logger, "info", interrupt)
        segmenter(FRAME)
    caplog.set_level("INFO", "fcn_road_seg")
    assert segmenter(FRAME).any()
    assert "Building the TensorRT engine: Tactics, 2 of 3" in caplog.text


@pytest.mark.parametrize("backend", ["tensorrt", "onnxruntime"])
def test_a_package_without_its_libraries_is_refused(small_weights, tensorrt, tmp_path, monkeypatch, backend):
    (tmp_path / backend).mkdir()
    (tmp_path / backend / "__init__.py").write_text("raise ImportError('libnv.so.10: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in (backend, BACKEND, "fcn_road_seg.inference.backends.onnx_runtime"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    words = f"{backend} is installed but cannot be imported .libnv.so.10: .*: install it again, or choose another"
    with pytest.raises(DeviceError, match=words):
        loaded(small_weights, "fp32", backend)


@pytest.mark.parametrize("version", ["8.6.1", "10.0.1"])
def test_an_old_tensorrt_is_refused(small_weights, tensorrt, monkeypatch, version):
    tensorrt_stand_in.install(monkeypatch, version)
    words = f"needs TensorRT 10.1 or newer, not {version}: update it, or choose the backend graph"
    with pytest.raises(DeviceError, match=words):
        loaded(small_weights)


def test_engines_without_a_graph_are_freed(small_weights, tensorrt, monkeypatch):
    monkeypatch.setattr("fcn_road_seg.inference.backends.cuda_graph.SIZES", 1)
    segmenter = loaded(small_weights)
    for width in (200, 100, 50):
        segmenter(FRAME[:, :width])
        assert len(segmenter._backend._engines) == 1


# --- INT8: the shipped file ----------------------------------------------------------------------------


def test_the_int8_file_runs_in_tensorrt_and_in_onnx_runtime(repository, tensorrt, monkeypatch):
    weights = repository / "models" / "road_fcn8s_lite.safetensors"
    if not weights.with_name("road_fcn8s_lite_int8.onnx").is_file():
        pytest.skip("models/road_fcn8s_lite_int8.onnx is not in this checkout")
    int8 = loaded(weights, "int8", network_width=192)
    answer = int8(FRAME)
    monkeypatch.undo()
    on_cpu = RoadSegmenter.load(SegmenterOptions(weights, "cpu", "int8", backend="onnxruntime", network_width=192))
    assert np.abs(answer.astype(int) - on_cpu(FRAME)).mean() <= 2
    assert on_cpu.network_sha256 == int8.network_sha256 != on_cpu.checkpoint.sha256
    reference = RoadSegmenter.load(SegmenterOptions(weights, "cpu", "fp32", backend="torch", network_width=192))
    assert 0 < np.abs(answer.astype(int) - reference(FRAME)).mean() < 3


def test_int8_without_its_file_is_refused(small_weights):
    with pytest.raises(CheckpointError, match="there is no quantised network .*small_int8.onnx for int8"):
        RoadSegmenter.load(SegmenterOptions(small_weights, "cpu", "int8", backend="onnxruntime"))


# --- ONNX Runtime on a GPU, as far as a CPU can tell --------------------------------------------------


@pytest.fixture
def on_cuda(monkeypatch, folder):
    monkeypatch.setattr(hardware, "torch_device", lambda *_: torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "stand-in")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10, 20))


@pytest.mark.parametrize(
    ("backend", "provider"),
    [("onnxruntime", "CUDAExecutionProvider"), ("onnxruntime_tensorrt", "TensorrtExecutionProvider")],
)
def test_a_provider_that_is_missing_or_does_not_start_is_refused(
    small_weights, on_cuda, monkeypatch, folder, backend, provider
):
    if provider not in onnxruntime.get_available_providers():
        with pytest.raises(DeviceError, match=f"needs {provider} on cuda:1, but .* has only .*onnxruntime-gpu instead"):
            loaded(small_weights, "fp16", backend)
    made = []

    def session(content, options, providers, enable_fallback):
        made.append((options.get_session_config_entry("session.disable_cpu_ep_fallback"), enable_fallback, providers))
        raise RuntimeError("/src/state.cc:729 void onnxruntime::f(Options&, const Map&) Please install the libraries.")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [provider])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    words = f"cannot run the network in {provider} on cuda:1: Please install the libraries; install the CUDA, cuDNN"
    with pytest.raises(DeviceError, match=words):
        loaded(small_weights, "fp16", backend)
    ((on_cpu_disabled, fallback, ((name, settings),)),) = made
    assert (on_cpu_disabled, fallback, name, settings["device_id"]) == ("1", 0, provider, "1")
    if backend == "onnxruntime_tensorrt":
        assert settings["trt_fp16_enable"] == settings["trt_engine_cache_enable"] == "1"
        assert stat.S_IMODE(os.stat(settings["trt_engine_cache_path"]).st_mode) == 0o700
        monkeypatch.setenv("XDG_CACHE_HOME", str(small_weights))  # a file, in which there can be no folder
        with pytest.raises(DeviceError, match=words):
            loaded(small_weights, "fp16", backend)
        assert "trt_engine_cache_enable" not in made[1][2][0][1]


def test_an_error_of_onnx_runtime_is_one_sentence(small_weights, monkeypatch):
    segmenter = RoadSegmenter.load(SegmenterOptions(small_weights, "cpu", "fp32", backend="onnxruntime"))
    assert segmenter.memory() is None
    monkeypatch.setattr(
        "fcn_road_seg.inference.backends.onnx_runtime.network_frame", lambda *_: np.zeros((1, 32, 32, 3), np.float64)
    )
    with pytest.raises(FrameError, match="the network failed on a frame of 200x60: ") as error:
        segmenter(FRAME)
    assert "\n" not in str(error.value)


# --- on a GPU ----------------------------------------------------------------------------------------


@pytest.mark.cuda
@pytest.mark.parametrize("backend", ["onnxruntime", "onnxruntime_tensorrt", "tensorrt"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_cuda_masks_of_onnx_backends_match_the_cpus(shipped_weights, folder, backend, precision):
    """Without stand-ins: the real packages, as far as they are installed."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if precision not in choice.PRECISIONS_OF[backend]["cuda"]:
        pytest.skip(f"{backend} does not run {precision} on CUDA")
    if not choice.installed(choice.RUNTIMES[backend]):
        pytest.skip(f"{choice.RUNTIMES[backend]} is not installed")
    if backend.startswith("onnx") and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime is for CPUs only")
    if precision == "int8" and not shipped_weights.with_name("road_fcn8s_int8.onnx").is_file():
        pytest.skip("models/road_fcn8s_int8.onnx is not in this checkout")
    device = f"cuda:{torch.cuda.device_count() - 1}"  # the last one, so that a default of 0 would be noticed
    options = SegmenterOptions(shipped_weights, device, precision, backend=backend)
    on_gpu = RoadSegmenter.load(options)
    reference = RoadSegmenter.load(SegmenterOptions(shipped_weights, "cpu", "fp32", backend="torch"))
    level = round(reference.threshold * 255)
    frame = SyntheticDrive(seed=1, frames=1)[0].image
    expected = reference(frame) >= level
    changed = np.mean((on_gpu(frame) >= level) != expected)
    assert changed <= (0.015 if precision == "int8" else 0.002)
    assert (on_gpu.backend, on_gpu.device, on_gpu.precision) == (backend, device, precision)
    assert on_gpu.memory() > 2**20 and torch.cuda.current_device() == 0
    if backend == "tensorrt":
        engines = {file: file.stat().st_mtime_ns for file in (folder / "tensorrt").iterdir()}
        again = RoadSegmenter.load(options)
        assert np.mean((again(frame) >= level) != expected) <= 0.015
        assert engines == {file: file.stat().st_mtime_ns for file in (folder / "tensorrt").iterdir()}
