"""Labels drawn with labelme (https://github.com/wkentaro/labelme): one JSON file of shapes per image."""

import json
import math
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.datasets.label_image import check_size
from fcn_road_seg.datasets.label_map import LabelMap
from fcn_road_seg.files.input import read_text
from fcn_road_seg.frames.sample import DatasetError

FRACTION_BITS = 4
"""Corners are drawn to 1/16 pixel."""
FARTHEST = 100_000
"""Pixels; OpenCV's 32-bit corners hold no more with their fraction."""
POINTS = {"polygon": 3, "rectangle": 2, "circle": 2}
"""The shapes that have an area, and the least number of points of each."""


def read_shapes(path: Path, image: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """Draw the label, uint8 H x W (0 not road, 1 road, 255 ignore), of `image` (H x W x 3) from a labelme file.

    Shapes are drawn in the file's order, the last one on top. Points, lines and line strips have no area and are
    passed over.

    Raises:
        DatasetError: the file is missing or not labelme's, has another size than the image, a malformed shape, or a
            category that `label_map` does not name.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise DatasetError(f"{path} is not a labelme file: it has no list of shapes")
    width, height = (content.get(f"image{side}") for side in ("Width", "Height"))
    if width is not None and height is not None:
        check_size(path, width, height, image)
    label = np.full(image.shape[:2], label_map.outside, np.uint8)
    for shape in content["shapes"]:
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
            raise DatasetError(f"{path} has a shape without a label")
        kind = shape.get("shape_type") or "polygon"  # labelme 3 had only polygons
        if kind in ("point", "points", "line", "linestrip"):
            continue
        if kind not in POINTS:
            raise DatasetError(f"{path} has a shape of the type {kind!r}, but only {', '.join(POINTS)} are read")
        corners = _points(shape, path, POINTS[kind])
        draw(label, kind, corners, label_map.of_name(shape["label"], path))
    return label


def draw(label: np.ndarray, kind: str, points: np.ndarray, value: int) -> None:
    """Fill a shape in `label`, uint8 H x W; pixels that its outline touches belong to it.

    Args:
        kind: one of `POINTS`.
        points: float N x 2, x and y in pixels, where the first pixel's centre is (0.5, 0.5): the corners of a polygon,
            two opposite corners of a rectangle, or the centre of a circle and a point on it.
    """
    points = (points - 0.5) * 2**FRACTION_BITS  # OpenCV's origin is the first pixel's centre
    if kind == "circle":
        centre, radius = np.round(points[0]).astype(int).tolist(), round(math.dist(*points))
        cv2.circle(label, centre, radius, value, cv2.FILLED, shift=FRACTION_BITS)
        return
    if kind == "rectangle":
        (left, top), (right, bottom) = points.min(0), points.max(0)
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    cv2.fillPoly(label, [np.round(points).astype(np.int32)], value, shift=FRACTION_BITS)


def read_json(path: Path) -> object:
    """Read a JSON file.

    Raises:
        DatasetError: it is missing or not valid JSON.
    """
    try:
        return json.loads(read_text(path))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # json.JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise DatasetError(f"{path} is not valid JSON ({str(error).splitlines()[0]})") from None


def _points(shape: dict, path: Path, least: int) -> np.ndarray:
    """The points of a shape, float N x 2, clipped to a range that OpenCV can draw."""
    try:
        points = np.array(shape.get("points"), np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all() or len(points) < least:
        raise DatasetError(
            f"{path}: the points of the shape {shape['label']!r} are not at least {least} pairs of numbers"
        )
    return points.clip(-FARTHEST, FARTHEST)
