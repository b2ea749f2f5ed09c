"""The network as TensorRT engines inside CUDA graphs, on an NVIDIA GPU. Needs TensorRT 10.1 or newer."""

import hashlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorrt as trt
import torch

from fcn_road_seg.errors import DeviceError
from fcn_road_seg.inference.backends.cache import cached
from fcn_road_seg.inference.backends.cuda_graph import CudaGraph, Key
from fcn_road_seg.inference.backends.hardware import driver_version
from fcn_road_seg.inference.backends.static_frame import StaticFrame
from fcn_road_seg.inference.onnx_export import INPUT, OUTPUT

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

OLDEST = 10, 1  # the first whose engines have device_memory_size_v2
PROGRESS_SECONDS = 5.0


class TensorRt(CudaGraph):
    """A `Backend`: CudaGraph with an engine in place of PyTorch's layers, one for each network size.

    Building an engine takes up to minutes and is logged. Engines are kept in $XDG_CACHE_HOME/fcn_road_seg/tensorrt (by
    default ~/.cache/fcn_road_seg/tensorrt). Each is for one GPU, driver, TensorRT, precision, size and weights file.

    Args:
        onnx_model: makes the ONNX graph for a network size (width, height); its types are the engine's.
        sha256: of the weights or the INT8 file, in hex.

    Raises:
        DeviceError: this TensorRT is too old.
    """

    name = "tensorrt"

    def __init__(
        self,
        onnx_model: Callable[[tuple[int, int]], "onnx.ModelProto"],
        sha256: str,
        device: torch.device,
        precision: str,
    ):
        if tuple(int(number) for number in trt.__version__.split(".")[:2]) < OLDEST:
            raise DeviceError(
                f"the backend tensorrt needs TensorRT {'.'.join(map(str, OLDEST))} or newer, not {trt.__version__}: "
                "update it, or choose the backend graph"
            )
        super().__init__(device, precision)
        self._onnx_model = onnx_model
        self._sha256 = sha256
        self._log = Log()
        self._engines: dict[tuple[int, int], Engine] = {}

    def memory(self) -> int | None:
        """Bytes of GPU memory that this process holds for tensors, graphs, and the engines' weights and activations."""
        return (super().memory() or 0) + sum(engine.memory for engine in self._engines.values())

    def _static_frame(self, key: Key) -> StaticFrame:
        shape, size, bgr = key
        for other in {*self._engines} - {size, *(size for _, size, _ in self._captured)}:
            del self._engines[other]  # no graph uses it any more
        if size not in self._engines:
            self._engines[size] = Engine(self._plan(size), self._log)
        return EngineFrame(self._engines[size], shape, size, bgr, self._device)

    def _plan(self, size: tuple[int, int]) -> bytes:
        """The serialised engine for a network size."""
        text = "x".join(map(str, size))
        properties = torch.cuda.get_device_properties(self._device)
        gpu = f"{properties.name} {properties.major}.{properties.minor} {properties.multi_processor_count}"
        model = self._onnx_model(size)
        graph = hashlib.sha256(model.graph.SerializeToString()).hexdigest()  # also of how this version writes it
        parts = gpu, driver_version(), trt.__version__, self.precision, text, self._sha256, graph

        def build() -> bytes:
            logger.info("Building the TensorRT engine for %s in %s; this may take minutes", text, self.precision)
            return build_engine(model.SerializeToString(), self._log)

        return cached("tensorrt", f"{self.precision}_{text}.engine", parts, build)


