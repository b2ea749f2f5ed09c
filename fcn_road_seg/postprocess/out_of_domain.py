"""Detects frames that the network was not trained for, and gives a reason not to trust their masks.

It needs no second network: it checks light, contrast and sharpness of the frame, and the certainty of P(road). A
network that sees a road is uncertain at the road's edges only; upside down or indoors it is uncertain everywhere, or
finds road where the sky should be. The limits hold for a camera that looks ahead, with the horizon near the middle of
the image, and for a calibrated P(road). `python -m fcn_road_seg.cli.alarm_rates` measures them.
"""

from typing import NamedTuple

import cv2
import numpy as np

COLUMNS = 144
"""A frame is sampled at every n-th pixel, so that about this many columns remain."""
FINE_COLUMNS, FINE_ROWS = 288, 16
"""For sharpness, this many rows are averaged along the row to this many columns."""
DOUBTFUL = 51, 204  # P(road) x 255: 0.2 to 0.8
UPPER = 0.4  # share of the image's height in which road is rare

# Limits of `Look` for an alarm.
DARK = 80.0
FLAT = 25.0
BLURRED = 0.15
MIN_ROAD = 0.02
STRANGE = 0.8


class Look(NamedTuple):
    """Statistics of a frame and its P(road).

    Attributes:
        light: 95th percentile of the grey values, 0..255.
        contrast: standard deviation of the grey values, 0..127.
        sharpness: mean difference of neighbouring pixels divided by that of pixels 16 apart, at 288 columns.
        road: share of the image with P(road) of at least 0.5, 0..1.
        doubt: pixels with P(road) from 0.2 to 0.8 per road pixel.
        road_above: share of the pixels with P(road) of at least 0.2 that are in the upper 40 % of the image, 0..1.
    """

    light: float
    contrast: float
    sharpness: float
    road: float
    doubt: float
    road_above: float

    @property
    def strangeness(self) -> float:
        """How little P(road) looks like that of a road; ordinary frames stay below 0.8."""
        return self.doubt + min(5 * self.road_above, 1.0)


def look(frame: np.ndarray, probability: np.ndarray) -> Look:
    """Compute the statistics of a frame.

    Args:
        frame: uint8 H x W x 3 RGB.
        probability: P(road) x 255, uint8 H x W.
    """
    step = max(probability.shape[1] // COLUMNS, 1)
    grey = cv2.cvtColor(np.ascontiguousarray(frame[::step, ::step]), cv2.COLOR_RGB2GRAY)
    p = np.ascontiguousarray(probability[::step, ::step])
    _, deviation = cv2.meanStdDev(grey)
    minimum = max(0.01 * p.size, 1.0)
    road = int(np.count_nonzero(p >= 128))
    maybe = p >= DOUBTFUL[0]
    maybe_count = int(np.count_nonzero(maybe))
    return Look(
        light=_percentile(grey, 0.95),
        contrast=float(deviation[0, 0]),
        sharpness=_sharpness(frame),
        road=road / p.size,
        doubt=np.count_nonzero((p >= DOUBTFUL[0]) & (p <= DOUBTFUL[1])) / max(road, minimum),
        road_above=np.count_nonzero(maybe[: round(UPPER * len(p))]) / max(maybe_count, minimum),
    )


def alarm(seen: Look) -> str:
    """A sentence on why the mask of this frame may be wrong; empty if nothing is unusual."""
    if seen.contrast < FLAT and seen.light >= DARK:
        return "the image is almost all one colour: is the lens covered?"
    if seen.light < DARK:
        return "the image is dark: is it night, or is the lens covered?"
    if seen.sharpness < BLURRED:
        return "the image is blurred: is the lens dirty, covered or out of focus?"
    if seen.road < MIN_ROAD:
        return "there is no road in the image"
    if seen.strangeness > STRANGE:
        return "the mask is in doubt almost everywhere: is the camera upside down, or is there no road?"
    return ""


def _percentile(grey: np.ndarray, share: float) -> float:
    return float(np.searchsorted(np.bincount(grey.reshape(-1), minlength=256).cumsum(), share * grey.size))


def _sharpness(frame: np.ndarray) -> float:
    height, width = frame.shape[:2]
    rows = np.ascontiguousarray(frame[height // (2 * FINE_ROWS) :: max(height // FINE_ROWS, 1), :, 1])
    fine = cv2.resize(rows, (min(FINE_COLUMNS, width), len(rows)), interpolation=cv2.INTER_AREA).astype(np.float32)
    if fine.shape[1] <= 16:
        return 1.0  # too narrow to measure
    near, far = np.abs(fine[:, 1:] - fine[:, :-1]).mean(), np.abs(fine[:, 16:] - fine[:, :-16]).mean()
    return float(near / max(far, 0.5))
