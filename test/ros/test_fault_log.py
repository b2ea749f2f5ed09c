"""Faults in every kind of callback: the log has the traceback, /diagnostics the count, and the node goes on."""

import itertools

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from in_process_node import InProcessNode
from node_harness import Client, NodeProcess, frame_message, qos
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import Image

from fcn_road_seg.ros import node as node_module
from fcn_road_seg.ros.camera_subscription import CameraSubscription
from fcn_road_seg.ros.ground_outputs import GroundOutputs
from fcn_road_seg.ros.node import RoadSegNode
from fcn_road_seg.ros.pixel_outputs import PixelOutputs

FRAME = np.random.default_rng(1).integers(0, 256, (40, 64, 3), np.uint8)
LINE = "KeyError at test_fault_log.py:"


def fail(*_, **__):
    raise KeyError("colour_lut")


class FailsFirst:
    """Stands in for a method that fails when it is first called."""

    def __init__(self, method):
        self._method = method
        self._calls = itertools.count()

    def __get__(self, owner, kind):
        return fail if not next(self._calls) else self._method.__get__(owner, kind)


@pytest.fixture
def node(context, small_weights):
    with InProcessNode(context, small_weights, "/faulty") as node:
        yield node


def count(node: InProcessNode) -> int:
    """How often `fail` failed, by /diagnostics."""
    return sum(int(number) for name, number in node.faults().items() if name.startswith(LINE))


def check_log(log: str, task: str) -> None:
    """One traceback, under an ERROR that says what failed."""
    assert f"{task}: KeyError: 'colour_lut'\nTraceback (most recent call last):" in log
    assert "[ERROR]" in log and log.count("Traceback") == 1 and 'raise KeyError("colour_lut")' in log


def test_a_frame(node, monkeypatch, capfd):
    node.start()
    with monkeypatch.context() as patch:
        patch.setattr("fcn_road_seg.ros.frame_handler.threshold_mask", fail)
        for seconds in (1, 2):
            node.send(frame_message(FRAME, "rgb8", seconds))
            node.spin_until(lambda seconds=seconds: count(node) == seconds, f"fault {seconds}")
    check_log(capfd.readouterr().err, "A frame failed")
    node.answer(frame_message(FRAME, "rgb8", 3))
    assert len(node.masks) == 1


def test_the_network(node, monkeypatch, capfd):
    """A RuntimeError may come from a GPU or from a fault in a backend; only the traceback tells which."""

    def fail(*_):
        raise RuntimeError("the sizes of tensors must match")

    with monkeypatch.context() as patch:
        patch.setattr("fcn_road_seg.inference.backends.torch_eager.TorchEager.__call__", fail)
        node.node.set_parameters([Parameter("warm_up_width", value=64), Parameter("warm_up_height", value=40)])
        assert node.node.trigger_configure() == TransitionCallbackReturn.FAILURE
        check_network_log(capfd.readouterr().err, "Not configured")
        node.node.set_parameters([Parameter("warm_up_width", value=0)])
        node.start()
        for seconds in (1, 2):
            node.send(frame_message(FRAME, "rgb8", seconds))
            node.spin_until(
                lambda seconds=seconds: sum(map(int, node.faults().values())) == 1 + seconds, f"fault {seconds}"
            )
    assert all(kind.startswith("RuntimeError at test_fault_log.py:") for kind in node.faults())
    assert "Frame dropped (1 so far): the network failed on a frame of 64x40" in capfd.readouterr().err
    node.answer(frame_message(FRAME, "rgb8", 3))


def check_network_log(log: str, task: str) -> None:
    assert f"{task}: RuntimeError: the sizes of tensors must match\nTraceback (most recent call last):" in log
    assert f"{task}: the network failed on a frame of 64x40: the sizes of tensors must match" in log
    assert log.count("Traceback") == 1 and 'raise RuntimeError("the sizes of tensors must match")' in log


def test_statistics(node, monkeypatch, capfd):
    node.start()
    with monkeypatch.context() as patch:
        patch.setattr("fcn_road_seg.ros.frame_handler.look", fail)
        node.answer(frame_message(FRAME, "rgb8", 1))
        assert count(node) == 1
    log = capfd.readouterr().err
    check_log(log, "A frame has its mask, but is not in the statistics")
    assert "Frame dropped" not in log


