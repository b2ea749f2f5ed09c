"""Corruptions of a labelled frame by weather, lens, sensor and mounting, at three severities.

The idea and the amounts of noise and JPEG are those of Hendrycks and Dietterich, "Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations", ICLR 2019. The other amounts are in units of the scene, and lengths
are shares of the image's width, so that they mean the same for every camera. The road plane and the horizon are those
of KITTI's camera.
"""

import zlib
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from fcn_road_seg.evaluation.corrupted_frames import night
from fcn_road_seg.frames.image_file import decode_rgb
from fcn_road_seg.frames.sample import IGNORE, Sample

SEVERITIES = 1, 2, 3
FOCAL = 0.581  # focal length in widths of the image
HORIZON = 0.46  # row of the horizon in heights of the image
CAMERA_HEIGHT = 1.65  # metres
FAR = 100.0  # metres; the assumed distance of everything above the horizon


def brightness(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """1.5, 2 or 3 times the light, clipped: overexposed."""
    light = (1.5, 2.0, 3.0)[severity - 1]
    return _bytes(image * np.float32(light ** (1 / 2.2)))


def darkness(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """A half, a quarter or an eighth of the light, with the noise of so little light."""
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
    """The camera turns or shakes during the exposure: smeared over 1/100, 1/50 or 1/25 of the width."""
    length = max(3, round(image.shape[1] * (1 / 100, 1 / 50, 1 / 25)[severity - 1]))
    return cv2.filter2D(image, -1, _line(length, rng.uniform(-0.5, 0.5)), borderType=cv2.BORDER_REFLECT)


def noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise with a standard deviation of 0.08, 0.12 or 0.18 of the range."""
    return _bytes(image + 255 * rng.normal(0, (0.08, 0.12, 0.18)[severity - 1], image.shape).astype(np.float32))


def jpeg(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """JPEG compression of quality 25, 18 or 15."""
    return through_jpeg(image, (25, 18, 15)[severity - 1])


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """An RGB image, uint8 H x W x 3, after JPEG compression."""
    _, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return decode_rgb(coded.tobytes())


def sun_glare(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """A low sun ahead: a saturated halo of 1/20, 1/10 or 1/6 of the width, and a veil over the entire image."""
    height, width = image.shape[:2]
    halo = width * (1 / 20, 1 / 10, 1 / 6)[severity - 1]
    x = np.arange(width) - rng.uniform(0.2, 0.8) * width
    y = np.arange(height) - rng.uniform(0.0, HORIZON) * height
    veil = np.minimum(1, 1.5 / (1 + (x**2 + y[:, None] ** 2) / halo**2)).astype(np.float32)[..., None]
    return _bytes(image + veil * (np.array((255, 250, 235), np.float32) - image))


def dirt(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Mud on the lens, out of focus, over 3, 8 or 15 % of the image."""
    height, width = image.shape[:2]
    coarse, fine = (
        np.asarray(cv2.resize(rng.random(shape, np.float32), (width, height), interpolation=cv2.INTER_CUBIC))
        for shape in ((9, 24), (27, 72))
    )
    field = coarse + 0.3 * fine
    edge = np.quantile(field[::4, ::4], 1 - (0.03, 0.08, 0.15)[severity - 1])
    cover = np.clip((field - edge) / 0.05 + 0.5, 0, 0.95)[..., None]
    return _bytes(image + cover * (np.array((70, 60, 45), np.float32) - image))


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
"""uint8 H x W x 3 RGB, severity 1..3, random numbers -> uint8 H x W x 3 RGB; the label stays."""
GEOMETRIC: dict[str, Callable[[Sample, int, np.random.Generator], Sample]] = {
    "camera pitch": pitched,
    "camera height": raised,
}
"""Frame, severity 1..3, random numbers -> frame. The label moves too; it is 255 beyond the original frame."""
KINDS = (*PHOTOMETRIC, *GEOMETRIC)


def corrupt(sample: Sample, kind: str, severity: int, seed: int = 0) -> Sample:
    """Apply one of `KINDS` to a labelled frame, at severity 1 to 3.

    The random numbers depend on seed, kind and the frame's name alone, so severities differ in strength only.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"{kind} {sample.name}".encode())])
    if kind in GEOMETRIC:
        return GEOMETRIC[kind](sample, severity, rng)
    return replace(sample, image=PHOTOMETRIC[kind](sample.image, severity, rng))


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def _haze(image: np.ndarray, visibility: float) -> np.ndarray:
    """A scene on the road plane seen through haze with a visibility in metres; float32 0..255."""
    height, width = image.shape[:2]
    below = np.arange(height) - HORIZON * height
    distance = np.full(height, FAR)
    distance[below > 0] = np.minimum(FOCAL * width * CAMERA_HEIGHT / below[below > 0], FAR)
    clear = np.exp(np.log(0.05) * distance / visibility).astype(np.float32)[:, None, None]
    return image * clear + 215 * (1 - clear)


def _line(length: int, angle: float) -> np.ndarray:
    """A motion blur kernel: a line of `length` pixels at `angle` radians to the rows; its sum is 1."""
    size = length | 1
    kernel = np.zeros((size, size), np.float32)
    reach = (length - 1) / 2 * np.array((np.cos(angle), np.sin(angle)))
    start, end = ([int(c) for c in np.round(size // 2 + sign * reach)] for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return kernel / kernel.sum()


def _looked_up(sample: Sample, u: np.ndarray, v: np.ndarray) -> Sample:
    """The frame resampled at columns `u` and rows `v`; beyond its edges the border's colour, and no label."""
    u, v = u.astype(np.float32), v.astype(np.float32)
    image = cv2.remap(sample.image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    label = cv2.remap(sample.label, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(IGNORE,))
    return Sample(image, label, sample.name)
