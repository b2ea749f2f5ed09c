"""The road plane from TF: what is wrong with it is a sentence, and no transform waits for the executor."""

import time

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from builtin_interfaces.msg import Time as Stamp
from geometry_msgs.msg import TransformStamped
from node_harness import TIMEOUT, Client
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from fcn_road_seg.ground import GroundError
from fcn_road_seg.ros.ground_transform import GroundTransform, take_all


def test_all_waiting_messages_are_taken_at_once(domain_id):
    client = Client(domain_id)
    try:
        many = QoSProfile(depth=100, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
        received = []
        subscription = client.node.create_subscription(Stamp, "/many", received.append, many)
        publisher = client.node.create_publisher(Stamp, "/many", many)
        client.spin_until(publisher.get_subscription_count, "the subscription")
        for second in range(50):
            publisher.publish(Stamp(sec=second))
        deadline = time.monotonic() + TIMEOUT
        while len(received) < 50 and time.monotonic() < deadline:
            take_all(subscription, received.append)
        assert [stamp.sec for stamp in received] == list(range(50))
    finally:
        client.close()


def test_a_frame_that_moves_is_looked_up_at_the_stamp_and_a_plane_above_the_camera_is_refused(domain_id, interfaces):
    from tf2_msgs.msg import TFMessage

    client, arrived = Client(domain_id), []
    transform = GroundTransform(client.node, lambda: arrived.append(1))
    try:
        with pytest.raises(GroundError, match="images have no frame_id"):
            transform.plane("base_link", "", 1, 0.0)
        with pytest.raises(GroundError, match="TF does not connect base_link with the image's frame eye"):
            transform.plane("base_link", "eye", 1, 0.0)  # subscribes
        publisher = client.node.create_publisher(TFMessage, "/tf", 10)
        client.spin_until(publisher.get_subscription_count, "the subscription")
        client.spin_until(lambda: client.node.count_publishers("/tf"), "the publisher")
        for second in (7.0, 7.2):
            sent = TransformStamped(child_frame_id="eye")
            sent.header.frame_id = "base_link"
            sent.header.stamp = Stamp(sec=7, nanosec=round((second - 7) * 1e9))
            sent.transform.translation.z = second - 6
            publisher.publish(TFMessage(transforms=[sent]))
        client.spin_until(lambda: len(arrived) == 2, "the transforms")
        assert transform.plane("base_link", "eye", 7_100_000_000, 0.5).translation[2] == pytest.approx(1.1)
        with pytest.raises(GroundError, match="above the road, but it must be above it"):
            transform.plane("base_link", "eye", 7_000_000_000, 2.0)
        transform.stop()
        transform.stop()
        assert not client.node.count_subscribers("/tf")
    finally:
        client.close()
