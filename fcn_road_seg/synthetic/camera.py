"""The pinhole cameras of the synthetic scenes, above a flat road."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Camera:
    """A pinhole camera over a flat road. The defaults are KITTI's left colour camera.

    The ground frame follows REP-103: x forward, y left, z up, metres, with its origin on the road
    right below the camera. Pixel centres have integer coordinates, as in OpenCV.

    Attributes:
        width, height: image size in pixels.
        fx, fy, cx, cy: intrinsics in pixels.
        camera_height: metres above the road.
        pitch: radians; positive looks down.
        windscreen: whether it looks through a windscreen, over a bonnet that it sees.
    """

    width: int = 1242
    height: int = 375
    fx: float = 721.5377
    fy: float = 721.5377
    cx: float = 609.5593
    cy: float = 172.854
    camera_height: float = 1.65
    pitch: float = 0.0
    windscreen: bool = False

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1:
            raise ValueError(f"a camera image needs at least one pixel, got {self.width}x{self.height}")
        if min(self.fx, self.fy, self.camera_height) <= 0:
            raise ValueError("fx, fy and camera_height must be positive")
        if abs(self.pitch) > 1.2:
            raise ValueError(f"pitch is in radians and at most 1.2, got {self.pitch}")

    @classmethod
    def of_size(cls, width: int, height: int, **changes: Any) -> "Camera":
        """KITTI's camera scaled to `width` x `height` pixels at the same horizontal field of view.

        Args:
            width, height: image size in pixels.
            changes: other attributes to set.
        """
        return KITTI.resized(width, height, **changes)

    @classmethod
    def of_view(cls, width: int, height: int, degrees: float, **changes: Any) -> "Camera":
        """A camera whose optical axis meets the middle of the image.

        Args:
            width, height: image size in pixels.
            degrees: horizontal field of view.
            changes: other attributes to set.
        """
        focal = width / 2 / math.tan(math.radians(degrees) / 2)
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, **changes)

    def resized(self, width: int, height: int, **changes: Any) -> "Camera":
        """This camera scaled to `width` x `height` square pixels at the same horizontal field of view.

        Args:
            width, height: image size in pixels.
            changes: other attributes to set.
        """
        focal = self.fx * width / self.width
        values: dict[str, Any] = {
            "width": width,
            "height": height,
            "fx": focal,
            "fy": focal,
            "cx": self.cx * width / self.width,
            "cy": self.cy * height / self.height,
        }
        return replace(self, **{**values, **changes})

    @property
    def horizon(self) -> float:
        """Row of the horizon in pixels; pixels above it (smaller rows) never see the ground."""
        return self.cy - self.fy * np.tan(self.pitch)

    def rays(self) -> np.ndarray:
        """Directions in the ground frame that the pixels see, float32 height x width x 3, 1 along the optical axis."""
        right = (np.arange(self.width) - self.cx) / self.fx
        down = (np.arange(self.height) - self.cy) / self.fy
        rays = np.empty((self.height, self.width, 3), np.float32)
        rays[..., 0] = (np.cos(self.pitch) - down * np.sin(self.pitch))[:, None]
        rays[..., 1] = -right
        rays[..., 2] = -(np.sin(self.pitch) + down * np.cos(self.pitch))[:, None]
        return rays

    def ground_points(self) -> np.ndarray:
        """Where each pixel's ray meets the road plane.

        Returns:
            float32, height x width x 2: x forward and y left in metres; NaN on and above the horizon.
        """
        right = (np.arange(self.width) - self.cx) / self.fx
        down = (np.arange(self.height) - self.cy) / self.fy
        drop = np.sin(self.pitch) + down * np.cos(self.pitch)
        with np.errstate(divide="ignore"):
            reach = np.where(drop > 1e-6, self.camera_height / drop, np.nan)
        points = np.empty((self.height, self.width, 2), np.float32)
        points[..., 0] = (reach * (np.cos(self.pitch) - down * np.sin(self.pitch)))[:, None]
        points[..., 1] = -reach[:, None] * right
        return points

    def depth(self, points: ArrayLike) -> np.ndarray:
        """Distance along the optical axis in metres, float64 N, of points (N x 3) in the ground frame."""
        points = np.asarray(points, np.float64)
        return points[..., 0] * np.cos(self.pitch) - (points[..., 2] - self.camera_height) * np.sin(self.pitch)

    def project(self, points: ArrayLike) -> np.ndarray:
        """Project points of the ground frame into the image.

        Args:
            points: N x 3, x forward, y left, z up, in metres.

        Returns:
            float64, N x 2: column and row in pixels; NaN for points that are not in front of the camera.

        Raises:
            ValueError: if the last axis does not hold three coordinates.
        """
        points = np.asarray(points, np.float64)
        if points.shape[-1:] != (3,):
            raise ValueError(f"points must be N x 3, got shape {points.shape}")
        depth = self.depth(points)
        depth = np.where(depth > 1e-6, depth, np.nan)
        below = -points[..., 0] * np.sin(self.pitch) - (points[..., 2] - self.camera_height) * np.cos(self.pitch)
        return np.stack([self.cx - self.fx * points[..., 1] / depth, self.cy + self.fy * below / depth], -1)


KITTI = Camera()
CAMERAS: dict[str, Camera] = {
    "kitti": KITTI,
    "windscreen": Camera.of_view(1280, 720, 66, camera_height=1.3, pitch=0.06, windscreen=True),
    "robot": Camera.of_view(640, 480, 66, camera_height=0.5, pitch=0.03),
    "hd": Camera.of_view(1280, 720, 70, camera_height=1.6, pitch=0.08),
    "vga": Camera.of_view(640, 480, 60, camera_height=1.5, pitch=0.06),
    "sxga": Camera.of_view(1280, 1024, 52, camera_height=1.5, pitch=0.05),
}
"""Cameras by name: KITTI's; behind a windscreen, 16:9; a low robot's, 4:3; and on a car's roof 16:9, 4:3 and 5:4."""
