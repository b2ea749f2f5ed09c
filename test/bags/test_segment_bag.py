"""`road_seg segment-bag`: the masks are the segmenter's, the rest of the bag is copied, nothing is lost."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
import tiny_bag
import torch
import yaml
from rosbags.rosbag2 import StoragePlugin, Writer
from tiny_bag import content, data_file, serialized, write_ros1, write_ros2

from fcn_road_seg.bags.reader import open_bag
from fcn_road_seg.bags.skipped_frames import SkippedFrames
from fcn_road_seg.bags.writer import new_bag, offered_qos, remove_leftovers
from fcn_road_seg.cli import segment_bag
from fcn_road_seg.errors import DeviceLostError, FrameError, UserError
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.image_message import compressed_to_rgb, image_to_rgb
from fcn_road_seg.inference.checkpoint import Metadata, save
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.postprocess.overlay import overlay
from fcn_road_seg.postprocess.small_regions import without_small_regions
from fcn_road_seg.postprocess.threshold import threshold_mask


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    segment_bag.add_parser(parser.add_subparsers())
    return segment_bag.run(parser.parse_args(["segment-bag", *map(str, arguments)]))


def read(path: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Time and bytes of all messages by topic."""
    with open_bag(path) as bag:
        topics = {connection.topic: [] for connection in bag.connections}
        for connection, stamp, data in bag.messages():
            topics[connection.topic].append((stamp, bytes(data)))
        assert bag.cut_off == ""
    return topics


def pictures(path: Path, topic: str) -> list[tuple[int, object]]:
    """Time and message of all messages of a topic."""
    with open_bag(path) as bag:
        return [(stamp, bag.deserialize(data, c.msgtype)) for c, stamp, data in bag.messages([topic])]


@pytest.fixture(scope="module")
def segmenter(small_weights) -> RoadSegmenter:
    return RoadSegmenter.load(SegmenterOptions(small_weights, "cpu", "fp32"))


@pytest.fixture(scope="module")
def probabilities(segmenter) -> list[np.ndarray]:
    return [segmenter(frame) for frame in tiny_bag.frames()]


@pytest.fixture
def weights(small_weights) -> tuple:
    return "--weights", small_weights, "--device", "cpu", "--precision", "fp32"


@pytest.fixture(scope="module")
def drive(tmp_path_factory) -> Path:
    return write_ros2(tmp_path_factory.mktemp("bags") / "drive")


def check(out: Path, probabilities: list[np.ndarray], original: list, topic: str = "/camera/image_raw") -> None:
    """Check that the original messages are copied byte for byte, and that the masks are the segmenter's."""
    topics = read(out)
    masks = pictures(out, "/road_seg/mask")
    assert len(masks) == len(probabilities)
    for i, (stamp, mask) in enumerate(masks):
        assert stamp == tiny_bag.START + i * tiny_bag.STEP
        assert mask.header.stamp.sec * 10**9 + mask.header.stamp.nanosec == stamp - 5_000_000
        assert (mask.header.frame_id, mask.encoding, mask.step) == ("camera", "mono8", 192)
        assert np.array_equal(mask.data.reshape(60, 192), threshold_mask(probabilities[i], 0.5))
    assert len({mask.data.tobytes() for _, mask in masks}) > 1
    assert set(topics) == {topic, "/chatter", "/tf_static", "/road_seg/mask"}
    copied = [(name, *message) for name in topics if name != "/road_seg/mask" for message in topics[name]]
    assert sorted(copied) == sorted(original)


