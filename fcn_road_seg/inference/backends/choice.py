"""Which backend runs the network, by device and precision."""

import importlib.util
import logging
import platform
from typing import NamedTuple

import torch

from fcn_road_seg.errors import DeviceError
from fcn_road_seg.inference.backends import hardware
from fcn_road_seg.inference.backends.protocol import Backend
from fcn_road_seg.inference.checkpoint import Checkpoint, CheckpointError
from fcn_road_seg.inference.int8_file import int8_path
from fcn_road_seg.inference.options import BACKENDS, PRECISIONS, SegmenterOptions

logger = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
        CheckpointError: int8 was asked for, but the quantised network is missing or invalid.
    """
    backend, device, precision = choose(options)
    if backend == "openvino":
        return _openvino(checkpoint, precision, options)
    if options.threads:
        torch.set_num_threads(options.threads)
    network, dtype = checkpoint.network(), DTYPES[precision]
    if backend == "graph":
        from fcn_road_seg.inference.backends.cuda_graph import CudaGraph

        return Running(CudaGraph(network, device, precision, dtype), checkpoint.sha256)
    if backend == "compile":
        from fcn_road_seg.inference.backends.torch_compile import TorchCompile

        return Running(TorchCompile(network, device, precision, dtype), checkpoint.sha256)
    from fcn_road_seg.inference.backends.torch_eager import TorchEager

    return Running(TorchEager(network, device, precision, dtype), checkpoint.sha256)


def choose(options: SegmenterOptions) -> tuple[str, torch.device, str]:
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
    needs_cpu = backend == "openvino" or precision == "int8"
    device = hardware.torch_device("cpu" if options.device == "auto" and needs_cpu else options.device)
    on_cpu = device.type == "cpu"
    if backend == "auto" and on_cpu:
        backend = "openvino" if precision == "int8" else cpu_backend()
    elif backend == "auto":
        backend = "graph"
    if precision == "auto":
        precision = hardware.fast_float_precision() if on_cpu else "fp16"
    if precision == "int8" and backend != "openvino":
        raise DeviceError(f"int8 needs the backend openvino, which runs on the CPU, and not {backend}")
    if precision == "fp16" and on_cpu:
        raise DeviceError("fp16 needs a CUDA device; on the CPU choose bf16, fp32 or auto")
    if backend == "graph" and on_cpu:
        raise DeviceError("the backend graph needs a CUDA device; on the CPU choose openvino, torch, compile or auto")
    if backend == "openvino" and not on_cpu:
        raise DeviceError(f"the backend openvino runs on the CPU, not on {device}: choose graph, torch or compile")
    if backend == "openvino" and not openvino_installed():
        raise DeviceError("the backend openvino needs OpenVINO, which is not installed: pip install openvino")
    return backend, device, precision


def cpu_backend() -> str:
    """What "auto" takes on this CPU: OpenVINO if it is installed; off x86-64 it has not been measured to be faster."""
    return "openvino" if openvino_installed() and platform.machine() in ("x86_64", "AMD64") else "torch"


def openvino_installed() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def _openvino(checkpoint: Checkpoint, precision: str, options: SegmenterOptions) -> Running:
    """OpenVINO with the quantised network if int8 was asked for, or if "auto" can have it; else in floating point."""
    from fcn_road_seg.inference.backends.openvino import OpenVino, float_model, int8_model

    automatic, refused = options.precision == "auto", ""
    if precision == "int8" or (automatic and hardware.cpu_supports_vnni() and int8_path(checkpoint.path).exists()):
        try:
            model, sha256 = int8_model(checkpoint)
            return Running(OpenVino(model, "int8", hardware.fast_float_precision(), options.threads), sha256)
        except CheckpointError as error:
            if not automatic:
                raise
            refused = str(error)
            logger.warning("Running in %s: %s", precision, refused)
    return Running(OpenVino(float_model(checkpoint), precision, precision, options.threads), checkpoint.sha256, refused)
