"""Poses from TF: chains of static and moving frames, and what is unknown."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from fcn_road_seg.ros.camera_info_subscription import NotYetError
from fcn_road_seg.ros.history import LateTransformError
from fcn_road_seg.ros.transform_tree import TransformTree

SECOND = 10**9
AT_REST = (0.0, 0.0, 0.0, 1.0)


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
def tree(poses) -> TransformTree:
    """The frame b moves, but has the pose of `poses` at second 7."""
    tree = TransformTree()
    for parent, child in (("r", "a"), ("b", "c")):
        tree.add(parent, child, *poses[child], static=True)
    for second, (translation, rotation) in ((6.8, poses["a"]), (7, poses["b"]), (7.2, poses["c"])):
        tree.add("r", "b", translation, rotation, round(second * SECOND))
    return tree


@pytest.mark.parametrize("target, source", [("r", "c"), ("c", "r"), ("a", "c"), ("c", "a"), ("b", "c"), ("a", "a")])
def test_chains_of_transforms_are_the_product_of_their_matrices(tree, poses, target, source):
    in_root = {"r": np.eye(4), "a": matrix(*poses["a"]), "b": matrix(*poses["b"])}
    in_root["c"] = in_root["b"] @ matrix(*poses["c"])
    expected = np.linalg.inv(in_root[target]) @ in_root[source]
    np.testing.assert_allclose(matrix(*tree.lookup(target, source, 7 * SECOND)), expected, atol=1e-9)


def test_frames_that_are_not_connected_are_named(tree):
    with pytest.raises(NotYetError, match="TF does not connect r with the image's frame eye"):
        tree.lookup("r", "eye", 7 * SECOND)


def test_a_loop_ends():
    tree = TransformTree()
    for parent, child in (("a", "b"), ("b", "a")):
        tree.add(parent, child, (0, 0, 1), AT_REST, static=True)
    with pytest.raises(NotYetError, match="TF does not connect"):
        tree.lookup("r", "a", 0)


def test_the_latest_transform_of_a_static_frame_counts_and_a_slash_does_not():
    tree = TransformTree()
    tree.add("r", "a", (0, 0, 1), AT_REST, static=True)
    tree.add("/r", "/a", (0, 0, 2), AT_REST, static=True)
    assert tree.lookup("r", "a", 5).translation.tolist() == [0, 0, 2]


def moving(*heights_at: tuple[float, float]) -> TransformTree:
    """A frame a above r: heights at seconds, in the order in which they are published."""
    tree = TransformTree()
    for second, height in heights_at:
        tree.add("r", "a", (0, 0, height), AT_REST, round(second * SECOND))
    return tree


def height(tree: TransformTree, second: float) -> float:
    return tree.lookup("r", "a", round(second * SECOND)).translation[2]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_a_pose_between_two_is_interpolated_in_whatever_order_they_came(order):
    published = [(1.0, 1.0), (1.2, 2.0), (1.4, 1.0)]
    tree = moving(*(published[i] for i in order), (1.2, 3.0))  # the last of a stamp counts
    heights = [height(tree, second) for second in (1.0, 1.05, 1.2, 1.3, 1.4)]
    np.testing.assert_allclose(heights, [1, 1.5, 3, 2, 1], atol=1e-9)


def test_a_rotation_is_interpolated_along_the_shorter_arc():
    tree = TransformTree()
    for second, angle, sign in ((1.0, 0.2, 1), (1.2, 1.4, -1)):
        tree.add(
            "r", "a", (0, 0, 0), (0, sign * np.sin(angle / 2), 0, sign * np.cos(angle / 2)), round(second * SECOND)
        )
    rotation = tree.lookup("r", "a", round(1.05 * SECOND)).rotation
    np.testing.assert_allclose(matrix((0, 0, 0), rotation)[:3, :3], cv2.Rodrigues(np.array([0, 0.5, 0]))[0], atol=1e-9)


@pytest.mark.parametrize(
    "second, text",
    [
        (1.9, "the newest transform from a to r is 0.30 s older than the image"),
        (0.7, "the oldest transform from a to r is 0.30 s newer than the image"),
        (1.3, "was not published for 0.60 s around the image: publish it at least every 0.5 s"),
    ],
)
def test_nothing_is_extrapolated_or_bridged(second, text):
    with pytest.raises(LateTransformError, match=text):
        height(moving((1.0, 1.0), (1.6, 1.0)), second)


def test_without_a_time_the_newest_that_is_known_counts():
    tree = moving((1.0, 1.0), (1.2, 2.0))
    tree.add("a", "b", (0, 0, 0), AT_REST, round(1.1 * SECOND))
    assert tree.lookup("r", "b", 0).translation[2] == pytest.approx(1.5)


def test_what_went_before_a_restart_is_forgotten():
    tree = moving((8.0, 1.0), (8.2, 1.0))
    tree.add("a", "b", (0, 0, 1), AT_REST, round(8.1 * SECOND))
    tree.add("b", "c", (0, 0, 1), AT_REST, static=True)
    assert tree.lookup("r", "c", round(8.1 * SECOND)).translation[2] == 3
    tree.add("r", "a", (0, 0, 2), AT_REST, 7 * SECOND)  # back by more than a second
    assert height(tree, 7) == 2
    with pytest.raises(LateTransformError):
        height(tree, 8.1)
    with pytest.raises(LateTransformError, match="no transform from b to a has arrived since time jumped"):
        tree.lookup("r", "c", 7 * SECOND)


def test_old_poses_are_forgotten():
    tree = moving(*((0.1 * i, i) for i in range(300)))
    with pytest.raises(LateTransformError, match="the oldest"):
        height(tree, 19)
    assert height(tree, 20) == 200


@pytest.mark.parametrize(
    "broken", [((0, 0, np.nan), AT_REST), ((0, 0, 1), (0, 0, 0, 0)), ((0, 0, 1), (0, 0, 0, np.inf))]
)
def test_a_broken_transform_connects_nothing(broken):
    tree = moving((1.0, 1.0))
    tree.add("r", "a", *broken, round(1.1 * SECOND))
    with pytest.raises(NotYetError, match="TF does not connect"):
        height(tree, 1.0)
