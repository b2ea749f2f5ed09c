"""Which frames the node works on: those that somebody listens for, evenly spaced, unless it is paused."""

import itertools
import re
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy.subscription
from diagnostic_msgs.msg import DiagnosticStatus
from in_process_node import InProcessNode
from node_harness import frame_message, mask_pixels, qos
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from fcn_road_seg.frames.image_message import compressed_to_rgb
from fcn_road_seg.ros.demand import IDLE_AFTER, Demand
from fcn_road_seg.ros.environment import isolated_ros_environment
from fcn_road_seg.ros.parameters import NodeParameters

FRAME = cv2.resize(np.random.default_rng(1).integers(0, 256, (6, 10, 3), np.uint8), (97, 61))
IDLE, PAUSED = "idle: nobody listens", "paused: ~/enable was called with false"


class Camera:
    """Frames for a Demand whose clock and listeners the test sets."""

    def __init__(self, **parameters):
        self.now, self.listened_to = 1000.0, True
        self.demand = Demand(lambda: self.listened_to, lambda: self.now)
        self.parameters = replace(NodeParameters(), **parameters)

    def frame_at(self, now: float) -> str:
        self.now = 1000.0 + now
        return self.demand.refusal(self.parameters)

    def taken(self, moments) -> list[float]:
        return [moment for moment in moments if not self.frame_at(moment)]


def test_a_node_is_idle_2_s_after_its_last_listener_and_awake_with_the_next_frame():
    camera = Camera()
    camera.listened_to = False
    assert [camera.frame_at(at) for at in (0.0, IDLE_AFTER, IDLE_AFTER + 0.1)] == ["", "", "idle"]
    camera.listened_to = True
    assert camera.frame_at(2.2) == ""
    camera.listened_to = False
    assert [camera.frame_at(at) for at in (4.1, 4.3)] == ["", "idle"]
    camera.parameters = replace(camera.parameters, always_on=True)
    assert camera.frame_at(9.0) == ""
    camera.demand.paused = True
    assert camera.frame_at(9.1) == "paused"


def test_the_first_frame_after_a_rest_does_not_wait_for_max_fps():
    camera = Camera(max_fps=0.2)
    assert [camera.frame_at(at) for at in (0.0, 0.1)] == ["", "max_fps"]
    camera.listened_to = False
    assert camera.frame_at(2.5) == "idle"
    camera.listened_to = True
    assert [camera.frame_at(at) for at in (2.6, 2.7)] == ["", "max_fps"]


@pytest.mark.parametrize("rate", [30.0, 12.0, 10.0, 7.0])
@pytest.mark.parametrize("max_fps", [3.0, 4.0, 6.0, 8.3, 9.9])
def test_max_fps_is_the_mean_rate_of_a_faster_camera_without_bursts(rate, max_fps):
    jitter = np.random.default_rng(0).uniform(-0.05, 0.05, round(60 * rate)) / rate
    taken = Camera(max_fps=max_fps).taken(np.arange(round(60 * rate)) / rate + jitter)
    wanted = min(rate, max_fps)
    assert 0.85 * wanted < len(taken) / 60 < 1.01 * wanted
    longest = 1 / max_fps + 1.2 / rate  # the period, and what is left until the next frame
    assert all(0.39 / max_fps < b - a < longest for a, b in itertools.pairwise(taken))


def test_a_camera_at_max_fps_loses_no_frame():
    moments = np.arange(600) / 10 + np.random.default_rng(0).uniform(-0.004, 0.004, 600)
    assert len(Camera(max_fps=10.0).taken(moments)) > 595


def test_a_gap_is_not_caught_up():
    camera = Camera(max_fps=2.0)
    assert camera.taken([0, 0.1, 10, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6]) == [0, 10, 10.5]
    camera.parameters = replace(camera.parameters, max_fps=20.0)  # counts at once
    assert camera.frame_at(10.61) == ""


@pytest.fixture
def node(context, small_weights, monkeypatch):
    """An active node that is idle as soon as nobody listens, and a client that does not."""
    monkeypatch.setattr("fcn_road_seg.ros.demand.IDLE_AFTER", 0.0)
    with InProcessNode(context, small_weights, "/front", listen=False) as node:
        yield node.start()


def pass_over(node: InProcessNode, reason: str, message: Image | None = None) -> None:
    """Send a frame until it is passed over."""
    counts = node.camera.statistics.passed_over
    before = counts[reason]

    def passed_over() -> bool:
        node.send(message or frame_message(FRAME, "rgb8", 1))
        node.spin_for(0.05)
        return counts[reason] > before

    node.spin_until(passed_over, "a frame that is passed over")


def first_of(node: InProcessNode, kind: type, topic: str):
    """The first message of an output after a subscription, while the camera goes on."""
    received = []

    def arrived() -> bool:
        node.send(frame_message(FRAME, "rgb8", 2))
        node.spin_for(0.05)
        return bool(received)

    subscription = node.client.create_subscription(kind, f"road_seg/{topic}", received.append, qos())
    node.spin_until(arrived, f"a message on {topic}")
    node.client.destroy_subscription(subscription)
    assert received[0].header == frame_message(FRAME, "rgb8", 2).header
    return received[0]


