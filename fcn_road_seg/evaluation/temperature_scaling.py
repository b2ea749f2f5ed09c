"""Temperature scaling (Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017).

P(road) = sigmoid(z / T), where z is the difference of the two logits. The one number T is fitted on labelled frames
that training never saw. A T above 1 makes the network less confident. It changes no mask, because the threshold is
moved with it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from fcn_road_seg.datasets import kitti_road
from fcn_road_seg.evaluation.inference_loop import Track, segmented
from fcn_road_seg.evaluation.metrics import LEVELS, PixelCounts, called_road
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.frames.sample import IGNORE, Samples
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.preprocess import network_size, resize_probability, to_input
from fcn_road_seg.postprocess.threshold import threshold_level

TEMPERATURES = 2.0 ** (np.arange(-24, 37) / 12)
"""The values that T is chosen from: 1/4 to 8, in steps of 6 %."""
BINS = 15  # as in the paper
CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


@dataclass(frozen=True)
class ConfidenceRow:
    """Quality of ~/labels with `min_confidence` = `confidence`; shares of counted pixels, 0..1.

    Attributes:
        precision: share of road among the pixels labelled road; `not_road_precision`: share of other pixels among
            those labelled not road. None where no pixel has that label.
        recall: share of the road that is labelled road.
        coverage: share of all pixels that get a class.
    """

    confidence: float
    precision: float | None
    recall: float
    not_road_precision: float | None
    coverage: float


class TemperatureTable:
    """The pixel counts of labelled frames at each of `TEMPERATURES`, so that any subset of frames can be fitted.

    Args:
        network: in evaluation mode, float32, without a temperature.
        network_width: pixels, see `preprocess.network_size`.
        own_vehicle: pixels that do not count, because the network's answer there is not published.

    Raises:
        FrameError: a frame has another shape than `own_vehicle`.
    """

    def __init__(
        self,
        network: FCN8s,
        samples: Samples,
        network_width: int,
        track: Track = iter,
        own_vehicle: OwnVehicle | None = None,
    ):
        self.counts: dict[str, list[PixelCounts]] = {}  # by the frame's name, one per temperature
        for sample, logit in segmented(lambda image: logit_difference(network, image, network_width), track(samples)):
            label = sample.label
            if own_vehicle is not None:
                label = np.where(own_vehicle.hidden(*label.shape), np.uint8(IGNORE), label)
            self.counts[sample.name] = [counted(logit, label, t) for t in TEMPERATURES]

    def at(self, temperature: float, names: Iterable[str] | None = None) -> PixelCounts:
        """The sum of the frames' counts at the nearest of `TEMPERATURES`; None takes all frames."""
        nearest = int(np.abs(np.log(TEMPERATURES / temperature)).argmin())
        total = PixelCounts()
        for name in self.counts if names is None else names:
            total.merge(self.counts[name][nearest])
        return total

    def fit(self, names: Iterable[str] | None = None) -> float:
        """The temperature with the lowest negative log likelihood on these frames; None takes all frames."""
        names = list(self.counts) if names is None else list(names)
        return float(min(TEMPERATURES, key=lambda t: negative_log_likelihood(self.at(t, names))))

    def held_out(self, groups: Iterable[Sequence[str]]) -> PixelCounts:
        """The sum of all groups' counts, each at the temperature fitted on the other groups."""
        total = PixelCounts()
        for group in groups:
            others = [name for name in self.counts if name not in set(group)]
            total.merge(self.at(self.fit(others), group))
        return total


@torch.inference_mode()
def logit_difference(network: FCN8s, image: np.ndarray, network_width: int) -> torch.Tensor:
    """logit(road) - logit(not road), float32 1 x h x w of network size, for a frame, uint8 H x W x 3 RGB."""
    height, width = image.shape[:2]
    frame = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    logits = network(to_input(frame, network_size(width, height, network_width), torch.float32))
    return logits[:, 1] - logits[:, 0]


def counted(logit: torch.Tensor, label: np.ndarray, temperature: float) -> PixelCounts:
    """The pixel counts of a frame as published at this temperature: its logits 1 x h x w, its labels uint8 H x W."""
    height, width = label.shape
    counts = PixelCounts()
    counts.add(resize_probability(torch.sigmoid(logit / temperature), (width, height))[0].numpy(), label)
    return counts


def negative_log_likelihood(counts: PixelCounts) -> float:
    """Nats per pixel; the published levels 0 and 255 count as a quarter of a level away from certainty."""
    p = np.clip(np.arange(LEVELS) / 255, 0.25 / 255, 1 - 0.25 / 255)
    loss = -(counts.road @ np.log(p) + counts.other @ np.log1p(-p))
    return float(loss / (counts.road.sum() + counts.other.sum()))


