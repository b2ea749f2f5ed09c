"""The figures that choose a training's best epoch."""

from collections.abc import Mapping

from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.evaluation.birds_eye import BirdsEyeView
from fcn_road_seg.evaluation.inference_loop import Segment, Track, segmented
from fcn_road_seg.evaluation.kitti_camera import calibrated
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.evaluation.temperature_scaling import common_threshold
from fcn_road_seg.frames.sample import IGNORE, Samples

MEANS = ("max_f", "average_precision", "iou")


def validate(segment: Segment, sets: Mapping[str, Samples], track: Track = iter) -> dict[str, float]:
    """Figures of a network on the validation parts of one or several data sets, fractions 0..1.

    Returns:
        {"max_f", "average_precision", "iou" (at 0.5), "threshold", "NAME_max_f", ..., "bev_max_f"}. The first three are
        means over the sets, each of which counts once, whatever its size; "threshold" has the highest mean F1 over
        them. "NAME_max_f" is that of one set, if there are several; "bev_max_f" is KITTI Road's in bird's-eye view, if
        it is there and calibrated.
    """
    counts, bev = dict[str, PixelCounts](), PixelCounts()
    for name, frames in sets.items():
        counts[name] = counted(segment, frames, bev, track)
    metrics = [each.metrics(threshold=0.5).as_dict() for each in counts.values()]
    row = {key: sum(figures[key] for figures in metrics) / len(metrics) for key in MEANS}
    row["threshold"] = common_threshold(list(counts.values()))
    if len(sets) > 1:
        row |= {f"{name}_max_f": figures["max_f"] for name, figures in zip(sets, metrics, strict=True)}
    return row | ({"bev_max_f": bev.metrics().max_f} if bev.road.any() else {})


def check_calibrations(sets: Mapping[str, Samples]) -> None:
    """Check KITTI Road's calibrations before the first epoch.

    Raises:
        DatasetError: some frames have one and others none, or one is unusable.
    """
    for frames in sets.values():
        if isinstance(frames, KittiRoad):
            calibrated(frames)


def counted(segment: Segment, frames: Samples, bev: PixelCounts, track: Track = iter) -> PixelCounts:
    """The pixels of frames by P(road); those of calibrated KITTI frames, in bird's-eye view, are added to `bev`."""
    counts = PixelCounts()
    with_views = frames if isinstance(frames, KittiRoad) and calibrated(frames) else None
    for sample, probability in segmented(segment, track(frames)):
        counts.add(probability, sample.label)
        if with_views:
            size = sample.label.shape[1], sample.label.shape[0]
            view = BirdsEyeView.read(with_views.calibration_path(sample.name), size)
            bev.add(view(probability), view(sample.label, outside=IGNORE))
    return counts
