"""The network as PyTorch runs it, layer by layer, on the CPU or on CUDA: the reference for every other backend."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from fcn_road_seg.inference.backends.hardware import cpu_name, device_works
from fcn_road_seg.inference.backends.stage_timer import STAGES, CpuTimer, CudaTimer
from fcn_road_seg.inference.preprocess import to_input, to_probability


class TorchEager:
    """A `Backend` in channels-last memory format; the frame is uploaded unchanged and resized on the device.

    Args:
        network: an FCN8s; it is moved to the device.

    Attributes:
        seconds: of the `STAGES`; upload and download count as preprocess and postprocess.
    """

    name = "torch"

    def __init__(self, network: nn.Module, device: torch.device, precision: str, dtype: torch.dtype):
        self.precision = precision
        self.device = str(device)
        self.device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
        self.seconds: dict[str, float] = {}
        self._device = device
        self._dtype = dtype
        self._module = network.to(device, dtype).to(memory_format=torch.channels_last).eval()
        self._network: Callable[[torch.Tensor], torch.Tensor] = self._module

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """P(road) x 255, uint8 H x W, of a frame; see `Backend`."""
        height, width = frame.shape[:2]
        timer = CudaTimer(self._device) if self._device.type == "cuda" else CpuTimer()
        timer.mark()
        # The frame must be viewed as N x 3 x H x W directly, without a copy: torch then sees that it is channels-last.
        batch = torch.from_numpy(np.require(frame, requirements=["C", "W"])[None]).to(self._device).permute(0, 3, 1, 2)
        batch = self._preprocess(batch, size)
        timer.mark()
        answer = self._network(batch)
        timer.mark()
        probability = self._postprocess(answer, (width, height))[0].cpu().numpy()
        timer.mark()
        self.seconds = dict(zip(STAGES, timer.seconds(), strict=True))
        return probability

    def memory(self) -> int | None:
        """Bytes of GPU memory that this process's tensors use; None on the CPU."""
        return torch.cuda.memory_allocated(self._device) if self._device.type == "cuda" else None

    def works(self) -> bool:
        """Whether the device still works; after a sticky CUDA error it does not."""
        return device_works(self._device)

    def _preprocess(self, frame: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """uint8 1 x 3 x H x W -> the input of `_network`."""
        return to_input(frame, size, self._dtype)

    def _postprocess(self, answer: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """The output of `_network` -> P(road) x 255, uint8 1 x H x W."""
        return to_probability(answer, size)
