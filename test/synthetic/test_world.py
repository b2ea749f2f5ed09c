"""Training scenes from many cameras: addressed by index alone, one size per shape, the own car never road."""

import numpy as np
import pytest

from fcn_road_seg.synthetic import SHAPES, SyntheticWorld

SMALL = {"16x9": (208, 117), "4x3": (160, 120), "5x4": (160, 128)}


@pytest.fixture
def small_shapes(monkeypatch):
    for name, size in SMALL.items():
        monkeypatch.setitem(SHAPES, name, size)


def test_shapes_are_what_their_names_say():
    for name, (width, height) in SHAPES.items():
        across, up = map(int, name.split("x"))
        assert width / height == pytest.approx(across / up, rel=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_index_is_the_same_frame(shape, small_shapes):
    scenes, again = SyntheticWorld(40, shape, seed=3), SyntheticWorld(40, shape, seed=3)
    samples = [scenes[i] for i in range(6)]
    for i in (5, 0, 3):
        np.testing.assert_array_equal(again[i].image, samples[i].image)
        np.testing.assert_array_equal(again[i].label, samples[i].label)
    width, height = SMALL[shape]
    assert {s.image.shape for s in samples} == {(height, width, 3)} and {s.label.shape for s in samples} == {
        (height, width)
    }
    assert len({s.name for s in samples}) == 6
    assert np.any(SyntheticWorld(40, shape, seed=4)[0].image != samples[0].image)
    with pytest.raises(IndexError):
        scenes[40]


def test_cameras_and_lights_vary(small_shapes):
    frames = [SyntheticWorld(60, "16x9").frame(i) for i in range(40)]
    heights = np.array([f.camera.camera_height for f in frames])
    behind = np.array([f.camera.windscreen for f in frames])
    low = heights < 1
    assert 4 <= low.sum() <= 18 and 8 <= behind.sum() <= 26 and not (low & behind).any()
    assert heights.min() >= 0.3 and heights.max() <= 2.0
    for frame in frames:
        assert frame.own_vehicle.any() == frame.camera.windscreen
        assert not (frame.road & frame.own_vehicle).any()
        view = np.degrees(2 * np.arctan(frame.camera.width / 2 / frame.camera.fx))
        assert 50 <= view <= 88
    dark = np.array([f.image.mean() < 45 for f in frames])
    assert 6 <= dark.sum() <= 28
    assert np.mean([f.road.mean() for f in frames]) > 0.15


def test_unknown_shapes_are_rejected():
    with pytest.raises(ValueError, match="unknown shape '3x2'; choose from 16x9, 4x3, 5x4"):
        SyntheticWorld(3, "3x2")
