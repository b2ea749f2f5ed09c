"""The paired bootstrap against a case worked by hand, and on differences that are known by construction."""

import numpy as np
import pytest

from fcn_road_seg.evaluation.error_analysis import rates as rates_of_one
from fcn_road_seg.evaluation.metrics import LEVELS, PixelCounts
from fcn_road_seg.evaluation.paired_bootstrap import METRICS, paired_bootstrap, rates


def frame(hits: int, missed: int, false: int, right: int = 100) -> PixelCounts:
    """Road found and missed, other pixels called road and not."""
    counts = PixelCounts()
    counts.road[[200, 50]] = hits, missed
    counts.other[[200, 10]] = false, right
    return counts


def test_two_frames_worked_by_hand():
    a, b = [frame(3, 1, 1, 3), frame(2, 0, 0, 5)], [frame(4, 0, 0, 4), frame(1, 1, 0, 5)]
    differences = paired_bootstrap((a, b), (0.5, 0.5))
    # Both frames: A finds 5 of 6 with 1 false, B 5 of 6 with none.
    assert differences["iou"].value == pytest.approx(5 / 6 - 5 / 7)
    assert differences["precision"].value == pytest.approx(1 - 5 / 6)
    assert differences["recall"].value == 0
    assert differences["max_f"].value == pytest.approx(1 - 12 / 13)  # at 11..50, where all road is found
    # A quarter of the draws take the first frame twice (4/4 - 3/5), a quarter the second one (1/2 - 2/2).
    assert differences["iou"].high == pytest.approx(0.4) and differences["iou"].low == pytest.approx(-0.5)
    assert differences["iou"].includes_zero
    assert differences["precision"].low == 0 and differences["precision"].high == pytest.approx(1 - 3 / 4)


def test_rates_are_those_of_one_frame_after_the_other():
    generator = np.random.default_rng(0)
    table = generator.integers(0, 1000, (5, 2, LEVELS)).astype(float)
    many = rates(table, 140)
    for i, row in enumerate(table):
        counts = PixelCounts()
        counts.road, counts.other = row.astype(np.int64)
        single = rates_of_one(counts, 140 / 255)
        assert {metric: many[metric][i] for metric in METRICS} == pytest.approx(single)


def test_the_seed_decides_the_interval():
    generator = np.random.default_rng(1)
    a = [frame(*generator.integers(1, 50, 3)) for _ in range(20)]
    b = [frame(*generator.integers(1, 50, 3)) for _ in range(20)]
    first, again, other = (paired_bootstrap((a, b), (0.5, 0.5), seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first["iou"].low != other["iou"].low and first["iou"].value == other["iou"].value
    assert first["iou"].low == pytest.approx(other["iou"].low, abs=0.02)


def test_the_interval_covers_a_constructed_difference():
    """B finds 86 % of the road and A 80 %: intervals of 95 % have the difference in them about as often."""
    generator, covered, told_apart = np.random.default_rng(2), 0, 0
    for trial in range(100):
        a, b = ([frame(hits, 200 - hits, 0) for hits in generator.binomial(200, p, 40)] for p in (0.8, 0.86))
        difference = paired_bootstrap((a, b), (0.5, 0.5), draws=500, seed=trial)["recall"]
        covered += difference.low <= 0.06 <= difference.high
        told_apart += not difference.includes_zero
    assert 87 <= covered <= 100 and told_apart >= 98


def test_pairing_cancels_what_is_hard_for_both():
    """Frames differ by far more than the two segmenters do."""
    hits = np.random.default_rng(3).integers(20, 180, 40)
    a, b = [frame(h, 200 - h, 0) for h in hits], [frame(h + 4, 196 - h, 0) for h in hits]
    difference = paired_bootstrap((a, b), (0.5, 0.5))["recall"]
    assert difference.low == pytest.approx(0.02) and difference.high == pytest.approx(0.02)
    shuffled = paired_bootstrap((a, [b[i] for i in np.random.default_rng(4).permutation(40)]), (0.5, 0.5))["recall"]
    assert shuffled.includes_zero and shuffled.value == pytest.approx(0.02)


def test_each_segmenter_has_its_own_threshold():
    counts = [frame(10, 10, 0)] * 3
    differences = paired_bootstrap((counts, counts), (0.5, 0.1))
    assert differences["recall"].value == 0.5 and differences["recall"].low == 0.5
    assert differences["max_f"].value == 0 and differences["max_f"].includes_zero


def test_what_is_undefined():
    nothing, road = frame(0, 0, 0), frame(4, 0, 1)
    assert paired_bootstrap(([nothing] * 3, [nothing] * 3), (0.5, 0.5)) == dict.fromkeys(METRICS)
    one = paired_bootstrap(([road], [road]), (0.5, 0.5))["iou"]
    assert (one.value, one.low, one.high, one.includes_zero) == (0, None, None, True)
    # Some draws have no frame with road; they are left out.
    mixed = paired_bootstrap(([road, nothing, nothing, nothing],) * 2, (0.5, 0.5))["recall"]
    assert (mixed.low, mixed.high) == (0, 0)
