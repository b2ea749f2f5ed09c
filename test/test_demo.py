"""The demo: camera and node as processes of their own, and what is told of the drive."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fcn_road_seg.demo.drive import open_drive
from fcn_road_seg.demo.report import contact_sheet, intersection_over_union
from fcn_road_seg.errors import UserError
from fcn_road_seg.image_file import write_image
from fcn_road_seg.video import VideoWriter

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)


def demo(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "fcn_road_seg.cli.main", "demo", *map(str, arguments)]
    # One thread: threads that wait for each other stall for long when other work has the cores.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)


def write_images(folder: Path) -> None:
    folder.mkdir(parents=True)
    for index, frame in enumerate(FRAMES):
        write_image(folder / f"{index}.png", frame)


@pytest.mark.parametrize("inside", [".", "image_02/data"])
def test_a_folder_of_images_and_a_kitti_raw_drive_open(tmp_path, inside):
    write_images(tmp_path / "drive" / inside)
    drive = open_drive(tmp_path / "drive", frames=2)
    assert (drive.name, drive.count) == ("drive", 2)
    images = [frame.image for frame in drive.frames]
    np.testing.assert_array_equal(images, FRAMES[:2])


def test_a_video_opens(tmp_path):
    with VideoWriter(tmp_path / "drive.mp4", 10) as writer:
        for grey in (40, 120, 200):
            writer.write(np.full((48, 64, 3), grey, np.uint8))
    frames = list(open_drive(tmp_path / "drive.mp4").frames)
    assert [round(float(frame.image.mean()), -1) for frame in frames] == [40, 120, 200]
    assert all(frame.road is None for frame in frames)


def test_the_synthetic_drive_opens_with_its_truth():
    drive = open_drive(None, frames=2)
    frames = list(drive.frames)
    assert len(frames) == drive.count == 2
    assert frames[0].image.shape == (375, 1242, 3)
    assert frames[0].road.shape == (375, 1242) and frames[0].road.dtype == bool
    assert (frames[0].image != frames[1].image).any()


@pytest.mark.parametrize(
    "name, words", [("none", "there is no drive"), ("empty", "has neither images"), ("x", "nor a video")]
)
def test_what_is_no_drive_is_named(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x").write_text("no video")
    with pytest.raises(UserError, match=words):
        open_drive(tmp_path / name)


def test_iou_is_over_all_frames_with_mask_and_truth():
    mask = np.uint8([[255, 255], [0, 0]])
    road = np.array([[True, False], [True, False]])
    assert intersection_over_union([mask, None, mask], [road, road, None]) == pytest.approx(1 / 3, abs=1e-4)
    assert intersection_over_union([mask], [None]) is None


def test_a_contact_sheet_has_rows_of_three():
    pictures = [np.full((10, 20, 3), value, np.uint8) for value in (1, 2, 3, 4)]
    sheet = contact_sheet(pictures)
    assert sheet.shape == (20, 60, 3)
    assert sheet[::10, ::20, 0].tolist() == [[1, 2, 3], [4, 0, 0]]
    assert contact_sheet(pictures[:1]).shape == (10, 20, 3)


def test_every_frame_of_a_drive_is_answered(small_weights, tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    out = tmp_path / "out"
    result = demo("--frames", 8, "--rate", 2, "--weights", small_weights, "--out", out, "--json", tmp_path / "json")
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads((tmp_path / "json").read_text())
    assert (figures["frames_sent"], figures["frames_answered"]) == (8, 8)
    assert 0 < figures["latency_p50_ms"] <= figures["latency_p99_ms"] < 2000
    assert figures["fps"] == pytest.approx(2, rel=0.3)
    assert 0 <= figures["iou"] <= 1
    assert figures["weights"] == str(small_weights)
    assert figures["device"].startswith(("cpu", "cuda")) and figures["precision"] in ("fp32", "bf16", "fp16")
    assert figures["network_width"] == 128 and figures["threshold"] == 0.5
    video = cv2.VideoCapture(str(out / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 8
    assert video.get(cv2.CAP_PROP_FRAME_WIDTH) == 1242
    assert cv2.imread(str(out / "contact_sheet.png")).shape == (3 * 145, 3 * 480, 3)
    assert "8 sent, 8 answered" in result.stdout
    assert str(out / "overlay.mp4") in result.stdout and str(out / "contact_sheet.png") in result.stdout


def test_a_node_that_cannot_start_ends_the_demo_with_a_sentence(tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    result = demo("--frames", 1, "--weights", tmp_path / "none.safetensors", "--out", tmp_path / "out")
    assert result.returncode == 2
    sentence = f"the node does not start: Not configured: there is no weights file {tmp_path / 'none.safetensors'}"
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("option", [("--rate", "0"), ("--frames", "-1"), ("--drive", "nowhere")])
def test_bad_options_are_refused_in_a_sentence(option, tmp_path):
    result = demo(*option, "--out", tmp_path / "out")
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
