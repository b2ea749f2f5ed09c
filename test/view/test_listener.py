"""What `road_seg view` subscribes to and shows of a node with several cameras: a fake node in this process."""

from collections import defaultdict
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray
from node_harness import Spinning, frame_message
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from fcn_road_seg.cli.main import main
from fcn_road_seg.ros.diagnostics import IMAGE_TOPIC, MASK_TOPIC, Report, diagnostic_array
from fcn_road_seg.view.figures import Figures
from fcn_road_seg.view.listener import Listener
from fcn_road_seg.view.outputs import OUTPUTS

NODE = "/car/road_seg"
IMAGES = {"left": "/cam/l/compressed", "front": "/cam/f"}  # the node's order is not that of their names


class Viewer:
    """Keeps what it is shown, by output."""

    def __init__(self):
        self.shown = defaultdict(list)

    def wants(self, output):
        return output in OUTPUTS

    def show(self, sample):
        self.shown[sample.output].append(sample.message)

    def show_latency(self, stamp, latency, figures):
        pass

    def show_status(self, now, figures):
        pass


class Cameras(Spinning):
    """A fake node with two cameras, and a listener of the viewer's."""

    def __init__(self, context, camera: str):
        self.node = Node("road_seg", context=context, namespace="/car")
        mounting = {"camera_height": 0.0, "camera_pitch": 0.1, "camera_roll": 0.0, "ground_frame": "base_link"}
        self.node.declare_parameters("", [*mounting.items(), ("front.camera_height", 1.5), ("left.camera_pitch", 0.2)])
        self.outputs = {}
        for name, topic in IMAGES.items():
            kind = CompressedImage if topic.endswith("compressed") else Image
            self.outputs |= {
                f"{name}/{output}": self.node.create_publisher(Image, f"~/{name}/{output}", 1)
                for output in ("mask", "overlay")
            }
            self.outputs[topic] = self.node.create_publisher(kind, topic, 1)
            self.node.create_subscription(kind, topic, lambda _: None, 1)
        self.diagnostics = self.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.viewer, self.figures = Viewer(), Figures(NODE, camera=camera)
        self.listener = Listener(NODE, self.figures, [self.viewer], context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._executor.add_node(self.listener)

    def publish(self) -> None:
        reports = {NODE: [Report("state", 0, "active", {})]}
        for name, topic in IMAGES.items():
            values = {IMAGE_TOPIC: topic, MASK_TOPIC: f"{NODE}/{name}/mask"}
            reports[f"{NODE}/{name}"] = [Report("frames", 0, f"of {name}", values)]
        self.diagnostics.publish(diagnostic_array(self.node.get_clock().now().to_msg(), NODE, reports))
        pixels = np.zeros((4, 6), np.uint8)
        for name, publisher in self.outputs.items():
            if publisher.msg_type is Image:
                publisher.publish(frame_message(pixels, "mono8", 1, name))
            else:
                publisher.publish(CompressedImage(format=name))

    def until(self, condition, what: str) -> None:
        self.spin_until(lambda: self.publish() or condition(), what)

    def frames_of(self, output: str) -> set[str]:
        """The frame_ids, or formats, of what came."""
        return {getattr(each, "format", "") or each.header.frame_id for each in self.viewer.shown[output]}


@contextmanager
def cameras(context, camera: str = ""):
    shown = Cameras(context, camera)
    try:
        yield shown
    finally:
        shown._executor.shutdown()
        shown.listener.destroy_node()
        shown.node.destroy_node()


def test_the_camera_that_is_asked_for_is_shown(context):
    with cameras(context, "front") as shown:
        shown.until(
            lambda: all(shown.viewer.shown[name] for name in ("mask", "overlay", "camera", "transforms")), "its outputs"
        )
        assert shown.frames_of("mask") == {"front/mask"} and shown.frames_of("overlay") == {"front/overlay"}
        assert shown.frames_of("camera") == {"/cam/f"}
        ((transform,), *_) = shown.viewer.shown["transforms"]
        assert (transform.child_frame_id, transform.transform.translation.z) == ("front/mask", 1.5)
        figures = shown.figures.snapshot()
    assert (figures["node"], figures["source"], figures["others"]) == (NODE, f"{NODE}/front", "")
    assert figures["live"] and figures["notice"] == ""
    assert [(each["subject"], each["message"]) for each in figures["statuses"]] == [
        ("state", "active"),
        ("frames", "of front"),
    ]


def test_without_a_choice_it_is_the_node_s_first_camera_and_the_others_are_named(context):
    with cameras(context) as shown:
        shown.until(lambda: shown.viewer.shown["mask"] and shown.viewer.shown["camera"], "a mask and an image")
        assert shown.frames_of("mask") == {"left/mask"} and shown.frames_of("camera") == {"/cam/l/compressed"}
        figures = shown.figures.snapshot()
    assert figures["others"] == "Showing the camera left; --camera NAME shows another: front."
    assert [each["message"] for each in figures["statuses"]] == ["active", "of left"]


def test_a_camera_that_the_node_does_not_have_is_named():
    figures = Figures(NODE, camera="middle")
    figures.present(True)
    figures.cameras(list(IMAGES))
    assert figures.snapshot()["notice"] == f"The node {NODE} has no camera middle; it has left, front."
    figures.cameras([""])
    assert figures.snapshot()["notice"].endswith("it has only one, which has no name.")


def test_a_name_that_no_camera_can_have_is_a_user_error(capsys):
    assert main(["view", "--camera", "a b"]) == 2
    assert capsys.readouterr().err.startswith("road_seg view: --camera is 'a b', but ")
