"""Turns P(road) into a mask."""

import numpy as np


def threshold_level(threshold: float) -> int:
    """The smallest P(road) x 255, 1..255, that counts as road at a threshold of 0..1."""
    return max(1, round(threshold * 255))


def threshold_mask(probability: np.ndarray, threshold: float) -> np.ndarray:
    """P(road) x 255, uint8 H x W -> mask, uint8 H x W: 255 where P(road) is at least `threshold` (0..1), else 0.

    A threshold of 0 counts as the smallest probability above 0.
    """
    return (probability >= threshold_level(threshold)).view(np.uint8) * np.uint8(255)
