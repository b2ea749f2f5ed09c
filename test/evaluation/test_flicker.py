"""Flicker: real motion does not count, changes of class do, and the temporal filter halves them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from textured_image import texture

from fcn_road_seg.datasets.drive import DriveFrame
from fcn_road_seg.datasets.kitti_road import KittiRoad
from fcn_road_seg.errors import UserError
from fcn_road_seg.evaluation.flicker import measure_flicker, table, with_labels
from fcn_road_seg.evaluation.metrics import PixelCounts
from fcn_road_seg.frames.image_file import read_rgb
from fcn_road_seg.frames.sample import IGNORE, Sample
from fcn_road_seg.postprocess.temporal_filter import TemporalFilter
from fcn_road_seg.synthetic import Camera, SyntheticDrive

SHARED = Path(__file__).parents[3] / "shared" / "data"
CLIP = SHARED / "kitti_raw" / "2011_09_26" / "2011_09_26_drive_0000_sync" / "image_02" / "data"
LABELLED = {12: "umm_000003", 31: "umm_000004"}
"""Frames of the clip that KITTI Road has labels for."""


def answers(probabilities):
    """A segmenter that returns these probabilities, one after another."""
    probabilities = iter(probabilities)
    return lambda image: next(probabilities)


def test_motion_does_not_count():
    wide, step = texture(200, 900), 7
    frames = [np.ascontiguousarray(wide[:, i * step : i * step + 600]) for i in range(6)]
    road = np.zeros((200, 900), np.uint8)
    cv2.fillPoly(road, [np.array([(100, 200), (350, 60), (420, 60), (800, 200)])], 255)
    masks = [np.ascontiguousarray(road[:, i * step : i * step + 600]) for i in range(6)]
    figures = measure_flicker(answers(masks), [DriveFrame(f, None) for f in frames], 0.5, (0.0,))
    (row,) = figures["smoothing"]
    assert figures["frames"] == 6 and figures["counted"] > 0.8
    assert row["changed"] > 0.01
    assert row["flicker"] < row["changed"] / 10
    assert row["max_f"] is None and figures["truth"] is None


def test_changes_of_class_count():
    """A patch of a tenth of the image appears and disappears."""
    image, probabilities = texture(200, 600), [np.zeros((200, 600), np.uint8) for _ in range(5)]
    for probability in probabilities:
        probability[100:] = 255
    for probability in probabilities[1::2]:
        probability[:60, 200:400] = 255
    (row,) = measure_flicker(answers(probabilities), [DriveFrame(image, None)] * 5, 0.5, (0.0,))["smoothing"]
    assert row["flicker"] == pytest.approx(0.1, abs=0.002) == row["changed"]
    assert row["of_road"] == pytest.approx((0.1 / 0.6 + 0.1 / 0.5) / 2, abs=0.005)
    assert 1 <= row["worst_frame"] <= 4 and row["worst"] == pytest.approx(0.1, abs=0.002)


def test_the_filter_halves_flicker_and_finds_no_less_road():
    """On a synthetic drive, with a segmenter whose errors are independent from frame to frame."""
    drive = SyntheticDrive(seed=2, frames=8, camera=Camera.of_size(621, 188), scene="residential", weather="sun")
    frames = [DriveFrame(frame.image, frame.road) for frame in (drive[i] for i in range(8))]
    rng = np.random.default_rng(0)
    noise = [cv2.resize(rng.normal(0, 70, (8, 25)).astype(np.float32), (621, 188)) for _ in frames]
    noisy = [np.clip(64 + 128 * f.road + n, 0, 255).astype(np.uint8) for f, n in zip(frames, noise, strict=True)]
    figures = measure_flicker(answers(noisy), frames, 0.5, (0.0, 0.6))
    plain, smooth = figures["smoothing"]
    assert figures["truth"] < 0.1 * plain["flicker"]
    assert smooth["flicker"] < 0.5 * plain["flicker"]
    assert smooth["max_f"] > plain["max_f"] and smooth["iou"] > plain["iou"]


def test_labelled_frames_are_recognised_by_a_compressed_copy():
    """A frame that is shifted by a few pixels is another frame."""
    wide = texture(64, 240)
    frames = [DriveFrame(np.ascontiguousarray(wide[:, 10 * i : 10 * i + 200]), None) for i in range(4)]
    label = np.zeros((64, 200), np.uint8)
    label[32:], label[60:] = 1, IGNORE
    _, data = cv2.imencode(".jpg", frames[2].image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    copy = Sample(cv2.imdecode(data, cv2.IMREAD_COLOR), label, "um_000000")
    found = list(with_labels(frames, [Sample(255 - copy.image, label, "um_000001"), copy]))
    assert [frame.road is not None for frame in found] == [False, False, True, False]
    (row,) = measure_flicker(lambda image: np.where(label == 1, np.uint8(255), label * 0), found, 0.5, (0.0,))[
        "smoothing"
    ]
    assert row["max_f"] == row["iou"] == 1


def test_the_table_shows_every_setting(capsys):
    image, probability = texture(64, 200), np.full((64, 200), 200, np.uint8)
    figures = measure_flicker(lambda _: probability, [DriveFrame(image, None)] * 3, 0.5, (0.0, 0.6))
    Console(width=150).print(table(figures))
    text = capsys.readouterr().out
    assert "3 frames" in text and " 0.6 " in text and "0.000" in text


@pytest.mark.parametrize(
    ("sizes", "sentence"), [([(64, 200)], "has 1"), ([], "has none"), ([(64, 200), (64, 201)], "differ in size")]
)
def test_a_drive_that_cannot_be_measured_is_refused(sizes, sentence):
    frames = [DriveFrame(texture(*size), None) for size in sizes]
    with pytest.raises(UserError, match=sentence):
        measure_flicker(lambda image: np.zeros(image.shape[:2], np.uint8), frames, 0.5)


@pytest.mark.skipif(not CLIP.is_dir(), reason="needs the KITTI raw clip in ../shared")
def test_on_kitti_the_filter_reduces_flicker_at_equal_max_f(shipped_weights):
    """On two short clips. MaxF leaves out the lowest 12 rows: KITTI's labels end above the image's lower edge."""
    from fcn_road_seg.inference.options import SegmenterOptions
    from fcn_road_seg.inference.segmenter import RoadSegmenter

    segmenter = RoadSegmenter.load(SegmenterOptions(shipped_weights, "cpu"))
    counts, averaged, flickers = PixelCounts(), PixelCounts(), []
    for last, name in LABELLED.items():
        images = [read_rgb(CLIP / f"{i:010d}.png") for i in range(last - 6, last + 1)]
        probabilities = [segmenter(image) for image in images]
        frames = [DriveFrame(image, None) for image in images]
        figures = measure_flicker(answers(probabilities), frames, segmenter.threshold, (0.0, 0.6))
        flickers.append([row["flicker"] for row in figures["smoothing"]])
        smooth, label = TemporalFilter(), KittiRoad(SHARED / "kitti_road", [name])[0].label
        for i, (image, probability) in enumerate(zip(images, probabilities, strict=True)):
            answer = smooth(probability, image, 0.6, (1 + i) * 10**8)
        label[-12:] = IGNORE
        counts.add(probability, label)
        averaged.add(answer, label)
    plain, smoothed = np.mean(flickers, axis=0)
    assert smoothed < 0.6 * plain
    assert averaged.metrics().max_f > counts.metrics().max_f - 0.002
