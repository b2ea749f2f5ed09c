"""What a camera on a pitching vehicle would see if the vehicle stood level: so one set of tables serves all frames."""

import math

import cv2
import numpy as np

from fcn_road_seg.ground.camera_model import CameraModel
from fcn_road_seg.ground.ground_error import GroundError
from fcn_road_seg.ground.tables import GroundTables

STEP = 8
"""Pixels between those for which the warp is computed; between them it is interpolated, which is 0.01 pixel off."""
OUTSIDE = -1e4
"""A column and row that no image has."""


def tilt(down: np.ndarray, level: np.ndarray) -> np.ndarray:
    """How a vehicle is turned against the road, without a turn about the vertical.

    Args:
        down: the direction of gravity in the vehicle's frame, float64 3, of any length.
        level: the same while the vehicle stands as the road lies.

    Returns:
        float64 3 x 3, a rotation: from the vehicle's frame to the frame that it has while it stands so.

    Raises:
        GroundError: the two are opposite.
    """
    a, b = (np.asarray(v, np.float64) / np.linalg.norm(v) for v in (down, level))
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -0.99:
        raise GroundError("the vehicle is upside down")
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


class LevelView:
    """Turns images and points of a tilted camera to where the level one, whose tables these are, would have them.

    The camera turns about its optical centre: what the springs do to its height is not known. For a pinhole camera that
    is a homography of the image (Hartley, Zisserman: Multiple View Geometry, 2004, 8.4); lenses with distortion are
    warped through their rays.

    Args:
        tables: of the camera and the road plane below the level vehicle.
        bottom_margin: as in `GroundTables`.
        hidden: as in `GroundTables`; the own vehicle pitches with its camera. One more pixel around it is left out,
            because between a pixel of road and the vehicle's P(road) of 0 there is no answer to interpolate.
    """

    def __init__(self, tables: GroundTables, bottom_margin: float = 0.03, hidden: np.ndarray | None = None):
        self._tables, camera = tables, tables.camera
        self._usable = np.full((camera.height, camera.width), 255, np.uint8)
        self._usable[camera.height - round(bottom_margin * camera.height) :] = 0
        if hidden is not None:
            self._usable[cv2.dilate(hidden, np.ones((3, 3), np.uint8)) > 0] = 0
        rays = camera.rays()
        self._rays = rays.astype(np.float32)
        self._squared = np.square(self._rays).sum(-1)
        self._nodes = _nodes(camera)

    def _optical(self, tilt: np.ndarray) -> np.ndarray:
        """The rotation from the tilted camera's optical frame to the level one's, float64 3 x 3."""
        rotation = self._tables.plane.rotation
        return rotation.T @ tilt @ rotation

    def image(self, probability: np.ndarray, tilt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the level camera would see of a frame.

        Args:
            probability: P(road) x 255 of a frame, uint8 height x width.
            tilt: from `tilt`.

        Returns:
            P(road) x 255 of the level camera, uint8 height x width; and where the frame does not show what the level
            camera would see there, bool height x width.

        Raises:
            GroundError: `probability` has another size or type than the camera's images.
        """
        self._tables.check(probability)
        camera = self._tables.camera
        pixels = camera.project(camera.centre + self._nodes @ self._optical(tilt))
        coarse = np.nan_to_num(pixels, nan=OUTSIDE).clip(OUTSIDE, -OUTSIDE).astype(np.float32)
        columns, rows = (self._fine(np.ascontiguousarray(coarse[..., i])) for i in (0, 1))
        level = cv2.remap(probability, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        usable = cv2.remap(self._usable, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        return level, usable == 0

    def _fine(self, coarse: np.ndarray) -> np.ndarray:
        """A coordinate at each pixel from that at each node of `_nodes`."""
        size = coarse.shape[1] * STEP, coarse.shape[0] * STEP
        fine = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR))
        camera = self._tables.camera
        return fine[STEP : STEP + camera.height, STEP : STEP + camera.width]

    def points(self, tilt: np.ndarray) -> np.ndarray:
        """x, y, z of each pixel's point on the road in the level camera's optical frame.

        Args:
            tilt: from `tilt`.

        Returns:
            float32 height x width x 3, metres, for the pixels of the tilted camera's frame; NaN as in
            `GroundTables.xy`.
        """
        tables = self._tables
        turn = self._optical(tilt).astype(np.float32)
        drop = self._rays @ -(tilt @ tables.plane.rotation)[2].astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            reach = np.float32(tables.height_above_road) / drop
            known = (reach > 0) & (
                reach * reach * self._squared <= math.hypot(tables.max_range, tables.height_above_road) ** 2
            )
        known &= self._usable > 0
        reach[~known] = np.nan
        points: np.ndarray = (self._rays @ turn.T) * reach[..., None]
        points += tables.camera.centre.astype(np.float32)
        return points


def _nodes(camera: CameraModel) -> np.ndarray:
    """Rays of every `STEP`-th pixel, with one more at each side, where cv2.resize expects them; float64 h x w x 3."""
    columns, rows = (
        np.arange(-1, -(-size // STEP) + 1) * STEP + (STEP - 1) / 2 for size in (camera.width, camera.height)
    )
    return camera.rays_of(np.stack(np.meshgrid(columns, rows), -1))
