"""Procedural textures of surfaces seen from above. Each is made once, from a fixed seed."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

TEXEL = 0.01  # metres per texel of the fine surface textures
TILE = 512  # texels; a fine tile covers 5.12 m


def noise(rng: np.random.Generator, height: int, width: int, cell: float) -> np.ndarray:
    """Tileable smooth value noise, float32 height x width in about [-1, 1], with features of `cell` texels."""
    rows, columns = max(2, round(height / cell)), max(2, round(width / cell))
    grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    padded = cv2.copyMakeBorder(grid, 2, 2, 2, 2, cv2.BORDER_WRAP)
    sx, sy = width / columns, height / rows
    full = cv2.resize(padded, (round((columns + 4) * sx), round((rows + 4) * sy)), interpolation=cv2.INTER_CUBIC)
    top, left = round(2 * sy), round(2 * sx)
    return full[top : top + height, left : left + width]


def fractal(
    rng: np.random.Generator, height: int, width: int, cells: tuple[float, ...], weights: tuple[float, ...]
) -> np.ndarray:
    """A weighted sum of `noise` of several feature sizes (`cells`), float32 height x width."""
    total: np.ndarray = np.zeros((height, width), np.float32)
    for cell, weight in zip(cells, weights, strict=True):
        total = total + weight * noise(rng, height, width, cell)
    return total


@dataclass
class Pixels:
    """Some ground pixels, in row order, with what textures need of them.

    Attributes:
        s, d: float32 N, road coordinates, metres.
        starts: intp rows + 1, where each image row begins in `s`.
        reach, spread: float64 rows, metres that a pixel covers along and across the road.
    """

    s: np.ndarray
    d: np.ndarray
    starts: np.ndarray
    reach: np.ndarray
    spread: np.ndarray

    def subset(self, keep: np.ndarray) -> tuple["Pixels", np.ndarray]:
        """The pixels where `keep` (bool N) holds, and their indices, intp M."""
        chosen = np.flatnonzero(keep)
        starts = np.searchsorted(chosen, self.starts)
        return Pixels(self.s[chosen], self.d[chosen], starts, self.reach, self.spread), chosen


class Ripmap:
    """A tileable one-channel texture prefiltered separately along (rows) and across (columns) the road.

    The prefiltering keeps a ground texture from shimmering far away, where a pixel is metres long and
    centimetres wide.

    Args:
        tile: float32 H x W in [-1, 1]; H and W are powers of two.
        texel: metres per texel.
    """

    def __init__(self, tile: np.ndarray, texel: float):
        self.texel = texel
        tile = np.ascontiguousarray(np.clip(tile, -1, 1) * 127 + 128).astype(np.uint8)
        height, width = tile.shape
        self.depth = (height.bit_length() - 2, width.bit_length() - 2)
        self.levels: dict[tuple[int, int], np.ndarray] = {}
        row: np.ndarray = tile
        for i in range(self.depth[0] + 1):
            if i:
                row = cv2.resize(row, (width, height >> i), interpolation=cv2.INTER_AREA)
            column = row
            for j in range(self.depth[1] + 1):
                if j:
                    column = cv2.resize(column, (width >> j, height >> i), interpolation=cv2.INTER_AREA)
                self.levels[i, j] = column

    def sample(self, pixels: Pixels) -> np.ndarray:
        """Texture values at `pixels`, float32 N in [-1, 1]."""
        out = np.empty(len(pixels.s), np.float32)
        along = np.clip(np.log2(pixels.reach / self.texel), 0, self.depth[0] - 1e-3)
        across = np.clip(np.log2(pixels.spread / self.texel), 0, self.depth[1]).round().astype(int)
        low = along.astype(int)
        keys = low * 100 + across
        cuts = np.flatnonzero(np.diff(keys)) + 1
        for a, b in zip(np.concatenate([[0], cuts]), np.concatenate([cuts, [len(keys)]]), strict=False):
            first, last = pixels.starts[a], pixels.starts[b]
            if first == last:
                continue
            i, j = int(low[a]), int(across[a])
            s, d = pixels.s[first:last], pixels.d[first:last]
            near = self._gather(self.levels[i, j], s, d, i, j).astype(np.float32)
            far = self._gather(self.levels[i + 1, j], s, d, i + 1, j)
            share = np.repeat((along - low)[a:b].astype(np.float32), np.diff(pixels.starts[a : b + 1]))
            out[first:last] = near + (far - near) * share
        out -= 128
        out *= 1 / 127
        return out

    def _gather(self, level: np.ndarray, s: np.ndarray, d: np.ndarray, i: int, j: int) -> np.ndarray:
        v = s * np.float32(1 / (self.texel * 2**i)) - np.float32(0.5 - 0.5 ** (i + 1))
        u = d * np.float32(1 / (self.texel * 2**j)) - np.float32(0.5 - 0.5 ** (j + 1))
        return gather(level, u, v)


def gather(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear samples (uint8 N) of a uint8 image H x W at columns `u` and rows `v` (float32 N), wrapping round."""
    n, width = len(u), 1024  # cv2.remap accepts at most 32767 columns
    maps: np.ndarray = np.zeros((2, -(-n // width) * width), np.float32)
    for values, target, size in ((u, maps[0, :n], image.shape[1]), (v, maps[1, :n], image.shape[0])):
        np.multiply(values, np.float32(1 / size), out=target)
        target -= np.floor(target)
        target *= np.float32(size)
    maps = maps.reshape(2, -1, width)
    return cv2.remap(image, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP).reshape(-1)[:n]


def _grid_stones(
    rng: np.random.Generator,
    rows: int,
    columns: int,
    joint: float,
    offset_rows: bool = True,
    jitter: float = 0.25,
    joint_depth: float = 0.8,
) -> np.ndarray:
    """Rectangular stones with joints; `rows` x `columns` stones per tile."""
    v, u = np.mgrid[0:TILE, 0:TILE].astype(np.float32)
    height, width = TILE / rows, TILE / columns
    r = (v // height).astype(int)
    shift = (r % 2) * width / 2 if offset_rows else 0
    c = ((u + shift) // width).astype(int) % columns
    tones = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    edge = np.minimum(
        np.minimum(v % height, height - v % height), np.minimum((u + shift) % width, width - (u + shift) % width)
    )
    stone = tones[r % rows, c] * jitter + 0.12 * noise(rng, TILE, TILE, 2) + 0.12 * noise(rng, TILE, TILE, 12)
    return np.where(edge < joint, -joint_depth + 0.2 * stone, stone + 0.1)


def _herringbone(rng: np.random.Generator) -> np.ndarray:
    """Bricks of two to one, laid at right angles in steps; 16 texels wide."""
    v, u = np.mgrid[0:TILE, 0:TILE]
    width = 16
    row, column = v // width, u // width
    # In herringbone, brick k of a row covers two cells: along the row if (column - row) % 4 is 0 or 1.
    phase = (column - row) % 4
    flat = phase < 2
    start_u = np.where(flat, (column - phase) * width, column * width)
    start_v = np.where(flat, row * width, (row - (phase == 2)) * width)
    edge_u, edge_v = (u - start_u) % TILE, (v - start_v) % TILE
    long, short = 2 * width, width
    size_u, size_v = np.where(flat, long, short), np.where(flat, short, long)
    edge = np.minimum(np.minimum(edge_u, size_u - 1 - edge_u), np.minimum(edge_v, size_v - 1 - edge_v))
    cells = TILE // width
    tones = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    stone = 0.4 * tones[(start_v // width) % cells, (start_u // width) % cells]
    stone = stone + 0.14 * noise(rng, TILE, TILE, 2) + 0.12 * noise(rng, TILE, TILE, 12)
    return np.where(edge < 1, -0.75 + 0.2 * stone, stone + 0.1).astype(np.float32)


def _stones(rng: np.random.Generator) -> np.ndarray:
    """Loose gravel: stones with a radius of 1 to 7 texels and dark gaps, in drifts."""
    tile = fractal(rng, TILE, TILE, (1.5, 3, 60), (0.4, 0.3, 0.15)) - 0.2
    count = 7000
    for x, y, size, tone in zip(
        rng.integers(0, TILE, count),
        rng.integers(0, TILE, count),
        rng.uniform(0, 1, count) ** 3,
        rng.uniform(-0.45, 0.75, count),
        strict=True,
    ):
        radius = 1.0 + 6.0 * size * size
        centre, axes = (int(x * 16), int(y * 16)), (int(radius * 16), int(radius * 13))
        cv2.ellipse(tile, (centre[0] + 10, centre[1] + 10), axes, 0, 0, 360, -0.8, -1, cv2.LINE_8, 4)
        cv2.ellipse(tile, centre, axes, 0, 0, 360, float(tone), -1, cv2.LINE_8, 4)
    return tile


def _cobble(rng: np.random.Generator) -> np.ndarray:
    """Small setts: the cells of a jittered grid."""
    n = 48
    points = (np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1) + rng.uniform(0.2, 0.8, (n, n, 2))) * TILE / n
    tones = rng.uniform(-0.5, 0.5, (n, n)).astype(np.float32)
    v, u = np.mgrid[0:TILE, 0:TILE].astype(np.float32)
    ci, ri = (u * n / TILE).astype(int), (v * n / TILE).astype(int)
    first, second, tone = np.full(u.shape, 1e9, np.float32), np.full(u.shape, 1e9, np.float32), np.zeros_like(u)
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            r, c = (ri + dr) % n, (ci + dc) % n
            du = (u - points[r, c, 0] + TILE / 2) % TILE - TILE / 2
            dv = (v - points[r, c, 1] + TILE / 2) % TILE - TILE / 2
            distance = np.hypot(du, dv)
            closer = distance < first
            second = np.where(closer, first, np.minimum(second, distance))
            tone = np.where(closer, tones[r, c], tone)
            first = np.where(closer, distance, first)
    return np.where(second - first < 2.2, -0.9, tone + 0.25 - 0.02 * first)


@cache
def surface(name: str) -> Ripmap:
    """The texture of a ground material.

    Raises:
        ValueError: the name is not one of the branches below.
    """
    rng = np.random.default_rng(sum(map(ord, name)))
    size = (TILE, TILE)
    if name == "asphalt":
        tile = fractal(rng, *size, (1, 2, 5, 90), (0.42, 0.35, 0.12, 0.12))
    elif name == "asphalt_coarse":
        tile = fractal(rng, *size, (1.5, 3, 8, 60), (0.6, 0.45, 0.15, 0.12))
        tile = np.where(tile > 0.42, tile + 0.3, tile)
    elif name == "slabs":
        tile = _grid_stones(rng, 16, 16, 0.9, jitter=0.22)
    elif name == "plates":
        tile = _grid_stones(rng, 10, 10, 0.8, offset_rows=False, jitter=0.18, joint_depth=0.6)
    elif name == "bricks":
        tile = _grid_stones(rng, 48, 24, 1.0, jitter=0.38, joint_depth=0.6)
    elif name == "herringbone":
        return Ripmap(_herringbone(rng), 0.00625)  # bricks of 10 cm x 20 cm
    elif name == "stones":
        return Ripmap(_stones(rng), 0.005)
    elif name == "grit":  # what a camera close to the ground sees; its texel is 2 mm
        return Ripmap(fractal(rng, *size, (1.5, 3, 7, 20), (0.5, 0.5, 0.35, 0.2)), 0.002)
    elif name == "cobble":
        tile = _cobble(rng)
    elif name == "concrete":
        tile = fractal(rng, *size, (1, 4, 40, 120), (0.15, 0.1, 0.25, 0.25))
        tile[:3] = -0.9
        tile[:, :2] -= 0.4
    elif name == "grass":
        blades = noise(rng, TILE, TILE, 1.5) * 0.5 + cv2.blur(rng.uniform(-1, 1, size).astype(np.float32), (1, 7)) * 0.8
        tile = blades + fractal(rng, *size, (14, 50, 130), (0.25, 0.25, 0.2))
    elif name == "gravel":
        tile = fractal(rng, *size, (2, 4, 70), (0.6, 0.5, 0.2))
    elif name == "soil":
        tile = fractal(rng, *size, (2, 6, 30, 100), (0.45, 0.35, 0.3, 0.25))
        tile = np.where(noise(rng, TILE, TILE, 3.5) > 0.55, tile + 0.7, tile)
    elif name == "macro":  # blotches of metres; its texel is 16 cm
        tile = fractal(rng, *size, (8, 24, 70, 160), (0.35, 0.4, 0.4, 0.35))
        return Ripmap(tile, 0.16)
    else:
        raise ValueError(f"unknown surface {name!r}")
    return Ripmap(tile, TEXEL)
