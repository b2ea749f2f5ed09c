"""`road_seg segment` with a camera or a stream, a window, a page and a contact sheet."""

import argparse
import json
import re
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import cv2
import numpy as np
import pytest
from mjpeg_server import MjpegServer
from tiny_kitti import draw

from fcn_road_seg.cli import segment, viewers
from fcn_road_seg.cli.main import main
from fcn_road_seg.demo.sheet import captioned
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames import live
from fcn_road_seg.frames.image_file import read_rgb, write_image
from fcn_road_seg.frames.video import VideoReader, VideoWriter


@pytest.fixture
def options(tmp_path, small_weights) -> list[str]:
    return ["--out", str(tmp_path / "out"), "--weights", str(small_weights), "--device", "cpu", "--precision", "fp32"]


@pytest.fixture
def drive(tmp_path) -> Path:
    """A video of nine frames."""
    with VideoWriter(tmp_path / "drive.mp4", 5) as writer:
        for seed in range(9):
            writer.write(draw(seed)[0])
    return tmp_path / "drive.mp4"


class Frames:
    """Stands in for LiveFrames: three frames, of five that came, 0.1 s apart, and then an exception."""

    name, rate, recorded, count = "/dev/video0", 30.0, False, 5

    def __init__(self, end: BaseException):
        self._end = end

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __iter__(self):
        for i in range(3):
            yield live.LiveFrame(draw(i)[0], i / 10 + 0.001)
        raise self._end


@pytest.mark.parametrize(
    "end, code", [(KeyboardInterrupt(), 0), (live.StreamError("/dev/video0 stopped"), 1), (OSError("disk full"), 2)]
)
def test_a_camera_that_ends_leaves_complete_files(end, code, tmp_path, options, monkeypatch, capsys):
    monkeypatch.setattr(segment, "LiveFrames", lambda source, say: Frames(end))
    sheet, out = tmp_path / "sheet.png", tmp_path / "out"
    assert main(["segment", "0", *options, "--sheet", str(sheet)]) == code
    captured = capsys.readouterr()
    names = sorted(path.name for path in out.iterdir())
    stem = re.fullmatch(r"(video0_\d{8}_\d{6})_000000_mask.png", names[0])[1]
    assert names == [f"{stem}_{i:06d}_mask.png" for i in range(3)] + [f"{stem}_overlay.mp4"]
    video = VideoReader(out / names[-1])
    assert video.rate == 30 and len(list(video)) == 7  # the first two last for 0.1 s
    if code == 1:
        assert "road_seg segment: /dev/video0 stopped\n" in captured.err
    if code == 2:
        assert captured.err.splitlines()[-1] == "road_seg segment: disk full"
    else:
        assert captured.out == f"3 of 5 frames of /dev/video0 segmented into {out}; contact sheet: {sheet}\n"
        assert read_rgb(sheet).shape == (200 + 28, 3 * 640, 3)


def test_a_stream_with_a_password(tmp_path, options, monkeypatch, capfd):
    monkeypatch.setattr(segment, "LiveFrames", partial(live.LiveFrames, patience=0.05))
    monkeypatch.setattr(live, "RETRY", 0.01)
    with MjpegServer(frames=8) as server:
        url = f"http://user:secret@127.0.0.1:{server.port}/cam1?token=secret"
        server.once = True
        assert main(["segment", url, *options]) == 1
    captured = capfd.readouterr()
    shown = f"http://127.0.0.1:{server.port}/cam1"
    assert re.fullmatch(rf"\d+ of 8 frames of {shown} segmented into {tmp_path}/out\n", captured.out)
    assert f"road_seg segment: {shown} stopped and did not come back in 0.05 s" in captured.err
    files = [path.name for path in (tmp_path / "out").iterdir()]
    assert any(re.fullmatch(rf"127.0.0.1_{server.port}_cam1_\d+_\d+_overlay.mp4", name) for name in files)
    assert "secret" not in captured.out + captured.err + "".join(files)


