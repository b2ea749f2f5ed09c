"""Video files as RGB frames, through OpenCV."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.image_file import ImageFileError


class VideoReader:
    """Iterates over a video's frames, uint8 H x W x 3 RGB.

    Attributes:
        rate: frames per second.

    Raises:
        ImageFileError: the file is no video that OpenCV can read.
    """

    def __init__(self, path: str | Path):
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ImageFileError(f"{path} is missing or neither an image nor a video that OpenCV can read")
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or 10.0
        self._length = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __len__(self) -> int:
        """The number of frames that the file claims to have."""
        return self._length

    def __iter__(self) -> Iterator[np.ndarray]:
        """The frames, once.

        Raises:
            ImageFileError: after the last frame that can be read, if the file claims more or has none.
        """
        count = 0
        while True:
            read, frame = self._capture.read()
            if not read:
                break
            count += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        if count < max(1, self._length):
            raise ImageFileError(f"{self.path} claims {self._length} frames, but only {count} can be read")


class VideoWriter:
    """Writes uint8 H x W x 3 RGB frames, all of one size, to an MP4 file; a context manager."""

    def __init__(self, path: str | Path, rate: float):
        self.path, self.rate = Path(path), rate
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append a frame.

        Raises:
            OSError: the file cannot be written.
        """
        if self._writer is None:
            size = frame.shape[1], frame.shape[0]
            self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*"mp4v"), self.rate, size)
            if not self._writer.isOpened():
                raise OSError(f"cannot write the video {self.path} of {size[0]}x{size[1]} pixels")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.release()
