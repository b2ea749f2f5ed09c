"""Average precision of instances, by hand and by what is ignored."""

import numpy as np
import pytest

from fcn_road_seg.evaluation.instance_metrics import InstanceResults
from fcn_road_seg.frames.instance_sample import InstanceSample
from fcn_road_seg.instances.instances import Instances

SHAPE = 100, 200
ROWS = np.where(np.arange(100) < 40, np.inf, 400 / np.maximum(np.arange(100) - 39.5, 1)).astype(np.float32)


def masks(boxes):
    result = np.zeros((len(boxes), *SHAPE), bool)
    for mask, (left, top, right, bottom) in zip(result, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return result


def sample(boxes, labels, ignored=(), ignored_labels=(), rows=ROWS):
    image = np.zeros((*SHAPE, 3), np.uint8)
    return InstanceSample(
        image, masks(boxes), np.array(labels, int), masks(ignored), np.array(ignored_labels, int), "a", rows
    )


def found(boxes, labels, scores):
    return Instances(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, int), np.array(scores, np.float32), masks(boxes)
    )


def results(*frames):
    made = InstanceResults()
    for labelled, detections in frames:
        made.add(labelled, detections)
    return made


A, B, C, FAR = (0, 50, 40, 90), (60, 50, 100, 90), (120, 50, 160, 90), (150, 40, 160, 46)


def test_average_precision_by_hand():
    """Right, wrong, right: precision 1 up to recall 1/2, 2/3 above; pycocotools reads it at 101 recalls."""
    made = results((sample([A, B], [2, 2]), found([A, C, B], [2, 2, 2], [0.9, 0.8, 0.7])))
    expected = (51 * 1 + 50 * 2 / 3) / 101
    for kind in ("box", "mask"):
        assert made.by_class(kind) == {"car": pytest.approx({"ap": expected, "ap50": expected})}


def test_a_loose_box_counts_at_low_overlaps_only():
    """IoU 40 x 31 / 40 x 40 = 0.775 passes the six thresholds from 0.50 to 0.75."""
    made = results((sample([A], [0]), found([(0, 59, 40, 90)], [0], [0.9])))
    assert made.by_class("mask") == {"person": pytest.approx({"ap": 0.6, "ap50": 1})}


def test_groups_are_ignored_for_their_class():
    groups = results(
        (sample([A], [7], [B], [7]), found([B, A], [7, 7], [0.9, 0.8])),
        (sample([A], [2], [B], [7]), found([B, A], [2, 2], [0.9, 0.8])),
        (sample([A], [4], [B], [-1]), found([B, A], [4, 4], [0.9, 0.8])),
    ).by_class("mask")
    found_by_class = {name: figures["ap50"] for name, figures in groups.items()}
    assert found_by_class == pytest.approx({"car": 0.5, "bus": 1, "bicycle": 1})


def test_instances_below_100_of_2048_x_1024_pixels_are_ignored():
    large = np.zeros((2, 400, 800), bool)  # 15.3 pixels
    large[0, :4, :4] = large[1, 50:53, 50:55] = True
    nothing = np.zeros((0, 400, 800), bool)
    frame = InstanceSample(np.zeros((400, 800, 3), np.uint8), large, np.array([2, 2]), nothing, np.zeros(0, int), "a")
    detection = Instances(np.array([[0, 0, 4, 4]], np.float32), np.array([2]), np.array([0.9], np.float32), large[:1])
    made = results((frame, detection))
    assert made.counts() == {"car": 1} and made.by_class("mask")["car"]["ap"] == pytest.approx(1)


def test_sizes_and_distances():
    """A is near and of medium size, FAR is found nowhere."""
    figures = results((sample([A, FAR], [2, 2]), found([A], [2], [0.9]))).summary()
    assert figures["instances"] == {"car": 2}
    assert figures["instances by size"] == {"small": {"car": 1}, "medium": {"car": 1}, "large": {}}
    assert figures["instances by distance"] == {"to 20 m": {"car": 1}, "20 to 50 m": {}, "from 50 m": {"car": 1}}
    assert figures["box"]["size"]["medium"]["mean"] == figures["mask"]["distance"]["to 20 m"]["mean"]
    assert figures["mask"]["distance"]["to 20 m"]["mean"] == pytest.approx({"ap": 1, "ap50": 1})
    assert figures["mask"]["distance"]["from 50 m"]["mean"] == {"ap": 0, "ap50": 0}
    assert figures["mask"]["distance"]["20 to 50 m"]["mean"] == {}
    unknown = results((sample([A], [2], rows=None), found([A], [2], [0.9]))).summary()
    assert "distance" not in unknown["mask"] and "instances by distance" not in unknown


def test_classes_with_few_instances_have_intervals():
    frames = [(sample([A], [5]), found([A] if i % 2 else [B], [5], [0.9])) for i in range(20)]
    made = results(*frames)
    intervals = made.intervals("mask", samples=100)
    low, high = intervals["train"]["ap50"]
    middle = made.by_class("mask")["train"]["ap50"]
    assert low < middle < high and intervals == made.intervals("mask", samples=100)
    assert results(*frames[:4]).intervals("mask") == {}  # too few to say
    assert results((sample([A] * 100, [2] * 100), found([], [], []))).intervals("mask") == {}
