"""The pose of the camera above the road from TF: through tf2_ros if it is installed, else from /tf_static."""

from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.time import Time

from fcn_road_seg.ground import GroundError, GroundPlane
from fcn_road_seg.ros.camera_info_subscription import NotYetError

MAX_TRANSFORM_AGE = 0.2
"""Seconds by which the newest transform may differ from the image's stamp; static transforms have no age."""
JUMP = 1.0
"""Stamps that go back by more seconds than this mean that a bag was restarted."""


class GroundTransform:
    """Subscribes to TF on the first lookup; `stop` unsubscribes."""

    def __init__(self, node: Node):
        self._node = node
        self._source: _Tf2 | _StaticTf | None = None

    def plane(self, ground_frame: str, optical_frame: str, stamp: Any, z: float) -> GroundPlane:
        """The road plane below the camera at a given time.

        Args:
            ground_frame, optical_frame: names of frames; the image's frame_id is the optical one.
            stamp: builtin_interfaces/Time of the image; zero takes the newest transform.
            z: height of the road in the ground frame, metres.

        Raises:
            NotYetError: TF does not connect the frames, or is not installed.
            GroundError: the transform is too old, or does not put the camera above the road.
        """
        if not optical_frame:
            raise GroundError("images have no frame_id, so TF cannot locate the camera: set camera_height")
        if self._source is None:
            try:
                self._source = _Tf2(self._node)
            except ImportError:
                self._source = _static_tf(self._node)
        translation, rotation = self._source.lookup(ground_frame, optical_frame, stamp)
        return GroundPlane.from_quaternion(translation, rotation, z)

    def stop(self) -> None:
        """Unsubscribe from TF."""
        if self._source is not None:
            self._source.stop()
            self._source = None


def _missing(ground_frame: str, optical_frame: str) -> NotYetError:
    return NotYetError(
        f"TF does not connect {ground_frame} with the image's frame {optical_frame}: publish that transform, "
        "or set camera_height"
    )


class _Tf2:
    """The buffer of tf2_ros, which handles moving transforms."""

    def __init__(self, node: Node):
        import tf2_ros

        self._tf2_ros = tf2_ros
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._last = 0

    def lookup(self, target: str, source: str, stamp: Any) -> tuple:
        """Translation and quaternion of lookup_transform; does not wait, because the masks would wait as well."""
        now = max(stamp.sec * 10**9 + stamp.nanosec, 0)  # a negative stamp counts as none
        if now < self._last - JUMP * 1e9:
            self._buffer.clear()  # it refuses transforms much older than its newest
        self._last = now
        take_all(self._listener.tf_sub, self._listener.callback)
        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=now))
        except self._tf2_ros.TransformException:
            try:
                found = self._buffer.lookup_transform(target, source, Time())
            except self._tf2_ros.TransformException:
                raise _missing(target, source) from None
            age = (now - Time.from_msg(found.header.stamp).nanoseconds) / 1e9
            if abs(age) > MAX_TRANSFORM_AGE:
                side = "older" if age > 0 else "newer"
                raise GroundError(
                    f"the newest transform from {source} to {target} is {abs(age):.2f} s {side} than the image: "
                    "is its publisher running, and on the camera's clock?"
                ) from None
        return _numbers(found.transform)

    def stop(self) -> None:
        self._listener.unregister()


def take_all(subscription: Subscription, callback: Callable[[Any], None]) -> None:
    """Pass all waiting messages to the callback.

    Under a constant flow of frames the executor takes only one message per frame. rclpy has no public way to take a
    message outside the executor, hence the methods of the handle.
    """
    with subscription.handle:
        while (taken := subscription.handle.take_message(subscription.msg_type, False)) is not None:
            callback(taken[0])


def _static_tf(node: Node) -> "_StaticTf":
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        raise NotYetError(
            "neither tf2_ros nor tf2_msgs is installed, so TF cannot locate the camera: set camera_height"
        ) from None
    return _StaticTf(node, TFMessage)


class _StaticTf:
    """Only /tf_static, for machines without tf2_ros."""

    def __init__(self, node: Node, message_type: type):
        self._node = node
        self._transforms = StaticTransforms()
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=100,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._subscription = node.create_subscription(message_type, "/tf_static", self._on_transforms, qos)

    def _on_transforms(self, message: Any) -> None:
        for stamped in message.transforms:
            self._transforms.add(stamped.header.frame_id, stamped.child_frame_id, *_numbers(stamped.transform))

    def lookup(self, target: str, source: str, stamp: Any) -> tuple:
        """Translation and quaternion; static transforms are valid at any time."""
        return self._transforms.lookup(target, source)

    def stop(self) -> None:
        self._node.destroy_subscription(self._subscription)


class StaticTransforms:
    """A tree of static frames; translations are x y z in metres, rotations quaternions x y z w."""

    def __init__(self):
        self._parents: dict[str, tuple[str, np.ndarray, np.ndarray]] = {}

    def add(self, parent: str, child: str, translation: tuple, rotation: tuple) -> None:
        """Add a frame by its pose in its parent, in place of an earlier one."""
        self._parents[child.lstrip("/")] = parent.lstrip("/"), np.asarray(translation), np.asarray(rotation)

    def lookup(self, target: str, source: str) -> tuple[np.ndarray, np.ndarray]:
        """The translation and rotation that take points from `source` to `target`.

        Raises:
            NotYetError: the tree does not connect them.
        """
        up, down = self._way_up(source.lstrip("/")), self._way_up(target.lstrip("/"))
        common = next((frame for frame in up if frame in down), None)
        if common is None:
            raise _missing(target, source)
        (shift, turn), (shift_t, turn_t) = up[common], down[common]
        back = turn_t * (-1, -1, -1, 1)
        return _rotate(back, shift - shift_t), _product(back, turn)

    def _way_up(self, frame: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """For each frame from `frame` to the root: the translation and rotation that take points of `frame` there."""
        shift, turn = np.zeros(3), np.array([0.0, 0, 0, 1])
        way = {frame: (shift, turn)}
        while frame in self._parents:
            frame, translation, rotation = self._parents[frame]
            if frame in way:  # a loop
                break
            length = np.linalg.norm(rotation)
            if not (np.isfinite(length) and length > 1e-6):
                break
            rotation = rotation / length
            shift, turn = translation + _rotate(rotation, shift), _product(rotation, turn)
            way[frame] = shift, turn
        return way


def _numbers(transform: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    t, r = transform.translation, transform.rotation
    return (t.x, t.y, t.z), (r.x, r.y, r.z, r.w)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of quaternions x y z w: the rotation b, then a."""
    return np.append(a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3]), a[3] * b[3] - a[:3] @ b[:3])


def _rotate(q: np.ndarray, point: np.ndarray) -> np.ndarray:
    return point + 2 * np.cross(q[:3], np.cross(q[:3], point) + q[3] * point)
