"""How sure a difference between two segmenters on the same frames is: the bootstrap, by frames.

Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile interval). A draw takes as many
frames as there are, with replacement, and the same ones for both segmenters: what makes a frame hard for both cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fcn_road_seg.evaluation.metrics import LEVELS, PixelCounts, called_road
from fcn_road_seg.postprocess.threshold import threshold_level

DRAWS = 4000
CONFIDENCE = 0.95
BLOCK = 500  # draws that are counted at once
METRICS = ("max_f", "iou", "precision", "recall")


@dataclass(frozen=True)
class Difference:
    """The second segmenter's figure minus the first one's, -1..1, and its interval.

    Attributes:
        value: on the frames as they are.
        low, high: the ends of the interval; None with fewer than two frames.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def includes_zero(self) -> bool:
        """Whether these frames do not tell the two apart."""
        return self.low is None or self.high is None or self.low <= 0 <= self.high

    def as_dict(self) -> dict:
        return {"value": self.value, "low": self.low, "high": self.high, "includes_zero": self.includes_zero}


def paired_bootstrap(
    frames: Sequence[Sequence[PixelCounts]],
    thresholds: Sequence[float],
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> dict[str, Difference | None]:
    """The differences of `METRICS` between two segmenters, with percentile intervals.

    Args:
        frames: for each of the two segmenters the counts of every frame, in the same order.
        thresholds: each one's own P(road), 0..1; MaxF takes the best one of each draw instead.
        confidence: share of the draws that lie in the interval.
        seed: of the draws; the same frames give the same interval.

    Returns:
        By metric; None where it is undefined, because no frame shows road, say. Draws in which it is undefined are left
        out of its interval.
    """
    tables = [np.array([[each.road, each.other] for each in counts], np.float64) for counts in frames]
    levels = [threshold_level(threshold) for threshold in thresholds]
    count = len(tables[0])
    first, second = (rates(table.sum(0), level) for table, level in zip(tables, levels, strict=True))
    generator = np.random.default_rng(seed)
    blocks: dict[str, list[np.ndarray]] = {name: [] for name in METRICS}
    for start in range(0, draws if count > 1 else 0, BLOCK):
        taken = generator.multinomial(count, np.full(count, 1 / count), min(BLOCK, draws - start)).astype(np.float64)
        a, b = (
            rates((taken @ table.reshape(count, -1)).reshape(-1, 2, LEVELS), level)
            for table, level in zip(tables, levels, strict=True)
        )
        for name in METRICS:
            blocks[name].append(b[name] - a[name])
    differences: dict[str, Difference | None] = {}
    for name in METRICS:
        value = float(second[name] - first[name])
        drawn = np.concatenate(blocks[name]) if blocks[name] else np.empty(0)
        drawn = drawn[np.isfinite(drawn)]
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]) if drawn.size else (None, None)
        differences[name] = (
            Difference(value, None if low is None else float(low), None if high is None else float(high))
            if np.isfinite(value)
            else None
        )
    return differences


def rates(counts: np.ndarray, level: int) -> dict[str, np.ndarray]:
    """`METRICS` of many sums of counts at once; NaN where undefined.

    Args:
        counts: ... x 2 x 256: road pixels and others by P(road) x 255.
        level: P(road) x 255 from which a pixel is road; MaxF takes the best.

    Returns:
        By metric, fractions 0..1, of the shape `...`.
    """
    found, false = np.moveaxis(called_road(counts), -2, 0)
    road, other = found[..., 0], false[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2 * found / (found + false + road[..., None])
        return {
            "max_f": np.where((road > 0) & (other > 0), f1.max(-1), np.nan),
            "iou": found[..., level] / (road + false[..., level]),
            "precision": found[..., level] / (found[..., level] + false[..., level]),
            "recall": found[..., level] / road,
        }
