"""Cameras and streams: the newest frame, interruptions, sentences about what cannot be opened, and passwords."""

import time
from collections.abc import Callable
from pathlib import Path
from queue import Queue

import cv2
import numpy as np
import pytest
from mjpeg_server import MjpegServer

from fcn_road_seg.files.input import without_secrets
from fcn_road_seg.frames import live
from fcn_road_seg.frames.live import LiveFrames, StreamError, is_live, why_not
from fcn_road_seg.frames.video import LivePace, VideoReader, VideoWriter


class Camera:
    """Stands in for cv2.VideoCapture: gives the pictures that are put into it, and none for None."""

    def __init__(self, *numbers: int | Exception | None):
        self.numbers: Queue[int | Exception | None] = Queue()
        for number in numbers:
            self.numbers.put(number)

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: 90_000.0, cv2.CAP_PROP_FRAME_COUNT: -9.2e18}[what]

    def read(self):
        number = self.numbers.get(timeout=60)
        if isinstance(number, Exception):
            raise number
        return (False, None) if number is None else (True, np.full((48, 64, 3), number, np.uint8))

    def release(self) -> None:
        pass


@pytest.fixture
def cameras(monkeypatch) -> list[Camera]:
    """The cameras that are opened, one after the other; a camera that gives nothing once they are used up."""
    there: list[Camera] = []
    monkeypatch.setattr(live, "open_capture", lambda source: there.pop(0) if there else Camera(None))
    monkeypatch.setattr(live, "RETRY", 0.01)
    return there


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_the_next_frame_is_always_the_newest(cameras):
    camera = Camera(1)
    cameras.append(camera)
    with LiveFrames("0", print) as frames:
        assert (frames.name, frames.rate, frames.recorded) == ("/dev/video0", live.USUAL_RATE, False)
        numbers = (int(frame.image[0, 0, 0]) for frame in frames)
        assert next(numbers) == 1
        for number in (2, 3, 4):
            camera.numbers.put(number)
        wait_for(lambda: frames.count == 4)
        assert next(numbers) == 4
        camera.numbers.put(5)
        assert next(numbers) == 5 and frames.count == 5
        camera.numbers.put(None)


def test_a_camera_that_stops_is_opened_again(cameras):
    first, second = Camera(1), Camera(7)
    cameras += [first, Camera(None), second]
    said: list[str] = []
    with LiveFrames("/dev/video3", said.append) as frames:
        numbers = (int(frame.image[0, 0, 0]) for frame in frames)
        assert next(numbers) == 1
        first.numbers.put(None)
        assert next(numbers) == 7
        assert said == ["/dev/video3 stopped: opening it again, for up to 30 s", "/dev/video3 is back"]
        second.numbers.put(None)


def test_a_camera_that_does_not_come_back_ends(cameras):
    cameras.append(Camera(1, None))
    with (
        LiveFrames("/dev/video3", print, patience=0.05) as frames,
        pytest.raises(StreamError, match=r"^/dev/video3 stopped and did not come back in 0.05 s$"),
    ):
        assert [int(frame.image[0, 0, 0]) for frame in frames] == [1]


def test_a_fault_while_reading_reaches_the_user_of_the_frames(cameras):
    cameras.append(Camera(1, ZeroDivisionError()))
    with LiveFrames("0", print) as frames, pytest.raises(ZeroDivisionError):
        list(frames)


def test_a_stream_over_http(monkeypatch):
    monkeypatch.setattr(live, "RETRY", 0.01)
    with MjpegServer(frames=12) as server:
        url = f"http://user:secret@127.0.0.1:{server.port}/video"
        with LiveFrames(url, print, patience=0.05) as frames:
            assert frames.name == f"http://127.0.0.1:{server.port}/video" and not frames.recorded
            numbers, server.closed = [], True
            with pytest.raises(StreamError, match="stopped and did not come back") as ended:
                for frame in frames:
                    assert frame.image.shape == (48, 64, 3)
                    numbers.append(round(frame.image.mean() / 10))
        assert "secret" not in str(ended.value)
        assert numbers == sorted(set(numbers)) and numbers[-1] == 11 and frames.count == 12


def test_a_url_of_a_recording_gives_every_frame(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 5) as writer:
        for number in range(9):
            writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    with LiveFrames(f"file://{tmp_path}/a.mp4", print) as frames:
        assert frames.recorded and frames.rate == 5
        assert [round(frame.image.mean() / 20) for frame in frames] == list(range(9))


