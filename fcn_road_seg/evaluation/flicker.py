"""Flicker: how much of a mask changes from frame to frame although the scene does not.

The mask before is moved along with the picture by dense optical flow, and what then differs in class is flicker, as in
Varghese et al., "Unsupervised Temporal Consistency Metric for Video Segmentation in Highly-Automated Driving", CVPR
Workshops 2020. It needs no labels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np

from fcn_road_seg.datasets.drive import DriveFrame
from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.sample import Sample
from fcn_road_seg.postprocess.temporal_filter import NOMINAL, TemporalFilter
from fcn_road_seg.postprocess.threshold import threshold_mask

SAME_PICTURE = 4.0
"""Mean difference of two pictures' thumbnails, of 255, up to which one is a compressed copy of the other."""
SMOOTHINGS = (0.0, 0.6)
"""Settings of the temporal filter that are compared: none, and the one that halves flicker."""
START = 10**9
"""Nanoseconds, the stamp of the first frame."""


class MotionCompensation:
    """Where each pixel of a frame was in the frame before, by DIS flow (Kroeger et al., ECCV 2016) at full size."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Match two frames, uint8 H x W x 3 RGB.

        Returns:
            float32 H x W x 2, column and row in `before` of each pixel of `now`; bool H x W, where that can be relied
            on: inside the picture, and the flow there leads back (Sundaram, Brox, Keutzer, ECCV 2010).
        """
        before, now = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, now))
        back, forth = self._flow.calc(now, before, None), self._flow.calc(before, now, None)
        height, width = now.shape
        came_from = back + np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
        there = cv2.remap(forth, came_from, None, cv2.INTER_LINEAR)
        allowed = 0.01 * ((back**2).sum(-1) + (there**2).sum(-1)) + 0.5
        column, row = came_from[..., 0], came_from[..., 1]
        inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
        return came_from, inside & (((back + there) ** 2).sum(-1) < allowed)


def with_labels(frames: Iterable[DriveFrame], labelled: Sequence[Sample]) -> Iterator[DriveFrame]:
    """A drive whose frames have the label of the labelled frame that shows the same picture, where there is one."""
    known = [(_thumbnail(sample.image), sample.label) for sample in labelled]
    for frame in frames:
        here = _thumbnail(frame.image)
        differences = [np.abs(there - here).mean() for there, _ in known]
        nearest = int(np.argmin(differences))
        same = differences[nearest] < SAME_PICTURE and known[nearest][1].shape == frame.image.shape[:2]
        yield frame._replace(road=known[nearest][1]) if same else frame


def _thumbnail(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (64, 32), interpolation=cv2.INTER_AREA).astype(np.float32)


def measure_flicker(
    segment: Callable[[np.ndarray], np.ndarray],
    frames: Iterable[DriveFrame],
    threshold: float,
    smoothings: Sequence[float] = SMOOTHINGS,
    period: float = NOMINAL,
) -> dict:
    """Segment a drive and count the pixels that change class between consecutive frames.

    Args:
        segment: uint8 H x W x 3 RGB -> P(road) x 255, uint8 H x W.
        frames: of one camera, in order; see `demo.drive.open_drive`.
        threshold: P(road), 0..1, from which a pixel is road.
        smoothings: settings of the temporal filter to compare; 0.0 is no filter.
        period: seconds from frame to frame.

    Returns:
        {"frames", "threshold", "counted", "truth", "smoothing"}. "counted": the share of the pixels with a reliable
        flow. "truth": the flicker of the true masks, which is the error of the measurement; None where the truth is
        not known. "smoothing", one per setting: {"smoothing", "flicker": the share of the counted pixels that change
        class, "of_road": the same changes as a share of the counted road, "changed": the share of all pixels that
        differ in class from the frame before with nothing moved along, "worst_frame": the index of the frame
        with the most flicker, "worst": its flicker, "max_f", "iou": of the frames whose truth is known, else None}.
        All are means over the pairs of frames, fractions 0..1; MaxF and IoU over the pixels of all frames.

    Raises:
        UserError: there are fewer than two frames, or their size changes.
    """
    motion, before, last, count = MotionCompensation(), None, [], 0
    rows = [_Row(smoothing) for smoothing in smoothings]
    shares, truths = [], []
    for image, road in frames:
        if before is not None and before.shape != image.shape:
            raise UserError("the frames differ in size, but flicker is measured between frames of one camera")
        probability = segment(image)
        masks = [road] if road is not None else []
        for row in rows:
            masks.append(row.answer(probability, image, START + round(count * period * 1e9), road, threshold))
        if before is not None:
            came_from, reliable = motion(before, image)
            shares.append(reliable.mean())
            if road is not None and len(last) == len(masks):
                truths.append(_flicker(last[0], road, came_from, reliable))
            for row, old, new in zip(rows, last[-len(rows) :], masks[-len(rows) :], strict=True):
                row.add(old, new, came_from, reliable)
        before, last, count = image, masks, count + 1
    if count < 2:
        raise UserError(f"flicker is measured between frames, and of this drive there is {count or 'none'}")
    return {
        "frames": count,
        "threshold": threshold,
        "counted": float(np.mean(shares)),
        "truth": float(np.mean(truths)) if truths else None,
        "smoothing": [row.figures(threshold) for row in rows],
    }


