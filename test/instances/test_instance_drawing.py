"""What is drawn of instances."""

import numpy as np

from fcn_road_seg.instances.drawing import COLOURS, draw_instances
from fcn_road_seg.instances.instances import Instances
from fcn_road_seg.postprocess.overlay import AZURE

GREY = np.full((100, 160, 3), 90, np.uint8)


def instances(*boxes, labels, scores):
    masks = np.zeros((len(boxes), 100, 160), bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return Instances(np.array(boxes, np.float32), np.array(labels), np.array(scores, np.float32), masks)


def test_masks_boxes_and_names_are_drawn_in_the_classs_colour():
    drawn = draw_instances(GREY, instances((40, 40, 80, 90), labels=[2], scores=[0.93]))
    assert tuple(drawn[89, 60]) == tuple(drawn[60, 40]) == COLOURS[2]  # the box's lower and left edge
    assert np.allclose(drawn[60, 60], 0.55 * 90 + 0.45 * np.array(COLOURS[2]), atol=1)
    assert (drawn[30:40, 40:80] != 90).any() and (drawn[60, 100] == 90).all()
    assert (GREY == 90).all()


def test_the_best_instance_lies_on_top():
    drawn = draw_instances(GREY, instances((40, 40, 80, 90), (40, 40, 80, 90), labels=[2, 0], scores=[0.9, 0.6]))
    assert tuple(drawn[89, 60]) == COLOURS[2]


def test_names_stay_inside_the_frame():
    for box in ((0, 0, 30, 30), (150, 80, 160, 100)):
        drawn = draw_instances(GREY, instances(box, labels=[6], scores=[1.0]))
        assert (drawn == COLOURS[6]).all(2).sum() > 200


def test_a_name_never_covers_a_better_one():
    better, worse = (40, 40, 80, 90), (50, 42, 90, 92)
    both = draw_instances(GREY, instances(better, worse, labels=[2, 0], scores=[0.9, 0.6]))
    alone = draw_instances(GREY, instances(better, labels=[2], scores=[0.9]))
    assert (both[28:40] == alone[28:40]).all()  # the names are above the boxes


def test_a_box_lower_than_a_name_has_none():
    drawn = draw_instances(GREY, instances((40, 40, 80, 44), labels=[2], scores=[0.9]))
    assert (drawn[:39] == 90).all()


def test_neighbours_of_a_class_are_told_apart_by_their_outlines():
    both = instances((40, 40, 80, 90), (81, 40, 120, 90), labels=[2, 2], scores=[0.9, 0.8])
    both.boxes[:] = 0, 0, 1, 1
    row = draw_instances(GREY, both)[60, 40:120]
    assert [i for i, pixel in enumerate(row) if tuple(pixel) == COLOURS[2]] == [0, 39, 41, 79]


def test_no_class_has_nearly_the_roads_colour_or_anothers():
    colours = np.array([*COLOURS, AZURE], int)
    apart = np.abs(colours[:, None] - colours).sum(2) + 999 * np.eye(len(colours), dtype=int)
    assert apart.min() > 90


def test_without_instances_the_frame_is_unchanged():
    nothing = Instances(
        np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, np.float32), np.zeros((0, 100, 160), bool)
    )
    assert (draw_instances(GREY, nothing) == GREY).all()
