"""Procedural pictures of upright things: foliage, house fronts, fences, people. RGBA, colours premultiplied."""

from functools import cache, lru_cache

import cv2
import numpy as np

from fcn_road_seg.synthetic.textures import fractal, noise

LEAF_TONES = {  # dark, middle and bright display colours
    "green": ((11, 16, 8), (52, 70, 26), (168, 186, 96)),
    "olive": ((14, 16, 9), (70, 76, 34), (190, 188, 108)),
    "autumn": ((18, 14, 9), (82, 66, 32), (176, 146, 78)),
    "fir": ((6, 11, 9), (26, 40, 28), (84, 104, 74)),
    "red": ((18, 8, 9), (72, 30, 28), (140, 74, 56)),
}


class Sprite:
    """An RGBA uint8 picture, premultiplied, with its smaller versions."""

    def __init__(self, rgb, alpha=None, leafy=False):
        """`rgb`: H x W x 3, 0-255; `alpha`: H x W, 0-1 (opaque without); `leafy`: gets finer leaves when seen near."""
        self.leafy = leafy
        alpha = np.ones(rgb.shape[:2], np.float32) if alpha is None else alpha
        picture = np.empty((*rgb.shape[:2], 4), np.float32)
        picture[..., 3] = alpha * 255
        picture[..., :3] = np.clip(rgb, 0, 255) * alpha[..., None]
        self.levels = [picture.round().astype(np.uint8)]
        while min(self.levels[-1].shape[:2]) > 8:
            height, width = self.levels[-1].shape[:2]
            self.levels.append(cv2.resize(self.levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))

    def at_scale(self, scale):
        """The smallest version that is still at least `scale` (pixels on screen per texel) sharp."""
        level = int(np.clip(np.floor(-np.log2(max(scale, 1e-6))), 0, len(self.levels) - 1))
        return self.levels[level]


@lru_cache(maxsize=1)
def leaf_detail():
    """Fine leaves that are laid over foliage seen from near: uint8 256 x 256, 128 changes nothing."""
    rng = np.random.default_rng(99)
    return np.uint8(128 + 110 * np.clip(fractal(rng, 256, 256, (3, 6, 12), (0.5, 0.6, 0.3)), -1, 1))


def leaf_colour(tone, name):
    """Colour a tone map (0 dark to 1 bright) with one of `LEAF_TONES`."""
    stops = np.array(LEAF_TONES[name], np.float32)
    return np.stack([np.interp(tone, (0, 0.45, 1), stops[:, k]) for k in range(3)], -1).astype(np.float32)


def _foliage(rng, height, width, blobs, leaf, wrap):
    """Tone and alpha of overlapping clumps of leaves. `blobs`: rows of (u, v, radius), drawn in order."""
    tone = np.zeros((height, width), np.float32)
    alpha = np.zeros((height, width), np.float32)
    ragged = noise(rng, height, width, leaf * 3) * 0.55 + noise(rng, height, width, leaf) * 0.6
    speck = noise(rng, height, width, leaf) * 0.5 + noise(rng, height, width, leaf * 2.5) * 0.45
    speck += 1.1 * np.clip(noise(rng, height, width, leaf * 0.7) - 0.45, 0, 1) - 0.05
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    for cu, cv, radius in blobs:
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
def _crown(index):
    rng = np.random.default_rng(100 + index)
    if index % 4 == 3:
        blobs = [
            (128 + rng.uniform(-1, 1) * r * 0.42 * 256, r * 240 + 12, 12 + 16 * r) for r in np.sort(rng.random(170))
        ]
    else:
        blobs = []
        for _ in range(130):
            angle, reach = rng.uniform(0, 6.3), np.sqrt(rng.random())
            blobs.append((128 + np.cos(angle) * reach * 100, 128 + np.sin(angle) * reach * 94, rng.uniform(16, 34)))
        blobs.sort(key=lambda b: -b[1] + rng.uniform(0, 160))
    tone, alpha = _foliage(rng, 256, 256, blobs, 2.2, wrap=False)
    v = np.linspace(1.12, 0.62, 256, dtype=np.float32)[:, None]
    holes = noise(rng, 256, 256, 14) + 0.5 * noise(rng, 256, 256, 5) > 0.85
    return tone * v, alpha if index % 4 == 3 else alpha * ~holes


@cache
def crown(index, tones):
    """The crown of a broad-leaved tree (or, every fourth, a fir), 256 x 256, in one of `LEAF_TONES`."""
    tone, alpha = _crown(index)
    return Sprite(leaf_colour(tone, tones), alpha, leafy=True)


