"""Exact instances of synthetic scenes."""

from types import SimpleNamespace

import numpy as np
import pytest

from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES
from fcn_road_seg.synthetic import Camera, SyntheticRoad
from fcn_road_seg.synthetic.instances import SyntheticInstances, label_of

CAMERA = Camera.of_size(320, 96)


@pytest.fixture(scope="module")
def sample():
    return SyntheticInstances(8, 3, CAMERA)[1]


def test_asking_for_instances_changes_nothing_else(sample):
    plain = SyntheticRoad(8, 3, CAMERA).frame(1)
    assert (sample.image == plain.image).all() and plain.instances is None
    assert not (sample.masks.any(0) & plain.road).any()


def test_instances_are_apart_and_have_pixels(sample):
    everything = np.concatenate([sample.masks, sample.ignored])
    assert len(sample.labels) >= 8 and everything.sum(0).max() == 1
    assert {INSTANCE_CLASSES[label] for label in sample.labels} == {"car", "truck"}
    assert sample.masks.sum((1, 2)).min() >= 12 > sample.ignored.sum((1, 2)).max()


def test_the_nearer_instance_hides_the_farther_one():
    frame = SyntheticRoad(8, 3, CAMERA).frame(1, instances=True)
    seen = [number for number in np.unique(frame.instances) if number]
    distances = [np.hypot(frame.things[number - 1].x, frame.things[number - 1].y) for number in seen]
    assert distances == sorted(distances, reverse=True)  # drawn from far to near, so the last number is on top
    assert (frame.instances == seen[-1]).sum() > 500


def test_rows_have_the_distances_of_flat_ground(sample):
    road = SyntheticRoad(8, 3, CAMERA).frame(1)
    points = road.camera.ground_points()
    row = round(road.camera.horizon) + 20
    middle = points[row, round(road.camera.cx)]
    assert sample.row_distances[row] < middle[0] < sample.row_distances[row - 1]


def test_classes_of_things():
    def name(kind, look=0):
        label = label_of(SimpleNamespace(kind=kind, look=look))
        return INSTANCE_CLASSES[label] if label >= 0 else None

    assert [name("car", "van"), name("car", "lorry"), name("person"), name("cyclist")] == [
        "car",
        "truck",
        "person",
        None,
    ]
