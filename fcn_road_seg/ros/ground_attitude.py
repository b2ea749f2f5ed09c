"""How the vehicle is tilted against the road when an image is taken, from an IMU or odometry and TF."""

import math
from collections.abc import Callable

import numpy as np
from rclpy.node import Node

from fcn_road_seg.ground import GroundError, GroundPlane, tilt
from fcn_road_seg.ros.attitude_subscription import AttitudeSubscription
from fcn_road_seg.ros.ground_transform import GroundTransform
from fcn_road_seg.ros.segmented_frame import SegmentedFrame

MOST_MOUNTING = 30.0
"""Degrees between gravity, as TF turns the sensor's frame, and the ground frame's z axis; more is a wrong TF."""
MOST_TILT = 15.0
"""Degrees by which a vehicle pitches and rolls on its springs at most."""
UP = np.array([0.0, 0.0, 1.0])


class GroundAttitude:
    """Subscribes to the attitude on the first call of `tilt`; `stop` unsubscribes.

    Args:
        on_arrival: called when an attitude has arrived.
        transform: locates the sensor on the vehicle.
    """

    def __init__(self, node: Node, on_arrival: Callable[[], None], transform: GroundTransform):
        self._window = 0.0
        self._subscription = AttitudeSubscription(node, on_arrival, lambda: self._window)
        self._transform = transform
        self._values: dict[str, str] = {}

    def tilt(self, frame: SegmentedFrame, plane: GroundPlane) -> np.ndarray:
        """The rotation that brings the vehicle back to where it stands level, see `fcn_road_seg.ground.tilt`.

        Args:
            plane: below the camera of the level vehicle.

        Returns:
            float64 3 x 3, in the ground frame.

        Raises:
            LateTransformError: the attitude of the frame's time has not arrived.
            NotYetError: no attitude has arrived, or TF does not connect its frame with the vehicle's.
            GroundError: the attitude cannot be used, or TF moves the sensor's frame against the vehicle's.
        """
        parameters = frame.parameters
        self._window = parameters.attitude_window
        self._subscription.start(parameters.attitude)
        sensor, gravity = self._subscription.at(frame.stamp)
        if parameters.camera_height:
            rotation = plane.rotation @ self._transform.fixed_rotation(frame.header.frame_id, sensor)
        else:
            rotation = self._transform.fixed_rotation(parameters.ground_frame, sensor)
        down, level = (rotation @ direction / np.linalg.norm(direction) for direction in gravity)
        if (mounted := _degrees(-level @ UP)) > MOST_MOUNTING:
            raise GroundError(
                f"{parameters.attitude} says that the vehicle stands {mounted:.0f} degrees askew: check the frame_id "
                f"{sensor} of its messages and TF from there to the camera"
            )
        turn = tilt(down, level if self._window else -UP)
        pitch, roll = (math.degrees(math.asin(np.clip(angle, -1, 1))) for angle in (-turn[2, 0], turn[2, 1]))
        if max(abs(pitch), abs(roll)) > MOST_TILT:
            raise GroundError(
                f"{parameters.attitude} says that the vehicle pitches by {pitch:.0f} and rolls by {roll:.0f} degrees "
                f"against the road, but springs allow at most {MOST_TILT:g}"
            )
        self._values = {
            "attitude from": self._subscription.source,
            "pitch against the road (degrees)": f"{pitch:.2f}",
            "roll against the road (degrees)": f"{roll:.2f}",
        }
        return turn

    def values(self) -> dict[str, str]:
        """The last tilt, for diagnostics; nothing without an attitude."""
        return self._values

    def forget(self) -> None:
        """Forget what was received, because time jumped."""
        self._subscription.forget()

    def stop(self) -> None:
        """Unsubscribe, and forget what was received."""
        self._subscription.stop()
        self._values = {}


def _degrees(cosine: float) -> float:
    return math.degrees(math.acos(np.clip(cosine, -1, 1)))
