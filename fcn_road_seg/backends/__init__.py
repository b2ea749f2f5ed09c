"""Ways of running the network: one file each, chosen by device and precision."""

from pathlib import Path

import torch

from fcn_road_seg.backends.torch_eager import TorchEager
from fcn_road_seg.errors import UserError
from fcn_road_seg.network import FCN8s

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class DeviceError(UserError):
    """A device or precision that cannot be had; the message says what to ask for instead."""


def create(network: FCN8s, device: str = "auto", precision: str = "auto") -> TorchEager:
    """Put the network (float32, on the CPU) on a device; see `RoadSegmenter.load` for the names.

    Raises:
        DeviceError: there is no such device or it does not run this precision.
    """
    target = torch_device(device)
    if precision == "auto":
        precision = "fp16" if target.type == "cuda" else ("bf16" if cpu_has_bf16() else "fp32")
    if precision not in DTYPES:
        raise DeviceError(f"the precision is {precision!r}, but must be one of auto, {', '.join(DTYPES)}")
    if precision == "fp16" and target.type == "cpu":
        raise DeviceError("fp16 needs a CUDA device; on the CPU ask for bf16, fp32 or auto")
    return TorchEager(network, target, precision, DTYPES[precision])


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


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies BF16 in hardware (AVX512-BF16, AMX or Arm's BF16 extension)."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
