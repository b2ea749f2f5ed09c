"""The latest pictures for the page, each drawn only while somebody looks at it. Does not import ROS."""

import time
from threading import Condition
from typing import NamedTuple

import cv2
import numpy as np

from fcn_road_seg.postprocess.overlay import AZURE
from fcn_road_seg.view.birds_eye import UNSEEN, birds_eye, legend_strip
from fcn_road_seg.view.figures import Figures
from fcn_road_seg.view.outputs import BOUNDARY, CAMERA, GRID, GROUND, MASK, OVERLAY, Sample, encode

LINGER = 3.0
"""Seconds after a request within which the next is expected; a browser that shows a picture sends them constantly."""
BIRDS_EYE = "birds_eye"
SHOWN = {CAMERA: (CAMERA,), MASK: (MASK,), OVERLAY: (OVERLAY,), BIRDS_EYE: GROUND}
"""The pictures, and the outputs that each is drawn from."""
BIRDS_EYE_HEIGHT, BIRDS_EYE_WIDTH = 800, 440
"""Pixels; the width is at least this, so that the legend fits."""
JPEG, PNG = "image/jpeg", "image/png"


class Picture(NamedTuple):
    """A picture, encoded."""

    media_type: str
    content: bytes


class LatestPicture:
    """Holds one picture; a new one replaces it. Thread-safe."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._picture: Picture | None = None
        self._number = 0
        self._put_at = 0.0
        self._last_request = -LINGER

    def put(self, picture: Picture) -> None:
        """Replace the picture."""
        with self._changed:
            self._picture = picture
            self._number += 1
            self._put_at = time.monotonic()
            self._changed.notify_all()

    def requested(self) -> bool:
        """Whether somebody is waiting for a picture or has received one recently."""
        with self._changed:
            return time.monotonic() - self._last_request < LINGER

    def wait_for_other(self, number: int, seconds: float) -> tuple[int, float, Picture] | None:
        """Wait for a picture with another number.

        Returns:
            Its number, its age in seconds and the picture; None after `seconds`.
        """
        with self._changed:
            if not self.requested():
                self._picture = None  # none was drawn since the last request
            self._last_request = time.monotonic()
            self._changed.wait_for(lambda: self._picture and self._number != number, seconds)
            if self._picture is None or self._number == number:
                return None
            return self._number, time.monotonic() - self._put_at, self._picture


class Pictures:
    """The pictures of the page; a `Viewer`.

    Attributes:
        latest: the latest picture of each name in `SHOWN`.
    """

    def __init__(self) -> None:
        self.latest = {name: LatestPicture() for name in SHOWN}
        self._ground: dict[str, Sample] = {}

    def wants(self, output: str) -> bool:
        """See `Viewer`."""
        return any(output in outputs and self.latest[name].requested() for name, outputs in SHOWN.items())

    def show(self, sample: Sample) -> None:
        """See `Viewer`."""
        if sample.output in GROUND:
            self._ground[sample.output] = sample
            if sample.output == BOUNDARY:  # the last of a frame
                self._show_birds_eye(sample.stamp)
        elif sample.output in self.latest and self.wants(sample.output):
            picture = _mask_picture(sample) if sample.output == MASK else Picture(JPEG, sample.jpeg)
            self.latest[sample.output].put(picture)

    def _show_birds_eye(self, stamp: int) -> None:
        messages = {name: sample.message for name, sample in self._ground.items() if sample.stamp == stamp}
        if GRID not in messages or not self.latest[BIRDS_EYE].requested():
            return
        info = messages[GRID].info
        width = max(BIRDS_EYE_WIDTH, round(BIRDS_EYE_HEIGHT * info.height / max(info.width, 1)))
        drawn = np.vstack([birds_eye(messages, width, BIRDS_EYE_HEIGHT), legend_strip(width)])
        self.latest[BIRDS_EYE].put(Picture(PNG, encode(drawn, ".png")))

    def show_latency(self, stamp: int, latency: float | None, figures: Figures) -> None:
        """See `Viewer`; the page asks for the figures."""

    def show_status(self, now: int, figures: Figures) -> None:
        """See `Viewer`; the page asks for the figures."""


def _mask_picture(sample: Sample) -> Picture:
    """A mask with the road in the overlay's colour."""
    road = sample.rgb[..., :1] > 0
    return Picture(
        PNG, encode(np.where(road, AZURE, UNSEEN).astype(np.uint8), ".png", (cv2.IMWRITE_PNG_COMPRESSION, 1))
    )