def _flicker(old: np.ndarray, new: np.ndarray, came_from: np.ndarray, reliable: np.ndarray) -> float:
    """The share of the reliable pixels that change class between two masks, H x W, 0 = not road."""
    moved = cv2.remap(old.view(np.uint8), came_from, None, cv2.INTER_NEAREST)
    return np.count_nonzero(((moved != 0) != (new != 0)) & reliable) / max(np.count_nonzero(reliable), 1)


class _Row:
    """One setting of the filter, summed up over a drive."""

    def __init__(self, smoothing: float):
        self._smoothing, self._filter = smoothing, TemporalFilter()
        self._flicker, self._of_road, self._changed = [], [], []
        self._counts = PixelCounts()

    def answer(
        self, probability: np.ndarray, image: np.ndarray, stamp: int, road: np.ndarray | None, threshold: float
    ) -> np.ndarray:
        probability = self._filter(probability, image, self._smoothing, stamp)
        if road is not None:
            self._counts.add(probability, road.view(np.uint8))
        return threshold_mask(probability, threshold)

    def add(self, old: np.ndarray, new: np.ndarray, came_from: np.ndarray, reliable: np.ndarray) -> None:
        self._flicker.append(_flicker(old, new, came_from, reliable))
        road = np.count_nonzero((new != 0) & reliable)
        if road:
            self._of_road.append(self._flicker[-1] * np.count_nonzero(reliable) / road)
        self._changed.append(np.mean(old != new))

    def figures(self, threshold: float) -> dict:
        known = self._counts.road.any() and self._counts.other.any()
        metrics = self._counts.metrics(threshold) if known else None
        worst = int(np.argmax(self._flicker))
        return {
            "smoothing": self._smoothing,
            "flicker": float(np.mean(self._flicker)),
            "of_road": float(np.mean(self._of_road)) if self._of_road else None,
            "changed": float(np.mean(self._changed)),
            "worst_frame": worst + 1,
            "worst": self._flicker[worst],
            "max_f": metrics and metrics.max_f,
            "iou": metrics and metrics.iou,
        }


def table(figures: dict):
    """What `measure_flicker` returns, as a rich table for a terminal."""
    from rich.table import Table

    title = f"{figures['frames']} frames, {100 * figures['counted']:.0f} % of the pixels counted"
    if figures["truth"] is not None:
        title += f", flicker of the true masks {100 * figures['truth']:.3f} %"
    rows = Table("smoothing", "flicker %", "of road %", "changed %", "MaxF %", "IoU %", "worst frame", title=title)
    for row in figures["smoothing"]:
        cells = [row[key] for key in ("flicker", "of_road", "changed", "max_f", "iou")]
        cells = ["-" if cell is None else f"{100 * cell:.{3 if i < 3 else 2}f}" for i, cell in enumerate(cells)]
        rows.add_row(f"{row['smoothing']:g}", *cells, str(row["worst_frame"]))
    return rows
