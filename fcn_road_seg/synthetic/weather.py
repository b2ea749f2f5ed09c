"""Weather: light in sun and shade, the sky, and the sensor."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from fcn_road_seg.synthetic.camera import Camera
from fcn_road_seg.synthetic.textures import fractal, noise

TREE_LINE = 370.0  # metres; trees hide everything beyond
WEATHERS = ("sun", "overcast", "dusk", "night", "fog", "wet", "headlights", "rain", "rainy_night")


def _colour(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _rgb(r: float, g: float, b: float) -> Any:
    return field(default_factory=lambda: _colour(r, g, b))


@dataclass
class Light:
    """Everything that depends on the weather. Light multiplies display colours; a sunlit white wall gets about 1.

    Attributes:
        weather: one of `WEATHERS`.
        azimuth, elevation: of the sun in world axes, radians.
        ambient, sun: RGB light from the sky, and from the sun on a surface that faces it, float32 3.
        haze, haze_colour: extinction per metre, and the RGB colour (0-255) that things fade to.
        sky_low, sky_high: RGB sky colours (0-255) at the horizon and well above it.
        clouds: cloud cover, 0-1.
        wet: wetness of the ground, 0 dry to 1 mirror.
        headlights: whether it is dark enough for lamps.
        beam: strength of dipped headlamps, which are then nearly all the light there is; 0 is the softer light of
            "dusk" and "night".
        lamp_colour, street_colour: RGB of the headlamps' and the street lamps' light on the ground, float32 3.
        rain: drops on the glass in front of the camera, 0 none to 1 a downpour.
        gain, contrast, noise: of the sensor.
        seed: of the clouds.
    """

    weather: str
    azimuth: float = 0.8
    elevation: float = 0.7
    ambient: np.ndarray = _rgb(0.33, 0.36, 0.41)
    sun: np.ndarray = _rgb(0.69, 0.65, 0.58)
    haze: float = 0.0008
    haze_colour: np.ndarray = _rgb(205, 215, 225)
    sky_low: np.ndarray = _rgb(235, 246, 250)
    sky_high: np.ndarray = _rgb(60, 130, 215)
    clouds: float = 0.3
    wet: float = 0.0
    headlights: bool = False
    beam: float = 0.0
    lamp_colour: np.ndarray = _rgb(1.0, 0.94, 0.8)
    street_colour: np.ndarray = _rgb(1.0, 0.94, 0.8)
    rain: float = 0.0
    gain: float = 1.0
    contrast: float = 1.0
    noise: float = 2.0
    seed: int = 0

    @property
    def full(self) -> np.ndarray:
        """RGB light on open level ground, float32 3."""
        return self.ambient + self.sun


class Sunlight(NamedTuple):
    """Direct sunlight on one thing."""

    light: np.ndarray
    """RGB, float32 3."""
    direction: tuple[float, float, float]
    """Unit vector towards the sun in the ground frame."""


def make_light(rng: np.random.Generator, weather: str) -> Light:
    """Draw the light of a scene at random.

    Args:
        rng: the same state gives the same light.
        weather: one of `WEATHERS`.

    Raises:
        ValueError: the weather is unknown.
    """
    light = Light(
        weather,
        azimuth=rng.uniform(0, 2 * np.pi),
        elevation=rng.uniform(0.42, 1.0),
        noise=rng.uniform(1.0, 3.5),
        seed=int(rng.integers(1 << 30)),
    )
    light.gain, light.contrast = rng.uniform(1.0, 1.4), rng.uniform(0.95, 1.3)
    light.clouds = rng.uniform(0, 0.8)
    if weather == "sun":
        depth = rng.uniform(0.75, 1.15)
        light.ambient = light.ambient * depth
        light.sun = _colour(1.02, 1.0, 0.97) - light.ambient
        if rng.random() < 0.35:  # an overexposed sky, as in KITTI
            light.sky_high = _colour(200, 228, 250) if rng.random() < 0.5 else _colour(255, 255, 255)
            light.sky_low = _colour(255, 255, 255)
        else:
            light.sky_high = _colour(rng.uniform(40, 120), rng.uniform(110, 180), rng.uniform(200, 245))
    elif weather in ("overcast", "wet", "fog", "rain"):
        level = rng.uniform(0.66, 0.9)
        light.ambient = level * _colour(0.93, 0.93, 0.94)
        light.sun = level * _colour(0.07, 0.07, 0.06)
        tone = rng.uniform(185, 250)
        light.sky_low, light.sky_high = _colour(tone, tone + 2, tone + 4), _colour(tone - 30, tone - 26, tone - 18)
        light.haze_colour, light.haze = _colour(tone - 12, tone - 9, tone - 6), rng.uniform(0.001, 0.003)
        light.clouds = rng.uniform(0.3, 1)
        if weather == "fog":
            light.haze, light.sky_high, light.clouds = rng.uniform(0.012, 0.04), light.sky_low, 0.1
            light.haze_colour = light.sky_low
        if weather == "wet":
            light.wet = rng.uniform(0.5, 1.0)
        if weather == "rain":
            light.wet, light.rain, light.haze = rng.uniform(0.6, 1.0), rng.uniform(0.3, 1.0), rng.uniform(0.003, 0.008)
            light.ambient, light.sun = light.ambient * 0.8, light.sun * 0
    elif weather == "dusk":
        light.ambient, light.sun = _colour(0.34, 0.33, 0.42), _colour(0.05, 0.035, 0.03)
        light.sky_low, light.sky_high = _colour(226, 168, 128), _colour(70, 84, 130)
        light.haze_colour, light.haze, light.headlights = _colour(120, 108, 116), 0.003, True
        light.noise += 1.5
    elif weather == "night":
        level = rng.uniform(0.11, 0.22)
        light.ambient, light.sun = level * _colour(0.9, 0.95, 1.15), _colour(0, 0, 0)
        light.sky_low, light.sky_high = _colour(46, 42, 48), _colour(12, 14, 25)
        light.haze_colour, light.haze, light.headlights = _colour(18, 19, 26), 0.004, True
        light.noise += 3.5
    elif weather in ("headlights", "rainy_night"):
        _darken(rng, light)
        if weather == "rainy_night":
            light.wet, light.rain, light.haze = rng.uniform(0.6, 1.0), rng.uniform(0.3, 1.0), 0.008
    else:
        raise ValueError(f"unknown weather {weather!r}; choose from {', '.join(WEATHERS)}")
    return light


def _darken(rng: np.random.Generator, light: Light) -> None:
    """Make it a night in which one sees what lamps shine on."""
    glow = rng.uniform(0, 1)  # of a town on the sky
    light.ambient = (0.022 + 0.03 * glow) * _colour(1.0, 0.95, 1.0)
    light.sun = _colour(0, 0, 0)
    light.sky_low = _colour(10, 11, 16) + glow * _colour(34, 24, 14)
    light.sky_high = _colour(3, 4, 8) + glow * _colour(6, 5, 5)
    light.haze_colour, light.haze = light.sky_low * 0.7, 0.003
    light.headlights, light.beam = True, rng.uniform(0.75, 1.15)
    light.lamp_colour = _colour(1.0, 0.9, 0.72) if rng.random() < 0.5 else _colour(0.93, 0.98, 1.0)
    light.street_colour = _colour(1.0, 0.7, 0.36) if rng.random() < 0.6 else _colour(0.9, 0.96, 1.0)
    light.gain, light.contrast = rng.uniform(1.0, 1.2), rng.uniform(0.95, 1.12)
    light.noise += rng.uniform(0.5, 3.0)


@lru_cache(maxsize=4)
def _clouds(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cloud density around the sky, and heights of the far tree line."""
    rng = np.random.default_rng(seed)
    tile = fractal(rng, 256, 1024, (120, 60, 25, 10), (0.5, 0.4, 0.25, 0.12))
    ridge = fractal(rng, 8, 2048, (700, 300, 90, 20, 6), (0.5, 0.5, 0.45, 0.16, 0.12))[3]
    return tile.astype(np.float32), ridge


