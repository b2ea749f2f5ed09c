"""The part of TensorRT 10's and 11's Python API that the backend uses, computed by ONNX Runtime on the CPU."""

import ctypes
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import cuda_stand_in
import numpy as np
import onnx
import onnxruntime

MARK = b"plan of the stand-in "
STREAM = cuda_stand_in.Stream.cuda_stream


class ILogger:
    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)

    def __init__(self):
        pass


class IProgressMonitor:
    def __init__(self):
        pass


class NetworkDefinitionCreationFlag:
    STRONGLY_TYPED = 1


class Builder:
    builds = 0

    def __init__(self, logger: ILogger):
        self._logger = logger

    def create_network(self, flags: int) -> SimpleNamespace:
        assert flags == 2
        return SimpleNamespace(content=b"")

    def create_builder_config(self) -> SimpleNamespace:
        return SimpleNamespace(progress_monitor=None)

    def build_serialized_network(self, network, config) -> memoryview | None:
        Builder.builds += 1
        monitor = config.progress_monitor
        monitor.phase_start("Building Engine", None, 2)
        monitor.phase_start("Tactics", "Building Engine", 3)
        if not all(monitor.step_complete("Tactics", step) for step in range(3)):
            return None
        monitor.phase_finish("Tactics")
        monitor.phase_finish("Building Engine")
        model = onnx.load_from_string(network.content)
        if any(not d.dim_value for tensor in (model.graph.input[0],) for d in tensor.type.tensor_type.shape.dim):
            self._logger.log(ILogger.Severity.ERROR, "Network has dynamic inputs, but no optimization profile\n")
            return None
        return memoryview(MARK + network.content)


class OnnxParser:
    def __init__(self, network, logger: ILogger):
        self._network = network
        self.num_errors = 0

    def parse(self, content: bytes) -> bool:
        try:
            onnx.checker.check_model(onnx.load_from_string(content))
        except Exception:
            self.num_errors = 1
            return False
        self._network.content = content
        return True

    def get_error(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(desc=lambda: f"error {index}: no network")


class Runtime:
    def __init__(self, logger: ILogger):
        self._logger = logger

    def deserialize_cuda_engine(self, plan: bytes):
        if not plan.startswith(MARK):
            self._logger.log(ILogger.Severity.ERROR, "magic tag does not match")
            return None
        return Engine(plan.removeprefix(MARK))


class Engine:
    device_memory_size_v2 = 1000

    def __init__(self, content: bytes):
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, 1
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def create_execution_context(self):
        return Context(self._session)


class Context:
    def __init__(self, session):
        self._session = session
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in ("image", "probability")

    def execute_async_v3(self, stream_handle: int) -> bool:
        image, road = self._session.get_inputs()[0], self._session.get_outputs()[0]
        source = memory(self._addresses["image"], image.shape, ctypes.c_uint8)
        target = memory(self._addresses["probability"], road.shape, ctypes.c_float)
        assert stream_handle == STREAM and self._addresses.keys() == {"image", "probability"}
        cuda_stand_in.enqueue(lambda: np.copyto(target, self._session.run(None, {"image": source})[0]))
        return True


def memory(address: int, shape, kind) -> np.ndarray:
    count = int(np.prod(shape))
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(kind)), (count,)).reshape(shape)


def install(monkeypatch, version: str = "10.13.3") -> None:
    """Make `import tensorrt` find the stand-in, with none of the backend's modules loaded yet."""
    module = ModuleType("tensorrt")
    module.__spec__ = ModuleSpec("tensorrt", None)
    module.__version__ = version
    for item in (ILogger, IProgressMonitor, NetworkDefinitionCreationFlag, Builder, OnnxParser, Runtime):
        setattr(module, item.__name__, item)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.delitem(sys.modules, "fcn_road_seg.inference.backends.tensorrt", raising=False)
    monkeypatch.setattr(Builder, "builds", 0)
