"""Where the camera is, from TF: chains of static transforms, and what tf2_ros may answer."""

import sys
import types
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from builtin_interfaces.msg import Time as Stamp
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time

from fcn_road_seg.camera_info import NotYetError
from fcn_road_seg.ground import GroundError
from fcn_road_seg.ground_transform import GroundTransform, StaticTransforms
from fcn_road_seg.synthetic_camera import optical_pose

STAMP = Stamp(sec=100)


def matrix(translation, rotation) -> np.ndarray:
    """4 x 4 of a pose, by way of OpenCV."""
    vector, w = np.asarray(rotation[:3], float), rotation[3]
    angle = 2 * np.arctan2(np.linalg.norm(vector), w)
    axis = vector / max(np.linalg.norm(vector), 1e-12)
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = cv2.Rodrigues(axis * angle)[0], translation
    return result


@pytest.fixture(scope="module")
def poses() -> dict[str, tuple]:
    """A tree: its root r; a and b in it, c in b."""
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


def test_the_latest_word_on_a_frame_counts_and_a_slash_does_not():
    tree = StaticTransforms()
    tree.add("r", "a", (0, 0, 1), (0, 0, 0, 1))
    tree.add("/r", "/a", (0, 0, 2), (0, 0, 0, 1))
    assert tree.lookup("r", "a")[0].tolist() == [0, 0, 2]


class TransformError(Exception):
    """What tf2_ros raises."""


@pytest.fixture
def tf2_ros(monkeypatch) -> SimpleNamespace:
    """A stand-in for tf2_ros: `at` is when the transform was sent in seconds, None if never; `exact` whether it
    reaches to every stamp."""
    state = SimpleNamespace(at=None, exact=False, pitch=0.0, stopped=0)

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

    class TransformListener:
        def __init__(self, buffer, node):
            pass

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


def test_the_newest_transform_serves_if_it_is_hardly_older(tf2_ros):
    transform = GroundTransform(None)
    tf2_ros.at = 99.9
    assert transform.plane("base_link", "eye", STAMP, 0.0).translation[2] == 1.5
    tf2_ros.at = 98.0
    with pytest.raises(GroundError, match=r"from eye to base_link is 2.00 s older than the image") as error:
        transform.plane("base_link", "eye", STAMP, 0.0)
    assert not isinstance(error.value, NotYetError)


def test_an_image_without_a_stamp_takes_the_newest(tf2_ros):
    tf2_ros.at = 98.0
    assert GroundTransform(None).plane("base_link", "eye", Stamp(), 0.0).translation[2] == 1.5


def test_what_tf_cannot_say_is_a_sentence(tf2_ros):
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
