"""The node as a process, and a ROS 2 node of the test that communicates with it over DDS."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from fcn_road_seg.frames.image_message import fill_image
from fcn_road_seg.ros.environment import isolated_ros_environment

TIMEOUT = 240  # seconds; long because other work may share the machine
LOST = 10  # seconds without a mask after which a frame is sent again


def qos(reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE, depth: int = 10) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability)


class NodeProcess:
    """road_seg_node, started with parameters, with its output in a file.

    `prelude` is Python that runs first; `before` is a command that becomes the one behind it.
    """

    def __init__(self, domain_id: int, log: Path, prelude: str = "", before: Sequence[str] = (), **parameters):
        arguments = [f"{name}:={value}" for name, value in parameters.items()]
        program = f"import sys\n{prelude}\nfrom fcn_road_seg.ros.node_main import main\nsys.exit(main())"
        command = [*before, sys.executable, "-c", program, "--ros-args"]
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                command + [part for argument in arguments for part in ("-p", argument)],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=isolated_ros_environment(domain_id) | {"RCUTILS_LOGGING_BUFFERED_STREAM": "0"},
            )

    def resident(self) -> int:
        """Bytes of resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def output(self) -> str:
        return self.log.read_text()

    def wait_for_output(self, text: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while text not in self.output():
            assert self.process.poll() is None, f"the node ended: {self.output()}"
            if time.monotonic() > deadline:
                self.process.kill()  # a fixture that fails here does not come to its own end
                raise AssertionError(f"'{text}' is not in the output: {self.output()}")
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(TIMEOUT)
        finally:
            if self.process.poll() is None:
                self.process.kill()


class Spinning:
    """Waits on an executor of one thread, which the class that inherits this sets."""

    _executor: SingleThreadedExecutor

    def spin_until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not happen in {TIMEOUT} s"
            self._executor.spin_once(timeout_sec=0.05)

    def spin_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.05)

    def statuses(self, client: Node, prefix: str) -> dict[str, DiagnosticStatus]:
        """The next statuses on /diagnostics whose names have a prefix, by the rest of the name.

        None was published before the call: its subscription did not exist.
        """
        found: dict[str, DiagnosticStatus] = {}

        def on_message(message: DiagnosticArray) -> None:
            found.update({s.name.removeprefix(prefix): s for s in message.status if s.name.startswith(prefix)})

        subscription = client.create_subscription(DiagnosticArray, "/diagnostics", on_message, qos())
        self.spin_until(lambda: found, "a message on /diagnostics")
        client.destroy_subscription(subscription)
        return found


class Client(Spinning):
    """A camera and a viewer in one ROS 2 node."""

    def __init__(self, domain_id: int):
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=domain_id)
        self.node = rclpy.create_node("client", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._clients = {}
        self.masks: list[Image] = []
        self.mask_sent: list[int] = []
        """Source timestamps of the masks in nanoseconds."""
        self.mask_received: list[int] = []
        """Timestamps of their reception by DDS."""
        self.node.create_subscription(Image, "road_seg/mask", self._on_mask, qos())

    def _on_mask(self, message: Image, info: dict) -> None:
        self.masks.append(message)
        self.mask_sent.append(info["source_timestamp"])
        self.mask_received.append(info["received_timestamp"])

    def close(self) -> None:
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def diagnostics(self) -> dict[str, DiagnosticStatus]:
        """The next statuses of the node, by subject."""
        return self.statuses(self.node, "/road_seg: ")

    def camera(self, reliability=ReliabilityPolicy.RELIABLE, wait: bool = True, kind: type = Image):
        """A publisher of images that the node has discovered."""
        publisher = self.node.create_publisher(kind, "image", qos(reliability))
        if wait:
            self.spin_until(lambda: publisher.get_subscription_count(), "the node's subscription to image")
            self.spin_until(lambda: self.node.count_publishers("road_seg/mask"), "the node's publisher of masks")
            self.spin_for(0.5)  # the other side of the match
        return publisher

    def answer(self, publisher, message: Image) -> Image:
        """Publish a frame and wait for the mask with its stamp.

        The frame is sent again after `LOST` seconds: DDS drops messages while only one side knows of the other.
        """
        last_sent = -math.inf

        def answers() -> list[Image]:
            nonlocal last_sent
            found = [mask for mask in self.masks if mask.header.stamp == message.header.stamp]
            if not found and time.monotonic() > last_sent + LOST:
                publisher.publish(message)
                last_sent = time.monotonic()
            return found

        self.spin_until(answers, "a mask")
        return answers()[0]

    def set_parameter(self, name: str, value, node: str = "road_seg") -> str:
        """Set a parameter of the node, or of another; the reason if it refuses, else ''."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        (result,) = self._call(SetParameters, f"{node}/set_parameters", request).results
        return "" if result.successful else result.reason

    def state(self) -> str:
        return self._call(GetState, "road_seg/get_state", GetState.Request()).current_state.label

    def change_state(self, transition: str | int) -> bool:
        """Request a transition by its label or its id; whether it succeeded."""
        request = ChangeState.Request()
        if isinstance(transition, str):
            request.transition.label = transition
        else:
            request.transition.id = transition
        return self._call(ChangeState, "road_seg/change_state", request).success

    def _call(self, kind, name: str, request):
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        self.spin_until(self._clients[name].service_is_ready, f"the service {name}")
        future = self._clients[name].call_async(request)
        self.spin_until(future.done, f"an answer of {name}")
        return future.result()


def frame_message(pixels: np.ndarray, encoding: str, seconds: int, frame_id: str = "front_camera") -> Image:
    message = fill_image(Image(), pixels, encoding)
    message.header.stamp.sec = seconds
    message.header.stamp.nanosec = 123_456_789
    message.header.frame_id = frame_id
    return message


def mask_pixels(message: Image) -> np.ndarray:
    assert (message.encoding, message.step) == ("mono8", message.width)
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)
