"""How much of KITTI Road's MaxF remains under every corruption."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fcn_road_seg.evaluation.corruptions import KINDS, SEVERITIES, corrupt
from fcn_road_seg.evaluation.inference_loop import Segment, Track, segmented
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.sample import Samples

MILD = 1, 2
"""The severities that the mean is taken over."""


class _Variant(NamedTuple):
    """A clean or corrupted frame, and where its pixels are counted."""

    image: np.ndarray
    label: np.ndarray
    counts: PixelCounts


def evaluate_corruptions(
    segment: Segment,
    dataset: Samples,
    threshold: float,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    track: Track = iter,
) -> dict:
    """Perspective metrics of a segmenter on clean and on corrupted frames.

    Args:
        threshold: P(road), 0..1, at which IoU is taken; MaxF takes the best for each kind and severity.
        seed: of the corruptions; the same frames give the same figures.

    Returns:
        {"frames", "seed", "clean": {"max_f", "iou"}, "kinds": {kind: [{"severity", "max_f", "iou", "relative_max_f",
        "relative_iou"}]}, "mean_relative_max_f", "mean_relative_iou"}; the means are over all kinds at severities 1
        and 2, and relative is to clean.
    """
    clean = PixelCounts()
    counts = {(kind, severity): PixelCounts() for kind in kinds for severity in SEVERITIES}

    def variants() -> Iterator[_Variant]:
        for sample in track(dataset):
            yield _Variant(sample.image, sample.label, clean)
            for (kind, severity), count in counts.items():
                corrupted = corrupt(sample, kind, severity, seed)
                yield _Variant(corrupted.image, corrupted.label, count)

    for variant, probability in segmented(segment, variants()):
        variant.counts.add(probability, variant.label)

    reference = _metrics(clean, threshold)
    rows: dict[str, list[dict]] = {kind: [] for kind in kinds}
    for (kind, severity), count in counts.items():
        metrics = _metrics(count, threshold)
        relative = {f"relative_{name}": value / max(reference[name], 1e-9) for name, value in metrics.items()}
        rows[kind].append({"severity": severity, **metrics, **relative})
    mild = [row for kind in kinds for row in rows[kind] if row["severity"] in MILD]
    return {
        "frames": len(dataset),
        "seed": seed,
        "clean": reference,
        "kinds": rows,
        "mean_relative_max_f": float(np.mean([row["relative_max_f"] for row in mild])),
        "mean_relative_iou": float(np.mean([row["relative_iou"] for row in mild])),
    }


def markdown(figures: dict) -> str:
    """The figures as a Markdown table, percent of clean: MaxF, and IoU in brackets."""
    lines = [
        f"| percent of clean: MaxF (IoU) | {' | '.join(f'severity {s}' for s in SEVERITIES)} |",
        "|---|" + "---|" * len(SEVERITIES),
    ]
    for kind, rows in figures["kinds"].items():
        cells = (f"{100 * row['relative_max_f']:.1f} ({100 * row['relative_iou']:.1f})" for row in rows)
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    clean, mean = figures["clean"], figures["mean_relative_max_f"]
    lines += [
        "",
        f"Clean: MaxF {100 * clean['max_f']:.2f}, IoU {100 * clean['iou']:.2f}, {figures['frames']} frames. Mean over "
        f"all kinds at severities 1 and 2: MaxF {100 * mean:.1f} % of clean, IoU at the weights' threshold "
        f"{100 * figures['mean_relative_iou']:.1f} %.",
    ]
    return "\n".join(lines)


def _metrics(counts: PixelCounts, threshold: float) -> dict[str, float]:
    metrics = counts.metrics(threshold)
    return {"max_f": metrics.max_f, "iou": metrics.iou}
