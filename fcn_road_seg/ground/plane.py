"""The road plane: the pose of the camera's optical frame in the ground frame."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fcn_road_seg.ground.camera_model import checked_rotation
from fcn_road_seg.ground.ground_error import GroundError

BODY_FROM_OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
"""REP-103: from the optical frame (x right, y down, z forward) to a body frame (x forward, y left, z up)."""

_TRANSFORM = "the transform from the camera to the ground frame"


@dataclass(frozen=True, eq=False)
class GroundPlane:
    """The road as a plane of constant z in the ground frame (x forward, y left, z up; REP-103).

    Attributes:
        rotation: float64 3 x 3, from the optical frame to the ground frame.
        translation: float64 3, the optical frame's origin in the ground frame, metres.
        z: height of the road in the ground frame, metres; 0 if the frame is on the road.
    """

    rotation: np.ndarray
    translation: np.ndarray
    z: float = 0.0

    @classmethod
    def from_mounting(cls, camera_height: float, pitch: float = 0.0, roll: float = 0.0) -> "GroundPlane":
        """The plane of a camera that looks ahead; the ground frame's origin is on the road directly below it.

        Args:
            camera_height: height of the optical frame above the road, metres.
            pitch: radians about y (left): positive looks down.
            roll: radians about x (forward): positive leans to the right, so that the horizon's right end rises.

        Raises:
            GroundError: the height is not above 0, or an angle is a quarter turn or more.
        """
        if not (math.isfinite(camera_height) and camera_height > 0):
            raise GroundError(f"camera_height is {camera_height:g} m, but must be above 0")
        for name, angle in (("pitch", pitch), ("roll", roll)):
            if not abs(angle) < math.pi / 2:
                raise GroundError(f"{name} is {angle:g}, but must be within a quarter turn: it is in radians")
        sp, cp, sr, cr = math.sin(pitch), math.cos(pitch), math.sin(roll), math.cos(roll)
        about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        return cls(about_y @ about_x @ BODY_FROM_OPTICAL, np.array([0.0, 0, camera_height]))

    @classmethod
    def from_transform(cls, matrix: np.ndarray, z: float = 0.0) -> "GroundPlane":
        """The plane from the TF transform of the optical frame to the ground frame.

        Args:
            matrix: 4 x 4 or 3 x 4, in metres; that of lookup_transform(ground_frame, optical_frame).
            z: height of the road in the ground frame, metres; negative for a frame above the road.

        Raises:
            GroundError: the matrix is not a rigid transform, or puts the camera on or below the road.
        """
        matrix = np.asarray(matrix, np.float64)
        if matrix.shape not in ((4, 4), (3, 4)) or not (np.isfinite(matrix).all() and math.isfinite(z)):
            raise GroundError(f"{_TRANSFORM} is not a 4 x 4 matrix of finite numbers")
        rotation = checked_rotation(_TRANSFORM, matrix[:3, :3])
        translation = matrix[:3, 3]
        if translation[2] <= z:
            raise GroundError(
                f"the transform puts the camera {translation[2] - z:.2f} m above the road, but it must be above it: "
                "is the ground frame's z axis up, and ground_z the road's height in it?"
            )
        return cls(rotation, translation, float(z))

    @classmethod
    def from_quaternion(cls, translation: ArrayLike, rotation: ArrayLike, z: float = 0.0) -> "GroundPlane":
        """The plane from a geometry_msgs/Transform: x, y, z in metres, and a quaternion x, y, z, w.

        Raises:
            GroundError: as in `from_transform`, or the quaternion's length is not 1.
        """
        quaternion = np.asarray(rotation, np.float64)
        length = np.linalg.norm(quaternion)
        if quaternion.shape != (4,) or not abs(length - 1) < 0.1:
            raise GroundError(f"{_TRANSFORM} has a quaternion of length {length:.3g}, not 1")
        matrix = np.eye(4)
        matrix[:3, :3] = rotation_matrix(quaternion / length)
        matrix[:3, 3] = translation
        return cls.from_transform(matrix, z)

    def to_ground(self, points: np.ndarray) -> np.ndarray:
        """Transform points of the optical frame, ... x 3, into the ground frame, ... x 3, metres."""
        return points @ self.rotation.T + self.translation

    def to_optical(self, points: np.ndarray) -> np.ndarray:
        """Transform points of the ground frame, ... x 3, into the optical frame, ... x 3, metres."""
        return (points - self.translation) @ self.rotation


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """The rotation, float64 3 x 3, of a quaternion x y z w of length 1."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
