"""Several nodes in one process, with a context and parameters of their own."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from in_process_node import InProcessNode
from node_harness import frame_message, mask_pixels
from rclpy.parameter import Parameter

from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter
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


def test_an_override_out_of_range_is_an_error(context):
    with pytest.raises(ValueError, match="'threshold' is a double"):
        RoadSegNode(context=context, parameter_overrides=[Parameter("threshold", value=2.0)])
