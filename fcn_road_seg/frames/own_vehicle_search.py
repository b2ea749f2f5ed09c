"""Finds the vehicle itself in the frames of its camera, by what does not move while the picture does.

A vehicle that touches the lower edge of the image has a silhouette. Below it, pixels change less from frame to frame
than the road just above; on it, the gradient stays the same for the whole drive. The silhouette is the path from the
left to the right edge with the largest sum of both, found by dynamic programming as in seam carving (Avidan, Shamir,
SIGGRAPH 2007), that may leave out columns in which no vehicle is in view.
"""

import cv2
import numpy as np

from fcn_road_seg.errors import UserError

LEAST_MOVING = 100
"""Frames in which the picture moves: in fewer, a lane that the vehicle follows looks as still as its bonnet."""

# When a picture moves. A car that stands in traffic stays below half of MOVED, one that drives is above it.
MOTION_WIDTH = 160
TEXTURE = 4.0
"""Gradient, grey values per pixel at MOTION_WIDTH, from which a pixel shows motion."""
CHANGE = 8.0
MOVED = 0.25
"""Share of the pixels with texture that must have changed by CHANGE grey values since the last frame taken."""

# What is still, at a width of WIDTH pixels.
WIDTH = 480
LARGEST_CHANGE = 40.0
"""Grey values; limits what a single event, such as a wiper, adds to the mean change."""
NOISE = 0.5, 1.0
"""Grey values of change, and squared grey values per pixel of gradient, below which everything is alike."""
TOP = 0.55
"""Share of the image's height, from above, in which no vehicle is looked for: a flat horizon looks still too."""
BAND = 0.1
"""Share of the image's height just above the silhouette, with which all below it is compared."""
STEP, STEP_ROWS = 1.2, 2
QUIETER = 0.6
"""Logarithm of the ratio by which the mean change below must be smaller than that in the band above, unless the
gradient is the same in nearly all frames."""
LEAST_SCORE = 0.5
LEAST_MEAN, LEAST_WIDTH = 0.5, 0.1
"""Mean score, and share of the image's width, of a stretch of the path without gaps that is kept."""
SLOPE, JUMP = 0.04, 1.0
"""What a step of the path of one pixel costs, and the most that any step costs."""
SPECK = 0.02
"""Share of the image's width: narrower gaps are filled, and narrower spikes cut off."""


class OwnVehicleSearch:
    """Takes the frames of a drive one after another, and proposes a mask.

    Attributes:
        frames: number of frames seen.
        moving: number of frames among them in which the picture had moved; only these count.
    """

    def __init__(self) -> None:
        self.frames = self.moving = 0
        self._shape: tuple[int, ...] = ()
        self._thumbnail: np.ndarray = np.empty(0, np.float32)
        self._last: np.ndarray = np.empty(0, np.float32)
        self._change: np.ndarray = np.empty(0, np.float32)  # sums over the moving frames, h x w
        self._gradient: np.ndarray = np.empty(0, np.float32)  # h x w x 2
        self._energy: np.ndarray = np.empty(0, np.float32)

    def add(self, frame: np.ndarray) -> bool:
        """Take the next frame, uint8 H x W x 3 RGB; returns whether the picture moved since the last that counted.

        Raises:
            UserError: it differs in size from the frames before.
        """
        if self._shape not in ((), frame.shape):
            raise UserError("the frames differ in size, but an own-vehicle mask is that of one camera")
        self._shape, self.frames = frame.shape, self.frames + 1
        thumbnail = _grey(frame, MOTION_WIDTH)
        if self.moving and not _moved(self._thumbnail, thumbnail):
            return False
        grey = _grey(frame, WIDTH)
        gradient = _gradient(grey)
        if self.moving:
            self._change += np.minimum(np.abs(grey - self._last), LARGEST_CHANGE)
            self._gradient += gradient
        else:
            self._change, self._gradient, self._energy = np.zeros_like(grey), gradient, np.zeros_like(grey)
        self._energy += (gradient**2).sum(-1)
        self._thumbnail, self._last, self.moving = thumbnail, grey, self.moving + 1
        return True

    def mask(self) -> np.ndarray:
        """The proposal: uint8 H x W of the frames' size, 255 = own vehicle, else 0; all 0 if there is none in view.

        Raises:
            UserError: the picture moves in too few frames.
        """
        if self.moving < LEAST_MOVING:
            raise UserError(
                f"the picture moves in {self.moving} of {self.frames} frames, but at least {LEAST_MOVING} are needed "
                "to see what does not: take a longer part of the drive"
            )
        change = np.log(self._change / (self.moving - 1) + NOISE[0])
        mean = self._gradient / self.moving
        still = (mean**2).sum(-1) / (self._energy / self.moving + NOISE[1])
        scores = _scores(change, still)
        rows = _strong(_path(scores), scores)
        mask = (np.arange(len(change))[:, None] >= rows).view(np.uint8) * np.uint8(255)
        size = round(SPECK * mask.shape[1]) | 1
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        for operation in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN):
            mask = cv2.morphologyEx(mask, operation, brush)
        height, width = self._shape[:2]
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        return (mask >= 128).view(np.uint8) * np.uint8(255)


