"""How long the stages of a frame take, on the CPU and on CUDA."""

import itertools
import time

import torch

STAGES = "preprocess", "network", "postprocess"


class CpuTimer:
    """Durations between marks, by the CPU's clock."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def mark(self) -> None:
        """End a stage and begin the next."""
        self._times.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """The durations between the marks."""
        return [end - start for start, end in itertools.pairwise(self._times)]


class CudaTimer:
    """Durations between marks in the device's current stream, because the GPU lags behind the CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._events: list[torch.cuda.Event] = []

    def mark(self) -> None:
        """End a stage and begin the next."""
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        self._events.append(event)

    def seconds(self) -> list[float]:
        """The durations between the marks; waits for the last one."""
        self._events[-1].synchronize()
        return [start.elapsed_time(end) / 1000 for start, end in itertools.pairwise(self._events)]
