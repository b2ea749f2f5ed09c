"""`road_seg doctor`: every fault causes a finding, and a normal state causes none."""

import importlib.machinery
import importlib.util
import json
import os
import re
import sys
import threading
import time
import types
from collections import namedtuple
from collections.abc import Callable, Iterable
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fcn_road_seg.cli.main import main
from fcn_road_seg.doctor import environment, ros_settings, running, traffic
from fcn_road_seg.doctor.finding import UNKNOWN_NODE, Finding, warning
from fcn_road_seg.frames.image_message import fill_image
from fcn_road_seg.ros.environment import FAST_DDS_PROFILES, fast_dds_version
from fcn_road_seg.ros.frame_statistics import FrameStatistics

FRAME = np.random.default_rng(1).integers(0, 256, (61, 97, 3), np.uint8)
PERIOD = 0.2  # seconds, of the camera
TIMEOUT = 240  # seconds; long because other work may share the machine


def check(findings: Finding | Iterable[Finding], status: str, text: str, advice: str = "") -> None:
    """Check the status of a single finding, and that its text and advice contain these parts."""
    (finding,) = [findings] if isinstance(findings, Finding) else findings
    assert finding.status == status
    assert text in finding.text
    assert advice in finding.advice
    assert finding.text.endswith(".")
    assert bool(finding.advice) == (status != "ok")


# Python, packages, GPU, weights


def test_python_and_packages(monkeypatch):
    for version in ((3, 10), (3, 14)):
        check(environment.check_python(version), "ok", "Python 3.1")
    for version in ((3, 9), (3, 15)):
        check(environment.check_python(version), "warning", "is not a tested version", "3.10")
    check(environment.check_package("cv2", "OpenCV", "opencv-python-headless"), "ok", cv2.__version__)
    monkeypatch.setitem(environment.sys.modules, "cv2", None)
    finding = environment.check_package("cv2", "OpenCV", "opencv-python-headless")
    check(finding, "error", "OpenCV cannot be imported", "pip install opencv-python-headless")


def fake_torch(version: str = "2.6.0", cuda: str | None = "12.8", available: bool = False, works: bool = True):
    def ones(*_, **__):
        if not works:
            raise RuntimeError("CUDA error: no kernel image\nCompile with TORCH_USE_CUDA_DSA")
        return np.ones(1)

    calls = SimpleNamespace(is_available=lambda: available, get_device_name=lambda _: "Fake GPU")
    return SimpleNamespace(__version__=version, version=SimpleNamespace(cuda=cuda), cuda=calls, ones=ones)


def test_torch_is_installed_and_new_enough(monkeypatch, tmp_path):
    check(environment.check_torch(fake_torch("2.10.0+cpu", cuda=None)), "ok", "PyTorch 2.10.0+cpu, CPU-only")
    check(environment.check_torch(fake_torch("2.3.1")), "error", "2.3.1 is too old", "2.4")
    monkeypatch.setitem(environment.sys.modules, "torch", None)
    last = list(environment.examine())[-1]
    check(last, "error", "PyTorch cannot be imported", "pip install torch")


@pytest.mark.parametrize(
    "vnni, bf16, precision",
    [(False, True, "BF16"), (False, False, "FP32"), (True, True, "INT8 (weights without an INT8 form in BF16)")],
)
def test_a_machine_without_a_gpu_is_ok(monkeypatch, tmp_path, vnni, bf16, precision):
    monkeypatch.setattr("fcn_road_seg.inference.backends.hardware.cpu_supports_vnni", lambda: vnni)
    monkeypatch.setattr("fcn_road_seg.inference.backends.hardware.cpu_supports_bf16", lambda: bf16)
    monkeypatch.setattr("fcn_road_seg.inference.backends.choice.cpu_backend", lambda: "openvino")
    text = f"No NVIDIA GPU found: the network runs on the CPU, in {precision} with OpenVINO."
    check(environment.check_gpu(fake_torch(), tmp_path), "ok", text)


