"""Faults around the node: memory, the device, QoS, signals; each with the node as a process, over DDS."""

import signal

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticArray
from node_harness import TIMEOUT, Client, NodeProcess, frame_message, qos
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

FRAME = np.random.default_rng(1).integers(0, 256, (40, 64, 3), np.uint8)

FAULTS = """
import os
import torch
from fcn_road_seg.inference.backends.torch_eager import TorchEager
class Pinned:
    def __del__(self):
        os.abort()  # as PyTorch does when it frees pinned memory of a device that is lost
call = TorchEager.__call__
def faulty(self, frame, size):
    if frame.shape[1] == 31:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if frame.shape[1] == 30:
        raise KeyError("a fault of ours")
    if frame.shape[1] == 32:
        raise RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED\\nand more")
    if frame.shape[1] == 33:
        TorchEager.works = lambda self: False
        self.pinned = Pinned()
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return call(self, frame, size)
TorchEager.__call__ = faulty
"""
"""Faults of the GPU, selected by the width of the frame."""


@pytest.fixture(scope="module")
def node(domain_id, small_weights, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    reliable = {"qos_overrides./image.subscription.reliability": "reliable"}
    node = NodeProcess(domain_id, log, FAULTS, weights=small_weights, backend="torch", **reliable)
    node.wait_for_output("Listening to /image")
    yield node
    if node.process.poll() is None:
        node.stop()


def test_out_of_memory_drops_the_frame_and_not_the_node(client, camera, node):
    answered = len(client.masks)

    def dropped() -> int:
        frames = client.diagnostics()["frames"].values
        return next(int(value.value) for value in frames if value.key == "frames dropped")

    for count, width in enumerate((31, 32, 30), start=1):
        camera.publish(frame_message(FRAME[:, :width], "rgb8", 10))
        client.spin_until(lambda count=count: dropped() == count, f"drop {count}")
        client.spin_for(1.0)  # the log of drops is throttled
    client.answer(camera, frame_message(FRAME, "rgb8", 12))
    assert [mask.header.stamp.sec for mask in client.masks[answered:]] == [12]
    node.wait_for_output("not enough memory for a frame of 31x40 on cpu: CUDA out of memory")
    node.wait_for_output("the network failed on a frame of 32x40: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")
    frames = {value.key: value.value for value in client.diagnostics()["frames"].values}
    assert [frames[f"frames dropped: {reason}"] for reason in ("memory", "inference", "fault")] == ["1", "1", "1"]
    node.wait_for_output("KeyError: 'a fault of ours'\nTraceback (most recent call last):")


@pytest.mark.parametrize(
    ("topic", "kind", "policies", "text"),
    [
        (
            "road_seg/mask",
            Image,
            {"durability": DurabilityPolicy.TRANSIENT_LOCAL},
            [
                "QoS clash on /road_seg/mask: this node's publisher has durability volatile",
                "transient_local, so it receives "
                "nothing. Set the parameter qos_overrides./road_seg/mask.publisher.durability to transient_local",
            ],
        ),
        (
            "road_seg/mask",
            Image,
            {"deadline": Duration(seconds=1)},
            [
                "QoS clash on /road_seg/mask: a subscriber and this node's publisher differ in deadline, so it "
                "receives nothing. Change the subscriber"
            ],
        ),
        (
            "/diagnostics",
            DiagnosticArray,
            {"durability": DurabilityPolicy.TRANSIENT_LOCAL},
            ["Set the parameter qos_overrides./diagnostics.publisher.durability to transient_local"],
        ),
    ],
)
def test_a_viewer_that_requests_more_is_reported(client, node, topic, kind, policies, text):
    profile = qos()
    for policy, value in policies.items():
        setattr(profile, policy, value)
    subscription = client.node.create_subscription(kind, topic, lambda message: None, profile)
    client.spin_until(lambda: all(part in node.output() for part in text), f"the message {text}")
    client.node.destroy_subscription(subscription)


def test_a_camera_that_offers_less_is_reported(client, node):
    publisher = client.camera(ReliabilityPolicy.BEST_EFFORT, wait=False)
    clash = "QoS clash on /image: this node's subscription has reliability reliable"
    client.spin_until(lambda: clash in node.output(), "the message about the clash")
    client.node.destroy_publisher(publisher)
    node.wait_for_output(
        "best_effort, so nothing arrives from it. Set the parameter "
        "qos_overrides./image.subscription.reliability to best_effort, or change the publisher"
    )


def test_a_device_that_is_lost_ends_the_process(client, camera, node):
    answered, output = len(client.masks), node.output()
    camera.publish(frame_message(FRAME[:, :33], "rgb8", 20))
    assert node.process.wait(TIMEOUT) == 1
    client.spin_for(0.5)
    assert len(client.masks) == answered
    assert "no longer works: CUDA error: an illegal memory access was encountered; the node ends" in node.output()
    assert "Traceback" not in node.output().removeprefix(output)


def test_cleaning_up_frees_the_memory(other_domain_id, shipped_weights, tmp_path):
    node = NodeProcess(other_domain_id, tmp_path / "log", device="cpu")
    client = Client(other_domain_id)
    try:
        node.wait_for_output("Listening to /image")
        sizes = []
        for _ in range(3):
            configured = node.resident()
            assert client.change_state("deactivate") and client.change_state("cleanup")
            sizes.append((configured, node.resident()))
            assert client.change_state("configure") and client.change_state("activate")
        configured = node.resident()
        assert client.change_state("shutdown")
        assert client.state() == "finalized"
        sizes.append((configured, node.resident()))
    finally:
        client.close()
        assert node.stop() == 0
    freed = [before - after for before, after in sizes]
    weights = shipped_weights.stat().st_size  # FP16; BF16 takes as much memory, FP32 twice as much
    assert min(freed) > 0.8 * weights, sizes
    assert sizes[-1][1] < 1.1 * sizes[0][1], sizes


def test_an_error_in_a_transition_leaves_a_node_that_can_be_configured(other_domain_id, small_weights, tmp_path):
    fault = """
from fcn_road_seg.ros.camera_subscription import CameraSubscription
stop, calls = CameraSubscription.stop, []
def faulty(self):
    calls.append(self)
    if len(calls) == 1:
        raise RuntimeError("no")
    stop(self)
CameraSubscription.stop = faulty
"""
    node = NodeProcess(other_domain_id, tmp_path / "log", fault, weights=small_weights)
    client = Client(other_domain_id)
    try:
        camera = client.camera()
        client.answer(camera, frame_message(FRAME, "rgb8", 1))
        client.change_state("deactivate")
        assert client.state() == "unconfigured"
        node.wait_for_output("A transition from active failed and everything was freed: configure the node again")
        client.spin_until(lambda: not camera.get_subscription_count(), "the end of the subscription")
        assert client.change_state("configure") and client.change_state("activate")
        client.spin_until(camera.get_subscription_count, "a new subscription")
        client.spin_for(0.5)
        client.answer(camera, frame_message(FRAME, "rgb8", 2))
    finally:
        client.close()
        assert node.stop() == 0


def test_with_simulated_time_ages_are_the_bags_and_a_loop_does_no_harm(other_domain_id, small_weights, tmp_path):
    node = NodeProcess(other_domain_id, tmp_path / "log", weights=small_weights, use_sim_time="true", max_age_ms=500.0)
    client = Client(other_domain_id)
    clock = client.node.create_publisher(Clock, "/clock", 1)

    def at(seconds: int) -> None:
        message = Clock()
        message.clock.sec = seconds
        clock.publish(message)
        client.spin_for(0.5)

    try:
        camera = client.camera()
        client.answer(camera, frame_message(FRAME, "rgb8", 7))  # before the clock starts ages are unknown
        client.spin_until(clock.get_subscription_count, "the node's subscription to /clock")
        client.spin_for(0.5)
        at(1000)
        client.answer(camera, frame_message(FRAME, "rgb8", 1000))
        camera.publish(frame_message(FRAME, "rgb8", 990))
        node.wait_for_output("ms old, but max_age_ms is 500")
        at(100)
        client.answer(camera, frame_message(FRAME, "rgb8", 100))
        frames = {value.key: value.value for value in client.diagnostics()["frames"].values}
        assert (frames["frames answered"], frames["frames dropped: age"]) == ("3", "1")
        assert frames["stamps that went back"] == "2"
        latency = {value.key: value.value for value in client.diagnostics()["latency"].values}
        assert float(latency["age at publish p99 (ms)"]) > float(latency["age at arrival p99 (ms)"])
    finally:
        client.close()
        assert node.stop() == 0


def test_a_required_gpu_that_is_missing(other_domain_id, small_weights, tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    node = NodeProcess(other_domain_id, tmp_path / "log", weights=small_weights, require_cuda="true")
    client = Client(other_domain_id)
    try:
        node.wait_for_output("Not configured: no CUDA device was found")
        assert client.state() == "unconfigured"
        assert client.set_parameter("require_cuda", False) == ""
        assert client.change_state("configure") and client.change_state("activate")
        client.answer(client.camera(), frame_message(FRAME, "rgb8", 1))
    finally:
        client.close()
        assert node.stop() == 0


WAIT_FOR_SIGNAL = """
import sys
import time
def wait_for_signal():
    was_ok = False
    while True:  # before rclpy.init() the signal's handler raises SystemExit here
        ok = hasattr(sys.modules.get("rclpy"), "ok") and sys.modules["rclpy"].ok()
        if was_ok and not ok:
            return
        was_ok |= ok
        time.sleep(0.01)
"""
"""Keeps a moment of the start open until the signal has come, however slow the machine is."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "module",
    ["rclpy", "fcn_road_seg.ros.environment", "fcn_road_seg.ros.node", "fcn_road_seg.inference.segmenter"],
)
def test_a_signal_while_it_starts_ends_it_without_a_traceback(domain_id, small_weights, tmp_path, module, number):
    prelude = f"""{WAIT_FOR_SIGNAL}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            print("importing", name, flush=True)
            wait_for_signal()
sys.meta_path.insert(0, Finder())
"""
    node = NodeProcess(domain_id % 100 + 1, tmp_path / "log", prelude, weights=small_weights)
    node.wait_for_output(f"importing {module}")
    assert node.stop(number) == 0
    assert "Traceback" not in node.output() and "Listening" not in node.output()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_network_is_compiled_ends_it_without_a_traceback(domain_id, small_weights, tmp_path, number):
    model = pytest.importorskip("fcn_road_seg.inference.backends.openvino_model", reason="OpenVINO is not installed")
    prelude = f"""{WAIT_FOR_SIGNAL}
from {model.__name__} import openvino
compile_model = openvino.Core.compile_model
def slow(*arguments):
    print("compiling", flush=True)
    wait_for_signal()
    return compile_model(*arguments)
openvino.Core.compile_model = slow
"""
    node = NodeProcess(domain_id % 100 + 1, tmp_path / "log", prelude, weights=small_weights, backend="openvino")
    node.wait_for_output("compiling")
    assert node.stop(number) == 0
    assert "Traceback" not in node.output() and "Not configured" not in node.output()
    assert "Listening" not in node.output()


@pytest.mark.parametrize(
    "parameter, value",
    [("qos_overrides./road_seg/mask.publisher.depth", "five"), ("use_sim_time", "5"), ("max_age_ms", "-1.0")],
)
def test_an_invalid_parameter_is_a_sentence(other_domain_id, tmp_path, parameter, value):
    node = NodeProcess(other_domain_id, tmp_path / "log", **{parameter: value})
    assert node.process.wait(TIMEOUT) == 2
    assert node.output().startswith("road_seg_node: ") and len(node.output().splitlines()) == 1


def test_outputs_take_their_qos_from_parameters(other_domain_id, small_weights, tmp_path):
    overrides = {
        "qos_overrides./road_seg/mask.publisher.durability": "transient_local",
        "qos_overrides./road_seg/mask.publisher.reliability": "best_effort",
        "qos_overrides./image.subscription.depth": 3,
    }
    node = NodeProcess(other_domain_id, tmp_path / "log", weights=small_weights, **overrides)
    client = Client(other_domain_id)
    try:
        client.spin_until(lambda: client.node.count_publishers("road_seg/mask"), "the node's publisher of masks")
        profile = client.node.get_publishers_info_by_topic("/road_seg/mask")[0].qos_profile
        assert profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        assert profile.reliability == ReliabilityPolicy.BEST_EFFORT
        node.wait_for_output("Listening to /image")
    finally:
        client.close()
        assert node.stop() == 0
