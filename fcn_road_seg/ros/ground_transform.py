"""The pose of the camera above the road from TF."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from fcn_road_seg.ground import GroundError, GroundPlane
from fcn_road_seg.ground.plane import rotation_matrix
from fcn_road_seg.ros.camera_info_subscription import NotYetError
from fcn_road_seg.ros.qos import take_all
from fcn_road_seg.ros.segmented_frame import nanoseconds
from fcn_road_seg.ros.transform_tree import TransformTree


class GroundTransform:
    """Subscribes to /tf and /tf_static on the first lookup, with tf2_ros's QoS; `stop` unsubscribes.

    tf2_ros itself is not used: it does not notice that a clock was set back, and interpolates over any gap.

    Args:
        on_arrival: called when transforms have arrived.
    """

    def __init__(self, node: Node, on_arrival: Callable[[], None]):
        self._node = node
        self._on_arrival = on_arrival
        self._tree = TransformTree()
        self._moving: Subscription | None = None
        self._static: Subscription | None = None

    def plane(self, ground_frame: str, optical_frame: str, stamp: int, z: float) -> GroundPlane:
        """The road plane below the camera at a given time.

        Args:
            ground_frame, optical_frame: names of frames; the image's frame_id is the optical one.
            stamp: of the image, nanoseconds; 0 takes the newest transform.
            z: height of the road in the ground frame, metres.

        Raises:
            LateTransformError: the transform of that time has not arrived.
            NotYetError: TF does not connect the frames, or is not installed.
            GroundError: the transform does not put the camera above the road.
        """
        if not optical_frame:
            raise GroundError("images have no frame_id, so TF cannot locate the camera: set camera_height")
        self._update()
        translation, rotation = self._tree.lookup(ground_frame, optical_frame, stamp)
        return GroundPlane.from_quaternion(translation, rotation, z)

    def fixed_rotation(self, target: str, sensor: str) -> np.ndarray:
        """The rotation from the frame of a sensor of the vehicle to a frame that is fixed to the vehicle.

        Args:
            target, sensor: names of frames.

        Returns:
            float64 3 x 3.

        Raises:
            NotYetError: TF does not connect the frames, or is not installed.
            GroundError: one moves against the other.
        """
        if target == sensor:
            return np.eye(3)
        self._update()
        moving = self._tree.moving(target, sensor)
        if moving is None:
            raise NotYetError(
                f"TF does not connect {target} with {sensor}, the frame of the attitude: publish that transform"
            )
        if moving:
            raise GroundError(
                f"TF moves {moving} between {target} and {sensor}, so it has the vehicle's pitch already and attitude "
                "would correct it twice: set attitude to none, or ground_frame to a frame that is fixed to the vehicle"
            )
        return rotation_matrix(self._tree.lookup(target, sensor, 0).rotation)

    def _update(self) -> None:
        """Subscribe, and receive what has arrived."""
        self._start()
        for subscription, receive in ((self._static, self._receive_static), (self._moving, self._receive)):
            if subscription is not None:
                take_all(subscription, receive)

    def forget_moving(self) -> None:
        """Forget all but static transforms, because time jumped."""
        self._tree.forget_moving()

    def _start(self) -> None:
        if self._moving is not None:
            return
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            raise NotYetError("tf2_msgs is not installed, so TF cannot locate the camera: set camera_height") from None
        qos = partial(QoSProfile, history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
        latched = qos(durability=DurabilityPolicy.TRANSIENT_LOCAL)

        def then_serve(receive: Callable[[Any], None]) -> Callable[[Any], None]:
            def on_message(message: Any) -> None:
                receive(message)
                self._on_arrival()

            return on_message

        subscribe = self._node.create_subscription
        self._static = subscribe(TFMessage, "/tf_static", then_serve(self._receive_static), latched)
        self._moving = subscribe(TFMessage, "/tf", then_serve(self._receive), qos())

    def _receive(self, message: Any, static: bool = False) -> None:
        for stamped in message.transforms:
            parent, stamp = stamped.header.frame_id, nanoseconds(stamped.header.stamp)
            t, r = stamped.transform.translation, stamped.transform.rotation
            self._tree.add(parent, stamped.child_frame_id, (t.x, t.y, t.z), (r.x, r.y, r.z, r.w), stamp, static)

    def _receive_static(self, message: Any) -> None:
        self._receive(message, static=True)

    def stop(self) -> None:
        """Unsubscribe from TF, and forget all transforms."""
        for subscription in (self._static, self._moving):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._static = self._moving = None
        self._tree = TransformTree()
