"""The attitude of the vehicle, from an IMU or from odometry: which way was down at the moment of an image."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import Imu

from fcn_road_seg.ground import GroundError
from fcn_road_seg.ground.gravity import (
    GRAVITY,
    SETTLING,
    Average,
    GravityFilter,
    LevelAverage,
    Vector,
    add,
    down_in_sensor,
    scaled,
)
from fcn_road_seg.ros.camera_info_subscription import NotYetError
from fcn_road_seg.ros.history import JUMP, MAX_GAP, History
from fcn_road_seg.ros.qos import create_overridable_subscription, other_types, seldom, take_all, type_name
from fcn_road_seg.ros.segmented_frame import nanoseconds

KINDS = {"imu": Imu, "odom": Odometry}
"""Message types by the parameter attitude, which is also the topic's name."""
DEPTH = 400
"""Messages that DDS keeps while a frame is segmented: a second of a fast IMU."""
NOT_PROVIDED = -1.0
"""REP-145: the first element of the covariance of what an IMU does not measure."""
PLAUSIBLE = 8.0, 12.0
"""m/s^2, the average length of what an accelerometer measures."""
PLAUSIBLE_WINDOW = 5.0


class Gravity(NamedTuple):
    """The direction of gravity in a sensor's frame, float64 3 each: at a moment, and its average up to then."""

    down: np.ndarray
    level: np.ndarray


