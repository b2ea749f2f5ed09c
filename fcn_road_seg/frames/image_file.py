"""Image files <-> RGB arrays. OpenCV stores BGR; only this file converts it."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.errors import UserError
from fcn_road_seg.files.input import read_bytes, visible
from fcn_road_seg.files.output import write_whole
from fcn_road_seg.frames.bit_depth import BitDepth

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
"""Of images whose pixels are stored exactly."""
LOSSY_SUFFIXES = (".jpg", ".jpeg")
_PNG, _JPEG, _TIFFS = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", (b"II*\0", b"MM\0*")
_COLOUR = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # of a segment: not one between or within coded data
_HUFFMAN_TABLES, _END, _SCAN = 0xC4, 0xD9, 0xDA
_LOST = bytes(64)  # more than two blocks


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


def read_rgb(path: str | Path, bit_depth: BitDepth | None = None) -> np.ndarray:
    """Read an image file as uint8 H x W x 3 RGB, as ``decode_rgb`` does.

    Raises:
        ImageFileError: it is missing, unreadable, cut off or damaged, or OpenCV cannot decode it.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise ImageFileError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return decode_rgb(content, bit_depth)
    except ImageFileError as error:
        raise ImageFileError(f"{path} is {error}") from None


def decode_rgb(content: bytes, bit_depth: BitDepth | None = None) -> np.ndarray:
    """Decode the bytes of an image file as uint8 H x W x 3 RGB.

    Grey images are converted. An EXIF orientation is not applied, so that a mask fits its file.

    Args:
        bit_depth: of the camera, for 16-bit images; default: that of this image alone.

    Raises:
        ImageFileError: it is cut off or damaged, or OpenCV cannot read it; the message completes "FILE is ...".
    """
    if content.startswith(_PNG) and not _png_ends(content):
        raise ImageFileError("a PNG that was cut off")  # OpenCV would allocate what the header claims
    if content.startswith(_JPEG) and (fault := _jpeg_fault(content)):
        raise ImageFileError(f"a JPEG that {fault}")  # OpenCV would paint what is lost grey
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), _COLOUR)
    except cv2.error:  # OpenCV raises for an empty file and for more pixels than its limit
        image = None
    if image is not None and image.dtype not in (np.uint8, np.uint16):  # floating-point numbers
        image = None
    if image is None and content.startswith(_TIFFS):
        raise ImageFileError("a TIFF that OpenCV cannot read, damaged or in a rare form: save it as PNG")
    if image is None:
        raise ImageFileError("not an image that OpenCV can read")
    if image.dtype == np.uint16:
        image = (bit_depth or BitDepth()).to_8_bits(image)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def jpeg_or_png_size(content: bytes) -> tuple[int, int] | None:
    """Width and height in pixels from the header of a JPEG or PNG; None if it is neither."""
    if content.startswith(_PNG + b"\0\0\0\rIHDR") and len(content) >= 24:
        return struct.unpack_from(">II", content, 16)
    for marker, begin, end in _jpeg_segments(content):
        if marker == _SCAN:
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (_HUFFMAN_TABLES, 0xC8, 0xCC) and end >= begin + 5:
            height, width = struct.unpack_from(">HH", content, begin + 1)
            return width, height
    return None


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of each segment of a JPEG, after its length; of a scan, the end of its coded data.

    The last one has the marker `_END`, unless the file is cut off. What follows it belongs to no picture: a film, a
    camera's own data, padding.
    """
    at = 2 if content.startswith(_JPEG) else len(content)
    while found := _MARKER.search(content, at):
        marker, begin, end = content[found.start() + 1], found.end() + 2, found.end()
        if marker != _END:
            end += int.from_bytes(content[found.end() : begin], "big")
        if marker == _SCAN:
            after = _MARKER.search(content, end)
            end = after.start() if after else len(content) + 1
        if end > len(content):
            return
        yield marker, begin, end
        if marker == _END:
            return
        at = end


def _jpeg_fault(content: bytes) -> str:
    """How a JPEG is damaged, the end of a sentence; empty if it is not.

    A run of zero bits repeats the symbol with the shortest code. If that is a coefficient of a block, as in the
    standard's table, no picture has such a run; if it is the end of a block, a large even area has.
    """
    shortest = {0x10: 1, 0x11: 0}  # the standard's tables, which cameras may leave out
    marker = kind = 0
    for marker, begin, end in _jpeg_segments(content):
        if marker in (0xC0, 0xC1, 0xC2):  # Huffman codes: baseline, extended, progressive
            kind = marker
        while marker == _HUFFMAN_TABLES and begin + 17 < end:
            shortest[content[begin]] = content[begin + 17]
            begin += 17 + sum(content[begin + 1 : begin + 17])
        if marker == _SCAN and kind and (data := begin + 4 + 2 * content[begin]) < end:
            table, first, refinement = 0x10 | content[begin + 2] & 0x0F, content[data - 3], content[data - 1] >> 4
            coefficients = kind != 0xC2 or (first and not refinement)
            if coefficients and shortest.get(table, 0) & 0x0F and content.find(_LOST, data, end) >= 0:
                return "was damaged: a part of it was overwritten with zeros"
    return "" if marker == _END else "was cut off"


def _png_ends(content: bytes) -> bool:
    """Whether a PNG has all its chunks, up to IEND."""
    at = len(_PNG)
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        at += 12 + length
        if kind == b"IEND":
            return at <= len(content)
    return False


def write_image(path: str | Path, image: np.ndarray, quality: int | None = None) -> None:
    """Write a uint8 image, H x W x 3 RGB or H x W grey, in the format of the path's suffix.

    Args:
        quality: of a JPEG, 0..100; None is OpenCV's 95.

    Raises:
        OSError: the file cannot be written.
    """
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    options = [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, content = cv2.imencode(Path(path).suffix, image, options)
    write_whole(path, content.data)  # cv2.imwrite does not report a full disk
