"""Rain on the glass in front of a camera: drops that show the scene upside down, a wet film, the wiper's streaks."""

import math
from functools import lru_cache

import cv2
import numpy as np

from fcn_road_seg.synthetic.camera import Camera
from fcn_road_seg.synthetic.own_vehicle import PERIOD, SWEEP, TURN, OwnVehicle
from fcn_road_seg.synthetic.textures import noise

STAMP = 48
"""Pixels of a drop's picture."""
MEMORY = 5
"""Periods after which a drop that no wiper reaches has run off."""


@lru_cache(maxsize=1)
def _stamps() -> list[np.ndarray]:
    """Drops of several outlines, float32 STAMP x STAMP x 4: bend right and down (-1 to 1), cover, brightness."""
    rng = np.random.default_rng(11)
    stamps = []
    v, u = (np.mgrid[0:STAMP, 0:STAMP] - (STAMP - 1) / 2) / (STAMP / 2)
    angle = np.arctan2(v, u)
    for _ in range(10):
        rim = 0.84 + sum(rng.uniform(-0.1, 0.1) / k * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (1, 2, 3, 4))
        rim *= 1 - 0.1 * np.clip(v, 0, 1) * np.abs(u)  # heavier at the foot
        radius = np.hypot(u, v) / rim
        cover = np.clip((1 - radius) * 7, 0, 1)
        bend = 0.35 + 0.9 * radius**2
        tone = 1.08 - 0.5 * np.clip((radius - 0.62) / 0.38, 0, 1) ** 1.6
        stamps.append(np.stack([-u * bend, -v * bend, cover, tone], -1).astype(np.float32))
    return stamps