@cache
def _leaf_wall(index, flat):
    rng = np.random.default_rng(200 + index)
    top = 14 if flat else 60
    blobs = [
        (
            rng.uniform(0, 512),
            top + (232 - top) * rng.random() ** 0.9,
            rng.uniform(12, 24) if flat else rng.uniform(18, 44),
        )
        for _ in range(420 if flat else 300)
    ]
    blobs.sort(key=lambda b: b[1] * 0.3 + rng.uniform(0, 200))
    tone, alpha = _foliage(rng, 256, 512, blobs, 2.0 if flat else 2.4, wrap=True)
    alpha[80 if not flat else 30 :] = 1
    if not flat:  # a ragged outline at both ends
        v, u = np.mgrid[0:256, 0:512].astype(np.float32)
        end = np.minimum(u, 511 - u) / 70 + 0.4 * noise(rng, 256, 512, 40) + 0.25 * noise(rng, 256, 512, 9)
        alpha *= end > 0.9 * (1 - v / 256) ** 0.7
    shade = np.interp(np.arange(256), (0, 60, 190, 255), (1.15, 1.0, 0.6, 0.3)).astype(np.float32)[:, None]
    return tone * shade, alpha


@cache
def leaf_wall(index, tones, flat):
    """A wall of leaves, 256 x 512: a stretch of a wood's edge, or (flat) of a clipped hedge."""
    tone, alpha = _leaf_wall(index, flat)
    return Sprite(leaf_colour(tone, tones), alpha, leafy=True)


@cache
def dapple(index):
    """Share of the sun that a tree's crown takes away, seen along the rays: uint8 128 x 128, 255 = all."""
    rng = np.random.default_rng(300 + index)
    v, u = np.mgrid[-1:1:128j, -1:1:128j].astype(np.float32)
    rim = np.hypot(u, v) + 0.3 * noise(rng, 128, 128, 22) + 0.12 * noise(rng, 128, 128, 6)
    leaves = fractal(rng, 128, 128, (3, 6, 14), (0.45, 0.55, 0.45)) + 0.75 - 0.55 * np.clip(rim, 0, 1.2) ** 3
    return np.uint8(255 * np.clip(leaves * 3, 0, 1) * np.clip((0.95 - rim) * 6, 0, 1))


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


@lru_cache(maxsize=160)
def facade(index, floors, columns, gable=False):
    """A house front: `floors` rows of `columns` windows, plinth, door or shop; with `gable`, its triangle on top."""
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
            picture[v + h + 2 : v + h + 4, u - 3 : u + w + 3] *= 0.6
            if shutters:
                picture[v : v + h, u - 10 : u - 3] = shutter
                picture[v : v + h, u + w + 3 : u + w + 10] = shutter
    alpha = None
    if gable:
        alpha = np.ones((height, width), np.float32)
        v, u = np.mgrid[0:top, 0:width]
        alpha[:top] = (np.abs(u - width / 2 + 0.5) / (width / 2)) < (v + 1) / top
    return Sprite(picture, alpha)


@cache
def plain(kind, index=0):
    """Roofs, walls, garage doors, fences and railings, by name."""
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
def person(index, cyclist=False):
    """A person standing or walking, or (cyclist) riding away or towards, 128 high and 64 wide."""
    rng = np.random.default_rng(500 + index + 50 * cyclist)
    scale, size = 4, (128, 64)
    picture = np.zeros((size[0] * scale, size[1] * scale, 3), np.uint8)
    alpha = np.zeros(picture.shape[:2], np.uint8)

    def draw(points, colour, thickness=None):
        points = np.int32(np.array(points) * scale)
        for canvas, value in ((picture, colour), (alpha, 255)):
            if thickness:
                cv2.polylines(canvas, [points], False, value, int(thickness * scale))
            else:
                cv2.fillPoly(canvas, [points], value)

    skin = (196, 150, 124) if rng.random() < 0.7 else (110, 78, 60)
    tops = [(40, 44, 60), (150, 40, 40), (210, 208, 200), (60, 80, 120), (90, 100, 80)]
    top = tuple(int(c) for c in rng.choice(tops))
    legs = tuple(int(c) for c in rng.choice([(36, 40, 58), (28, 28, 30), (120, 106, 86), (60, 66, 90)]))
    stride = rng.uniform(2, 9)
    if cyclist:
        for canvas, value in ((picture, (24, 24, 24)), (alpha, 255)):
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
    for canvas, hair, face in ((picture, (50, 36, 26), skin), (alpha, 255, 255)):
        cv2.ellipse(canvas, (head[0] * scale, head[1] * scale), (6 * scale, 8 * scale), 0, 0, 360, face, -1)
        cv2.ellipse(canvas, (head[0] * scale, (head[1] - 2) * scale), (7 * scale, 8 * scale), 0, 180, 360, hair, -1)
    picture = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = cv2.resize(alpha, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    picture *= np.linspace(1.1, 0.75, size[1], dtype=np.float32)[None, :, None]
    return Sprite(picture / np.maximum(alpha, 0.05)[..., None], alpha)
