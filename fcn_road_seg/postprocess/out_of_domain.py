"""Frames the network was not made for: a cheap look at each frame and its answer, and a reason not to trust it.

No second network: light, contrast and sharpness of the frame itself, and how sure the answer is of itself. A network
that sees a road is in doubt at the road's edges only; upside down or indoors it is in doubt everywhere, or finds road
where the sky should be. The limits hold for a camera that looks ahead, with the horizon near the middle of the image,
and for a calibrated P(road). `python -m fcn_road_seg.cli.alarm_rates` measures them.
"""

from typing import NamedTuple

import cv2
import numpy as np

COLUMNS = 144  # a frame is looked at in about so many columns, every so manieth pixel of it
FINE_COLUMNS, FINE_ROWS = 288, 16  # ... and for sharpness in so many columns of so many rows, averaged along the row
DOUBTFUL = 51, 204  # P(road) x 255: 0.2 to 0.8
UPPER = 0.4  # share of the image's height in which road is rare

DARK = 80.0
FLAT = 25.0
BLURRED = 0.15
LEAST_ROAD = 0.02
STRANGE = 0.8


class Look(NamedTuple):
    """What is seen of a frame.

    Attributes:
        light: 0..255, which 95 % of the pixels' grey values stay below.
        contrast: standard deviation of the grey values, 0..127.
        sharpness: mean step from a pixel to the next, as a share of the one to the 16th next, of 288 in a row.
        road: share of the image, 0..1, with P(road) of at least 0.5.
        doubt: pixels with P(road) of 0.2 to 0.8, per road pixel.
        road_above: of the pixels with P(road) of at least 0.2, those in the upper 40 % of the image.
    """

    light: float
    contrast: float
    sharpness: float
    road: float
    doubt: float
    road_above: float

    @property
    def strangeness(self) -> float:
        """How little the answer looks like one to a road; ordinary frames stay below 0.8."""
        return self.doubt + min(5 * self.road_above, 1.0)


def look(frame: np.ndarray, probability: np.ndarray) -> Look:
    """A frame, uint8 H x W x 3 RGB, and its P(road) x 255, uint8 H x W."""
    height, width = probability.shape
    step = max(width // COLUMNS, 1)
    grey = cv2.cvtColor(np.ascontiguousarray(frame[::step, ::step]), cv2.COLOR_RGB2GRAY)
    p = np.ascontiguousarray(probability[::step, ::step])
    _, deviation = cv2.meanStdDev(grey)
    sure = max(0.01 * p.size, 1)
    road = np.count_nonzero(p >= 128)
    maybe = p >= DOUBTFUL[0]
    return Look(
        light=_percentile(grey, 0.95),
        contrast=float(deviation[0, 0]),
        sharpness=_sharpness(frame),
        road=road / p.size,
        doubt=np.count_nonzero(cv2.inRange(p, *DOUBTFUL)) / max(road, sure),
        road_above=np.count_nonzero(maybe[: round(UPPER * len(p))]) / max(np.count_nonzero(maybe), sure),
    )


def alarm(seen: Look) -> str:
    """Why this is no frame that the mask can be trusted on, in words; empty where nothing is wrong."""
    if seen.contrast < FLAT and seen.light >= DARK:
        return "the image is nearly of one colour: is the lens covered?"
    if seen.light < DARK:
        return "the image is dark: is it night, or is the lens covered?"
    if seen.sharpness < BLURRED:
        return "the image is blurred: is the lens dirty, covered or out of focus?"
    if seen.road < LEAST_ROAD:
        return "there is no road in the image"
    if seen.strangeness > STRANGE:
        return "the answer is in doubt nearly everywhere: does the camera hang upside down, or is this no road?"
    return ""


def _percentile(grey: np.ndarray, share: float) -> float:
    return float(np.searchsorted(np.bincount(grey.reshape(-1), minlength=256).cumsum(), share * grey.size))


def _sharpness(frame: np.ndarray) -> float:
    height, width = frame.shape[:2]
    rows = np.ascontiguousarray(frame[height // (2 * FINE_ROWS) :: max(height // FINE_ROWS, 1), :, 1])
    fine = cv2.resize(rows, (min(FINE_COLUMNS, width), len(rows)), interpolation=cv2.INTER_AREA).astype(np.float32)
    if fine.shape[1] <= 16:
        return 1.0  # too narrow to tell
    near, far = np.abs(fine[:, 1:] - fine[:, :-1]).mean(), np.abs(fine[:, 16:] - fine[:, :-16]).mean()
    return float(near / max(far, 0.5))
