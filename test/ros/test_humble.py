"""This package with an rclpy that looks like ROS 2 Humble's; `humble` says what of it differs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from lifecycle_msgs.msg import Transition
from node_harness import Client, NodeProcess, frame_message, mask_pixels

from fcn_road_seg.ros.environment import isolated_ros_environment

TESTS = str(Path(__file__).parents[1])
STAND_IN = f"import sys; sys.path.insert(0, {TESTS!r}); import humble"


def test_the_node_answers_and_refuses_what_its_state_does_not_allow(domain_id, small_weights, tmp_path):
    node = NodeProcess(domain_id, tmp_path / "log", STAND_IN, weights=small_weights)
    client = Client(domain_id)
    try:
        camera = client.camera()
        mask = client.answer(camera, frame_message(np.full((60, 192, 3), 90, np.uint8), "rgb8", 1))
        assert mask_pixels(mask).shape == (60, 192)
        for number in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_CLEANUP):
            assert not client.change_state(number)
        assert client.state() == "active"
        assert node.output().count("A transition was refused: No transition matching") == 3
        assert client.diagnostics()["faults"].values == []
        assert client.change_state("deactivate") and client.change_state("cleanup") and client.state() == "unconfigured"
    finally:
        client.close()
        assert node.stop() == 0
    assert "Traceback" not in node.output()


RECORD = """
import json, sys, rclpy
from types import SimpleNamespace
from sensor_msgs.msg import Image
from fcn_road_seg.demo.recorder import Recorder
from fcn_road_seg.ros.start import start_ros

start_ros()
written = []
writer = SimpleNamespace(
    add_connection=lambda topic, *_, **__: SimpleNamespace(topic=topic), write=lambda *row: written.append(row[:2])
)
recorder = Recorder(writer)
(camera,) = recorder.cameras
camera.stamps = [7 * 10**9]
frame = Image()
frame.header.stamp.sec = 7
publishers = [recorder.create_publisher(Image, topic, 1) for topic in ("image", "road_seg/mask")]
while not (camera.sent and camera.received):
    for publisher in publishers:
        publisher.publish(frame)
    rclpy.spin_once(recorder, timeout_sec=0.1)
print(json.dumps([list(camera.sent), list(camera.received), written[0][1]]))
"""


def test_the_demo_records(domain_id):
    assert json.loads(run(RECORD, domain_id)) == [[7 * 10**9], [7 * 10**9], 7 * 10**9]


LISTEN = """
import rclpy
from sensor_msgs.msg import Image
from fcn_road_seg.ros.start import start_ros
from fcn_road_seg.view.figures import Figures
from fcn_road_seg.view.listener import Listener

start_ros()
figures = Figures("/road_seg")
listener = Listener("/road_seg", figures, [])
publisher = listener.create_publisher(Image, "/road_seg/mask", 1)
while figures.snapshot()["mask_age_s"] is None:
    publisher.publish(Image())
    rclpy.spin_once(listener, timeout_sec=0.1)
print("received")
"""


def test_the_viewer_receives_masks(domain_id):
    assert run(LISTEN, domain_id) == "received\n"


def test_every_module_of_ros_is_imported(domain_id):
    modules = (
        "bags.play", "benchmark.mask_listener", "demo.run", "doctor.graph", "ros.node", "ros.synthetic_camera",
        "view.listener",
    )  # fmt: skip
    assert run("".join(f"import fcn_road_seg.{module}\n" for module in modules), domain_id) == ""


def run(program: str, domain_id: int) -> str:
    """What a program prints that starts with Humble's stand-in."""
    done = subprocess.run(
        [sys.executable, "-c", f"{STAND_IN}\n{program}"],
        env=isolated_ros_environment(domain_id),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