@pytest.mark.parametrize(
    ("storage", "mode"), [("mcap", ""), ("mcap", "file"), ("mcap", "message"), ("sqlite3", ""), ("sqlite3", "file")]
)
def test_masks_are_the_segmenters_and_the_rest_is_copied(tmp_path, weights, probabilities, storage, mode):
    bag = write_ros2(tmp_path / "drive", storage, mode)
    out = tmp_path / "out"
    assert run(bag, "--out", out, "--storage", storage, *weights, "--json", tmp_path / "figures.json") == 0
    check(out, probabilities, serialized(content()))
    with open_bag(out) as opened:
        qos = {c.topic: c.offered_qos for c in opened.connections}
    assert {topic: qos[topic] for topic in ("/camera/image_raw", "/chatter", "/tf_static")} == {
        topic: profiles for topic, profiles in tiny_bag.QOS.items() if topic in qos
    }
    figures = json.loads((tmp_path / "figures.json").read_text())
    expected = {"frames": 6, "masks": 6, "resumed": 0, "skipped": 0}
    assert {key: figures[key] for key in expected} == expected
    assert {key: figures["bags"][0][key] for key in expected} == expected
    assert figures["fps"] > 0
    assert {path.name for path in tmp_path.iterdir()} == {"drive", "out", "figures.json"}


def test_a_bag_for_humble(tmp_path, weights, drive, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "humble")
    for options, written in (((), (8, "sqlite3")), (("--rosbag2-version", 9), (9, "mcap"))):
        assert run(drive, "--out", tmp_path / "out", "--force", *options, *weights) == 0
        info = yaml.safe_load((tmp_path / "out" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        assert (info["version"], info["storage_identifier"]) == written


def test_the_own_vehicle_and_crumbs_are_no_road(tmp_path, weights, drive, probabilities):
    own = np.zeros((60, 192), np.uint8)
    own[40:] = 255
    write_image(tmp_path / "own.png", own)
    options = ("--own-vehicle-mask", tmp_path / "own.png", "--min-region", "0.03", "--overlay", "raw", "--probability")
    assert run(drive, "--out", tmp_path / "out", *options, *weights) == 0
    crumbs: list[np.ndarray] = []
    messages = (pictures(tmp_path / "out", f"/road_seg/{topic}") for topic in ("mask", "overlay", "probability"))
    for plain, frame, *topics in zip(probabilities, tiny_bag.frames(), *messages, strict=True):
        mask, tinted, probability = (message.data.reshape(60, 192, -1) for _, message in topics)
        expected = without_small_regions(plain & ~own, 0.5, 0.03, own)
        crumbs.append(threshold_mask(expected, 0.5) != threshold_mask(plain & ~own, 0.5))
        np.testing.assert_array_equal(mask[..., 0], threshold_mask(expected, 0.5))
        np.testing.assert_array_equal(probability[..., 0], expected)
        np.testing.assert_array_equal(tinted[40:, :, ::-1], frame[40:])
    assert np.any(crumbs)


def test_a_ros1_bag(tmp_path, weights, probabilities):
    assert run(write_ros1(tmp_path / "drive.bag", "lz4"), "--out", tmp_path / "out", *weights) == 0
    check(tmp_path / "out", probabilities, serialized(content()))
    with open_bag(tmp_path / "out") as bag:
        assert {c.topic: c.offered_qos for c in bag.connections}["/tf_static"] == offered_qos(latched=True)


def test_compressed_images(tmp_path, weights, probabilities):
    messages = content(compressed=True)
    assert run(write_ros2(tmp_path / "drive", messages=messages), "--out", tmp_path / "out", *weights) == 0
    check(tmp_path / "out", probabilities, serialized(messages), "/camera/image_raw/compressed")


def test_overlay_probability_and_video(tmp_path, drive, weights, probabilities):
    out, video = tmp_path / "out", tmp_path / "out.mp4"
    more = "--probability", "--threshold", 0.3, "--alpha", 0.7
    assert run(drive, "--out", out, "--overlay", "raw", "--video", video, *more, *weights) == 0
    expected = [
        overlay(frame, threshold_mask(probability, 0.3), 0.7)
        for frame, probability in zip(tiny_bag.frames(), probabilities, strict=True)
    ]
    for (_, message), probability in zip(pictures(out, "/road_seg/probability"), probabilities, strict=True):
        assert np.array_equal(message.data.reshape(60, 192), probability)
    for (_, message), picture in zip(pictures(out, "/road_seg/overlay"), expected, strict=True):
        assert message.encoding == "bgr8" and np.array_equal(image_to_rgb(message), picture)
    capture = cv2.VideoCapture(str(video))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 6
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10, rel=0.01)

    assert run(drive, "--out", tmp_path / "jpeg", "--overlay", *more, *weights) == 0
    for (_, message), picture in zip(
        pictures(tmp_path / "jpeg", "/road_seg/overlay/compressed"), expected, strict=True
    ):
        decoded = compressed_to_rgb(message).astype(int)
        assert np.abs(decoded - picture).mean() < 10 < np.abs(decoded[:, :, ::-1] - picture).mean()
    with pytest.raises(UserError, match="out.mp4 exists"):
        run(drive, "--out", tmp_path / "other", "--video", video, *weights)


def test_an_invalid_message_is_reported_copied_and_skipped(tmp_path, weights, probabilities, capsys):
    bag = write_ros2(tmp_path / "drive", broken=(3,))  # the second image
    assert run(bag, "--out", tmp_path / "out", *weights, "--json", tmp_path / "figures.json") == 1
    output = " ".join(capsys.readouterr().err.split())
    assert "skipped: /camera/image_raw at 1317000000.223456796 s: " in output
    masks = pictures(tmp_path / "out", "/road_seg/mask")
    assert [stamp for stamp, _ in masks] == [tiny_bag.START + i * tiny_bag.STEP for i in (0, 2, 3, 4, 5)]
    assert np.array_equal(masks[1][1].data.reshape(60, 192), threshold_mask(probabilities[2], 0.5))
    original, copied = read(bag), read(tmp_path / "out")
    assert {topic: copied[topic] for topic in original} == original
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["frames"], figures["masks"], figures["skipped"]) == (6, 5, 1)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_truncated_bag_is_segmented_as_far_as_possible(tmp_path, weights, probabilities, storage, capsys):
    bag = write_ros2(tmp_path / "drive", storage)
    (bag / "metadata.yaml").unlink()
    file = data_file(bag)
    if storage == "mcap":
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 7 // 10])
    assert run(bag, "--out", tmp_path / "out", *weights) == 0
    assert "the recorder was interrupted" in " ".join(capsys.readouterr().err.split())
    masks = pictures(tmp_path / "out", "/road_seg/mask")
    assert (3 <= len(masks) < 6) if storage == "mcap" else len(masks) == 6
    for (_, mask), probability in zip(masks, probabilities, strict=False):
        assert np.array_equal(mask.data.reshape(60, 192), threshold_mask(probability, 0.5))


