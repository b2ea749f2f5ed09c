"""Temperature scaling (Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017).

P(road) = sigmoid(z / T), where z is the difference of the two logits. The one number T is fitted on labelled frames
that training never saw. A T above 1 makes the network less sure of itself and changes no mask, because the threshold
moves along.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from fcn_road_seg.datasets import kitti_road
from fcn_road_seg.datasets.sample import Sample
from fcn_road_seg.evaluation.metrics import LEVELS, PixelCounts
from fcn_road_seg.mask import threshold_level
from fcn_road_seg.network import FCN8s
from fcn_road_seg.preprocess import network_size, resize_probability, to_input

TEMPERATURES = 2.0 ** (np.arange(-24, 37) / 12)
"""What T is chosen from: 1/4 to 8, in steps of 6 %."""
BINS = 15  # as in the paper
CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


@dataclass(frozen=True)
class ConfidenceRow:
    """What ~/labels is worth with `min_confidence` = `confidence`; shares of counted pixels, 0..1.

    Attributes:
        precision: of the pixels that it calls road, those that are; `not_road_precision` the same of the others.
            None where it calls none so.
        recall: of the pixels that are road, those that it calls so.
        coverage: of all pixels, those that get a class.
    """

    confidence: float
    precision: float | None
    recall: float
    not_road_precision: float | None
    coverage: float


class TemperatureTable:
    """What labelled frames count at every one of `TEMPERATURES`: any set of them is fitted at once.

    Args:
        network: in evaluation mode, float32, without any temperature.
        samples: labelled frames; they are read one by one.
        network_width: pixels, see `preprocess.network_size`.
        track: wraps the frames' indices, for a progress bar.
    """

    def __init__(
        self,
        network: FCN8s,
        samples: Sequence[Sample],
        network_width: int,
        track: Callable[[Iterable], Iterable] = iter,
    ):
        self.counts = {}  # by the frame's name, one PixelCounts per temperature
        for i in track(range(len(samples))):
            sample = samples[i]
            logit = logit_difference(network, sample.image, network_width)
            self.counts[sample.name] = [counted(logit, sample.label, t) for t in TEMPERATURES]

    def at(self, temperature: float, names: Iterable[str] | None = None) -> PixelCounts:
        """The frames' counts, added, at the one of `TEMPERATURES` that is nearest."""
        nearest = int(np.abs(np.log(TEMPERATURES / temperature)).argmin())
        total = PixelCounts()
        for name in self.counts if names is None else names:
            total.merge(self.counts[name][nearest])
        return total

    def fit(self, names: Iterable[str] | None = None) -> float:
        """The temperature with the least negative log likelihood on these frames; None takes all."""
        names = list(self.counts) if names is None else list(names)
        return float(min(TEMPERATURES, key=lambda t: negative_log_likelihood(self.at(t, names))))

    def held_out(self, groups: Iterable[Sequence[str]]) -> PixelCounts:
        """Every group of frames counted at the temperature that the others give, added."""
        total = PixelCounts()
        for group in groups:
            others = [name for name in self.counts if name not in set(group)]
            total.merge(self.at(self.fit(others), group))
        return total


@torch.inference_mode()
def logit_difference(network: FCN8s, image: np.ndarray, network_width: int) -> torch.Tensor:
    """logit(road) - logit(not road), float32 1 x h x w of network size, of a frame, uint8 H x W x 3 RGB."""
    height, width = image.shape[:2]
    frame = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    logits = network(to_input(frame, network_size(width, height, network_width), torch.float32))
    return logits[:, 1] - logits[:, 0]


def counted(logit: torch.Tensor, label: np.ndarray, temperature: float) -> PixelCounts:
    """The pixels of a frame, as published at this temperature: its logits 1 x h x w, its labels uint8 H x W."""
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

    It is at least what the paper's form, over the confidence of the more likely class, would give.

    Args:
        between: only pixels whose P(road) lies in this range.
    """
    levels = np.arange(LEVELS)
    inside = (levels >= between[0] * 255) & (levels <= between[1] * 255)
    pixels = (counts.road + counts.other) * inside
    gap = np.bincount(levels * BINS // LEVELS, (counts.road * inside - pixels * levels / 255))
    return float(np.abs(gap).sum() / max(pixels.sum(), 1))


def moved_threshold(threshold: float, old: float, new: float) -> float:
    """The threshold, 0..1, that gives at the temperature `new` the mask that `threshold` gives at `old`."""
    if not 0 < threshold < 1:
        return threshold
    return 1 / (1 + math.exp(-math.log(threshold / (1 - threshold)) * old / new))


def common_threshold(sets: Sequence[PixelCounts]) -> float:
    """The threshold, 0..1, with the highest mean F1 over sets of frames, each of which counts once."""
    total = np.zeros(LEVELS)
    for counts in sets:
        found = np.cumsum(counts.road[::-1])[::-1]
        false = np.cumsum(counts.other[::-1])[::-1]
        total += 2 * found / np.maximum(found + false + counts.road.sum(), 1)
    return int(total[1:].argmax() + 1) / 255  # at 0 all is road


def confidence_row(counts: PixelCounts, threshold: float, confidence: float) -> ConfidenceRow:
    """What `labels.labels_and_confidence` gives at a threshold and a least confidence, both 0..1."""
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
    """The least confidence that gives the pixels called road this precision, 0..1; None where none does."""
    for level in range(128, LEVELS):
        row = confidence_row(counts, threshold, level / 255)
        if row.precision is not None and row.precision >= precision:
            return row
    return None


def calibrate(
    table: TemperatureTable,
    threshold: float | None,
    precision: float,
    streets: Iterable[Sequence[str]] = (),
) -> dict:
    """Fit the temperature and say what it is worth.

    Args:
        threshold: P(road), 0..1, of the network without temperature; None takes `common_threshold` of the groups.
        precision: wanted of the pixels called road, 0..1, see `least_confidence`.
        streets: groups of frame names; each is also judged by the temperature that the others give.

    Returns:
        {"temperature", "threshold", "frames", "before", "after", "held_out", "confidence", "min_confidence"}.
        "before", "after" and "held_out" are {"ece", "ece_uncertain", "nll"}, the second over pixels of P(road)
        0.05..0.95; "held_out" is None with fewer than two streets. "confidence" lists `ConfidenceRow`;
        "min_confidence" is one or None.
    """
    temperature = table.fit()
    after, streets = table.at(temperature), list(streets)
    if threshold is None:
        moved = common_threshold([table.at(temperature, group) for group in streets])
    else:
        moved = moved_threshold(threshold, 1.0, temperature)
    found = least_confidence(after, moved, precision)
    return {
        "temperature": temperature,
        "threshold": moved,
        "frames": len(table.counts),
        "before": _errors(table.at(1.0)),
        "after": _errors(after),
        "held_out": _errors(table.held_out(streets)) if len(streets) > 1 else None,
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
    """Groups of frame names of a split file, see `kitti_road.read_streets`."""
    return [names for _, names in kitti_road.read_streets(path)]
