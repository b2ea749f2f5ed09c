"""The node's diagnostics, without ROS: what is counted, and what is a warning."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fcn_road_seg.inference.options import SHIPPED_WEIGHTS, SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.ros.diagnostics import (
    ERROR,
    OK,
    STALE,
    WARN,
    Report,
    device_report,
    diagnostic_array,
    what_is_faster,
)
from fcn_road_seg.ros.frame_statistics import FrameStatistics

SECONDS = {"decode": 0.001, "preprocess": 0.002, "network": 0.05, "postprocess": 0.003, "publish": 0.001}


class Drive:
    """Frames at 10 Hz through statistics, with a clock that the test sets."""

    def __init__(self):
        self.now = 100.0
        self.statistics = FrameStatistics(lambda: self.now)
        self.sequence = 0

    def frame(self, age: float | None = 0.06, road: float = 0.2, skipped: int = 0, answered: bool = True) -> None:
        self.now += 0.1
        self.sequence += 1 + skipped
        self.statistics.arrived(round(self.now * 1e9), "camera", self.sequence)
        if answered:
            arrival = None if age is None else age - 0.057
            self.statistics.answered(SECONDS, arrival, age, road)

    def frames(self, count: int, **options) -> "Drive":
        for _ in range(count):
            self.frame(**options)
        return self

    def passed_over(self, count: int, reason: str) -> "Drive":
        for _ in range(count):
            self.frame(answered=False)
            self.statistics.pass_over(reason)
        return self

    def report(self, subject: str):
        return next(report for report in self.statistics.reports() if report.subject == subject)


def test_rates_percentiles_and_totals():
    drive = Drive().frames(50, skipped=1)
    frames, latency, road, scene = drive.statistics.reports()
    assert (frames.level, latency.level, road.level, scene.level) == (WARN, OK, OK, OK)
    assert frames.values["input rate (Hz)"] == "19.80"  # the first frame has no predecessor to count from
    assert frames.values["output rate (Hz)"] == "10.00"
    assert frames.values["frames replaced by newer ones or lost"] == "49"
    assert frames.values["last stamp (s)"] == "105.000000000"
    assert latency.values["network p50 (ms)"] == "50.00" and latency.values["decode p99 (ms)"] == "1.00"
    assert latency.values["processing p50 (ms)"] == "57.00"
    assert latency.values["age at publish p50 (ms)"] == "60.00"
    assert road.values["road fraction"] == "0.2000"


def test_only_the_last_ten_seconds_count():
    drive = Drive().frames(300, age=5.0)
    drive.frames(101)
    assert drive.report("latency").level == OK
    assert drive.report("frames").values["frames answered"] == "401"


def test_silence_is_a_warning_then_stale():
    drive = Drive()
    drive.now += 1
    assert drive.report("frames")[1:3] == (STALE, "no image has arrived yet")
    drive.now += 1.5
    assert drive.report("frames")[1:3] == (
        WARN,
        "no image has arrived yet: is the camera running, and is the topic right? road_seg doctor checks both",
    )
    drive.frames(3)
    assert drive.report("frames").level == OK
    drive.now += 3
    assert "for 3 s" in drive.report("frames").sentence and drive.report("frames").level == WARN
    drive.now += 8
    assert drive.report("frames").level == STALE


def test_a_node_that_is_too_slow_for_its_camera_is_a_warning():
    drive = Drive()
    for index in range(36):
        drive.frame(skipped=0 if index % 4 else 6)  # 9.6 frames in and 3.6 masks out, of every 10 s
        drive.now += 0.18
    frames = drive.report("frames")
    rates = float(frames.values["input rate (Hz)"]), float(frames.values["output rate (Hz)"])
    assert rates == pytest.approx((8.4, 3.6), abs=0.3)
    assert frames.level == WARN
    assert frames.sentence.startswith(f"{rates[0]:.1f} frames arrive per second, but only {rates[1]:.1f} masks are")


@pytest.mark.parametrize("skipped, level", [(1, OK), (4, WARN)])
def test_few_replaced_frames_are_not_a_warning(skipped, level):
    drive = Drive()
    for _ in range(10):
        drive.frames(9).frame(skipped=skipped)
    assert drive.report("frames").level == level


def test_what_is_known_of_masks_is_stale_once_they_stop():
    drive = Drive().frames(50)
    drive.now += 1.9
    assert {report.level for report in drive.statistics.reports()} == {OK}
    drive.now += 0.2
    frames, *details = drive.statistics.reports()
    assert frames.level == WARN and [report.level for report in details] == [STALE] * 3
    assert details[0].sentence == "no mask for 2 s; the last status: masks are 60 ms old when published"
    drive.now += 7  # frames come, but none is answered
    drive.frames(3, answered=False)
    assert drive.report("latency").level == drive.report("road").level == drive.report("scene").level == STALE
    assert drive.report("latency").values == {}
    assert {report.level for report in drive.frames(101).statistics.reports()} == {OK}


def test_drops_are_counted_by_reason_and_described():
    drive = Drive().frames(5)
    drive.frames(2, answered=False)
    drive.statistics.drop("data", "10 bytes came")
    assert drive.statistics.drop("age", "it is 300 ms old") == 2
    report = drive.report("frames")
    assert report.level == WARN and "2 frames dropped" in report.sentence and "it is 300 ms old" in report.sentence
    assert (report.values["frames dropped: data"], report.values["frames dropped: age"]) == ("1", "1")
    drive.frames(101)
    assert drive.report("frames").level == OK and drive.report("frames").values["frames dropped"] == "2"


def test_nothing_but_drops_is_an_error():
    drive = Drive().frames(5, answered=False)
    drive.statistics.drop("encoding", "unknown")
    assert drive.report("frames").level == ERROR


def test_the_age_bound_is_a_period_and_an_inference():
    assert Drive().frames(20, age=0.15).report("latency").level == OK
    report = Drive().frames(20, age=0.30).report("latency")
    assert report.level == WARN
    assert "100 % of the masks are older than a period and an inference (157 ms)" in report.sentence
    assert "300 ms: frames are 243 ms old when the node takes them" in report.sentence
    drive = Drive().frames(54)
    assert drive.frames(6, age=5.0).report("latency").level == WARN
    assert Drive().frames(97).frames(3, age=5.0).report("latency").level == OK
    assert "use_sim_time" in Drive().frames(20, age=4e8).report("latency").sentence


def test_preparing_for_a_new_size_is_a_stage_and_the_reason_why_masks_are_late():
    drive = Drive().frames(10)
    assert drive.report("latency").values["prepare p99 (ms)"] == "0.00"
    drive.now += 0.8
    drive.statistics.answered({"prepare": 0.8, **SECONDS}, 0.003, 0.86, 0.2)
    drive.now += 0.06
    drive.statistics.answered(SECONDS, 0.7, 0.76, 0.2)  # it waited meanwhile
    report = drive.report("latency")
    assert report.level == WARN and "the delay from camera to node" not in report.sentence
    assert report.sentence.endswith(
        "810 ms: the network had to be prepared for another frame size (1 of the last 12 frames, up to 800 ms)"
    )
    assert float(report.values["prepare p99 (ms)"]) > 700 and report.values["network p99 (ms)"] == "50.00"
    assert report.values["frames for whose size the network was prepared"] == "1"
    drive.frames(101)
    assert drive.report("latency").level == OK


def test_stamps_that_are_zero_or_ahead_are_reported():
    assert "no stamp" in Drive().frames(5, age=None).report("latency").sentence
    report = Drive().frames(5, age=-0.5).report("latency")
    assert report.level == WARN and "500 ms in the future" in report.sentence
    assert Drive().frames(5, age=-0.02).report("latency")[1:3] == (  # the lag of /clock
        OK,
        "masks are new when published: their stamps are 20 ms ahead, as clocks may differ",
    )


def test_stamps_that_go_back_are_counted():
    drive = Drive().frames(3)
    drive.statistics.arrived(0, "camera", None)  # has no stamp
    drive.statistics.arrived(5, "camera", drive.sequence + 1)
    assert drive.report("frames").values["stamps that went back"] == "1"


def test_a_second_camera_has_its_own_numbers():
    drive = Drive().frames(3)
    drive.statistics.arrived(int(drive.now * 1e9), "another", 900)
    drive.frames(1)
    assert drive.statistics.skipped == 0


def test_the_scene_of_the_last_frame_stays_readable():
    drive = Drive().frames(5)
    drive.statistics.answered(SECONDS, 0.0, 0.06, 0.2, alarm="it is dark")
    assert drive.report("scene").level == OK
    drive.now += 4
    assert drive.report("scene")[1:3] == (STALE, "no mask for 4 s; the last status: it is dark")


def test_a_road_that_vanishes_or_jumps():
    drive = Drive().frames(20)
    drive.frame(road=0.1)
    assert drive.report("road").level == OK
    drive.frame(road=0.001)
    assert drive.report("road").level == WARN and "vanished" in drive.report("road").sentence
    drive.frames(200, road=0.001)
    assert "vanished" in drive.report("road").sentence
    drive.frame(road=0.4)
    assert "jumped by 40 %" in drive.report("road").sentence


def test_a_long_inference_is_not_silence():
    drive = Drive()
    for _ in range(3):
        drive.frame(answered=False)
        drive.now += 4
        drive.statistics.answered(SECONDS, 0.0, 4.0, 0.2)
        assert drive.report("frames").level == OK


@pytest.mark.parametrize(
    "reason, sentence", [("idle", "idle: nobody listens"), ("paused", "paused: ~/enable was called with false")]
)
def test_a_rest_is_ok_and_no_fault(reason, sentence):
    drive = Drive().frames(5)
    drive.statistics.drop("data", "10 bytes came")
    drive.passed_over(200, reason)
    ground = Report("ground", STALE, "no frame for 19 s", {})
    frames, *details = drive.statistics.reports("", 0.0, [ground])
    assert frames.level == OK and re.fullmatch(f"{sentence}; 10.[01] frames arrive per second", frames.sentence)
    assert (frames.values["frames passed over"], frames.values[f"frames passed over: {reason}"]) == ("200", "200")
    assert details == [Report(subject, OK, sentence, {}) for subject in ("latency", "road", "scene", "ground")]
    drive.frame(road=0.9)  # somebody listens; the road has changed meanwhile
    assert {report.level for report in drive.statistics.reports("", 0.0, [])} == {OK}
    assert drive.statistics.reports("", 0.0, [ground])[-1] == ground
    drive.passed_over(1, reason).now += 3  # the camera has stopped
    frames, *details = drive.statistics.reports()
    assert frames.level == WARN and "no image has arrived for 3 s" in frames.sentence
    assert {report.level for report in details} == {STALE}


@pytest.mark.parametrize("reason", ["idle", "paused"])
def test_the_time_of_a_rest_is_in_no_rate_of_masks(reason):
    """What was replaced meanwhile, while the node answered another camera, was not missed."""
    drive = Drive().frames(20)
    for _ in range(5):
        drive.frame(skipped=3, answered=False)
        drive.statistics.pass_over(reason)
        drive.now += 0.3
    drive.frames(1, skipped=3).frames(9)
    frames = drive.report("frames")
    assert frames.values["frames replaced by newer ones or lost"] == "3"  # before the first that was passed over
    assert frames.values[f"frames passed over: {reason}"] == "20"
    assert (frames.level, frames.values["output rate (Hz)"]) == (OK, "7.69")  # 10 in the 1.3 s since it rested
    assert float(frames.values["input rate (Hz)"]) == pytest.approx(10.6, abs=0.1)
    drive.frames(3, answered=False)
    assert drive.report("frames").level == OK  # as few as would be in any other ten seconds
    drive.frames(27, answered=False)
    frames = drive.report("frames")
    assert frames.level == WARN and "but only 2.3 masks are published" in frames.sentence


def test_the_first_mask_after_a_rest_is_not_faster_than_max_fps():
    drive = Drive().passed_over(50, "idle").frames(1)
    frames = drive.statistics.reports("", 0.5)[0]
    assert (frames.level, frames.values["output rate (Hz)"]) == (OK, "0.50")


@pytest.mark.parametrize(
    ("weights", "device", "clause"),
    [
        ("", "cpu", "the weights lite, a smaller network_width or a GPU are faster"),
        ("road", "cuda:0", "the weights lite or a smaller network_width are faster"),
        ("lite", "cpu", "a smaller network_width or a GPU are faster"),
        ("permissive", "cuda:0", "a smaller network_width is faster"),
    ],
)
def test_what_runs_already_is_not_recommended(weights, device, clause):
    checkpoint = SimpleNamespace(path=Path("/share", SHIPPED_WEIGHTS[weights]))
    faster = what_is_faster(SimpleNamespace(checkpoint=checkpoint, device=device))
    assert faster == clause
    drive = Drive().frames(10).frames(30, answered=False)
    sentence = drive.statistics.reports("", 0.0, [], faster)[0].sentence
    assert sentence.endswith(f"newer frames replace those that the node is too slow for; {clause}")


def test_frames_beyond_max_fps_are_not_missed():
    drive = Drive()
    for _ in range(40):
        drive.frames(1, skipped=3).passed_over(1, "max_fps")  # 50 Hz, of which 3 of 4 are replaced during inference
    frames = drive.statistics.reports("", 5.0)[0]
    assert frames.level == OK and frames.sentence.endswith("5.0 masks are published (max_fps is 5)")
    assert (frames.values["max_fps (Hz)"], frames.values["frames passed over: max_fps"]) == ("5", "40")
    too_slow = drive.statistics.reports("", 20.0)[0]
    assert too_slow.level == WARN and "only 5.0 masks are published" in too_slow.sentence


def test_masks_are_not_old_before_the_next_one_is_due():
    drive = Drive()
    for _ in range(4):
        drive.frames(1).passed_over(99, "max_fps")
    reports = drive.statistics.reports("", 0.1)
    assert {report.level for report in reports} == {OK}
    assert reports[0].sentence.endswith(" frames arrive per second, 0.1 masks are published (max_fps is 0.1)")
    drive.passed_over(30, "max_fps")
    assert drive.statistics.reports("", 0.1)[1].level == STALE


def test_after_a_restart_nothing_is_recent():
    drive = Drive().frames(20, age=5.0)
    drive.statistics.restart()
    for subject in ("latency", "road", "scene"):
        assert drive.report(subject)[1:3] == (STALE, "unknown until the next mask")
    assert drive.report("frames").level == STALE and drive.report("frames").values["frames answered"] == "20"


def test_the_report_of_the_device(small_weights, monkeypatch):
    segmenter = RoadSegmenter.load(SegmenterOptions(small_weights, "cpu", "fp32", backend="torch"))
    report = device_report(segmenter, {})
    assert report.level == OK
    assert report.values["network width"] == "128" and report.values["network size"] == "unknown"
    assert report.sentence.endswith("fp32")
    segmenter(np.zeros((480, 640, 3), np.uint8))
    report = device_report(segmenter, {})
    assert report.values["network size"] == "96x64" and report.sentence.endswith("fp32, network 96x64")
    assert report.values["device"] == "cpu" and report.values["precision"] == "fp32"
    assert report.values["backend"] == "torch" and report.values["GPU memory (MB)"] == "none"
    assert report.values["weights"] == str(small_weights) and len(report.values["weights SHA-256"]) == 64
    monkeypatch.setattr("fcn_road_seg.inference.backends.hardware.has_nvidia_gpu", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    report = device_report(RoadSegmenter.load(SegmenterOptions(small_weights, "auto")), {})
    assert report.level == WARN and "NVIDIA GPU" in report.sentence


def test_the_report_names_what_really_runs(small_weights):
    segmenter = RoadSegmenter.load(SegmenterOptions(small_weights, "cpu", "fp32", backend="torch"))
    values = device_report(segmenter, {}).values
    assert values["network SHA-256"] == values["weights SHA-256"] == segmenter.checkpoint.sha256
    segmenter.network_sha256, segmenter.why_not_int8 = "1" * 64, "w_int8.onnx was damaged or altered"
    report = device_report(segmenter, {})
    assert report.values["network SHA-256"] == "1" * 64
    assert report.level == WARN and report.sentence == "running in fp32: w_int8.onnx was damaged or altered"


def test_the_message():
    messages = pytest.importorskip("diagnostic_msgs.msg", reason="ROS 2 is not installed")
    from builtin_interfaces.msg import Time

    reports = Drive().frames(3).statistics.reports()
    message = diagnostic_array(
        Time(sec=7), "/front/road_seg", {"/front/road_seg": reports, "/front/road_seg/left": reports}
    )
    assert isinstance(message, messages.DiagnosticArray) and message.header.stamp.sec == 7
    sources = "/front/road_seg", "/front/road_seg/left"
    assert [status.name for status in message.status] == [f"{name}: {r.subject}" for name in sources for r in reports]
    assert {status.hardware_id for status in message.status} == {"/front/road_seg"}
    assert message.status[0].level == messages.DiagnosticStatus.OK
    assert {value.key: value.value for value in message.status[0].values} == reports[0].values