def test_the_exit_code_tells_that_messages_are_lost(tmp_path, drive, weights, probabilities, capsys):
    bag = tmp_path / "drive"
    shutil.copytree(drive, bag)
    content_of = bytearray(data_file(bag).read_bytes())
    lost = serialized(content())[-2]  # the last image
    record = content_of.index(lost[2]) - 31
    assert content_of[record] == 5
    content_of[record] = 0x45  # a kind that readers must skip
    data_file(bag).write_bytes(content_of)
    assert run(bag, "--out", tmp_path / "out", *weights, "--json", tmp_path / "figures.json") == 1
    assert "1 message is lost; it has 5 readable frames" in " ".join(capsys.readouterr().err.split())
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["frames"], figures["masks"], figures["skipped"], figures["lost"]) == (5, 5, 0, 1)
    check(tmp_path / "out", probabilities[:5], [m for m in serialized(content()) if m != lost])


def test_a_topic_of_depth_images_is_refused_in_few_words(tmp_path, weights, capsys):
    messages = content(count=4)
    for topic, _, _, message in messages:
        if topic == "/camera/image_raw":
            message.encoding, message.step, message.width = "16UC1", 384, 192
            message.data = message.data[: 60 * 384]
    bag = write_ros2(tmp_path / "depth", messages=messages)
    assert run(bag, "--out", tmp_path / "out", *weights) == 1
    words = " ".join(capsys.readouterr().err.split())
    assert words.count("choose the topic of the camera's colour image") == 1
    assert words.count("skipped: 4 frames on /camera/image_raw for the same reason (encoding)") == 1
    assert "node" not in words


