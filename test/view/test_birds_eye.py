"""The picture of the ground outputs from above."""

from types import SimpleNamespace

import numpy as np

from fcn_road_seg.postprocess.overlay import AZURE
from fcn_road_seg.view.birds_eye import ROAD, UNSEEN, birds_eye
from fcn_road_seg.view.ground_arrays import NOT_ROAD, SCAN


def test_birds_eye_view_geometry():
    at = SimpleNamespace
    cells = np.full((20, 40), -1, np.int8)  # 4 m across, 8 m ahead
    cells[10:, 10:30] = 0  # left, from 2 to 6 m
    cells[:10, 10:30] = 100  # right
    origin = at(position=at(x=0.0, y=-2.0))
    outputs = {
        "grid": at(info=at(width=40, height=20, resolution=0.2, origin=origin), data=cells.reshape(-1)),
        "scan": at(angle_min=0.0, angle_increment=0.01, ranges=[3.0, np.nan, np.inf, 7.0]),
        "boundary": at(polygon=at(points=[at(x=x, y=y, z=0.0) for x, y in ((2, 1), (7, 1), (7, 1.5), (2, 1.5))])),
    }
    picture = birds_eye(outputs, 80, 160)  # 20 pixels per metre
    assert picture.shape == (160, 80, 3) and picture.dtype == np.uint8
    assert tuple(picture[60, 5]) == ROAD and tuple(picture[60, 75]) == NOT_ROAD
    assert tuple(picture[150, 5]) == UNSEEN
    assert tuple(picture[100, 40]) == SCAN  # 3 m ahead, in the middle
    assert tuple(picture[155, 40]) == AZURE  # the vehicle
    assert tuple(picture[90, 20]) not in (ROAD, UNSEEN)  # the boundary's right side, 1 m to the left
    assert (picture[:34] == UNSEEN).all()  # neither the boundary nor the scan beyond 6 m, where the grid is unseen
    empty = outputs | {"boundary": at(polygon=at(points=[]))}
    assert tuple(birds_eye(empty, 80, 160)[90, 20]) == ROAD
    wide = birds_eye(outputs, 120, 160)  # centred
    assert tuple(wide[60, 25]) == ROAD and tuple(wide[60, 10]) == UNSEEN
    missing = birds_eye({}, 80, 160, "no grid")
    assert missing.shape == (160, 80, 3) and 0 < (missing != UNSEEN).any(-1).mean() < 0.1
