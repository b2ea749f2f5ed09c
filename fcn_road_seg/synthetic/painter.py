"""Draws textured quadrilaterals and polygons of the 3D scene into the picture, from far to near."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from fcn_road_seg.synthetic.camera import Camera
from fcn_road_seg.synthetic.foliage import leaf_detail
from fcn_road_seg.synthetic.sprites import Sprite
from fcn_road_seg.synthetic.weather import Light

NEAR = 0.25  # metres in front of the camera; nearer parts are clipped
Point = tuple[float, float, float]
"""x, y, z in the ground frame, metres."""


def _more_leaves(patch: np.ndarray, warp: np.ndarray, size: float) -> np.ndarray:
    """Break up a magnified picture of foliage with finer leaves, which `warp` fixes to the picture."""
    fine = cv2.warpPerspective(
        leaf_detail(),
        warp @ np.diag((size / 2, size / 2, 1)),
        patch.shape[1::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    before = patch[..., 3]
    alpha = cv2.addWeighted(before, 2.6, fine, 1.1, -128 * 1.1 - 128 * 1.6)
    alpha = cv2.min(alpha, cv2.LUT(before, np.clip(np.arange(256) * 4, 0, 255).astype(np.uint8)))
    colour = cv2.multiply(cv2.cvtColor(patch, cv2.COLOR_RGBA2RGB), cv2.merge([fine] * 3), scale=1 / 128)
    kept = cv2.divide(alpha, np.maximum(before, 1), scale=255)  # colours are premultiplied
    return cv2.merge([*cv2.split(cv2.multiply(colour, cv2.merge([kept] * 3), scale=1 / 255)), alpha])


def between(p: Point, q: Point, share: float) -> Point:
    """The point that lies `share` of the way from `p` to `q`."""
    return p[0] + (q[0] - p[0]) * share, p[1] + (q[1] - p[1]) * share, p[2] + (q[2] - p[2]) * share


class Painter:
    """A canvas with a camera; points are in the ground frame, in metres.

    Attributes:
        canvas: uint8 H x W x 3 RGB, changed in place.
        covered: uint8 H x W, 255 where something stands in front of the ground; changed in place.
        camera, light: of the picture.
    """

    def __init__(self, canvas: np.ndarray, covered: np.ndarray, camera: Camera, light: Light):
        self.canvas, self.covered, self.camera, self.light = canvas, covered, camera, light
        self.sin, self.cos = math.sin(camera.pitch), math.cos(camera.pitch)
        self.glows: list[tuple[float, float, float, tuple[int, int, int]]] = []

    def depth(self, x: float, z: float) -> float:
        """Distance along the optical axis."""
        return x * self.cos - (z - self.camera.camera_height) * self.sin

    def pixel(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Column and row of a point in front of the camera."""
        camera, up = self.camera, z - self.camera.camera_height
        depth = x * self.cos - up * self.sin
        return camera.cx - camera.fx * y / depth, camera.cy + camera.fy * (-x * self.sin - up * self.cos) / depth

    def haze(self, distance: float) -> float:
        """Share of the haze's colour at a distance in metres."""
        return 1 - math.exp(-self.light.haze * distance)

    def face(self, corners: Sequence[Point], sprite: Sprite, tone: np.ndarray, mirror: bool = False) -> None:
        """Draw a textured quadrilateral.

        Args:
            corners: bottom left, bottom right, top right and top left.
            sprite: fills it.
            tone: RGB light on it; 1 keeps the sprite's colours.
            mirror: whether the sprite is mirrored.
        """
        a, b, c, d = corners
        first, last = 0.0, 1.0
        lows = [min(self.depth(p[0], p[2]), self.depth(q[0], q[2])) for p, q in ((a, d), (b, c))]
        if max(lows) <= NEAR:
            return
        if min(lows) < NEAR:
            cut = (NEAR - lows[0]) / (lows[1] - lows[0])
            if lows[0] < NEAR:
                a, d, first = between(a, b, cut), between(d, c, cut), cut
            else:
                b, c, last = between(a, b, cut), between(d, c, cut), cut
        points = np.array([self.pixel(*p) for p in (a, b, c, d)], np.float32)
        low, high = points.min(0), points.max(0)
        left, top = max(0, math.floor(low[0])), max(0, math.floor(low[1]))
        right, bottom = min(self.camera.width, math.ceil(high[0]) + 1), min(self.camera.height, math.ceil(high[1]) + 1)
        if left >= right or top >= bottom:
            return
        picture = sprite.levels[0]
        scale = max((high[0] - low[0]) / (last - first) / picture.shape[1], (high[1] - low[1]) / picture.shape[0])
        picture = sprite.at_scale(scale)
        height, width = picture.shape[:2]
        u0, u1 = first * width - 0.5, last * width - 0.5
        if mirror:
            u0, u1 = width - 1 - u0, width - 1 - u1
        source = np.array(((u0, height - 0.5), (u1, height - 0.5), (u1, -0.5), (u0, -0.5)), np.float32)
        try:
            warp = cv2.getPerspectiveTransform(source, points - np.array((left, top), np.float32))
        except cv2.error:
            return
        patch = cv2.warpPerspective(picture, warp, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        if sprite.leafy and scale > 1.1:
            patch = _more_leaves(patch, warp, picture.shape[1] / 700)
        haze = self.haze(math.hypot((a[0] + b[0]) / 2, (a[1] + b[1]) / 2))
        mix = np.zeros((4, 4), np.float32)
        mix[:3, :3] = np.diag(np.asarray(tone, np.float32) * (1 - haze))
        mix[:3, 3] = self.light.haze_colour * haze / 255
        mix[3, 3] = 1
        patch = cv2.transform(patch, mix)
        alpha = patch[..., 3]
        part = self.canvas[top:bottom, left:right]
        rest = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2BGR)
        cv2.add(cv2.multiply(part, rest, scale=1 / 255), patch[..., :3], dst=part)
        covered = self.covered[top:bottom, left:right]
        cv2.max(covered, alpha, dst=covered)

    def wall(
        self,
        a: tuple[float, float],
        b: tuple[float, float],
        low: float,
        high: float,
        sprite: Sprite,
        tone: np.ndarray,
        mirror: bool = False,
    ) -> None:
        """Draw an upright face over the ground points `a` to `b` (x, y), left to right as seen."""
        self.face(((*a, low), (*b, low), (*b, high), (*a, high)), sprite, tone, mirror)

    def billboard(
        self,
        x: float,
        y: float,
        low: float,
        high: float,
        width: float,
        sprite: Sprite,
        tone: np.ndarray,
        mirror: bool = False,
    ) -> None:
        """Draw an upright picture that faces the camera."""
        away = max(math.hypot(x, y), 1e-3)
        du, dv = -y / away * width / 2, x / away * width / 2
        self.wall((x + du, y + dv), (x - du, y - dv), low, high, sprite, tone, mirror)

    def polygon(self, points: Sequence[Point], colour: np.ndarray | None, distance: float | None = None) -> None:
        """Draw a flat polygon of one colour.

        Args:
            points: its corners.
            colour: RGB, already lit; None as in `fill`.
            distance: for the haze; None takes the nearest corner's depth.
        """
        depths = [self.depth(p[0], p[2]) for p in points]
        if max(depths) <= NEAR:
            return
        if min(depths) < NEAR:
            kept: list[Point] = []
            for i, (p, depth) in enumerate(zip(points, depths, strict=True)):
                q, before = points[i - 1], depths[i - 1]
                if (depth > NEAR) != (before > NEAR):
                    cut = (NEAR + 1e-4 - before) / (depth - before)
                    kept.append(between(q, p, cut))
                if depth > NEAR:
                    kept.append(p)
            points = kept
        if colour is not None:
            haze = self.haze(min(depths) if distance is None else distance)
            colour = colour * (1 - haze) + self.light.haze_colour * haze
        self.fill([self.pixel(*p) for p in points], colour)

    def fill(self, pixels: Sequence[tuple[float, float]], colour: np.ndarray | None) -> None:
        """Fill a polygon given in pixels; with colour None only in `covered`, antialiased."""
        corners = np.array(pixels, np.float64)
        if not len(corners) or np.abs(corners).max() > 1e6:
            return
        outline = [np.round(corners * 8).astype(np.int32)]
        if colour is None:
            cv2.fillPoly(self.covered, outline, 255, cv2.LINE_AA, 3)
            return
        cv2.fillPoly(self.canvas, outline, [min(255.0, max(0.0, float(c))) for c in colour], cv2.LINE_AA, 3)
        cv2.fillPoly(self.covered, outline, 255, cv2.LINE_8, 3)

    def pole(self, x: float, y: float, low: float, high: float, radius: float, colour: np.ndarray) -> None:
        """Draw a thin upright cylinder."""
        if self.depth(x, low) < NEAR:
            return
        (u0, v0), (u1, v1) = self.pixel(x, y, low), self.pixel(x, y, high)
        half = max(0.45, radius * self.camera.fx / x)
        haze = self.haze(math.hypot(x, y))
        for share, tone in ((1.0, 0.75), (0.45, 1.1)):
            shade = colour * tone * (1 - haze) + self.light.haze_colour * haze
            w = half * share
            self.fill(((u0 - w, v0), (u0 + w, v0), (u1 + w, v1), (u1 - w, v1)), shade)
            if half < 1.2:
                break

    def glow(self, x: float, y: float, z: float, colour: tuple[int, int, int], size: float) -> None:
        """Remember a lamp's halo of `size` metres; `shine` draws all of them last."""
        if self.depth(x, z) > NEAR:
            self.glows.append((*self.pixel(x, y, z), max(2.0, size * self.camera.fx / x), colour))

    def shine(self) -> None:
        """Draw the halos of all lamps."""
        for u, v, size, colour in self.glows:
            if self.light.beam:  # in the dark, lamps dazzle: a wide, faint veil around the halo
                self._halo(u, v, min(3.2 * size, 260), 0.4, colour)
            self._halo(u, v, min(size, 160), 1.0, colour)

    def _halo(self, u: float, v: float, size: float, strength: float, colour: tuple[int, int, int]) -> None:
        """Add one lamp's light around a pixel, out to `size` pixels."""
        radius = int(size)
        left, top = int(u) - radius, int(v) - radius
        x0, y0 = max(0, left), max(0, top)
        x1, y1 = min(self.camera.width, left + 2 * radius + 1), min(self.camera.height, top + 2 * radius + 1)
        if x0 >= x1 or y0 >= y1:
            return
        du = (np.arange(x0, x1) - u) / radius
        dv = (np.arange(y0, y1) - v) / radius
        fall = np.clip(1 - np.hypot(du[None], dv[:, None]), 0, 1) ** 2.5
        part = self.canvas[y0:y1, x0:x1]
        cv2.add(part, (fall[..., None] * np.array(colour, np.float32) * strength).astype(np.uint8), dst=part)
