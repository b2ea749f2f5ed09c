"""Overlays of masks on frames."""

import cv2
import numpy as np

GREEN = (0, 255, 0)


def overlay(
    frame: np.ndarray, mask: np.ndarray, alpha: float = 0.5, colour: tuple[int, int, int] = GREEN
) -> np.ndarray:
    """Tint the road in a frame.

    Args:
        frame: uint8 H x W x 3, RGB or BGR.
        mask: uint8 H x W, 0 = not road.
        alpha: opacity of the tint, 0..1.
        colour: in the frame's channel order.

    Returns:
        uint8 H x W x 3 in the frame's channel order; pixels that are not road are unchanged.
    """
    tinted = cv2.addWeighted(frame, 1 - alpha, np.broadcast_to(np.array(colour, np.uint8), frame.shape), alpha, 0)
    return np.where(mask[..., None] != 0, tinted, frame)