def expected_calibration_error(counts: PixelCounts, between: tuple[float, float] = (0.0, 1.0)) -> float:
    """Mean distance between P(road) and the share of road, 0..1, over 15 equal bins of P(road), weighted by pixels.

    It is at least as large as the paper's form, which is over the confidence of the more likely class.

    Args:
        between: only pixels with P(road) in this range count.
    """
    levels = np.arange(LEVELS)
    inside = (levels >= between[0] * 255) & (levels <= between[1] * 255)
    pixels = (counts.road + counts.other) * inside
    gap = np.bincount(levels * BINS // LEVELS, (counts.road * inside - pixels * levels / 255))
    return float(np.abs(gap).sum() / max(pixels.sum(), 1))


def moved_threshold(threshold: float, old: float, new: float) -> float:
    """The threshold, 0..1, that gives the same mask at the temperature `new` as `threshold` gives at `old`."""
    if not 0 < threshold < 1:
        return threshold
    return 1 / (1 + math.exp(-math.log(threshold / (1 - threshold)) * old / new))


def common_threshold(sets: Sequence[PixelCounts]) -> float:
    """The threshold, 0..1, with the highest mean F1 over sets of frames; each set counts once, whatever its size."""
    total = np.zeros(LEVELS)
    for counts in sets:
        found, false = called_road(counts.road), called_road(counts.other)
        total += 2 * found / np.maximum(found + false + counts.road.sum(), 1)
    return int(total[1:].argmax() + 1) / 255  # at level 0 everything is road


def confidence_row(counts: PixelCounts, threshold: float, confidence: float) -> ConfidenceRow:
    """Quality of `labels.labels_and_confidence` at a threshold and a least confidence, both 0..1."""
    levels = np.arange(LEVELS)
    known = np.maximum(levels, 255 - levels) >= confidence * 255
    road = known & (levels >= threshold_level(threshold))
    rest = known & ~road
    called_road, called_rest = counts.road[road].sum(), counts.other[rest].sum()
    all_road, all_rest = called_road + counts.other[road].sum(), called_rest + counts.road[rest].sum()
    return ConfidenceRow(
        confidence,
        float(called_road / all_road) if all_road else None,
        float(called_road / max(counts.road.sum(), 1)),
        float(called_rest / all_rest) if all_rest else None,
        float((all_road + all_rest) / max(counts.road.sum() + counts.other.sum(), 1)),
    )


def least_confidence(counts: PixelCounts, threshold: float, precision: float) -> ConfidenceRow | None:
    """The least confidence at which the pixels labelled road have this precision, 0..1; None if there is none."""
    for level in range(128, LEVELS):
        row = confidence_row(counts, threshold, level / 255)
        if row.precision is not None and row.precision >= precision:
            return row
    return None


def calibrate(
    table: TemperatureTable,
    threshold: float | None,
    precision: float,
    groups: Iterable[Sequence[str]] = (),
) -> dict:
    """Fit the temperature and measure its effect.

    Args:
        threshold: P(road), 0..1, of the network without temperature; None takes the groups' `common_threshold`.
        precision: required of the pixels labelled road, 0..1, see `least_confidence`.
        groups: frame names by street or data set; each group is also measured at the temperature fitted on the others.

    Returns:
        {"temperature", "threshold", "frames", "before", "after", "held_out", "confidence", "min_confidence"}.
        "before", "after" and "held_out" are {"ece", "ece_uncertain", "nll"}, the second over pixels with P(road) of
        0.05..0.95; "held_out" is None with fewer than two groups. "confidence" lists `ConfidenceRow`;
        "min_confidence" is one or None.
    """
    temperature = table.fit()
    after, groups = table.at(temperature), list(groups)
    if threshold is None:
        moved = common_threshold([table.at(temperature, group) for group in groups])
    else:
        moved = moved_threshold(threshold, 1.0, temperature)
    found = least_confidence(after, moved, precision)
    return {
        "temperature": temperature,
        "threshold": moved,
        "frames": len(table.counts),
        "before": _errors(table.at(1.0)),
        "after": _errors(after),
        "held_out": _errors(table.held_out(groups)) if len(groups) > 1 else None,
        "confidence": [asdict(confidence_row(after, moved, c)) for c in CONFIDENCES],
        "min_confidence": found and asdict(found),
    }


def _errors(counts: PixelCounts) -> dict[str, float]:
    return {
        "ece": expected_calibration_error(counts),
        "ece_uncertain": expected_calibration_error(counts, (0.05, 0.95)),
        "nll": negative_log_likelihood(counts),
    }


def read_streets(path: str | Path) -> list[list[str]]:
    """The frame names of a split file, grouped by street, see `kitti_road.read_streets`."""
    return [names for _, names in kitti_road.read_streets(path)]