def _grey(frame: np.ndarray, width: int) -> np.ndarray:
    """A smooth grey picture, float32 h x w, at most `width` pixels wide."""
    height, own_width = frame.shape[:2]
    size = min(width, own_width), max(1, round(height * min(1.0, width / own_width)))
    grey = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)


def _gradient(grey: np.ndarray) -> np.ndarray:
    """Grey values per pixel to the right and down, float32 h x w x 2."""
    return np.stack([cv2.Sobel(grey, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))], -1)


def _moved(before: np.ndarray, now: np.ndarray) -> bool:
    texture = np.linalg.norm(_gradient(before), axis=-1) > TEXTURE
    change = (now - before)[texture]
    return bool(change.size) and bool(np.mean(np.abs(change - np.median(change)) > CHANGE) >= MOVED)


def _scores(change: np.ndarray, still: np.ndarray) -> np.ndarray:
    """How much speaks for the vehicle beginning in a row of a column, float64 (h + 1) x w; row h: not in view, 0.

    Args:
        change: logarithm of the mean change from frame to frame, h x w.
        still: share of the gradient that is always the same, 0..1, h x w.
    """
    height, width = change.shape
    row = np.arange(height)
    near = cv2.boxFilter(np.pad(change, ((0, STEP_ROWS + 1), (0, 0)), "edge"), -1, (5, 3))
    step = np.clip(near[np.maximum(row - STEP_ROWS - 1, 0)] - near[row + STEP_ROWS], -1, STEP)
    still = cv2.dilate(still, np.ones((3, 1)))
    total = np.zeros((height + 1, width))
    np.cumsum(cv2.blur(change, (9, 1)), axis=0, out=total[1:])
    band = np.maximum(row - max(3, round(BAND * height)), 0)
    above = (total[row] - total[band]) / np.maximum(row - band, 1)[:, None]
    below = (total[-1] - total[row]) / (height - row)[:, None]
    demanded = QUIETER * (1 - np.clip(3 * still - 1.5, 0, 1))
    score = step + still / 2 - LEAST_SCORE + 2 * np.minimum(0, above - below - demanded)
    score[: round(TOP * height)] = score[height - 3 :] = -np.inf
    return np.concatenate([score, np.zeros((1, width))])


def _path(scores: np.ndarray) -> np.ndarray:
    """The row in each column of the path with the largest sum of scores, less the cost of its steps; intp w."""
    rows = np.arange(len(scores))
    ramp = SLOPE * rows
    best = [scores[:, 0]]
    for score in scores.T[1:]:
        down = np.maximum.accumulate(best[-1] + ramp) - ramp
        up = np.maximum.accumulate((best[-1] - ramp)[::-1])[::-1] + ramp
        best.append(score + np.maximum(np.maximum(down, up), best[-1].max() - JUMP))
    path = [int(best[-1].argmax())]
    for sums in best[-2::-1]:
        path.append(int((sums - np.minimum(SLOPE * np.abs(rows - path[-1]), JUMP)).argmax()))
    return np.array(path[::-1])


def _strong(path: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The path without its weak and its narrow stretches, where the vehicle is not in view."""
    nowhere = len(scores) - 1
    ends = np.flatnonzero(np.diff(np.r_[False, path < nowhere, False]))
    for start, end in ends.reshape(-1, 2):
        mean = scores[path[start:end], np.arange(start, end)].mean()
        if mean < LEAST_MEAN or end - start < LEAST_WIDTH * len(path):
            path[start:end] = nowhere
    return path
