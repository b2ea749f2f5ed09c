"""What every backend offers."""

from typing import Protocol

import numpy as np


class Backend(Protocol):
    """The network on a device. It handles one call at a time.

    Attributes:
        name: as in `SegmenterOptions.backend`.
        precision: as in `SegmenterOptions.precision`, but never "auto".
        device: as torch writes it, such as "cpu" or "cuda:0".
        device_name: the processor's or GPU's model name.
        seconds: duration of each stage of the last frame; "preprocess", "network" and "postprocess", and further ones
            that a backend names. Only if the network had to be prepared for the frame's size, "prepare".
    """

    name: str
    precision: str
    device: str
    device_name: str
    seconds: dict[str, float]

    def __call__(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Segment a frame.

        Args:
            frame: uint8 H x W x 3 RGB, of any strides.
            size: width and height in pixels of the network's input, see `preprocess.network_size`.

        Returns:
            P(road) x 255, uint8 H x W; the caller owns the array.

        Raises:
            MemoryError, torch.cuda.OutOfMemoryError: there is not enough memory for this frame.
            RuntimeError: the network failed.
        """
        ...

    def memory(self) -> int | None:
        """Bytes of GPU memory that this process uses; None on the CPU."""
        ...

    def works(self) -> bool:
        """Whether the device still works; after a sticky CUDA error it does not."""
        ...
