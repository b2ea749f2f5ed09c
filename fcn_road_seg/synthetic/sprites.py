"""Procedural pictures of upright things: house fronts, walls, fences, people. RGBA with premultiplied colours."""

from functools import cache, lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from fcn_road_seg.synthetic.textures import fractal


class Sprite:
    """A premultiplied RGBA picture with its smaller versions.

    Args:
        rgb: H x W x 3, 0-255.
        alpha: H x W, 0-1; None is opaque.
        leafy: whether finer leaves are added when it is seen from near.

    Attributes:
        levels: uint8 H x W x 4, each half the size of the one before.
    """

    def __init__(self, rgb: np.ndarray, alpha: np.ndarray | None = None, leafy: bool = False):
        self.leafy = leafy
        alpha = np.ones(rgb.shape[:2], np.float32) if alpha is None else alpha
        picture = np.empty((*rgb.shape[:2], 4), np.float32)
        picture[..., 3] = alpha * 255
        picture[..., :3] = np.clip(rgb, 0, 255) * alpha[..., None]
        self.levels: list[np.ndarray] = [picture.round().astype(np.uint8)]
        while min(self.levels[-1].shape[:2]) > 8:
            height, width = self.levels[-1].shape[:2]
            self.levels.append(cv2.resize(self.levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))

    def at_scale(self, scale: float) -> np.ndarray:
        """The smallest version that is sharp enough where a texel of the largest covers `scale` pixels."""
        level = int(np.clip(np.floor(-np.log2(max(scale, 1e-6))), 0, len(self.levels) - 1))
        return self.levels[level]


WALLS = (
    (232, 230, 222),
    (226, 212, 180),
    (206, 160, 104),
    (214, 188, 120),
    (176, 174, 170),
    (140, 96, 78),
    (198, 190, 172),
    (120, 104, 92),
    (240, 240, 238),
    (168, 150, 128),
    (214, 130, 78),
    (236, 232, 224),
    (222, 214, 196),
    (210, 210, 208),
    (188, 170, 150),
    (244, 244, 242),
)


class Facade(NamedTuple):
    """A house front."""

    wall: Sprite
    """All of it."""
    lights: Sprite
    """The windows behind which lamps shine at night; nothing else."""


