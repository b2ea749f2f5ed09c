"""Image files <-> RGB arrays. OpenCV thinks in BGR; this is the only place that turns it round."""

from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


class ImageFileError(UserError):
    """An image or video file that cannot be read; the message names it."""


def is_image(path: Path) -> bool:
    """Whether the file's name says that it is an image."""
    return path.suffix.lower() in SUFFIXES


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, by name; there may be none."""
    return sorted(path for path in folder.iterdir() if is_image(path))


def read_rgb(path: str | Path) -> np.ndarray:
    """Read an image file as uint8 H x W x 3 RGB.

    Grey and 16-bit images are converted. The pixels are taken as they are stored: an EXIF orientation
    is not applied, so that a mask fits its file.

    Raises:
        ImageFileError: it is missing, cut off, or OpenCV cannot read it.
    """
    try:
        content = Path(path).read_bytes()
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except (OSError, cv2.error):  # OpenCV raises for an empty file and for more pixels than its limit
        content, image = b"", None
    if content.startswith(b"\xff\xd8") and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
        raise ImageFileError(f"{path} is a JPEG that was cut off")  # no end after its last scan; OpenCV paints it grey
    if image is None:
        raise ImageFileError(f"{path} is missing or no image that OpenCV can read")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 H x W x 3 RGB or H x W grey; the suffix of the path chooses the format.

    Raises:
        OSError: the file cannot be written.
    """
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(path), image):
        raise OSError(f"cannot write {path}: is its folder there and writable, and the disk not full?")
