"""Where a segmenter errs on labelled frames: in which scenes, how far ahead, and near which classes."""

from collections.abc import Sequence

import cv2
import numpy as np

from fcn_road_seg.evaluation.birds_eye import RESOLUTION, Z_RANGE, BirdsEyeView
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD, Sample
from fcn_road_seg.postprocess.threshold import threshold_level

BANDS = ((6, 10), (10, 20), (20, 46))
"""Metres ahead, on the road plane: rows of the bird's-eye view."""
BORDERS = (2, 5, 10, 20)
"""Pixels from the label's edge: the upper ends of all bands but the last."""
NEAR = 10
"""Pixels up to which something is near."""


class ErrorAnalysis:
    """The errors on labelled frames of one data set, summed.

    Args:
        threshold: P(road), 0..1, from which a pixel is road.
        class_names: names of the samples' finer classes, by id; empty if they have none.
    """

    def __init__(self, threshold: float, class_names: Sequence[str] = ()):
        self.threshold, self.class_names = threshold, class_names
        self.counts, self.birds_eye = PixelCounts(), PixelCounts()
        self.scenes: dict[str, tuple[list[str], PixelCounts]] = {}
        self.frames: list[dict] = []
        self._bands = [PixelCounts() for _ in BANDS]
        self._borders = np.zeros((len(BORDERS) + 1, 3), np.int64)  # pixels, false road, missed road
        self._classes = np.zeros((len(class_names), 4), np.int64)  # pixels, called road; near it: pixels, errors

    def add(
        self,
        sample: Sample,
        probability: np.ndarray,
        scene: str,
        view: BirdsEyeView | None = None,
    ) -> None:
        """Count a frame.

        Args:
            probability: P(road) x 255, uint8, of the frame's size.
            scene: name of the frame's scene.
            view: the frame's bird's-eye view; None if it has no calibration.
        """
        counts = PixelCounts()
        counts.add(probability, sample.label)
        self.counts.merge(counts)
        names, total = self.scenes.setdefault(scene, ([], PixelCounts()))
        names.append(sample.name)
        total.merge(counts)
        self.frames.append({"name": sample.name, "scene": scene, **rates(counts, self.threshold)})
        if view is not None:
            self._add_bands(view(probability), view(sample.label, outside=IGNORE))
        called = probability >= threshold_level(self.threshold)
        counted = sample.label != IGNORE
        wrong = counted & (called != (sample.label == ROAD))
        self._add_borders(sample.label, wrong, counted)
        if sample.classes is not None:
            self._add_classes(sample.classes, called, wrong, counted)

    def _add_bands(self, probability: np.ndarray, label: np.ndarray) -> None:
        self.birds_eye.add(probability, label)
        for counts, (near, far) in zip(self._bands, BANDS, strict=True):
            rows = slice(round((Z_RANGE[1] - far) / RESOLUTION), round((Z_RANGE[1] - near) / RESOLUTION))
            counts.add(probability[rows], label[rows])

    def _add_borders(self, label: np.ndarray, wrong: np.ndarray, counted: np.ndarray) -> None:
        other = np.where(label == ROAD, distance_to(label == NOT_ROAD), distance_to(label == ROAD))
        band = np.digitize(other, BORDERS, right=True)
        for column, pixels in enumerate((counted, wrong & (label == NOT_ROAD), wrong & (label == ROAD))):
            self._borders[:, column] += np.bincount(band[pixels], minlength=len(BORDERS) + 1)

    def _add_classes(self, classes: np.ndarray, called: np.ndarray, wrong: np.ndarray, counted: np.ndarray) -> None:
        for i in np.unique(classes[classes != IGNORE]):
            there = classes == i
            near = counted & (distance_to(there) <= NEAR)
            self._classes[i] += [there.sum(), (there & called).sum(), near.sum(), (near & wrong).sum()]

    def figures(self) -> dict:
        """All figures; fractions 0..1, None where undefined.

        Returns:
            {"frames", "threshold", "perspective", "bev" or None, "scenes", "bands", "borders", "classes",
            "per_frame"}: see `rates` for the metrics. "scenes": {"scene", "frames", metrics}. "bands": {"metres":
            [near, far], metrics, "errors": share of all errors in bird's-eye view}, empty without calibrations.
            "borders": {"pixels": [from, to] from the label's edge, "share": of all pixels, "error_rate", "errors":
            share of all errors, "false_road", "missed_road": the same apart}. "classes": {"class", "pixels",
            "called_road": share of its pixels, "false_road": share of all pixels wrongly called road that are of it,
            "near": share of all pixels within 10 of it, "errors_near": share of all errors there}.
            "per_frame": {"name", "scene", metrics}.
        """
        in_bands = [rates(c, self.threshold) for c in self._bands]
        band_errors = [_errors(c, self.threshold) for c in self._bands]
        edges = [0, *BORDERS, None]
        pixels, false, missed = self._borders.T
        wrong = false + missed
        borders = [
            {
                "pixels": [edges[i], edges[i + 1]],
                "share": share(pixels[i], pixels.sum()),
                "error_rate": share(wrong[i], pixels[i]),
                "errors": share(wrong[i], wrong.sum()),
                "false_road": share(false[i], wrong.sum()),
                "missed_road": share(missed[i], wrong.sum()),
            }
            for i in range(len(pixels))
        ]
        classes = [
            {
                "class": name,
                "pixels": int(row[0]),
                "called_road": share(row[1], row[0]),
                "false_road": None if name == "road" else share(row[1], false.sum()),
                "near": share(row[2], pixels.sum()),
                "errors_near": share(row[3], wrong.sum()),
            }
            for name, row in zip(self.class_names, self._classes, strict=True)
        ]
        seen = self.birds_eye.road.any()
        return {
            "frames": len(self.frames),
            "threshold": self.threshold,
            "perspective": rates(self.counts, self.threshold),
            "bev": rates(self.birds_eye, self.threshold) if seen else None,
            "scenes": [
                {"scene": scene, "frames": len(names), **rates(counts, self.threshold)}
                for scene, (names, counts) in self.scenes.items()
            ],
            "bands": [
                {"metres": list(band), **row, "errors": share(errors, sum(band_errors))}
                for band, row, errors in zip(BANDS, in_bands, band_errors, strict=True)
            ]
            if seen
            else [],
            "borders": borders,
            "classes": classes,
            "per_frame": self.frames,
        }


def rates(counts: PixelCounts, threshold: float) -> dict[str, float | None]:
    """{"max_f": at its own best threshold, "precision", "recall", "iou": at `threshold`}; None where undefined."""
    level = threshold_level(threshold)
    hits, called, road = counts.road[level:].sum(), (counts.road + counts.other)[level:].sum(), counts.road.sum()
    defined = counts.road.any() and counts.other.any()
    return {
        "max_f": counts.metrics(threshold).max_f if defined else None,
        "precision": share(hits, called),
        "recall": share(hits, road),
        "iou": counts.iou(threshold),
    }


def _errors(counts: PixelCounts, threshold: float) -> int:
    level = threshold_level(threshold)
    return int(counts.other[level:].sum() + counts.road[:level].sum())


def share(part: float, whole: float) -> float | None:
    """A fraction, 0..1; None of nothing."""
    return float(part / whole) if whole else None


def distance_to(there: np.ndarray) -> np.ndarray:
    """Distance in pixels to the nearest pixel of `there`, bool H x W -> float32 H x W; infinite if it is empty."""
    if not there.any():
        return np.full(there.shape, np.float32(np.inf))
    return cv2.distanceTransform((~there).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
