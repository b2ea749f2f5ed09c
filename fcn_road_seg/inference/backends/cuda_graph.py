"""The network on an NVIDIA GPU, as one CUDA graph per frame size, of PyTorch's layers or of another library's."""

import itertools
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from fcn_road_seg.inference.backends.hardware import device_works
from fcn_road_seg.inference.backends.static_frame import StaticFrame, TorchFrame
from fcn_road_seg.inference.backends.tensor_cores import for_tensor_cores
from fcn_road_seg.inference.network import FCN8s

STAGES = "upload", "preprocess", "network", "postprocess", "download"
SIZES = 8  # frame sizes whose graphs are kept
WARM_UPS = 3  # runs before the capture: cuDNN chooses kernels, and lazy loading happens

Key = tuple[tuple[int, int], tuple[int, int], bool]
"""The frame's (height, width), the network's (width, height), and whether the frame is BGR."""


class CudaGraph(ABC):
    """A `Backend` that captures a graph at the first frame of a size and replays it for all others, in its own stream.

    A replay allocates nothing on the GPU. On the host a frame costs one copy into pinned memory and one out of it,
    into an array that the caller owns.

    Attributes:
        seconds: of the `STAGES`, including the host's copies, and of "prepare" at the first frame of a size. If torch
            does not support events inside graphs, the complete graph counts as "network", and "preprocess" and
            "postprocess" are missing.
    """

    name: str

    def __init__(self, device: torch.device, precision: str):
        self.precision = precision
        self.device = str(device)
        self.device_name = torch.cuda.get_device_name(device)
        self.seconds: dict[str, float] = {}
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._captured: OrderedDict[Key, CapturedFrame] = OrderedDict()

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """P(road) x 255, uint8 H x W, of a frame; see `Backend`.

        Raises:
            torch.cuda.OutOfMemoryError: this size does not fit on the GPU, even without the other sizes' graphs.
            RuntimeError: the capture or the frame failed.
        """
        # A [..., ::-1] view of BGR is uploaded as BGR: the host would need 1 ms to reorder 1242x375 pixels.
        bgr = frame.strides[2] == -1
        if bgr:
            frame = frame[..., ::-1]
        key = (frame.shape[0], frame.shape[1]), size, bgr
        began = time.perf_counter()
        captured = self._captured.get(key)
        prepare = {}
        if captured is None:
            captured = self._capture(key)
            prepare = {"prepare": time.perf_counter() - began}
        self._captured.move_to_end(key)
        probability, seconds = captured(frame)
        self.seconds = prepare | seconds
        return probability

    def memory(self) -> int | None:
        """Bytes of GPU memory that this process holds for tensors and graphs."""
        return torch.cuda.memory_reserved(self._device)

    def works(self) -> bool:
        """Whether the device still works; after a sticky CUDA error it does not."""
        return device_works(self._device)

    @abstractmethod
    def _static_frame(self, key: Key) -> StaticFrame:
        """The stages to record for a key, with buffers on the current device."""

    def _capture(self, key: Key) -> "CapturedFrame":
        if len(self._captured) == SIZES:
            self._captured.popitem(last=False)
            torch.cuda.empty_cache()
        try:
            self._captured[key] = self._capture_new(key)
        except torch.cuda.OutOfMemoryError:
            if not self._captured:
                raise
        if key not in self._captured:  # outside the except block, whose traceback holds the frame's tensors
            self._captured.clear()
            torch.cuda.empty_cache()
            self._captured[key] = self._capture_new(key)
        return self._captured[key]

    def _capture_new(self, key: Key) -> "CapturedFrame":
        return CapturedFrame(lambda: self._static_frame(key), key[0], self._device, self._stream)


