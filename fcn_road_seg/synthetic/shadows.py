"""Shadow maps of the ground around the camera, seen from above, in two resolutions (cascades)."""

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike

from fcn_road_seg.synthetic import foliage
from fcn_road_seg.synthetic.scene import Thing

SIZE = 640
CASCADES = ((1.0, 0.04), (0.0, 0.16))  # nearest x and metres per texel: 25 m finely, 100 m coarsely


def footprint(x: float, y: float, heading: float, length: float, width: float, share: float = 1.0) -> np.ndarray:
    """Corners of a box on the ground, float64 4 x 2: front left, front right, rear right, rear left."""
    cos, sin = math.cos(heading), math.sin(heading)
    corners = np.array(((0.5, 0.5), (0.5, -0.5), (-0.5, -0.5), (-0.5, 0.5))) * (length * share, width * share)
    return corners @ np.array(((cos, sin), (-sin, cos))) + (x, y)


class ShadowMaps:
    """How much of the sun the ground loses, and how much of the sky is hidden under cars.

    The maps lie in the ground frame; row 0 is the farthest, column 0 the leftmost.

    Args:
        sun_direction: radians from the camera's forward axis, counter-clockwise.
        elevation: of the sun above the horizon, radians.

    Attributes:
        sun, contact: a uint8 `SIZE` x `SIZE` map per cascade, 0 none to 255 all.
    """

    def __init__(self, sun_direction: float, elevation: float):
        self.sun: list[np.ndarray] = [np.zeros((SIZE, SIZE), np.uint8) for _ in CASCADES]
        self.contact: list[np.ndarray] = [np.zeros((SIZE, SIZE), np.uint8) for _ in CASCADES]
        reach = 1 / np.tan(elevation)
        self.cast = -reach * np.array((np.cos(sun_direction), np.sin(sun_direction)))
        self.stretch, self.direction = 1 / np.sin(elevation), sun_direction

    def _texels(self, points: np.ndarray, cascade: int) -> np.ndarray:
        near, texel = CASCADES[cascade]
        return np.stack([SIZE / 2 - points[..., 1] / texel, SIZE - (points[..., 0] - near) / texel], -1)

    def _fill(self, maps: list[np.ndarray], polygon: np.ndarray, value: int) -> None:
        for cascade, target in enumerate(maps):
            points = self._texels(polygon, cascade)
            if (points.max(0) < 0).any() or (points.min(0) > SIZE).any() or np.abs(points).max() > 20000:
                continue
            cv2.fillConvexPoly(target, np.int32(np.round(points * 16)), value, cv2.LINE_AA, 4)

    def block(self, footprint: np.ndarray, low: float, high: float, value: int = 255) -> None:
        """Add the shadow of an upright prism: `footprint` N x 2, from height `low` to `high`, metres."""
        points = np.concatenate([footprint + low * self.cast, footprint + high * self.cast]).astype(np.float32)
        self._fill(self.sun, cv2.convexHull(points)[:, 0], value)

    def crown(self, xy: tuple[float, float], height: float, radius: float, leaves: np.ndarray) -> None:
        """Add the dappled shadow of a tree's crown at `height`; `leaves`: uint8 128 x 128."""
        centre = np.asarray(xy) + height * self.cast
        along = np.array((np.cos(self.direction), np.sin(self.direction))) * self.stretch * radius
        across = np.array((-np.sin(self.direction), np.cos(self.direction))) * radius
        corners = np.stack([centre - along - across, centre - along + across, centre + along - across])
        source = np.array(((0, 0), (127, 0), (0, 127)), np.float32)
        for cascade, target in enumerate(self.sun):
            texels = self._texels(corners, cascade).astype(np.float32)
            box = np.concatenate([texels, texels[1:2] + texels[2:] - texels[:1]])
            left, top = np.maximum(np.floor(box.min(0)), 0).astype(int)
            right, bottom = np.minimum(np.ceil(box.max(0)), SIZE).astype(int)
            if left >= right or top >= bottom:
                continue
            warp = cv2.getAffineTransform(source, texels - np.array((left, top), np.float32))
            small = leaves if cascade == 0 else cv2.GaussianBlur(leaves, (0, 0), 1.5)
            patch = cv2.warpAffine(small, warp, (int(right - left), int(bottom - top)))
            part = target[top:bottom, left:right]
            np.maximum(part, patch, out=part)

    def under(self, footprint: np.ndarray, value: int = 225) -> None:
        """Darken the ground under a car: `footprint` N x 2, metres."""
        self._fill(self.contact, footprint, value)

    def soften(self) -> None:
        """Blur the edges of the shadows; call once, after drawing."""
        self.sun = [cv2.GaussianBlur(m, (3, 3), 0.8) for m in self.sun]
        self.contact = [cv2.GaussianBlur(m, (0, 0), sigma) for m, sigma in zip(self.contact, (3.5, 1.0), strict=False)]

    def shade_at(self, xy: ArrayLike) -> np.ndarray:
        """Share of the sun that ground points (N x 2, metres) lose: float32 N in [0, 1]."""
        cells = np.floor(self._texels(np.atleast_2d(xy), 1)).astype(int)
        inside = ((cells >= 0) & (cells < SIZE)).all(1)
        cells = np.clip(cells, 0, SIZE - 1)
        return np.where(inside, self.sun[1][cells[:, 1], cells[:, 0]] / 255.0, 0.0).astype(np.float32)

    def sample(self, maps: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Values of `self.sun` or `self.contact` at ground points: float32 in [0, 1], of the shape of `x`."""
        values = []
        for cascade in (0, 1):
            near, texel = CASCADES[cascade]
            u = np.float32(SIZE / 2 - 0.5) - y * np.float32(1 / texel)
            v = np.float32(SIZE - 0.5 + near / texel) - x * np.float32(1 / texel)
            values.append(cv2.remap(maps[cascade], u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))
            if cascade == 0:
                near_by = (u > 0) & (u < SIZE - 1) & (v > 0) & (v < SIZE - 1)
        return np.where(near_by, *values).astype(np.float32) * np.float32(1 / 255)


def cast(maps: ShadowMaps, thing: Thing, x: float, y: float, heading: float) -> None:
    """Draw the shadow of a thing at x, y (metres, ground frame), turned by `heading` radians."""
    if thing.kind == "tree":
        maps.block(footprint(x, y, 0, 2 * thing.trunk, 2 * thing.trunk), 0, thing.stem + 1)
        middle = thing.z + (thing.stem + thing.height) / 2
        radius = thing.width / 2
        maps.crown((x, y), middle, radius, foliage.dapple(int(thing.look) % 6))
        if thing.height - thing.stem > 1.4 * thing.width:
            maps.crown((x, y), middle + 0.3 * thing.height, radius * 0.8, foliage.dapple((int(thing.look) + 1) % 6))
    elif thing.kind in ("house", "garage", "wall", "hedge", "leafwall"):
        maps.block(footprint(x, y, heading, thing.length, thing.width), 0, thing.height)
        if thing.kind == "house" and thing.roof:
            maps.block(footprint(x, y, heading, thing.length, 0.3), thing.height, thing.height + thing.roof)
            maps.block(footprint(x, y, heading, thing.length, thing.width * 0.6), 0, thing.height + thing.roof * 0.4)
        if thing.kind == "leafwall":
            for k in range(3):
                u = (k - 1) * thing.length / 3
                at = (x + u * math.cos(heading), y + u * math.sin(heading))
                maps.crown(at, thing.height, thing.length / 4, foliage.dapple((int(thing.look) + k) % 6))
    elif thing.kind == "car":
        body = footprint(x, y, heading, thing.length, thing.width, 0.97)
        maps.block(body, 0.15, thing.height * 0.6)
        maps.block(
            footprint(
                x - 0.1 * thing.length * math.cos(heading),
                y - 0.1 * thing.length * math.sin(heading),
                heading,
                thing.length * 0.5,
                thing.width * 0.85,
            ),
            0.15,
            thing.height,
        )
        maps.under(body)
    elif thing.kind in ("person", "cyclist"):
        maps.block(footprint(x, y, 0, 0.3, 0.35), 0, thing.height)
    elif thing.kind in ("lamp", "sign", "post", "bollard"):
        maps.block(footprint(x, y, 0, 0.1, 0.1), 0, thing.height)
        if thing.kind == "sign":
            maps.block(footprint(x, y, 0, 0.04, 0.6), thing.height - 0.3, thing.height + 0.3)
    elif thing.kind in ("fence", "railing", "guardrail"):
        maps.block(footprint(x, y, heading, thing.length, 0.03), 0.4 * thing.height, thing.height, 130)
    elif thing.kind == "bin":
        maps.block(footprint(x, y, heading, 0.6, 0.55), 0, thing.height)
