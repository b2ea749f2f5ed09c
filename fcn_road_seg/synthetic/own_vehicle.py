"""What a camera behind a windscreen sees of its own car: bonnet, dashboard, wiper, mirror, pillar and reflections."""

import math

import cv2
import numpy as np

from fcn_road_seg.synthetic.camera import Camera
from fcn_road_seg.synthetic.car_shapes import PAINTS
from fcn_road_seg.synthetic.textures import noise
from fcn_road_seg.synthetic.weather import Light

FLATTEST = 0.1
"""Metres down per metre forward: rays flatter than this pass over the bonnet."""
PERIOD, SWEEP, TURN = 2.4, 0.9, 2.3
"""Of the wiper in the rain: seconds from one start to the next and of its way up and down, and radians it turns."""
PLASTIC = np.array((34, 34, 36), np.float32)
"""RGB display colour of dashboards and trim in full light."""


class OwnVehicle:
    """One car around one camera. The car is rigid with the camera, so all its shapes are drawn once.

    Args:
        seed: chooses the car.
        camera: looks through its windscreen.

    Attributes:
        mask: bool H x W, True where the car hides what is outside; without the wiper, which moves in the rain.
        bonnet, dashboard, trim: float32 H x W, the share of each pixel that they cover.
        pivot: column and row about which the wiper turns, pixels.
        length: of the wiper, pixels; rest: its angle when it is parked, radians above the horizontal.
    """

    def __init__(self, seed: int | list[int], camera: Camera):
        rng = np.random.default_rng(seed)
        self.camera = camera
        self.shape = camera.height, camera.width
        # Bonnet and dashboard only show where rays go down: from row `top` on.
        self.top = int(np.clip(camera.project([[1.0, 0.0, camera.camera_height - FLATTEST]])[0, 1], 0, camera.height))
        rays = camera.rays()[self.top :]
        forward = np.maximum(rays[..., 0], 1e-3)
        self._across, self._down = rays[..., 1] / forward, -rays[..., 2] / forward  # per metre forward
        self._pixel = 1 / camera.fx
        self.bonnet, self.dashboard, self._dash_tone = (np.zeros(self.shape, np.float32) for _ in range(3))
        if self.top < camera.height:
            self._draw_bonnet(rng)
            self._draw_dashboard(rng)
        self._draw_trim(rng)
        self._draw_veil(rng)
        self._place_wiper(rng)
        self.mask = np.maximum(self.bonnet, np.maximum(self.dashboard, self.trim)) > 0

    def _draw_bonnet(self, rng: np.random.Generator) -> None:
        """Find the bonnet, a crowned surface that falls towards its rounded front, and what it reflects."""
        camera = self.camera
        rear, front = rng.uniform(0.85, 1.0), rng.uniform(1.7, 2.15)
        high = camera.camera_height - rng.uniform(0.26, 0.36)
        fall, crown, half = rng.uniform(0.04, 0.11), rng.uniform(0.04, 0.1), rng.uniform(0.72, 0.82)
        middle = rng.uniform(-0.12, 0.12)
        crease, edge = rng.uniform(0.3, 0.5), rng.uniform(0.002, 0.01)
        round_front = rng.uniform(0.2, 0.45)

        def height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            along = np.clip((x - rear) / (front - rear), 0, 1.2)
            side = (y - middle) / half
            fold = edge * np.exp(-(((np.abs(side) - crease) / 0.05) ** 2))
            return high - fall * along - 0.05 * along**4 - crown * np.minimum(side**2, 2.0) + fold

        down = np.maximum(self._down, 1e-3)
        x = np.full(self._down.shape, (rear + front) / 2, np.float32)
        for _ in range(8):
            x = 0.4 * x + 0.6 * np.clip((camera.camera_height - height(x, self._across * x)) / down, 0.3, 6)
        y = self._across * x
        side = (y - middle) / half
        foot = front - round_front * np.minimum(np.abs(side), 1.2) ** 2.5
        pixel = x**2 / max(0.2, camera.camera_height - high) * self._pixel
        beside = (1 - np.abs(side)) * half / (x * self._pixel)
        self.bonnet[self.top :] = np.clip((foot - x) / pixel + 0.5, 0, 1) * np.clip(beside + 0.5, 0, 1)

        step = 0.02
        slope_x = (height(x + step, y) - height(x - step, y)) / (2 * step)
        slope_y = (height(x, y + step) - height(x, y - step)) / (2 * step)
        size = np.sqrt(1 + slope_x**2 + slope_y**2)
        ray = np.stack([np.ones_like(x), self._across, -self._down], -1)
        ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
        normal = np.stack([-slope_x / size, -slope_y / size, 1 / size], -1)
        facing = (ray * normal).sum(-1)
        mirrored = ray - 2 * facing[..., None] * normal
        ahead = np.maximum(mirrored[..., 0], 0.05)
        # The scene is far away, so the mirrored ray's direction alone tells where it is in the picture.
        sin, cos = math.sin(camera.pitch), math.cos(camera.pitch)
        depth = np.maximum(ahead * cos - mirrored[..., 2] * sin, 0.05)
        u = camera.cx - camera.fx * mirrored[..., 1] / depth
        v = camera.cy - camera.fy * (ahead * sin + mirrored[..., 2] * cos) / depth
        self._mirror_u = np.clip(u, 0, camera.width - 1).astype(np.float32) / 4
        self._mirror_v = np.clip(v, 0, camera.height - 1).astype(np.float32) / 4
        self._shine = (0.05 + 0.95 * (1 - np.abs(facing)) ** 4).astype(np.float32) * rng.uniform(0.7, 1.0)
        seam = np.abs(np.abs(side) - 0.93) * half / (x * self._pixel)  # the gap to the wings
        cowl = np.clip((rear - x) / pixel + 0.5, 0, 1)  # black plastic below the windscreen
        paint = np.array(PAINTS[int(rng.integers(len(PAINTS)))], np.float32) * rng.uniform(0.7, 1.0)
        dark = np.clip(1.2 - seam, 0, 0.8)[..., None]
        self._paint = (paint * (1 - dark) * (1 - cowl[..., None]) + PLASTIC * 0.6 * cowl[..., None]).astype(np.float32)
        self._shine *= 1 - 0.85 * cowl

    def _draw_dashboard(self, rng: np.random.Generator) -> None:
        """Find the dashboard's top, which ends in a curve at the foot of the windscreen."""
        end, below = rng.uniform(0.55, 0.8), rng.uniform(0.2, 0.31)
        bulge, middle = rng.uniform(0.25, 0.7), rng.uniform(-0.25, 0.25)
        x = below / np.maximum(self._down, 1e-3)
        y = self._across * x
        limit = end * (1 - bulge * (y - middle) ** 2)
        pixel = x**2 / below * self._pixel
        self.dashboard[self.top :] = np.clip((limit - x) / pixel + 0.5, 0, 1)
        fade = np.clip((limit - x) / 0.3, 0, 1)  # darker towards the driver
        slots = np.exp(-(((limit - x - 0.05) / 0.012) ** 2)) * (np.sin(y * 160) > -0.4)  # of the demister
        seam = np.exp(-(((limit - x - 0.14) / 0.006) ** 2))
        grain = noise(rng, x.shape[0], x.shape[1], max(2.0, self.shape[1] / 300))
        tone = 1.35 - 0.8 * fade + 0.06 * grain - 0.55 * slots - 0.4 * seam
        self._dash_tone[self.top :] = tone

    def _draw_trim(self, rng: np.random.Generator) -> None:
        """Draw what is near the camera: the mirror or a sensor's housing at the top, a pillar at one side."""
        height, width = self.shape
        trim = np.zeros(self.shape, np.uint8)

        def fill(points: list[tuple[float, float]]) -> None:
            outline = np.array([(u * width * 16, v * height * 16) for u, v in points])
            cv2.fillPoly(trim, [np.round(outline).astype(np.int32)], 255, cv2.LINE_AA, 4)

        if rng.random() < 0.55:
            at, half, deep = rng.uniform(0.25, 0.75), rng.uniform(0.06, 0.13), rng.uniform(0.04, 0.12)
            turns = np.linspace(0, math.pi, 24)
            rim = [(at + half * math.cos(t), deep * math.sin(t) ** 0.45) for t in turns]
            fill([(at + half, -0.1), *rim, (at - half, -0.1)])
        if rng.random() < 0.35:
            side, top, foot = rng.integers(2), rng.uniform(0.03, 0.1), rng.uniform(-0.06, 0.02)
            bow = rng.uniform(0, 0.015)
            line = [(top + (foot - top) * t + bow * math.sin(math.pi * t), t) for t in np.linspace(0, 1.02, 12)]
            points = [(-0.1, 0.0), *line, (-0.1, 1.02)]
            fill([(1 - u, v) for u, v in points] if side else points)
        if rng.random() < 0.5:  # the dotted shade band of the glass
            band, pitch = rng.uniform(0.012, 0.03) * height, max(3.0, width / 160)
            for row in range(4):
                radius = pitch * (0.42 - 0.09 * row)
                for k in range(int(width / pitch) + 2):
                    centre = ((k + 0.5 * (row % 2)) * pitch * 16, (band + row * pitch * 0.8) * 16)
                    cv2.circle(trim, (round(centre[0]), round(centre[1])), round(radius * 16), 255, -1, cv2.LINE_AA, 4)
            trim[: int(band)] = 255
        soft = max(0.6, width / 900)  # it is too near to be in focus
        self.trim = cv2.GaussianBlur(trim, (0, 0), soft).astype(np.float32) / 255

    def _draw_veil(self, rng: np.random.Generator) -> None:
        """Draw what the inside of the glass reflects: the top of the dashboard, and sometimes a sheet of paper."""
        height, width = self.shape
        v = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        veil = np.clip((v - rng.uniform(0.2, 0.5)) / 0.6, 0, 1) * (0.7 + 0.3 * noise(rng, height, width, width / 4))
        for k in range(int(rng.integers(0, 4))):  # vents and seams
            row = rng.uniform(0.55, 0.95) * height
            bend = rng.uniform(-0.08, 0.08) * height
            u = np.linspace(0, width, 30)
            line = np.stack([u, row + bend * ((u / width - 0.5) * 2) ** 2], -1)
            line = np.round(line * 16).astype(np.int32)
            cv2.polylines(veil, [line], False, 0.1 + 0.5 * (k % 2), 2 + k, cv2.LINE_AA, 4)
        if rng.random() < 0.3:
            at = np.array((rng.uniform(0.2, 0.8) * width, rng.uniform(0.55, 0.8) * height))
            across, along = rng.uniform(0.05, 0.12) * width, rng.uniform(0.05, 0.1) * height
            skew = rng.uniform(-0.5, 0.5) * along
            corners = ((-across, -along), (across, -along), (across + skew, along), (-across + skew, along))
            sheet = np.array(corners) + at
            cv2.fillConvexPoly(veil, np.round(sheet).astype(np.int32), 1.6, cv2.LINE_AA)
        self._reflected = cv2.GaussianBlur(veil, (0, 0), width / 250) * rng.uniform(8, 26)

    def _place_wiper(self, rng: np.random.Generator) -> None:
        """Choose where the wiper turns: below the foot of the windscreen."""
        camera = self.camera
        slope = rng.uniform(0.36, 0.44)
        row = camera.project([[1.0, 0.0, camera.camera_height - slope]])[0, 1]
        self.pivot = camera.width * rng.uniform(0.25, 0.4), float(row)
        self.length = camera.width * rng.uniform(0.48, 0.56)
        self.rest = rng.uniform(0.03, 0.1)

    def _wiper(self, angle: float) -> np.ndarray:
        """Share of each pixel that the wiper at `angle` above the horizontal (radians) covers, float32 H x W."""
        (u, v), length, width = self.pivot, self.length, self.camera.width
        cover = np.zeros(self.shape, np.uint8)
        tip = u + length * math.cos(angle), v - length * math.sin(angle)
        for share, thick in ((0.0, 0.004), (0.15, 0.0065)):  # arm and blade
            start = u + length * share * math.cos(angle), v - length * share * math.sin(angle)
            line = np.round(np.array((start, tip)) * 16).astype(np.int32)
            cv2.polylines(cover, [line], False, 255, max(1, round(thick * width)), cv2.LINE_AA, 4)
        return cv2.GaussianBlur(cover, (0, 0), max(0.5, width / 1100)).astype(np.float32) / 255

    def draw_outside(self, canvas: np.ndarray, light: Light) -> None:
        """Draw the bonnet, with the scene mirrored in it.

        Args:
            canvas: uint8 H x W x 3 RGB, the finished scene; changed in place.
            light: of the picture.
        """
        rows = np.flatnonzero(self.bonnet.any(1))
        if not len(rows):
            return
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        inner = slice(part.start - self.top, part.stop - self.top)
        height, width = self.shape
        scene = cv2.resize(canvas, (max(2, width // 4), max(2, height // 4)), interpolation=cv2.INTER_AREA)
        mirrored = cv2.remap(
            cv2.GaussianBlur(scene, (0, 0), 1.2),
            self._mirror_u[inner],
            self._mirror_v[inner],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        shine = self._shine[inner][..., None]
        colour = self._paint[inner] * (light.full * 0.75) * (1 - shine) + shine * mirrored
        _lay(canvas[part], colour, self.bonnet[part])

    def draw_inside(self, canvas: np.ndarray, light: Light, seconds: float) -> np.ndarray:
        """Draw reflections in the glass, the wiper, and the dashboard and trim.

        Args:
            canvas: uint8 H x W x 3 RGB, changed in place.
            light: of the picture.
            seconds: time; the wiper moves in the rain.

        Returns:
            bool H x W, True where the own car hides what is outside.
        """
        full = light.full
        veil = np.clip(self._reflected[..., None] * full, 0, 255).astype(np.uint8)
        cv2.add(canvas, veil, dst=canvas)
        way = min(1.0, seconds % PERIOD / SWEEP) if light.rain else 0.0
        wiper = self._wiper(self.rest + TURN * (1 - abs(1 - 2 * way)))
        _lay(canvas, np.broadcast_to(PLASTIC * 0.5 * full + 1, canvas.shape), wiper)
        _lay(canvas, PLASTIC * full * 0.8 * self._dash_tone[..., None] + 2, self.dashboard)
        _lay(canvas, np.broadcast_to(PLASTIC * 0.45 * full + 2, canvas.shape), self.trim)
        return self.mask | (wiper > 0)


def _lay(canvas: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> None:
    """Lay `colour` (H x W x 3) over the uint8 canvas where `cover` (H x W, 0-1) says; in place."""
    rows, columns = np.flatnonzero(cover.any(1)), np.flatnonzero(cover.any(0))
    if not len(rows):
        return
    part = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    share, below = cover[part][..., None], canvas[part].astype(np.float32)
    canvas[part] = np.clip(below + (colour[part] - below) * share, 0, 255).astype(np.uint8)
