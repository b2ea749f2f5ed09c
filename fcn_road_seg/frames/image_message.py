"""sensor_msgs/Image and sensor_msgs/CompressedImage <-> NumPy.

Nothing here needs ROS: decoding reads, and encoding fills, any object that has the message's fields. For encodings
that are not in ``ENCODINGS`` cv_bridge is asked, where it is installed.
"""

import re
from array import array
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from fcn_road_seg.errors import FrameError
from fcn_road_seg.frames.image_file import ImageFileError, decode_rgb, jpeg_or_png_size

MAX_SIDE = 16384
"""Largest width and height, in pixels, that is taken for a camera's."""
MAX_PIXELS = 2**27
"""Most pixels that are taken for a camera's; as RGB they take 400 MB."""
MAX_PIXELS_PER_BYTE = 1032
"""Most pixels that a byte of a JPEG or an 8-bit PNG can hold."""


class ImageMessageError(FrameError):
    """An image message that cannot be used; its text says why in one sentence.

    Its reason is ``encoding``, ``size``, ``step``, ``data``, or ``compression`` for a bad JPEG or PNG.
    """


class Encoding(NamedTuple):
    """How the bytes of one encoding become RGB."""

    pixel_bytes: int
    """Bytes per pixel; of nv12 and nv21 those of the Y plane."""
    to_rgb: Callable[[np.ndarray], np.ndarray]
    """(rows, width, pixel_bytes) uint8 -> (height, width, 3) uint8 RGB."""
    multiple: tuple[int, int] = (1, 1)
    """Width and height are multiples of these."""
    least: int = 1
    """Smallest width and height."""
    planes: float = 1
    """Rows of bytes per row of pixels."""


