"""Frames on which no road network can work, made from real ones or drawn: `out_of_domain` must notice them."""

from collections.abc import Callable

import cv2
import numpy as np

Corruption = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""uint8 H x W x 3 RGB, random numbers -> uint8 H x W x 3 RGB of the same size."""


def upside_down(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The camera is mounted upside down."""
    return np.ascontiguousarray(image[::-1, ::-1])


def black(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A cap on the lens: sensor noise and nothing else."""
    return _with_noise(np.full(image.shape, rng.uniform(0, 8), np.float32), rng.uniform(0.5, 3), rng)


def covered(image: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """A hand, a leaf or mud close to the lens: `share` of the light has one colour, the rest is out of focus."""
    height, width = image.shape[:2]
    colour = rng.uniform(20, 200) * rng.uniform(0.8, 1.2, 3)
    x, y = np.linspace(-1, 1, width)[None], np.linspace(-1, 1, height)[:, None]
    slope = 1 + rng.uniform(-0.25, 0.25) * x + rng.uniform(-0.25, 0.25) * y
    seen = _blurred(image, width / 12).astype(np.float32)
    return _with_noise(share * slope[..., None] * colour + (1 - share) * seen, 2, rng)


def blurred(image: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    """A fogged lens, or one far out of focus; `sigma` of the Gaussian is in widths of the image."""
    return _with_noise(_blurred(image, sigma * image.shape[1]).astype(np.float32), 1, rng)


def night(image: np.ndarray, rng: np.random.Generator, light: float) -> np.ndarray:
    """`light` times the light, with shot and read noise of a sensor that collects 2000 electrons in full light."""
    electrons = 2000 * light * (image.astype(np.float32) / 255) ** 2.2
    electrons = rng.poisson(electrons) + rng.normal(0, 3, image.shape)
    return (255 * np.clip(electrons / 2000, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def indoors(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A drawn room with a floor, walls, pictures, lamps and furniture; only the size of `image` matters."""
    height, width = image.shape[:2]
    focal = width * rng.uniform(0.45, 0.9)
    centre = np.array([width / 2, height * rng.uniform(0.35, 0.65)])
    half, depth = rng.uniform(1.2, 5), rng.uniform(3, 14)
    floor, ceiling, near = rng.uniform(0.6, 1.7), -rng.uniform(0.8, 2.2), 0.25
    canvas = np.zeros((height, width, 3), np.uint8)

    def face(corners: list, texture: np.ndarray) -> None:
        points = np.array(corners, np.float32)
        pixels = (points[:, :2] * focal / points[:, 2:] + centre).astype(np.float32)
        size = texture.shape[0]
        square = np.array([(0, 0), (size, 0), (size, size), (0, size)], np.float32)
        warp = cv2.getPerspectiveTransform(square, pixels)
        cv2.warpPerspective(texture, warp, (width, height), canvas, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)

    wall = rng.uniform(90, 235) * rng.uniform(0.85, 1.15, 3)
    left, right = -half * rng.uniform(0.6, 1.4), half * rng.uniform(0.6, 1.4)
    ground = _texture(rng, rng.uniform(40, 190) * rng.uniform(0.75, 1.25, 3), tiles=int(rng.integers(0, 12)))
    face([(left, floor, depth), (right, floor, depth), (right, floor, near), (left, floor, near)], ground)
    roof = _texture(rng, wall * rng.uniform(0.9, 1.2), patches=3, bright=True)
    face([(left, ceiling, near), (right, ceiling, near), (right, ceiling, depth), (left, ceiling, depth)], roof)
    sides = [_texture(rng, wall * rng.uniform(0.75, 1.1), patches=int(rng.integers(1, 6))) for _ in range(3)]
    face([(left, ceiling, near), (left, ceiling, depth), (left, floor, depth), (left, floor, near)], sides[0])
    face([(right, ceiling, depth), (right, ceiling, near), (right, floor, near), (right, floor, depth)], sides[1])
    face([(left, ceiling, depth), (right, ceiling, depth), (right, floor, depth), (left, floor, depth)], sides[2])
    for z in sorted(rng.uniform(1.2, depth, rng.integers(1, 7)), reverse=True):
        x0, size, top = rng.uniform(left, right), rng.uniform(0.3, 1.2), floor - rng.uniform(0.3, 1.6)
        x1, back = x0 + size, z + size
        colour = rng.uniform(25, 210) * rng.uniform(0.6, 1.4, 3)
        front, side, lid = (_texture(rng, colour * tone, patches=2) for tone in (1, 0.7, 1.15))
        x = x0 if x0 > 0 else x1
        face([(x, top, z), (x, top, back), (x, floor, back), (x, floor, z)], side)
        if top > 0:
            face([(x0, top, back), (x1, top, back), (x1, top, z), (x0, top, z)], lid)
        face([(x0, top, z), (x1, top, z), (x1, floor, z), (x0, floor, z)], front)
    return _with_noise(cv2.GaussianBlur(canvas, (3, 3), 0).astype(np.float32), rng.uniform(1, 4), rng)


KINDS: dict[str, Corruption] = {
    "upside down": upside_down,
    "lens cap": black,
    "covered 100 %": lambda image, rng: covered(image, rng, 1.0),
    "covered 90 %": lambda image, rng: covered(image, rng, 0.9),
    "covered 70 %": lambda image, rng: covered(image, rng, 0.7),
    "blurred, 1/100 of the width": lambda image, rng: blurred(image, rng, 1 / 100),
    "blurred, 1/50": lambda image, rng: blurred(image, rng, 1 / 50),
    "blurred, 1/25": lambda image, rng: blurred(image, rng, 1 / 25),
    "night, 1/20 of the light": lambda image, rng: night(image, rng, 1 / 20),
    "night, 1/50": lambda image, rng: night(image, rng, 1 / 50),
    "night, 1/100": lambda image, rng: night(image, rng, 1 / 100),
    "indoors (drawn)": indoors,
}


def _texture(
    rng: np.random.Generator, colour: np.ndarray, patches: int = 0, tiles: int = 0, bright: bool = False
) -> np.ndarray:
    """A square of one colour with a falloff of light, tiles or boards, and rectangles of other colours."""
    size = 256
    square = np.broadcast_to(np.asarray(colour, np.float32), (size, size, 3)).copy()
    for _ in range(patches):
        x, y, w, h = rng.uniform(0, 0.8), rng.uniform(0, 0.8), rng.uniform(0.05, 0.3), rng.uniform(0.05, 0.6)
        tone = 250 * np.ones(3) if bright else rng.uniform(10, 240) * rng.uniform(0.6, 1.4, 3)
        corner = (int((x + w) * size), int((y + h) * size))
        cv2.rectangle(square, (int(x * size), int(y * size)), corner, [float(t) for t in tone], -1)
    for k in range(1, tiles + 1):
        at = size * k // (tiles + 1)
        cv2.line(square, (at, 0), (at, size), [float(c) * 0.7 for c in colour], 2)
        if tiles % 2:
            cv2.line(square, (0, at), (size, at), [float(c) * 0.7 for c in colour], 2)
    ramp = np.linspace(1 + rng.uniform(-0.3, 0.3), 1 + rng.uniform(-0.3, 0.3), size)
    grain = rng.normal(1, 0.04, (size, size))
    return np.clip(square * (ramp[:, None] * grain)[..., None], 0, 255).astype(np.uint8)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of `sigma` pixels; a wide one is computed on a smaller copy."""
    shrink = max(1, round(sigma / 4))
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(width // shrink, 1), max(height // shrink, 1)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _with_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image + rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)