class Interrupted:
    """Counts the calls of the segmenter, and raises at one of them."""

    def __init__(self, monkeypatch, at: int, error: type[BaseException]):
        self.frames, call = 0, RoadSegmenter.__call__

        def counted(segmenter, frame):
            self.frames += 1
            if self.frames == at:
                raise error("stop")
            return call(segmenter, frame)

        monkeypatch.setattr(RoadSegmenter, "__call__", counted)


@pytest.mark.parametrize("error", [KeyboardInterrupt, DeviceLostError])
@pytest.mark.parametrize("damaged", [False, True])
def test_resume_equals_an_uninterrupted_run(tmp_path, drive, weights, monkeypatch, capsys, error, damaged):
    options = drive, "--probability", "--overlay", *weights
    assert run("--out", tmp_path / "whole", *options) == 0
    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(UserError if error is DeviceLostError else error):
        Interrupted(patch, 5, error)
        run("--out", out, *options)
    log = tmp_path / "out.resume"
    assert not out.exists() and {path.name for path in tmp_path.iterdir()} == {"whole", "out.resume"}
    if damaged:
        log.write_bytes(log.read_bytes()[:-7])
    with monkeypatch.context() as patch:
        counter = Interrupted(patch, 0, error)
        assert run("--out", out, "--resume", *options) == 0
    assert counter.frames == (3 if damaged else 2)
    assert read(out) == read(tmp_path / "whole")
    assert not log.exists()
    capsys.readouterr()
    assert run("--out", out, "--resume", *options) == 0  # nothing is left to do
    assert "already exists" in capsys.readouterr().out


def test_resume_ignores_results_of_another_network_size(tmp_path, drive, weights, monkeypatch, probabilities, capsys):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        Interrupted(patch, 5, KeyboardInterrupt)
        run(drive, "--out", tmp_path / "out", *weights, "--network-width", 64)
    counter = Interrupted(monkeypatch, 0, KeyboardInterrupt)
    assert run(drive, "--out", tmp_path / "out", "--resume", *weights) == 0
    assert counter.frames == 6
    check(tmp_path / "out", probabilities, serialized(content()))
    words = " ".join(capsys.readouterr().err.split())
    assert "out.resume is of other settings (network size): all frames are segmented again" in words


def test_a_folder_of_bags_is_resumed_only_with_the_same_settings(tmp_path, drive, weights, monkeypatch, capsys):
    """The bags that are done would otherwise differ from those that are not."""
    shutil.copytree(drive, tmp_path / "bags" / "a")
    shutil.copytree(drive, tmp_path / "bags" / "b")
    job = tmp_path / "bags" / "a", tmp_path / "bags" / "b", "--out", tmp_path / "out", "--min-region", "0.01"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        Interrupted(patch, 8, KeyboardInterrupt)
        run(*job, *weights)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "b.resume"}
    before = read(tmp_path / "out" / "a")
    own = np.zeros((60, 192), np.uint8)
    own[50:] = 255
    write_image(tmp_path / "own.png", own)
    other = small_checkpoint(tmp_path / "other.safetensors")
    for options, name in (
        (("--network-width", 64), "network size"),
        (("--weights", other), "weights"),
        (("--threshold", 0.4), "threshold"),
        (("--min-region", 0), "min-region"),
        (("--own-vehicle-mask", tmp_path / "own.png"), "own-vehicle mask"),
        (("--backend", "compile"), "backend"),
        (("--probability",), "probability"),
    ):
        with pytest.raises(UserError, match=rf"a was segmented with other settings \({name}\): choose another --out"):
            run(*job, *weights, *options, "--resume")
    assert read(tmp_path / "out" / "a") == before
    assert run(*job, *weights, "--resume") == 0
    assert read(tmp_path / "out" / "b") == before
    assert "a already exists" in capsys.readouterr().out

    write_ros2(tmp_path / "unknown")
    with pytest.raises(UserError, match=r"was segmented with other settings \(weights, "):
        run(drive, "--out", tmp_path / "unknown", *weights, "--resume")


