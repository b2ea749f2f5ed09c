"""An exponential average of the road probability over past frames: a mask that flickers less, and not a frame later."""

import cv2
import numpy as np

NOMINAL = 0.1
"""Seconds: the period that `smoothing` is stated for, and what counts as passed between frames without stamps."""
JUMP = 1.0
"""Seconds between two frames from which the earlier says nothing of the later."""
WIDTH = 414
"""Pixels of the small picture in which frames are matched and averaged: a third of KITTI's."""
SMALLEST = 32
"""Pixels: in a small picture that is lower or narrower OpenCV's DIS may crash, so no such frame is averaged."""


class TemporalFilter:
    """Averages P(road) with that of the frames before, moved along with the picture; the older, the less they count.

    The motion is dense optical flow between two small pictures (DIS: Kroeger, Timofte, Dai, Van Gool, ECCV 2016), so
    neither odometry nor calibration is needed. Only the difference between average and P is made in the small
    picture and then enlarged, so the edges of the mask stay as sharp as they are.
    """

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._pixels = np.empty((0, 0, 2), np.float32)
        self._enlarged: np.ndarray | None = None  # its memory is used again
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._last: tuple | None = None  # (frame's size, camera), stamp, small grey picture, small average

    def __call__(
        self, probability: np.ndarray, image: np.ndarray, smoothing: float, stamp: int = 0, camera: str = ""
    ) -> np.ndarray:
        """The averaged probability of the newest frame.

        It starts anew, with P as it is, where the size or the camera is another, or where the stamp stands still,
        goes back (a bag that loops) or leaps by a second or more.

        Args:
            probability: P(road) x 255, uint8 H x W.
            image: the frame, uint8 H x W x 3 RGB.
            smoothing: 0..1, the weight of the past after 0.1 s: smoothing ** (seconds / 0.1), so that the mask
                follows the world equally fast at any rate; 0 returns `probability` itself and forgets the past.
            stamp: nanoseconds; 0 for none.
            camera: who took it, such as the frame_id.

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
        source = ((width, height), camera)
        last, self._last = self._last, (source, stamp, grey, average)
        if last is None or last[0] != source:
            return probability
        seconds = (stamp - last[1]) / 1e9 if stamp or last[1] else NOMINAL
        if not 0 < seconds < JUMP:
            return probability
        correction = self._correction(average, grey, *last[2:], smoothing ** (seconds / NOMINAL))
        cv2.add(average, correction, dst=average)
        self._enlarged = cv2.resize(correction, (width, height), dst=self._enlarged)
        return cv2.add(probability, self._enlarged, dtype=cv2.CV_8U)

    def _correction(
        self, now: np.ndarray, grey: np.ndarray, last_grey: np.ndarray, past: np.ndarray, weight: float
    ) -> np.ndarray:
        """What the past changes, float32 h x w in units of P x 255."""
        height, width = now.shape
        if self._pixels.shape[:2] != now.shape:
            self._pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
        came_from = cv2.add(self._flow.calc(grey, last_grey, None), self._pixels)
        # Where the flow leads out of the last picture, BORDER_TRANSPARENT leaves a pixel as it is: without a past.
        moved = now.copy()
        cv2.remap(past, came_from, None, cv2.INTER_LINEAR, dst=moved, borderMode=cv2.BORDER_TRANSPARENT)
        return cv2.addWeighted(moved, weight, now, -weight, 0)
