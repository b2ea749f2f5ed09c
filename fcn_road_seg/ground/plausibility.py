"""Which cameras are possible: finite numbers can be absurd, and a vehicle would drive by the metres they give."""

import math

import numpy as np

from fcn_road_seg.ground.ground_error import GroundError

PINHOLE_VIEW, FISHEYE_VIEW = (10.0, 170.0), (10.0, 200.0)
"""Field of view in degrees: a pinhole's along the wider side, at most that of the narrower side for a fisheye lens,
whose image circle seldom fills the wider one."""
PRINCIPAL_POINT = (0.1, 0.9), (-0.5, 1.5)
"""Column and row as shares of the sensor's width and height: cutting off the sky or the bonnet moves the row."""
ASPECT = 4.0
"""Largest ratio of the two focal lengths, either way: pixels are square unless the image was squeezed."""
SKEW = 0.1
"""Largest skew as a share of the focal length."""
OFFSET = 10.0
"""Metres from the optical frame to the optical centre, the baseline of a stereo pair."""
ROTATION = 60.0
"""Degrees by which rectification (R) turns a camera at most; the cameras of a stereo pair look the same way."""
LEAST_KNOWN, LEAST_SPREAD = 0.2, 0.5
"""Shares: of the image's pixels that have a ray, the circle of a fisheye lens being the smallest part; and of the
rays' distance from the axis without distortion, which lenses bend outwards or a little inwards."""
HEIGHT = 0.05, 10.0
"""Metres from the road to the optical centre; only the upper limit can be changed."""


def fault_of_intrinsics(
    owner: str, name: str, intrinsics: np.ndarray, size: tuple[int, int], fisheye: bool = False
) -> str:
    """Why a matrix cannot be that of a camera, in a sentence; empty if it can.

    Args:
        owner, name: of the matrix, for the sentence, such as "camera_info" and "P".
        intrinsics: float64 3 x 3, finite.
        size: width and height in pixels of the full sensor, which the matrix is for.
        fisheye: whether its distortion model is equidistant.
    """
    if not intrinsics.any():
        return f"{owner}'s {name} is all zero: the camera is not calibrated"
    focal, centre = intrinsics.diagonal()[:2], intrinsics[:2, 2]
    if focal.min() <= 0:
        return (
            f"{owner}'s focal lengths in {name} are {focal[0]:g} and {focal[1]:g}, "
            "but must be above 0: the camera is not calibrated"
        )
    if not np.allclose(intrinsics[2], (0, 0, 1)) or abs(intrinsics[1, 0]) > 1e-9:
        return f"{owner}'s {name} is not a camera matrix: it ends with {intrinsics[1:].tolist()}"
    views = [_field_of_view(*axis, fisheye) for axis in zip(size, focal, centre, strict=True)]
    low, high = FISHEYE_VIEW if fisheye else PINHOLE_VIEW
    what = ""
    if not 1 / ASPECT <= focal[0] / focal[1] <= ASPECT:
        what = f"no lens has the focal lengths {focal[0]:g} and {focal[1]:g}"
    elif abs(intrinsics[0, 1]) > SKEW * focal[0]:
        what = f"no lens has the skew {intrinsics[0, 1]:g} at the focal length {focal[0]:g}"
    elif max(views) < low or (min(views) if fisheye else max(views)) > high:
        seen = f"{views[0]:.4g} x {views[1]:.4g} degrees"
        what = f"the focal length {focal[0]:g} means a field of view of {seen}, not {low:g} to {high:g}"
    for axis, where, side, limits in zip(("column", "row"), centre, size, PRINCIPAL_POINT, strict=True):
        first, last = (share * side for share in limits)
        if not what and not first <= where <= last:
            what = f"the principal point is at {axis} {where:g}, not {first:.0f} to {last:.0f}"
    if not what:
        return ""
    return f"{owner}'s {name} is impossible for {size[0]}x{size[1]} pixels: {what}; calibrate the camera at this size"


def _field_of_view(size: int, focal: float, centre: float, fisheye: bool) -> float:
    """Degrees along one side; for a fisheye lens, those of the equidistant projection without its coefficients."""
    ends = np.array([centre, size - centre]) / focal
    return math.degrees((ends if fisheye else np.arctan(ends)).sum())


def check_height(height: float, largest: float, why: str) -> None:
    """Check the height of an optical centre above the road.

    Args:
        height: metres.
        largest: what is plausible, metres.
        why: what gives the height, and what to check, for the message.

    Raises:
        GroundError: the height is below 0.05 m or above `largest`.
    """
    if not HEIGHT[0] <= height <= largest:
        side = "below" if height < 0 else "above"
        raise GroundError(
            f"the camera is {abs(height):.4g} m {side} the road, but must be {HEIGHT[0]:g} to {largest:g} m above it: "
            f"{why}"
        )
