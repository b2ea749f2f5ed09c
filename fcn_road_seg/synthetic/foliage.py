"""Procedural pictures of foliage: crowns of trees, hedges and edges of woods, and their dappled shadows."""

from functools import cache

import numpy as np

from fcn_road_seg.synthetic.sprites import Sprite
from fcn_road_seg.synthetic.textures import fractal, noise

LEAF_TONES = {  # dark, middle and bright RGB display colours
    "green": ((11, 16, 8), (52, 70, 26), (168, 186, 96)),
    "olive": ((14, 16, 9), (70, 76, 34), (190, 188, 108)),
    "autumn": ((18, 14, 9), (82, 66, 32), (176, 146, 78)),
    "fir": ((6, 11, 9), (26, 40, 28), (84, 104, 74)),
    "red": ((18, 8, 9), (72, 30, 28), (140, 74, 56)),
}

Clump = tuple[float, float, float]
"""Column, row and radius of a clump of leaves, texels."""


@cache
def leaf_detail() -> np.ndarray:
    """Fine leaves that are laid over foliage seen from near: uint8 256 x 256, 128 changes nothing."""
    rng = np.random.default_rng(99)
    return (128 + 110 * np.clip(fractal(rng, 256, 256, (3, 6, 12), (0.5, 0.6, 0.3)), -1, 1)).astype(np.uint8)


def leaf_colour(tone: np.ndarray, name: str) -> np.ndarray:
    """Colour a tone map (0 dark to 1 bright, H x W) with one of `LEAF_TONES`; float32 H x W x 3."""
    stops = np.array(LEAF_TONES[name], np.float32)
    return np.stack([np.interp(tone, (0, 0.45, 1), stops[:, k]) for k in range(3)], -1).astype(np.float32)


def _foliage(
    rng: np.random.Generator, height: int, width: int, clumps: list[Clump], leaf: float, wrap: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Tone and alpha, both 0-1, of overlapping clumps of leaves, which are drawn in order."""
    tone = np.zeros((height, width), np.float32)
    alpha = np.zeros((height, width), np.float32)
    ragged = noise(rng, height, width, leaf * 3) * 0.55 + noise(rng, height, width, leaf) * 0.6
    speck = noise(rng, height, width, leaf) * 0.5 + noise(rng, height, width, leaf * 2.5) * 0.45
    speck += 1.1 * np.clip(noise(rng, height, width, leaf * 0.7) - 0.45, 0, 1) - 0.05
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    for cu, cv, radius in clumps:
        top, bottom = int(max(0, cv - 1.6 * radius)), int(min(height, cv + 1.6 * radius))
        left, right = (0, width) if wrap else (int(max(0, cu - 1.6 * radius)), int(min(width, cu + 1.6 * radius)))
        if top >= bottom or left >= right:
            continue
        part = np.s_[top:bottom, left:right]
        du, dv = (u[part] - cu) / radius, (v[part] - cv) / radius
        if wrap:
            du = (du + width / radius / 2) % (width / radius) - width / radius / 2
        inside = np.hypot(du, dv) + ragged[part] * 0.5 < 1
        lit = 0.34 - 0.30 * du * 0.7 - 0.34 * dv + rng.uniform(-0.1, 0.1)
        tone[part] = np.where(inside, lit + speck[part] * 0.42, tone[part])
        alpha[part] = np.maximum(alpha[part], inside)
    return np.clip(tone, 0, 1), alpha


@cache
def _crown(index: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(100 + index)
    if index % 4 == 3:
        clumps = [
            (128 + rng.uniform(-1, 1) * r * 0.42 * 256, r * 240 + 12, 12 + 16 * r) for r in np.sort(rng.random(170))
        ]
    else:
        clumps = []
        for _ in range(130):
            angle, reach = rng.uniform(0, 6.3), np.sqrt(rng.random())
            clumps.append((128 + np.cos(angle) * reach * 100, 128 + np.sin(angle) * reach * 94, rng.uniform(16, 34)))
        clumps.sort(key=lambda clump: -clump[1] + rng.uniform(0, 160))
    tone, alpha = _foliage(rng, 256, 256, clumps, 2.2, wrap=False)
    v = np.linspace(1.12, 0.62, 256, dtype=np.float32)[:, None]
    holes = noise(rng, 256, 256, 14) + 0.5 * noise(rng, 256, 256, 5) > 0.85
    return tone * v, alpha if index % 4 == 3 else alpha * ~holes


@cache
def crown(index: int, tones: str) -> Sprite:
    """The crown of a broad-leaved tree (or, every fourth, a fir), 256 x 256, in one of `LEAF_TONES`."""
    tone, alpha = _crown(index)
    return Sprite(leaf_colour(tone, tones), alpha, leafy=True)


@cache
def _leaf_wall(index: int, flat: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(200 + index)
    top = 14 if flat else 60
    clumps = [
        (
            rng.uniform(0, 512),
            top + (232 - top) * rng.random() ** 0.9,
            rng.uniform(12, 24) if flat else rng.uniform(18, 44),
        )
        for _ in range(420 if flat else 300)
    ]
    clumps.sort(key=lambda clump: clump[1] * 0.3 + rng.uniform(0, 200))
    tone, alpha = _foliage(rng, 256, 512, clumps, 2.0 if flat else 2.4, wrap=True)
    alpha[80 if not flat else 30 :] = 1
    if not flat:  # a ragged outline at both ends
        v, u = np.mgrid[0:256, 0:512].astype(np.float32)
        end = np.minimum(u, 511 - u) / 70 + 0.4 * noise(rng, 256, 512, 40) + 0.25 * noise(rng, 256, 512, 9)
        alpha *= end > 0.9 * (1 - v / 256) ** 0.7
    shade = np.interp(np.arange(256), (0, 60, 190, 255), (1.15, 1.0, 0.6, 0.3)).astype(np.float32)[:, None]
    return tone * shade, alpha


@cache
def leaf_wall(index: int, tones: str, flat: bool) -> Sprite:
    """A wall of leaves, 256 x 512: a stretch of the edge of a wood, or (`flat`) of a clipped hedge."""
    tone, alpha = _leaf_wall(index, flat)
    return Sprite(leaf_colour(tone, tones), alpha, leafy=True)


@cache
def dapple(index: int) -> np.ndarray:
    """Share of the sun that a tree's crown blocks, seen along the rays: uint8 128 x 128, 255 = all."""
    rng = np.random.default_rng(300 + index)
    v, u = np.mgrid[-1:1:128j, -1:1:128j].astype(np.float32)
    rim = np.hypot(u, v) + 0.3 * noise(rng, 128, 128, 22) + 0.12 * noise(rng, 128, 128, 6)
    leaves = fractal(rng, 128, 128, (3, 6, 14), (0.45, 0.55, 0.45)) + 0.75 - 0.55 * np.clip(rim, 0, 1.2) ** 3
    return (255 * np.clip(leaves * 3, 0, 1) * np.clip((0.95 - rim) * 6, 0, 1)).astype(np.uint8)
