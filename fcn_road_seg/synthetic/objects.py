"""Draws what stands beside and on the road, by kind of thing."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fcn_road_seg.synthetic import foliage, sprites
from fcn_road_seg.synthetic.cars import draw_car
from fcn_road_seg.synthetic.painter import Painter, Point
from fcn_road_seg.synthetic.scene import Thing
from fcn_road_seg.synthetic.shadows import footprint
from fcn_road_seg.synthetic.weather import Sunlight

REACH = {"house": 340.0, "garage": 220.0, "tree": 340.0, "leafwall": 340.0, "car": 240.0}  # metres; others 170


LAMPLIGHT = np.ones(3, np.float32)
"""Light on what shines by itself: its own colours."""


def _rgb(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def reach(kind: str) -> float:
    """Metres up to which a kind of thing is drawn."""
    return REACH.get(kind, 170.0)


def _upright(tone: np.ndarray, sun: Sunlight, normal: tuple[float, float]) -> np.ndarray:
    """RGB light on a wall that faces `normal` (x, y)."""
    light, direction = sun
    return tone * 0.8 + light * max(0.0, normal[0] * direction[0] + normal[1] * direction[1])


def draw(
    painter: Painter,
    thing: Thing,
    x: float,
    y: float,
    heading: float,
    tone: np.ndarray,
    sun: Sunlight,
    seconds: float,
) -> None:
    """Draw one thing.

    Args:
        painter: draws it.
        thing: the thing.
        x, y, heading: its position (metres) and heading (radians) in the ground frame.
        tone: RGB light on a surface open to the sky, float32 3.
        sun: the sunlight on it.
        seconds: time, for what moves.

    Raises:
        ValueError: its kind is unknown.
    """
    distance = math.hypot(x, y)
    grown = min(1.0, (reach(thing.kind) - distance) / (0.15 * reach(thing.kind)))  # so that nothing pops up
    if grown <= 0:
        return
    low, high = thing.z, thing.z + thing.height * grown
    if thing.kind == "car":
        draw_car(painter, x, y, low, heading, thing, tone, sun)
    elif thing.kind in ("house", "garage"):
        _house(painter, thing, x, y, heading, low, high, tone, sun)
    elif thing.kind == "tree":
        _tree(painter, thing, x, y, low, grown, tone, sun)
    elif thing.kind in ("leafwall", "hedge", "wall", "fence", "railing", "guardrail"):
        _strip(painter, thing, x, y, heading, low, high, tone, sun)
    elif thing.kind in ("person", "cyclist"):
        sprite = sprites.person(int(thing.look), thing.kind == "cyclist")
        step = math.sin(9 * seconds + int(thing.look))
        sway = 1 + 0.06 * step
        painter.billboard(
            x,
            y,
            low,
            high,
            thing.height / 2 * sway,
            sprite,
            _upright(tone, sun, (-1, 0)),
            mirror=step > 0,
        )
    else:
        _post(painter, thing, x, y, heading, low, high, tone + 0.5 * sun.light)


class Face(NamedTuple):
    """An upright side of a box."""

    number: int
    """0 front, 1 right, 2 rear, 3 left."""
    left: tuple[float, float]
    right: tuple[float, float]
    """x, y in metres of its ends, left and right as seen."""
    normal: tuple[float, float]
    """Unit vector outwards."""


def _box_faces(x: float, y: float, heading: float, length: float, width: float) -> Iterator[Face]:
    """The sides of a box that the camera at the origin can see."""
    corners = footprint(x, y, heading, length, width)
    for k in range(4):
        a, b = corners[k], corners[(k + 1) % 4]
        normal = np.array((a[1] - b[1], b[0] - a[0])) / max(np.hypot(*(b - a)), 1e-9)
        if normal @ (a - (x, y)) < 0:
            normal = -normal
        if normal @ a < 0:
            left, right = (a, b) if a[1] * b[0] > b[1] * a[0] else (b, a)
            yield Face(k, (left[0], left[1]), (right[0], right[1]), (normal[0], normal[1]))


def _house(
    painter: Painter,
    thing: Thing,
    x: float,
    y: float,
    heading: float,
    low: float,
    high: float,
    tone: np.ndarray,
    sun: Sunlight,
) -> None:
    look = int(thing.look)
    roof = thing.roof * (high - low) / thing.height
    for k, left, right, normal in _box_faces(x, y, heading, thing.length, thing.width):
        light = _upright(tone, sun, normal)
        if thing.kind == "garage":
            sprite = sprites.plain("garage" if k in (1, 3) else "wall", look)
            painter.wall(left, right, low, high, sprite, light)
            continue
        if k in (1, 3):  # towards or away from the road: the eaves
            top, front = high, sprites.facade(look, thing.floors, max(2, round(thing.length / 2.7)))
        else:
            top = high + roof
            front = sprites.facade(look, thing.floors, max(2, round(thing.width / 3.2)), roof > 0)
        painter.wall(left, right, low, top, front.wall, light)
        if painter.light.beam:
            painter.wall(left, right, low, top, front.lights, LAMPLIGHT)
    if roof > 0 and thing.kind == "house":
        cos, sin = math.cos(heading), math.sin(heading)
        side = 1 if x * sin - y * cos > 0 else -1  # the camera's side
        out, half, deep = 0.35, thing.length / 2 + 0.3, thing.width / 2

        def point(u: float, v: float, w: float) -> Point:
            return x + u * cos - v * sin, y + u * sin + v * cos, w

        eaves = side * (deep + out)
        corners = [
            point(half, eaves, high - 0.15),
            point(-half, eaves, high - 0.15),
            point(-half, 0, high + roof),
            point(half, 0, high + roof),
        ]
        if corners[0][1] * corners[1][0] < corners[1][1] * corners[0][0]:
            corners = [corners[1], corners[0], corners[3], corners[2]]
        normal = (-side * sin * 0.6, side * cos * 0.6)
        painter.face(corners, sprites.plain("roof", look), _upright(tone, sun, normal) + 0.45 * sun.light)


def _tree(
    painter: Painter, thing: Thing, x: float, y: float, low: float, grown: float, tone: np.ndarray, sun: Sunlight
) -> None:
    stem, top = low + thing.stem * grown, low + thing.height * grown
    bark = _rgb(78, 66, 54) * (tone * 0.8 + 0.35 * sun.light)
    painter.pole(x, y, low, stem + 0.25 * (top - stem), thing.trunk, bark)
    fir = int(thing.look) % 4 == 3
    back = sun.direction[0] > 0.3  # the sun is behind the tree, whose shaded side is visible
    light = tone * 0.9 + sun.light * (0.25 if back else 0.75)
    painter.billboard(
        x,
        y,
        low + (0.3 if fir else thing.stem - 0.06 * thing.width) * grown,
        top,
        thing.width,
        foliage.crown(int(thing.look), str(thing.colour)),
        light,
        mirror=sun.direction[1] < 0,
    )


def _strip(
    painter: Painter,
    thing: Thing,
    x: float,
    y: float,
    heading: float,
    low: float,
    high: float,
    tone: np.ndarray,
    sun: Sunlight,
) -> None:
    look = int(thing.look)
    if thing.kind in ("leafwall", "hedge"):
        sprite = foliage.leaf_wall(look % 3, str(thing.colour), thing.kind == "hedge")
    else:
        sprite = sprites.plain(thing.kind, look)
    solid = thing.kind in ("leafwall", "hedge", "wall")
    width = thing.width if solid else 0.02
    faces = list(_box_faces(x, y, heading, thing.length, width))
    for k, left, right, normal in faces:
        if not solid and k not in (1, 3):
            continue
        light = _upright(tone, sun, normal)
        if thing.kind in ("leafwall", "hedge"):
            light = light * 0.9 + 0.25 * sun.light
        if k in (0, 2) and thing.kind != "wall" and not thing.ends:
            continue
        painter.wall(left, right, low, high, sprite, light)
    if solid and thing.kind != "leafwall" and high < painter.camera.camera_height:
        corners = footprint(x, y, heading, thing.length, width)
        top = [(u, v, high) for u, v in corners]
        albedo = _rgb(58, 74, 32) if thing.kind == "hedge" else _rgb(176, 172, 164)
        painter.polygon(top, albedo * (tone + sun.light), math.hypot(x, y))


def _post(
    painter: Painter, thing: Thing, x: float, y: float, heading: float, low: float, high: float, light: np.ndarray
) -> None:
    look = int(thing.look)
    distance = max(1.0, math.hypot(x, y))
    if thing.kind == "lamp":
        painter.pole(x, y, low, high, 0.07, _rgb(120, 124, 122) * light)
        arm = thing.arm
        if painter.depth(x, high) > 0.5:
            (u0, v0), (u1, v1) = painter.pixel(x, y, high), painter.pixel(x, y + arm, high + 0.15)
            w = max(0.6, 0.05 * painter.camera.fx / distance)
            painter.fill(((u0, v0 - w), (u1, v1 - w), (u1, v1 + w), (u0, v0 + w)), _rgb(120, 124, 122) * light)
            if painter.light.headlights:
                painter.glow(x, y + arm, high, (255, 190, 110), 2.2)
    elif thing.kind == "sign":
        painter.pole(x, y, low, high, 0.035, _rgb(140, 142, 142) * light)
        radius, sides = 0.32, (3, 24, 4)[look % 3]
        turn = math.pi / 2 if sides != 4 else math.pi / 4
        for share, colour in (
            (1.0, ((190, 26, 26), (190, 26, 26), (240, 240, 240))[look % 3]),
            (0.72, ((236, 236, 232), (236, 236, 232), (232, 190, 40))[look % 3]),
        ):
            ring = [
                (x - 0.02, y + radius * share * math.cos(turn + t), high + radius * share * math.sin(turn + t))
                for t in np.linspace(0, 2 * math.pi, sides, endpoint=False)
            ]
            painter.polygon(ring, _rgb(*colour) * light, distance)
    elif thing.kind == "post":  # a delineator of a country road
        painter.pole(x, y, low, high, 0.055, _rgb(228, 228, 224) * light)
        band = low + 0.72 * thing.height, low + 0.86 * thing.height
        painter.pole(x, y, *band, 0.057, _rgb(30, 30, 30) * light)
    elif thing.kind == "bollard":
        painter.pole(x, y, low, high, 0.05, _rgb(92, 92, 90) * light)
    elif thing.kind == "bin":
        colour = ((50, 60, 52), (40, 52, 90), (92, 74, 40))[look % 3]
        for k, left, right, _ in _box_faces(x, y, heading, 0.6, 0.55):
            shade = _rgb(*colour) * light * (0.9 if k in (1, 3) else 0.65)
            painter.polygon(((*left, low), (*right, low), (*right, high), (*left, high)), shade, distance)
    else:
        raise ValueError(f"unknown thing {thing.kind!r}")
