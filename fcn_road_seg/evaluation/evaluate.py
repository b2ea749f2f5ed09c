"""KITTI Road's metrics of a segmenter, in perspective and in bird's-eye view."""

from fcn_road_seg.datasets.kitti_road import KittiRoad, read_calibration
from fcn_road_seg.evaluation.birds_eye import BirdsEyeView, Sampling
from fcn_road_seg.evaluation.inference_loop import Segment, Track, segmented
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.sample import IGNORE


def evaluate(
    segment: Segment, dataset: KittiRoad, threshold: float, track: Track = iter, sampling: Sampling = "devkit"
) -> dict:
    """Segment every frame and count its pixels at the frame's own size.

    Args:
        threshold: P(road), 0..1, at which IoU is taken.
        sampling: of the bird's-eye view, see `birds_eye.Sampling`.

    Returns:
        {"frames", "checkpoint_threshold", "perspective": {...}, "bev": {...}, "per_frame": [{"name",
        "max_f", "iou"}]}, see `metrics.RoadMetrics`; "bev" is None where frames have no calibration.
    """
    perspective, bev = PixelCounts(), PixelCounts()
    calibrated = all(dataset.calibration_path(name).exists() for name in dataset.names)
    per_frame = []
    for sample, probability in segmented(segment, track(dataset)):
        frame = PixelCounts()
        frame.add(probability, sample.label)
        perspective.merge(frame)
        if frame.road.any() and frame.other.any():
            metrics = frame.metrics(threshold)
            per_frame.append({"name": sample.name, "max_f": metrics.max_f, "iou": metrics.iou})
        if calibrated:
            view = BirdsEyeView(read_calibration(dataset.calibration_path(sample.name)), sampling)
            bev.add(view(probability), view(sample.label, outside=IGNORE))
    return {
        "frames": len(dataset),
        "checkpoint_threshold": threshold,
        "perspective": perspective.metrics(threshold).as_dict(),
        "bev": bev.metrics(threshold).as_dict() if calibrated else None,
        "per_frame": per_frame,
    }