class Engine:
    """An engine on the current device, with one context.

    Attributes:
        memory: bytes of its weights and its activations.

    Raises:
        RuntimeError: TensorRT cannot use the device or load the plan.
    """

    def __init__(self, plan: bytes, log: "Log"):
        self._log = log
        self._runtime = started(trt.Runtime, log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise RuntimeError(f"TensorRT cannot load its engine: {log.last_error}")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise RuntimeError(f"TensorRT cannot start its engine: {log.last_error}")
        self.memory = len(plan) + self._engine.device_memory_size_v2

    def enqueue(self, image: torch.Tensor, road: torch.Tensor, stream: torch.cuda.Stream) -> None:
        """Enqueue the network: image, uint8 1 x h x w x 3, to road, float32 1 x h x w, both contiguous on the GPU.

        Raises:
            RuntimeError: TensorRT refuses.
        """
        context = self._context
        bound = [context.set_tensor_address(name, t.data_ptr()) for name, t in ((INPUT, image), (OUTPUT, road))]
        if not all(bound) or not context.execute_async_v3(stream.cuda_stream):
            raise RuntimeError(f"TensorRT failed: {self._log.last_error}")


class EngineFrame(StaticFrame):
    """A `StaticFrame` whose network is an engine."""

    def __init__(self, engine: Engine, shape: tuple[int, int], size: tuple[int, int], bgr: bool, device: torch.device):
        self._engine = engine
        self._image = torch.zeros((1, size[1], size[0], 3), dtype=torch.uint8, device=device)
        super().__init__(self._image.permute(0, 3, 1, 2), shape, size, bgr)

    def network(self) -> None:
        """Compute P(road), float32."""
        self._engine.enqueue(self._image, self._road[0], torch.cuda.current_stream(self._image.device))


class Log(trt.ILogger):
    """TensorRT's messages, in Python's log; it keeps the last error, because its functions return no reason."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.last_error = "no reason given"

    def log(self, severity: Any, message: str) -> None:
        """Take a message; from any thread."""
        if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
            self.last_error = message.strip()
        if severity == trt.ILogger.Severity.WARNING:
            logger.debug("TensorRT: %s", message.strip())


class Progress(trt.IProgressMonitor):
    """Logs how far a build is, every few seconds. An exception, such as that of Ctrl-C, ends the build.

    Attributes:
        fault: that exception.
    """

    def __init__(self) -> None:
        trt.IProgressMonitor.__init__(self)
        self.fault: BaseException | None = None
        self._steps: dict[str, int] = {}
        self._next = time.monotonic() + PROGRESS_SECONDS

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """A phase begins."""
        self._steps[phase_name] = num_steps

    def step_complete(self, phase_name: str, step: int) -> bool:
        """A step is done; False ends the build. TensorRT would swallow an exception."""
        try:
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + PROGRESS_SECONDS
                logger.info("Building the TensorRT engine: %s, %d of %d", phase_name, step, self._steps[phase_name])
        except BaseException as fault:
            self.fault = fault
        return self.fault is None

    def phase_finish(self, phase_name: str) -> None:
        """A phase ends."""
        self._steps.pop(phase_name, None)


def started(kind: Callable[["Log"], Any], log: Log) -> Any:
    """A Runtime or a Builder on the current device.

    Raises:
        RuntimeError: TensorRT cannot use the device, for example because the driver is too old for its CUDA.
    """
    try:
        return kind(log)
    except TypeError:  # pybind11's error for a null pointer
        raise RuntimeError(f"TensorRT cannot use the GPU: {log.last_error}") from None


def build_engine(onnx_file: bytes, log: Log) -> bytes:
    """Build an engine for the current device, of exactly the types in the ONNX file.

    Raises:
        RuntimeError: TensorRT cannot use the device, read the file or build the engine.
    """
    builder, progress = started(trt.Builder, log), Progress()
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx_file):
        errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise RuntimeError(f"TensorRT cannot read the network: {'; '.join(errors) or log.last_error}")
    config = builder.create_builder_config()
    config.progress_monitor = progress
    plan = builder.build_serialized_network(network, config)
    if progress.fault is not None:
        raise progress.fault
    if plan is None:
        raise RuntimeError(f"TensorRT cannot build the engine: {log.last_error}")
    return bytes(plan)