class RainOnGlass:
    """Drops on one camera's glass. They land all the time; the wiper takes them, or they run off.

    Args:
        seed: of the drops.
        camera: behind the glass. Without a windscreen the glass is its lens: drops are few and large, and stay longer.
        amount: of rain, 0-1.
        vehicle: whose wiper sweeps the glass.
    """

    def __init__(self, seed: int, camera: Camera, amount: float, vehicle: OwnVehicle | None):
        self.seed, self.camera, self.amount, self.vehicle = seed, camera, amount, vehicle

    def drops(self, seconds: float) -> np.ndarray:
        """The drops that are on the glass at a time: float64 N x 4, column, row, radius (pixels) and outline (0-1)."""
        width, height = self.camera.width, self.camera.height
        now = math.floor(seconds / PERIOD)
        kept = []
        for period in range(now - MEMORY, now + 1):
            rng = np.random.default_rng([self.seed, 6, period + MEMORY])
            count = round((300 if self.vehicle else 9) * (0.3 + self.amount))
            born = (period + rng.uniform(0, 1, count)) * PERIOD
            u, v = rng.uniform(0, width, count), rng.uniform(0, height, count)
            share = rng.uniform(0, 1, count)
            if self.vehicle:
                radius = width * (0.0016 + 0.0028 * share + 0.0085 * share**7)
            else:
                radius = width * (0.006 + 0.012 * share + 0.022 * share**4)
            there = (born <= seconds) & (born > seconds - MEMORY * PERIOD * rng.uniform(0.4, 1, count))
            if self.vehicle:
                there &= born > self._wiped(u, v, seconds)
            kept.append(np.stack([u, v, radius, rng.uniform(0, 1, count)], -1)[there])
        return np.concatenate(kept)

    def _wiped(self, u: np.ndarray, v: np.ndarray, seconds: float) -> np.ndarray:
        """When the wiper last passed columns and rows `u`, `v`, seconds; -inf where it does not reach."""
        vehicle = self.vehicle
        if vehicle is None:
            return np.full(np.shape(u), -np.inf)
        across, up = u - vehicle.pivot[0], vehicle.pivot[1] - v
        way = (np.arctan2(up, across) - vehicle.rest) / TURN
        away = np.hypot(across, up) / vehicle.length
        start = math.floor(seconds / PERIOD) * PERIOD
        last = np.full(np.shape(u), -np.inf)
        for passed in (start - PERIOD, start):
            for moment in (passed + SWEEP / 2 * way, passed + SWEEP * (1 - way / 2)):
                last = np.where(moment <= seconds, np.maximum(last, moment), last)
        return np.where((way > 0) & (way < 1) & (away > 0.15) & (away < 1), last, -np.inf)

    def draw(self, canvas: np.ndarray, seconds: float) -> None:
        """Draw the wet glass over a scene.

        Args:
            canvas: uint8 H x W x 3 RGB, changed in place.
            seconds: time.
        """
        height, width = canvas.shape[:2]
        small = cv2.resize(canvas, (max(2, width // 4), max(2, height // 4)), interpolation=cv2.INTER_AREA)
        blurred = cv2.GaussianBlur(small, (0, 0), max(0.8, width / 500))
        film = self._film(seconds)
        misted = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)
        canvas[:] = cv2.blendLinear(canvas, misted, 1 - film, film)

        # What each pixel under a drop shows: bend right and down, cover, brightness.
        bent: np.ndarray = np.zeros((height, width, 4), np.float32)
        stamps = _stamps()
        for u, v, radius, outline in self.drops(seconds):
            size = max(3, round(2 * radius))
            tall = max(3, round(2 * radius * (1 + 0.35 * (outline * 7 % 1))))
            stamp = cv2.resize(stamps[int(outline * len(stamps))], (size, tall), interpolation=cv2.INTER_AREA)
            left, top = round(u) - size // 2, round(v) - tall // 2
            x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + size, width), min(top + tall, height)
            if x0 >= x1 or y0 >= y1:
                continue
            part, stamp = bent[y0:y1, x0:x1], stamp[y0 - top : y1 - top, x0 - left : x1 - left]
            np.copyto(part, stamp, where=(stamp[..., 2] > part[..., 2])[..., None])
        cover = bent[..., 2]
        columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        # A drop is a wide-angle lens: it shows much of the scene.
        map_u = (columns + bent[..., 0] * np.float32(0.3 * width)) / 4
        map_v = (rows + bent[..., 1] * np.float32(0.42 * height)) / 4
        seen = cv2.remap(blurred, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        seen = cv2.multiply(seen, cv2.merge([bent[..., 3]] * 3), dtype=cv2.CV_8U)
        cover = cv2.GaussianBlur(cover, (0, 0), 0.6 if self.vehicle else width / 260)
        canvas[:] = cv2.blendLinear(canvas, seen, 1 - cover, cover)

    def _film(self, seconds: float) -> np.ndarray:
        """How much the wet film on the glass blurs each pixel, float32 H x W, 0-1."""
        width, height = self.camera.width, self.camera.height
        rng = np.random.default_rng([self.seed, 7])
        wide, tall = max(2, width // 4), max(2, height // 4)
        film = 0.3 + 0.35 * noise(rng, tall, wide, tall / 3) + 0.3 * noise(rng, tall, wide, tall / 14)
        film = np.clip(film, 0, 0.85) * self.amount
        if self.vehicle is None:
            return cv2.resize(0.4 * film, (width, height)).astype(np.float32)
        v, u = np.mgrid[0:tall, 0:wide] * 4.0 + 1.5
        wiped = self._wiped(u, v, seconds)
        since = np.clip((seconds - wiped) / PERIOD, 0, 1)
        across, up = u - self.vehicle.pivot[0], self.vehicle.pivot[1] - v
        ring = np.hypot(across, up) / self.vehicle.length
        grooves = noise(rng, 4, 512, 3)[1] + 0.8 * noise(rng, 4, 512, 17)[1]
        streaks = np.clip(np.interp(ring, np.linspace(0, 1, 512), grooves) - 0.35, 0, 1) * (0.85 - 0.6 * since)
        film = np.where(np.isfinite(wiped), film * 0.5 * since + streaks * (0.4 + 0.6 * self.amount), film)
        return cv2.resize(np.clip(film, 0, 0.9).astype(np.float32), (width, height))
