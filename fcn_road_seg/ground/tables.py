"""Lookup tables between the pixels of one camera and the road plane, both ways."""

import math

import numpy as np

from fcn_road_seg.ground.camera_model import CameraModel
from fcn_road_seg.ground.ground_error import GroundError
from fcn_road_seg.ground.plane import GroundPlane
from fcn_road_seg.ground.plausibility import HEIGHT, check_height


class GroundTables:
    """Maps pixels to metres on the road and back; computed once per camera, plane and image size.

    Args:
        camera, plane: the camera and the road plane.
        max_range: points further than this from the point below the camera are unknown, metres.
        bottom_margin: share of the image's height at its lower edge that is unknown. The masks' last rows are often
            not road although the road continues (KITTI's labels end there).
        hidden: uint8 height x width, not 0 where the camera sees its own vehicle, which is unknown; None if nowhere.
        max_camera_height: what is plausible, metres.

    Attributes:
        xy: float32 height x width x 2, x and y of each pixel's point on the road in the ground frame, metres; NaN
            on and above the horizon, beyond `max_range`, in the margin, where `hidden` is set and where the camera
            model has no ray.
        pixel_size: float32 height x width, distance on the road from a pixel to its neighbour below or beside it,
            whichever is longer, metres; NaN where `xy` is.
        origin: float64 3, the optical centre in the ground frame, metres.
        height_above_road: of the optical centre, metres.

    Raises:
        GroundError: the range is not above 0, the margin is outside 0..0.5, the camera is lower than 0.05 m or higher
            than `max_camera_height`, or no pixel sees the road, or only hidden ones do.
    """

    def __init__(
        self,
        camera: CameraModel,
        plane: GroundPlane,
        max_range: float = 50.0,
        bottom_margin: float = 0.03,
        hidden: np.ndarray | None = None,
        max_camera_height: float = HEIGHT[1],
    ):
        if not (math.isfinite(max_range) and max_range > 0):
            raise GroundError(f"max_range is {max_range:g} m, but must be above 0")
        if not 0 <= bottom_margin <= 0.5:
            raise GroundError(f"bottom_margin is {bottom_margin:g}, but must be 0 to 0.5 of the image's height")
        self.camera, self.plane, self.max_range = camera, plane, max_range
        self.origin = plane.to_ground(camera.centre)
        self.height_above_road = float(self.origin[2] - plane.z)
        why = "check camera_height, or the transform and ground_z; max_camera_height changes the upper limit"
        check_height(self.height_above_road, max_camera_height, why)
        optical_rays = camera.rays()
        rays = optical_rays @ plane.rotation.T
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            xy, reach, known = self._on_road(rays)
            size = _pixel_size(rays, reach)
            known &= np.isfinite(size)
            known[camera.height - round(bottom_margin * camera.height) :] = False
            if not known.any():
                raise GroundError(
                    f"no pixel sees the road within max_range, {max_range:g} m: check pitch, roll or the transform"
                )
            if hidden is not None:
                known &= hidden == 0
                if not known.any():
                    raise GroundError("the own-vehicle mask covers all of the road that the camera sees")
        xy[~known], size[~known] = np.nan, np.nan
        self.xy, self.pixel_size = xy.astype(np.float32), size.astype(np.float32)
        # A distortion polynomial folds back on itself: rays wider than those of all pixels are not in the image.
        wide = np.where(optical_rays[..., 2:] > 0, optical_rays, np.nan) @ camera.rotation
        self._widest = float(np.nanmax(np.hypot(wide[..., 0], wide[..., 1]) / wide[..., 2]))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.camera.width, self.camera.height

    def _on_road(self, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where rays, ... x 3 in the ground frame, meet the road: x and y, how many ray lengths away, and whether."""
        reach = self.height_above_road / -rays[..., 2]
        xy = self.origin[:2] + reach[..., None] * rays[..., :2]
        distance = np.hypot(*np.moveaxis(xy - self.origin[:2], -1, 0))
        return xy, reach, (reach > 0) & (distance <= self.max_range)

    def road_points(self, pixels: np.ndarray, tilt: np.ndarray | None = None) -> np.ndarray:
        """The points of the road that pixels see, in the ground frame, metres; in the margin and on the vehicle too.

        Args:
            pixels: float64 N x 2, column and row, which need not be whole.
            tilt: of the vehicle against the road, see `fcn_road_seg.ground.tilt`; None if it stands as the road lies.

        Returns:
            float64 N x 3; NaN on and above the horizon, beyond `max_range` and where the camera model has no ray.
        """
        rotation = self.plane.rotation if tilt is None else tilt @ self.plane.rotation
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            xy, _, known = self._on_road(self.camera.rays_of(pixels) @ rotation.T)
        points = np.concatenate([xy, np.full((len(xy), 1), self.plane.z)], 1)
        points[~known] = np.nan
        return points

    def ground_points(self) -> np.ndarray:
        """x, y, z of each pixel's point on the road in the ground frame, float32 height x width x 3; NaN as in `xy`."""
        z = np.where(np.isnan(self.xy[..., :1]), np.float32(np.nan), np.float32(self.plane.z))
        return np.concatenate([self.xy, z], -1)

    def optical_points(self) -> np.ndarray:
        """x, y, z of the same points in the optical frame, float32 height x width x 3; NaN as in `xy`."""
        return self.plane.to_optical(self.ground_points().astype(np.float64)).astype(np.float32)

    def pixels(self, xy: np.ndarray) -> np.ndarray:
        """The pixels that see points of the road: float ... x 2, metres -> float64 ... x 2, column and row.

        NaN where no pixel sees the point, as outside the image, in the margin and beyond `max_range`.
        """
        xy = np.asarray(xy, np.float64)
        points = np.concatenate([xy, np.full((*xy.shape[:-1], 1), self.plane.z)], -1)
        optical = self.plane.to_optical(points)
        pixels = self.camera.project(optical)
        own = (optical - self.camera.centre) @ self.camera.rotation
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = (own[..., 2] > 0) & (np.hypot(own[..., 0], own[..., 1]) <= self._widest * 1.001 * own[..., 2])
            rounded = np.rint(pixels)
            seen &= ((rounded >= 0) & (rounded < self.size)).all(-1)
        index = np.where(seen[..., None], rounded, 0).astype(np.intp)
        seen &= ~np.isnan(self.xy[index[..., 1], index[..., 0], 0])
        pixels[~seen] = np.nan
        return pixels

    def pixel_indices(self, xy: np.ndarray) -> np.ndarray:
        """The nearest pixel of each point as an index into the flattened image, intp; -1 where `pixels` is NaN."""
        pixels = self.pixels(xy)
        seen = ~np.isnan(pixels[..., 0])
        column, row = np.moveaxis(np.rint(np.where(seen[..., None], pixels, 0)).astype(np.intp), -1, 0)
        return np.where(seen, row * self.camera.width + column, -1)

    def check(self, image: np.ndarray) -> None:
        """Check that a mask, label image or probability is uint8 and has this camera's size.

        Raises:
            GroundError: it has another size or type.
        """
        if image.shape != (self.camera.height, self.camera.width) or image.dtype != np.uint8:
            raise GroundError(
                f"the tables are for uint8 masks of {self.camera.width}x{self.camera.height}, "
                f"but this one is {image.dtype} of shape {image.shape}"
            )


def _pixel_size(rays: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """How far a ray's point on the road moves per pixel, down or across, whichever is longer, metres.

    The point is C + s r with s = h / -r_z, so along a pixel axis it moves by s (r' - r r_z' / r_z).
    """
    sizes = []
    for axis in (0, 1):
        change = np.gradient(rays, axis=axis)
        moved = reach[..., None] * (change[..., :2] - rays[..., :2] * (change[..., 2:] / rays[..., 2:]))
        sizes.append(np.hypot(moved[..., 0], moved[..., 1]))
    return np.max(sizes, axis=0)
