"""The demo: player and node in their own processes, and the summary of the drive."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from fcn_road_seg.bags.reader import open_bag
from fcn_road_seg.bags.writer import new_bag
from fcn_road_seg.cli.demo import summary
from fcn_road_seg.datasets.drive import Drive, DriveFrame, open_drive
from fcn_road_seg.demo.bag import IMAGE, DriveInBag, write_drive
from fcn_road_seg.demo.pace import CALLS, seconds_per_frame, sustained_rate
from fcn_road_seg.demo.panel import panel
from fcn_road_seg.demo.player import player_process
from fcn_road_seg.demo.run import Recording, _play_in_step
from fcn_road_seg.demo.sheet import EvenlyChosen, captioned, contact_sheet
from fcn_road_seg.demo.summary import figures, replaced, write_animation
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.image_file import ImageFileError, write_image
from fcn_road_seg.frames.video import VideoReader, VideoWriter
from fcn_road_seg.view.birds_eye import fitted, text_width

pytestmark = pytest.mark.slow

TIMEOUT = 300  # seconds; long because other work may share the machine
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
ROADS = FRAMES[..., 0] > 127


def demo(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "fcn_road_seg.cli.main", "demo", *map(str, arguments)]
    # One thread, because threads that wait for each other stall when other work occupies the cores.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment)


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
    with VideoWriter(tmp_path / "drive.mp4", 25) as writer:
        for grey in (40, 120, 200):
            writer.write(np.full((48, 64, 3), grey, np.uint8))
    drive = open_drive(tmp_path / "drive.mp4")
    frames = list(drive.frames)
    assert drive.rate == 25
    assert [round(float(frame.image.mean()), -1) for frame in frames] == [40, 120, 200]
    assert all(frame.road is None for frame in frames)


def test_only_an_avi_states_its_number_of_frames(tmp_path):
    for suffix in (".mp4", ".avi"):
        with VideoWriter(tmp_path / f"drive{suffix}", 10) as writer:
            writer.write(np.zeros((48, 64, 3), np.uint8))
        video = VideoReader(tmp_path / f"drive{suffix}")
        video._length = 9  # as with audio longer than the video, or an edit list
        if suffix == ".mp4":
            assert len(list(video)) == 1
        else:
            with pytest.raises(ImageFileError, match="claims 9 frames"):
                list(video)


def test_the_synthetic_drive_has_ground_truth():
    drive = open_drive(None, frames=2)
    frames = list(drive.frames)
    assert len(frames) == drive.count == 2
    assert frames[0].image.shape == (375, 1242, 3)
    assert frames[0].road.shape == (375, 1242) and frames[0].road.dtype == bool
    assert (frames[0].image != frames[1].image).any()


@pytest.mark.parametrize(
    "name, message", [("none", "there is no drive"), ("empty", "has neither images"), ("x", "nor a video")]
)
def test_paths_that_are_not_drives_are_refused(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x").write_text("text")
    with pytest.raises(UserError, match=message):
        open_drive(tmp_path / name)


def test_figures_compare_the_recording_with_segment(tmp_path):
    (drive,) = write_drive(
        Drive("three", 3, [DriveFrame(f, r) for f, r in zip(FRAMES, ROADS, strict=True)]), tmp_path / "drive", 10, iter
    )
    assert [stamp % 10**9 for stamp in drive.stamps] == [0, 10**8, 2 * 10**8] and round(drive.rate, 6) == 10
    np.testing.assert_array_equal(list(drive.frames()), FRAMES)
    store = get_typestore(Stores.LATEST)
    mask = np.uint8(ROADS[2]) * np.uint8(255)
    mask[0] = 255 - mask[0]
    with new_bag(tmp_path / "recording") as writer:  # the second frame has no mask, the third one differs in a row
        connection = writer.add_connection("/road_seg/mask", IMAGE, typestore=store)
        for stamp, pixels in ((drive.stamps[0], np.uint8(ROADS[0]) * np.uint8(255)), (drive.stamps[2], mask)):
            types = store.types
            header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9)), "camera")
            message = types[IMAGE](header, 48, 64, "mono8", 0, 64, pixels.ravel())
            writer.write(connection, stamp, store.serialize_cdr(message, IMAGE))
    device = dict.fromkeys(("weights", "device", "device name", "backend", "precision"), "x")
    device |= {"network width": "576", "weights threshold": "0.5"}
    recording = Recording(tmp_path / "recording", drive.stamps, [0.1, None, 0.3], [10**9, 2 * 10**9], device)
    segmented = iter([np.uint8(ROADS[0]) * np.uint8(255), np.uint8(ROADS[2]) * np.uint8(255)])
    result = figures([(drive, recording)], 10, lambda frame: next(segmented))
    assert (result["frames_sent"], result["frames_answered"], result["frames_equal"]) == (3, 2, 1)
    assert result["latency_p50_ms"] == 200 and result["fps"] == 1
    both = np.stack([ROADS[0], mask != 0]), np.stack([ROADS[0], ROADS[2]])
    assert result["iou"] == pytest.approx((both[0] & both[1]).sum() / (both[0] | both[1]).sum(), abs=1e-4)


@pytest.mark.parametrize(
    "latencies, fair, line",
    [
        ((0.1, 0.2), True, "latencies       fair: the largest p50 is 2 times the smallest"),
        ((0.25, 0.1), False, "latencies       not fair: the largest p50 is 2.5 times the smallest"),
        ((0.1, None), False, "latencies       not fair: a camera has no mask"),
    ],
)
def test_latencies_of_cameras_are_fair_within_a_factor_of_two(tmp_path, monkeypatch, latencies, fair, line):
    monkeypatch.setattr(Recording, "masks", lambda recording: iter([None if None in recording.latencies else ROADS[0]]))
    monkeypatch.setattr(DriveInBag, "frames", lambda drive: iter(FRAMES[:1]))
    device = dict.fromkeys(("weights", "device", "device name", "backend", "precision"), "x")
    device |= {"network width": "576", "weights threshold": "0.5"}
    answers = [
        (DriveInBag("two", tmp_path, "", [0], [None], camera=name), Recording(tmp_path, [0], [s], [], device, name))
        for name, s in zip(("front", "left"), latencies, strict=True)
    ]
    result = figures(answers, 10, lambda frame: ROADS[0])
    assert (list(result["cameras"]), result["fair"]) == (["front", "left"], fair)
    text = summary(result)
    assert line in text.splitlines()
    latency = f"{1000 * latencies[0]:.1f} ms"
    assert text.splitlines()[1] == (
        "front           1 of 1 frames answered at 10 Hz; 1 masks identical to those of road_seg segment; "
        f"p50 {latency}, max {latency}, from frame to mask"
    )


def test_a_contact_sheet_has_rows_of_two():
    pictures = [np.full((10, 20, 3), value, np.uint8) for value in (1, 2, 3)]
    pictures[1] = pictures[1][:5]
    sheet = contact_sheet(pictures, 2)
    assert sheet.shape == (20, 40, 3)
    assert sheet[::10, ::20, 0].tolist() == [[1, 2], [3, 0]] and sheet[5, 20, 0] == 0
    assert contact_sheet(pictures[:1], 2).shape == (10, 20, 3)


@pytest.mark.parametrize(
    "count, chosen",
    [(1, [0]), (3, [0, 1, 2]), (5, [0, 2, 4]), (7, [0, 3, 6]), (9, [0, 4, 8]), (100, [0, 48, 96])],
)
def test_items_are_chosen_evenly_from_a_sequence_of_unknown_length(count, chosen):
    choice, made = EvenlyChosen[int](3), []
    for i in range(count):
        choice.offer(lambda i=i: made.append(i) or i)
    assert choice.chosen() == chosen and len(made) <= 12 + 6 * 4


@pytest.mark.parametrize("text", ["a/" * 60 + "stra\udcdfe.png", "W" * 90, "\u5199\u771f" * 60, "a b\tc\nd" * 20])
def test_a_long_caption_lacks_its_middle(text):
    shown = fitted(f"first {text}, frame 7", 616)
    assert shown.isprintable() and re.fullmatch("first .+[^.][.]{3}[^.].*, frame 7", shown)
    assert 560 < text_width(shown) <= 616
    picture = captioned(np.full((100, 320, 3), 90, np.uint8), f"first {text}, frame 7")
    assert picture.shape == (228, 640, 3)
    assert (picture[:200] == 90).all() and (picture[200:, -12:] == picture[200, -1]).all()


def test_an_odd_name_is_shown_whole():
    assert fitted("two words\n1.png, frame 7", 616) == "two words 1.png, frame 7"


def test_a_high_picture_gets_a_tile_of_bounded_height():
    high = np.full((4000, 300, 3), 90, np.uint8)
    tile = captioned(high, "")
    assert tile.shape == (640 + 28, 640, 3)
    assert (tile[:640, 296:344] == 90).all() and (tile[:640, 290] != 90).all() and (tile[:640, 350] != 90).all()
    assert panel(high, np.zeros((4000, 300), np.uint8), {}, "", False).shape == (2 * 640 + 28, 640, 3)


def test_a_panel_says_when_a_frame_was_not_answered():
    mask = np.where(ROADS[0], 255, 0).astype(np.uint8)
    answered, unanswered = (panel(FRAMES[0], m, {}, "frame 1 of 3", True) for m in (mask, None))
    assert answered.shape == unanswered.shape == (2 * 480 + 28, 640 + 480, 3)
    np.testing.assert_array_equal(answered[:480, :640], unanswered[:480, :640])
    assert unanswered[480:960, :640].mean() < answered[480:960, :640].mean() / 2
    replaced = panel(FRAMES[0], None, {}, "frame 1 of 3", True, replaced=True)
    assert replaced.shape == unanswered.shape and (replaced != unanswered).any()  # another reason
    assert panel(FRAMES[0], mask, {}, "", False).shape == (2 * 480 + 28, 640, 3)


@pytest.mark.parametrize(
    "rate, latencies, newer, line",
    [
        (10, [None, 0.1, None, 0.2], [True, False, True, False], "2 of 4 frames answered at 10 Hz; newer frames"),
        (10, [0.1, None, None], [False] * 3, "1 of 3 frames answered at 10 Hz; the others got no answer"),
        (5, [None, 0.1, None], [True, False, False], "newer frames replaced 1; 1 got no answer"),
        (0, [None, 0.1], [False] * 2, "1 of 2 frames answered one by one; the others got no answer"),
        (0, [0.1, 0.1], [False] * 2, "2 of 2 frames answered one by one\n"),
        (10, [None, None], [False] * 2, "0 of 2 frames answered at 10 Hz; the others got no answer"),
    ],
)
def test_only_a_newer_frame_that_was_answered_replaces_one(tmp_path, rate, latencies, newer, line):
    recording = Recording(tmp_path, list(range(len(latencies))), latencies, [], {})
    assert replaced(recording, rate) == newer
    answered = sum(latency is not None for latency in latencies)
    unknown = "drive device device_name backend precision weights fps iou frames_equal latency_p50_ms latency_p99_ms"
    result = dict.fromkeys(unknown.split()) | {"rate": rate, "frames_replaced": sum(newer)}
    assert line in summary(result | {"frames_sent": len(latencies), "frames_answered": answered})


def test_the_rate_is_what_the_machine_keeps_up_with():
    assert [sustained_rate(seconds) for seconds in (0.01, 0.05, 0.051, 0.3, 3)] == [10, 10, 5, 1, 0.5]
    calls = []
    assert 0 <= seconds_per_frame(calls.append, FRAMES[0]) < 1
    assert len(calls) == CALLS + 1


def test_an_animation_is_readable(tmp_path):
    for suffix in ("webp", "gif", "png"):
        write_animation(tmp_path / f"drive.{suffix}", [np.full((32, 48, 3), v, np.uint8) for v in (0, 128, 255)], 10)
        read, animation = cv2.imreadanimation(str(tmp_path / f"drive.{suffix}"))
        assert read and len(animation.frames) == 3
        assert list(animation.durations) == [100, 100, 100]


def test_frames_without_ground_outputs_get_none_of_another_frame(tmp_path):
    store = get_typestore(Stores.LATEST)
    types, kind = store.types, "geometry_msgs/msg/PolygonStamped"
    with new_bag(tmp_path / "recording") as writer:
        topics = (("/road_seg/mask", IMAGE), ("/road_seg/boundary", kind))
        mask, boundary = (writer.add_connection(topic, name, typestore=store) for topic, name in topics)
        for second in (1, 2, 3):
            header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](second, 0), "camera")
            pixels = np.full(6, second, np.uint8)
            message = types[IMAGE](header, 2, 3, "mono8", 0, 3, pixels)
            writer.write(mask, second * 10**9, store.serialize_cdr(message, IMAGE))
            if second == 2:
                message = types[kind](header, types["geometry_msgs/msg/Polygon"]([]))
                writer.write(boundary, second * 10**9, store.serialize_cdr(message, kind))
    stamps = [second * 10**9 for second in (1, 2, 3)]
    recording = Recording(tmp_path / "recording", stamps, [None] * 3, [], {})
    assert [sorted(outputs) for outputs in recording.ground_outputs()] == [[], ["boundary"], []]
    assert [int(mask[0, 0]) for mask in recording.masks()] == [1, 2, 3]


def test_every_frame_of_a_drive_gets_a_mask(small_weights, tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    out = tmp_path / "out"
    files = "--json", tmp_path / "demo.json", "--animation", tmp_path / "drive.webp"
    process = demo("--rate", 0, "--frames", 8, "--weights", small_weights, "--out", out, *files)
    assert process.returncode == 0, process.stdout + process.stderr
    result = json.loads((tmp_path / "demo.json").read_text())
    assert (result["frames_sent"], result["frames_answered"], result["frames_equal"]) == (8, 8, 8)
    assert 0 < result["latency_p50_ms"] <= result["latency_p99_ms"]
    assert 0 <= result["iou"] <= 1
    assert result["weights"] == str(small_weights)
    assert result["device"].startswith(("cpu", "cuda")) and result["precision"] in ("fp32", "bf16", "fp16")
    assert result["network_width"] == 128 and result["threshold"] == 0.5
    video = cv2.VideoCapture(str(out / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 8
    height, width = 2 * 194 + 28, 640 + 194
    assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (width, height)
    assert cv2.imread(str(out / "contact_sheet.png")).shape == (3 * height, 2 * width, 3)
    assert len(cv2.imreadanimation(str(tmp_path / "drive.webp"))[1].frames) == 8
    with open_bag(out / "recording") as bag:
        stamps = {}
        for connection, stamp, _ in bag.messages():
            stamps.setdefault(connection.topic, []).append(stamp)
    assert len(stamps["/road_seg/mask"]) == len(set(stamps["/road_seg/mask"])) == 8
    assert set() < set(stamps["/road_seg/grid"]) <= set(stamps["/road_seg/mask"])
    assert "8 of 8 frames answered one by one" in process.stdout and "None" not in process.stdout
    assert str(out / "overlay.mp4") in process.stdout and str(out / "contact_sheet.png") in process.stdout


def test_a_drive_at_a_rate_reports_the_frames_that_were_replaced(small_weights, tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    options = "--rate", 200, "--frames", 30, "--weights", small_weights, "--json", tmp_path / "demo.json"
    process = demo(*options, "--out", tmp_path / "out")
    assert process.returncode == 0, process.stdout + process.stderr
    result = json.loads((tmp_path / "demo.json").read_text())
    answered = result["frames_answered"]
    assert result["frames_sent"] == 30 and 0 < answered == result["frames_equal"]
    newer = result["frames_replaced"]
    line = f"{answered} of 30 frames answered at 200 Hz" + ("; newer frames replaced" if newer else "")
    assert line in process.stdout.splitlines()[1] and newer <= 30 - answered
    player = json.loads((tmp_path / "out" / "player.json").read_text())
    assert player["messages"]["/image"] == 30


def test_every_camera_gets_the_masks_of_its_own_frames(small_weights, tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    options = "--cameras", 2, "--rate", 5, "--frames", 2, "--weights", small_weights, "--json", tmp_path / "demo.json"
    process = demo(*options, "--out", tmp_path / "out")
    assert process.returncode == 0, process.stdout + process.stderr
    result = json.loads((tmp_path / "demo.json").read_text())
    assert list(result["cameras"]) == ["front", "left"] and result["drive"] == "synthetic drives 0 to 1"
    for name, camera in result["cameras"].items():
        answered = camera["frames_answered"]
        assert camera["frames_sent"] == 2 and 0 < answered == camera["frames_equal"]
        assert re.search(
            f"^{name} .*{answered} of 2 frames answered .*; {answered} masks", process.stdout, re.MULTILINE
        )
    with open_bag(tmp_path / "out" / "recording") as bag:
        recorded = [(connection.topic, data) for connection, _, data in bag.messages()]
    ends = {name: {data[-375 * 1242 :] for topic, data in recorded if topic == name} for name, _ in recorded}
    assert {f"/road_seg/{name}/{output}" for name in ("front", "left") for output in ("mask", "grid")} <= set(ends)
    assert not ends["/road_seg/front/mask"] & ends["/road_seg/left/mask"]  # pixels: each has its own drive
    height, width = 2 * 194 + 28, 640 + 194
    assert cv2.imread(str(tmp_path / "out" / "contact_sheet.png")).shape == (2 * height, 2 * width, 3)


def test_frames_sent_one_by_one_wait_for_the_mask_of_their_camera():
    stamps, waited, done = [1, 2, 3, 4], [], []
    front, left = (SimpleNamespace(received=set()) for _ in range(2))

    def spin() -> None:
        waited.append(stamps[len(waited)])
        (front if waited[-1] % 2 else left).received.add(waited[-1])

    player, recorder = SimpleNamespace(frames=lambda: iter(stamps)), SimpleNamespace(cameras=[front, left])
    _play_in_step(player, recorder, spin, done.append)
    assert waited == done == stamps


def test_the_drive_at_a_rate_begins_when_node_and_recorder_listen(tmp_path, monkeypatch):
    monkeypatch.setattr("fcn_road_seg.demo.player.ChildProcess", lambda module, arguments, *_: arguments)
    drive = DriveInBag("drive", tmp_path, "/image", [0, 10**8], [None, None])
    arguments = player_process([drive], 10, tmp_path, {})
    assert arguments[arguments.index("--wait-for") + 1 :][:2] == ["road_seg", "recorder"]


def test_a_kitti_drive_through_bag_player_node_and_recording(repository, shipped_weights, tmp_path):
    """The node's masks, read from the recorded bag, equal those of road_seg segment."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    drive = repository.parent / "shared/data/kitti_raw/2011_09_26/2011_09_26_drive_0000_sync"
    if not drive.is_dir():
        pytest.skip("needs the KITTI raw clip in ../shared")
    options = "--drive", drive, "--frames", 10, "--rate", 0, "--json", tmp_path / "demo.json"
    process = demo("--weights", "road", *options, "--out", tmp_path / "out")
    assert process.returncode == 0, process.stdout + process.stderr
    result = json.loads((tmp_path / "demo.json").read_text())
    assert (result["frames_sent"], result["frames_answered"], result["frames_equal"]) == (10, 10, 10)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    images = [drive / "image_02" / "data" / f"{index:010d}.png" for index in range(10)]
    command = [sys.executable, "-m", "fcn_road_seg.cli.main", "segment", *images, "--out", tmp_path / "masks"]
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT, env=environment)
    with open_bag(tmp_path / "out" / "recording") as bag:
        assert {connection.topic for connection, _, _ in bag.messages()} >= {"/road_seg/grid", "/road_seg/scan"}
        masks = bag.messages(["/road_seg/mask"])
        for image, (connection, stamp, data) in zip(images, masks, strict=True):
            message = bag.deserialize(data, connection.msgtype)
            assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == stamp
            mask = cv2.imread(str(tmp_path / "masks" / f"{image.stem}_mask.png"), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(message.data.reshape(375, 1242), mask)


def test_weights_that_are_missing_are_a_user_error(tmp_path):
    process = demo("--frames", 1, "--weights", tmp_path / "none.safetensors", "--out", tmp_path / "out")
    assert process.returncode == 2
    assert f"there is no weights file {tmp_path / 'none.safetensors'}" in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "option", [("--rate", "-1"), ("--frames", "-1"), ("--drive", "nowhere"), ("--drive", ".", "--cameras", 2)]
)
def test_bad_options_are_a_user_error(option, tmp_path):
    process = demo(*option, "--out", tmp_path / "out")
    assert process.returncode == 2
    assert len(process.stderr.strip().splitlines()) == 1
