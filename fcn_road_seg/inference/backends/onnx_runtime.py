"""The network in ONNX Runtime: on the CPU, and on an NVIDIA GPU through its CUDA or its TensorRT provider."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnxruntime
import torch

from fcn_road_seg.errors import DeviceError, first_line
from fcn_road_seg.inference.backends.cache import private_folder
from fcn_road_seg.inference.backends.hardware import cpu_name, device_works, driver_version
from fcn_road_seg.inference.backends.stage_timer import STAGES, CpuTimer
from fcn_road_seg.inference.onnx_export import INPUT, OUTPUT
from fcn_road_seg.inference.preprocess import network_frame, resize_probability

logger = logging.getLogger(__name__)

ERRORS_ONLY = 3  # ONNX Runtime's log level


class OnnxRuntime:
    """A `Backend` that resizes on the CPU and runs the network in one provider, which must take all of its layers.

    Args:
        name: "onnxruntime", or "onnxruntime_tensorrt" for the TensorRT provider.
        content: an ONNX file, see `onnx_export`.
        sha256: of the weights or the INT8 file, in hex; names the folder of the TensorRT provider's engines.
        threads: number of CPU threads; 0 takes ONNX Runtime's default.

    Raises:
        DeviceError: this ONNX Runtime does not have the provider, or the provider cannot run the network.
        RuntimeError: the CPU cannot.
    """

    def __init__(self, name: str, content: bytes, sha256: str, device: torch.device, precision: str, threads: int = 0):
        self.name = name
        self.precision = precision
        self.device = str(device)
        self.device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
        self.seconds: dict[str, float] = {}
        self._device = device
        self._free_at_start = self._free_memory()
        self._sizes: set[tuple[int, int]] = set()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = threads
        provider, settings = "CPUExecutionProvider", {}
        if device.type == "cuda":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            settings = {"device_id": str(device.index or 0)}
            provider = "CUDAExecutionProvider"
        if name == "onnxruntime_tensorrt":
            provider = "TensorrtExecutionProvider"
            settings |= tensorrt_settings(precision, sha256)
        available = onnxruntime.get_available_providers()
        if provider not in available:
            raise DeviceError(
                f"the backend {name} needs {provider} on {device}, but this ONNX Runtime has only "
                f"{', '.join(available)}: pip install onnxruntime-gpu instead of onnxruntime, or choose another backend"
            )
        try:
            with plain_errors():
                self._session = onnxruntime.InferenceSession(
                    content, options, providers=[(provider, settings)], enable_fallback=0
                )
        except RuntimeError as error:
            if device.type == "cpu":
                raise
            raise DeviceError(
                f"ONNX Runtime cannot run the network in {provider} on {device}: {first_line(error)}; install the "
                "CUDA, cuDNN and TensorRT that its version needs, or choose another backend"
            ) from None

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """P(road) x 255, uint8 H x W, of a frame; see `Backend`."""
        height, width = frame.shape[:2]
        prepare = {}
        if size not in self._sizes:  # a provider chooses its kernels, or builds its engine, at the first run of a size
            began = time.perf_counter()
            if self.name == "onnxruntime_tensorrt":
                logger.info("ONNX Runtime builds or loads its TensorRT engine for %dx%d; this may take minutes", *size)
            if self._device.type == "cuda":
                self._network(np.zeros((1, size[1], size[0], 3), np.uint8))
            self._sizes.add(size)
            prepare = {"prepare": time.perf_counter() - began}
        timer = CpuTimer()
        timer.mark()
        image = np.ascontiguousarray(network_frame(frame, size))
        timer.mark()
        road = self._network(image)
        timer.mark()
        probability = resize_probability(torch.from_numpy(road), (width, height))[0].numpy()
        timer.mark()
        self.seconds = prepare | dict(zip(STAGES, timer.seconds(), strict=True))
        return probability

    def memory(self) -> int | None:
        """Bytes by which the GPU's memory in use has grown since this started, other processes' included."""
        return max(self._free_at_start - self._free_memory(), 0) if self._device.type == "cuda" else None

    def works(self) -> bool:
        """Whether the device still works; after a sticky CUDA error it does not."""
        return device_works(self._device)

    def _free_memory(self) -> int:
        return torch.cuda.mem_get_info(self._device)[0] if self._device.type == "cuda" else 0

    def _network(self, image: np.ndarray) -> np.ndarray:
        with plain_errors():
            return self._session.run([OUTPUT], {INPUT: image})[0]


def tensorrt_settings(precision: str, sha256: str) -> dict[str, str]:
    """The TensorRT provider's settings. It tells its engines apart by GPU and graph, the folder by the rest."""
    settings = {"trt_fp16_enable": str(int(precision != "fp32")), "trt_int8_enable": str(int(precision == "int8"))}
    versions = f"{onnxruntime.__version__}_{driver_version() or 'unknown'}"
    folder = private_folder(f"onnxruntime_tensorrt/{precision}_{sha256[:16]}_{versions}")
    return settings | ({"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)} if folder else {})


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn ONNX Runtime's exceptions, which have no base class of their own, into RuntimeErrors of one line."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, RuntimeError) and not type(error).__module__.startswith("onnxruntime"):
            raise
        text = re.sub(r"^/\S+:\d+ .*?\) ", "", first_line(error))  # where in its source
        raise RuntimeError(text.rpartition(" : ")[2]) from None
