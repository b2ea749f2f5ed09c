"""The network on an NVIDIA GPU as one CUDA graph per frame size."""

import itertools
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from fcn_road_seg.inference.backends.static_frame import StaticFrame
from fcn_road_seg.inference.backends.tensor_cores import for_tensor_cores
from fcn_road_seg.inference.network import FCN8s

STAGES = "upload", "preprocess", "network", "postprocess", "download"
SIZES = 8  # frame sizes whose graphs are kept
WARM_UPS = 3  # runs before the capture: cuDNN chooses kernels and everything loads what it loads lazily


class CudaGraph:
    """A graph is captured at the first frame of a size and replayed at every further one, in a stream of its own.

    A replay allocates nothing on the GPU. On the host a frame costs one copy into pinned memory and one out of it,
    into an array that is the caller's to keep. One call at a time.

    Attributes:
        seconds: what each of `STAGES` took for the last frame, the host's copies included. A torch without
            events inside of graphs counts all of the graph as "network" and leaves its neighbours out.
    """

    name = "graph"

    def __init__(self, network: FCN8s, device: torch.device, precision: str, dtype: torch.dtype):
        self.precision = precision
        self.device_string = str(device)
        self.device_name = torch.cuda.get_device_name(device)
        self.seconds: dict[str, float] = {}
        self._device = device
        self._stream = torch.cuda.Stream(device)
        with torch.cuda.stream(self._stream):
            self._network = for_tensor_cores(network, dtype).to(device)
        self._captured: OrderedDict[tuple, CapturedFrame] = OrderedDict()

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """uint8 H x W x 3 RGB, network size (width, height) -> P(road) x 255, uint8 H x W.

        Raises:
            torch.cuda.OutOfMemoryError: the GPU has no room for this size, nor has it without the other sizes' graphs.
            RuntimeError: CUDA refuses the capture or fails in the frame.
        """
        # BGR seen through [..., ::-1] goes up as it lies: the host would need 1 ms to turn 1242x375 pixels around.
        bgr = frame.strides[2] == -1
        if bgr:
            frame = frame[..., ::-1]
        key = frame.shape[:2], size, bgr
        captured = self._captured.get(key) or self._capture(key)
        self._captured.move_to_end(key)
        probability, self.seconds = captured(frame)
        return probability

    def memory(self) -> int | None:
        """Bytes of the GPU that this process holds for tensors and graphs."""
        return torch.cuda.memory_reserved(self._device)

    def works(self) -> bool:
        """Whether the device still does what it is told; after a sticky CUDA error it does not."""
        try:
            torch.cuda.synchronize(self._device)
            torch.cuda.empty_cache()
        except RuntimeError:
            return False
        return True

    def _capture(self, key: tuple) -> "CapturedFrame":
        if len(self._captured) == SIZES:
            self._captured.popitem(last=False)
            torch.cuda.empty_cache()
        try:
            self._captured[key] = CapturedFrame(self._network, *key, self._device, self._stream)
        except torch.cuda.OutOfMemoryError:
            if not self._captured:
                raise
        if key not in self._captured:  # outside the except block, whose traceback holds the frame's tensors
            self._captured.clear()
            torch.cuda.empty_cache()
            self._captured[key] = CapturedFrame(self._network, *key, self._device, self._stream)
        return self._captured[key]


class CapturedFrame:
    """The graph of one frame size, and its buffers on the host and on the GPU; see `StaticFrame` for the arguments."""

    def __init__(
        self,
        network: FCN8s,
        shape: tuple[int, int],
        size: tuple[int, int],
        bgr: bool,
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
            self._static = StaticFrame(network, shape, size, bgr, device)
            with cudnn_benchmark(True):
                for _ in range(WARM_UPS):
                    self._enqueue(())
            stream.synchronize()
            self._capture(inside)

    def _capture(self, events: "tuple[torch.cuda.Event, ...]") -> None:
        fault = None
        try:
            with (
                cudnn_benchmark(False),  # what the warm-up found is found again, and nothing is tried out
                torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                self._enqueue(events)
        except RuntimeError as error:
            # To end a capture that something made invalid raises too, and says less than the first error.
            fault = error.__context__ if isinstance(error.__context__, RuntimeError) else error
        try:
            if fault is not None:
                raise fault
        finally:
            del fault  # it holds this frame, which holds it: this size's memory would wait for the garbage collector

    def _enqueue(self, events: "tuple[torch.cuda.Event, ...]") -> None:
        """The three stages, with events between them or without."""
        self._static.preprocess()
        for event in events[:1]:
            event.record(self._stream)
        self._static.network()
        for event in events[1:]:
            event.record(self._stream)
        self._static.postprocess()

    def __call__(self, frame: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
        """uint8 H x W x 3 -> P(road) x 255, uint8 H x W, and the seconds of each stage. It waits once, at the end."""
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


def events_inside(count: int) -> "tuple[torch.cuda.Event, ...]":
    """Timing events that a replayed graph records; none where this torch has no such events."""
    try:
        return tuple(torch.cuda.Event(enable_timing=True, external=True) for _ in range(count))
    except TypeError:
        return ()


@contextmanager
def cudnn_benchmark(on: bool) -> Iterator[None]:
    """Whether cuDNN tries out its kernels for a new shape, in here; what the process had set comes back."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = on
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