@lru_cache(maxsize=160)
def facade(index: int, floors: int, columns: int, gable: bool = False) -> Facade:
    """A house front: `floors` rows of `columns` windows, a plinth, a door; with `gable`, a triangle on top."""
    rng = np.random.default_rng(1000 * index + 10 * floors + columns + 7 * gable)
    height, width = 64 * floors + (64 if gable else 8), 48 * columns
    wall = np.array(WALLS[index % len(WALLS)], np.float32)
    grain = fractal(rng, height, width, (2, 9, 60), (0.02, 0.03, 0.05))[..., None]
    picture = wall * (1 + grain)
    if index % 5 == 2:  # brickwork
        picture[::4] *= 0.93
    plinth = int(rng.integers(6, 16))
    picture[-plinth:] = wall * rng.uniform(0.45, 0.8) * (1 + grain[-plinth:])
    picture[:8] *= np.linspace(0.55, 0.95, 8, dtype=np.float32)[:, None, None]
    frame = np.array((225, 225, 222) if rng.random() < 0.7 else (90, 70, 55), np.float32)
    shutters = rng.random() < 0.4
    shutter = np.array(((70, 90, 70), (110, 70, 50), (90, 100, 120), (60, 50, 45))[rng.integers(4)], np.float32)
    w, h = int(rng.integers(16, 26)), int(rng.integers(26, 40))
    door = int(rng.integers(columns))
    top = height - 64 * floors
    switch = np.random.default_rng([index, floors, columns, 3])
    glow, lit = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
    for floor in range(floors):
        for column in range(columns):
            u, v = column * 48 + 24 - w // 2, top + floor * 64 + 12
            if floor == floors - 1 and column == door:
                picture[v + 2 : height - 2, u + 2 : u + 18] = rng.uniform(0.3, 0.8) * shutter + 15
                continue
            if rng.random() < 0.08:
                continue
            picture[v - 2 : v + h + 2, u - 2 : u + w + 2] = frame
            glass = np.linspace(rng.uniform(60, 130), rng.uniform(18, 50), h)[:, None]
            pane = np.repeat(glass, w, 1)[..., None] * np.array((0.85, 0.95, 1.05))
            if rng.random() < 0.5:
                pane[: int(rng.integers(3, h))] = (190, 186, 176)  # blind
            picture[v : v + h, u : u + w] = pane
            picture[v : v + h, u + w // 2] = frame
            if switch.random() < 0.3:
                lamp = np.array(((255, 196, 110), (255, 222, 160), (236, 238, 230))[switch.integers(3)])
                glow[v : v + h, u : u + w] = lamp * switch.uniform(0.45, 0.9) * picture[v : v + h, u : u + w] / 150
                glow[v : v + h, u : u + w] += 0.35 * lamp
                lit[v : v + h, u : u + w] = 1
            picture[v + h + 2 : v + h + 4, u - 3 : u + w + 3] *= 0.6
            if shutters:
                picture[v : v + h, u - 10 : u - 3] = shutter
                picture[v : v + h, u + w + 3 : u + w + 10] = shutter
    alpha = None
    if gable:
        alpha = np.ones((height, width), np.float32)
        v, u = np.mgrid[0:top, 0:width]
        alpha[:top] = (np.abs(u - width / 2 + 0.5) / (width / 2)) < (v + 1) / top
    return Facade(Sprite(picture, alpha), Sprite(glow, lit))


@cache
def plain(kind: str, index: int = 0) -> Sprite:
    """A roof, wall, garage door, fence, railing or guardrail, by name.

    Raises:
        ValueError: the name is unknown.
    """
    rng = np.random.default_rng(400 + index + sum(map(ord, kind)))
    height, width = 64, 128
    grain = fractal(rng, height, width, (2, 8, 40), (0.06, 0.06, 0.06))[..., None]
    alpha = None
    if kind == "roof":
        colour = ((128, 62, 42), (92, 50, 40), (62, 56, 54), (150, 84, 56), (84, 82, 84))[index % 5]
        picture = np.array(colour, np.float32) * (1 + 2 * grain)
        picture[::4] *= 0.75
    elif kind == "wall":
        colour = ((190, 186, 176), (150, 144, 132), (120, 74, 56), (206, 200, 190), (110, 106, 100))[index % 5]
        picture = np.array(colour, np.float32) * (1 + 2 * grain)
        if index % 5 in (2, 4):
            rows = np.arange(height) // 6
            for r in range(rows[-1] + 1):
                tones = rng.uniform(0.78, 1.15, 20).repeat(8)[rng.integers(8) :][:width]
                picture[rows == r] *= tones[None, :, None]
            picture[::6] *= 0.75
        picture[:5] *= 1.12
    elif kind == "garage":
        picture = np.full((height, width, 3), (196, 194, 188), np.float32) * (1 + grain)
        for door in range(2):
            tone = np.array(((150, 152, 150), (110, 80, 60), (210, 210, 205))[rng.integers(3)])
            picture[14:, door * 64 + 6 : door * 64 + 58] = tone
            picture[14::5, door * 64 + 6 : door * 64 + 58] *= 0.85
    elif kind in ("fence", "railing"):
        dark = ((60, 44, 32), (34, 36, 36), (150, 150, 148), (96, 70, 46))[index % 4]
        picture = np.array(dark, np.float32) * (1 + 3 * grain)
        alpha = np.zeros((height, width), np.float32)
        pitch, bar = (8, 5) if kind == "fence" else (8, 2)
        alpha[:, np.arange(width) % pitch < bar] = 1
        alpha[6:10] = alpha[50:54] = 1
        if kind == "railing":
            alpha[58:] = 1
    elif kind == "guardrail":
        picture = np.full((height, width, 3), (150, 154, 156), np.float32) * (1 + grain)
        picture[4:26] *= (0.8 + 0.35 * np.sin(np.linspace(0, 9, 22)))[:, None, None]
        alpha = np.zeros((height, width), np.float32)
        alpha[4:26] = 1
        alpha[26:, 60:66] = 1
    else:
        raise ValueError(f"unknown picture {kind!r}")
    return Sprite(picture, alpha)


@cache
def person(index: int, cyclist: bool = False) -> Sprite:
    """A person standing or walking, or a cyclist seen from the front or the rear, 128 x 64."""
    rng = np.random.default_rng(500 + index + 50 * cyclist)
    scale, size = 4, (128, 64)
    picture = np.zeros((size[0] * scale, size[1] * scale, 3), np.uint8)
    alpha = np.zeros(picture.shape[:2], np.uint8)

    def draw(points: list[tuple[float, float]], colour: tuple[int, ...], thickness: int | None = None) -> None:
        outline = (np.array(points) * scale).astype(np.int32)
        for canvas, value in ((picture, colour), (alpha, (255,))):
            if thickness:
                cv2.polylines(canvas, [outline], False, value, thickness * scale)
            else:
                cv2.fillPoly(canvas, [outline], value)

    skin = (196, 150, 124) if rng.random() < 0.7 else (110, 78, 60)
    tops = [(40, 44, 60), (150, 40, 40), (210, 208, 200), (60, 80, 120), (90, 100, 80)]
    top = tuple(int(c) for c in rng.choice(tops))
    legs = tuple(int(c) for c in rng.choice([(36, 40, 58), (28, 28, 30), (120, 106, 86), (60, 66, 90)]))
    stride = rng.uniform(2, 9)
    if cyclist:
        for canvas, value in ((picture, (24, 24, 24)), (alpha, (255,))):
            cv2.ellipse(canvas, (32 * scale, 104 * scale), (4 * scale, 23 * scale), 0, 0, 360, value, 3 * scale)
        draw([(20, 58), (44, 58)], (40, 40, 40), 2)
        draw([(32, 58), (32, 88)], (90, 30, 30), 3)
        draw([(28, 62), (25, 84), (27, 106)], legs, 6)
        draw([(36, 62), (39, 80), (37, 94)], legs, 6)
        draw([(24, 28), (40, 28), (39, 64), (25, 64)], top)
        draw([(25, 31), (19, 44), (21, 57)], top, 5)
        draw([(39, 31), (45, 44), (43, 57)], top, 5)
        head = (32, 17)
    else:
        draw([(30, 66), (30 - stride, 96), (29 - stride, 125)], legs, 8)
        draw([(34, 66), (34 + stride, 96), (36 + stride, 125)], legs, 8)
        draw([(23, 28), (41, 28), (40, 70), (24, 70)], top)
        draw([(24, 32), (20, 50), (21, 68)], top, 6)
        draw([(40, 32), (44, 50), (43, 66)], top, 6)
        head = (32, 15)
    for canvas, hair, face in ((picture, (50, 36, 26), skin), (alpha, (255,), (255,))):
        cv2.ellipse(canvas, (head[0] * scale, head[1] * scale), (6 * scale, 8 * scale), 0, 0, 360, face, -1)
        cv2.ellipse(canvas, (head[0] * scale, (head[1] - 2) * scale), (7 * scale, 8 * scale), 0, 180, 360, hair, -1)
    colours = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    share = cv2.resize(alpha, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    colours *= np.linspace(1.1, 0.75, size[1], dtype=np.float32)[None, :, None]
    return Sprite(colours / np.maximum(share, 0.05)[..., None], share)
