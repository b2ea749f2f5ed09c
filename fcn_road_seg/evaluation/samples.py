"""Pixel metrics of a segmenter on any labelled frames."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from fcn_road_seg.datasets.sample import ROAD, Sample
from fcn_road_seg.evaluation.calibration import expected_calibration_error
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.mask import threshold_level


def evaluate_samples(
    segment: Callable[[np.ndarray], np.ndarray],
    dataset: Sequence[Sample],
    threshold: float,
    track: Callable[[Iterable], Iterable] = iter,
) -> dict[str, float]:
    """Run every frame and count its labelled pixels at the frame's own size.

    Args:
        segment: uint8 H x W x 3 RGB -> P(road) x 255, uint8 H x W.
        threshold: P(road), 0..1, at which the weights call a pixel road.
        track: wraps the frames' indices, for a progress bar.

    Returns:
        {"frames", "max_f", "threshold" (of max_f), "average_precision", "iou", "precision", "recall", "ece"}; from
        "iou" on at the weights' threshold, all in 0..1.
    """
    counts = PixelCounts()
    for i in track(range(len(dataset))):
        sample = dataset[i]
        counts.add(segment(sample.image), sample.label)
    best = counts.metrics(threshold)
    level = threshold_level(threshold)
    found, false = counts.road[level:].sum(), counts.other[level:].sum()
    return {
        "frames": len(dataset),
        "max_f": best.max_f,
        "threshold": best.threshold,
        "average_precision": best.average_precision,
        "iou": best.iou,
        "precision": float(found / max(found + false, 1)),
        "recall": float(found / counts.road.sum()),
        "ece": expected_calibration_error(counts),
    }


def recall_at(segment: Callable[[np.ndarray], np.ndarray], dataset: Sequence[Sample], threshold: float) -> float:
    """Share of the pixels labelled road that the weights call road at their threshold, 0..1."""
    level, found, road = threshold_level(threshold), 0, 0
    for i in range(len(dataset)):
        sample = dataset[i]
        inside = segment(sample.image)[sample.label == ROAD]
        found, road = found + int((inside >= level).sum()), road + inside.size
    return found / max(road, 1)
