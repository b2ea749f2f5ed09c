"""Several nodes in one process, with a context and parameters of their own."""

import re
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from in_process_node import InProcessNode
from node_harness import TIMEOUT, Client, frame_message, mask_pixels, qos
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from fcn_road_seg.frames.image_message import image_to_rgb
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.ros.environment import isolated_ros_environment
from fcn_road_seg.ros.node import RoadSegNode

FRAME = np.random.default_rng(1).integers(0, 256, (40, 64, 3), np.uint8)


def test_two_nodes_in_one_process_have_their_own_topics_and_parameters(context, small_weights):
    probability = RoadSegmenter.load(SegmenterOptions(small_weights, "cpu", backend="torch"))(FRAME)
    low, high = (float(np.quantile(probability, share)) / 255 for share in (0.2, 0.8))
    with (
        InProcessNode(context, small_weights, "/front", threshold=low) as front,
        InProcessNode(context, small_weights, "/rear", threshold=high) as rear,
    ):
        assert front.node.get_fully_qualified_name() == "/front/road_seg"
        assert front.node.context is context and front.node.get_parameter("threshold").value == low
        front.start()
        rear.start()
        roads = [np.count_nonzero(mask_pixels(n.answer(frame_message(FRAME, "rgb8", 1)))) for n in (front, rear)]
        assert roads[0] > 2 * roads[1] > 0
        assert (len(front.masks), len(rear.masks)) == (1, 1)


def test_a_change_of_a_parameter_counts_from_the_next_frame(context, small_weights):
    with InProcessNode(context, small_weights, "/front", threshold=1.0) as front:
        front.start()
        assert not mask_pixels(front.answer(frame_message(FRAME, "rgb8", 1))).any()
        (result,) = front.node.set_parameters([Parameter("threshold", value=0.001)])
        assert result.successful
        assert mask_pixels(front.answer(frame_message(FRAME, "rgb8", 2))).all()
        (result,) = front.node.set_parameters([Parameter("threshold", value=2.0)])
        assert not result.successful
        assert mask_pixels(front.answer(frame_message(FRAME, "rgb8", 3))).all()


def test_the_documented_program_runs_camera_and_node_in_one_process(domain_id, repository, small_weights):
    page = (repository / "docs" / "node.md").read_text()
    (program,) = re.findall(r"^```python\n(import sys.+?)^```$", page, re.DOTALL | re.MULTILINE)
    road_seg = {"weights": small_weights, "device": "cpu", "backend": "torch", "warm_up_width": 0}
    parameters = [f"road_seg:{name}:={value}" for name, value in road_seg.items()]
    parameters += [f"road_seg_camera:{name}" for name in ("width:=128", "height:=64", "frames:=1")]
    arguments = [part for parameter in parameters for part in ("-p", parameter)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--ros-args", *arguments], env=isolated_ros_environment(domain_id)
    )
    client, frames = Client(domain_id), []
    try:
        client.node.create_subscription(Image, "camera/image_raw", frames.append, qos())

        def answered() -> list[Image]:
            assert process.poll() is None, "the program ended"
            return [mask for mask in client.masks if any(frame.header == mask.header for frame in frames)]

        client.spin_until(answered, "the mask of a frame")
        segmenter = RoadSegmenter.load(SegmenterOptions(small_weights, "cpu", backend="torch"))
        np.testing.assert_array_equal(mask_pixels(answered()[0]), segmenter.mask(image_to_rgb(frames[0])))
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        client.close()


def test_an_override_out_of_range_is_an_error(context):
    with pytest.raises(ValueError, match="'threshold' is a double"):
        RoadSegNode(context=context, parameter_overrides=[Parameter("threshold", value=2.0)])
