"""The out-of-domain alarm: silent on roads, raised on other images."""

import json

import cv2
import numpy as np
import pytest

from fcn_road_seg.cli import alarm_rates
from fcn_road_seg.evaluation.alarm_rates import alarms
from fcn_road_seg.evaluation.corrupted_frames import KINDS
from fcn_road_seg.frames.image_file import images_in, read_rgb, write_image
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.postprocess.out_of_domain import Look, alarm, look
from fcn_road_seg.ros.diagnostics import OK, WARN
from fcn_road_seg.ros.frame_statistics import FrameStatistics
from fcn_road_seg.synthetic import Camera, SyntheticDrive

WEATHERS = list(enumerate(("sun", "overcast", "wet", "sun")))
ROAD = Look(light=250, contrast=60, sharpness=0.3, road=0.2, doubt=0.2, road_above=0.0)
NOTICED_BY_IMAGE = [kind for kind in KINDS if kind not in ("upside down", "indoors (drawn)", "covered 70 %")]


@pytest.fixture(scope="module")
def drives() -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames and a good P(road) x 255 of each, uncertain only at the road's edges."""
    camera = Camera.of_size(621, 188)
    frames = [SyntheticDrive(seed=20 + i, frames=1, weather=weather, camera=camera)[0] for i, weather in WEATHERS]
    return [(f.image, cv2.GaussianBlur(f.road.astype(np.uint8) * 255, (0, 0), 2)) for f in frames]


def test_roads_raise_no_alarm(drives):
    assert [alarm(look(*drive)) for drive in drives] == [""] * len(drives)


@pytest.mark.parametrize("kind", NOTICED_BY_IMAGE)
def test_a_corrupted_image_is_noticed_whatever_the_probability(drives, kind):
    rng = np.random.default_rng(0)
    assert all(alarm(look(KINDS[kind](frame, rng), answer)) for frame, answer in drives)


@pytest.mark.parametrize("kind", KINDS)
def test_corrupted_frames_keep_shape_and_type(drives, kind):
    frame = drives[0][0]
    before = frame.copy()
    first, again = (KINDS[kind](frame, np.random.default_rng(5)) for _ in range(2))
    assert first.shape == frame.shape and first.dtype == np.uint8 and np.array_equal(first, again)
    assert np.array_equal(frame, before) and not np.array_equal(first, frame)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"light": 60}, "dark"),
        ({"contrast": 10}, "one colour"),
        ({"sharpness": 0.1}, "blurred"),
        ({"road": 0.01, "doubt": 0.0}, "no road"),
        ({"doubt": 1.0}, "in doubt"),
        ({"road_above": 0.3}, "in doubt"),
    ],
)
def test_each_reason_has_its_sentence(change, text):
    assert alarm(ROAD) == ""
    assert text in alarm(ROAD._replace(**change))


def test_statistics_of_a_drawn_frame():
    frame = np.zeros((100, 288, 3), np.uint8)
    frame[:, 144:] = 200
    answer = np.zeros((100, 288), np.uint8)
    answer[80:] = 255
    answer[60:80] = 128
    seen = look(frame, answer)
    assert seen.light == 200 and seen.contrast == pytest.approx(100, abs=1)
    assert seen.road == pytest.approx(0.4) and seen.doubt == pytest.approx(0.5) and seen.road_above == 0
    assert look(frame, answer[::-1]).road_above == 1
    assert look(frame[:, ::-1], answer) == seen


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (33, 17), (2000, 40), (375, 1242)])
def test_any_size_and_any_strides(shape):
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for picture in (frame, frame[..., ::-1], np.zeros_like(frame)):
        seen = look(picture, picture[..., 0])
        assert all(np.isfinite(seen)) and isinstance(alarm(seen), str)


def test_the_shipped_weights_on_synthetic_streets(shipped_weights, drives):
    segmenter = RoadSegmenter.load(SegmenterOptions(shipped_weights, "cpu"))
    turned = [np.ascontiguousarray(frame[::-1, ::-1]) for frame, _ in drives]
    assert [alarm(look(frame, segmenter(frame))) for frame, _ in drives].count("") >= len(drives) - 1
    assert sum(bool(alarm(look(frame, segmenter(frame)))) for frame in turned) >= len(drives) - 1


def test_the_shipped_weights_on_real_streets(repository, shipped_weights):
    data = repository.parent / "shared" / "data"
    if not data.is_dir():
        pytest.skip("KITTI Road and CamVid are not in ../shared/data")
    segmenter = RoadSegmenter.load(SegmenterOptions(shipped_weights, "cpu"))
    files = images_in(data / "kitti_road" / "testing" / "image_2")[::15] + images_in(data / "camvid" / "test")[::25]
    found = alarms(segmenter, files, ["upside down", "lens cap", "indoors (drawn)"], every=4)
    assert len(found[""]) > 15 and sum(map(bool, found.pop(""))) <= 1
    for kind, sentences in found.items():
        assert sum(map(bool, sentences)) >= 0.9 * len(sentences) - 1, kind


def test_the_command_reports_the_rates(small_weights, tmp_path, drives, capsys):
    for folder in ("roads", "rooms", "empty"):
        (tmp_path / folder).mkdir()
    for i in range(2):
        write_image(tmp_path / "roads" / f"{i}.png", drives[i][0])
    write_image(tmp_path / "rooms" / "black.png", np.zeros((60, 80, 3), np.uint8))
    roads, figures = str(tmp_path / "roads"), tmp_path / "figures.json"
    weights = ["--weights", str(small_weights)]
    more = ["--no-road", str(tmp_path / "rooms"), "--every", "2", "--json", str(figures)]
    assert alarm_rates.main([roads, *weights, *more]) == 0
    assert "| lens cap | 1 | 1 (100.0 %) |" in capsys.readouterr().out
    found = json.loads(figures.read_text())
    assert found["ordinary"]["all of them"]["frames"] == 2 and set(found["spoilt"]) == set(KINDS)
    assert found["no_road"][str(tmp_path / "rooms")] == {"frames": 1, "alarms": 1, "rate": 1.0}
    assert alarm_rates.main([str(tmp_path / "empty"), *weights]) == 2
    assert "no images" in capsys.readouterr().err
    assert alarm_rates.main([roads, "--every", "0", *weights]) == 2
    assert read_rgb(tmp_path / "roads" / "0.png").shape == drives[0][0].shape


def test_diagnostics_warn_when_most_of_the_last_frames_look_wrong():
    now = 100.0
    statistics = FrameStatistics(lambda: now)

    def drive(frames: int, sentence: str):
        nonlocal now
        for _ in range(frames):
            now += 0.1
            statistics.answered({"network": 0.01}, 0.0, 0.0, 0.2, sentence)
        return next(report for report in statistics.reports() if report.subject == "scene")

    assert drive(30, "").level == OK
    assert drive(5, "it is dark").level == OK
    warning = drive(10, "it is dark")
    assert warning.level == WARN and warning.sentence == "it is dark"
    assert drive(15, "").level == OK