def test_a_recording_that_breaks_off_is_told(cameras, monkeypatch):
    monkeypatch.setattr(Camera, "get", lambda self, what: 40.0)
    cameras.append(Camera(1, 2, None))
    with (
        LiveFrames("http://host/a.mp4", print) as frames,
        pytest.raises(StreamError, match=r"^http://host/a.mp4 ended after 2 of about 40 frames"),
    ):
        assert len(list(frames)) == 2


def test_what_is_a_camera(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert all(map(is_live, ("0", "/dev/video2", "/dev/v4l/by-id/usb-cam", "rtsp://a/b", "HTTPS://a")))
    assert not any(map(is_live, ("drive.mp4", "folder", "/dev/stdin", "a:/b", "0.png")))
    Path("0").mkdir()
    assert not is_live("0")


def test_a_camera_that_is_not_there(monkeypatch):
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [Path("/dev/video4"), Path("/dev/video2")])
    assert why_not("/dev/video99") == "there is no camera /dev/video99: choose one of /dev/video2, /dev/video4"
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [])
    assert why_not("/dev/video99").startswith("there is no camera /dev/video99: plug one in")


def test_a_camera_that_cannot_be_used(tmp_path, monkeypatch):
    device = tmp_path / "video0"
    device.touch()
    assert why_not(str(device)).startswith(f"the camera {device} gives no pictures: close other programs that use it")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(live.os, "open", refuse)
    assert why_not(str(device)).startswith(f"no permission to use the camera {device}: sudo usermod -aG video $USER")


def test_a_stream_that_cannot_be_opened():
    with MjpegServer(frames=0) as server:
        place = f"127.0.0.1:{server.port}"
        with pytest.raises(StreamError) as fault:
            LiveFrames(f"http://user:secret@{place}/none", print)
    assert str(fault.value) == (
        f"http://{place}/none has no video that OpenCV can read: check the path, and user and password, as in "
        "http://USER:PASSWORD@HOST/PATH"
    )
    with pytest.raises(StreamError, match=rf"^http://{place}/none cannot be reached: nothing answers on port"):
        LiveFrames(f"http://user:secret@{place}/none", print)
    with pytest.raises(StreamError, match="^file:///none.mp4 has no video that OpenCV can read: check the path$"):
        LiveFrames("file:///none.mp4", print)


@pytest.mark.parametrize("why", [live.socket.gaierror(-2, "unknown"), TimeoutError(), OSError(113, "no route")])
def test_a_host_that_cannot_be_reached(monkeypatch, why):
    def connect(*_):
        raise why

    monkeypatch.setattr(live.socket, "create_connection", connect)
    sentence = why_not("rtsp://user:secret@camera.local/stream")
    assert sentence.startswith("rtsp://camera.local/stream cannot be reached: ")
    assert ("no host of this name" in sentence) == isinstance(why, live.socket.gaierror)


@pytest.mark.parametrize(
    "url, shown",
    [
        ("rtsp://user:secret@cam:554/live", "rtsp://cam:554/live"),
        ("http://cam/video.cgi?user=a&pwd=secret#x", "http://cam/video.cgi"),
        ("rtsp://cam/user=admin&password=secret&channel=1.sdp", "rtsp://cam"),
        ("rtsp://user:sec@ret@cam/live", "rtsp://cam/live"),
        ("rtsp://user:sec/r@et@cam/live", "rtsp://cam/live"),
        ("rtsp://user:secr?et@cam/live", "rtsp://..."),
        ("rtsp://user:secr#et@cam/live", "rtsp://..."),
        ("/dev/video0", "/dev/video0"),
        ("out?x@y", "out?x@y"),
    ],
)
def test_passwords_are_not_shown(url, shown):
    assert without_secrets(url) == shown


def test_a_live_video_lasts_as_long_as_its_frames_were_the_newest(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        pace = LivePace(writer)
        for number, seconds in ((1, 50.0), (2, 50.32), (3, 50.33), (4, 50.41), (5, 50.85)):
            pace.write(np.full((48, 64, 3), 40 * number, np.uint8), seconds)
    shown = [round(frame.mean() / 40) for frame in VideoReader(tmp_path / "a.mp4")]
    assert shown == [1, 1, 1, 2, 4, 4, 4, 4, 5]


def test_a_video_keeps_the_size_of_its_first_frame(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        for size in ((48, 64), (96, 128), (48, 64)):
            writer.write(np.full((*size, 3), 200, np.uint8))
    shapes = {frame.shape for frame in VideoReader(tmp_path / "a.mp4")}
    assert shapes == {(48, 64, 3)}