def test_an_idle_node_counts_frames_says_so_and_wakes_for_any_output(node):
    pass_over(node, "idle")  # although somebody subscribes to /diagnostics
    pass_over(node, "idle", Image(encoding="none of these"))
    statuses = node.diagnostics()
    assert {status.level for status in statuses.values()} == {DiagnosticStatus.OK}
    assert [statuses[name].message for name in ("latency", "road", "scene", "ground")] == 4 * [IDLE]
    assert statuses["frames"].message.startswith(f"{IDLE}; ")
    frames = {value.key: value.value for value in statuses["frames"].values}
    assert frames["frames answered"] == frames["frames dropped"] == "0"  # not even decoded
    assert int(frames["frames passed over: idle"]) >= 2

    mask = mask_pixels(first_of(node, Image, "mask"))
    assert set(np.unique(mask)) == {0, 255}
    pass_over(node, "idle")
    compressed = first_of(node, CompressedImage, "mask/compressed")
    assert compressed.format == "mono8; png compressed "
    np.testing.assert_array_equal(compressed_to_rgb(compressed)[:, :, 0], mask)

    pass_over(node, "idle")
    picture = np.frombuffer(first_of(node, Image, "overlay").data, np.uint8).reshape(FRAME.shape)[:, :, ::-1]
    sizes = {}
    for quality in (100, 30):
        assert node.node.set_parameters([Parameter("jpeg_quality", value=quality)])[0].successful
        message = first_of(node, CompressedImage, "overlay/compressed")
        assert message.format == "bgr8; jpeg compressed bgr8"
        sizes[quality] = len(message.data)
        error = np.abs(compressed_to_rgb(message).astype(int) - picture).mean()
        assert error < {100: 3, 30: 15}[quality]
    assert sizes[30] < sizes[100] / 2


@pytest.mark.skipif(
    not hasattr(rclpy.subscription, "MessageInfo"), reason="before Kilted, frames do not name their publisher"
)
def test_a_node_that_rests_takes_few_frames_and_counts_all(node):
    pass_over(node, "idle")
    statistics = node.camera.statistics
    counted, skipped, taken = statistics.passed_over["idle"], statistics.skipped, len(statistics._arrivals)
    for _ in range(50):
        node.send(frame_message(FRAME, "rgb8", 1))
        node.spin_for(0.01)
    node.spin_until(lambda: statistics.passed_over["idle"] == counted + 50, "the count of all frames")
    assert len(statistics._arrivals) - taken < 40 and statistics.skipped == skipped
    assert node.diagnostics()["frames"].message.startswith(f"{IDLE}; ")
    node.spin_until(lambda: not node.camera.subscription._group.resting, "the end of the rest without frames")


def test_always_on_works_for_nobody(node):
    pass_over(node, "idle")
    assert node.node.set_parameters([Parameter("always_on", value=True)])[0].successful
    node.send(frame_message(FRAME, "rgb8", 1))
    node.spin_until(lambda: node.camera.statistics._answers, "an answer")


def test_a_ground_output_that_is_still_subscribed_to_rests_as_well(node):
    subscription = node.client.create_subscription(PointCloud2, "road_seg/points", lambda _: None, qos())

    def listens_to_camera_info() -> bool:
        node.send(frame_message(FRAME, "rgb8", 1))
        node.spin_for(0.05)
        return bool(node.node.count_subscribers("/front/camera_info"))

    node.spin_until(listens_to_camera_info, "the subscription to camera_info")
    node.camera.demand.paused = True
    node.spin_until(lambda: not listens_to_camera_info(), "its end")
    assert node.diagnostics()["ground"].message == PAUSED
    node.client.destroy_subscription(subscription)


def test_enable_pauses_and_resumes_in_every_state(context, small_weights):
    set_bool = pytest.importorskip("std_srvs.srv", reason="std_srvs is not installed").SetBool

    with InProcessNode(context, small_weights, "/front") as node:
        client = node.client.create_client(set_bool, "road_seg/enable")
        node.spin_until(client.service_is_ready, "the service")

        def enable(value: bool) -> str:
            future = client.call_async(set_bool.Request(data=value))
            node.spin_until(future.done, "an answer")
            assert future.result().success
            return future.result().message

        assert enable(False) == "paused: frames are counted, not segmented"
        assert node.diagnostics()["state"].message == "unconfigured, paused by ~/enable"
        node.start()
        pass_over(node, "paused")
        statuses = node.diagnostics()
        assert statuses["state"].message == "active, paused by ~/enable"
        assert {statuses[name].message for name in ("latency", "road", "scene", "ground")} == {PAUSED}
        assert {status.level for status in statuses.values()} == {DiagnosticStatus.OK} and not node.masks
        assert node.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert enable(True) == "not paused"
        assert node.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        node.spin_for(0.5)  # until client and node have found each other again
        node.answer(frame_message(FRAME, "rgb8", 1))
        assert node.figures("state").items() >= {"state": "active", "enabled": "true"}.items()


def test_without_std_srvs_there_is_no_enable(context, small_weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "std_srvs.srv", None)
    with InProcessNode(context, small_weights, "/front") as node:
        assert not any(service.srv_name.endswith("enable") for service in node.node.services)


def test_the_documented_way_to_ask_for_one_picture(node, domain_id, repository, tmp_path):
    page = (repository / "docs" / "node.md").read_text()
    (program,) = re.findall(r'^```python\n(""".+?)^```$', page, re.DOTALL | re.MULTILINE)
    pass_over(node, "idle")
    cv2.imwrite(str(tmp_path / "picture.png"), FRAME[:, :, ::-1])
    files = str(tmp_path / "picture.png"), str(tmp_path / "mask.png")
    process = subprocess.Popen(
        [sys.executable, "-c", program, *files, "--ros-args", "-r", "__ns:=/front"],
        env=isolated_ros_environment(domain_id),
    )
    node.spin_until(lambda: process.poll() is not None, "the end of the program")
    assert process.returncode == 0
    expected = mask_pixels(first_of(node, Image, "mask"))
    np.testing.assert_array_equal(cv2.imread(files[1], cv2.IMREAD_UNCHANGED), expected)
