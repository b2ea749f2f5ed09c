"""Pixel metrics of a segmenter on any labelled frames."""

from fcn_road_seg.evaluation.error_analysis import rates
from fcn_road_seg.evaluation.inference_loop import Segment, Track, segmented
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.evaluation.temperature_scaling import expected_calibration_error
from fcn_road_seg.frames.sample import Samples


def evaluate_samples(segment: Segment, dataset: Samples, threshold: float, track: Track = iter) -> dict[str, float]:
    """Segment every frame and count its labelled pixels at the frame's own size.

    Args:
        threshold: P(road), 0..1, at which the weights call a pixel road.

    Returns:
        {"frames", "max_f", "threshold" (of max_f), "average_precision", "iou", "precision", "recall", "ece"}, all but
        the first in 0..1; "iou", "precision" and "recall" are at the weights' threshold.
    """
    counts = PixelCounts()
    for sample, probability in segmented(segment, track(dataset)):
        counts.add(probability, sample.label)
    best, at_threshold = counts.metrics(threshold), rates(counts, threshold)
    return {
        "frames": len(dataset),
        "max_f": best.max_f,
        "threshold": best.threshold,
        "average_precision": best.average_precision,
        "iou": best.iou,
        "precision": at_threshold["precision"] or 0.0,  # also if nothing is called road
        "recall": at_threshold["recall"] or 0.0,
        "ece": expected_calibration_error(counts),
    }
