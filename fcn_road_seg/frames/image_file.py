"""Image files <-> RGB arrays. OpenCV stores BGR; only this file converts it."""

import struct
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.files import read_bytes, visible

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
"""Of images whose pixels are stored exactly."""
LOSSY_SUFFIXES = (".jpg", ".jpeg")
_PNG = b"\x89PNG\r\n\x1a\n"


class ImageFileError(UserError):
    """An image or video file cannot be read; the message names it."""


def is_image(path: Path) -> bool:
    """Whether the file's suffix is that of an image."""
    return path.suffix.lower() in SUFFIXES


def images_in(folder: Path) -> list[Path]:
    """The images in a folder, sorted by name; the list may be empty. Hidden files are left out."""
    return [path for path in visible(folder) if is_image(path)]


def by_name(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> dict[str, Path]:
    """The files of a folder that have one of these suffixes, in small letters or capitals, by their name without it.

    Hidden files are left out; a missing folder has none.

    Raises:
        ImageFileError: two files differ only in the suffix.
    """
    found: dict[str, Path] = {}
    for path in visible(folder) if folder.is_dir() else ():
        if path.suffix.lower() in suffixes and found.setdefault(path.stem, path) != path:
            raise ImageFileError(f"{found[path.stem]} and {path.name} have the same name: remove one")
    return found


def read_rgb(path: str | Path) -> np.ndarray:
    """Read an image file as uint8 H x W x 3 RGB, as ``decode_rgb`` does.

    Raises:
        ImageFileError: it is missing or cut off, or OpenCV cannot read it.
    """
    try:
        content = read_bytes(path)
    except OSError:
        content = b""
    try:
        return decode_rgb(content)
    except ImageFileError as error:
        raise ImageFileError(f"{path} is {error}") from None


def decode_rgb(content: bytes) -> np.ndarray:
    """Decode the bytes of an image file as uint8 H x W x 3 RGB.

    Grey and 16-bit images are converted. An EXIF orientation is not applied, so that a mask fits its file.

    Raises:
        ImageFileError: it is cut off, or OpenCV cannot read it; the message completes "FILE is ...".
    """
    if content.startswith(_PNG) and not _png_ends(content):
        raise ImageFileError("a PNG that was cut off")  # OpenCV would allocate what the header claims
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # OpenCV raises for an empty file and for more pixels than its limit
        content, image = b"", None
    if content.startswith(b"\xff\xd8") and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
        raise ImageFileError("a JPEG that was cut off")  # no end after its last scan; OpenCV would paint it grey
    if image is None:
        raise ImageFileError("missing or not an image that OpenCV can read")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def jpeg_or_png_size(content: bytes) -> tuple[int, int] | None:
    """Width and height in pixels from the header of a JPEG or PNG; None if it is neither."""
    if content.startswith(_PNG + b"\0\0\0\rIHDR") and len(content) >= 24:
        return struct.unpack_from(">II", content, 16)
    at = 2
    while content.startswith(b"\xff\xd8") and at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = struct.unpack_from(">BH", content, at + 1)
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker < 0xC0 or 0xD0 <= marker <= 0xDA:  # a marker without a length, or already the first scan
            return None
        elif marker > 0xDA or marker in (0xC4, 0xC8, 0xCC):  # any segment except a start of frame
            at += 2 + length
        else:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
    return None


def _png_ends(content: bytes) -> bool:
    """Whether a PNG has all its chunks, up to IEND."""
    at = len(_PNG)
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        at += 12 + length
        if kind == b"IEND":
            return at <= len(content)
    return False


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write a uint8 image, H x W x 3 RGB or H x W grey, in the format of the path's suffix.

    Raises:
        OSError: the file cannot be written.
    """
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(Path(path).suffix, image)
    try:
        Path(path).write_bytes(content.data)  # cv2.imwrite does not report a full disk
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from None
