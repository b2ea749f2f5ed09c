"""Draws one frame of the demo: the camera, the overlay below it and, beside them, the road from above."""

from typing import Any

import cv2
import numpy as np

from fcn_road_seg.demo.sheet import beside_nothing
from fcn_road_seg.postprocess.overlay import overlay
from fcn_road_seg.view.birds_eye import TEXT, birds_eye, legend_strip, write

CAMERA_WIDTH = 640
"""Width in pixels of the camera's picture, and its greatest height."""


def panel(
    frame: np.ndarray,
    mask: np.ndarray | None,
    outputs: dict[str, Any],
    caption: str,
    ground: bool,
    replaced: bool = False,
) -> np.ndarray:
    """Draw a frame and the node's answer to it.

    Args:
        frame: uint8 H x W x 3 RGB.
        mask: uint8 H x W, 0 = not road; None for a frame that was not answered.
        outputs: see `birds_eye`.
        caption: shown below the pictures.
        ground: whether to show the road from above.
        replaced: whether a newer frame took the place of one without a mask.

    Returns:
        uint8 H' x W' x 3 RGB; its size, which is even, depends only on the frame's size and `ground`.
    """
    scale = CAMERA_WIDTH / max(frame.shape[:2])
    width, height = max(1, round(scale * frame.shape[1])), 2 * max(16, round(scale * frame.shape[0] / 2))
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    camera = beside_nothing(small, CAMERA_WIDTH)
    if mask is None:
        answer = camera // 3
        why = "a newer frame replaced this one" if replaced else "the node did not answer this frame"
        write(answer, f"no mask: {why}", (12, height // 2), TEXT)
    else:
        road = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
        answer = beside_nothing(overlay(small, road), CAMERA_WIDTH)
    picture = np.vstack([camera, answer])
    if ground:
        missing = "no grid: the frame has no mask" if mask is None else "no grid for this frame"
        above = birds_eye(outputs, height, 2 * height, missing)
        picture = np.hstack([picture, above])
    return np.vstack([picture, legend_strip(picture.shape[1], caption, legend=ground)])
