"""Average precision of instances by COCO's protocol (Lin et al., ECCV 2014), computed by pycocotools."""

import contextlib
import io
from collections.abc import Iterable

import numpy as np

from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES, InstanceSample
from fcn_road_seg.instances.detector import Instances


class InstanceResults:
    """The labelled and the found instances of frames, in COCO's form."""

    def __init__(self) -> None:
        self.images: list[dict] = []
        self.labelled: list[dict] = []
        self.found: list[dict] = []

    def add(self, sample: InstanceSample, instances: Instances) -> None:
        """Add a frame."""
        number = len(self.images) + 1
        height, width = sample.image.shape[:2]
        self.images.append({"id": number, "height": height, "width": width, "name": sample.name})
        for mask, label in zip(sample.masks, sample.labels.tolist(), strict=True):
            self._label(number, mask, label, crowd=0)
        for mask, label in zip(sample.ignored, sample.ignored_labels.tolist(), strict=True):
            for each in range(len(INSTANCE_CLASSES)) if label < 0 else [label]:
                self._label(number, mask, each, crowd=1)
        parts = zip(instances.boxes, instances.labels, instances.scores, encode(instances.masks), strict=True)
        for (left, top, right, bottom), label, score, runs in parts:
            box = [float(left), float(top), float(right - left), float(bottom - top)]
            self.found.append(
                {"image_id": number, "category_id": int(label) + 1, "score": float(score), "bbox": box}
                | {"segmentation": runs}
            )

    def _label(self, image: int, mask: np.ndarray, label: int, crowd: int) -> None:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, left = int(rows[0]), int(columns[0])
        self.labelled.append(
            {
                "id": len(self.labelled) + 1,
                "image_id": image,
                "category_id": label + 1,
                "iscrowd": crowd,
                "area": int(mask.sum()),
                "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
                "segmentation": encode(mask[None])[0],
            }
        )

    def average_precision(self, kind: str) -> dict[str, dict[str, float]]:
        """AP and AP50 by class, 0..1, of the classes that are labelled.

        Args:
            kind: "bbox" or "segm".
        """
        precision = self._precision(kind)
        classes = {}
        for label, name in enumerate(INSTANCE_CLASSES):
            values = precision[:, :, label, 0, -1]
            if (values >= 0).any():
                classes[name] = {"ap": float(values.mean()), "ap50": float(values[0].mean())}
        return classes

    def _precision(self, kind: str) -> np.ndarray:
        """pycocotools' precision: IoU thresholds x recalls x classes x areas x limits of detections."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = {
                "images": self.images,
                "annotations": self.labelled,
                "categories": [{"id": i + 1, "name": name} for i, name in enumerate(INSTANCE_CLASSES)],
            }
            truth.createIndex()
            found = COCO()
            areas = [(f["segmentation"], f["bbox"]) for f in self.found]
            found.dataset = {
                **truth.dataset,
                "annotations": [
                    {**f, "id": i + 1, "iscrowd": 0, "area": area}
                    for i, (f, area) in enumerate(zip(self.found, map(_area, areas), strict=True))
                ],
            }
            found.createIndex()
            evaluation = COCOeval(truth, found, kind)
            evaluation.evaluate()
            evaluation.accumulate()
        return evaluation.eval["precision"]


def _area(shape: tuple[dict, list[float]]) -> float:
    from pycocotools import mask

    return float(mask.area(shape[0]))


def encode(masks: np.ndarray) -> list[dict]:
    """COCO's run-length encodings of masks, bool N x H x W."""
    from pycocotools import mask

    return mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))) if len(masks) else []


def means(classes: dict[str, dict[str, float]]) -> dict[str, float]:
    """The means over classes of figures by class."""
    keys: Iterable[str] = next(iter(classes.values()), {}).keys()
    return {key: float(np.mean([figures[key] for figures in classes.values()])) for key in keys}
