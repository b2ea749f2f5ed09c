"""Video files <-> RGB frames, with OpenCV."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import cv2
import numpy as np

from fcn_road_seg.files.input import check_ends
from fcn_road_seg.files.output import utf8_name, whole_file
from fcn_road_seg.frames.image_file import ImageFileError

EBML, SEGMENT, UNKNOWN_SIZE = b"\x1aE\xdf\xa3", b"\x18S\x80g", b"\x01" + 7 * b"\xff"
"""How a Matroska or WebM file begins, how its one large element does, and the size of that element in a live stream."""
MP4_CONTENT = (b"mdat", b"moov", b"moof")


class VideoReader:
    """Iterates over a video's frames, uint8 H x W x 3 RGB.

    Attributes:
        rate: frames per second; 10 if the file does not state it.

    Raises:
        ImageFileError: the file is not a video that OpenCV can read.
    """

    def __init__(self, path: str | Path):
        self.path = path
        try:
            check_ends(Path(path))
            with Path(path).open("rb") as file:
                self._cut_off = was_cut_off(file)
        except OSError as error:
            raise ImageFileError(f"{path} cannot be read: {error.strerror}") from None
        with utf8_name(path) as name:
            self._capture = cv2.VideoCapture(name)
        if not self._capture.isOpened():
            what = "a video that was cut off" if self._cut_off else "neither an image nor a video that OpenCV can read"
            raise ImageFileError(f"{path} is {what}")
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or 10.0
        self._length = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __len__(self) -> int:
        """The number of frames according to the file's header; 0 if unknown."""
        return self._length

    def __iter__(self) -> Iterator[np.ndarray]:
        """Read the frames; works only once.

        Raises:
            ImageFileError: after the last readable frame, if there was none, the file was cut off, or an AVI file
                claims more frames.
        """
        count = 0
        while True:
            read, frame = self._capture.read()
            if not read:
                break
            count += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        if not count:
            raise ImageFileError(
                f"{self.path} has no frame that OpenCV can decode (codec {self._codec()}): convert it, as with "
                "ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
            )
        if self._cut_off:
            raise ImageFileError(f"{self.path} was cut off: it has {count} readable frames")
        exact = self._length if Path(self.path).suffix.lower() == ".avi" else 0  # other formats only estimate it
        if count < exact:
            raise ImageFileError(f"{self.path} claims {self._length} frames, but only {count} can be read")

    def _codec(self) -> str:
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        return code.to_bytes(4, "little").decode("ascii", "replace").strip("\0 ") or "unknown"


def was_cut_off(file: BinaryIO) -> bool:
    """Whether an MP4, QuickTime, Matroska or WebM file ends before its header says; other formats do not tell."""
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(64)
    if start.startswith(EBML):
        begin = start.find(SEGMENT) + len(SEGMENT)
        coded = start[begin : begin + 8]  # the first byte says how long the number is
        if begin < len(SEGMENT) or len(coded) < 8 or coded[0] != 1 or coded == UNKNOWN_SIZE:
            return False
        return begin + 8 + int.from_bytes(coded[1:], "big") > size
    at = 0
    while start[4:8] == b"ftyp" and at + 16 <= size:
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length < 8:  # 0: to the end of the file
            return False
        at += length
        if at > size:
            return header[4:8] in MP4_CONTENT
    return False


class VideoWriter:
    """Writes uint8 H x W x 3 RGB frames to an MP4 file, all in the size of the first; a context manager.

    The file appears when the block ends without an exception. MPEG-4 has even sizes: an odd one gets its last row or
    column twice.

    Raises:
        OSError: at the end of the block, if the video is incomplete because the disk is full.
    """

    def __init__(self, path: str | Path, rate: float):
        self.path, self.rate = Path(path), min(max(rate, 0.1), 1000.0)  # the rates that MPEG-4 allows
        self._file: AbstractContextManager[Path] = whole_file(self.path)
        self._partial = self.path
        self._writer: cv2.VideoWriter | None = None
        self._size: tuple[int, int] | None = None
        self._count = 0

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append a frame.

        Raises:
            OSError: the file cannot be written.
        """
        if self._size and frame.shape[:2] != self._size:
            frame = cv2.resize(frame, self._size[::-1])
        self._size = height, width = frame.shape[:2]
        if self._writer is None:
            self._partial = self._file.__enter__()
            with utf8_name(self._partial) as name:
                size = width + width % 2, height + height % 2
                self._writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"mp4v"), self.rate, size)
            if not self._writer.isOpened():
                raise OSError(f"cannot write the video {self.path} of {width}x{height} pixels")
        frame = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        self._writer.write(cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE))
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if fault is None:
            with utf8_name(self._partial) as name:
                written = cv2.VideoCapture(name).get(cv2.CAP_PROP_FRAME_COUNT)
            if written < self._count:  # OpenCV does not report failed writes
                fault = OSError(f"the video {self.path} cannot be written completely: is the disk full?")
                self._file.__exit__(OSError, fault, None)
                raise fault
        self._file.__exit__(kind, fault, where)


class LivePace:
    """Writes frames that come irregularly to a video, each for as long as it was the newest one."""

    def __init__(self, video: VideoWriter):
        self._video, self._count = video, 0
        self._start: float | None = None
        self._newest: np.ndarray | None = None

    def write(self, frame: np.ndarray, seconds: float) -> None:
        """Write a frame that came at this time; see `VideoWriter.write`."""
        if self._start is None:
            self._start = seconds
        place = int((seconds - self._start) * self._video.rate)
        while self._newest is not None and self._count < place:
            self._write(self._newest)
        if self._count <= place:  # else frames come faster than the video's
            self._write(frame)
        self._newest = frame

    def _write(self, frame: np.ndarray) -> None:
        self._video.write(frame)
        self._count += 1
