"""sensor_msgs/Image <-> NumPy.

Nothing here imports ROS: decoding reads, and encoding fills, any object that has the message's fields ``height``,
``width``, ``encoding``, ``step`` and ``data``.
"""

from array import array
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np

from fcn_road_seg.errors import UserError

MAX_SIDE = 16384
"""Largest width and height, in pixels, that is taken for a camera's."""


class ImageMessageError(UserError):
    """An image message that cannot be used; its text says why in one sentence."""


class Encoding(NamedTuple):
    """How the bytes of one encoding become RGB."""

    channels: int
    """Bytes per pixel."""
    to_rgb: Callable[[np.ndarray], np.ndarray]
    """(height, width, channels) uint8 -> (height, width, 3) uint8 RGB."""


def _convert(code: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: cv2.cvtColor(pixels, code)


ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding(3, lambda pixels: pixels),
    "bgr8": Encoding(3, _convert(cv2.COLOR_BGR2RGB)),
    "rgba8": Encoding(4, _convert(cv2.COLOR_RGBA2RGB)),
    "bgra8": Encoding(4, _convert(cv2.COLOR_BGRA2RGB)),
    "mono8": Encoding(1, _convert(cv2.COLOR_GRAY2RGB)),
}


def image_to_rgb(message: Any) -> np.ndarray:
    """The picture in an image message, whatever its encoding and row padding.

    Args:
        message: a sensor_msgs/Image, or any object with its fields. ``data`` is a buffer of bytes (``array('B')`` in
            rclpy), ``step`` the length of a row in bytes with its padding.

    Returns:
        (height, width, 3) uint8 RGB. For ``rgb8`` it is a view of the message's own bytes.

    Raises:
        ImageMessageError: the message contradicts itself or has an encoding that is not in ``ENCODINGS``. All is
            checked before any memory is taken.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise ImageMessageError(f"the encoding '{message.encoding}' is not one of {', '.join(ENCODINGS)}")
    height, width, step = message.height, message.width, message.step
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ImageMessageError(f"an image of {width}x{height} pixels is not within 1x1 and {MAX_SIDE}x{MAX_SIDE}")
    row = width * encoding.channels
    if step < row:
        raise ImageMessageError(
            f"a step of {step} bytes is too small for {width} pixels of {message.encoding}, which have {row}"
        )
    try:
        data = np.frombuffer(message.data, np.uint8)
    except (TypeError, ValueError, BufferError):
        raise ImageMessageError("the image's data is not a buffer of bytes") from None
    if data.size != height * step:
        raise ImageMessageError(f"{height} rows of {step} bytes make {height * step} bytes, but {data.size} came")
    pixels = data.reshape(height, step)[:, :row].reshape(height, width, encoding.channels)
    return encoding.to_rgb(pixels)


def fill_image(message: Any, pixels: np.ndarray, encoding: str) -> Any:
    """Put a picture into an image message; its header is left as it is.

    Args:
        message: a sensor_msgs/Image, or any object with its fields.
        pixels: (height, width) uint8 for one channel, (height, width, channels) uint8 for more.
        encoding: the name of the encoding that ``pixels`` already has, such as ``mono8`` or ``bgr8``.

    Returns:
        The same message. The pixels are copied once.

    Raises:
        ImageMessageError: ``pixels`` is not uint8 or does not have the encoding's channels.
    """
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels != ENCODINGS[encoding].channels:
        raise ImageMessageError(f"{pixels.dtype} pixels of shape {pixels.shape} are not {encoding}")
    message.height, message.width = pixels.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = message.width * channels
    data = array("B")  # rclpy takes this type as it is, and checks any other one element at a time
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    message.data = data
    return message
