"""Nodes in the test's own process, with a camera and a viewer on the same executor."""

from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from node_harness import Spinning, qos
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from fcn_road_seg.ros.node import RoadSegNode


def start_parameters(weights: Path, **parameters) -> list[Parameter]:
    """Parameters with which a node starts quickly."""
    values = {"weights": str(weights), "backend": "torch", "device": "cpu", "warm_up_width": 0} | parameters
    return [Parameter(name, value=value) for name, value in values.items()]


class InProcessNode(Spinning):
    """A RoadSegNode in a namespace, and a client that subscribes to its masks unless `listen` is false.

    A context manager that destroys both.
    """

    def __init__(self, context: Context, weights: Path, namespace: str, listen: bool = True, **parameters):
        overrides = start_parameters(weights, **parameters)
        self.node = RoadSegNode(context=context, namespace=namespace, parameter_overrides=overrides)
        self.camera = self.node._cameras[0]
        self.client = rclpy.create_node("client", context=context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._executor.add_node(self.client)
        self.masks: list[Image] = []
        self._camera = self.client.create_publisher(Image, "image", qos())
        if listen:
            self.client.create_subscription(Image, "road_seg/mask", self.masks.append, qos())

    def __enter__(self) -> "InProcessNode":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.client.destroy_node()
        self.node.destroy_node()

    def start(self) -> "InProcessNode":
        """Configure and activate it, and wait until it and the client have found each other."""
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.spin_until(self._camera.get_subscription_count, "the node's subscription to image")
        self.spin_until(lambda: self.client.count_publishers("road_seg/mask"), "the node's publisher of masks")
        self.spin_for(0.5)  # the node's side of the match
        return self

    def send(self, message: Image) -> None:
        self._camera.publish(message)

    def answer(self, message: Image) -> Image:
        """Publish an image and wait for its mask."""
        count = len(self.masks)
        self.send(message)
        self.spin_until(lambda: len(self.masks) > count, "a mask")
        assert self.masks[-1].header == message.header
        return self.masks[-1]

    def diagnostics(self) -> dict[str, DiagnosticStatus]:
        """The next statuses, by subject."""
        return self.statuses(self.client, f"{self.node.get_fully_qualified_name()}: ")

    def figures(self, subject: str) -> dict[str, str]:
        """The figures of a status in the next /diagnostics."""
        return {value.key: value.value for value in self.diagnostics()[subject].values}

    def faults(self) -> dict[str, str]:
        """The faults in the next /diagnostics and their counts."""
        return self.figures("faults")
