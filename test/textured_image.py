"""An image with structure everywhere, for tests of optical flow."""

import cv2
import numpy as np


def texture(height: int = 125, width: int = 414, seed: int = 0) -> np.ndarray:
    """Blurred noise, in which every place differs from its neighbours, uint8 H x W x 3."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3).astype(np.float32)
    return np.clip(128 + 6 * (blurred - blurred.mean()), 0, 255).astype(np.uint8)