class AttitudeSubscription:
    """The node's subscription to ``imu`` (sensor_msgs/Imu) or ``odom`` (nav_msgs/Odometry), best effort.

    The orientation of an Imu counts if the message has one (REP-145: its covariance does not begin with -1), else its
    accelerometer and gyroscope go through a `GravityFilter`. That of an Odometry is its pose's (REP-105: odom's z axis
    is up). Between two messages at most 0.5 s apart it is interpolated; it is never extrapolated.

    Args:
        on_arrival: called when a message has arrived.
        window: returns the seconds over which the direction of gravity is averaged.

    Attributes:
        source: what the attitude comes from, for people.
    """

    def __init__(self, node: Node, on_arrival: Callable[[], None], window: Callable[[], float]):
        self._node, self._on_arrival, self._window = node, on_arrival, window
        self._kind = ""
        self._subscription: Subscription | None = None
        self.topics = {kind: node.resolve_topic_name(kind) for kind in KINDS}
        self.forget()

    def forget(self) -> None:
        """Forget what was received, because time jumped."""
        self._history: History[Gravity] = History()
        self._start_again("")
        self._problem = ""
        self.source = ""

    def _start_again(self, frame: str) -> None:
        """Begin to filter and to average with the next message."""
        self._frame, self._stamp, self._elapsed, self._speed = frame, 0, 0.0, 0.0
        self._filter: GravityFilter | None = None
        self._level, self._length = LevelAverage(), Average()

    def start(self, kind: str) -> None:
        """Subscribe to a kind, "imu" or "odom", unless subscribed to it already."""
        if kind == self._kind:
            return
        self.stop()
        receive = {"imu": self._receive_imu, "odom": self._receive_odom}[kind]

        def on_message(message: Any) -> None:
            receive(message)
            self._on_arrival()

        self._kind, self._receive = kind, receive
        self._subscription = create_overridable_subscription(self._node, KINDS[kind], kind, on_message, DEPTH)
        self._other_types = seldom(lambda: other_types(self._node, self.topics[kind], KINDS[kind]))

    def stop(self) -> None:
        """Unsubscribe, and forget what was received."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription, self._kind = None, ""
            self.forget()

    def at(self, stamp: int) -> tuple[str, Gravity]:
        """The sensor's frame, and the direction of gravity in it at a time.

        Args:
            stamp: of the image, nanoseconds; 0 takes the newest.

        Raises:
            LateTransformError: nothing is known about that time.
            NotYetError: no attitude has arrived.
            GroundError: the messages cannot be used.
        """
        assert self._subscription is not None, "started before"
        take_all(self._subscription, self._receive)
        topic = self.topics[self._kind]
        if self._problem:
            raise GroundError(f"the messages on {topic} give no attitude: {self._problem}")
        if self._history.newest is None:
            if others := self._other_types():
                raise GroundError(
                    f"{topic} is published as {others[0]}, not as {type_name(KINDS[self._kind])}: remap {self._kind} "
                    "to the topic of the attitude"
                )
            raise NotYetError(f"no attitude has come from {topic} so far: remap {self._kind}, or set attitude to none")
        a, b, share = self._history.around(stamp or self._history.newest, f"attitude on {topic}")
        return self._frame, Gravity(*((1 - share) * before + share * after for before, after in zip(a, b, strict=True)))

    def _receive_imu(self, message: Imu) -> None:
        orientation = None
        if message.orientation_covariance[0] != NOT_PROVIDED:
            orientation = _quaternion(message.orientation)
        acceleration = _vector(message.linear_acceleration, message.linear_acceleration_covariance)
        rate = _vector(message.angular_velocity, message.angular_velocity_covariance)
        if orientation is None and (acceleration is None or rate is None):
            self._problem = "an Imu needs an orientation, or both acceleration and angular velocity"
            return
        self._add(message.header, message.header.frame_id, orientation, acceleration, rate)

    def _receive_odom(self, message: Odometry) -> None:
        orientation = _quaternion(message.pose.pose.orientation)
        if orientation is None:
            self._problem = "the orientation is a quaternion whose length is not 1"
            return
        speed, stamp = message.twist.twist.linear.x, nanoseconds(message.header.stamp)
        forward = (speed - self._speed) / (stamp - self._stamp) * 1e9 if 0 < self._stamp < stamp else 0.0
        # What an accelerometer would measure.
        measured = add((forward, 0.0, 0.0), scaled(down_in_sensor(orientation), -GRAVITY))
        self._add(message.header, message.child_frame_id, orientation, measured)
        self._speed = speed

    def _add(
        self,
        header: Any,
        frame: str,
        orientation: tuple[float, float, float, float] | None,
        acceleration: Vector | None = None,
        rate: Vector | None = None,
    ) -> None:
        stamp = nanoseconds(header.stamp)
        if not frame or not stamp:
            self._problem = "they have no stamp" if frame else "they do not name the sensor's frame"
            return
        if stamp < self._stamp - JUMP or frame != self._frame:
            self.forget()
            self._start_again(frame)
        elif stamp <= self._stamp:  # twice, or out of order: what came later is already integrated
            return
        elif stamp - self._stamp > MAX_GAP or (orientation is None) != (self._filter is not None):
            self._start_again(frame)
        seconds = (stamp - self._stamp) / 1e9 if self._stamp else 0.0
        self._stamp = stamp
        self._elapsed += seconds
        self._problem = ""
        if orientation is not None:
            down = down_in_sensor(orientation)
            self.source = f"the orientation of {frame} on {self.topics[self._kind]}"
        else:
            assert acceleration is not None and rate is not None
            self._filter = self._filter or GravityFilter()
            down = self._filter(acceleration, rate, seconds)
            self.source = f"accelerometer and gyroscope of {frame} on {self.topics[self._kind]}"
            length, *_ = self._length((math.hypot(*acceleration), 0.0, 0.0), seconds, PLAUSIBLE_WINDOW)
            if self._elapsed < SETTLING:
                return
            if not PLAUSIBLE[0] < length < PLAUSIBLE[1]:
                self._problem = f"the acceleration is {length:.3g} m/s^2 on average, not 9.8: in m/s^2, with gravity?"
        level = self._level(down, acceleration, seconds, self._window())
        self._history.add(stamp, Gravity(np.array(down), np.array(level)))


def _quaternion(message: Any) -> tuple[float, float, float, float] | None:
    """x y z w of a geometry_msgs/Quaternion; None if its length is not 1."""
    values = message.x, message.y, message.z, message.w
    return values if abs(math.hypot(*values) - 1) < 0.1 else None


def _vector(message: Any, covariance: Any) -> Vector | None:
    """x y z of a geometry_msgs/Vector3; None if the sensor does not measure it, or has not now."""
    values = message.x, message.y, message.z
    return values if covariance[0] != NOT_PROVIDED and all(map(math.isfinite, values)) else None