def _convert(code: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: cv2.cvtColor(pixels, code)


def _bayer(code: int) -> Encoding:
    return Encoding(1, _convert(code), least=3)  # OpenCV paints anything smaller black


_BGR = Encoding(3, _convert(cv2.COLOR_BGR2RGB))
_BGRA = Encoding(4, _convert(cv2.COLOR_BGRA2RGB))
_GREY = Encoding(1, _convert(cv2.COLOR_GRAY2RGB))
_UYVY = Encoding(2, _convert(cv2.COLOR_YUV2RGB_UYVY), multiple=(2, 1))
_YUYV = Encoding(2, _convert(cv2.COLOR_YUV2RGB_YUYV), multiple=(2, 1))

ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding(3, lambda pixels: pixels),
    "bgr8": _BGR,
    "rgba8": Encoding(4, _convert(cv2.COLOR_RGBA2RGB)),
    "bgra8": _BGRA,
    "mono8": _GREY,
    "mono16": Encoding(2, _convert(cv2.COLOR_GRAY2RGB)),  # of its high bytes
    # ROS names a Bayer pattern by its first two rows, OpenCV by the second and third pixel of rows two and three.
    "bayer_rggb8": _bayer(cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _bayer(cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _bayer(cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _bayer(cv2.COLOR_BayerGB2RGB),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": Encoding(1, _convert(cv2.COLOR_YUV2RGB_NV12), multiple=(2, 2), planes=1.5),
    "nv21": Encoding(1, _convert(cv2.COLOR_YUV2RGB_NV21), multiple=(2, 2), planes=1.5),
    "8UC1": _GREY,
    "8UC3": _BGR,
    "8UC4": _BGRA,
}
_NUMBERS = re.compile(r"\d+[USF]C\d*")
"""Encodings that say nothing but a type of number, such as 32FC1: depth and data have them."""


def image_to_rgb(message: Any) -> np.ndarray:
    """The picture in an image message, whatever its encoding and row padding.

    Args:
        message: a sensor_msgs/Image, or any object with its fields. ``data`` is a buffer of bytes (``array('B')`` in
            rclpy), ``step`` the length of a row in bytes with its padding.

    Returns:
        (height, width, 3) uint8 RGB. For ``rgb8`` it is a view of the message's own bytes.

    Raises:
        ImageMessageError: the message contradicts itself, is depth or data, or has an encoding that neither
            ``ENCODINGS`` nor cv_bridge knows. All is checked before any memory is taken.
    """
    name, width, height, step = message.encoding, message.width, message.height, message.step
    known = ENCODINGS.get(name)
    if known is None and _NUMBERS.fullmatch(name):
        raise _no_picture(name)
    _check_size(width, height)
    encoding = known or Encoding(1, lambda pixels: _through_cv_bridge(message))
    if width % encoding.multiple[0] or height % encoding.multiple[1] or min(width, height) < encoding.least:
        raise ImageMessageError(
            "size",
            f"an image of {width}x{height} pixels cannot be {name}, which comes in multiples of "
            f"{encoding.multiple[0]}x{encoding.multiple[1]} pixels from {encoding.least}x{encoding.least} on",
        )
    row, rows = width * encoding.pixel_bytes, int(height * encoding.planes)
    if step < row:
        raise ImageMessageError(
            "step", f"a step of {step} bytes is too small for {width} pixels of {name!r}, which have {row}"
        )
    data = _bytes(message)
    if data.size < rows * step or (known and data.size > rows * step):
        raise ImageMessageError("data", f"{rows} rows of {step} bytes make {rows * step} bytes, but {data.size} came")
    pixels = data[: rows * step].reshape(rows, step)[:, :row].reshape(rows, width, encoding.pixel_bytes)
    if name == "mono16":
        pixels = pixels[:, :, 0 if message.is_bigendian else 1]
    return encoding.to_rgb(pixels)


def compressed_to_rgb(message: Any) -> np.ndarray:
    """The picture in a compressed image message: a JPEG or PNG as image_transport publishes them.

    Args:
        message: a sensor_msgs/CompressedImage, or any object with its fields. ``data`` is a buffer of bytes; it, and
            not ``format``, says whether it is JPEG or PNG.

    Returns:
        (height, width, 3) uint8 RGB, converted from grey and 16 bits; an EXIF orientation is not applied.

    Raises:
        ImageMessageError: the bytes are no whole JPEG or PNG, or the picture is depth, data or a Bayer mosaic. The
            size is checked before anything is decoded.
    """
    encoding, _, compression = message.format.partition(";")
    if "compressedDepth" in compression or (_NUMBERS.fullmatch(encoding) and encoding not in ENCODINGS):
        raise _no_picture(message.format)
    if encoding.startswith("bayer_") and compression.rstrip().endswith("compressed"):  # to no other encoding
        raise ImageMessageError(
            "encoding", f"{message.format!r} is a compressed Bayer mosaic: let image_proc make the colours before it"
        )
    content = _bytes(message).tobytes()
    size = jpeg_or_png_size(content)
    if size is None:
        raise ImageMessageError(
            "compression",
            f"the {len(content)} bytes of the {message.format!r} picture are neither a JPEG nor a PNG",
        )
    _check_size(*size)
    if size[0] * size[1] > MAX_PIXELS_PER_BYTE * len(content):
        raise ImageMessageError(
            "compression", f"a picture of {size[0]}x{size[1]} pixels cannot be in {len(content)} bytes"
        )
    try:
        return decode_rgb(content)
    except ImageFileError as error:
        raise ImageMessageError("compression", f"the {message.format!r} picture is {error}") from None


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise ImageMessageError(
            "size",
            f"an image of {width}x{height} pixels is not within 1x1 and {MAX_SIDE}x{MAX_SIDE} "
            f"and {MAX_PIXELS // 10**6} megapixels",
        )


def _bytes(message: Any) -> np.ndarray:
    try:
        return np.frombuffer(message.data, np.uint8)
    except (TypeError, ValueError, BufferError):
        raise ImageMessageError("data", "the image's data is not a buffer of bytes") from None


def _no_picture(name: str) -> ImageMessageError:
    return ImageMessageError(
        "encoding", f"{name!r} is depth or data and not a picture: remap the node's image to the camera's colour image"
    )


def _through_cv_bridge(message: Any) -> np.ndarray:
    bridge = _cv_bridge()
    if bridge is None:
        known = ", ".join(ENCODINGS)
        raise ImageMessageError(
            "encoding",
            f"the encoding {message.encoding!r} is not one of {known}; cv_bridge would read more, but does not load",
        )
    try:
        rgb = np.asarray(bridge.imgmsg_to_cv2(message, "rgb8"))
    except Exception as error:  # its own, OpenCV's, or Boost's
        reason = " ".join(str(error).split())
        raise ImageMessageError("encoding", f"cv_bridge cannot decode {message.encoding!r}: {reason}") from None
    if rgb.dtype != np.uint8 or rgb.shape != (message.height, message.width, 3):
        raise ImageMessageError(
            "encoding", f"cv_bridge made {rgb.dtype} of shape {rgb.shape} out of {message.encoding!r}"
        )
    return rgb


@cache
def _cv_bridge() -> Any:
    """A converter of cv_bridge's, or None where that is not installed or, built for NumPy 1, does not load."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except Exception:
        return None


def fill_image(message: Any, pixels: np.ndarray, encoding: str) -> Any:
    """Put a picture into an image message; its header is left as it is.

    Args:
        message: a sensor_msgs/Image, or any object with its fields.
        pixels: (height, width) uint8 for one channel, (height, width, channels) uint8 for more.
        encoding: the name of the encoding that ``pixels`` already has, ``mono8``, ``bgr8`` or ``rgb8``.

    Returns:
        The same message. The pixels are copied once.

    Raises:
        ImageMessageError: ``pixels`` is not uint8 or does not have the encoding's channels.
    """
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels != ENCODINGS[encoding].pixel_bytes:
        raise ImageMessageError("data", f"{pixels.dtype} pixels of shape {pixels.shape} are not {encoding}")
    message.height, message.width = pixels.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = message.width * channels
    data = array("B")  # rclpy takes this type as it is, and checks any other one element at a time
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    message.data = data
    return message
