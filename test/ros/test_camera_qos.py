"""Camera frames of 1.4 MB over DDS: which arrive with which QoS, and that the node follows the camera's."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from node_harness import TIMEOUT, Client, NodeProcess, qos
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image

from fcn_road_seg.ros.child_process import node_listens
from fcn_road_seg.ros.environment import isolated_ros_environment


def camera(domain_id: int, *arguments: str) -> subprocess.Popen:
    program = Path(__file__).parents[1] / "big_camera.py"
    return subprocess.Popen(
        [sys.executable, program, *arguments],
        env=isolated_ros_environment(domain_id),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_with_the_profile_that_ships_every_best_effort_frame_arrives(domain_id):
    client = Client(domain_id)
    arrived = []
    try:
        client.node.create_subscription(Image, "image", arrived.append, qos(ReliabilityPolicy.BEST_EFFORT, 100))
        # So slow that shared memory, which holds 20 of them, outlasts the moments in which a busy machine takes none.
        process = camera(domain_id, "best_effort", "40", "8", "--profile")
        client.spin_until(lambda: process.poll() is not None, "the camera's end")
    finally:
        client.close()
    assert process.returncode == 0
    sent = [int(line) for line in process.stdout.read().split()]
    stamps = [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in arrived]
    assert len(stamps) >= 20 and stamps == sent[-len(stamps) :]  # all since DDS connected the two
    assert all(len(message.data) == 1242 * 375 * 3 for message in arrived)


def test_the_node_follows_cameras_on_fast_dds_defaults(other_domain_id, small_weights, tmp_path):
    """Started before the camera; the camera comes back with the other reliability; two that differ."""
    node = NodeProcess(other_domain_id, tmp_path / "log", weights=small_weights)
    client = Client(other_domain_id)

    def drive(*cameras: str) -> int:
        """Masks for 40 frames of each camera; best-effort frames are small, because the defaults lose large ones."""
        before = len(client.masks)
        processes = [
            camera(other_domain_id, reliability, "40", "10", *(["--small"] if reliability == "best_effort" else []))
            for reliability in cameras
        ]
        client.spin_until(lambda: all(process.poll() is not None for process in processes), "the cameras' end")
        assert [process.wait(TIMEOUT) for process in processes] == [0] * len(processes)
        client.spin_for(0.5)
        return len(client.masks) - before

    try:
        node.wait_for_output("Listening to /image (reliable)")
        client.spin_until(lambda: node_listens(client.node), "the node's subscription and publisher")
        # Newer frames replace some while other work holds the machine, hence the margin and the repetitions.
        assert any(drive("reliable") >= 25 for _ in range(3))
        assert any(drive("best_effort") >= 25 for _ in range(3))
        assert "Listening to /image (best_effort)" in node.output()
        assert any(drive("reliable") >= 25 for _ in range(3))
        assert any(drive("best_effort", "reliable") >= 25 for _ in range(3))
        listened = [line.rpartition("(")[2] for line in node.output().splitlines() if "Listening" in line]
        assert [key for key, _ in itertools.groupby(listened)] == listened  # never the same twice in a row
        assert "best_effort)" in listened[listened.index("best_effort)") + 2 :]
    finally:
        client.close()
        assert node.stop() == 0
    assert "QoS clash" not in node.output()