def test_an_output(node, monkeypatch, capfd):
    node.start()
    monkeypatch.setattr(PixelOutputs, "publish", fail)
    for seconds in (1, 2):
        node.answer(frame_message(FRAME, "rgb8", seconds))
    assert count(node) == 2
    check_log(capfd.readouterr().err, "Only the mask is published")


@pytest.mark.parametrize("method", [(node_module, "load_segmenter"), (CameraSubscription, "start")])
def test_configure_and_activate(node, monkeypatch, capfd, method):
    owner, name = method
    working = getattr(owner, name)
    monkeypatch.setattr(owner, name, fail)
    configured = node.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    if configured:
        assert node.node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert count(node) == 1
    check_log(capfd.readouterr().err, "Not activated" if configured else "Not configured")
    monkeypatch.setattr(owner, name, working)
    assert configured or node.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.node.trigger_activate() == TransitionCallbackReturn.SUCCESS


def test_what_the_user_can_fix_has_no_traceback(context, tmp_path, capfd):
    with InProcessNode(context, tmp_path / "gone.safetensors", "/faulty") as node:
        assert node.node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert node.faults() == {}
    log = capfd.readouterr().err
    assert "Not configured: " in log and "gone.safetensors" in log and "Traceback" not in log


@pytest.mark.parametrize("transition", ["deactivate", "cleanup", "shutdown"])
def test_other_transitions(node, monkeypatch, capfd, transition):
    node.start()
    if transition == "cleanup":
        node.node.trigger_deactivate()
    kind, name = {
        "deactivate": (GroundOutputs, "stop"),
        "cleanup": (RoadSegNode, "_release"),
        "shutdown": (CameraSubscription, "stop"),
    }[transition]
    monkeypatch.setattr(kind, name, FailsFirst(getattr(kind, name)))
    assert getattr(node.node, f"trigger_{transition}")() == TransitionCallbackReturn.ERROR
    assert count(node) == 1
    log = capfd.readouterr().err
    check_log(log, f"A transition from {'inactive' if transition == 'cleanup' else 'active'} failed")
    assert "everything was freed: configure the node again" in log
    node.start()
    node.answer(frame_message(FRAME, "rgb8", 1))


def test_timers(node, monkeypatch, capfd):
    node.start()
    with monkeypatch.context() as patch:
        patch.setattr("fcn_road_seg.ros.camera_subscription.offered_reliability", fail)
        node.spin_until(lambda: count(node) >= 2, "two faults of the timer")
    check_log(capfd.readouterr().err, "The check of the camera's QoS failed")
    before = count(node)
    with monkeypatch.context() as patch:
        patch.setattr("fcn_road_seg.ros.node.diagnostic_array", fail)
        node.spin_until(lambda: "Diagnostics failed" in node.node.faults.report().sentence, "a fault of the timer")
    assert count(node) > before
    assert "Diagnostics failed: KeyError" in capfd.readouterr().err
    node.answer(frame_message(FRAME, "rgb8", 1))


def test_setting_parameters(node, monkeypatch, capfd):
    node.start()
    with monkeypatch.context() as patch:
        patch.setattr("fcn_road_seg.ros.node.check_change", fail)
        (result,) = node.node.set_parameters([Parameter("threshold", value=0.3)])
    assert not result.successful and "its log has the traceback" in result.reason
    assert count(node) == 1
    check_log(capfd.readouterr().err, "Setting parameters failed")
    (result,) = node.node.set_parameters([Parameter("threshold", value=0.3)])
    assert result.successful
    node.answer(frame_message(FRAME, "rgb8", 1))


def test_any_other_callback(domain_id, small_weights, tmp_path):
    """The node as a process survives a fault in an event callback of rclpy."""
    fault = """
import fcn_road_seg.ros.qos
def fail(*_):
    raise KeyError("colour_lut")
fcn_road_seg.ros.qos._name = fail
"""
    node = NodeProcess(domain_id, tmp_path / "log", fault, weights=small_weights, backend="torch")
    client = Client(domain_id)
    try:
        camera = client.camera()
        profile = qos()
        profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
        client.node.create_subscription(Image, "road_seg/mask", lambda message: None, profile)
        client.spin_until(lambda: "A callback failed" in node.output(), "the log of the fault")
        node.wait_for_output("A callback failed: KeyError: 'colour_lut'\nTraceback (most recent call last):")
        assert {value.value for value in client.diagnostics()["faults"].values} == {"1"}
        client.answer(camera, frame_message(FRAME, "rgb8", 1))
    finally:
        client.close()
        assert node.stop() == 0
