"""KITTI Road's pixel metrics (Fritsch, Kuehnl, Geiger, ITSC 2013), over all thresholds at once."""

from dataclasses import asdict, dataclass

import numpy as np

from fcn_road_seg.frames.sample import IGNORE, ROAD, WHAT_IS_ROAD, DatasetError
from fcn_road_seg.postprocess.threshold import threshold_level

LEVELS = 256  # a probability is a uint8, so there are 256 thresholds


@dataclass(frozen=True)
class RoadMetrics:
    """Fractions 0..1 over all counted pixels of a set of frames.

    Attributes:
        max_f: the highest F1 over all thresholds; `threshold` is where it is reached, and
            `precision`, `recall`, `fpr` and `fnr` are the rates there.
        average_precision: mean of the highest precision at recall >= 0, 0.1, ... 1 (PASCAL VOC, as KITTI does).
        iou: intersection over union of the road at the checkpoint's own threshold.
    """

    max_f: float
    average_precision: float
    precision: float
    recall: float
    fpr: float
    fnr: float
    iou: float
    threshold: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def called_road(counts: np.ndarray) -> np.ndarray:
    """Pixels whose probability is at least each level, ... x 256, from the pixels at each level, ... x 256."""
    return np.cumsum(counts[..., ::-1], -1)[..., ::-1]


class PixelCounts:
    """Numbers of road and other pixels by their probability; frames add up, in any order."""

    def __init__(self) -> None:
        self.road = np.zeros(LEVELS, np.int64)
        self.other = np.zeros(LEVELS, np.int64)

    def add(self, probability: np.ndarray, label: np.ndarray) -> None:
        """Count a frame: P(road) x 255, uint8 H x W; labels, uint8 H x W, where 255 is ignored."""
        self.road += np.bincount(probability[label == ROAD], minlength=LEVELS)
        self.other += np.bincount(probability[(label != ROAD) & (label != IGNORE)], minlength=LEVELS)

    def merge(self, other: "PixelCounts") -> None:
        self.road += other.road
        self.other += other.other

    def iou(self, threshold: float) -> float | None:
        """Intersection over union of the road at a threshold (0..1); None if neither label nor mask has road."""
        level = threshold_level(threshold)
        hits = self.road[level:].sum()
        union = self.road.sum() + self.other[level:].sum()
        return float(hits / union) if union else None

    def metrics(self, threshold: float = 0.5) -> RoadMetrics:
        """The metrics over all counted frames; a pixel is road where its probability is at least the threshold.

        Raises:
            DatasetError: the counted pixels are all road, or none of them is.
        """
        if not self.road.sum():
            raise DatasetError(f"no label of these frames has road, so there is nothing to measure: {WHAT_IS_ROAD}")
        if not self.other.sum():
            raise DatasetError("the labels of these frames have nothing but road, so there is nothing to measure")
        tp = called_road(self.road).astype(np.float64)
        fp = called_road(self.other).astype(np.float64)
        recall = tp / tp[0]
        precision = np.divide(tp, tp + fp, out=np.zeros_like(tp), where=tp + fp > 0)
        f1 = 2 * tp / (tp + fp + tp[0])
        best, level = int(np.argmax(f1)), threshold_level(threshold)
        return RoadMetrics(
            max_f=float(f1[best]),
            average_precision=float(
                np.mean([precision[recall >= r - 1e-12].max(initial=0) for r in np.linspace(0, 1, 11)])
            ),
            precision=float(precision[best]),
            recall=float(recall[best]),
            fpr=float(fp[best] / fp[0]),
            fnr=float(1 - recall[best]),
            iou=float(tp[level] / (tp[0] + fp[level])),
            threshold=best / 255,
        )
