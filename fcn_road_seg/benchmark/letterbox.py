"""Fits a frame into a network's fixed input size, and takes P(road) back to the frame's size."""

from typing import NamedTuple

import numpy as np
import torch

from fcn_road_seg.inference.preprocess import network_frame, resize, resize_probability


class Box(NamedTuple):
    """The part of a network's input that shows the frame, in pixels."""

    left: int
    top: int
    width: int
    height: int

    def part(self, image: np.ndarray) -> np.ndarray:
        """The view of an H x W or H x W x C image of the input's size."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


def frame_box(frame_size: tuple[int, int], input_size: tuple[int, int], letterboxed: bool) -> Box:
    """Where a frame goes; sizes are (width, height) in pixels.

    A letterboxed frame keeps its shape, is as large as possible and lies in the middle; any other fills the input.
    """
    (width, height), (input_width, input_height) = frame_size, input_size
    if not letterboxed:
        return Box(0, 0, input_width, input_height)
    scale = min(input_width / width, input_height / height)
    w, h = max(round(width * scale), 1), max(round(height * scale), 1)
    return Box((input_width - w) // 2, (input_height - h) // 2, w, h)


def fit(frame: np.ndarray, box: Box, pad: int, out: np.ndarray) -> None:
    """Resize a frame, uint8 H x W x 3, into `box` of `out`, uint8 h x w x 3, and fill the rest with `pad`."""
    part = box.part(out)
    if part.shape != out.shape:
        out[:] = pad
    part[:] = network_frame(frame, (box.width, box.height))[0]


def unfit(road: np.ndarray, box: Box, input_size: tuple[int, int], frame_size: tuple[int, int]) -> np.ndarray:
    """P(road), float32 h x w, 0..1, of a network's input -> P(road) x 255, uint8 H x W of the frame.

    Args:
        road: of any size; it covers the whole input.
        input_size, frame_size: (width, height) in pixels.
    """
    plane = torch.from_numpy(road)[None]
    plane = resize(plane[None], input_size)[0]
    part = box.part(plane[0].numpy())
    return resize_probability(torch.from_numpy(part)[None], frame_size)[0].numpy()
