"""KITTI Road's metrics of a segmenter, in perspective and in bird's-eye view."""

from collections.abc import Callable, Iterable

import numpy as np

from fcn_road_seg.datasets.kitti_road import KittiRoad, read_calibration
from fcn_road_seg.evaluation.birds_eye import BirdsEyeView
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.sample import IGNORE


def evaluate(
    segment: Callable[[np.ndarray], np.ndarray],
    dataset: KittiRoad,
    threshold: float,
    track: Callable[[Iterable], Iterable] = iter,
) -> dict:
    """Run every frame and count its pixels at the frame's own size.

    Args:
        segment: uint8 H x W x 3 RGB -> P(road) x 255, uint8 H x W.
        threshold: P(road) at which IoU is taken.
        track: wraps the frames' indices, for a progress bar.

    Returns:
        {"frames", "checkpoint_threshold", "perspective": {...}, "bev": {...}, "per_frame": [{"name",
        "max_f", "iou"}]}, see `metrics.RoadMetrics`; "bev" is None where frames have no calibration.
    """
    perspective, bev = PixelCounts(), PixelCounts()
    calibrated = all(dataset.calibration_path(name).exists() for name in dataset.names)
    per_frame = []
    for i in track(range(len(dataset))):
        sample = dataset[i]
        probability = segment(sample.image)
        frame = PixelCounts()
        frame.add(probability, sample.label)
        perspective.merge(frame)
        if frame.road.any() and frame.other.any():
            metrics = frame.metrics(threshold)
            per_frame.append({"name": sample.name, "max_f": metrics.max_f, "iou": metrics.iou})
        if calibrated:
            view = BirdsEyeView(read_calibration(dataset.calibration_path(sample.name)))
            bev.add(view(probability), view(sample.label, outside=IGNORE))
    return {
        "frames": len(dataset),
        "checkpoint_threshold": threshold,
        "perspective": perspective.metrics(threshold).as_dict(),
        "bev": bev.metrics(threshold).as_dict() if calibrated else None,
        "per_frame": per_frame,
    }
