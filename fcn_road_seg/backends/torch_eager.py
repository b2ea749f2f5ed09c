"""The network as PyTorch runs it, layer by layer, on the CPU or on CUDA."""

import platform
from pathlib import Path

import numpy as np
import torch

from fcn_road_seg.network import FCN8s
from fcn_road_seg.preprocess import to_input, to_probability


class TorchEager:
    """Channels-last, inference mode; the frame is uploaded as it is and resized on the device."""

    def __init__(self, network: FCN8s, device: torch.device, precision: str, dtype: torch.dtype):
        self.name = f"torch-{device.type}"
        self.precision = precision
        self.device_string = str(device)
        self.device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
        self._device = device
        self._dtype = dtype
        self._network = network.to(device, dtype, memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """uint8 H x W x 3 RGB, network size (width, height) -> P(road) x 255, uint8 H x W."""
        height, width = frame.shape[:2]
        frame = torch.from_numpy(np.require(frame, requirements="CW")).to(self._device)
        batch = frame.permute(2, 0, 1).unsqueeze(0)
        logits = self._network(to_input(batch, size, self._dtype))
        return to_probability(logits, (width, height))[0].cpu().numpy()


def cpu_name() -> str:
    """The processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
