"""Flicker: how much of a mask changes from frame to frame although the scene does not.

The previous mask is warped to the current frame by dense optical flow; pixels that then differ in class are flicker, as
in Varghese et al., "Unsupervised Temporal Consistency Metric for Video Segmentation in Highly-Automated Driving", CVPR
Workshops 2020. It needs no labels.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fcn_road_seg.datasets.drive import DriveFrame
from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation.inference_loop import Clean, Segment, segmented, unchanged
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.frames.sample import Samples
from fcn_road_seg.postprocess.temporal_filter import NOMINAL, TemporalFilter
from fcn_road_seg.postprocess.threshold import threshold_mask

if TYPE_CHECKING:
    from rich.table import Table

SAME_PICTURE = 4.0
"""Mean difference of two thumbnails, 0..255, up to which one image is a compressed copy of the other."""
SMOOTHINGS = (0.0, 0.6)
"""Settings of the temporal filter to compare: off, and the one that halves flicker."""
START = 10**9
"""The stamp of the first frame, nanoseconds."""


class MotionCompensation:
    """Where each pixel of a frame was in the previous frame, by DIS flow (Kroeger et al., ECCV 2016) at full size."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Match two frames, uint8 H x W x 3 RGB.

        Returns:
            float32 H x W x 2, column and row in `before` of each pixel of `now`; bool H x W, where these are reliable:
            inside the image, and the flow there leads back (Sundaram, Brox, Keutzer, ECCV 2010).
        """
        before, now = (np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in (before, now))
        back, forth = self._flow_between(now, before), self._flow_between(before, now)
        height, width = now.shape
        came_from = back + np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
        there = _looked_up(forth, came_from, cv2.INTER_LINEAR)
        allowed = 0.01 * ((back**2).sum(-1) + (there**2).sum(-1)) + 0.5
        column, row = came_from[..., 0], came_from[..., 1]
        inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
        return came_from, inside & (((back + there) ** 2).sum(-1) < allowed)

    def _flow_between(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return self._flow.calc(first, second, None)  # type: ignore[call-overload]  # the stub omits a None flow


def _looked_up(image: np.ndarray, places: np.ndarray, interpolation: int) -> np.ndarray:
    """An image at column and row of `places`, float32 H x W x 2."""
    return cv2.remap(image, places, None, interpolation)  # type: ignore[call-overload]  # the stub omits a None map2


def with_labels(frames: Iterable[DriveFrame], labelled: Samples) -> Iterator[DriveFrame]:
    """The frames of a drive, each with the label of the labelled frame that shows the same image, if there is one."""
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
    segment: Segment,
    frames: Iterable[DriveFrame],
    threshold: float,
    smoothings: Sequence[float] = SMOOTHINGS,
    period: float = NOMINAL,
    clean: Clean = unchanged,
    own_vehicle: OwnVehicle | None = None,
) -> dict:
    """Segment a drive and count the pixels that change class between consecutive frames.

    Args:
        frames: of one camera, in order; see `datasets.drive.open_drive`.
        threshold: P(road), 0..1, from which a pixel is road.
        smoothings: settings of the temporal filter to compare; 0.0 is off.
        period: seconds from frame to frame.
        clean: applied to P(road) after the filter.
        own_vehicle: of which the filter takes no past; None if it is not in view.

    Returns:
        {"frames", "threshold", "counted", "truth", "smoothing"}. "counted": the share of the pixels with a reliable
        flow. "truth": the flicker of the true masks, which is the error of the measurement; None where the truth is
        unknown. "smoothing", one per setting: {"smoothing", "flicker": the share of the counted pixels that change
        class, "of_road": the same changes as a share of the counted road, "changed": the share of all pixels that
        differ in class from the previous frame without warping, "worst_frame": the index of the frame with the most
        flicker, "worst": its flicker, "max_f", "iou": of the frames whose truth is known, else None}.
        All are means over the pairs of frames, fractions 0..1; MaxF and IoU over the pixels of all frames.

    Raises:
        UserError: there are fewer than two frames, or their size changes.
    """
    motion, rows = MotionCompensation(), [_Row(smoothing, clean) for smoothing in smoothings]
    before: np.ndarray | None = None
    last: list[np.ndarray] = []
    count = 0
    shares, truths = [], []
    for (image, road), probability in segmented(segment, frames):
        if before is not None and before.shape != image.shape:
            raise UserError("the frames differ in size, but flicker is measured between frames of one camera")
        masks = [road] if road is not None else []
        hidden = None if own_vehicle is None else own_vehicle.hidden(*image.shape[:2])
        for row in rows:
            stamp = START + round(count * period * 1e9)
            masks.append(row.answer(probability, image, stamp, road, threshold, hidden))
        if before is not None:
            came_from, reliable = motion(before, image)
            shares.append(reliable.mean())
            if road is not None and len(last) == len(masks):
                truths.append(_flicker(last[0], road, came_from, reliable))
            for row, old, new in zip(rows, last[-len(rows) :], masks[-len(rows) :], strict=True):
                row.add(old, new, came_from, reliable)
        before, last, count = image, masks, count + 1
    if count < 2:
        raise UserError(f"flicker is measured between frames, but this drive has {count or 'none'}")
    return {
        "frames": count,
        "threshold": threshold,
        "counted": float(np.mean(shares)),
        "truth": float(np.mean(truths)) if truths else None,
        "smoothing": [row.figures(threshold) for row in rows],
    }


def _flicker(old: np.ndarray, new: np.ndarray, came_from: np.ndarray, reliable: np.ndarray) -> float:
    """The share of the reliable pixels that change class between two masks, H x W, 0 = not road."""
    moved = _looked_up(old.view(np.uint8), came_from, cv2.INTER_NEAREST)
    changed, counted = int((((moved != 0) != (new != 0)) & reliable).sum()), int(reliable.sum())
    return changed / max(counted, 1)


class _Row:
    """The figures of one filter setting, summed over a drive."""

    def __init__(self, smoothing: float, clean: Clean):
        self._smoothing, self._filter, self._clean = smoothing, TemporalFilter(), clean
        self._flicker: list[float] = []
        self._of_road: list[float] = []
        self._changed: list[float] = []
        self._counts = PixelCounts()

    def answer(
        self,
        probability: np.ndarray,
        image: np.ndarray,
        stamp: int,
        road: np.ndarray | None,
        threshold: float,
        hidden: np.ndarray | None,
    ) -> np.ndarray:
        probability = self._clean(self._filter(probability, image, self._smoothing, stamp, hidden=hidden))
        if road is not None:
            self._counts.add(probability, road.view(np.uint8))
        return threshold_mask(probability, threshold)

    def add(self, old: np.ndarray, new: np.ndarray, came_from: np.ndarray, reliable: np.ndarray) -> None:
        self._flicker.append(_flicker(old, new, came_from, reliable))
        road = int(((new != 0) & reliable).sum())
        if road:
            self._of_road.append(self._flicker[-1] * int(reliable.sum()) / road)
        self._changed.append(float(np.mean(old != new)))

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


def table(figures: dict) -> "Table":
    """The result of `measure_flicker` as a rich table for a terminal."""
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
