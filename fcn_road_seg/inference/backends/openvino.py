"""The network in OpenVINO, on the CPU or on another device that it has a plugin for: an Intel GPU or NPU."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from fcn_road_seg.errors import DeviceError, first_line
from fcn_road_seg.inference.backends.hardware import cpu_name, openvino_devices
from fcn_road_seg.inference.backends.openvino_model import core, openvino_model
from fcn_road_seg.inference.backends.stage_timer import STAGES, CpuTimer
from fcn_road_seg.inference.checkpoint import Checkpoint, CheckpointError
from fcn_road_seg.inference.inference_network import InferenceNetwork
from fcn_road_seg.inference.int8_file import int8_path, read_int8
from fcn_road_seg.inference.preprocess import network_frame, resize_probability

if TYPE_CHECKING:
    from openvino import InferRequest, Model

SIZES_KEPT = 4  # compiled networks; each holds its own copy of the weights
HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class OpenVino:
    """A `Backend` that compiles the network for each size when a frame first needs it.

    Compiling takes a fraction of a second. OpenVINO's cache on disk does not shorten it, so it is not used.

    Args:
        model: uint8 n x h x w x 3 RGB -> P(road), float32 n x h x w, with dynamic h and w; see `float_model`,
            `int8_model`.
        precision: the model's, as in `SegmenterOptions`.
        arithmetic: of the layers that are not quantised, "fp32", "bf16" or "fp16".
        threads: number of CPU threads; 0 takes OpenVINO's default.
        device: "cpu" or one of those in `hardware.openvino_devices`.

    Raises:
        DeviceError: OpenVINO does not find such a device.
    """

    name = "openvino"

    def __init__(self, model: "Model", precision: str, arithmetic: str, threads: int = 0, device: str = "cpu"):
        self.precision = precision
        self.device = device
        self.seconds: dict[str, float] = {}
        self._model = model
        self._core = core()
        found = self._core.available_devices
        for wanted in openvino_devices(device):
            if wanted not in (name for each in found for name in (each, each.partition(".")[0])):
                raise DeviceError(
                    f"OpenVINO finds no {wanted} on this machine, only {', '.join(found)}: install its driver, or "
                    "choose the device cpu"
                )
        names = [self._core.get_property(each, "FULL_DEVICE_NAME") for each in openvino_devices(device)]
        self.device_name = ", ".join(names) or cpu_name()
        hint = HINTS[arithmetic]
        self._config: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        if threads and device == "cpu":
            self._config["INFERENCE_NUM_THREADS"] = threads
        self._requests: dict[tuple[int, int], InferRequest] = {}

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """P(road) x 255, uint8 H x W, of a frame; see `Backend`."""
        height, width = frame.shape[:2]
        began = time.perf_counter()
        request, new = self._request(size)
        prepare = {"prepare": time.perf_counter() - began} if new else {}
        timer = CpuTimer()
        timer.mark()
        request.get_input_tensor().data[:] = network_frame(frame, size)
        timer.mark()
        self._network(request)
        timer.mark()
        road = torch.from_numpy(request.get_output_tensor().data)
        probability = resize_probability(road, (width, height))[0].numpy()
        timer.mark()
        self.seconds = prepare | dict(zip(STAGES, timer.seconds(), strict=True))
        return probability

    def memory(self) -> int | None:
        """None: OpenVINO's devices share the memory of the CPU, or do not tell."""
        return None

    def works(self) -> bool:
        """True: OpenVINO's devices do not fail for good like a CUDA device."""
        return True

    def _network(self, request: "InferRequest") -> None:
        with plain_errors():
            request.start_async()
            request.wait()

    def _request(self, size: tuple[int, int]) -> "tuple[InferRequest, bool]":
        """The request, with its tensors, for a network size, and whether it is new; those used last are kept."""
        request = self._requests.pop(size, None)
        new = request is None
        if request is None:
            while len(self._requests) >= SIZES_KEPT:
                del self._requests[next(iter(self._requests))]
            request = self._compile(*size)
        self._requests[size] = request
        return request, new

    def network_call(self, size: tuple[int, int], frames: int) -> Callable[[object], None]:
        """A function of one argument, which it ignores, that runs the network alone on so many frames at once."""
        request = self._compile(*size, frames)
        request.get_input_tensor().data[:] = np.random.default_rng(0).integers(0, 256, (frames, size[1], size[0], 3))
        return lambda _: self._network(request)

    def _compile(self, width: int, height: int, frames: int = 1) -> "InferRequest":
        with plain_errors():
            self._model.reshape([frames, height, width, 3])
            return self._core.compile_model(self._model, self.device.upper(), self._config).create_infer_request()


def float_model(checkpoint: Checkpoint) -> "Model":
    """The checkpoint's network in floating point."""
    return openvino_model(InferenceNetwork(checkpoint.network(), folded_normalisation=False))


def int8_model(checkpoint: Checkpoint) -> "tuple[Model, str]":
    """The checkpoint's quantised network, from the ONNX file beside it that `road_seg quantize` wrote.

    Returns:
        The model, and the file's SHA-256 in hex.

    Raises:
        CheckpointError: the file is missing, was damaged or altered, cannot be read, or was made from other weights.
    """
    path = int8_path(checkpoint.path)
    content, sha256 = read_int8(path)
    try:
        with plain_errors():
            model = core().read_model(content)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is not a complete ONNX file: {first_line(error)}") from None
    key = ["framework", "weights_sha256"]  # where OpenVINO puts an ONNX file's metadata
    if not model.has_rt_info(key) or model.get_rt_info(key).astype(str) != checkpoint.sha256:
        raise CheckpointError(f"{path} was not made from {checkpoint.path}: make it again with road_seg quantize")
    return model, sha256


@contextmanager
def plain_errors() -> Iterator[None]:
    """Strip the source locations that precede the message in OpenVINO's errors."""
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(str(error).strip().splitlines()[-1]) from None
