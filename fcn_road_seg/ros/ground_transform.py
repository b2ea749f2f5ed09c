"""Where the camera is above the road, from TF: through tf2_ros where it is installed, else from /tf_static."""

from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.time import Time

from fcn_road_seg.ground import GroundError, GroundPlane
from fcn_road_seg.ros.camera_info_subscription import NotYetError

MOST_AGE = 0.2
"""Seconds that the newest transform may be away from the image's stamp; static ones have no age."""
JUMP = 1.0
"""Seconds by which stamps go back when a bag begins again."""


class GroundTransform:
    """Listens to TF from the first question on; `stop` ends that."""

    def __init__(self, node: Node):
        self._node = node
        self._source: _Tf2 | _StaticTf | None = None

    def plane(self, ground_frame: str, optical_frame: str, stamp: Any, z: float) -> GroundPlane:
        """The road below the camera at a moment.

        Args:
            ground_frame, optical_frame: names of frames; the image's frame_id is the optical one.
            stamp: builtin_interfaces/Time of the image; zero takes the newest transform.
            z: height of the road in the ground frame, metres.

        Raises:
            NotYetError: TF does not connect the frames, or there is no TF here.
            GroundError: what it says is too old, or puts the camera nowhere above the road.
        """
        if not optical_frame:
            raise GroundError("images have no frame_id, so TF cannot say where the camera is: set camera_height")
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
    """tf2_ros's buffer, which knows moving transforms."""

    def __init__(self, node: Node):
        import tf2_ros

        self._tf2_ros = tf2_ros
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._last = 0

    def lookup(self, target: str, source: str, stamp: Any) -> tuple:
        """Translation and quaternion of lookup_transform; no waiting, for masks would wait as well."""
        now = max(stamp.sec * 10**9 + stamp.nanosec, 0)  # negative: none either
        if now < self._last - JUMP * 1e9:
            self._buffer.clear()  # it refuses what is much older than its newest
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
            if abs(age) > MOST_AGE:
                side = "older" if age > 0 else "newer"
                raise GroundError(
                    f"the newest transform from {source} to {target} is {abs(age):.2f} s {side} than the image: "
                    "is its publisher running, and on the camera's clock?"
                ) from None
        return _numbers(found.transform)

    def stop(self) -> None:
        self._listener.unregister()


def take_all(subscription: Subscription, callback: Callable[[Any], None]) -> None:
    """Hand over all messages that wait: where frames never cease, the executor takes one of them after each frame."""
    with subscription.handle:
        while (taken := subscription.handle.take_message(subscription.msg_type, False)) is not None:
            callback(taken[0])


def _static_tf(node: Node) -> "_StaticTf":
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        raise NotYetError(
            "neither tf2_ros nor tf2_msgs is installed, so TF cannot say where the camera is: set camera_height"
        ) from None
    return _StaticTf(node, TFMessage)


class _StaticTf:
    """/tf_static alone, for machines without tf2_ros."""

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
        """Translation and quaternion; static transforms hold at every moment."""
        return self._transforms.lookup(target, source)

    def stop(self) -> None:
        self._node.destroy_subscription(self._subscription)


class StaticTransforms:
    """A tree of frames that do not move; translations are x y z in metres, rotations quaternions x y z w."""

    def __init__(self):
        self._parents: dict[str, tuple[str, np.ndarray, np.ndarray]] = {}

    def add(self, parent: str, child: str, translation: tuple, rotation: tuple) -> None:
        """A frame in its parent; it replaces what was said of it before."""
        self._parents[child.lstrip("/")] = parent.lstrip("/"), np.asarray(translation), np.asarray(rotation)

    def lookup(self, target: str, source: str) -> tuple[np.ndarray, np.ndarray]:
        """What takes points of `source` to `target`: translation and rotation.

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
        """Of each frame from here to the root: what takes points of `frame` there."""
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
    """Of quaternions x y z w: first b, then a."""
    return np.append(a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3]), a[3] * b[3] - a[:3] @ b[:3])


def _rotate(q: np.ndarray, point: np.ndarray) -> np.ndarray:
    return point + 2 * np.cross(q[:3], np.cross(q[:3], point) + q[3] * point)