class TorchGraph(CudaGraph):
    """CudaGraph of PyTorch's layers.

    Args:
        network: float32; it is copied.
        dtype: of the arithmetic.
    """

    name = "graph"

    def __init__(self, network: FCN8s, device: torch.device, precision: str, dtype: torch.dtype):
        super().__init__(device, precision)
        with torch.cuda.stream(self._stream):
            self._network = for_tensor_cores(network, dtype).to(device)

    def _static_frame(self, key: Key) -> StaticFrame:
        return TorchFrame(self._network, *key, self._device)


class CapturedFrame:
    """The graph of one frame size, and its buffers on the host and on the GPU.

    Args:
        make: the stages, on the current device and in the current stream.
        shape: height and width of the frame in pixels.
    """

    def __init__(
        self,
        make: Callable[[], StaticFrame],
        shape: tuple[int, int],
        device: torch.device,
        stream: torch.cuda.Stream,
    ):
        self._stream = stream
        pinned = device.type == "cuda"
        self._staging = torch.empty((*shape, 3), dtype=torch.uint8, pin_memory=pinned)
        self._answer = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        self._begin, self._uploaded, self._computed, self._end = (torch.cuda.Event(enable_timing=True) for _ in "1234")
        inside = events_inside(2)
        self._marks = [self._begin, self._uploaded, *inside, self._computed, self._end]
        self._stages = STAGES if inside else ("upload", "network", "download")
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.cuda.stream(stream):
            self._static = make()
            with cudnn_benchmark(True):
                for _ in range(WARM_UPS):
                    self._enqueue(())
            stream.synchronize()
            self._capture(inside)

    def _capture(self, events: tuple[torch.cuda.Event, ...]) -> None:
        fault: RuntimeError | None = None
        try:
            with (
                cudnn_benchmark(False),  # reuse the kernels that the warm-up found
                torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                self._enqueue(events)
        except RuntimeError as error:
            # Ending an invalid capture raises an error too that is less specific than the first one.
            fault = error.__context__ if isinstance(error.__context__, RuntimeError) else error
        try:
            if fault is not None:
                raise fault
        finally:
            del fault  # breaks a reference cycle that would keep this size's memory until garbage collection

    def _enqueue(self, events: tuple[torch.cuda.Event, ...]) -> None:
        """Enqueue the three stages, with the events, if any, between them."""
        self._static.preprocess()
        for event in events[:1]:
            event.record(self._stream)
        self._static.network()
        for event in events[1:]:
            event.record(self._stream)
        self._static.postprocess()

    def __call__(self, frame: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
        """uint8 H x W x 3 -> P(road) x 255, uint8 H x W, and the stages' seconds; synchronises once, at the end."""
        times = [time.perf_counter()]
        np.copyto(self._staging.numpy(), frame)
        times.append(time.perf_counter())
        with torch.cuda.stream(self._stream):
            self._begin.record(self._stream)
            self._static.frame.copy_(self._staging, non_blocking=True)
            self._uploaded.record(self._stream)
            self._graph.replay()
            self._computed.record(self._stream)
            self._answer.copy_(self._static.probability, non_blocking=True)
            self._end.record(self._stream)
        self._stream.synchronize()
        times.append(time.perf_counter())
        probability = self._answer.numpy().copy()
        times.append(time.perf_counter())
        pairs = zip(self._stages, itertools.pairwise(self._marks), strict=True)
        seconds = {stage: start.elapsed_time(end) / 1000 for stage, (start, end) in pairs}
        seconds["upload"] += times[1] - times[0]
        seconds["download"] += times[3] - times[2]
        return probability, seconds


def events_inside(count: int) -> tuple[torch.cuda.Event, ...]:
    """Timing events that a replayed graph records; none if this torch does not support them."""
    try:
        return tuple(torch.cuda.Event(enable_timing=True, external=True) for _ in range(count))
    except TypeError:
        return ()


@contextmanager
def cudnn_benchmark(on: bool) -> Iterator[None]:
    """Set whether cuDNN benchmarks its kernels for a new shape, and restore the process's setting afterwards."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = on
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
