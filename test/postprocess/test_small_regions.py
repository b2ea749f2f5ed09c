"""Crumbs: small islands of road are dropped and small holes filled, pixel for pixel as connected components say."""

import cv2
import numpy as np
import pytest

from fcn_road_seg.postprocess.labels import labels_and_confidence
from fcn_road_seg.postprocess.small_regions import without_small_regions
from fcn_road_seg.postprocess.threshold import threshold_level, threshold_mask

THRESHOLD = 0.533
ROAD, OTHER = 240, 10


def scene() -> np.ndarray:
    """A road with a hole of 6x4 pixels and one of 30x20 with a crumb in it, a crumb of 5x5, a street of 40x10."""
    probability = np.full((100, 200), OTHER, np.uint8)
    probability[50:, 20:160] = ROAD
    probability[60:64, 30:36] = OTHER
    probability[70:90, 100:130] = OTHER
    probability[78:80, 110:113] = ROAD
    probability[10:15, 10:15] = ROAD
    probability[20:30, 150:190] = ROAD
    return probability


def mask_at(share: float, probability: np.ndarray, hidden: np.ndarray | None = None) -> np.ndarray:
    return threshold_mask(without_small_regions(probability, THRESHOLD, share, hidden), THRESHOLD) != 0


def test_islands_and_holes_below_the_share_go():
    road = scene() == ROAD
    answer = mask_at(0.0015, scene())  # 30 pixels
    assert not answer[10:15, 10:15].any() and answer[20:30, 150:190].all()
    assert answer[60:64, 30:36].all() and not answer[70:90, 100:130].any()
    changed = answer != road
    assert changed.sum() == 25 + 24 + 6
    answer = mask_at(0.04, scene())  # 800 pixels
    assert answer[50:, 20:160].all() and answer.sum() == 50 * 140


def test_the_share_is_exact():
    for share, gone in ((25 / 20000, False), (25.1 / 20000, True)):
        assert mask_at(share, scene())[10:15, 10:15].any() != gone
    for share, filled in ((24 / 20000, False), (24.1 / 20000, True)):
        assert mask_at(share, scene())[60:64, 30:36].any() == filled


def test_nothing_changes_without_small_regions():
    probability = scene()
    assert without_small_regions(probability, THRESHOLD, 0.0) is probability
    assert without_small_regions(probability, THRESHOLD, 1e-6) is probability
    for value in (0, 255):
        empty = np.full((30, 40), value, np.uint8)
        assert without_small_regions(empty, THRESHOLD, 0.1) is empty
    before = probability.copy()
    without_small_regions(probability, THRESHOLD, 0.1)
    np.testing.assert_array_equal(probability, before)


def test_what_touches_the_edge_of_the_image_is_no_hole():
    probability = np.full((50, 60), ROAD, np.uint8)
    probability[45:, 10:14] = OTHER
    assert without_small_regions(probability, THRESHOLD, 0.1) is probability


def test_changed_pixels_are_at_the_threshold_and_doubtful():
    level = threshold_level(THRESHOLD)
    answer = without_small_regions(scene(), THRESHOLD, 0.0015)
    assert set(np.unique(answer[answer != scene()])) == {level - 1, level}
    labels, confidence = labels_and_confidence(answer, THRESHOLD, 0.0)
    np.testing.assert_array_equal(labels == 1, mask_at(0.0015, scene()))
    assert confidence[answer != scene()].max() <= 136 and confidence[answer == scene()].min() >= 240


def test_the_vehicle_itself_is_never_road():
    probability = scene()
    hidden = np.zeros_like(probability)
    hidden[60:64, 32:40] = 255
    probability[hidden != 0] = 0
    answer = mask_at(0.0025, probability, hidden)
    assert not answer[hidden != 0].any() and answer[60:64, 30:32].all()
    assert mask_at(0.0025, probability)[hidden != 0].all()
    probability[hidden != 0] = ROAD  # as a temporal filter may spread it
    answer = without_small_regions(probability, THRESHOLD, 0.0, hidden)
    assert not answer[hidden != 0].any() and (answer == probability)[hidden == 0].all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.0002, 0.001, 0.01])
def test_the_result_is_that_of_connected_components(seed, share):
    rng = np.random.default_rng(seed)
    coarse = rng.normal(128, 60, (70, 120)).astype(np.float32)
    probability = np.clip(cv2.resize(coarse, (331, 187), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    road = (probability >= threshold_level(THRESHOLD)).astype(np.uint8)
    for connectivity, value in ((8, 1), (4, 0)):
        # What an outline encloses: holes count as part of an island, islands as part of a hole.
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            (road == value).astype(np.uint8), connectivity=connectivity
        )
        for i in range(1, count):
            x, y, w, h, area = stats[i]
            inside = filled(labels == i, outside_connectivity=12 - connectivity)
            on_edge = value == 0 and (x == 0 or y == 0 or x + w == 331 or y + h == 187)
            if inside.sum() < share * road.size and not on_edge:
                road[inside] = 1 - value
    answer = mask_at(share, probability)
    assert (answer != (probability >= threshold_level(THRESHOLD))).any()
    np.testing.assert_array_equal(answer, road != 0)


def filled(component: np.ndarray, outside_connectivity: int) -> np.ndarray:
    """A component with what it encloses."""
    outside = np.pad(1 - component.astype(np.uint8), 1, constant_values=1)
    cv2.floodFill(outside, None, (0, 0), 2, flags=outside_connectivity)
    return outside[1:-1, 1:-1] != 2
