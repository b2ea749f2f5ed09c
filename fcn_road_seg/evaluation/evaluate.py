"""KITTI Road's metrics of a segmenter, in perspective and in bird's-eye view."""

from collections.abc import Container

from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.evaluation.birds_eye import BirdsEyeView, Sampling
from fcn_road_seg.evaluation.inference_loop import Segment, Track, segmented
from fcn_road_seg.evaluation.kitti_camera import calibrated
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.sample import IGNORE


def evaluate(
    segment: Segment,
    dataset: KittiRoad,
    threshold: float,
    track: Track = iter,
    sampling: Sampling = "devkit",
    trained_on: Container[str] | None = None,
) -> dict:
    """Segment every frame and count its pixels at the frame's own size.

    Args:
        threshold: P(road), 0..1, at which IoU is taken.
        sampling: of the bird's-eye view, see `birds_eye.Sampling`.
        trained_on: names of frames that the weights were trained on; None if unknown.

    Returns:
        {"frames", "checkpoint_threshold", "perspective": {...}, "bev": {...}, "per_frame": [{"name",
        "max_f", "iou"}]}, see `metrics.RoadMetrics`; "bev" is None where frames have no calibration. With `trained_on`
        also "seen" and "unseen", the frames that the weights were trained on and the others: {"frames", "perspective",
        "bev"}, the last two None where they are undefined; and "seen" for each frame.

    Raises:
        DatasetError: some frames have a calibration and others none, or one is unusable.
    """
    has_views = calibrated(dataset)
    groups = {"seen": _Group(), "unseen": _Group()}
    per_frame = []
    for sample, probability in segmented(segment, track(dataset)):
        seen = trained_on is not None and sample.name in trained_on
        group, frame = groups["seen" if seen else "unseen"], PixelCounts()
        frame.add(probability, sample.label)
        group.frames += 1
        group.perspective.merge(frame)
        if frame.road.any() and frame.other.any():
            metrics = frame.metrics(threshold)
            row = {"name": sample.name, "max_f": metrics.max_f, "iou": metrics.iou}
            per_frame.append(row if trained_on is None else row | {"seen": seen})
        if has_views:
            size = sample.label.shape[1], sample.label.shape[0]
            view = BirdsEyeView.read(dataset.calibration_path(sample.name), size, sampling)
            group.bev.add(view(probability), view(sample.label, outside=IGNORE))
    total = _Group()
    for group in groups.values():
        total.merge(group)
    return {
        "frames": total.frames,
        "checkpoint_threshold": threshold,
        "perspective": total.perspective.metrics(threshold).as_dict(),
        "bev": total.bev.metrics(threshold).as_dict() if has_views else None,
        "per_frame": per_frame,
        **({} if trained_on is None else {name: group.figures(threshold) for name, group in groups.items()}),
    }


class _Group:
    """The counted pixels of some frames."""

    def __init__(self) -> None:
        self.frames, self.perspective, self.bev = 0, PixelCounts(), PixelCounts()

    def merge(self, other: "_Group") -> None:
        self.frames += other.frames
        self.perspective.merge(other.perspective)
        self.bev.merge(other.bev)

    def figures(self, threshold: float) -> dict:
        views = {"perspective": self.perspective, "bev": self.bev}
        defined = {name: counts.road.any() and counts.other.any() for name, counts in views.items()}
        return {"frames": self.frames} | {
            name: counts.metrics(threshold).as_dict() if defined[name] else None for name, counts in views.items()
        }
