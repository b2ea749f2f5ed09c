"""Corruptions: reproducible, stronger by severity, with labels moved along; and the figures made of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_kitti import draw, write_folder

from fcn_road_seg.cli.main import main
from fcn_road_seg.evaluation import corruptions
from fcn_road_seg.evaluation.corruptions import GEOMETRIC, KINDS, PHOTOMETRIC, SEVERITIES, corrupt
from fcn_road_seg.evaluation.robustness import evaluate_corruptions, markdown
from fcn_road_seg.frames.sample import Sample
from fcn_road_seg.synthetic import Camera, SyntheticDrive


@pytest.fixture(scope="module")
def sample() -> Sample:
    frame = SyntheticDrive(seed=1, frames=1, weather="sun", camera=Camera.of_size(414, 125))[0]
    return Sample(frame.image, frame.road.astype(np.uint8), "um_000001")


def painted(sample: Sample) -> Sample:
    """The label as an image: road is bright."""
    return replace(sample, image=np.where(sample.label[..., None] == 1, 200, 50).astype(np.uint8).repeat(3, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption(sample, kind):
    before = sample.image.copy()
    changes = []
    for severity in SEVERITIES:
        corrupted = corrupt(sample, kind, severity, seed=3)
        assert corrupted.image.shape == sample.image.shape and corrupted.image.dtype == np.uint8
        assert corrupted.label.shape == sample.label.shape and corrupted.label.dtype == np.uint8
        assert np.array_equal(corrupt(sample, kind, severity, seed=3).image, corrupted.image)
        changes.append(np.abs(corrupted.image.astype(int) - sample.image).mean())
        if kind in PHOTOMETRIC:
            assert np.array_equal(corrupted.label, sample.label)
    others = [corrupt(sample, kind, 1, seed).image for seed in range(4, 9)]
    others += [corrupt(replace(sample, name=f"{i}"), kind, 1, 3).image for i in range(5)]
    same = [np.array_equal(other, others[0]) for other in others]
    assert all(same[:5]) == all(same) == (kind in ("brightness", "fog", "defocus blur", "JPEG"))  # not random
    assert changes[0] > 0.5 and changes[0] < changes[1] < changes[2]
    assert np.array_equal(sample.image, before)


@pytest.mark.parametrize("kind", GEOMETRIC)
@pytest.mark.parametrize("seed", range(4))
def test_the_label_moves_with_the_image(sample, kind, seed):
    for severity in SEVERITIES:
        moved = corrupt(painted(sample), kind, severity, seed)
        seen = moved.label != 255
        assert 0.6 < seen.mean() <= 1
        assert np.mean((moved.image[..., 0] > 125)[seen] == (moved.label == 1)[seen]) > 0.995
        assert np.mean(moved.label[seen] != sample.label[seen]) > 0.001


def test_one_degree_of_pitch_moves_the_horizon_by_its_tangent():
    height, width = 375, 1242
    rows = np.broadcast_to(np.arange(height, dtype=np.uint8)[:, None, None], (height, width, 3))
    label = np.zeros((height, width), np.uint8)
    horizon = round(corruptions.HORIZON * height)
    shifts = {
        int(corrupt(Sample(np.ascontiguousarray(rows), label, f"{i}"), "camera pitch", 1).image[horizon, width // 2, 0])
        - horizon
        for i in range(8)
    }
    expected = corruptions.FOCAL * width * np.tan(np.radians(1))
    assert shifts == {round(-expected), round(expected)} or all(abs(abs(s) - expected) <= 1 for s in shifts)
    assert min(shifts) < 0 < max(shifts)


def test_a_raised_camera_sees_the_road_plane_lower_or_higher():
    """A line across the road at a distance Z appears f x height / Z below the horizon."""
    height, width = 375, 1242
    horizon, focal = corruptions.HORIZON * height, corruptions.FOCAL * width
    image = np.zeros((height, width, 3), np.uint8)
    row = round(horizon + focal * 1.65 / 15)
    image[row - 1 : row + 2] = 255
    factors = set()
    for i in range(8):
        raised = corrupt(Sample(image, image[..., 0] // 255, f"{i}"), "camera height", 2)
        factors.add(round((raised.image[:, 600, 0].argmax() + 1 - horizon) / (row - horizon), 1))
    assert factors == {0.8, 1.3}


def test_fog_hides_what_is_far(sample):
    stripes = np.zeros_like(sample.image)
    stripes[:, ::2] = 255
    foggy = corrupt(replace(sample, image=stripes), "fog", 3).image.astype(int)
    contrast = np.abs(foggy[:, 1:] - foggy[:, :-1]).mean((1, 2))
    horizon = round(corruptions.HORIZON * len(stripes))
    assert contrast[-1] > 150 and contrast[horizon + 5] < 10
    assert (np.diff(contrast[horizon + 1 :]) >= -1).all()


def test_dirt_covers_the_stated_share(sample):
    for severity, share in zip(SEVERITIES, (0.03, 0.08, 0.15), strict=True):
        white = replace(sample, image=np.full_like(sample.image, 255))
        assert (corrupt(white, "dirt", severity).image[..., 0] < 160).mean() == pytest.approx(share, rel=0.3)


def test_figures_of_a_segmenter_that_sees_brightness(sample):
    dataset = [painted(sample), painted(replace(sample, name="um_000002"))]
    figures = evaluate_corruptions(lambda image: image[..., 1], dataset, 0.5)
    assert figures["clean"] == {"max_f": 1.0, "iou": 1.0} and figures["frames"] == 2
    assert set(figures["kinds"]) == set(KINDS)
    assert figures["kinds"]["JPEG"][0]["relative_max_f"] > 0.99
    assert figures["kinds"]["darkness"][2]["relative_iou"] < 0.1 < figures["kinds"]["darkness"][2]["relative_max_f"]
    mild = [row["relative_max_f"] for rows in figures["kinds"].values() for row in rows if row["severity"] < 3]
    assert len(mild) == 2 * len(KINDS) and figures["mean_relative_max_f"] == pytest.approx(np.mean(mild))
    assert evaluate_corruptions(lambda image: image[..., 1], dataset, 0.5) == figures
    table = markdown(figures)
    assert all(f"| {kind} |" in table for kind in KINDS)
    assert f"{100 * figures['mean_relative_max_f']:.1f} % of clean" in table


def test_the_command(small_weights, tmp_path, capsys):
    root = write_folder(tmp_path / "kitti", ["um_000000"])
    arguments = ["--weights", str(small_weights), "--json", str(tmp_path / "figures.json")]
    assert main(["evaluate", "--corruptions", "--root", str(root), *arguments]) == 0
    assert "| rain |" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "figures.json").read_text())["kinds"]) == set(KINDS)


def test_small_frames():
    image, label = draw(0, 30, 97)
    for kind in KINDS:
        assert corrupt(Sample(image, label, "small"), kind, 3).image.shape == (30, 97, 3)
