"""What this machine's CPU and GPU can do."""

import platform
import re
from pathlib import Path

import torch

from fcn_road_seg.errors import DeviceError

CPU_INFO = Path("/proc/cpuinfo")
OPENVINO_MODES = ("AUTO", "HETERO", "MULTI")


def torch_device(name: str, others: str = "") -> torch.device:
    """The device for a name that PyTorch has, see `SegmenterOptions.device`.

    Args:
        others: ends the sentence that says which names there are.

    Raises:
        DeviceError: the name is invalid, or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise DeviceError(f"the device is {name!r}, but must be auto, cpu, cuda or cuda:N{others}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"no CUDA device was found ({torch_build()}); install its driver or choose the device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"there is no {name}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    return device


def torch_build() -> str:
    """Whether the installed PyTorch supports CUDA, as a clause."""
    return f"this PyTorch was built for CUDA {torch.version.cuda}" if torch.version.cuda else "this PyTorch is CPU-only"


def has_nvidia_gpu(root: Path = Path("/")) -> bool:
    """Whether the machine has an NVIDIA GPU with a driver or is a Jetson, even if PyTorch cannot use it."""
    return any((root / file).exists() for file in ("proc/driver/nvidia/version", "dev/nvidia0", "etc/nv_tegra_release"))


def driver_version(root: Path = Path("/")) -> str:
    """The version of NVIDIA's kernel driver, such as 535.104.05; empty if unknown."""
    try:
        found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", (root / "proc/driver/nvidia/version").read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def device_works(device: torch.device) -> bool:
    """Whether a device still works; after a sticky CUDA error it does not. Frees the memory that torch caches."""
    try:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()
    except RuntimeError:
        return False
    return True


def openvino_devices(name: str) -> list[str]:
    """OpenVINO's names of the devices in a `SegmenterOptions.device` that only OpenVINO has; else none.

    "gpu.1" -> ["GPU.1"]; "auto:npu,cpu" -> ["NPU", "CPU"]; "auto", "cpu", "cuda:0" -> [].
    """
    mode, colon, listed = name.upper().rpartition(":")
    devices = listed.split(",")
    known = (
        mode in OPENVINO_MODES and all(re.fullmatch(r"CPU|(GPU|NPU)(\.\d+)?", device) for device in devices)
        if colon
        else re.fullmatch(r"(GPU|NPU)(\.\d+)?", listed)
    )
    return devices if known else []


def fast_float_precision() -> str:
    """The fastest floating-point precision of this CPU that does not visibly change the masks."""
    return "bf16" if cpu_supports_bf16() else "fp32"


def cpu_supports_bf16() -> bool:
    """Whether the CPU multiplies BF16 in hardware (AVX512-BF16, AMX or Arm's BF16 extension)."""
    return bool(_cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})


def cpu_supports_vnni() -> bool:
    """Whether the CPU multiplies INT8 in hardware (AVX512-VNNI, AVX-VNNI or AMX)."""
    return bool(_cpu_flags() & {"avx512_vnni", "avx_vnni", "amx_int8"})


def cpu_name() -> str:
    """The processor's model name."""
    for line in _cpu_info().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cpu_flags() -> set[str]:
    return set(_cpu_info().split())


def _cpu_info() -> str:
    """The contents of /proc/cpuinfo; empty where there is no such file."""
    try:
        return CPU_INFO.read_text()
    except OSError:
        return ""
