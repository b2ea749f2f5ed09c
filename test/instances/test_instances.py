"""The instances of a frame: which pixel belongs to which, where they stand, and what they take from the road."""

import numpy as np

from fcn_road_seg.instances.instances import Instances


def instances(*masks, height=8, width=12) -> Instances:
    """Instances, best first, whose masks are rectangles: left, top, right, bottom."""
    filled = np.zeros((len(masks), height, width), bool)
    for mask, (left, top, right, bottom) in zip(filled, masks, strict=True):
        mask[top:bottom, left:right] = True
    number = len(masks)
    boxes = np.array(masks, np.float32).reshape(number, 4)
    return Instances(boxes, np.full(number, 2), np.linspace(0.9, 0.5, number, dtype=np.float32), filled)


def test_a_pixel_belongs_to_the_best_instance_there():
    found = instances((2, 2, 6, 5), (4, 3, 9, 6))
    assert found.ids.dtype == np.uint16
    assert (found.ids[2:5, 2:6] == 1).all() and (found.ids[5, 4:9] == 2).all() and (found.ids[3:6, 6:9] == 2).all()
    assert np.count_nonzero(found.ids) == (found.masks[0] | found.masks[1]).sum()
    assert not instances().ids.any() and instances().ids.shape == (8, 12)


def test_feet_are_the_middle_of_the_lower_edge():
    found = instances((2, 2, 6, 5), (0, 0, 12, 8), (3, 3, 3, 3))
    found.masks[0, 4, 2:5] = False  # only one pixel touches the ground
    feet = found.feet()
    assert feet[0].tolist() == [5, 4.5] and feet[1].tolist() == [5.5, 7.5] and np.isnan(feet[2]).all()
    assert instances().feet().shape == (0, 2)


def test_what_shows_the_own_vehicle_is_no_instance():
    hidden = np.zeros((8, 12), np.uint8)
    hidden[6:] = 255
    kept = instances((0, 5, 4, 8), (4, 0, 8, 7), (8, 6, 12, 8)).without_own_vehicle(hidden)
    assert kept.boxes.tolist() == [[4, 0, 8, 7]] and len(kept) == 1
    assert kept.feet().tolist() == [[5.5, 5.5]] and not kept.ids[6:].any()
    found = instances((0, 5, 4, 8))
    assert found.without_own_vehicle(None) is found


def test_the_road_ends_where_an_instance_begins():
    probability = np.full((8, 12), 200, np.uint8)
    cut = instances((2, 2, 6, 5), (4, 3, 9, 6)).cut_out(probability)
    assert cut.dtype == np.uint8 and set(np.unique(cut)) == {0, 200} and (probability == 200).all()
    assert ((cut == 0) == (instances((2, 2, 6, 5), (4, 3, 9, 6)).ids > 0)).all()
