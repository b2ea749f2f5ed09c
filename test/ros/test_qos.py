"""The reliability with which to subscribe, and callbacks in a ROS 2 without MessageInfo."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.qos import ReliabilityPolicy

from fcn_road_seg.ros import qos


@pytest.mark.parametrize(
    ("offered", "expected"),
    [("", "RELIABLE"), ("R", "RELIABLE"), ("RR", "RELIABLE"), ("B", "BEST_EFFORT"), ("RB", "BEST_EFFORT")],
)
def test_reliable_if_every_publisher_is(offered, expected):
    names = {"R": ReliabilityPolicy.RELIABLE, "B": ReliabilityPolicy.BEST_EFFORT}
    publishers = [SimpleNamespace(qos_profile=SimpleNamespace(reliability=names[letter])) for letter in offered]
    node = SimpleNamespace(get_publishers_info_by_topic=lambda topic: publishers)
    assert qos.offered_reliability(node, "/image") == ReliabilityPolicy[expected]


def test_this_rclpy_passes_message_infos():
    """Humble's, of which there are no wheels, is the only one that does not."""
    assert qos.HAS_MESSAGE_INFO


@pytest.mark.parametrize("has_message_info", [True, False])
def test_a_callback_gets_an_empty_message_info_in_humble(monkeypatch, has_message_info):
    calls = []
    monkeypatch.setattr(qos, "HAS_MESSAGE_INFO", has_message_info)
    callback = qos.with_message_info(lambda message, info: calls.append((message, info)))
    callback("message", {"publisher_gid": 1}) if has_message_info else callback("message")
    assert calls == [("message", {"publisher_gid": 1} if has_message_info else {})]
