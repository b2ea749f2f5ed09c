"""Camera frame -> network input, and network output -> probability of the frame's size.

The only definition of both, for training, evaluation and the node, on the CPU and on CUDA. There is no
letterboxing: the complete frame is resized, and so is the answer.
"""

import math

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from fcn_road_seg.inference.network import STRIDE

# Mean of ImageNet's training images, RGB, in units of 0..255 (Simonyan, Zisserman 2014). VGG-16's
# weights expect RGB 0..255 minus this mean, not divided by anything.
MEAN = (123.68, 116.779, 103.939)
MAX_NETWORK_WIDTH = 4096  # pixels
KITTI_ASPECT = 1242 / 375  # width / height
MAX_ASPECT = 2  # greatest height / width of a network input


def network_size(width: int, height: int, network_width: int) -> tuple[int, int]:
    """Width and height in pixels, multiples of 32, of the network's input for a frame of `width` x `height`.

    The input has the frame's aspect ratio. It is `network_width` wide for a frame of KITTI's shape or a wider one. For
    a narrower frame it has as many pixels as for KITTI's, and so costs the same, up to the rounding: at 576, 1242x375
    gives 576x160, 1280x720 gives 416x224, 640x480 gives 352x256. Frames narrower than 1:2 are squeezed to 1:2.
    """
    share = math.sqrt(max(width / height, 1 / MAX_ASPECT) / KITTI_ASPECT)
    columns = max(round(network_width * min(share, 1) / STRIDE), 1) * STRIDE
    rows = round(columns * height / width / STRIDE) * STRIDE
    return columns, min(max(rows, STRIDE), MAX_ASPECT * columns)


def resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bilinear, antialiased resize of N x C x H x W to `size` (width, height); keeps the dtype."""
    width, height = size
    if tuple(image.shape[-2:]) == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bilinear", antialias=True)


def network_frame(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A frame, uint8 H x W x 3 RGB of any strides -> uint8 1 x h x w x 3 of `size` (width, height), on the CPU."""
    # The frame must be viewed as N x 3 x H x W directly, without a copy: torch then sees that it is channels-last.
    batch = torch.from_numpy(np.require(frame, requirements=["C", "W"])[None]).permute(0, 3, 1, 2)
    return resize(batch, size).permute(0, 2, 3, 1).numpy()


def normalise(image: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """RGB 0..255, N x 3 x H x W -> the same minus the mean, channels-last, of `dtype`."""
    red, green, blue = MEAN
    x = image.to(torch.float32, copy=True, memory_format=torch.channels_last)
    x[:, 0] -= red
    x[:, 1] -= green
    x[:, 2] -= blue
    return x.to(dtype)


def to_input(frame: torch.Tensor, size: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    """uint8 RGB frames, N x 3 x H x W -> mean-free network input of `size` (width, height) and `dtype`."""
    if frame.is_cuda:
        frame = frame.to(torch.float16)  # CUDA cannot resize uint8
    return normalise(resize(frame, size), dtype)


def to_probability(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Two-class logits, N x 2 x h x w -> P(road) x 255 as uint8, N x H x W of `size` (width, height)."""
    logits = logits.to(torch.float32)
    return resize_probability(torch.sigmoid(logits[:, 1] - logits[:, 0]), size)


def resize_probability(road: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """P(road), float32 N x h x w, 0..1 -> P(road) x 255 as uint8, N x H x W of `size` (width, height)."""
    width, height = size
    if road.device.type == "cpu" and width >= road.shape[2] and height >= road.shape[1]:
        # When enlarging, OpenCV's bilinear resize equals torch's up to rounding, and is several times as fast.
        answer = np.empty((len(road), height, width), np.uint8)
        for plane, out in zip(road.numpy(), answer, strict=True):
            cv2.convertScaleAbs(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), out, alpha=255)
        return torch.from_numpy(answer)
    return resize(road.unsqueeze(1), size)[:, 0].mul(255).round_().to(torch.uint8)