def test_a_recording_at_a_url_is_segmented_whole(drive, tmp_path, options, capsys):
    assert main(["segment", f"file://{drive}", *options]) == 0
    assert capsys.readouterr().out == f"9 of 9 frames of file://{drive} segmented into {tmp_path}/out\n"
    (video,) = (tmp_path / "out").glob("*_overlay.mp4")
    assert len(list(VideoReader(video))) == 9 and VideoReader(video).rate == 5


def test_a_camera_takes_no_other_input(drive, options, capsys):
    assert main(["segment", "rtsp://a:b@cam/x", str(drive), *options]) == 2
    assert "rtsp://cam/x is a camera or a stream: leave out the other inputs" in capsys.readouterr().err
    assert main(["segment", str(drive)]) == 2
    assert (
        "give --out, a folder for masks and overlays, or one of --sheet, --show and --serve" in capsys.readouterr().err
    )


def test_one_video_has_one_bar_and_its_frames_are_counted(drive, tmp_path, options, capsys):
    write_image(tmp_path / "photo.png", draw(3)[0])
    assert main(["segment", str(drive), *options]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"1 file, 9 frames segmented into {tmp_path}/out\n"
    assert re.findall(r"\d+/\d+", captured.err) == ["9/9"]
    assert main(["segment", str(drive), str(tmp_path / "photo.png"), *options]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"2 files, 10 frames segmented into {tmp_path}/out\n"
    assert re.findall(r"\d+/\d+", captured.err) == ["10/10"]


def interrupted(monkeypatch, frame: int) -> None:
    """Let Ctrl-C come while a frame, the first is 1, is segmented."""
    left = iter(range(frame - 1))

    def overlay(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return whole(*arguments)

    whole = segment.overlay
    monkeypatch.setattr(segment, "overlay", overlay)


def test_an_interrupted_video_leaves_complete_files(drive, tmp_path, options, monkeypatch, capsys):
    sheet, out = tmp_path / "sheet.png", tmp_path / "out"
    interrupted(monkeypatch, 5)
    assert main(["segment", str(drive), *options, "--sheet", str(sheet)]) == 130
    captured = capsys.readouterr()
    line = f"road_seg segment: interrupted after 4 of 9 frames were segmented into {out}; contact sheet: {sheet}"
    assert captured.err.splitlines()[-1] == line and not captured.out
    masks = [f"drive_{i:06d}_mask.png" for i in range(4)]
    assert sorted(path.name for path in out.iterdir()) == [*masks, "drive_overlay.mp4"]
    assert len(list(VideoReader(out / "drive_overlay.mp4"))) == 4
    assert read_rgb(sheet).shape == (2 * (200 + 28), 3 * 640, 3)


def test_an_interrupted_folder_says_how_far_it_came(drive, tmp_path, options, monkeypatch, capsys):
    for seed in range(3):
        write_image(tmp_path / f"photo{seed}.png", draw(seed)[0])
    photos = [str(tmp_path / f"photo{seed}.png") for seed in range(3)]
    with monkeypatch.context() as patch:
        interrupted(patch, 2)
        assert main(["segment", *photos, *options]) == 130
    line = f"road_seg segment: interrupted after 1 of 3 files was segmented into {tmp_path}/out"
    assert capsys.readouterr().err.splitlines()[-1] == line
    interrupted(monkeypatch, 1)
    assert main(["segment", photos[0], str(drive), "--out", str(tmp_path / "none"), *options[2:]]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "road_seg segment: interrupted after 0 frames were segmented"
    assert not (tmp_path / "none").exists()


def test_a_sheet_of_a_video_without_a_folder(drive, tmp_path, options, monkeypatch, capsys):
    sheet, captions = tmp_path / "sheet.png", []
    monkeypatch.setattr(segment, "captioned", lambda picture, text: captions.append(text) or captioned(picture, text))
    assert main(["segment", str(drive), "--sheet", str(sheet), *options[2:]]) == 0
    assert capsys.readouterr().out == f"1 file, 9 frames segmented; contact sheet: {sheet}\n"
    assert read_rgb(sheet).shape == (3 * (200 + 28), 3 * 640, 3) and not (tmp_path / "out").exists()
    assert captions == [f"drive.mp4, frame {i}" for i in range(9)]  # as masks are numbered
    write_image(tmp_path / "photo.png", draw(3)[0])
    photo = str(tmp_path / "photo.png")
    assert main(["segment", photo, "--sheet", photo]) == 2
    assert "is one of the inputs: choose another name" in capsys.readouterr().err


def test_without_a_display_there_is_no_window(drive, options, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["segment", str(drive), "--show", *options]) == 2
    assert "--show needs a display, but neither DISPLAY nor WAYLAND_DISPLAY is set" in capsys.readouterr().err


def test_an_opencv_without_windows_is_told(drive, options, monkeypatch, capsys):
    def missing(*_):
        raise cv2.error("The function is not implemented.")

    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setattr(cv2, "namedWindow", missing)
    assert main(["segment", str(drive), "--show", *options]) == 2
    assert "--show needs an OpenCV with windows, which opencv-python-headless lacks" in capsys.readouterr().err


@pytest.mark.parametrize(
    "key, visible, goes_on", [(-1, 1.0, True), (ord("q"), 1.0, False), (27, 1.0, False), (-1, 0.0, False)]
)
def test_a_window_ends_with_a_key_or_when_it_is_closed(monkeypatch, key, visible, goes_on):
    shown = []
    monkeypatch.setenv("DISPLAY", ":7")
    for name, stand_in in (
        ("namedWindow", lambda *_: None),
        ("imshow", lambda title, picture: shown.append((title, picture))),
        ("waitKey", lambda milliseconds: key),
        ("getWindowProperty", lambda *_: visible),
        ("destroyAllWindows", lambda: shown.append("closed")),
    ):
        monkeypatch.setattr(cv2, name, stand_in)
    args = argparse.Namespace(show=True, serve=None)
    picture = np.uint8([[[1, 2, 3]]])
    try:
        with viewers.viewers(args, "a") as (window,):
            window.show(picture, 0.1)
            went_on = True
    except KeyboardInterrupt:
        went_on = False
    assert went_on == goes_on
    assert shown[0][0] == "road_seg segment a" and shown[0][1].tolist() == [[[3, 2, 1]]] and shown[-1] == "closed"


def test_the_page_shows_the_newest_overlay(capsys):
    args = argparse.Namespace(show=False, serve=("127.0.0.1", 0))
    with viewers.viewers(args, "<cam>") as (page,):
        assert (
            capsys.readouterr().out == f"http://127.0.0.1:{page.port}/ shows <cam> in a browser; press Ctrl-C to stop\n"
        )

        def get(path: str) -> bytes:
            connection = HTTPConnection("127.0.0.1", page.port, timeout=60)
            connection.request("GET", path)
            return connection.getresponse().read()

        assert b"<h1>&lt;cam&gt;</h1>" in get("/") and get("/pictures/overlay") == b""
        for value in (50, 200):
            page.show(np.full((48, 64, 3), value, np.uint8), 0.08)
        picture = cv2.imdecode(np.frombuffer(get("/pictures/overlay"), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (48, 64, 3) and abs(picture.mean() - 200) < 3
        connection = HTTPConnection("127.0.0.1", page.port, timeout=60)
        connection.request("GET", "/events")
        figures = json.loads(connection.getresponse().readline().removeprefix(b"data: "))
        assert figures["latency_p50_ms"] == 80
        with pytest.raises(UserError, match="choose another port with --serve"):
            viewers.Page("b", "127.0.0.1", page.port)


@pytest.mark.parametrize(
    "text, where", [("8000", ("127.0.0.1", 8000)), ("0.0.0.0:80", ("0.0.0.0", 80)), ("[::1]:0", ("::1", 0))]
)
def test_the_address_of_the_page(text, where):
    assert viewers.address(text) == where


def test_an_input_is_not_taken_for_a_port(capsys):
    with pytest.raises(SystemExit):
        main(["segment", "--serve", "drive.mp4"])
    assert (
        "drive.mp4 is not a port, 0 to 65535, or HOST:PORT; write the input before --serve" in capsys.readouterr().err
    )