def small_checkpoint(path: Path) -> Path:
    torch.manual_seed(1)
    network = FCN8s("atrous", fc_width=16, std_init=1.0)
    save(path, network, Metadata(fc="atrous", fc_width=16, network_width=128, threshold=0.5))
    return path


def test_several_topics_have_namespaces(tmp_path, weights, probabilities):
    messages = content(count=2)
    messages += [("/rear/image", kind, *rest) for topic, kind, *rest in messages if topic == "/camera/image_raw"]
    bag = write_ros2(tmp_path / "drive", messages=messages)
    with pytest.raises(UserError, match=r"/camera/image_raw, /rear/image: choose with --image"):
        run(bag, "--out", tmp_path / "out", *weights)
    with pytest.raises(UserError, match="no images on /front"):
        run(bag, "--out", tmp_path / "out", "--image", "/front", *weights)
    assert run(bag, "--out", tmp_path / "out", "--image", "/camera/image_raw", "--image", "/rear/image", *weights) == 0
    for topic in ("/camera/image_raw", "/rear/image"):
        masks = pictures(tmp_path / "out", f"/road_seg{topic}/mask")
        assert [m.data.tobytes() for _, m in masks] == [threshold_mask(p, 0.5).tobytes() for p in probabilities[:2]]
    assert run(bag, "--out", tmp_path / "one", "--image", "/rear/image", "--namespace", "/a", *weights) == 0
    assert len(read(tmp_path / "one")["/a/mask"]) == 2
    with pytest.raises(UserError, match="--namespace"):
        run(tmp_path / "one", "--out", tmp_path / "two", "--image", "/rear/image", "--namespace", "/a", *weights)


@pytest.fixture
def three(tmp_path) -> list[Path]:
    """Two bags and a file that is not a bag."""
    (tmp_path / "text.mcap").write_text("not a bag")
    second = write_ros2(tmp_path / "second", messages=content(count=3))
    return [write_ros2(tmp_path / "first"), tmp_path / "text.mcap", second]


def check_three(tmp_path: Path, code: int, capsys) -> None:
    assert code == 1
    assert "text.mcap is not a bag" in capsys.readouterr().out
    masks = {name: len(read(tmp_path / "out" / name)["/road_seg/mask"]) for name in ("first", "second")}
    assert masks == {"first": 6, "second": 3}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"first", "second"}
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["frames"], figures["masks"], figures["failed"]) == (9, 9, 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_several_bags(tmp_path, weights, probabilities, three, workers, capsys):
    out = "--out", tmp_path / "out", "--json", tmp_path / "figures.json"
    check_three(tmp_path, run(*three, *out, "--workers", workers, *weights), capsys)
    check(tmp_path / "out" / "first", probabilities, serialized(content()))


def process_with(file: Path) -> int | None:
    """A process that has the file open."""
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if descriptor.readlink() == file:
                return int(descriptor.parts[2])
    return None


def test_ray_finishes_the_work_of_a_killed_worker(tmp_path, weights, capsys):
    """Every frame is in the result once, in order, as with one process."""
    pytest.importorskip("ray", reason="Ray is not installed")
    (tmp_path / "text.mcap").write_text("not a bag")
    frames = {"first": 150, "second": 10}
    bags = [long_drive(tmp_path / name, count) for name, count in frames.items()]
    job = *bags, tmp_path / "text.mcap", *weights, "--backend", "torch", "--threads", 1, "--probability"
    assert run(*job, "--out", tmp_path / "alone") == 1
    log = tmp_path / "out" / "first.resume"
    killed: list[int] = []

    def kill_a_worker() -> None:
        deadline = time.monotonic() + 240
        while not killed and time.monotonic() < deadline:
            time.sleep(0.01)
            if log.is_file() and log.stat().st_size > 5000 and (worker := process_with(log)):
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)

    killer = Thread(target=kill_a_worker)
    killer.start()
    options = "--ray", "local", "--workers", 2, "--json", tmp_path / "figures.json"
    assert run(*job, "--out", tmp_path / "out", *options) == 1
    killer.join()
    assert killed
    assert "text.mcap is not a bag" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"first", "second"}
    for name, count in frames.items():
        topics = read(tmp_path / "out" / name)
        assert topics == read(tmp_path / "alone" / name)
        assert len(topics["/road_seg/mask"]) == count
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["frames"], figures["masks"], figures["failed"]) == (160, 160, 1)
    resumed = {Path(bag["bag"]).name: bag["resumed"] for bag in figures["bags"]}
    assert 0 < resumed["first"] < 150 and resumed["second"] == 0


