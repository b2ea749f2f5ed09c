"""Checks of Python, the packages, the GPU and the weights; their inputs are arguments, for the tests."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from fcn_road_seg.doctor.finding import Finding, error, ok, warning
from fcn_road_seg.errors import UserError, first_line

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 14)
OLDEST_TORCH = (2, 4)
REINSTALL = "recreate the environment with `make venv`, or install the package: pip install {}"


def examine(weights: str = "") -> Iterator[Finding]:
    """Run all checks of this module, in order.

    Args:
        weights: as in `SegmenterOptions`.
    """
    yield check_python(sys.version_info[:2])
    yield check_package("numpy", "NumPy", "numpy")
    yield check_package("cv2", "OpenCV", "opencv-python-headless")
    try:
        torch = importlib.import_module("torch")
    except Exception as fault:  # an ImportError, or an OSError from one of its shared libraries
        yield error("torch", f"PyTorch cannot be imported: {first_line(fault)}.", REINSTALL.format("torch"))
        return
    yield check_torch(torch)
    yield check_gpu(torch)
    yield check_backends()
    yield check_weights(weights)


def check_python(version: tuple[int, int]) -> Finding:
    """Check the interpreter's version, which decides whether packages are available for it."""
    text = "Python {}.{}".format(*version)
    if OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        return ok("python", f"{text} ({sys.executable}).")
    advice = "use Python 3.10 to 3.14; make venv needs 3.10, 3.11 or 3.12: make venv PYTHON=python3.12"
    return warning("python", f"{text} is not a tested version.", advice)


def check_package(module: str, name: str, package: str) -> Finding:
    """Check that a package can be imported."""
    try:
        version = importlib.import_module(module).__version__
    except Exception as fault:  # a build for another NumPy raises other errors than ImportError, too
        return error(name.lower(), f"{name} cannot be imported: {first_line(fault)}.", REINSTALL.format(package))
    return ok(name.lower(), f"{name} {version}.")


def check_torch(torch: ModuleType) -> Finding:
    """Check PyTorch's version."""
    text = f"PyTorch {torch.__version__}"
    if tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2]) < OLDEST_TORCH:
        return error("torch", f"{text} is too old.", "install 2.4 or newer: pip install --upgrade torch")
    return ok("torch", f"{text}, {f'built for CUDA {torch.version.cuda}' if torch.version.cuda else 'CPU-only'}.")


def check_gpu(torch: Any, root: Path = Path("/")) -> Finding:
    """Check that PyTorch can use the machine's GPU, if it has one.

    Args:
        torch: the module.
        root: the folder that contains etc/, dev/ and proc/.
    """
    from fcn_road_seg.inference.backends import hardware
    from fcn_road_seg.inference.backends.choice import cpu_backend

    if torch.cuda.is_available():
        try:
            torch.ones(1, device="cuda").add(1).item()
        except RuntimeError as fault:
            text = f"PyTorch finds the GPU, but a computation on it fails: {first_line(fault)}."
            return error("gpu", text, "free GPU memory, or install a PyTorch build for this GPU")
        return ok("gpu", f"{torch.cuda.get_device_name(0)}: the network runs on it, in FP16.")
    runtime = {"openvino": "OpenVINO", "torch": "PyTorch"}[cpu_backend()]
    precision = hardware.fast_float_precision().upper()
    if runtime == "OpenVINO" and hardware.cpu_supports_vnni():
        precision = f"INT8 (weights without an INT8 form in {precision})"
    cpu = f"the network runs on the CPU, in {precision} with {runtime}"
    if not hardware.has_nvidia_gpu(root):
        return ok("gpu", f"No NVIDIA GPU found: {cpu}.")
    jetson = (root / "etc/nv_tegra_release").exists()
    if not torch.version.cuda:
        wheel = "NVIDIA's PyTorch wheel for your JetPack" if jetson else "a CUDA build of PyTorch (pytorch.org, Start)"
        return warning("gpu", f"This machine has an NVIDIA GPU, but PyTorch is CPU-only: {cpu}.", f"install {wheel}")
    driver = hardware.driver_version(root)
    built = f"PyTorch was built for CUDA {torch.version.cuda}"
    if driver and not jetson and not (root / "dev/nvidia0").exists():
        text = f"The NVIDIA driver {driver} is loaded, but no GPU is visible to this process (/dev/nvidia0): {cpu}."
        return warning("gpu", text, "if this is a container, start it with --gpus all")
    text = f"{built}, but finds no GPU with the driver {driver or 'of this machine'}: {cpu}."
    advice = "update the driver, install a PyTorch build for an older CUDA, or check CUDA_VISIBLE_DEVICES"
    return warning("gpu", text, advice)


def check_backends() -> Finding:
    """List the backends that can be chosen here, with the devices and providers of their packages."""
    from fcn_road_seg.inference.backends.choice import RUNTIMES, installed

    found, missing = ["torch, compile and (on CUDA) graph with PyTorch"], []
    for package in dict.fromkeys(RUNTIMES.values()):
        if not installed(package):
            missing.append(package)
            continue
        try:
            found.append(_runtime(package))
        except Exception as fault:  # an ImportError, an OSError of a shared library, or the package's own
            return warning(
                "backends",
                f"{package} cannot be imported: {first_line(fault)}.",
                f"pip install {package}, or remove it",
            )
    absent = f"; not installed: {', '.join(missing)}" if missing else ""
    return ok("backends", f"{'; '.join(found)}{absent}.")


def _runtime(package: str) -> str:
    """A package's version and what it can run on, as a clause."""
    if package == "openvino":
        from fcn_road_seg.inference.backends.openvino_model import core, openvino

        found = core().available_devices
        names = [f"{device} ({core().get_property(device, 'FULL_DEVICE_NAME')})" for device in found]
        return f"openvino {openvino.__version__.partition('-')[0]} on {', '.join(names)}"
    module = importlib.import_module(package)
    if package == "onnxruntime":
        return f"onnxruntime {module.__version__} with {', '.join(module.get_available_providers())}"
    return f"{package} {module.__version__}"


def check_weights(weights: str = "") -> Finding:
    """Check that the weights file exists and is intact, as is its INT8 form if it has one, and state its accuracy."""
    try:
        from fcn_road_seg.inference.checkpoint import load
        from fcn_road_seg.inference.int8_file import int8_path, read_int8
        from fcn_road_seg.inference.segmenter import weights_path

        checkpoint = load(weights_path(weights))
        int8 = int8_path(checkpoint.path)
        int8_sha256 = read_int8(int8).sha256 if int8.exists() else ""
    except ImportError as fault:
        return error("weights", f"The weights cannot be read: {first_line(fault)}.", REINSTALL.format("safetensors"))
    except (UserError, OSError) as fault:
        advice = (
            "pass a weights file of this package with --weights"
            if weights
            else "reinstall the package with its models/"
        )
        return error("weights", f"{fault}.", advice)
    max_f = checkpoint.metadata.max_f
    figure = "" if max_f is None else f", MaxF {100 * max_f:.2f} % on its validation frames"
    int8_text = f"; INT8 form, SHA-256 {int8_sha256[:12]}" if int8_sha256 else ""
    return ok("weights", f"{checkpoint.path}, SHA-256 {checkpoint.sha256[:12]}{figure}{int8_text}.")
