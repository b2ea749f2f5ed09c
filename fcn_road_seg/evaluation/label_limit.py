"""What KITTI Road's labels themselves leave open: how good a mask can be and still score below 100 %."""

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np

from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.evaluation.birds_eye import BirdsEyeView
from fcn_road_seg.evaluation.corruptions import through_jpeg
from fcn_road_seg.evaluation.inference_loop import Segment, Track, segmented
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.sample import IGNORE, NOT_ROAD, ROAD, Sample
from fcn_road_seg.inference.preprocess import network_size

JPEG_QUALITY = 75  # of most frames in the copy of KITTI Road that this project works with
WIDTHS = 576, 832
EDGE_SHIFTS = -5, -3, -2, -1, 1, 2, 3, 5


def moved_edge(label: np.ndarray, pixels: int) -> np.ndarray:
    """The label as P(road) x 255, its edge moved outwards by `pixels`, or inwards where that is negative."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(pixels) + 1,) * 2)
    return (cv2.dilate if pixels > 0 else cv2.erode)(np.where(label == ROAD, np.uint8(255), np.uint8(0)), kernel)


def at_network_size(label: np.ndarray, width: int) -> np.ndarray:
    """The label as P(road) x 255, scaled down to the size of the network's input and up again."""
    height, columns = label.shape
    road = np.where(label == ROAD, np.float32(255), np.float32(0))
    small = cv2.resize(road, network_size(columns, height, width), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (columns, height)).round().astype(np.uint8)


def not_road_where_ignored(sample: Sample) -> Sample:
    """The frame with a label in which ignored pixels are not road."""
    return replace(sample, label=np.where(sample.label == IGNORE, np.uint8(NOT_ROAD), sample.label))


def after_jpeg(sample: Sample) -> Sample:
    """A compressed copy of the frame."""
    return replace(sample, image=through_jpeg(sample.image, JPEG_QUALITY))


def measure(dataset: KittiRoad, answers: Iterable[tuple[Sample, np.ndarray]]) -> dict[str, float]:
    """MaxF and IoU at its threshold, in perspective and in bird's-eye view (the nearest pixels), 0..1.

    Args:
        dataset: has the frames' calibration.
        answers: frames, each with P(road) x 255, uint8 H x W.
    """
    perspective, bev = PixelCounts(), PixelCounts()
    for sample, probability in answers:
        size = sample.label.shape[1], sample.label.shape[0]
        view = BirdsEyeView.read(dataset.calibration_path(sample.name), size, "exact")
        perspective.add(probability, sample.label)
        bev.add(view(probability), view(sample.label, outside=IGNORE))
    row: dict[str, float] = {}
    for name, counts in (("", perspective), ("bev_", bev)):
        metrics = counts.metrics(0.5)
        row |= {f"{name}max_f": metrics.max_f, f"{name}iou": counts.metrics(metrics.threshold).iou}
    return row


def limits_of_labels(dataset: KittiRoad) -> dict[str, dict[str, float]]:
    """`measure` with the label itself as the answer, degraded in one known way per row."""
    rows = {}
    for width in WIDTHS:
        answers = ((sample, at_network_size(sample.label, width)) for sample in dataset)
        rows[f"the label itself, at {width} wide"] = measure(dataset, answers)
    for pixels in EDGE_SHIFTS:
        direction = "outwards" if pixels > 0 else "inwards"
        answers = ((sample, moved_edge(sample.label, pixels)) for sample in dataset)
        rows[f"the label, its edge {abs(pixels)} px {direction}"] = measure(dataset, answers)
    return rows


def limits_of_copies(dataset: KittiRoad, segment: Segment) -> dict[str, dict[str, float]]:
    """`measure` with a network's answers: on original frames, without ignored areas, and on compressed copies.

    Args:
        dataset: frames with an ignored area.
    """
    name = f"the network on {len(dataset)} frames with an ignored area"
    variants: dict[str, Iterable[Sample]] = {
        name: dataset,
        f"{name}, which is now not road": map(not_road_where_ignored, dataset),
        f"{name}, as JPEG of quality {JPEG_QUALITY}": map(after_jpeg, dataset),
    }
    return {name: measure(dataset, segmented(segment, frames)) for name, frames in variants.items()}


def names_with_ignored_area(dataset: KittiRoad, track: Track = iter) -> list[str]:
    """Names of the frames in whose label pixels are ignored."""
    return [sample.name for sample in track(dataset) if (sample.label == IGNORE).any()]