def test_missing_ray_is_a_user_error(tmp_path, drive, weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="pip install"):
        run(drive, "--out", tmp_path / "out", "--ray", "auto", *weights)


def start(program: str, *arguments: object, **variables: str) -> subprocess.Popen:
    path = os.pathsep.join(map(str, Path(__file__).parents[:3]))
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def long_drive(path: Path, count: int = 400) -> Path:
    """A bag of so many frames that a run can be ended in the middle."""
    images = [message for message in content() if message[0] == "/camera/image_raw"]
    times = [tiny_bag.START + i * tiny_bag.STEP for i in range(count)]
    return write_ros2(path, messages=[(*images[i % 6][:2], time, images[i % 6][3]) for i, time in enumerate(times)])


def wait_for_frames(process: subprocess.Popen, *logs: Path) -> None:
    """Wait until each of the files that a run resumes from has some frames."""
    deadline = time.monotonic() + 300
    while not all(log.is_file() and log.stat().st_size > 5000 for log in logs):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


MAIN = "import sys; from fcn_road_seg.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_ended_run_leaves_only_what_resume_needs(tmp_path, small_weights, number):
    bag, out = long_drive(tmp_path / "drive"), tmp_path / "out"
    options = bag, "--out", out, "--weights", small_weights, "--device", "cpu", "--precision", "fp32"
    process = start(MAIN, "segment-bag", *options, "--backend", "torch")
    wait_for_frames(process, tmp_path / "out.resume")
    process.send_signal(number)
    errors = process.communicate(timeout=300)[1]
    names = {path.name for path in tmp_path.iterdir()}
    if number == signal.SIGKILL:
        (partial,) = names - {"drive", "out.resume"}
        assert partial.startswith(".out.") and partial.endswith(".partial")
        other = tmp_path / ".out.b.12345678.partial"  # of another bag
        other.mkdir()
        with new_bag(out):  # as the resumed run does
            assert len([path for path in tmp_path.iterdir() if path.name.endswith(".partial")]) == 2
            remove_leftovers(out)  # of a second process: the first one's folder is in use
        assert out.is_dir() and other.is_dir() and not (tmp_path / partial).exists()
    else:
        assert names == {"drive", "out.resume"}
        assert process.returncode == 130
        assert "the same command with --resume continues from here" in errors and "Traceback" not in errors


def test_ctrl_c_with_workers_leaves_no_incomplete_bag(tmp_path, small_weights):
    """Here the worker processes receive no signal themselves: the parent terminates them."""
    bags = [long_drive(tmp_path / name) for name in ("a", "b")]
    code = "import sys, test_segment_bag as t; sys.exit(t.run(*sys.argv[1:]))"
    options = "--out", tmp_path / "out", "--workers", 2, "--weights", small_weights, "--device", "cpu"
    process = start(code, *bags, *options)
    logs = [tmp_path / "out" / f"{name}.resume" for name in ("a", "b")]
    wait_for_frames(process, *logs)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=300)[1]
    assert process.returncode == -signal.SIGINT and "KeyboardInterrupt" in output
    assert sorted((tmp_path / "out").iterdir()) == logs


