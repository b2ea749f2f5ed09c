"""Video files <-> RGB frames, with OpenCV."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from fcn_road_seg.frames.image_file import ImageFileError


class VideoReader:
    """Iterates over a video's frames, uint8 H x W x 3 RGB.

    Attributes:
        rate: frames per second; 10 if the file does not state it.

    Raises:
        ImageFileError: the file is not a video that OpenCV can read.
    """

    def __init__(self, path: str | Path):
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ImageFileError(f"{path} is missing or neither an image nor a video that OpenCV can read")
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or 10.0
        self._length = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __len__(self) -> int:
        """The number of frames according to the file's header; 0 if unknown."""
        return self._length

    def __iter__(self) -> Iterator[np.ndarray]:
        """Read the frames; works only once.

        Raises:
            ImageFileError: after the last readable frame, if there was none or an AVI file claims more.
        """
        count = 0
        while True:
            read, frame = self._capture.read()
            if not read:
                break
            count += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        exact = self._length if Path(self.path).suffix.lower() == ".avi" else 0  # other formats only estimate it
        if count < max(1, exact):
            raise ImageFileError(f"{self.path} claims {self._length} frames, but only {count} can be read")


class VideoWriter:
    """Writes uint8 H x W x 3 RGB frames, all of one size, to an MP4 file; a context manager.

    The frames go to a hidden file beside it, which is renamed when the block ends without an exception.

    Raises:
        OSError: at the end of the block, if the video is incomplete because the disk is full.
    """

    def __init__(self, path: str | Path, rate: float):
        self.path, self.rate = Path(path), min(max(rate, 0.1), 1000.0)  # the rates that MPEG-4 allows
        self._partial = self.path.with_name(f".{self.path.stem}.partial{self.path.suffix}")
        self._writer: cv2.VideoWriter | None = None
        self._count = 0

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append a frame.

        Raises:
            OSError: the file cannot be written.
        """
        if self._writer is None:
            size = frame.shape[1], frame.shape[0]
            self._writer = cv2.VideoWriter(str(self._partial), cv2.VideoWriter.fourcc(*"mp4v"), self.rate, size)
            if not self._writer.isOpened():
                raise OSError(f"cannot write the video {self.path} of {size[0]}x{size[1]} pixels")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self._count += 1

    def __exit__(self, kind: type | None, *_: object) -> None:
        if self._writer is None:
            return
        self._writer.release()
        try:
            if kind is None:
                # OpenCV does not report failed writes, so count the frames.
                if cv2.VideoCapture(str(self._partial)).get(cv2.CAP_PROP_FRAME_COUNT) < self._count:
                    raise OSError(f"the video {self.path} cannot be written completely: is the disk full?")
                self._partial.replace(self.path)
        finally:
            self._partial.unlink(missing_ok=True)
