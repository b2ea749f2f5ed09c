"""Draws cars, vans and lorries: a side profile with breadth, shaded face by face."""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from fcn_road_seg.synthetic.car_shapes import PROFILES
from fcn_road_seg.synthetic.painter import Painter, Point, between
from fcn_road_seg.synthetic.scene import Thing
from fcn_road_seg.synthetic.weather import Sunlight

GLASS = np.array((26, 30, 34), np.float32)
SHADOW = np.array((13, 13, 14), np.float32)
SKY = np.array((170, 190, 210), np.float32)


class _Car:
    """One vehicle being drawn: its own axes (u forward, v left, w up), the light on it, and the painter."""

    def __init__(
        self,
        painter: Painter,
        x: float,
        y: float,
        z: float,
        heading: float,
        thing: Thing,
        tone: np.ndarray,
        sun: Sunlight,
    ):
        self.painter, self.thing, self.tone = painter, thing, tone
        self.at, self.cos, self.sin = (x, y, z), math.cos(heading), math.sin(heading)
        self.distance = math.hypot(x, y)
        self.eye = (-(x * self.cos + y * self.sin), x * self.sin - y * self.cos, painter.camera.camera_height - z)
        self.sun = Sunlight(sun.light, self.turned(sun.direction))
        self.paint = np.array(thing.colour, np.float32)
        profile, half = PROFILES[str(thing.look)], thing.width / 2
        self.points = [(u * thing.length, v * half, w * thing.height) for u, w, v in profile]
        self.low = min(p[2] for p in self.points)
        self.lorry = thing.look == "lorry"

    def turned(self, direction: Point) -> Point:
        """Turn a direction of the ground frame into the car's axes."""
        x, y, z = direction
        return x * self.cos + y * self.sin, y * self.cos - x * self.sin, z

    def world(self, u: float, v: float, w: float) -> Point:
        """Ground frame of a point in the car's axes, metres."""
        x, y, z = self.at
        return x + u * self.cos - v * self.sin, y + u * self.sin + v * self.cos, z + w

    def fill(self, corners: Sequence[Point], colour: np.ndarray) -> None:
        """Fill a polygon, given in the car's axes, with one RGB colour."""
        self.painter.polygon([self.world(*c) for c in corners], colour, self.distance)

    def lit(self, colour: np.ndarray, normal: Point, gloss: float = 0.0) -> np.ndarray:
        """RGB of a face under sky light and sun, with the sun's reflection and `gloss` times the sky's."""
        light, direction = self.sun
        far = math.sqrt(sum(e * e for e in self.eye)) + 1e-6
        half = [d + e / far for d, e in zip(direction, self.eye, strict=False)]
        facing = max(0.0, sum(n * d for n, d in zip(normal, direction, strict=False)))
        size = math.sqrt(sum(h * h for h in half)) + 1e-6
        blink = max(0.0, sum(n * h for n, h in zip(normal, half, strict=False)) / size) ** 24
        up = normal[2]
        return (
            colour * (self.tone * (0.62 + 0.38 * max(up, -0.3)) + light * facing)
            + light * 120 * blink
            + gloss * SKY * self.tone * (0.25 + 0.75 * max(up, 0)) ** 2
        )

    def underside(self) -> None:
        """Draw the dark below the body, at both ends and at the visible side."""
        dark = SHADOW * (self.tone + 0.05)
        for u, v, w in (self.points[0], self.points[-1]):
            self.fill(
                ((u * 0.94, v * 0.9, 0.05), (u * 0.94, -v * 0.9, 0.05), (u, -v, w + 0.06), (u, v, w + 0.06)), dark
            )
        if self.visible_side:
            v = self.visible_side * self.thing.width / 2
            front, rear = self.points[0][0], self.points[-1][0]
            self.fill(
                (
                    (front, v * 0.93, self.low * 0.9),
                    (rear, v * 0.93, self.low * 0.9),
                    (rear * 0.96, v * 0.9, 0.06),
                    (front * 0.96, v * 0.9, 0.06),
                ),
                dark,
            )

    @cached_property
    def visible_side(self) -> int:
        """+1 if the left side is visible, -1 if the right, 0 if neither."""
        v = self.eye[1]
        return 0 if abs(v) <= self.points[1][1] else (1 if v > 0 else -1)

    def strips(self) -> None:
        """Draw what runs across the car: bumper, bonnet, windscreen, roof, rear window, boot."""
        for k, (a, b) in enumerate(zip(self.points, self.points[1:], strict=False)):
            norm = math.hypot(b[0] - a[0], b[2] - a[2])
            normal = ((b[2] - a[2]) / norm, 0.0, (a[0] - b[0]) / norm)
            if normal[0] * (self.eye[0] - a[0]) + normal[2] * (self.eye[2] - a[2]) <= 0:
                continue
            pieces = [(a, b, 0.12)]
            colour = self.paint * (0.75 if k in (0, len(self.points) - 2) else 1.0)
            if self.lorry and k < 3:
                colour = self.paint * 0.4 + 20
            if k == 3 or k == 6 and not self.lorry:
                colour, pieces = GLASS, [(a, b, 0.3)]
                if self.distance < 70:  # the sky shows in the upper part of a window
                    middle = between(a, b, 0.55)
                    shine = (0.07, 0.35) if k == 3 else (0.35, 0.07)
                    pieces = [(a, middle, shine[0]), (middle, b, shine[1])]
            for p, q, gloss in pieces:
                self.fill(
                    ((p[0], p[1], p[2]), (p[0], -p[1], p[2]), (q[0], -q[1], q[2]), (q[0], q[1], q[2])),
                    self.lit(colour, normal, gloss),
                )

    def flank(self) -> None:
        """Draw the visible side: doors, sill, cabin with its windows, wheels."""
        side, height, points, paint = self.visible_side, self.thing.height, self.points, self.paint
        self.fill([(u, side * v, w) for u, v, w in points if w <= 0.68 * height], self.lit(paint, (0, side, 0.05), 0.1))
        if self.distance < 60:
            ends = (
                points[0],
                (points[0][0], points[1][1], height * 0.3),
                (points[-1][0], points[-2][1], height * 0.3),
                points[-1],
            )
            self.fill([(u, side * v, w) for u, v, w in ends], self.lit(paint * 0.72, (0, side, -0.3), 0.02))
        self.fill([(u, side * v, w) for u, v, w in points[3:8]], self.lit(paint, (0, side * 0.9, 0.4), 0.06))
        if not self.lorry and self.distance < 90:
            self.side_windows(side)
        self.wheels(side)

    def side_windows(self, side: int) -> None:
        """Draw the windows of one side."""
        length, height = self.thing.length, self.thing.height
        u = [p[0] for p in self.points[3:8]]
        low, high = self.points[3][1], self.points[5][1] + 0.01
        middle = (u[1] + u[3]) / 2 - 0.02 * length
        panes = [
            (u[0] - 0.08 * length, middle + 0.06, middle + 0.06, u[1] - 0.035 * length),
            (middle - 0.06, u[4] + 0.06 * length, u[3] + 0.02 * length, middle - 0.06),
        ]
        if self.thing.look == "van":
            panes = [(u[0] - 0.06 * length, u[1] - 0.12 * length, u[1] - 0.12 * length, u[1] - 0.02 * length)]
        colour = self.lit(GLASS, (0, side * 0.8, 0.3), 0.22)
        for a, b, c, d in panes:
            self.fill(
                (
                    (a, side * low, 0.67 * height),
                    (b, side * low, 0.67 * height),
                    (c, side * high, 0.93 * height),
                    (d, side * high, 0.93 * height),
                ),
                colour,
            )

    def wheels(self, side: int) -> None:
        """Draw the wheels of one side."""
        radius = {"lorry": 0.48, "suv": 0.36, "van": 0.36}.get(str(self.thing.look), 0.31)
        turns = np.linspace(0, 2 * math.pi, 18 if self.distance < 30 else 10, endpoint=False)
        rings = ((1.2, 10, 0.975), (1.0, 30, 0.98), (0.62, 122, 0.985), (0.2, 60, 0.99))  # arch, tyre, rim, hub
        for u in (0.31 * self.thing.length, -0.30 * self.thing.length):
            for share, grey, out in rings[: 4 if self.distance < 45 else 2]:
                r, v = radius * share, side * self.thing.width / 2 * out
                self.fill(
                    [(u + r * math.cos(t), v, max(0.0, radius + r * math.sin(t))) for t in turns],
                    np.float32(grey) * self.tone,
                )

    def end(self) -> None:
        """Draw the nearer end: tyres, lamps, number plate, bumper."""
        end = 1 if self.eye[0] > 0 else -1
        length, width, height = self.thing.length, self.thing.width, self.thing.height
        u = end * length / 2
        if abs(self.eye[0]) <= length / 2:
            return
        low, high = (0.44 * height, 0.54 * height) if end > 0 else (0.50 * height, 0.62 * height)
        if self.lorry:
            low, high = 0.2 * height, 0.25 * height
        inner = (0.31 if end > 0 else 0.36) * width
        shining = self.painter.light.headlights and self.thing.speed
        if shining:
            lamp = np.array((255, 250, 235) if end > 0 else (255, 60, 40), np.float64)
        else:
            lamp = np.array((225, 228, 230) if end > 0 else (150, 16, 14), np.float32) * (self.tone * 0.8 + 0.1)
        for v in (-1, 1):
            tyre, deep = v * width * 0.48, self.low + 0.08
            self.fill(
                ((u * 0.8, tyre, 0), (u * 0.8, 0.75 * tyre, 0), (u * 0.8, 0.75 * tyre, deep), (u * 0.8, tyre, deep)),
                np.float32(22) * self.tone,
            )
            self.fill(
                (
                    (u, v * inner, low),
                    (u * 0.985, v * 0.47 * width, low),
                    (u * 0.97, v * 0.47 * width, high),
                    (u, v * inner, high),
                ),
                lamp,
            )
            if shining:
                colour, size = ((255, 245, 220), 1.1) if end > 0 else ((190, 20, 12), 0.5)
                if self.painter.light.beam and end > 0:
                    size = 2.0
                self.painter.glow(*self.world(u, v * 0.4 * width, (low + high) / 2), colour, size)
        if self.distance < 50:
            u *= 1.006
            plate = (0.17 if self.lorry else 0.32 if end > 0 else 0.4) * height
            self.fill(
                ((u, 0.26, plate), (u, -0.26, plate), (u, -0.26, plate + 0.11), (u, 0.26, plate + 0.11)),
                np.float32(205) * self.tone,
            )
            self.fill(
                (
                    (u, 0.4 * width, 0.2 * height),
                    (u, -0.4 * width, 0.2 * height),
                    (u, -0.4 * width, 0.27 * height),
                    (u, 0.4 * width, 0.27 * height),
                ),
                np.float32(25) * self.tone,
            )


def draw_car(
    painter: Painter, x: float, y: float, z: float, heading: float, thing: Thing, tone: np.ndarray, sun: Sunlight
) -> None:
    """Draw a vehicle.

    Args:
        painter: draws it.
        x, y, z: centre on the ground in the ground frame, metres.
        heading: direction of travel in the ground frame, radians.
        thing: its kind of body is in `look`, its paint in `colour`.
        tone: RGB light on a surface open to the sky, float32 3.
        sun: the sunlight on it.
    """
    car = _Car(painter, x, y, z, heading, thing, tone.astype(np.float32), sun)
    car.underside()
    car.strips()
    if car.visible_side:
        car.flank()
    if car.distance < 120:
        car.end()
