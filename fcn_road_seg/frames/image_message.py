"""sensor_msgs/Image and sensor_msgs/CompressedImage <-> NumPy.

Nothing here needs ROS: decoding reads, and encoding fills, any object with the message's fields. For encodings that
are not in ``ENCODINGS``, cv_bridge decodes the image if it is installed.
"""

import re
from array import array
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from fcn_road_seg.errors import FrameError
from fcn_road_seg.frames.bit_depth import BitDepth
from fcn_road_seg.frames.image_file import ImageFileError, decode_rgb, jpeg_or_png_size

MAX_SIDE = 16384
"""Largest width and height in pixels that are accepted."""
MAX_PIXELS = 2**27
"""Most pixels that are accepted; as RGB they take 400 MB."""
MAX_PIXELS_PER_BYTE = 1032
"""Most pixels that a byte of a JPEG or an 8-bit PNG can encode."""


class ImageMessageError(FrameError):
    """An image message is not usable; the message is one sentence.

    Its reason is ``encoding``, ``size``, ``step``, ``data``, or ``compression`` for a bad JPEG or PNG.
    """


class Encoding(NamedTuple):
    """How the bytes of one encoding become RGB."""

    pixel_bytes: int
    """Bytes per pixel; for nv12 and nv21, of the Y plane."""
    to_rgb: Callable[[np.ndarray], np.ndarray]
    """(rows, width, pixel_bytes) uint8 -> (height, width, 3) uint8 RGB."""
    multiple: tuple[int, int] = (1, 1)
    """Width and height must be multiples of these."""
    minimum: int = 1
    """Smallest width and height."""
    rows_per_pixel_row: float = 1
    """Rows of bytes per row of pixels."""
    sample_bytes: int = 1
    """2: the samples have 16 bits, and ``to_rgb`` takes them reduced to 8."""


