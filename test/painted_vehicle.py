"""A synthetic drive, and a bonnet, dashboard or robot painted into it, whose pixels are known exactly."""

import cv2
import numpy as np

from fcn_road_seg.synthetic import Camera, SyntheticDrive

WIDTH, HEIGHT = 320, 180


def drive(seed: int, rendered: int = 30, frames: int = 110) -> list[np.ndarray]:
    """Frames of a drive, uint8 180 x 320 x 3 RGB, two metres apart: forth, back, forth, ..., with new sensor noise."""
    camera = Camera.of_size(WIDTH, HEIGHT, cy=82.0)
    synthetic = SyntheticDrive(seed=seed, frames=rendered, camera=camera, rate=4.0)
    there = [synthetic[i].image for i in range(rendered)]
    there_and_back = there + there[-2:0:-1]
    rng = np.random.default_rng(seed)
    return [noisy(there_and_back[i % len(there_and_back)], rng) for i in range(frames)]


def noisy(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another picture of the same scene by a camera that stands."""
    return np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8)


def vehicle(kind: str) -> np.ndarray:
    """Where the vehicle is: uint8 180 x 320, 255 or 0."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if kind == "bonnet":
        cv2.ellipse(mask, (WIDTH // 2, HEIGHT + 4), (WIDTH * 5 // 8, HEIGHT // 6), 0, 0, 360, 255, cv2.FILLED)
    elif kind == "dashboard":
        mask[HEIGHT * 3 // 4 :] = 255
        cv2.circle(mask, (WIDTH // 3, HEIGHT), HEIGHT // 3, 255, cv2.FILLED)
    elif kind == "robot":
        mask[HEIGHT * 6 // 7 :, WIDTH // 4 : WIDTH * 3 // 4] = 255
    return mask


def paint(frame: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The frame with a shaded body there, in which a tenth of the blurred scene is mirrored, and sensor noise."""
    body = np.float32((60, 62, 70)) * np.linspace(0.8, 1.2, HEIGHT, dtype=np.float32)[:, None, None]
    body = 0.9 * body + 0.1 * cv2.GaussianBlur(frame[::-1], (0, 0), 2).astype(np.float32)
    return np.where(mask[..., None] != 0, noisy(body, rng), frame)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks, 0 = outside."""
    return float(((a != 0) & (b != 0)).sum() / ((a != 0) | (b != 0)).sum())