def test_a_gpu_that_torch_cannot_use(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    check(environment.check_gpu(fake_torch(cuda=None), tmp_path), "warning", "PyTorch is CPU-only", "a CUDA build")
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    line = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release Build\n"
    (tmp_path / "proc/driver/nvidia/version").write_text(line)
    text = "PyTorch was built for CUDA 12.8, but finds no GPU with the driver 535.104.05"
    check(environment.check_gpu(fake_torch(), tmp_path), "warning", text, "update the driver")
    (tmp_path / "dev/nvidia0").unlink()
    text = "The NVIDIA driver 535.104.05 is loaded, but no GPU is visible"
    check(environment.check_gpu(fake_torch(), tmp_path), "warning", text, "--gpus all")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").touch()
    check(environment.check_gpu(fake_torch(cuda=None), tmp_path), "warning", "PyTorch is CPU-only", "JetPack")


def test_a_gpu_that_fails_to_compute(tmp_path):
    text = "a computation on it fails: CUDA error: no kernel image."
    check(environment.check_gpu(fake_torch(available=True, works=False), tmp_path), "error", text, "build for this GPU")


def test_the_backends_are_listed_with_their_devices(monkeypatch):
    finding = environment.check_backends()
    for package, words in (
        ("openvino", r"openvino \d[\d.]+ on .*CPU \(.+\)"),
        ("onnxruntime", r"\d with .*CPUExecution"),
    ):
        if importlib.util.find_spec(package):
            assert re.search(words, finding.text), finding.text
    fake = types.ModuleType("tensorrt")
    fake.__spec__, fake.__version__ = importlib.machinery.ModuleSpec("tensorrt", None), "10.13.3"
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    check(environment.check_backends(), "ok", "tensorrt 10.13.3.")
    del fake.__version__
    check(environment.check_backends(), "warning", "tensorrt cannot be imported: ", "pip install tensorrt")
    monkeypatch.setattr("fcn_road_seg.inference.backends.choice.installed", lambda _: False)
    check(environment.check_backends(), "ok", "with PyTorch; not installed: openvino, onnxruntime, tensorrt.")


def test_weights(small_weights, shipped_weights, tmp_path):
    check(environment.check_weights(str(small_weights)), "ok", f"{small_weights}, SHA-256 ")
    check(environment.check_weights(), "ok", "MaxF 9")
    path = tmp_path / "w.safetensors"
    check(environment.check_weights(str(path)), "error", f"there is no weights file {path}", "--weights")
    content = small_weights.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    check(environment.check_weights(str(path)), "error", "was damaged or altered")
    path.write_bytes(content[: len(content) // 2])
    check(environment.check_weights(str(path)), "error", "is not a complete safetensors file")
    path.write_bytes(content)
    path.with_name("w_int8.onnx").write_bytes(b"altered")
    check(environment.check_weights(str(path)), "error", "w_int8.onnx.sha256 is not beside it")


# ROS 2's settings


def test_ros_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(ros_settings.sys.modules, "rclpy", None)
    check(ros_settings.check_rclpy(), "error", "ROS 2 cannot be imported", "source ROS 2")


@pytest.mark.parametrize(
    "domain, status, text",
    [
        ("", "ok", "not set: the domain is 0"),
        ("101", "ok", "is 101"),
        ("102", "warning", "102 to 214"),
        ("214", "warning", "102 to 214"),
        ("215", "ok", "is 215"),
        ("232", "ok", "is 232"),
        ("233", "error", "'233', which is not a number in 0..232"),
        ("-1", "error", "'-1'"),
        ("ten", "error", "'ten'"),
    ],
)
def test_domain(domain, status, text):
    check(ros_settings.check_domain({"ROS_DOMAIN_ID": domain}), status, text, "0 to 101" if status != "ok" else "")


@pytest.mark.parametrize(
    "value, status, text",
    [
        ("", "ok", "not set: the subnet is discovered"),
        ("SUBNET", "ok", "the subnet is discovered"),
        ("LOCALHOST", "ok", "other machines are not discovered"),
        ("OFF", "error", "nothing is discovered"),
        ("localhost", "warning", "ROS 2 does not know"),
    ],
)
def test_discovery_range(value, status, text):
    check(ros_settings.check_discovery({"ROS_AUTOMATIC_DISCOVERY_RANGE": value}), status, text)


@pytest.mark.parametrize(
    "variables, reach, unknown",
    [
        ({}, "ROS_LOCALHOST_ONLY is not 1: the subnet is discovered", ""),
        ({"ROS_LOCALHOST_ONLY": "1"}, "ROS_LOCALHOST_ONLY is 1: other machines are not discovered", ""),
        (
            {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
            "the subnet is discovered",
            "RANGE is LOCALHOST, which ROS 2 Humble",
        ),
        (
            {"ROS_STATIC_PEERS": "10.0.0.2"},
            "the subnet is discovered",
            "ROS_STATIC_PEERS is 10.0.0.2, which ROS 2 Humble",
        ),
    ],
)
def test_discovery_in_humble(variables, reach, unknown):
    found, *others = ros_settings.check_discovery({"ROS_DISTRO": "humble"} | variables)
    check(found, "ok", reach)
    for other in others:
        check(other, "warning", unknown, "ROS_LOCALHOST_ONLY=1")
    assert len(others) == bool(unknown)


def test_other_discovery_variables():
    reach, only = ros_settings.check_discovery({"ROS_LOCALHOST_ONLY": "1"})
    check(reach, "ok", "")
    check(only, "warning", "ROS_LOCALHOST_ONLY is deprecated", "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST")
    assert len(list(ros_settings.check_discovery({"ROS_LOCALHOST_ONLY": "0"}))) == 1
    *_, peers = ros_settings.check_discovery({"ROS_STATIC_PEERS": "10.0.0.2"})
    check(peers, "ok", "10.0.0.2")


def test_rmw(tmp_path):
    index = tmp_path / "share/ament_index/resource_index/rmw_typesupport"
    index.mkdir(parents=True)
    for name in ("rmw_fastrtps_cpp", "rmw_zenoh_cpp"):
        (index / name).touch()
    prefix = {"AMENT_PREFIX_PATH": f"/none:{tmp_path}"}
    check(ros_settings.check_rmw(prefix), "ok", "not set")
    check(ros_settings.check_rmw(prefix | {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}), "ok", "rmw_fastrtps_cpp.")
    check(ros_settings.check_rmw(prefix | {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}), "ok", "profile does not apply")
    finding = ros_settings.check_rmw(prefix | {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"})
    check(finding, "error", "rmw_cyclonedds_cpp, which is not installed", "rmw_fastrtps_cpp, rmw_zenoh_cpp")


def test_log_folder(tmp_path):
    check(ros_settings.check_log_folder({"ROS_LOG_DIR": str(tmp_path)}), "ok", "can be written")
    check(ros_settings.check_log_folder({}), "warning", "HOME is not set, so there is no folder", "set ROS_LOG_DIR")
    (tmp_path / "file").touch()
    text = f"ROS 2's log files cannot be written to {tmp_path}/file: "
    check(ros_settings.check_log_folder({"ROS_LOG_DIR": f"{tmp_path}/file"}), "warning", text, "set ROS_LOG_DIR")


def test_another_user_in_the_same_domain(tmp_path, monkeypatch):
    (tmp_path / "fastdds_port7411").touch(0o644)
    assert not list(ros_settings.check_owners({}, tmp_path))
    monkeypatch.setattr(ros_settings.os, "getuid", lambda: 4242)
    text = "Processes of another user ("
    advice = "run the camera and the node as the same user"
    check(ros_settings.check_owners({}, tmp_path), "warning", text, advice)
    assert not list(ros_settings.check_owners({"ROS_DOMAIN_ID": "5"}, tmp_path))


def test_ros_that_does_not_start_is_a_finding(monkeypatch, small_weights, capsys):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    sentence = "ROS 2 does not start: SECURITY ERROR: directory '/none/enclaves' does not exist"
    for name, value in {"ENABLE": "true", "STRATEGY": "Enforce", "KEYSTORE": "/none"}.items():
        monkeypatch.setenv(f"ROS_SECURITY_{name}", value)
    assert main(["doctor", "--weights", str(small_weights)]) == 1
    assert f"error   graph: {sentence}.\n        -> correct that" in capsys.readouterr().out


def test_the_profile_of_the_installed_fast_dds(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", "/none")
    (tmp_path / "2/share/fastrtps").mkdir(parents=True)
    (file := tmp_path / "own.xml").touch()
    for version, right, wrong in [(2, "FASTRTPS", "FASTDDS"), (3, "FASTDDS", "FASTRTPS")]:
        right, wrong = f"{right}_DEFAULT_PROFILES_FILE", f"{wrong}_DEFAULT_PROFILES_FILE"
        prefix = {"AMENT_PREFIX_PATH": str(tmp_path / str(version))}
        profile = ros_settings.check_profile(prefix)
        check(profile, "ok", f"{right} is not set")
        assert profile.text.endswith("/config/fastdds_profile.xml.") and f" {right}=/" in profile.text
        missing = ros_settings.check_profile(prefix | {right: "none.xml"})
        check(missing, "error", f"{right} is none.xml, which does not exist.", f"unset it, or set {right}=/")
        ignored = ros_settings.check_profile(prefix | {wrong: str(file)})
        check(
            ignored,
            "warning",
            f"{wrong} is {file}, but the installed Fast DDS {version} reads {right}.",
            f"set {right}=",
        )
        check(ros_settings.check_profile(prefix | {wrong: "none.xml", right: str(file)}), "ok", f"{right} is {file}.")
        transports = prefix | {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}
        text = f"FASTDDS_BUILTIN_TRANSPORTS is UDPv4: the node does not set {right}"
        check(ros_settings.check_profile(transports), "ok", text)


def test_shared_memory(tmp_path, monkeypatch):
    _, memory = ros_settings.examine_transport({})
    check(memory, "ok", "MB are free")
    monkeypatch.setattr(ros_settings.shutil, "disk_usage", lambda _: SimpleNamespace(free=60_000_000))
    (memory,) = ros_settings.examine_transport({"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}, tmp_path)
    check(memory, "warning", "60 MB are free", "--shm-size")


# What is traffic


def stream(stamps: Iterable[float], delay: float = 0.02) -> traffic.Stream:
    """Frames with these stamps, received `delay` later; both in seconds."""
    result = traffic.Stream()
    for stamp in stamps:
        nanoseconds = round(stamp * 1e9)
        header = SimpleNamespace(stamp=SimpleNamespace(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9))
        message = SimpleNamespace(header=header, encoding="", height=0, width=0, step=0, is_bigendian=0, data=b"")
        result.add(fill_image(message, FRAME, "bgr8"), nanoseconds + round(delay * 1e9))
    return result


def frames(stream: traffic.Stream) -> dict[str, Finding]:
    return {finding.check: finding for finding in traffic.check_frames("/image", stream, 5.0)}


TENTHS = [100 + i / 10 for i in range(50)]


def test_good_frames():
    findings = frames(stream(TENTHS))
    assert {finding.status for finding in findings.values()} == {"ok"}
    check(findings["frames"], "ok", "50 frames were received on /image in 5 s, 10.0 per second")
    check(findings["age"], "ok", "20 ms old")
    check(findings["losses"], "ok", "The stamps of 50 frames have no gaps")


def test_late_lost_and_unstamped_frames():
    check(frames(stream([]))["frames"], "error", "No frames were received on /image in 5 s")
    check(frames(stream(TENTHS, 0.3))["age"], "warning", "300 ms old")
    check(frames(stream(TENTHS, 7))["age"], "warning", "7 s old", "synchronise the clocks")
    check(frames(stream(TENTHS, -1))["age"], "warning", "1 s in the future", "synchronise the clocks")
    check(frames(stream(TENTHS, -0.005))["age"], "ok", "Frames are 0 ms old")  # as exact as clocks are
    check(frames(stream([0] * 9))["stamps"], "warning", "no stamp")
    with_gaps = [stamp for i, stamp in enumerate(TENTHS) if i not in (3, 17, 18)]
    check(frames(stream(TENTHS[:2]))["losses"], "warning", "Could not tell whether frames are missing: 2", "--seconds")
    check(frames(stream(with_gaps))["losses"], "warning", "3 of 50 frames are missing", "fastdds_profile.xml")


def test_masks():
    check(
        traffic.check_masks("/road_seg", "/mask", stream(TENTHS, 0.08), stream(TENTHS), []),
        "ok",
        "50 masks for 50 frames on /mask, 80 ms",
    )
    few = "/road_seg", "/mask", stream(TENTHS[::3]), stream(TENTHS)
    check(traffic.check_masks(*few, []), "warning", "slower than the camera", "GPU")
    none = "/road_seg", "/mask", stream([]), stream(TENTHS)
    check(traffic.check_masks(*none, []), "error", "No masks were received on /mask, although frames", "restart it")
    early = "/road_seg", "/mask", stream(TENTHS, -5.0), stream(TENTHS), []
    check(traffic.check_masks(*early), "ok", "50 masks for 50 frames on /mask, 5000 ms before the frames' stamps")
    assert not list(traffic.check_masks("/road_seg", "/mask", stream([]), stream([]), []))


def statuses(drive) -> list[tuple[str, int, str]]:
    """What a node with max_fps 3 says of 30 frames; `drive` does with the statistics what it does with a frame."""
    now = [100.0]
    statistics = FrameStatistics(lambda: now[0])
    for number in range(30):
        now[0] += 0.1
        statistics.arrived(round(now[0] * 1e9), "camera", None)
        drive(statistics, number)
    return [(f"/road_seg: {report.subject}", report.level, report.sentence) for report in statistics.reports("", 3.0)]


def test_an_idle_or_paused_node_is_not_a_broken_one():
    none = "/road_seg", "/mask", stream([]), stream(TENTHS)
    idle = statuses(lambda statistics, _: statistics.pass_over("idle"))
    text = "/road_seg publishes 4 statuses on /diagnostics, all OK; it is idle: nobody listens."
    check(traffic.check_diagnostics("/road_seg", idle, True), "ok", text)
    text = "although frames were: /road_seg is idle: nobody listens."
    check(traffic.check_masks(*none, idle), "error", text, "this terminal listens")
    paused = statuses(lambda statistics, _: statistics.pass_over("paused"))
    check(traffic.check_diagnostics("/road_seg", paused, True), "ok", "it is paused: ~/enable was called with false.")
    resting = [("/road_seg/left: road", 0, idle[1][2]), ("/road_seg/rear: road", 0, "20 % is road")]
    assert (
        traffic.rest("/road_seg/left", resting) == "idle: nobody listens" and traffic.rest("/road_seg", resting) == ""
    )
    check(traffic.check_masks(*none, paused), "error", "on /mask, because /road_seg is paused", "resume it: ")


def test_masks_that_max_fps_limits_are_enough():
    few = "/road_seg", "/mask", stream(TENTHS[::3]), stream(TENTHS)

    def every_third(statistics: FrameStatistics, number: int) -> None:
        if number % 3:
            statistics.pass_over("max_fps")
        else:
            statistics.answered({"network": 0.01}, 0.0, 0.01, 0.2)

    check(traffic.check_masks(*few, statuses(every_third)), "ok", "(the parameter max_fps limits them)")
    slow = statuses(lambda *_: None)  # three masks a second are wanted, and none comes
    text = "10.0 frames arrive per second, but only 0.0 masks are published: newer frames replace those that the node"
    check(traffic.check_masks(*few, slow), "warning", text, "follow this message")


@pytest.mark.parametrize(
    ("level", "said", "text", "advice"),
    [
        (
            2,
            "3 frames dropped, the last because it is old",
            ": 3 frames dropped, the last because it is old.",
            "follow",
        ),
        (1, "no image has arrived for 3 s: is the camera", ": /road_seg/left gets none of them.", "finding above"),
        (0, "10.0 masks are published (max_fps is 0.1)", ": max_fps is 0.1, so masks are rare.", "--seconds"),
        (0, "10.0 masks are published (max_fps is 10)", ", but /road_seg/left says that 10.0 masks are", "were lost"),
        (0, "10.0 masks are published", ", but /road_seg/left says that 10.0 masks are published.", "were lost"),
    ],
)
def test_why_no_masks_come_is_what_the_node_says(level, said, text, advice):
    statuses = [("/road_seg/left: frames", 0, "before"), ("/road_seg/left: frames", level, said)]
    statuses += [("/road_seg/front: frames", 1, "of another camera"), ("/road_seg/left: road", 0, "20 % is road")]
    none = "/road_seg", "/mask", stream([]), stream(TENTHS), statuses, "left"
    status = "warning" if "rare" in text else "error"
    check(traffic.check_masks(*none), status, f"No masks were received on /mask, although frames were{text}", advice)


def test_masks_that_are_lost_on_the_way_are_not_the_node_s_fault():
    few = "/road_seg", "/mask", stream(TENTHS[::3]), stream(TENTHS)
    keeps_up = [("/road_seg: frames", 0, "10.0 frames arrive per second, 10.0 masks are published")]
    check(traffic.check_masks(*few, keeps_up), "warning", "but /road_seg says that 10.0 frames", "the others were lost")


def test_diagnostics():
    ours = [("/road_seg: device", 0, "cuda"), ("/road_seg: frames", 1, "slow"), ("/road_seg: frames", 0, "fine")]
    others = [("/road_seg_2: frames", 2, "broken"), ("camera: x", 2, "broken")]
    check(traffic.check_diagnostics("/road_seg", ours[:1] + others, True), "ok", "1 statuses")
    check(traffic.check_diagnostics("/road_seg", ours + others, True), "warning", "/road_seg: frames warns: slow.")
    check(traffic.check_diagnostics("/road_seg", [("/road_seg: a", 2, "bad")], True), "error", "reports an error: bad.")
    check(traffic.check_diagnostics("/road_seg", [("/road_seg: a", 3, "")], True), "warning", "is stale")
    unknown = [("/road_seg: latency", 3, "unknown"), ("/road_seg: road", 3, "unknown"), *ours[:1]]
    text = "/road_seg: latency, /road_seg: road are stale: unknown."
    check(traffic.check_diagnostics("/road_seg", unknown, True), "warning", text)
    check(traffic.check_diagnostics("/road_seg", unknown + ours, True), "warning", "/road_seg: frames warns: slow.")
    broken = [("/road_seg: road", level, text) for level, text in ((3, "unknown"), (2, "broken"), (3, "unknown"))]
    check(traffic.check_diagnostics("/road_seg", broken, True), "error", "/road_seg: road reports an error: broken.")
    check(traffic.check_diagnostics("/road_seg", others, True), "warning", "publishes nothing on /diagnostics")
    assert not list(traffic.check_diagnostics("/road_seg", others, False))


# A fake graph

Publisher = namedtuple("Publisher", "node type reliability durability", defaults=("RELIABLE", "VOLATILE"))


class FakeGraph:
    """DDS tells of the subscriptions only when they are looked for the third time; with `silent`, never."""

    def __init__(
        self,
        publishers: dict[str, list[Publisher]],
        nodes: Iterable[str] = (),
        subscriptions: dict[str, list[Publisher]] | None = None,
        silent: bool = False,
        cameras: dict[str, tuple[str, str]] | None = None,
        statuses: Iterable[tuple[str, int, str]] = (("/road_seg: device", 0, "cpu"),),
    ):
        self._cameras, self._statuses = cameras or {}, list(statuses)
        self._publishers, self._nodes, self._subscriptions = publishers, list(nodes), subscriptions or {}
        self._untold = 1000 if silent else 2

    def look(self, find):
        return find() or find() or find()

    def discover(self, found, seconds):
        pass

    def state(self, node):
        return "active"

    def listen(self, seconds, topics):
        return {topic: stream(TENTHS) for topic in topics}, self._statuses

    def subscriptions(self, topic):
        self._untold -= 1
        return [] if self._untold >= 0 else self._subscriptions.get(topic, [])

    def nodes(self):
        return self._nodes

    def publishers(self, topic):
        return self._publishers.get(topic, [])

    def topics(self, kind):
        return [topic for topic, there in self._publishers.items() if any(p.type == kind for p in there)]

    def published(self, node):
        return {
            t: [p.type for p in there] for t, there in self._publishers.items() if any(p.node == node for p in there)
        }

    def subscribed(self, node):
        return {topic: [end.type for end in ends] for topic, ends in self._subscriptions.items()}

    def cameras(self, node):
        return self._cameras


def test_several_nodes():
    graph = FakeGraph({}, ["/a/road_seg", "/b/road_seg", "/other_road_seg"])
    check(running.find_node(graph, "road_seg"), "ok", "/a/road_seg, /b/road_seg are running; this examines /a/road_seg")
    check(running.find_node(graph, "/b/road_seg"), "ok", "/b/road_seg is running")
    check(running.find_node(FakeGraph({}, ["/road_seg"] * 2), "road_seg"), "warning", "2 nodes", "stop all but one")
    check(running.find_node(FakeGraph({}), "road_seg"), "error", "no nodes were discovered", "ROS_DOMAIN_ID")


def test_a_camera_of_the_other_transport():
    raw, compressed = running.RAW, running.COMPRESSED
    graph = FakeGraph({"/cam/compressed": [Publisher("/camera", compressed)]})
    text = "/cam has no publisher of type sensor_msgs/msg/Image, but /cam/compressed is published"
    check(running.check_camera(graph, None, "/cam", raw), "error", text, "image_transport:=compressed -r image:=/cam/")
    graph = FakeGraph({"/cam": [Publisher("/camera", raw)]})
    text = "but /cam is published as sensor_msgs/msg/Image"
    advice = "image_transport:=raw -r image:=/cam"
    check(running.check_camera(graph, None, "/cam/compressed", compressed), "error", text, advice)
    check(running.check_camera(graph, None, "/cam", compressed), "error", text, advice)
    check(
        running.check_camera(graph, None, "/image", compressed), "error", "topics of type sensor_msgs/msg/Image: /cam"
    )
    check(
        running.check_camera(FakeGraph({}), None, "/image", raw),
        "error",
        "no other camera was discovered",
        "start the camera",
    )


def test_the_mask_may_be_remapped():
    images = {f"/road_seg/{name}": [Publisher("/road_seg", running.RAW)] for name in ("mask", "overlay")}
    assert running.mask_topic(FakeGraph(images), "/road_seg") == "/road_seg/mask"
    images["/free_space"] = images.pop("/road_seg/mask")
    assert running.mask_topic(FakeGraph(images), "/road_seg") == "/free_space"


IMAGE = Publisher("/camera", running.RAW, "BEST_EFFORT")
CAMERAS = {name: (f"/{name}/image", f"/road_seg/{name}/mask") for name in ("front", "left")} | {"rear": ("/r", "/free")}


def several_cameras(published: Iterable[str], **settings) -> FakeGraph:
    """A node with these cameras, of which these publish."""
    publishers = {CAMERAS[name][0]: [Publisher("/camera", running.RAW)] for name in published}
    publishers |= {mask: [Publisher("/road_seg", running.RAW)] for _, mask in CAMERAS.values()}
    ours = {image: [Publisher("/road_seg", running.RAW)] for image, _ in CAMERAS.values()}
    return FakeGraph(publishers, ["/road_seg"], ours, cameras=CAMERAS, **settings)


def test_each_of_several_cameras_is_examined():
    findings = list(running.examine(several_cameras(CAMERAS)))
    assert {finding.status for finding in findings} == {"ok"}
    of_camera = "camera", "qos", "frames", "age", "losses", "masks"
    node = ["node", "state", "diagnostics"]
    assert sorted(f.check for f in findings) == sorted(
        node + [f"{name}/{each}" for name in CAMERAS for each in of_camera]
    )
    assert "50 masks for 50 frames on /free" in next(f.text for f in findings if f.check == "rear/masks")
    wrong = [finding for finding in running.examine(several_cameras(CAMERAS), image="/cam") if finding.status != "ok"]
    check(wrong, "error", "/road_seg subscribes to /front/image, /left/image, /r, not to /cam", "front/image:=/cam")
    assert all(finding.status == "ok" for finding in running.examine(several_cameras(CAMERAS), image="/r"))


def test_a_fault_of_one_of_several_cameras_names_it():
    def listen(seconds, topics):
        rates = {"/road_seg/front/mask": TENTHS[::3], "/free": []}
        return {topic: stream(rates.get(topic, TENTHS)) for topic in topics}, paused

    paused = [("/road_seg/front: frames", 0, "(max_fps is 3)"), ("/road_seg/front: road", 0, "20 % is road")]
    paused += [("/road_seg/rear: road", 0, "paused: ~/enable was called with false")]
    graph = several_cameras(["front", "rear"])
    graph.listen = listen
    found = {finding.check: finding for finding in running.examine(graph) if finding.status != "ok"}
    assert found.keys() == {"left/camera", "rear/masks"}  # and max_fps limits those of front
    advice = "start the camera"  # and not to take the images of another one
    check(found["left/camera"], "error", "/left/image has no publisher of type sensor_msgs/msg/Image, and no", advice)
    check(found["rear/masks"], "error", "No masks were received on /free, because /road_seg is paused", "resume it")


def test_the_advice_for_one_of_several_cameras_has_its_names(monkeypatch):
    graph = FakeGraph({"/cam/compressed": [Publisher("/camera", running.COMPRESSED)]})
    monkeypatch.setattr("fcn_road_seg.ros.remedies.has_ros2", lambda: True)
    found = list(running.of("left", running.check_camera(graph, None, "/cam", running.RAW, "left")))
    command = "--ros-args -p left.image_transport:=compressed -r left/image:=/cam/compressed"
    check(found, "error", "/cam has no publisher", f"start the node with {command}")
    assert "launch" not in found[0].advice  # whose file has no such arguments


@pytest.mark.parametrize(
    ("reliability", "status", "text"),
    [
        ("RELIABLE", "error", "/camera publishes /image BEST_EFFORT, but /road_seg requests RELIABLE"),
        ("BEST_EFFORT", "ok", "compatible"),
        ("UNKNOWN", "warning", "Could not tell whether the QoS"),
    ],
)
def test_the_qos_of_a_subscription_that_dds_tells_of_late(reliability, status, text):
    ours = {"/image": [Publisher("/road_seg", running.RAW, reliability), Publisher("/other", running.RAW)]}
    graph = FakeGraph({"/image": [IMAGE]}, subscriptions=ours)
    check(running.check_qos(graph, "/road_seg", "/image", running.RAW), status, text)


def test_what_dds_does_not_tell_of_is_not_ok():
    graph = FakeGraph({"/image": [IMAGE]}, ["/road_seg"], silent=True)
    check(running.check_qos(graph, "/road_seg", "/image", running.RAW), "warning", "Could not tell", "run this again")
    found = {finding.check: finding for finding in running.examine(graph, image="/image")}
    check(found["image"], "warning", "Could not tell which images /road_seg subscribes to", "run this again")
    check(found["masks"], "warning", "Could not tell where /road_seg publishes its mask", "run this again")
    assert "qos" not in found
    found = {finding.check: finding for finding in running.examine(graph)}
    check(found["image"], "warning", "Could not tell which images")
    assert "camera" not in found


def test_the_graph_looks_again_for_a_bounded_time(monkeypatch):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from fcn_road_seg.doctor import graph

    now, looks = [0.0], []
    monkeypatch.setattr(graph.time, "monotonic", lambda: now[0])
    looking = graph.Graph()
    looking._spin = lambda seconds: now.__setitem__(0, now[0] + seconds)
    assert looking.look(lambda: looks.append(0) or (["late"] if len(looks) == 5 else [])) == ["late"]
    before = now[0]
    assert looking.look(list) == [] and 0 <= now[0] - before - graph.LOOK_SECONDS < 0.2


def test_an_endpoint_whose_node_dds_has_not_named():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from fcn_road_seg.doctor.graph import endpoint

    policy = SimpleNamespace(name="RELIABLE")
    info = SimpleNamespace(
        node_name="_NODE_NAME_UNKNOWN_",
        node_namespace="_NODE_NAMESPACE_UNKNOWN_",
        topic_type=running.RAW,
        qos_profile=SimpleNamespace(reliability=policy, durability=policy),
    )
    assert endpoint(info).node == "a node of unknown name"


def test_a_camera_whose_node_dds_has_not_named():
    found = [[IMAGE._replace(node=UNKNOWN_NODE)], [IMAGE], [IMAGE]]
    graph = FakeGraph({})
    graph.publishers = lambda topic: found.pop(0) if len(found) > 1 else found[0]
    check(running.check_camera(graph, None, "/image", running.RAW), "ok", "/camera publishes /image")
    found[:] = [[IMAGE._replace(node=UNKNOWN_NODE)]]
    check(running.check_camera(graph, None, "/image", running.RAW), "ok", "a node of unknown name publishes /image")


def test_bad_arguments(capsys):
    assert main(["doctor", "--seconds", "1"]) == 2
    assert capsys.readouterr().err == "road_seg doctor: --seconds is 1, but must be in 2..3600\n"


@pytest.mark.parametrize(
    "option, kind, example", [("--image", "topic", "/camera/image_raw"), ("--node", "node name", "/road_seg")]
)
@pytest.mark.parametrize("name", ["image-raw", "/cam image", "/camera//image", "camera/image/"])
def test_invalid_names_are_a_user_error(option, kind, example, name, capsys):
    assert main(["doctor", option, name]) == 2
    sentence = f"{option} is '{name}', which is not a valid {kind}: give one such as {example}"
    assert capsys.readouterr().err == f"road_seg doctor: {sentence}\n"


def test_a_warning_alone_is_not_a_failure(monkeypatch, small_weights, capsys):
    monkeypatch.setattr("fcn_road_seg.cli.doctor.examine", lambda args: [warning("speed", "It is slow.", "Wait.")])
    assert main(["doctor", "--weights", str(small_weights)]) == 0
    assert "warnings: 1" in capsys.readouterr().out


def test_the_graph_is_not_examined_after_a_settings_error(monkeypatch, small_weights, capsys):
    monkeypatch.setenv("ROS_DOMAIN_ID", "ten")
    assert main(["doctor", "--weights", str(small_weights)]) == 1
    assert "warning graph: The running nodes were not examined.\n        -> fix" in capsys.readouterr().out
    assert main(["doctor", "--weights", str(small_weights), "--no-graph"]) == 1
    assert " graph: " not in capsys.readouterr().out


# A node and a camera over DDS


@pytest.fixture
def doctor(monkeypatch, domain_id, small_weights, repository, tmp_path, capsys):
    """Runs the command; returns its exit code, and its findings that are not ok by check.

    It runs until the findings fulfil `until`, at most `TIMEOUT` seconds: on a loaded machine, discovery may be
    incomplete, frames late or lost, and the node slow when the command looks, and it reports just that.
    """
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
    profile = FAST_DDS_PROFILES[fast_dds_version(os.environ)]
    monkeypatch.setenv(profile, str(repository / "config/fastdds_profile.xml"))

    def run(*arguments: str, until: Callable[[dict[str, Finding]], bool]) -> tuple[int, dict[str, Finding]]:
        give_up = time.monotonic() + TIMEOUT
        while True:
            code, wrong = run_once(*arguments)
            if until(wrong) or time.monotonic() > give_up:
                return code, wrong

    def run_once(*arguments: str) -> tuple[int, dict[str, Finding]]:
        file = tmp_path / "findings.json"
        command = ["doctor", "--weights", str(small_weights), "--json", str(file), "--seconds", "2", *arguments]
        code = main(command)
        report = json.loads(file.read_text())
        findings = [Finding(**finding) for finding in report["findings"]]
        wrong = {finding.check: finding for finding in findings if finding.status != "ok"}
        assert report["healthy"] == (not wrong)
        assert code == any(finding.status == "error" for finding in findings)
        output = capsys.readouterr().out.splitlines()
        assert len(output) == len(findings) + len(wrong) + 1
        assert output[-1].startswith("Problems found" if wrong else "No problems found")
        return code, wrong

    return run


@pytest.fixture(scope="module")
def node(domain_id, small_weights, tmp_path_factory):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from node_harness import NodeProcess

    parameters = {"weights": small_weights, "warm_up_width": 97, "warm_up_height": 61}
    parameters["threads"] = 1  # threads that wait for each other stall when other work occupies the cores
    parameters["qos_overrides./image.subscription.reliability"] = "reliable"
    # Random weights on noise rightly trigger the out-of-domain warning, which would hide the other findings.
    prelude = "import fcn_road_seg.postprocess.out_of_domain as scene; scene.alarm = lambda look: ''"
    node = NodeProcess(domain_id, tmp_path_factory.mktemp("node") / "log", prelude, **parameters)
    node.wait_for_output("Listening to /image")
    yield node
    assert node.stop() == 0


@pytest.fixture(scope="module")
def client(domain_id, node):
    from node_harness import Client

    client = Client(domain_id)
    yield client
    client.close()


class Camera:
    """Publishes from a thread, with the regular stamps of a camera."""

    def __init__(self, client, topic: str, reliability: str = "RELIABLE", encoding: str = "bgr8"):
        from node_harness import qos
        from rclpy.qos import ReliabilityPolicy
        from sensor_msgs.msg import Image

        self._client = client
        self._publisher = client.node.create_publisher(Image, topic, qos(ReliabilityPolicy[reliability]))
        self._message = fill_image(Image(), FRAME, "bgr8")
        self._message.encoding = encoding
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._publish)

    def __enter__(self) -> "Camera":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._client.node.destroy_publisher(self._publisher)

    def _publish(self) -> None:
        stamp = time.time()
        while not self._end.wait(max(0.0, stamp + PERIOD - time.time())):
            stamp += PERIOD
            header = self._message.header
            header.stamp.sec, header.stamp.nanosec = int(stamp), int(stamp % 1 * 1e9)
            self._publisher.publish(self._message)


def errors(wrong: dict[str, Finding]) -> set[str]:
    """The checks that found an error, rather than that they could not tell."""
    return {name for name, finding in wrong.items() if finding.status == "error"}


def test_a_healthy_node_and_camera(client, doctor):
    with Camera(client, "image"):
        assert doctor("--seconds", "3", until=lambda wrong: not wrong) == (0, {})


def test_no_such_node(client, doctor):
    code, wrong = doctor("--node", "/front/road_seg", until=lambda wrong: "/client, /road_seg" in wrong["node"].text)
    assert code == 1
    check(
        wrong.values(),
        "error",
        "There is no node /front/road_seg: the running nodes are /client, /road_seg",
        "start it: ",
    )


def test_the_camera_has_another_topic(client, doctor):
    text = "/image has no publisher of type sensor_msgs/msg/Image; other topics of that type: /front/image_raw."

    def is_seen(wrong: dict[str, Finding]) -> bool:
        return {"camera", "image"} <= errors(wrong) and text in wrong["camera"].text

    with Camera(client, "front/image_raw"):
        code, wrong = doctor("--image", "front/image_raw", until=is_seen)
    assert code == 1
    check(wrong["camera"], "error", text, "image:=/front/image_raw")
    check(wrong["image"], "error", "/road_seg subscribes to /image, not to front/image_raw")


def test_a_qos_clash(client, doctor):
    text = "/client publishes /image BEST_EFFORT, but /road_seg requests RELIABLE"

    def is_seen(wrong: dict[str, Finding]) -> bool:
        return {"qos", "masks"} <= errors(wrong) and text in wrong["qos"].text and "frames" not in wrong

    with Camera(client, "image", "BEST_EFFORT"):
        code, wrong = doctor(until=is_seen)
    assert code == 1
    check(wrong["qos"], "error", text, "qos_overrides./image.subscription.reliability:=follow")
    check(wrong["masks"], "error", "No masks were received on /road_seg/mask, although frames were")
    assert "frames" not in wrong


def test_a_refused_encoding(client, doctor):
    with Camera(client, "image", encoding="32FC1"):
        code, wrong = doctor(until=lambda wrong: {"picture", "masks", "diagnostics"} <= errors(wrong))
    assert code == 1
    check(wrong["picture"], "error", "The node cannot decode a frame: ", "bgr8")
    assert "32FC1" in wrong["picture"].text
    check(wrong["masks"], "error", "No masks were received on /road_seg/mask")
    assert "/road_seg: frames" in wrong["diagnostics"].text


def test_a_node_that_is_not_active(client, doctor):
    assert client.change_state("deactivate")
    code, wrong = doctor(until=lambda wrong: "state" in wrong and "is inactive" in wrong["state"].text)
    assert code == 1
    check(wrong["state"], "error", "/road_seg is inactive", "start it again with autostart true")
    assert "camera" not in wrong  # the topic that it will subscribe to is unknown
    assert client.change_state("cleanup")
    with Camera(client, "image"):
        code, wrong = doctor(until=lambda wrong: set(wrong) == {"state"} and "unconfigured" in wrong["state"].text)
    assert code == 1
    check(wrong.values(), "error", "/road_seg is unconfigured", "fix it, then: end the node and start it again with")