def _convert(code: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: cv2.cvtColor(pixels, code)


def _bayer(code: int) -> Encoding:
    return Encoding(1, _convert(code), minimum=3)  # OpenCV returns black for smaller images


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
    # ROS names a Bayer pattern after its first two rows, OpenCV after pixels two and three of rows two and three.
    "bayer_rggb8": _bayer(cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _bayer(cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _bayer(cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _bayer(cv2.COLOR_BayerGB2RGB),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": Encoding(1, _convert(cv2.COLOR_YUV2RGB_NV12), multiple=(2, 2), rows_per_pixel_row=1.5),
    "nv21": Encoding(1, _convert(cv2.COLOR_YUV2RGB_NV21), multiple=(2, 2), rows_per_pixel_row=1.5),
    "8UC1": _GREY,
    "8UC3": _BGR,
    "8UC4": _BGRA,
}
ENCODINGS |= {
    name.replace("8", "16"): ENCODINGS[name]._replace(pixel_bytes=2 * ENCODINGS[name].pixel_bytes, sample_bytes=2)
    for name in ENCODINGS
    if re.fullmatch("(rgb|bgr)a?8|mono8|bayer_[rgb]{4}8", name)
}
_NUMBERS = re.compile(r"\d+[USF]C\d*")
"""Encodings that only name a number type, such as 32FC1; depth images and other data use them."""


def image_to_rgb(message: Any, max_pixels: int = MAX_PIXELS, bit_depth: BitDepth | None = None) -> np.ndarray:
    """Decode an image message of any encoding and row padding.

    Args:
        message: a sensor_msgs/Image, or any object with its fields. ``data`` is a buffer of bytes (``array('B')`` in
            rclpy), ``step`` the length of a row in bytes including its padding.
        max_pixels: most pixels to accept, up to ``MAX_PIXELS``.
        bit_depth: of the camera, for 16-bit encodings; default: that of this image alone.

    Returns:
        (height, width, 3) uint8 RGB. For ``rgb8`` it is a view of the message's bytes.

    Raises:
        ImageMessageError: the message is inconsistent, is depth or other data, or has an encoding that neither
            ``ENCODINGS`` nor cv_bridge knows. All checks come before any memory is allocated.
    """
    name, width, height, step = message.encoding, message.width, message.height, message.step
    known = ENCODINGS.get(name)
    if known is None and _NUMBERS.fullmatch(name):
        raise _not_a_picture(name)
    _check_size(width, height, max_pixels)
    encoding = known or Encoding(1, lambda pixels: _through_cv_bridge(message))
    if width % encoding.multiple[0] or height % encoding.multiple[1] or min(width, height) < encoding.minimum:
        raise ImageMessageError(
            "size",
            f"an image of {width}x{height} pixels cannot be {name}, which requires multiples of "
            f"{encoding.multiple[0]}x{encoding.multiple[1]} pixels and at least {encoding.minimum}x{encoding.minimum}",
        )
    row, rows = width * encoding.pixel_bytes, int(height * encoding.rows_per_pixel_row)
    if step < row:
        raise ImageMessageError(
            "step", f"a step of {step} bytes is too small for {width} pixels of {name!r}, which need {row}"
        )
    data = _bytes(message)
    if data.size < rows * step or (known and data.size > rows * step):
        raise ImageMessageError(
            "data", f"{rows} rows of {step} bytes are {rows * step} bytes, but the message has {data.size}"
        )
    pixels = data[: rows * step].reshape(rows, step)[:, :row].reshape(rows, width, encoding.pixel_bytes)
    if encoding.sample_bytes == 2:
        samples = np.ascontiguousarray(pixels).view(">u2" if message.is_bigendian else "<u2")
        pixels = (bit_depth or BitDepth()).to_8_bits(samples)
    return encoding.to_rgb(pixels)


def compressed_to_rgb(message: Any, max_pixels: int = MAX_PIXELS, bit_depth: BitDepth | None = None) -> np.ndarray:
    """Decode a compressed image message: a JPEG or PNG as image_transport publishes them.

    Args:
        message: a sensor_msgs/CompressedImage, or any object with its fields. ``data`` is a buffer of bytes; its
            content, not ``format``, decides whether it is JPEG or PNG.
        max_pixels: most pixels to accept, up to ``MAX_PIXELS``.
        bit_depth: of the camera, for 16-bit PNGs; default: that of this image alone.

    Returns:
        (height, width, 3) uint8 RGB, converted from grey and 16 bits; an EXIF orientation is not applied.

    Raises:
        ImageMessageError: the bytes are not a complete JPEG or PNG, or the picture is depth, other data or a Bayer
            mosaic. The size is checked before anything is decoded.
    """
    encoding, _, compression = message.format.partition(";")
    if "compressedDepth" in compression or (_NUMBERS.fullmatch(encoding) and encoding not in ENCODINGS):
        raise _not_a_picture(message.format)
    if encoding.startswith("bayer_") and compression.rstrip().endswith("compressed"):  # no colour encoding follows
        raise ImageMessageError(
            "encoding",
            f"{message.format!r} is a compressed Bayer mosaic: let image_proc debayer it before compression",
        )
    content = _bytes(message).tobytes()
    size = jpeg_or_png_size(content)
    if size is None:
        raise ImageMessageError(
            "compression",
            f"the {len(content)} bytes of the {message.format!r} picture are neither a JPEG nor a PNG",
        )
    _check_size(*size, max_pixels)
    if size[0] * size[1] > MAX_PIXELS_PER_BYTE * len(content):
        raise ImageMessageError(
            "compression", f"a picture of {size[0]}x{size[1]} pixels cannot be in {len(content)} bytes"
        )
    try:
        return decode_rgb(content, bit_depth)
    except ImageFileError as error:
        raise ImageMessageError("compression", f"the {message.format!r} picture is {error}") from None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise ImageMessageError(
            "size",
            f"an image of {width}x{height} pixels is not within 1x1 and {MAX_SIDE}x{MAX_SIDE} "
            f"and {MAX_PIXELS // 10**6} megapixels",
        )
    if width * height > max_pixels:
        raise ImageMessageError(
            "size", f"an image of {width}x{height} pixels has {width * height}, more than max_pixels ({max_pixels})"
        )


def _bytes(message: Any) -> np.ndarray:
    try:
        return np.frombuffer(message.data, np.uint8)
    except (TypeError, ValueError, BufferError):
        raise ImageMessageError("data", "the image's data is not a buffer of bytes") from None


def _not_a_picture(name: str) -> ImageMessageError:
    return ImageMessageError(
        "encoding",
        f"{name!r} is depth or data, not a picture: choose the topic of the camera's colour image",
    )


def _through_cv_bridge(message: Any) -> np.ndarray:
    bridge = _cv_bridge()
    if bridge is None:
        known = ", ".join(ENCODINGS)
        raise ImageMessageError(
            "encoding",
            f"the encoding {message.encoding!r} is not one of {known}; cv_bridge supports more, but cannot be loaded",
        )
    try:
        rgb = np.asarray(bridge.imgmsg_to_cv2(message, "rgb8"))
    except Exception as error:  # from cv_bridge, OpenCV or Boost
        reason = " ".join(str(error).split())
        raise ImageMessageError("encoding", f"cv_bridge cannot decode {message.encoding!r}: {reason}") from None
    if rgb.dtype != np.uint8 or rgb.shape != (message.height, message.width, 3):
        raise ImageMessageError(
            "encoding", f"cv_bridge turned {message.encoding!r} into {rgb.dtype} of shape {rgb.shape}"
        )
    return rgb


@cache
def _cv_bridge() -> Any:
    """A CvBridge; None if cv_bridge is not installed, or cannot be loaded because it was built for NumPy 1."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except Exception:
        return None


def fill_image(message: Any, pixels: np.ndarray, encoding: str) -> Any:
    """Write an image into an image message without changing its header.

    Args:
        message: a sensor_msgs/Image, or any object with its fields.
        pixels: (height, width) uint8 for one channel, (height, width, channels) uint8 for more.
        encoding: of ``pixels``: ``mono8``, ``bgr8`` or ``rgb8``.

    Returns:
        The same message. The pixels are copied once.

    Raises:
        ImageMessageError: ``pixels`` is not uint8, or its channels are not those of the encoding.
    """
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels != ENCODINGS[encoding].pixel_bytes:
        raise ImageMessageError("data", f"{pixels.dtype} pixels of shape {pixels.shape} are not {encoding}")
    message.height, message.width = pixels.shape[:2]
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = message.width * channels
    message.data = _array(pixels)
    return message


def fill_compressed(message: Any, pixels: np.ndarray, jpeg_quality: int | None = None) -> Any:
    """Compress an image into a compressed image message, as image_transport does, without changing its header.

    Args:
        message: a sensor_msgs/CompressedImage, or any object with its fields.
        pixels: (height, width) uint8, which is mono8, or (height, width, 3) uint8, which is bgr8.
        jpeg_quality: 1..100 for a JPEG; None for a PNG, which loses nothing.

    Returns:
        The same message, with the ``format`` that image_transport's publisher gives it and its subscriber reads.
    """
    suffix, options = (".png", ()) if jpeg_quality is None else (".jpg", (cv2.IMWRITE_JPEG_QUALITY, jpeg_quality))
    encoding, coded = ("mono8", "") if pixels.ndim == 2 else ("bgr8", "bgr8")
    message.format = f"{encoding}; {'png' if jpeg_quality is None else 'jpeg'} compressed {coded}"
    message.data = _array(cv2.imencode(suffix, pixels, options)[1])
    return message


def _array(content: np.ndarray) -> array:
    """Bytes as rclpy's own type, of which it does not check every element."""
    data = array("B")
    data.frombytes(np.ascontiguousarray(content).data.cast("B"))
    return data
