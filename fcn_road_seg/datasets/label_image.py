"""Label images that hold one class id per pixel."""

from pathlib import Path

import numpy as np
from PIL import Image

from fcn_road_seg.frames.sample import DatasetError


def read_ids(path: str | Path, image: np.ndarray, count: int, instances: int = 0) -> np.ndarray:
    """Read the class ids, uint8 H x W, that label `image` (H x W x 3).

    Pillow reads the file, because OpenCV turns palette indices into colours.

    Args:
        count: ids are 0..count - 1.
        instances: if above 0, ids from this value up are those of instances, whose class is id // instances.

    Raises:
        DatasetError: the file cannot be read, has several channels, an invalid id or another size than the image.
    """
    try:
        with Image.open(path) as file:
            ids = np.array(file)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises SyntaxError for a broken chunk
        raise DatasetError(f"{path} is missing or damaged ({str(error).splitlines()[0]})") from None
    if ids.ndim != 2:
        raise DatasetError(f"{path} is a colour image, but labels have one class id per pixel")
    if ids.shape != image.shape[:2]:
        size, expected = "x".join(map(str, ids.shape[::-1])), "x".join(map(str, image.shape[1::-1]))
        raise DatasetError(f"{path} is {size}, but its image is {expected}")
    if instances and ids.max() >= instances:
        ids = np.where(ids >= instances, ids // instances, ids)
    if ids.max() >= count:
        raise DatasetError(f"{path} holds the class id {ids.max()}, but the highest valid one is {count - 1}")
    return ids.astype(np.uint8)
