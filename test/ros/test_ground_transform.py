"""The pose of the camera from TF: chains of static transforms, and the possible results of tf2_ros."""

import contextlib
import sys
import time
import types
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from builtin_interfaces.msg import Time as Stamp
from geometry_msgs.msg import TransformStamped
from node_harness import TIMEOUT, Client
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time

from fcn_road_seg.ground import GroundError
from fcn_road_seg.ros.camera_info_subscription import NotYetError
from fcn_road_seg.ros.ground_transform import GroundTransform, StaticTransforms, take_all
from fcn_road_seg.ros.synthetic_camera import optical_pose

STAMP = Stamp(sec=100)


def matrix(translation, rotation) -> np.ndarray:
    """The 4 x 4 matrix of a pose, computed with OpenCV."""
    vector, w = np.asarray(rotation[:3], float), rotation[3]
    angle = 2 * np.arctan2(np.linalg.norm(vector), w)
    axis = vector / max(np.linalg.norm(vector), 1e-12)
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = cv2.Rodrigues(axis * angle)[0], translation
    return result


@pytest.fixture(scope="module")
def poses() -> dict[str, tuple]:
    """A tree with the root r; a and b are its children, c is a child of b."""
    random = np.random.default_rng(2)
    quaternions = random.normal(size=(3, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1)[:, None]
    return {child: (random.normal(size=3), q) for child, q in zip("abc", quaternions, strict=True)}


@pytest.fixture(scope="module")
def tree(poses) -> StaticTransforms:
    tree = StaticTransforms()
    for parent, child in (("r", "a"), ("r", "b"), ("b", "c")):
        tree.add(parent, child, *poses[child])
    return tree


@pytest.mark.parametrize("target, source", [("r", "c"), ("c", "r"), ("a", "c"), ("c", "a"), ("b", "c"), ("a", "a")])
def test_chains_of_static_transforms_are_the_product_of_their_matrices(tree, poses, target, source):
    in_root = {"r": np.eye(4), "a": matrix(*poses["a"]), "b": matrix(*poses["b"])}
    in_root["c"] = in_root["b"] @ matrix(*poses["c"])
    expected = np.linalg.inv(in_root[target]) @ in_root[source]
    np.testing.assert_allclose(matrix(*tree.lookup(target, source)), expected, atol=1e-9)


def test_frames_that_are_not_connected_are_named(tree):
    with pytest.raises(NotYetError, match="TF does not connect r with the image's frame eye"):
        tree.lookup("r", "eye")


def test_a_loop_ends():
    tree = StaticTransforms()
    for parent, child in (("a", "b"), ("b", "a")):
        tree.add(parent, child, (0, 0, 1), (0, 0, 0, 1))
    with pytest.raises(NotYetError):
        tree.lookup("r", "a")


def test_the_latest_transform_of_a_frame_counts_and_a_slash_does_not():
    tree = StaticTransforms()
    tree.add("r", "a", (0, 0, 1), (0, 0, 0, 1))
    tree.add("/r", "/a", (0, 0, 2), (0, 0, 0, 1))
    assert tree.lookup("r", "a")[0].tolist() == [0, 0, 2]


class TransformError(Exception):
    """The exception of tf2_ros."""


@pytest.fixture
def tf2_ros(monkeypatch) -> SimpleNamespace:
    """A stand-in for tf2_ros: `at` is when the transform was sent in seconds, None if never; `exact` whether it
    reaches to every stamp."""
    state = SimpleNamespace(at=None, exact=False, pitch=0.0, stopped=0, cleared=0, waiting=[], received=[])

    class Buffer:
        def lookup_transform(self, target: str, source: str, time: Time) -> TransformStamped:
            if (target, source) != ("base_link", "eye") or state.at is None or (time.nanoseconds and not state.exact):
                raise TransformError
            pose = optical_pose(1.5, state.pitch)
            found = TransformStamped()
            found.header.stamp = Time(seconds=state.at).to_msg()
            t, r = found.transform.translation, found.transform.rotation
            t.x, t.y, t.z = pose.translation
            r.x, r.y, r.z, r.w = pose.rotation
            return found

        def clear(self):
            state.cleared += 1

    class Handle(contextlib.nullcontext):
        def take_message(self, msg_type, raw):
            return (state.waiting.pop(0), {}) if state.waiting else None

    class TransformListener:
        def __init__(self, buffer, node):
            self.tf_sub = SimpleNamespace(handle=Handle(), msg_type=None)

        def callback(self, message):
            state.received.append(message)

        def unregister(self):
            state.stopped += 1

    module = types.ModuleType("tf2_ros")
    module.Buffer, module.TransformListener, module.TransformException = Buffer, TransformListener, TransformError
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    return state


def test_the_transform_at_the_stamp_is_the_plane(tf2_ros):
    tf2_ros.at, tf2_ros.exact, tf2_ros.pitch = 100.0, True, 0.1
    plane = GroundTransform(None).plane("base_link", "eye", STAMP, -0.2)
    assert plane.translation.tolist() == [0, 0, 1.5] and plane.z == -0.2
    np.testing.assert_allclose(plane.rotation[:, 2], [np.cos(0.1), 0, -np.sin(0.1)], atol=1e-9)


def test_the_newest_transform_is_used_if_it_is_hardly_older(tf2_ros):
    transform = GroundTransform(None)
    tf2_ros.at = 99.9
    assert transform.plane("base_link", "eye", STAMP, 0.0).translation[2] == 1.5
    tf2_ros.at = 98.0
    with pytest.raises(GroundError, match=r"from eye to base_link is 2.00 s older than the image") as error:
        transform.plane("base_link", "eye", STAMP, 0.0)
    assert not isinstance(error.value, NotYetError)


def test_waiting_transforms_are_taken_first_and_a_restarted_bag_does_no_harm(tf2_ros):
    tf2_ros.at, tf2_ros.exact, tf2_ros.waiting = 100.0, True, ["a", "b"]
    transform = GroundTransform(None)
    transform.plane("base_link", "eye", Stamp(sec=-1), 0.0)  # the same as no stamp
    for seconds, cleared in ((100, 0), (103, 0), (102.5, 0), (101, 1), (102, 1)):
        stamp = Time(seconds=seconds).to_msg()
        transform.plane("base_link", "eye", stamp, 0.0)
        assert tf2_ros.received == ["a", "b"] and not tf2_ros.waiting
        assert tf2_ros.cleared == cleared


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


def test_an_image_without_a_stamp_takes_the_newest(tf2_ros):
    tf2_ros.at = 98.0
    assert GroundTransform(None).plane("base_link", "eye", Stamp(), 0.0).translation[2] == 1.5


def test_a_failed_lookup_is_a_sentence(tf2_ros):
    transform = GroundTransform(None)
    with pytest.raises(NotYetError, match="TF does not connect base_link with the image's frame eye"):
        transform.plane("base_link", "eye", STAMP, 0.0)
    with pytest.raises(GroundError, match="images have no frame_id"):
        transform.plane("base_link", "", STAMP, 0.0)
    tf2_ros.at, tf2_ros.exact = 100.0, True
    with pytest.raises(GroundError, match="above the road, but it must be above it"):
        transform.plane("base_link", "eye", STAMP, 2.0)
    transform.stop()
    transform.stop()
    assert tf2_ros.stopped == 1
