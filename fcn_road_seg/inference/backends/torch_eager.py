"""The network as PyTorch runs it, layer by layer, on the CPU or on CUDA: the reference for every other backend."""

import itertools
import platform
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fcn_road_seg.inference.preprocess import to_input, to_probability

STAGES = "preprocess", "network", "postprocess"


class TorchEager:
    """Channels-last, inference mode; the frame is uploaded as it is and resized on the device.

    Args:
        network: an FCN8s; it is moved to the device.

    Attributes:
        seconds: what each of `STAGES` took for the last frame; upload and download are in the outer two.
    """

    name = "torch"

    def __init__(self, network: nn.Module, device: torch.device, precision: str, dtype: torch.dtype):
        self.precision = precision
        self.device_string = str(device)
        self.device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
        self.seconds: dict[str, float] = {}
        self._device = device
        self._dtype = dtype
        self._network = network.to(device, dtype, memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """uint8 H x W x 3 RGB, network size (width, height) -> P(road) x 255, uint8 H x W."""
        height, width = frame.shape[:2]
        marks = [self._mark()]
        # Nothing may lie between the frame and its view as N x 3 x H x W: torch then sees that it is channels-last.
        batch = torch.from_numpy(np.require(frame, requirements="CW")[None]).to(self._device).permute(0, 3, 1, 2)
        batch = self._preprocess(batch, size)
        marks.append(self._mark())
        answer = self._network(batch)
        marks.append(self._mark())
        probability = self._postprocess(answer, (width, height))[0].cpu().numpy()
        marks.append(self._mark())
        self.seconds = {s: self._between(*ends) for s, ends in zip(STAGES, itertools.pairwise(marks), strict=True)}
        return probability

    def memory(self) -> int | None:
        """Bytes of the GPU that this process's tensors hold; None on the CPU."""
        return torch.cuda.memory_allocated(self._device) if self._device.type == "cuda" else None

    def works(self) -> bool:
        """Whether the device still does what it is told; after a sticky CUDA error it does not."""
        try:
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
                torch.cuda.empty_cache()
        except RuntimeError:
            return False
        return True

    def _preprocess(self, frame: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """uint8 1 x 3 x H x W -> what `_network` takes."""
        return to_input(frame, size, self._dtype)

    def _postprocess(self, answer: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """What `_network` gives -> P(road) x 255, uint8 1 x H x W."""
        return to_probability(answer, size)

    def _mark(self) -> "float | torch.cuda.Event":
        """A point in time: in the device's stream, because the GPU works behind the CPU's back."""
        if self._device.type == "cpu":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _between(self, start: "float | torch.cuda.Event", end: "float | torch.cuda.Event") -> float:
        """Seconds from one mark to the next."""
        if self._device.type == "cpu":
            return end - start
        end.synchronize()
        return start.elapsed_time(end) / 1000


def cpu_name() -> str:
    """The processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
