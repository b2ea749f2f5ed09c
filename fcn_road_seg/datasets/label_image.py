"""Label images: one class id, palette entry or colour per pixel."""

from io import BytesIO
from pathlib import Path

import numpy as np

from fcn_road_seg.datasets.label_map import FILE_NAME, LabelMap, listed
from fcn_road_seg.errors import first_line
from fcn_road_seg.files.input import read_bytes
from fcn_road_seg.frames.sample import IGNORE, ROAD, DatasetError

LOSSY = ("JPEG", "MPO")
"""Pillow's names of the formats of JPEG files."""


def read_ids(path: str | Path, image: np.ndarray, count: int, instances: int = 0) -> np.ndarray:
    """Read the class ids, uint8 H x W, that label `image` (H x W x 3).

    Pillow reads the file, because OpenCV turns palette indices into colours.

    Args:
        count: ids are 0..count - 1.
        instances: if above 0, ids from this value up are those of instances, whose class is id // instances.

    Raises:
        DatasetError: the file cannot be read, has several channels, an invalid id or another size than the image.
    """
    return _as_ids(path, read_pixels(path, image, colours=False), count, instances)


def read_label(path: Path, image: np.ndarray, label_map: LabelMap | None) -> np.ndarray:
    """Read the label, uint8 H x W (0 not road, 1 road, 255 ignore), of `image` (H x W x 3).

    Args:
        label_map: of ids, which are those of a grey image or a palette, or of colours, which are those of a palette or
            of the pixels; None if the ids are labels.

    Raises:
        DatasetError: as `read_ids`, or a value is not named in the label map.
    """
    if label_map is not None and label_map.colours:
        return label_map.of_colours(read_pixels(path, image, colours=True), path)
    pixels = read_pixels(path, image, colours=False)
    if pixels.ndim != 2:
        raise DatasetError(
            f"{path} is a colour image with the {listed_colours(pixels)}, but labels have one class id per pixel: name "
            f"its colours in a {FILE_NAME} beside images/"
        )
    ids = _as_ids(path, pixels, IGNORE + 1)
    if label_map is not None:
        return label_map.of_ids(ids, path)
    invalid = (ids > ROAD) & (ids != IGNORE)
    if invalid.any():
        raise DatasetError(
            f"{path} holds {listed(np.unique(ids[invalid]))}, but labels are 0 not road, 1 road, 255 ignore; a "
            f"{FILE_NAME} beside images/ can name other values"
        )
    return ids


def listed_colours(pixels: np.ndarray) -> str:
    """The colours of pixels, uint8 ... x C, for a message: "colours #000000, #ff00ff"."""
    colours = np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)
    return listed([f"#{bytes(colour.tolist()).hex()}" for colour in colours], "colour")


def check_labelled(label: np.ndarray, path: str | Path) -> None:
    """Check that a label, uint8 H x W, that was read from `path` says anything.

    Raises:
        DatasetError: it ignores every pixel.
    """
    if label.min() == IGNORE:
        raise DatasetError(f"{path} labels no pixel: all of them are ignored, so leave the frame out or label it")


def check_size(path: Path, width: int, height: int, image: np.ndarray) -> None:
    """Check that an annotation of `width` x `height` pixels fits its image, H x W x 3.

    Raises:
        DatasetError: it does not.
    """
    if (height, width) != image.shape[:2]:
        raise DatasetError(f"{path} is {width}x{height}, but its image is {image.shape[1]}x{image.shape[0]}")


def _as_ids(path: str | Path, pixels: np.ndarray, count: int, instances: int = 0) -> np.ndarray:
    """`read_ids` of pixels that were read."""
    if pixels.ndim != 2:
        raise DatasetError(
            f"{path} is a colour image with the {listed_colours(pixels)}, but labels have one class id per pixel"
        )
    if instances and pixels.max() >= instances:
        pixels = np.where(pixels >= instances, pixels // instances, pixels)
    valid = np.isin(pixels, range(count)) if pixels.dtype.kind == "f" else (pixels >= 0) & (pixels < count)
    if not valid.all():
        invalid = listed(np.unique(pixels[~valid]), "class id")
        raise DatasetError(f"{path} holds the {invalid}, but the highest valid one is {count - 1}")
    return pixels.astype(np.uint8)


def read_pixels(path: str | Path, image: np.ndarray, colours: bool = False) -> np.ndarray:
    """The pixels of a label image of the size of `image`: H x W as stored, or uint8 H x W x 3 RGB.

    Raises:
        DatasetError: the file cannot be read, has lossy pixels, or has another size than the image.
    """
    from PIL import Image, UnidentifiedImageError  # KITTI Road's frames are read without it

    try:
        with Image.open(BytesIO(read_bytes(path))) as file:
            lossy = file.format in LOSSY
            pixels = np.array(file.convert("RGB") if colours else file)
    except UnidentifiedImageError:
        raise DatasetError(f"{path} cannot be read: it is not an image") from None
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises SyntaxError for a broken chunk
        why = getattr(error, "strerror", None) or f"it is damaged ({first_line(error)})"
        raise DatasetError(f"{path} cannot be read: {why}") from None
    if lossy:
        raise DatasetError(f"{path} is a JPEG, whose pixels are not exact: save labels as PNG")
    check_size(Path(path), pixels.shape[1], pixels.shape[0], image)
    return pixels
