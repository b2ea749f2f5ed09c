"""The bond with a lifecycle manager, over DDS, as nav2_lifecycle_manager's end of it listens."""

import sys

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from in_process_node import InProcessNode
from rclpy.lifecycle import TransitionCallbackReturn

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def test_an_active_node_sends_heartbeats_and_says_when_it_stops(context, small_weights, interfaces):
    from bond.msg import Status

    with InProcessNode(context, small_weights, "/bonded") as bonded:
        beats: list[Status] = []
        bonded.client.create_subscription(Status, "bond", beats.append, 10)
        instances = []
        for _ in range(2):
            if not instances:
                bonded.start()
            else:
                bonded.node.trigger_activate()
            beats.clear()
            bonded.spin_until(lambda: len(beats) >= 3, "three heartbeats")
            assert all(beat.active and beat.id == "road_seg" for beat in beats)
            (instance,) = {beat.instance_id for beat in beats}
            instances.append(instance)
            assert (beats[-1].heartbeat_period, beats[-1].heartbeat_timeout) == pytest.approx((0.1, 4.0))
            assert bonded.node._bond.state() == "heartbeats on /bonded/bond, 1 listen"
            bonded.node.trigger_deactivate()
            bonded.spin_until(lambda: not beats[-1].active, "the end of the bond")
            assert beats[-1].instance_id == instance
            count = len(beats)
            bonded.spin_for(0.35)
            assert len(beats) == count
        assert instances[0] != instances[1]
        assert bonded.node._bond.state() == "none: it is for an active node"


@pytest.mark.parametrize("bond, result", [("auto", SUCCESS), ("required", FAILURE)])
def test_without_the_package_only_a_required_bond_refuses(context, small_weights, monkeypatch, bond, result):
    for module in ("bond", "bond.msg"):
        monkeypatch.setitem(sys.modules, module, None)
    with InProcessNode(context, small_weights, f"/{bond}", bond=bond) as node:
        assert node.node.trigger_configure() == SUCCESS
        assert node.node.trigger_activate() == result
        assert node.node._bond.state() == "none: the ROS 2 package bond is not installed"
        refused = "Not activated: the ROS 2 package bond is not installed, but the parameter bond is required"
        assert node.node._failure.startswith(refused) == (result == FAILURE)


def test_a_node_without_a_bond_sends_nothing(context, small_weights, interfaces):
    with InProcessNode(context, small_weights, "/unbonded", bond="none") as node:
        node.start()
        assert node.node._bond.state() == "none: the parameter bond is none"
        assert "/unbonded/bond" not in {publisher.topic_name for publisher in node.node.publishers}