def test_bad_input(tmp_path, drive, weights):
    out = tmp_path / "out"
    for arguments, sentence in [
        ((tmp_path / "none", "--out", out), "there is no bag"),
        ((tmp_path, "--out", out), "no .mcap or .db3 file"),
        ((drive, "--out", drive), "is the input bag"),
        ((drive, "--out", drive, "--force"), "is the input bag"),
        ((drive, "--out", tmp_path), "exists: choose another name"),
        ((drive, "--out", tmp_path, "--force"), "not only a bag"),
        ((drive, drive, "--out", out), "would both be written to "),
        ((drive, "--out", out, "--threshold", 2), "--threshold is 2"),
        ((drive, "--out", out, "--workers", 0), "--workers is 0"),
        ((drive, tmp_path / "other", "--out", out, "--video", tmp_path / "v.mp4"), "--video takes one bag"),
        ((write_ros2(tmp_path / "still", messages=content(count=0)), "--out", out), "has no images"),
    ]:
        (tmp_path / "text").touch()  # so that tmp_path is not only a bag
        with pytest.raises(UserError, match=sentence) as error:
            run(*arguments, *weights)
        assert "\n" not in str(error.value)
    assert not out.exists() and len(list(tmp_path.iterdir())) == 2


def test_force_replaces_a_bag(tmp_path, drive, weights, probabilities):
    out = write_ros2(tmp_path / "out", "sqlite3")
    assert run(drive, "--out", out, "--force", *weights) == 0
    check(out, probabilities, serialized(content()))


def twelve_bits(path: Path) -> Path:
    """A bag of grey images of 12 bits in 16, the first of them dark."""
    types = tiny_bag.ROS2.types
    with Writer(path, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/camera/image_raw", tiny_bag.IMAGE, typestore=tiny_bag.ROS2)
        for i, grey in enumerate(dark_first()):
            data = np.frombuffer((grey.astype("<u2") << 4).tobytes(), np.uint8)
            message = types[tiny_bag.IMAGE](tiny_bag.header(tiny_bag.ROS2, i), 60, 192, "mono16", 0, 384, data)
            writer.write(
                connection, tiny_bag.START + i * tiny_bag.STEP, tiny_bag.ROS2.serialize_cdr(message, tiny_bag.IMAGE)
            )
    return path


def dark_first() -> list[np.ndarray]:
    """Grey frames, uint8 60 x 192, of which the first two use a quarter of the values."""
    grey = [frame[:, :, 1].copy() for frame in tiny_bag.frames(4)]
    for i, frame in enumerate(grey):
        frame[0, 0] = 255
        if i < 2:
            grey[i] = frame // 4
    return grey


def test_12_bits_in_16_are_scaled_by_what_the_bag_has_shown(tmp_path, weights, segmenter, capsys):
    assert run(twelve_bits(tmp_path / "drive"), "--out", tmp_path / "out", *weights) == 0
    output = " ".join(capsys.readouterr().err.split())
    assert output.count("values of 10 bits (the largest is 1008)") == output.count("values of 12 bits") == 1
    shown = [frame * np.uint8(4) if i < 2 else frame for i, frame in enumerate(dark_first())]
    for frame, (_, mask) in zip(shown, pictures(tmp_path / "out", "/road_seg/mask"), strict=True):
        expected = threshold_mask(segmenter(np.stack([frame] * 3, 2)), 0.5)
        assert np.array_equal(mask.data.reshape(60, 192), expected)


def test_the_first_skipped_frame_of_a_kind_is_described_and_the_others_are_counted():
    notes: list[str] = []
    skipped = SkippedFrames(notes.append)
    for i in range(3):
        skipped.add("/a", 10**9 + i, FrameError("encoding", "nv24 is not known" + 300 * "."))
    skipped.add("/a", 2 * 10**9, FrameError("size", "0x5 pixels"))
    skipped.add("/b", 3 * 10**9, FrameError("encoding", "nv24 is not known"))
    skipped.add("/b", 4 * 10**9, UserError("another sentence"))
    skipped.tell_rest()
    assert [note[:50] for note in notes] == [
        "skipped: /a at 1.000000000 s: nv24 is not known..."[:50],
        "skipped: /a at 2.000000000 s: 0x5 pixels",
        "skipped: /b at 3.000000000 s: nv24 is not known",
        "skipped: /b at 4.000000000 s: another sentence",
        "skipped: 3 frames on /a for the same reason (encoding)"[:50],
    ]
