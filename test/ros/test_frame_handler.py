"""Which frames the node refuses before it works on them."""

from dataclasses import replace
from unittest.mock import MagicMock

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image  # noqa: E402

from fcn_road_seg.ros.demand import Demand  # noqa: E402
from fcn_road_seg.ros.frame_handler import FrameHandler  # noqa: E402
from fcn_road_seg.ros.frame_statistics import FrameStatistics  # noqa: E402
from fcn_road_seg.ros.load_segmenter import check_together  # noqa: E402
from fcn_road_seg.ros.parameter import ParameterError  # noqa: E402
from fcn_road_seg.ros.parameters import NodeParameters  # noqa: E402


def test_a_frame_of_more_than_max_pixels_is_dropped_and_counted():
    statistics, segmenter = FrameStatistics(), MagicMock()
    handler = FrameHandler(MagicMock(), MagicMock(), (), MagicMock(), Demand(lambda: True), statistics, MagicMock())
    huge = Image(encoding="mono8", width=16384, height=8192, step=16384)  # its data are not looked at
    handler.handle(huge, {}, segmenter, NodeParameters())
    segmenter.assert_not_called()
    assert statistics.dropped == {"size": 1} and "more than max_pixels (16000000)" in statistics.last_drop
    handler.handle(huge, {}, segmenter, replace(NodeParameters(), max_pixels=2**27))
    assert statistics.dropped == {"size": 1, "data": 1}


def test_a_frame_that_nobody_needs_is_counted_and_not_looked_at():
    now, listened_to = [100.0], [True]
    statistics, segmenter, outputs = FrameStatistics(), MagicMock(), MagicMock()
    demand = Demand(lambda: listened_to[0], lambda: now[0])
    handler = FrameHandler(MagicMock(), MagicMock(), (outputs,), MagicMock(), demand, statistics, MagicMock())
    bad = Image(encoding="none of these")
    handler.handle(bad, {}, segmenter, NodeParameters())
    listened_to[0], now[0] = False, 103.0
    handler.handle(bad, {}, segmenter, NodeParameters())
    assert statistics.dropped == {"size": 1} and statistics.passed_over == {"idle": 1}
    outputs.stop.assert_called_once_with()
    handler.handle(bad, {}, segmenter, replace(NodeParameters(), always_on=True, max_fps=1.0))
    now[0] += 0.5
    handler.handle(bad, {}, segmenter, replace(NodeParameters(), always_on=True, max_fps=1.0))
    assert statistics.dropped == {"size": 2} and statistics.passed_over == {"idle": 1, "max_fps": 1}
    demand.paused = True
    handler.handle(bad, {}, segmenter, replace(NodeParameters(), always_on=True))
    assert statistics.dropped == {"size": 2} and statistics.passed_over == {"idle": 1, "max_fps": 1, "paused": 1}
    assert outputs.stop.call_count == 2


def test_a_warm_up_of_more_than_max_pixels_is_refused():
    values = replace(NodeParameters(), warm_up_width=5000, warm_up_height=4000)
    with pytest.raises(ParameterError, match="warm_up_height is 5000x4000, .* raise max_pixels or lower the warm-up"):
        check_together(values)
