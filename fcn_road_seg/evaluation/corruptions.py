"""What weather, lenses, sensors and mountings do to a labelled frame, at three severities.

The idea is that of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, and so are the amounts of noise and JPEG. The others are stated in units of the scene, and
lengths in shares of the image's width, so that they mean the same for every camera. The road plane and the horizon
are those of KITTI's camera.
"""

import zlib
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from fcn_road_seg.evaluation.corrupted_frames import night
from fcn_road_seg.frames.sample import IGNORE, Sample

SEVERITIES = 1, 2, 3
FOCAL = 0.581  # focal length in widths of the image
HORIZON = 0.46  # row of the horizon in heights of the image
CAMERA_HEIGHT = 1.65  # metres
FAR = 100.0  # metres; how far away everything above the horizon is taken to be


def brightness(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """1.5, 2 or 3 times the light, clipped: overexposed."""
    light = (1.5, 2.0, 3.0)[severity - 1]
    return _bytes(image * np.float32(light ** (1 / 2.2)))


def darkness(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """A half, a quarter or an eighth of the light, with the noise that this brings."""
    return night(image, rng, (1 / 2, 1 / 4, 1 / 8)[severity - 1])


def fog(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Visibility of 200, 100 or 50 m (Koschmieder's law, 5 % contrast)."""
    return _bytes(_haze(image, (200.0, 100.0, 50.0)[severity - 1]))


def rain(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Streaks over 1, 2 or 4 % of the image, and a visibility of 600, 400 or 200 m."""
    height, width = image.shape[:2]
    length = max(3, round(width / 40))
    starts = (rng.random((height, width)) < (0.01, 0.02, 0.04)[severity - 1] / length).astype(np.float32)
    slope = rng.uniform(-0.3, 0.3)
    streaks = cv2.filter2D(starts, -1, _line(length, np.pi / 2 + slope) * length)
    streaks = cv2.GaussianBlur(np.minimum(streaks, 1), (0, 0), max(width / 1200, 0.3))[..., None]
    seen = _haze(image, (600.0, 400.0, 200.0)[severity - 1]) * 0.9
    return _bytes(seen + 0.6 * streaks * (220 - seen))


def defocus(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Out of focus: a disk with a radius of 1/300, 1/150 or 1/100 of the width."""
    radius = max(1, round(image.shape[1] * (1 / 300, 1 / 150, 1 / 100)[severity - 1]))
    across = np.arange(-radius, radius + 1)
    disk = (across[:, None] ** 2 + across**2 <= radius**2).astype(np.float32)
    return cv2.filter2D(image, -1, disk / disk.sum(), borderType=cv2.BORDER_REFLECT)


def motion(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """The camera turns or shakes while it exposes: smeared over 1/100, 1/50 or 1/25 of the width."""
    length = max(3, round(image.shape[1] * (1 / 100, 1 / 50, 1 / 25)[severity - 1]))
    return cv2.filter2D(image, -1, _line(length, rng.uniform(-0.5, 0.5)), borderType=cv2.BORDER_REFLECT)


def noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian, of standard deviation 0.08, 0.12 or 0.18 of the range."""
    return _bytes(image + 255 * rng.normal(0, (0.08, 0.12, 0.18)[severity - 1], image.shape).astype(np.float32))


def jpeg(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """JPEG of quality 25, 18 or 15."""
    return through_jpeg(image, (25, 18, 15)[severity - 1])


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """What is left of an RGB image, uint8 H x W x 3, that was stored as JPEG."""
    _, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def sun_glare(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """A low sun ahead, whose halo of 1/20, 1/10 or 1/6 of the width saturates, with a veil over the whole image."""
    height, width = image.shape[:2]
    halo = width * (1 / 20, 1 / 10, 1 / 6)[severity - 1]
    x = np.arange(width) - rng.uniform(0.2, 0.8) * width
    y = np.arange(height) - rng.uniform(0.0, HORIZON) * height
    veil = np.minimum(1, 1.5 / (1 + (x**2 + y[:, None] ** 2) / halo**2)).astype(np.float32)[..., None]
    return _bytes(image + veil * (np.float32((255, 250, 235)) - image))


def dirt(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Mud on the lens, out of focus, that covers 3, 8 or 15 % of the image."""
    height, width = image.shape[:2]
    field = cv2.resize(rng.random((9, 24), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    field += 0.3 * cv2.resize(rng.random((27, 72), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    edge = np.quantile(field[::4, ::4], 1 - (0.03, 0.08, 0.15)[severity - 1])
    cover = np.clip((field - edge) / 0.05 + 0.5, 0, 0.95)[..., None]
    return _bytes(image + cover * (np.float32((70, 60, 45)) - image))


def pitched(sample: Sample, severity: int, rng: np.random.Generator) -> Sample:
    """The camera looks 1, 2 or 4 degrees higher or lower."""
    height, width = sample.label.shape
    angle = np.radians((1, 2, 4)[severity - 1]) * rng.choice((-1, 1))
    focal = FOCAL * width
    x, y = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - HORIZON * height)
    depth = focal * np.cos(angle) - y * np.sin(angle)
    u = focal * x / depth + width / 2
    v = focal * (y * np.cos(angle) + focal * np.sin(angle)) / depth + HORIZON * height
    return _looked_up(sample, u, v)


def raised(sample: Sample, severity: int, rng: np.random.Generator) -> Sample:
    """The camera is 1.15, 1.3 or 1.6 times higher or lower above the road; exact for the road, which is a plane."""
    height, width = sample.label.shape
    factor = (1.15, 1.3, 1.6)[severity - 1] ** rng.choice((-1, 1))
    horizon = HORIZON * height
    u, v = np.meshgrid(np.arange(width), np.arange(height, dtype=np.float64))
    return _looked_up(sample, u, np.where(v > horizon, horizon + (v - horizon) / factor, v))


PHOTOMETRIC: dict[str, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "brightness": brightness,
    "darkness": darkness,
    "fog": fog,
    "rain": rain,
    "defocus blur": defocus,
    "motion blur": motion,
    "noise": noise,
    "JPEG": jpeg,
    "sun glare": sun_glare,
    "dirt": dirt,
}
"""uint8 H x W x 3 RGB, severity 1..3, random numbers -> the same of that size; labels stay."""
GEOMETRIC: dict[str, Callable[[Sample, int, np.random.Generator], Sample]] = {
    "camera pitch": pitched,
    "camera height": raised,
}
"""The label moves along; where the camera now sees what it did not, it is 255."""
KINDS = (*PHOTOMETRIC, *GEOMETRIC)


def corrupt(sample: Sample, kind: str, severity: int, seed: int = 0) -> Sample:
    """A labelled frame with one of `KINDS` done to it, at severity 1 to 3.

    The random numbers depend on seed, kind and the frame's name alone, so severities differ in strength only.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"{kind} {sample.name}".encode())])
    if kind in GEOMETRIC:
        return GEOMETRIC[kind](sample, severity, rng)
    return replace(sample, image=PHOTOMETRIC[kind](sample.image, severity, rng))


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def _haze(image: np.ndarray, visibility: float) -> np.ndarray:
    """What haze of a visibility in metres leaves of a scene that stands on the road plane; float32 0..255."""
    height, width = image.shape[:2]
    below = np.arange(height) - HORIZON * height
    distance = np.full(height, FAR)
    distance[below > 0] = np.minimum(FOCAL * width * CAMERA_HEIGHT / below[below > 0], FAR)
    clear = np.exp(np.log(0.05) * distance / visibility).astype(np.float32)[:, None, None]
    return image * clear + 215 * (1 - clear)


def _line(length: int, angle: float) -> np.ndarray:
    """A kernel that smears along a line of `length` pixels at `angle` radians against the rows; its sum is 1."""
    size = length | 1
    kernel = np.zeros((size, size), np.float32)
    reach = (length - 1) / 2 * np.array((np.cos(angle), np.sin(angle)))
    ends = [tuple(int(c) for c in np.round(size // 2 + sign * reach)) for sign in (-1, 1)]
    cv2.line(kernel, *ends, 1.0)
    return kernel / kernel.sum()


def _looked_up(sample: Sample, u: np.ndarray, v: np.ndarray) -> Sample:
    """Every pixel from column `u` and row `v`; the border's colour where the frame ends, without a label."""
    u, v = u.astype(np.float32), v.astype(np.float32)
    image = cv2.remap(sample.image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    label = cv2.remap(sample.label, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(IGNORE,))
    return Sample(image, label, sample.name)