def draw_sky(canvas: np.ndarray, camera: Camera, light: Light, heading: float, hills: float) -> int:
    """Paint the sky and the far tree line down to a little below the horizon.

    Args:
        canvas: uint8 H x W x 3 RGB, changed in place.
        camera, light: of the picture.
        heading: of the camera in the world, radians.
        hills: height of the tree line, radians.

    Returns:
        The first row below the tree line's foot.
    """
    horizon = camera.horizon
    foot = int(np.clip(np.floor(camera.project([[TREE_LINE, 0, 0]])[0, 1]) + 1, 0, camera.height))
    if foot == 0:
        return 0
    tile, ridge = _clouds(light.seed)
    small = (max(2, -(-foot // 2)), max(2, -(-camera.width // 2)))
    rows = np.linspace(0, foot - 1, small[0], dtype=np.float32)
    azimuth = heading - np.arctan((np.linspace(0, camera.width - 1, small[1]) - camera.cx) / camera.fx)
    height = np.clip((horizon - rows) / camera.fy, 0, None)[:, None]
    share = np.clip(height / 0.3, 0, 1) ** 0.7
    sky = light.sky_low + (light.sky_high - light.sky_low) * share[..., None]
    u = np.broadcast_to((azimuth * 1024 / (2 * np.pi) * 2 % 1024).astype(np.float32), small)
    v = np.broadcast_to((180 / (1 + 6 * height) % 256).astype(np.float32), small)
    clouds = cv2.remap(
        tile, np.ascontiguousarray(u), np.ascontiguousarray(v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    cover = np.clip((clouds + light.clouds * 1.1 - 0.75) * 2.2, 0, 0.9)[..., None] * (light.ambient.mean() > 0.2)
    bright = light.sky_low if light.weather in ("sun", "dusk") else light.sky_low * 0.86
    sky = sky + (bright - sky) * cover
    glare = np.cos(azimuth - light.azimuth) * (light.weather == "sun")
    sky += (np.clip(glare, 0, 1) ** 3 * 45)[None, :, None].astype(np.float32)
    canvas[:foot] = cv2.resize(np.clip(sky, 0, 255).astype(np.uint8), (camera.width, foot))

    # The far tree line turns with the camera and never moves closer.
    columns = np.arange(camera.width)
    azimuth = heading - np.arctan((columns - camera.cx) / camera.fx)
    profile = np.interp(azimuth / (2 * np.pi) * 2048 % 2048, np.arange(2048), ridge)
    top = horizon - camera.fy * np.clip(hills * (1 + 0.8 * profile), 0.002, None)
    cover = np.clip(np.arange(foot)[:, None] - top + 0.5, 0, 1)[..., None].astype(np.float32)
    first = int(max(0, np.floor(top.min()) - 1))
    if first < foot:
        fade = 1 - np.exp(-light.haze * 420) * 0.9
        shade = 1 + 0.35 * noise(np.random.default_rng(7), foot, camera.width, 3)[..., None]
        colour = np.array((44, 56, 36), np.float32) * light.full * shade * (1 - fade) + light.haze_colour * fade
        part = canvas[first:foot]
        part[:] = np.clip(part + (colour[first:] - part) * cover[first:], 0, 255)
    return foot


@lru_cache(maxsize=2)
def _grain() -> np.ndarray:
    return np.random.default_rng(5).normal(0, 64, (1024, 2048)).clip(-127, 127).astype(np.int8)


@lru_cache(maxsize=4)
def _vignette(width: int, height: int) -> np.ndarray:
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    radius = np.hypot((u - width / 2) / width, (v - height / 2) / width)
    return np.repeat((255 * (1 - 0.55 * radius**2))[..., None], 3, -1).astype(np.uint8)


def expose(canvas: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Apply lens blur, vignetting, the tone curve and sensor noise.

    Args:
        canvas: uint8 H x W x 3 RGB.
        light: its `gain`, `contrast` and `noise` are the sensor's.
        rng: of the noise.

    Returns:
        uint8 H x W x 3 RGB.
    """
    height, width = canvas.shape[:2]
    canvas = cv2.GaussianBlur(canvas, (3, 3), 0.55)
    canvas = cv2.multiply(canvas, _vignette(width, height), scale=1 / 255)
    x = np.arange(256) / 255 * light.gain
    curve = np.clip(0.45 + (x - 0.45) * light.contrast, 0, None)
    curve = np.where(x < 0.45, 0.45 * (np.clip(x, 0, 1) / 0.45) ** light.contrast, curve)
    canvas = cv2.LUT(canvas, np.clip(curve * 255, 0, 255).astype(np.uint8))
    grain = _grain()
    rows, columns = -(-height // 512), -(-width // 1024)
    top, left = rng.integers(0, 512), rng.integers(0, 1024)
    tiles = np.tile(grain[top : top + 512, left : left + 1024], (rows, columns))[:height, :width]
    scaled = cv2.convertScaleAbs(tiles.astype(np.int16) + 128, alpha=light.noise / 64)
    offset = round(128 * light.noise / 64)
    noisy = cv2.add(canvas, cv2.merge([scaled] * 3))
    return np.maximum(noisy, offset) - np.uint8(offset)
