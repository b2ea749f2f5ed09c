"""Where a camera's image shows its own vehicle: bonnet, dashboard, wheels, mirrors.

The file is an image in which every pixel that is not black is the vehicle, or polygons in YAML or JSON, whose corners
are x and y as shares of the image's width and height from its upper left corner::

    polygons:
      - [[0, 1], [0, 0.86], [0.3, 0.8], [0.7, 0.8], [1, 0.86], [1, 1]]
"""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fcn_road_seg.errors import FrameError, UserError
from fcn_road_seg.files.checksum import checked_sha256
from fcn_road_seg.files.input import read_bytes
from fcn_road_seg.frames.image_file import LOSSY_SUFFIXES, ImageFileError, decode_rgb

POLYGON_SUFFIXES = (".yaml", ".yml", ".json")
SAME_SHAPE = 0.01
"""Relative difference up to which two aspect ratios count as equal: a scaled size is rounded to whole pixels."""
EXAMPLE_SIZE = 1000, 1000
"""Width and height in pixels at which polygons are drawn to see how much they cover."""
SUBPIXEL_BITS = 8


class OwnVehicle:
    """The pixels that show the vehicle, in frames of any size.

    Args:
        path: of the file; it may begin with ~.

    Attributes:
        path: of the file.
        sha256: of the file's content.
        share: of the image, 0..1.

    Raises:
        UserError: the file is missing, unreadable or not what its SHA-256 file says, or covers nothing or everything;
            one sentence.
    """

    def __init__(self, path: str | Path):
        self.path = Path(os.path.expanduser(path))
        content = _content(self.path)
        try:
            self.sha256 = checked_sha256(self.path, content)
        except UserError as error:
            raise UserError(f"the own-vehicle mask {path} {error}; renew that file if you changed the mask") from None
        self._mask: np.ndarray | None = None
        self._polygons: list[np.ndarray] = []
        if self.path.suffix.lower() in POLYGON_SUFFIXES:
            self._polygons = _polygons(self.path, content)
            example = self._drawn(*EXAMPLE_SIZE)
        else:
            example = self._mask = _mask(self.path, content)
        self.share = float(np.count_nonzero(example) / example.size)
        if self.share in (0.0, 1.0):
            what = "marks no pixel" if self.share == 0 else "covers the whole image"
            raise UserError(f"the own-vehicle mask {path} {what}: mark the vehicle, and only that")
        self._hidden: np.ndarray = np.empty((0, 0), np.uint8)
        self._visible: np.ndarray = self._hidden

    def hidden(self, height: int, width: int) -> np.ndarray:
        """Where the vehicle is in a frame of this size: uint8 H x W, 255 = own vehicle, else 0.

        The array is read-only, and the same one as long as the size stays.

        Raises:
            FrameError: the mask's image has another aspect ratio.
        """
        if self._hidden.shape != (height, width):
            self._hidden = self._drawn(height, width)
            self._visible = cv2.bitwise_not(self._hidden)
            self._hidden.flags.writeable = False
        return self._hidden

    def hide(self, image: np.ndarray) -> np.ndarray:
        """A copy of P(road), a mask or the like, uint8 H x W, that is 0 where the vehicle is.

        Raises:
            FrameError: as in `hidden`.
        """
        self.hidden(*image.shape)
        return cv2.bitwise_and(image, self._visible)

    def _drawn(self, height: int, width: int) -> np.ndarray:
        if self._mask is None:
            drawn = np.zeros((height, width), np.uint8)
            size = np.array((width, height))
            corners = [np.rint((corner * size - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32) for corner in self._polygons]
            for polygon in corners:  # each on its own: fillPoly leaves out where several overlap
                cv2.fillPoly(drawn, [polygon], 255, shift=SUBPIXEL_BITS)
            return drawn
        rows, columns = self._mask.shape
        off = abs(width * rows / (height * columns) - 1)
        if off > SAME_SHAPE and abs(width * rows / columns - height) > 1 and abs(height * columns / rows - width) > 1:
            raise FrameError(
                "own_vehicle_mask",
                f"the own-vehicle mask {self.path} is {columns}x{rows}, but the frame {width}x{height} has another "
                "aspect ratio: make the mask from a frame of this camera",
            )
        return cv2.resize(self._mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def _content(path: Path) -> bytes:
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        raise UserError(f"there is no own-vehicle mask {path}: name an image, or polygons in YAML") from None
    except OSError as error:
        raise UserError(f"the own-vehicle mask {path} cannot be read: {error.strerror}") from None
    if path.suffix.lower() in LOSSY_SUFFIXES:
        raise UserError(f"the own-vehicle mask {path} is a JPEG, whose black is not exact: save it as PNG")
    return content


def _mask(path: Path, content: bytes) -> np.ndarray:
    """uint8 H x W, 255 = own vehicle."""
    try:
        return (decode_rgb(content).max(2) > 0).view(np.uint8) * np.uint8(255)
    except ImageFileError as error:
        raise UserError(f"the own-vehicle mask {path} is {error}") from None


def _polygons(path: Path, content: bytes) -> list[np.ndarray]:
    """Corners of each polygon, float64 N x 2, 0..1.

    Raises:
        UserError: the file has another content.
    """
    import yaml

    try:
        parsed: Any = yaml.safe_load(content)
        polygons = [np.array(polygon, np.float64) for polygon in parsed["polygons"]]
        valid = len(parsed) == 1 and all(p.ndim == 2 and p.shape[0] >= 3 and p.shape[1] == 2 for p in polygons)
        if not valid or not all(((p >= 0) & (p <= 1)).all() for p in polygons):
            raise ValueError
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        raise UserError(
            f"the own-vehicle mask {path} is not 'polygons: [[[x, y], [x, y], [x, y], ...], ...]' with x and y from 0 "
            "to 1, shares of the image's width and height"
        ) from None
    return polygons
