"""What stays still in synthetic drives with a painted vehicle, whose pixels are known exactly, and without one."""

import cv2
import numpy as np
import pytest
from painted_vehicle import HEIGHT, WIDTH, drive, iou, noisy, paint, vehicle

from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.own_vehicle_search import LEAST_MOVING, OwnVehicleSearch

pytestmark = pytest.mark.slow  # because of the rendering


@pytest.fixture(scope="module", params=[0, 2], ids=["country", "residential"])
def frames(request) -> list[np.ndarray]:
    return drive(request.param, rendered=60, frames=130)


def search(frames) -> OwnVehicleSearch:
    found = OwnVehicleSearch()
    for frame in frames:
        found.add(frame)
    return found


@pytest.mark.parametrize("kind, least", [("bonnet", 0.93), ("dashboard", 0.93), ("robot", 0.85)])
def test_a_vehicle_is_found(frames, kind, least):
    rng, truth = np.random.default_rng(0), vehicle(kind)
    found = search(paint(frame, truth, rng) for frame in frames)
    mask = found.mask()
    assert mask.shape == (HEIGHT, WIDTH) and mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}
    assert iou(mask, truth) > least
    assert found.frames == 130 and found.moving >= LEAST_MOVING


def test_without_a_vehicle_the_mask_is_empty(frames):
    assert not search(frames).mask().any()


def test_a_car_that_stands_first_changes_nothing(frames):
    """Traffic crosses in front of it; only frames in which the whole picture moves count."""
    rng, truth = np.random.default_rng(0), vehicle("bonnet")
    standing = []
    for i in range(60):
        frame = noisy(frames[0], rng)
        frame[85:125, 5 * i : 5 * i + 40] = (150, 30, 30)
        standing.append(frame)
    found = search(paint(frame, truth, rng) for frame in [*standing, *frames])
    assert found.frames == 190 and found.moving <= 132
    assert iou(found.mask(), truth) > 0.9
    with pytest.raises(UserError, match=r"the picture moves in \d of 60 frames, but at least 100 are needed"):
        search(standing).mask()


def test_the_mask_has_the_size_of_large_frames(frames):
    rng, truth = np.random.default_rng(0), vehicle("bonnet")
    found = search(cv2.resize(paint(frame, truth, rng), (961, 541)) for frame in frames)
    large = cv2.resize(truth, (961, 541), interpolation=cv2.INTER_NEAREST)
    assert found.mask().shape == (541, 961) and iou(found.mask(), large) > 0.9


def test_frames_that_differ_in_size_are_refused():
    found = OwnVehicleSearch()
    found.add(np.zeros((40, 60, 3), np.uint8))
    with pytest.raises(UserError, match="the frames differ in size"):
        found.add(np.zeros((40, 61, 3), np.uint8))
    with pytest.raises(UserError, match="moves in 1 of 1 frames"):
        found.mask()
