"""Why no image arrives although the camera's topic has a publisher: the log and /diagnostics say it."""

import os
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from node_harness import Spinning, qos
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from fcn_road_seg.ground import GroundError
from fcn_road_seg.ros import attitude_subscription, camera_info_subscription, camera_subscription
from fcn_road_seg.ros import qos as qos_module
from fcn_road_seg.ros.camera_info_subscription import CameraInfoSubscription
from fcn_road_seg.ros.camera_subscription import CameraSubscription
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.frame_statistics import FrameStatistics


class Listening(Spinning):
    """A CameraSubscription in a node of its own, and a camera in another DDS participant; a context manager."""

    def __init__(self, context, namespace: str, message_type: type = Image):
        self.node = rclpy.create_node("listener", context=context, namespace=namespace)
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=context.get_domain_id())
        self.camera = rclpy.create_node("camera", context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self.arrived: list = []
        self.subscription = CameraSubscription(
            self.node, FaultLog(self.node), lambda message, _: self.arrived.append(message), lambda: False
        )
        self.subscription.start(message_type)

    def __enter__(self) -> "Listening":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self.camera.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """The warnings of every node in this process."""
    said: list[str] = []
    monkeypatch.setattr("rclpy.impl.rcutils_logger.RcutilsLogger.warning", lambda _, text, **__: said.append(text))
    return said


@pytest.mark.parametrize(
    "offered, expected, text",
    [
        (
            CompressedImage,
            Image,
            "{} is published as sensor_msgs/msg/CompressedImage, not as sensor_msgs/msg/Image: "
            "set image_transport to compressed",
        ),
        (
            Image,
            CompressedImage,
            "{} is published as sensor_msgs/msg/Image, not as sensor_msgs/msg/CompressedImage: "
            "set image_transport to raw",
        ),
        (
            PointCloud2,
            Image,
            "{} is published as sensor_msgs/msg/PointCloud2, not as sensor_msgs/msg/Image: "
            "remap image to the topic of a camera",
        ),
    ],
)
def test_the_topic_has_another_type(context, said, offered, expected, text):
    namespace = f"/{offered.__name__}_for_{expected.__name__}"
    sentence = text.format(f"{namespace}/image")
    with Listening(context, namespace, expected) as listening:
        publisher = listening.camera.create_publisher(offered, "image", qos())
        listening.spin_until(lambda: listening.subscription.problem, "the node's look at the publishers")
        assert listening.subscription.problem == sentence
        listening.spin_for(1.2)  # two more looks
        assert said == [f"No image arrives: {sentence}"]  # once
        listening.camera.destroy_publisher(publisher)
        listening.camera.create_publisher(expected, "image", qos())
        listening.spin_until(lambda: not listening.subscription.problem, "the end of the problem")


def test_diagnostics_say_why_nothing_arrives():
    now = [0.0]
    statistics = FrameStatistics(lambda: now[0])
    now[0] = 5.0
    frames, *_ = statistics.reports("/image is published as something else")
    assert frames.sentence == "no image has arrived yet: /image is published as something else"
    frames, *_ = statistics.reports()
    assert "is the camera running" in frames.sentence


def test_another_user_s_camera_is_named_only_while_nothing_arrives(context, said, monkeypatch):
    monkeypatch.setattr(camera_subscription, "SILENCE", 0.2)
    monkeypatch.setattr(camera_subscription, "foreign_shared_memory", lambda variables, user: [os.getuid()])
    with Listening(context, "/other_user") as listening:
        listening.spin_for(0.7)
        assert listening.subscription.problem == ""  # nobody publishes
        publisher = listening.camera.create_publisher(Image, "image", qos())
        listening.spin_until(lambda: listening.subscription.problem, "the look for a reason")
        assert listening.subscription.problem.startswith("processes of another user (")
        assert listening.subscription.problem.endswith("run the camera and the node as the same user")
        monkeypatch.setattr(camera_subscription, "SILENCE", 60.0)

        def arrived() -> bool:
            publisher.publish(Image())
            return bool(listening.arrived)

        listening.spin_until(arrived, "an image")
        listening.spin_until(lambda: not listening.subscription.problem, "the end of the problem")
    assert len(said) == 1


def test_camera_info_has_another_type(context, monkeypatch):
    monkeypatch.setattr(qos_module, "LOOK_PERIOD", 0.0)
    node = rclpy.create_node("calibrated", context=context, namespace="/info")
    publisher = node.create_publisher(Image, "camera_info", qos())
    subscription = CameraInfoSubscription(node)
    deadline = time.monotonic() + 60
    while not node.count_publishers("/info/camera_info") and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(GroundError) as error:
        subscription.matching(Header(), (64, 40))
    assert str(error.value) == (
        "/info/camera_info is published as sensor_msgs/msg/Image, not as sensor_msgs/msg/CameraInfo: "
        "make the camera publish its calibration; if it does so elsewhere, remap camera_info"
    )
    assert subscription.missing() == str(error.value)
    node.destroy_publisher(publisher)
    node.create_publisher(CameraInfo, "camera_info", qos())
    while "Image" in str(node.get_publishers_info_by_topic("/info/camera_info")) and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(GroundError, match="no camera_info has arrived on /info/camera_info$"):
        subscription.matching(Header(), (64, 40))
    assert not subscription.missing()
    node.destroy_node()


def test_frames_without_calibration_or_attitude_do_not_each_query_the_graph(monkeypatch):
    looks = []
    for module in (attitude_subscription, camera_info_subscription):
        monkeypatch.setattr(module, "other_types", lambda *_: looks.append("types") or [])
    monkeypatch.setattr(camera_info_subscription, "topics_of_type", lambda *_: looks.append("topics") or ["/a/info"])
    monkeypatch.setattr(attitude_subscription, "create_overridable_subscription", lambda *_: None)
    monkeypatch.setattr(attitude_subscription, "take_all", lambda *_: None)
    node = SimpleNamespace(resolve_topic_name=str, count_publishers=lambda _: 0)
    info = CameraInfoSubscription(node)
    attitude = attitude_subscription.AttitudeSubscription(node, lambda: None, lambda: 0.0)
    attitude.start("imu")
    attitude._subscription = SimpleNamespace()
    for period in (60.0, 60.0, 60.0, 0.0):
        monkeypatch.setattr(qos_module, "LOOK_PERIOD", period)
        with pytest.raises(GroundError, match="start the node with --ros-args -r camera_info:=/a/info"):
            info.matching(Header(), (64, 40))
        with pytest.raises(GroundError, match="no attitude has come from imu so far"):
            attitude.at(7)
    assert looks == 2 * ["types", "topics", "types"]
