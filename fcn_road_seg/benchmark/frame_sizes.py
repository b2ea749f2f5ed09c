"""Time per frame by the camera's resolution."""

from collections.abc import Callable, Iterable
from functools import partial

import cv2
import numpy as np

from fcn_road_seg.benchmark.interleave import interleaved
from fcn_road_seg.inference.segmenter import RoadSegmenter

FRAME_SIZES = ((640, 480), (1242, 375), (1280, 720), (1920, 1080), (3840, 2160))
"""Width and height in pixels."""


def time_frame_sizes(
    segmenter: RoadSegmenter,
    frame: np.ndarray,
    iterations: int,
    warm_up: int,
    track: Callable[[Iterable], Iterable] = iter,
) -> dict[str, list[float]]:
    """Time the segmenter, with the threshold, on a frame scaled to each of `FRAME_SIZES`, interleaved.

    Args:
        frame: uint8 H x W x 3 RGB.

    Returns:
        Seconds per frame by size, such as "640x480".
    """

    def segment(scaled: np.ndarray, _: int) -> object:
        return segmenter.mask(scaled)

    calls = {f"{width}x{height}": partial(segment, cv2.resize(frame, (width, height))) for width, height in FRAME_SIZES}
    return dict(zip(calls, interleaved(list(calls.values()), iterations, warm_up, track), strict=True))
