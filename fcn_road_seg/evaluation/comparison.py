"""Two weights side by side on the same labelled frames."""

from collections.abc import Mapping
from typing import NamedTuple

from fcn_road_seg.evaluation.error_analysis import rates
from fcn_road_seg.evaluation.inference_loop import Segment, Track, segmented
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.evaluation.paired_bootstrap import paired_bootstrap
from fcn_road_seg.evaluation.temperature_scaling import expected_calibration_error
from fcn_road_seg.frames.sample import Samples


class Contestant(NamedTuple):
    """One of the two weights: how it segments, and the P(road), 0..1, from which it calls a pixel road."""

    segment: Segment
    threshold: float


def compare(
    a: Contestant, b: Contestant, sets: Mapping[str, Samples], seed: int = 0, track: Track = iter
) -> dict[str, dict]:
    """Segment every frame with both, and count its labelled pixels in perspective at the frame's own size.

    Args:
        sets: the data sets by name.
        seed: of the bootstrap.

    Returns:
        By set {"frames", "a", "b": `error_analysis.rates` with "threshold" and "ece", "difference": {metric:
        `paired_bootstrap.Difference` of b - a as a dict, or None}, "per_frame": [{"name", "a", "b": `rates`,
        "iou_difference": b - a}]}. A frame without road in which none was found has an IoU of 1 in the difference.
    """
    return {name: _compare_on(a, b, dataset, seed, track) for name, dataset in sets.items()}


def _compare_on(a: Contestant, b: Contestant, dataset: Samples, seed: int, track: Track) -> dict:
    names: list[str] = []
    frames: tuple[list[PixelCounts], list[PixelCounts]] = [], []
    for sample, answers in segmented(lambda image: (a.segment(image), b.segment(image)), track(dataset)):
        names.append(sample.name)
        for counts, probability in zip(frames, answers, strict=True):
            counts.append(PixelCounts())
            counts[-1].add(probability, sample.label)
    per_frame = []
    for name, *counts in zip(names, *frames, strict=True):
        first, second = (rates(each, one.threshold) for each, one in zip(counts, (a, b), strict=True))
        difference = _iou(second) - _iou(first)
        per_frame.append({"name": name, "a": first, "b": second, "iou_difference": difference})
    differences = paired_bootstrap(frames, (a.threshold, b.threshold), seed=seed)
    return {
        "frames": len(names),
        "a": _figures(frames[0], a.threshold),
        "b": _figures(frames[1], b.threshold),
        "difference": {metric: each and each.as_dict() for metric, each in differences.items()},
        "per_frame": per_frame,
    }


def _figures(frames: list[PixelCounts], threshold: float) -> dict[str, float | None]:
    total = PixelCounts()
    for counts in frames:
        total.merge(counts)
    return {**rates(total, threshold), "threshold": threshold, "ece": expected_calibration_error(total)}


def _iou(figures: dict[str, float | None]) -> float:
    iou = figures["iou"]
    return 1.0 if iou is None else iou


def verdict(difference: dict | None, frames: int) -> str:
    """What a difference of `compare` says, in words, about A and B."""
    if difference is None:
        return "undefined"
    if difference["low"] is None:
        return f"{frames} frame: no interval"
    if difference["includes_zero"]:
        return "includes 0: not told apart"
    return "B is higher" if difference["value"] > 0 else "A is higher"
