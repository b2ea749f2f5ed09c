"""Average precision of instances by COCO's protocol (Lin et al., ECCV 2014), computed by pycocotools.

What is ignored follows Cityscapes' evaluation (https://github.com/mcordts/cityscapesScripts): groups of a class for
that class, caravans and trailers for all, instances below 100 pixels of a 2048x1024 frame. Distances are those at which
flat ground is seen in the lowest row of an instance, or of a detection's box.
"""

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES, InstanceSample
from fcn_road_seg.instances.instances import Instances

KINDS = {"box": "bbox", "mask": "segm"}
"""pycocotools' names of what is compared."""
Span = tuple[float, float]
SIZES: dict[str, Span] = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, math.inf)}
"""COCO's, pixels of the frame."""
DISTANCES: dict[str, Span] = {"to 20 m": (0, 20), "20 to 50 m": (20, 50), "from 50 m": (50, math.inf)}
LEAST_SHARE = 100 / (2048 * 1024)
"""Of a frame's pixels: Cityscapes' smallest instance."""
FEW = 100
"""A class with fewer instances has intervals,"""
SOME = 5
"""unless it has fewer than these, which say nothing of how much others differ."""
MOST_DETECTIONS = 100
LEAST_SCORE = 0.05
"""Detections below it are not measured."""

PERSONS = {"rider": "person"}
"""COCO's classes."""


