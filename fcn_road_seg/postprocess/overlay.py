"""Overlays of masks on frames."""

import cv2
import numpy as np

AZURE = (30, 144, 255)
"""RGB. Stands out on asphalt, snow and at night, and from red and green for the colour-blind."""
ALPHA = 0.35
"""Opacity that leaves the road's texture visible."""


def overlay(
    frame: np.ndarray, mask: np.ndarray, alpha: float = ALPHA, colour: tuple[int, int, int] = AZURE
) -> np.ndarray:
    """Tint the road in a frame, and draw its outline, twice as opaque and 1/250 of the height wide, on its inside.

    Args:
        frame: uint8 H x W x 3, RGB.
        mask: uint8 H x W, 0 = not road.
        alpha: opacity of the tint, 0..1.
        colour: in the frame's channel order.

    Returns:
        uint8 H x W x 3 in the frame's channel order; pixels that are not road are unchanged.
    """
    road = np.uint8(mask != 0)
    width = max(1, round(frame.shape[0] / 250))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    outline = road - cv2.erode(road, disc)  # the image's border is not an edge of the road
    flat = np.full_like(frame, colour)
    result = frame.copy()
    for where, opacity in ((road, alpha), (outline, min(1, 2 * alpha))):
        cv2.copyTo(cv2.addWeighted(frame, 1 - opacity, flat, opacity, 0), where, result)
    return result
