"""Ways of running the network: one file each, chosen by device and precision."""

import importlib.util
import logging
import platform
from pathlib import Path
from typing import Any

import torch

from fcn_road_seg.errors import DeviceError
from fcn_road_seg.inference.checkpoint import Checkpoint, CheckpointError
from fcn_road_seg.inference.options import SegmenterOptions

logger = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = (*DTYPES, "int8")
BACKENDS = "torch", "compile", "openvino", "graph"


def create(checkpoint: Checkpoint, options: SegmenterOptions) -> Any:
    """Put a checkpoint's network on a device, as the options say; their `weights` are not read.

    Returns:
        An object with the interface of `torch_eager.TorchEager`.

    Raises:
        DeviceError: there is no such device, or it does not go with this backend and precision.
        CheckpointError: there is no quantised network of this checkpoint.
    """
    device, precision, backend, threads = options.device, options.precision, options.backend, options.threads
    if backend not in ("auto", *BACKENDS):
        raise DeviceError(f"the backend is {backend!r}, but must be one of auto, {', '.join(BACKENDS)}")
    if precision not in ("auto", *PRECISIONS):
        raise DeviceError(f"the precision is {precision!r}, but must be one of auto, {', '.join(PRECISIONS)}")
    if threads < 0:
        raise DeviceError(f"the number of threads is {threads}, but must be at least 0")
    if device == "auto" and (backend == "openvino" or precision == "int8"):
        device = "cpu"
    target = torch_device(device)
    on_cpu = target.type == "cpu"
    if backend == "auto":
        backend = (cpu_backend() if precision != "int8" else "openvino") if on_cpu else "graph"
    automatic = precision == "auto"
    if automatic:
        precision = cpu_precision() if on_cpu else "fp16"
    if precision == "int8" and backend != "openvino":
        raise DeviceError(f"int8 needs the backend openvino, which runs on the CPU, and not {backend}")
    if precision == "fp16" and on_cpu:
        raise DeviceError("fp16 needs a CUDA device; on the CPU ask for bf16, fp32 or auto")
    if backend == "graph" and on_cpu:
        raise DeviceError("the backend graph needs a CUDA device; on the CPU ask for openvino, torch, compile or auto")
    if backend == "openvino" and not on_cpu:
        raise DeviceError(f"the backend openvino runs on the CPU, not on {device}: ask for graph, torch or compile")
    if backend == "openvino" and not openvino_is_here():
        raise DeviceError("the backend openvino needs OpenVINO, which is not installed: pip install openvino")

    if backend == "openvino":
        from fcn_road_seg.inference.backends.openvino import OpenVino, float_model, int8_model, int8_path

        if precision == "int8" or (automatic and cpu_has_vnni() and int8_path(checkpoint.path).exists()):
            try:
                return OpenVino(int8_model(checkpoint), "int8", cpu_precision(), threads)
            except CheckpointError as error:
                if not automatic:
                    raise
                logger.warning("Running in %s: %s", precision, error)
        return OpenVino(float_model(checkpoint), precision, precision, threads)
    if threads:
        torch.set_num_threads(threads)
    if backend == "graph":
        from fcn_road_seg.inference.backends.cuda_graph import CudaGraph as Backend
    elif backend == "compile":
        from fcn_road_seg.inference.backends.torch_compile import TorchCompile as Backend
    else:
        from fcn_road_seg.inference.backends.torch_eager import TorchEager as Backend
    return Backend(checkpoint.network(), target, precision, DTYPES[precision])


def cpu_backend() -> str:
    """What "auto" takes on this CPU: OpenVINO where it is installed; on others than x86-64 it gains nothing known."""
    return "openvino" if openvino_is_here() and platform.machine() in ("x86_64", "AMD64") else "torch"


def openvino_is_here() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def torch_device(name: str) -> torch.device:
    """The device a name stands for; "auto" is CUDA if there is any, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise DeviceError(f"the device is {name!r}, but must be auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"no CUDA device was found ({torch_build()}); install its driver or ask for the device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"there is no {name}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    return device


def torch_build() -> str:
    """What this torch was built for, in words."""
    return f"this torch was built for CUDA {torch.version.cuda}" if torch.version.cuda else "this torch is CPU-only"


def nvidia_gpu_is_here(root: Path = Path("/")) -> bool:
    """Whether the machine has an NVIDIA GPU with a driver or is a Jetson, whatever torch makes of it."""
    return any((root / file).exists() for file in ("proc/driver/nvidia/version", "dev/nvidia0", "etc/nv_tegra_release"))


def cpu_precision() -> str:
    """What floating-point work is fastest in on this CPU without a visible loss."""
    return "bf16" if cpu_has_bf16() else "fp32"


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies BF16 in hardware (AVX512-BF16, AMX or Arm's BF16 extension)."""
    return bool(_cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})


def cpu_has_vnni() -> bool:
    """Whether the CPU multiplies INT8 in hardware (AVX512-VNNI, AVX-VNNI or AMX)."""
    return bool(_cpu_flags() & {"avx512_vnni", "avx_vnni", "amx_int8"})


def _cpu_flags() -> set[str]:
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()