class InstanceResults:
    """The labelled and the found instances of frames, in COCO's form.

    Args:
        merged: classes that count as another one.
    """

    def __init__(self, merged: Mapping[str, str] = MappingProxyType({})) -> None:
        self._categories = [1 + INSTANCE_CLASSES.index(merged.get(name, name)) for name in INSTANCE_CLASSES]
        self._images: list[dict] = []
        self._labelled: list[dict] = []
        self._found: list[dict] = []
        self._distances_known = True

    def add(self, sample: InstanceSample, instances: Instances) -> None:
        """Add a frame."""
        number = len(self._images) + 1
        height, width = sample.image.shape[:2]
        self._images.append({"id": number, "height": height, "width": width})
        rows = np.full(height, math.inf, np.float32) if sample.row_distances is None else sample.row_distances
        self._distances_known &= sample.row_distances is not None
        least = LEAST_SHARE * height * width
        for mask, label in zip(sample.masks, sample.labels.tolist(), strict=True):
            self._label(number, mask, label, rows, ignored=mask.sum() < least)
        for mask, label in zip(sample.ignored, sample.ignored_labels.tolist(), strict=True):
            for each in range(len(INSTANCE_CLASSES)) if label < 0 else [label]:
                self._label(number, mask, each, rows, ignored=True)
        parts = zip(instances.boxes, instances.labels, instances.scores, encode(instances.masks), strict=True)
        for (left, top, right, bottom), label, score, runs in parts:
            lowest = min(max(math.ceil(bottom) - 1, 0), height - 1)
            self._found.append(
                {
                    "image_id": number,
                    "category_id": self._categories[label],
                    "score": float(score),
                    "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
                    "segmentation": runs,
                    "distance": float(rows[lowest]),
                }
            )

    def _label(self, image: int, mask: np.ndarray, label: int, rows: np.ndarray, ignored: bool) -> None:
        across, down = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        left, top = int(across[0]), int(down[0])
        self._labelled.append(
            {
                "id": len(self._labelled) + 1,
                "image_id": image,
                "category_id": self._categories[label],
                "iscrowd": int(ignored),
                "pixels": int(mask.sum()),
                "bbox": [left, top, int(across[-1]) + 1 - left, int(down[-1]) + 1 - top],
                "segmentation": encode(mask[None])[0],
                "distance": float(rows[down[-1]]),
            }
        )

    def by_class(self, kind: str, span: Span | None = None, measure: str = "pixels") -> dict[str, dict[str, float]]:
        """AP (mean over the IoUs 0.50, 0.55, ... 0.95) and AP50 by class, 0..1, of the classes that are labelled.

        Args:
            kind: one of `KINDS`.
            span: only instances in it, by `measure`; the others are ignored.
            measure: "pixels" or "distance".
        """
        figures = {}
        for label, name in enumerate(INSTANCE_CLASSES):
            evaluation = self._evaluation(kind, label, span, measure)
            if (found := figures_of(evaluation)) is not None:
                figures[name] = found
        return figures

    def counts(self, span: Span | None = None, measure: str = "pixels") -> dict[str, int]:
        """The number of labelled instances that count, by class."""
        low, high = span or (0, math.inf)
        kept = [a for a in self._labelled if not a["iscrowd"] and low <= a[measure] <= high]
        numbers = {name: sum(a["category_id"] == i for a in kept) for i, name in enumerate(INSTANCE_CLASSES, start=1)}
        return {name: number for name, number in numbers.items() if number}

    def intervals(self, kind: str, samples: int = 300, seed: int = 0) -> dict[str, dict[str, tuple[float, float]]]:
        """95 % intervals of AP and AP50 of the classes with `SOME` to `FEW` instances: bootstrap over frames."""
        intervals = {}
        for name, count in self.counts().items():
            if not SOME <= count < FEW:
                continue
            evaluation = self._evaluation(kind, INSTANCE_CLASSES.index(name))
            frames, rng = evaluation.evalImgs, np.random.default_rng(seed)
            drawn = []
            for _ in range(samples):
                evaluation.evalImgs = [frames[i] for i in rng.integers(0, len(frames), len(frames))]
                if (figures := figures_of(evaluation)) is not None:
                    drawn.append(figures)
            intervals[name] = {
                key: tuple(np.percentile([figures[key] for figures in drawn], (2.5, 97.5)).tolist())
                for key in ("ap", "ap50")
            }
        return intervals

    def summary(self) -> dict:
        """All figures: means and classes for boxes and masks, by size and, where known, by distance."""
        spans = {"size": ("pixels", SIZES)} | ({"distance": ("distance", DISTANCES)} if self._distances_known else {})
        result: dict = {"frames": len(self._images), "instances": self.counts()}
        for kind in KINDS:
            classes = self.by_class(kind)
            result[kind] = {"mean": means(classes), "classes": classes, "intervals": self.intervals(kind)}
            for name, (measure, ranges) in spans.items():
                result[kind][name] = {}
                for part, span in ranges.items():
                    classes = self.by_class(kind, span, measure)
                    result[kind][name][part] = {"mean": means(classes), "classes": classes}
        for name, (measure, ranges) in spans.items():
            result[f"instances by {name}"] = {part: self.counts(span, measure) for part, span in ranges.items()}
        return result

    def _evaluation(self, kind: str, label: int, span: Span | None = None, measure: str = "pixels"):  # noqa: ANN202
        """pycocotools' evaluation of one class, its frames matched."""
        from pycocotools import mask
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        parts = {"images": self._images, "categories": [{"id": label + 1, "name": INSTANCE_CLASSES[label]}]}
        # pycocotools ignores what is outside a range of "area"; detections that match nothing there are ignored too.
        labelled = [{**a, "area": a[measure]} for a in self._labelled if a["category_id"] == label + 1]
        found = [
            {
                **a,
                "id": i,
                "iscrowd": 0,
                "area": a["distance"] if measure == "distance" else float(mask.area(a["segmentation"])),
            }
            for i, a in enumerate((a for a in self._found if a["category_id"] == label + 1), start=1)
        ]
        with contextlib.redirect_stdout(io.StringIO()):
            sets = []
            for annotations in (labelled, found):
                sets.append(COCO())
                sets[-1].dataset = {**parts, "annotations": annotations}
                sets[-1].createIndex()
            evaluation = COCOeval(*sets, KINDS[kind])
            evaluation.params.areaRng, evaluation.params.areaRngLbl = [list(span or (0, math.inf))], ["all"]
            evaluation.params.maxDets = [MOST_DETECTIONS]
            evaluation.evaluate()
        return evaluation


def figures_of(evaluation) -> dict[str, float] | None:  # noqa: ANN001
    """AP and AP50, 0..1, of pycocotools' evaluation of one class; None if no frame has an instance that counts."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    precision = evaluation.eval["precision"]
    if (precision < 0).all():
        return None
    return {"ap": float(precision.mean()), "ap50": float(precision[0].mean())}


def encode(masks: np.ndarray) -> list[dict]:
    """COCO's run-length encodings of masks, bool N x H x W."""
    from pycocotools import mask

    return mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))) if len(masks) else []


def means(classes: dict[str, dict[str, float]]) -> dict[str, float]:
    """The means over classes of figures by class."""
    keys: Sequence[str] = list(next(iter(classes.values()), {}))
    return {key: float(np.mean([figures[key] for figures in classes.values()])) for key in keys}
