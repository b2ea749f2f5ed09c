"""An exponential average of P(road) over past frames, which reduces flicker without delay."""

from typing import NamedTuple

import cv2
import numpy as np

NOMINAL = 0.1
"""The period in seconds that `smoothing` refers to, and that is assumed between frames without stamps."""
JUMP = 1.0
"""Seconds between two frames from which the average starts again."""
WIDTH = 414
"""Width in pixels of the small picture in which frames are matched and averaged: a third of KITTI's."""
SMALLEST = 32
"""Smallest height and width in pixels that are averaged: OpenCV's DIS may crash on smaller pictures."""


class _Past(NamedTuple):
    """The previous frame."""

    source: tuple[int, int, str]
    """Width, height, camera."""
    stamp: int
    grey: np.ndarray
    """Small grey picture, uint8 h x w."""
    average: np.ndarray
    """Small average of P(road) x 255, float32 h x w; NaN on the vehicle itself."""


class TemporalFilter:
    """Averages P(road) over past frames, moved along with the picture and weighted less the older they are.

    The motion is dense optical flow between two small pictures (DIS: Kroeger, Timofte, Dai, Van Gool, ECCV 2016), so
    neither odometry nor calibration is needed. Only the difference between the average and P is computed in the small
    picture and then enlarged, so the edges of the mask stay sharp.
    """

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._pixels = np.empty((0, 0, 2), np.float32)
        self._enlarged: np.ndarray | None = None  # kept to reuse its memory
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._last: _Past | None = None

    def __call__(
        self,
        probability: np.ndarray,
        image: np.ndarray,
        smoothing: float,
        stamp: int = 0,
        camera: str = "",
        hidden: np.ndarray | None = None,
    ) -> np.ndarray:
        """Average the probability of a new frame with the past.

        The average starts again with `probability` if the size or the camera changes, or if the stamp stays the same,
        goes back (a bag that loops) or jumps by a second or more.

        Args:
            probability: P(road) x 255, uint8 H x W.
            image: the frame, uint8 H x W x 3 RGB.
            smoothing: 0..1, the weight of the past after 0.1 s: smoothing ** (seconds / 0.1), so that the mask
                follows the world equally fast at any rate; 0 returns `probability` itself and forgets the past.
            stamp: nanoseconds; 0 for none.
            camera: identifies the camera, for example by its frame_id.
            hidden: uint8 H x W, 255 where the vehicle itself is in view, of which no past is taken, else 0; None if it
                is not.

        Returns:
            P(road) x 255, uint8 H x W.
        """
        if not smoothing:
            self.reset()
            return probability
        height, width = probability.shape
        small = min(width, WIDTH), round(height * min(1, WIDTH / width))
        if min(small) < SMALLEST:
            return probability
        grey = cv2.cvtColor(cv2.resize(image, small), cv2.COLOR_RGB2GRAY)
        average = cv2.resize(probability, small).astype(np.float32)
        if hidden is not None:
            average[cv2.resize(hidden, small) > 0] = np.nan
        last, self._last = self._last, _Past((width, height, camera), stamp, grey, average)
        if last is None or last.source != self._last.source:
            return probability
        seconds = (stamp - last.stamp) / 1e9 if stamp or last.stamp else NOMINAL
        if not 0 < seconds < JUMP:
            return probability
        correction = self._correction(average, grey, last, smoothing ** (seconds / NOMINAL))
        cv2.add(average, correction, dst=average)
        self._enlarged = cv2.resize(correction, (width, height), dst=self._enlarged)
        return cv2.add(probability, self._enlarged, dtype=cv2.CV_8U)

    def _correction(self, now: np.ndarray, grey: np.ndarray, last: _Past, weight: float) -> np.ndarray:
        """The change that the past makes, float32 h x w in units of P x 255."""
        height, width = now.shape
        if self._pixels.shape[:2] != now.shape:
            self._pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
        # OpenCV's stubs do not know that the flow and the second map may be None.
        origin = self._flow.calc(grey, last.grey, None) + self._pixels  # type: ignore[call-overload]
        # Where the flow leads out of the last picture, BORDER_TRANSPARENT keeps the pixel of the new frame.
        moved = now.copy()
        border = cv2.BORDER_TRANSPARENT
        cv2.remap(last.average, origin, None, cv2.INTER_LINEAR, moved, border)  # type: ignore[call-overload]
        correction = cv2.addWeighted(moved, weight, now, -weight, 0)
        cv2.patchNaNs(correction)  # no change where the past or the present is unknown
        return correction
