"""From a uint8 frame to P(road) in fixed buffers: the work that a CUDA graph records."""

from abc import ABC, abstractmethod

import torch

from fcn_road_seg.inference.backends.tensor_cores import canvas
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.preprocess import resize


class StaticFrame(ABC):
    """One frame size on one device. The three stages run in this order and read only its buffers.

    No stage reads a value on the host, waits for the device or has a shape that depends on the frame's content.

    Args:
        image: the network's input on its device, 1 x 3 or more channels x h x w, into which `preprocess` writes RGB.
        shape: height and width of the frame in pixels.
        size: width and height of the network's input in pixels.
        bgr: whether the frame's channel order is blue, green, red.

    Attributes:
        frame: uint8 height x width x 3, the input.
        probability: uint8 height x width, P(road) x 255, of the last `postprocess`.
    """

    def __init__(self, image: torch.Tensor, shape: tuple[int, int], size: tuple[int, int], bgr: bool):
        self._size = size
        self._bgr = bgr
        self.frame = torch.zeros((*shape, 3), dtype=torch.uint8, device=image.device)
        self.probability = torch.zeros(shape, dtype=torch.uint8, device=image.device)
        self._canvas = image
        self._road = torch.zeros((1, 1, size[1], size[0]), device=image.device)

    def preprocess(self) -> None:
        """Resize in x, then in y, rounding to integers after each, as the CPU resizes uint8."""
        image = self.frame.permute(2, 0, 1).unsqueeze(0)
        image = image.to(torch.float32, memory_format=torch.contiguous_format)  # CUDA cannot resize integers
        image = resize(image, (self._size[0], image.shape[2])).round_()
        image = resize(image, self._size).round_()
        self._canvas[:, :3].copy_(image.flip(1) if self._bgr else image)

    @abstractmethod
    def network(self) -> None:
        """Compute P(road), float32."""

    def postprocess(self) -> None:
        """Resize P(road) to the frame's size."""
        height, width = self.probability.shape
        road = resize(self._road, (width, height))
        self.probability.copy_(road[0, 0].mul(255).round_())


class TorchFrame(StaticFrame):
    """A `StaticFrame` whose network is PyTorch's.

    Args:
        network: from `tensor_cores.for_tensor_cores`, on `device`.
    """

    def __init__(self, network: FCN8s, shape: tuple[int, int], size: tuple[int, int], bgr: bool, device: torch.device):
        self._network = network
        super().__init__(canvas(size[1], size[0], network.conv1_1.weight.dtype, device), shape, size, bgr)

    def network(self) -> None:
        """Compute P(road), float32."""
        self._road.copy_(self._network.head(*self._network.features(self._canvas))).sigmoid_()
