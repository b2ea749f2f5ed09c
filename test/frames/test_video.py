"""Videos: names that are not UTF-8, files that were cut off, odd sizes."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fcn_road_seg.frames.image_file import ImageFileError
from fcn_road_seg.frames.video import VideoReader, VideoWriter

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
READ_AND_WRITE = """
import os, sys
from fcn_road_seg.frames.video import VideoReader, VideoWriter
source, out = map(os.fsdecode, map(bytes.fromhex, sys.argv[1:]))
with VideoWriter(out, 5) as writer:
    for frame in VideoReader(source):
        writer.write(frame)
"""


def write(path: Path, frames: int = 12, codec: str = "mp4v") -> Path:
    """A video by OpenCV itself."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10.0, NOISE.shape[1::-1])
    for i in range(frames):
        writer.write(np.roll(NOISE, i, 1))
    writer.release()
    return path


def read(path: str | Path) -> tuple[int, str]:
    """The number of frames that can be read, and the sentence after them."""
    count = 0
    try:
        for _ in VideoReader(path):
            count += 1
    except ImageFileError as error:
        return count, str(error)
    return count, ""


@pytest.mark.parametrize("name", [b"stra\xdfe.mp4", b"fold\xe9r/a.mp4", b"a.m\xff4"])
def test_names_that_are_not_utf8(tmp_path, name):
    source = tmp_path / os.fsdecode(name)
    source.parent.mkdir(exist_ok=True)
    write(tmp_path / "plain.mp4").rename(source)
    out = source.with_name(os.fsdecode(b"\xfcber.mp4"))
    arguments = [os.fsencode(path).hex() for path in (source, out)]
    result = subprocess.run([sys.executable, "-c", READ_AND_WRITE, *arguments], stderr=subprocess.PIPE, text=True)
    assert result.returncode == 0, result.stderr  # a segmentation fault is a negative one
    assert read(out) == (12, "")
    assert {file for file in os.listdir(source.parent) if "partial" in file or file.startswith(".")} == set()


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov", "a.avi"])
def test_a_video_that_was_cut_off_is_told(tmp_path, name):
    video = write(tmp_path / name, codec="MJPG" if name == "a.avi" else "mp4v")
    assert read(video) == (12, "")
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    count, sentence = read(video)
    if name == "a.mkv":
        assert 0 < count < 12 and sentence == f"{video} was cut off: it has {count} readable frames"
    elif name == "a.avi":
        assert 0 < count < 12 and sentence == f"{video} claims 12 frames, but only {count} can be read"
    else:  # their index comes last
        assert (count, sentence) == (0, f"{video} is a video that was cut off")
    (tmp_path / "live.mkv").write_bytes(live(write(tmp_path / "b.mkv").read_bytes()))
    assert read(tmp_path / "live.mkv") == (12, "")


def live(content: bytes) -> bytes:
    """A Matroska file whose recorder did not know how long it would become."""
    at = content.index(b"\x18S\x80g") + 4
    return content[:at] + b"\x01" + 7 * b"\xff" + content[at + 8 :]


def test_a_codec_that_cannot_be_decoded_is_named(tmp_path):
    video = write(tmp_path / "a.mp4")
    content = bytearray(video.read_bytes())
    at = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    content[at:end] = bytes(end - at)
    video.write_bytes(content)
    count, sentence = read(video)
    assert count == 0
    assert "a.mp4 has no frame that OpenCV can decode (codec " in sentence and "ffmpeg -i INPUT" in sentence
    assert "claims" not in sentence


def test_a_video_that_cannot_be_read_is_not_called_missing(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    assert read(tmp_path / "none.mp4")[1].endswith("none.mp4 cannot be read: No such file or directory")
    assert read(tmp_path / "folder.mp4")[1].endswith("folder.mp4 cannot be read: Is a directory")
    assert read(tmp_path / "text.mp4")[1].endswith("text.mp4 is neither an image nor a video that OpenCV can read")


@pytest.mark.parametrize("height, width", [(47, 64), (48, 63), (47, 63), (48, 64)])
def test_an_odd_size_loses_nothing(tmp_path, height, width):
    picture = np.full((height, width, 3), 200, np.uint8)
    picture[-1], picture[:, -1] = 20, 20
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        writer.write(picture)
    (frame,) = VideoReader(tmp_path / "a.mp4")
    assert frame.shape == (height + height % 2, width + width % 2, 3)
    assert frame[height - 1, 5:-5].mean() < 60 and frame[5:-5, width - 1].mean() < 60


def test_an_interrupted_video_leaves_the_old_one(tmp_path):
    (tmp_path / "a.mp4").write_text("old")
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4", 10) as writer:
        writer.write(NOISE)
        raise KeyboardInterrupt
    assert (tmp_path / "a.mp4").read_text() == "old" and os.listdir(tmp_path) == ["a.mp4"]
