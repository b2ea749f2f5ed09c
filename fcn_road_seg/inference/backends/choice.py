"""Which backend runs the network, by device and precision."""

import importlib.util
import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch

from fcn_road_seg.errors import DeviceError, first_line
from fcn_road_seg.inference.backends import hardware
from fcn_road_seg.inference.backends.protocol import Backend
from fcn_road_seg.inference.checkpoint import Checkpoint, CheckpointError
from fcn_road_seg.inference.int8_file import int8_path, read_int8
from fcn_road_seg.inference.options import BACKENDS, PRECISIONS, SegmenterOptions

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
OTHER = "other"
PRECISIONS_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "torch": {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16")},
    "compile": {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16")},
    "openvino": {"cpu": ("fp32", "bf16", "int8"), OTHER: ("fp32", "fp16", "int8")},
    "graph": {"cuda": ("fp32", "bf16", "fp16")},
    "onnxruntime": {"cpu": ("fp32", "int8"), "cuda": ("fp32", "fp16")},
    "onnxruntime_tensorrt": {"cuda": ("fp32", "fp16", "int8")},
    "tensorrt": {"cuda": ("fp32", "fp16", "int8")},
}
"""What each backend supports by the kind of device: "cpu", "cuda", or `OTHER`, which are OpenVINO's other devices."""
RUNTIMES = {
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "onnxruntime_tensorrt": "onnxruntime",
    "tensorrt": "tensorrt",
}
"""The package that a backend needs beside PyTorch."""


class Running(NamedTuple):
    """A backend, and what it runs.

    Attributes:
        sha256: of the INT8 file if that runs, else of the checkpoint; in hex.
        why_not_int8: why "auto" refused the INT8 file beside the weights; else empty.
    """

    backend: Backend
    sha256: str
    why_not_int8: str = ""


def create(checkpoint: Checkpoint, options: SegmenterOptions) -> Running:
    """Put a checkpoint's network on a device, as the options ask; their `weights` are ignored.

    Raises:
        DeviceError: the device is not available, or does not support this backend or precision.
        CheckpointError, ExportError: int8 was asked for, but the quantised network is missing or invalid; or onnx is
            not installed.
    """
    backend, device, precision = choose(options)
    if backend == "openvino":
        return _openvino(checkpoint, device, precision, options)
    torch_device, dtype = torch.device(device), DTYPES.get(precision)
    if backend in ("onnxruntime", "onnxruntime_tensorrt", "tensorrt"):
        return _of_onnx(checkpoint, backend, torch_device, precision, options.threads)
    assert dtype is not None  # PyTorch's backends have no int8
    if options.threads:
        torch.set_num_threads(options.threads)
    network = checkpoint.network()
    if backend == "graph":
        from fcn_road_seg.inference.backends.cuda_graph import TorchGraph

        return Running(TorchGraph(network, torch_device, precision, dtype), checkpoint.sha256)
    if backend == "compile":
        from fcn_road_seg.inference.backends.torch_compile import TorchCompile

        return Running(TorchCompile(network, torch_device, precision, dtype), checkpoint.sha256)
    from fcn_road_seg.inference.backends.torch_eager import TorchEager

    return Running(TorchEager(network, torch_device, precision, dtype), checkpoint.sha256)


def choose(options: SegmenterOptions) -> tuple[str, str, str]:
    """Backend, device and precision with every "auto" resolved; `create` may still prefer int8 to an automatic float.

    Raises:
        DeviceError: see `create`.
    """
    backend, precision = options.backend, options.precision
    if backend not in ("auto", *BACKENDS):
        raise DeviceError(f"the backend is {backend!r}, but must be one of auto, {', '.join(BACKENDS)}")
    if precision not in ("auto", *PRECISIONS):
        raise DeviceError(f"the precision is {precision!r}, but must be one of auto, {', '.join(PRECISIONS)}")
    if options.threads < 0:
        raise DeviceError(f"the number of threads is {options.threads}, but must be at least 0")
    device, kind = _device(options)
    if backend == "auto":
        on_cpu = "openvino" if precision == "int8" else cpu_backend()
        backend = {"cpu": on_cpu, "cuda": "graph", OTHER: "openvino"}[kind]
    supported = PRECISIONS_OF[backend].get(kind, ())
    if not supported:
        places = " or ".join(
            {"cpu": "the CPU", "cuda": "a CUDA device", OTHER: "OpenVINO's devices"}[k] for k in PRECISIONS_OF[backend]
        )
        able = [name for name, kinds in PRECISIONS_OF.items() if kind in kinds]
        raise DeviceError(f"the backend {backend} needs {places}, not {device}: there choose {', '.join(able)} or auto")
    if precision == "auto":
        precision = _automatic_precision(backend, device, kind)
    elif precision not in supported:
        able = [name for name, kinds in PRECISIONS_OF.items() if precision in kinds.get(kind, ())]
        raise DeviceError(
            f"the backend {backend} does not support {precision} on {device}: choose {', '.join(supported)} or auto"
            + (f", or for {precision} the backend {' or '.join(able)}" if able else "")
        )
    if (package := RUNTIMES.get(backend)) and not installed(package):
        wheel = "onnxruntime-gpu" if package == "onnxruntime" and kind == "cuda" else package
        raise DeviceError(f"the backend {backend} needs {wheel}, which is not installed: pip install {wheel}")
    return backend, device, precision


def _device(options: SegmenterOptions) -> tuple[str, str]:
    """The device with "auto" resolved, and its kind, a key of `PRECISIONS_OF`."""
    name = options.device
    if hardware.openvino_devices(name):
        return name.lower(), OTHER
    if name == "auto" and (
        options.backend == "openvino" or (options.backend == "auto" and options.precision == "int8")
    ):
        name = "cpu"
    device = hardware.torch_device(name, ", or for OpenVINO one like gpu or auto:npu,cpu")
    return str(device), device.type


def _automatic_precision(backend: str, device: str, kind: str) -> str:
    if kind == "cuda":
        return "fp16"
    if kind == OTHER:  # a CPU among several devices computes no FP16
        return "fp32" if "CPU" in hardware.openvino_devices(device) else "fp16"
    return "fp32" if backend == "onnxruntime" else hardware.fast_float_precision()


def cpu_backend() -> str:
    """What "auto" takes on this CPU: OpenVINO if it is installed; off x86-64 it has not been measured to be faster."""
    return "openvino" if installed("openvino") and platform.machine() in ("x86_64", "AMD64") else "torch"


def installed(package: str) -> bool:
    """Whether a package is installed."""
    return importlib.util.find_spec(package) is not None


@contextmanager
def importing(package: str) -> Iterator[None]:
    """Turn the error of a package that is installed, but whose libraries are missing or broken, into a DeviceError."""
    try:
        yield
    except (ImportError, OSError) as error:
        raise DeviceError(
            f"{package} is installed but cannot be imported ({first_line(error)}): install it again, or choose another "
            "backend"
        ) from None


def _of_onnx(checkpoint: Checkpoint, backend: str, device: torch.device, precision: str, threads: int) -> Running:
    """A backend that takes an ONNX file: the INT8 file beside the weights, or one made from the weights."""
    from fcn_road_seg.inference import onnx_export

    onnx_export.require("onnx")
    path, sha256 = int8_path(checkpoint.path), checkpoint.sha256
    if precision == "int8":
        sha256 = read_int8(path).sha256

    def onnx_model(size: tuple[int, int] | None) -> "onnx.ModelProto":
        if precision != "int8":
            return onnx_export.to_onnx(checkpoint, size, precision == "fp16")
        model = onnx_export.load_int8(path, checkpoint)
        onnx_export.set_size(model, size)
        return model

    if backend == "tensorrt":
        with importing("tensorrt"):
            from fcn_road_seg.inference.backends.tensorrt import TensorRt

        return Running(TensorRt(onnx_model, sha256, device, precision), sha256)
    with importing("onnxruntime"):
        from fcn_road_seg.inference.backends.onnx_runtime import OnnxRuntime

    content = onnx_model(None).SerializeToString()
    return Running(OnnxRuntime(backend, content, sha256, device, precision, threads), sha256)


def _openvino(checkpoint: Checkpoint, device: str, precision: str, options: SegmenterOptions) -> Running:
    """OpenVINO with the quantised network if int8 was asked for, or if "auto" can have it; else in floating point."""
    with importing("openvino"):
        from fcn_road_seg.inference.backends.openvino import OpenVino, float_model, int8_model

    automatic, refused = options.precision == "auto" and device == "cpu", ""
    arithmetic = _automatic_precision("openvino", device, "cpu" if device == "cpu" else OTHER)
    if precision == "int8" or (automatic and hardware.cpu_supports_vnni() and int8_path(checkpoint.path).exists()):
        try:
            model, sha256 = int8_model(checkpoint)
            return Running(OpenVino(model, "int8", arithmetic, options.threads, device), sha256)
        except CheckpointError as error:
            if not automatic:
                raise
            refused = str(error)
            logger.warning("Running in %s: %s", precision, refused)
    running = OpenVino(float_model(checkpoint), precision, precision, options.threads, device)
    return Running(running, checkpoint.sha256, refused)
