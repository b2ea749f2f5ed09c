"""Checks of Python, the packages, the GPU and the weights. What they look at comes in as arguments, for the tests."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from fcn_road_seg.doctor.finding import Finding, error, ok, warning
from fcn_road_seg.errors import UserError, first_line

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 12)
OLDEST_TORCH = (2, 4)
REINSTALL = "make the environment anew with `make venv`, or install it here: pip install {}"


def examine(weights: str = "") -> Iterator[Finding]:
    """Everything below, in order.

    Args:
        weights: safetensors file; empty takes the one that ships.
    """
    yield check_python(sys.version_info[:2])
    yield check_package("numpy", "NumPy", "numpy")
    yield check_package("cv2", "OpenCV", "opencv-python-headless")
    try:
        torch = importlib.import_module("torch")
    except Exception as fault:  # an ImportError, or an OSError from a library of its own
        yield error("torch", f"PyTorch cannot be imported: {first_line(fault)}.", REINSTALL.format("torch"))
        return
    yield check_torch(torch)
    yield check_gpu(torch)
    yield check_weights(weights)


def check_python(version: tuple[int, int]) -> Finding:
    """The interpreter's version, which decides whether there are packages for it."""
    text = "Python {}.{}".format(*version)
    if OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        return ok("python", f"{text} ({sys.executable}).")
    advice = "use Python 3.10, 3.11 or 3.12, for example make venv PYTHON=python3.12"
    return warning("python", f"{text} is not one that this program is tested with.", advice)


def check_package(module: str, name: str, package: str) -> Finding:
    """Whether a package can be imported."""
    try:
        version = importlib.import_module(module).__version__
    except Exception as fault:  # a build for another NumPy raises more than ImportError
        return error(name.lower(), f"{name} cannot be imported: {first_line(fault)}.", REINSTALL.format(package))
    return ok(name.lower(), f"{name} {version}.")


def check_torch(torch: ModuleType) -> Finding:
    """PyTorch's version."""
    text = f"PyTorch {torch.__version__}"
    if tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2]) < OLDEST_TORCH:
        return error("torch", f"{text} is too old.", "install 2.4 or newer: pip install --upgrade torch")
    return ok("torch", f"{text}, {f'built for CUDA {torch.version.cuda}' if torch.version.cuda else 'CPU-only'}.")


def check_gpu(torch: Any, root: Path = Path("/")) -> Finding:
    """Whether PyTorch can use the GPU that this machine has.

    Args:
        torch: the module.
        root: the folder in which etc/, dev/ and proc/ lie.
    """
    from fcn_road_seg.inference.backends import cpu_backend, cpu_has_bf16, cpu_has_vnni, nvidia_gpu_is_here

    if torch.cuda.is_available():
        try:
            torch.ones(1, device="cuda").add(1).item()
        except RuntimeError as fault:
            text = f"The GPU is found, but computing on it fails: {first_line(fault)}."
            return error("gpu", text, "free its memory, or install a PyTorch that was built for this GPU")
        return ok("gpu", f"{torch.cuda.get_device_name(0)}: the network runs on it, in FP16.")
    runtime = {"openvino": "OpenVINO", "torch": "PyTorch"}[cpu_backend()]
    precision = "BF16" if cpu_has_bf16() else "FP32"
    if runtime == "OpenVINO" and cpu_has_vnni():
        precision = f"INT8 (weights without that form in {precision})"
    cpu = f"the network runs on the CPU, in {precision} with {runtime}"
    if not nvidia_gpu_is_here(root):
        return ok("gpu", f"No NVIDIA GPU: {cpu}.")
    jetson = (root / "etc/nv_tegra_release").exists()
    if not torch.version.cuda:
        wheel = "NVIDIA's PyTorch wheel for your JetPack" if jetson else "a CUDA build of PyTorch (pytorch.org, Start)"
        return warning("gpu", f"This machine has an NVIDIA GPU, but PyTorch is CPU-only: {cpu}.", f"install {wheel}")
    driver = driver_version(root)
    built = f"PyTorch was built for CUDA {torch.version.cuda}"
    if driver and not jetson and not (root / "dev/nvidia0").exists():
        text = f"The NVIDIA driver {driver} is there, but no GPU is visible to this process (/dev/nvidia0): {cpu}."
        return warning("gpu", text, "in a container, start it with --gpus all")
    text = f"{built}, but finds no GPU with the driver {driver or 'of this machine'}: {cpu}."
    advice = (
        "update the driver, or install a PyTorch that was built for an older CUDA; look at CUDA_VISIBLE_DEVICES too"
    )
    return warning("gpu", text, advice)


def driver_version(root: Path = Path("/")) -> str:
    """The version of NVIDIA's kernel driver, such as 535.104.05; empty if it does not say."""
    try:
        found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", (root / "proc/driver/nvidia/version").read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def check_weights(weights: str = "") -> Finding:
    """The weights file: there, whole, and what it says of itself."""
    try:
        from fcn_road_seg.inference.checkpoint import load
        from fcn_road_seg.inference.segmenter import weights_path

        checkpoint = load(weights_path(weights))
    except ImportError as fault:
        return error("weights", f"Weights cannot be read: {first_line(fault)}.", REINSTALL.format("safetensors"))
    except (UserError, OSError) as fault:
        advice = (
            "name a file of this program with --weights" if weights else "install the package anew, models/ included"
        )
        return error("weights", f"{fault}.", advice)
    max_f = checkpoint.metadata.max_f
    figure = "" if max_f is None else f", MaxF {100 * max_f:.2f} % on its validation frames"
    return ok("weights", f"{checkpoint.path}, SHA-256 {checkpoint.sha256[:12]}{figure}.")
