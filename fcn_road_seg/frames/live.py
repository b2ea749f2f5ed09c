"""Cameras and streams -> their newest RGB frames, with OpenCV: V4L2 for cameras, FFmpeg for URLs."""

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Condition, Event, Thread
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

import cv2
import numpy as np

from fcn_road_seg.errors import UserError
from fcn_road_seg.files.input import URL, without_secrets

PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322, "rtmp": 1935}
TIMEOUT = 10.0
"""Seconds without an answer or a frame after which a stream counts as stopped."""
CONNECT_TIMEOUT = 3.0
PATIENCE = 30.0
"""Seconds for which a camera or a stream that stopped is opened again and again."""
RETRY = 1.0
"""Seconds between these attempts."""
RATES = 1.0, 120.0
"""Frames per second that a camera may claim; other claims, such as RTSP's clock of 90000, are not rates."""
USUAL_RATE = 25.0


class StreamError(UserError):
    """A camera or a stream cannot be opened, or has stopped."""


class LiveFrame(NamedTuple):
    """A frame and when it came."""

    image: np.ndarray
    """uint8 H x W x 3 RGB."""
    seconds: float
    """On the clock of time.monotonic."""


class LiveFrames:
    """Iterates over the newest frames of a camera or a stream; a context manager.

    A thread reads all frames. Each next one is the newest: those that came in between are dropped, so that the delay
    does not grow. A URL of a recorded video gives every frame. A source that stops is opened again.

    Attributes:
        name: of the source, without the passwords in its URL.
        rate: frames per second that the source claims, see `RATES`.
        recorded: whether this is a recorded video.
        count: number of frames so far, with the dropped ones.

    Args:
        source: number or device of a camera (0, /dev/video0), or a URL.
        say: called from the thread with a sentence when the source stops and when it is back.
        patience: seconds within which a source that stopped must be back.

    Raises:
        StreamError: it cannot be opened, or gives no frame; the iterator: it stopped and did not come back.
    """

    def __init__(self, source: str, say: Callable[[str], None], patience: float = PATIENCE):
        self._source, self._say, self._patience = device(source), say, patience
        self.name = without_secrets(self._source)
        self.rate, self.recorded, self.count = USUAL_RATE, False, 0
        self._length = 0
        self._newest: tuple[int, LiveFrame] | None = None
        self._taken = 0
        self._changed = Condition()
        self._fault: Exception | None = None
        self._ended = False
        self._stop = Event()
        self._thread = Thread(target=self._read_all, daemon=True)
        self._thread.start()
        self._wait(0)

    def __enter__(self) -> "LiveFrames":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(RETRY)  # a read that does not return ends with the process

    def __iter__(self) -> Iterator[LiveFrame]:
        while found := self._wait(self._taken):
            with self._changed:
                self._taken, frame = found
                self._changed.notify_all()
            yield frame

    def _wait(self, number: int) -> tuple[int, LiveFrame] | None:
        """The newest frame and its number, as soon as this is greater than `number`; None after the last one."""
        with self._changed:
            self._changed.wait_for(lambda: self.count > number or self._ended)
            if self.count > number:
                return self._newest
            if self._fault:
                raise self._fault
            return None

    def _read_all(self) -> None:
        try:
            self._follow()
        except Exception as fault:  # raised where the frames are waited for
            self._fault = fault
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _follow(self) -> None:
        """Read until the end, or until told to stop."""
        capture: cv2.VideoCapture | None = None
        stopped = -1.0
        while not self._stop.is_set():
            capture = capture or self._open()
            read, image = capture.read()
            if read:
                if stopped >= 0:
                    self._say(f"{self.name} is back")
                stopped = -1.0
                self._put(LiveFrame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), time.monotonic()))
                continue
            capture.release()
            capture = None
            if not self.count:
                raise StreamError(why_not(self._source))
            if self.recorded:
                if self.count < 0.95 * self._length:  # which is an estimate
                    raise StreamError(f"{self.name} ended after {self.count} of about {self._length} frames: try again")
                return
            if stopped < 0:
                stopped = time.monotonic()
                self._say(f"{self.name} stopped: opening it again, for up to {self._patience:g} s")
            elif time.monotonic() - stopped > self._patience:
                raise StreamError(f"{self.name} stopped and did not come back in {self._patience:g} s")
            self._stop.wait(RETRY)
        if capture:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = open_capture(self._source)
        if not self.count:
            rate = capture.get(cv2.CAP_PROP_FPS)
            self.rate = rate if RATES[0] <= rate <= RATES[1] else USUAL_RATE
            self._length = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
            self.recorded = self._length > 0 and bool(URL.match(self._source))
        return capture

    def _put(self, frame: LiveFrame) -> None:
        with self._changed:
            if self.recorded:
                self._changed.wait_for(lambda: self._taken == self.count or self._stop.is_set())
            self.count += 1
            self._newest = self.count, frame
            self._changed.notify_all()


def is_live(source: str) -> bool:
    """Whether an input is a camera or a URL, not a file or a folder."""
    if URL.match(source):
        return True
    if source.isdecimal():
        return not Path(source).exists()
    return bool(re.fullmatch(r"/dev/(video\d+|v4l/.+)", source))


def device(source: str) -> str:
    """The device of a camera that is named by its number; any other source as it is."""
    return f"/dev/video{int(source)}" if source.isdecimal() else source


def open_capture(source: str) -> cv2.VideoCapture:
    """Open the device of a camera or a URL; the caller checks whether it gives frames."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what failed is said in `why_not`
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # and FFmpeg would print the URL's password
    if not URL.match(source):
        return cv2.VideoCapture(source, cv2.CAP_V4L2)
    limit = round(1000 * TIMEOUT)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
    return cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)


def why_not(source: str) -> str:
    """A sentence about a device or a URL that gives no frame: why, and what to do."""
    return _why_no_stream(source) if URL.match(source) else _why_no_camera(Path(source))


def _why_no_camera(path: Path) -> str:
    if not path.exists():
        others = ", ".join(str(other) for other in sorted(Path("/dev").glob("video*")))
        there = f"choose one of {others}" if others else "plug one in, or pass it to the container or virtual machine"
        return f"there is no camera {path}: {there}"
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except PermissionError:
        return f"no permission to use the camera {path}: sudo usermod -aG video $USER, then log in again"
    except OSError as error:
        return f"the camera {path} cannot be opened: {error.strerror}"
    return (
        f"the camera {path} gives no pictures: close other programs that use it, or choose another device, since a "
        "camera often has one for pictures and one for other data"
    )


def _why_no_stream(url: str) -> str:
    name, parts = without_secrets(url), urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme.lower(), 0)
    except ValueError:
        return f"{name} is not a URL: write special characters in its password as %40 for @, %3F for ?, %2F for /"
    if host and port:
        try:
            socket.create_connection((host, port), CONNECT_TIMEOUT).close()
        except socket.gaierror:
            return f"{name} cannot be reached: there is no host of this name, check the spelling and the network"
        except ConnectionRefusedError:
            return f"{name} cannot be reached: nothing answers on port {port}, check it and start the stream"
        except OSError:
            return f"{name} cannot be reached: the host does not answer, check the address and the network"
    login = f", and user and password, as in {parts.scheme}://USER:PASSWORD@HOST/PATH" if host else ""
    return f"{name} has no video that OpenCV can read: check the path{login}"
