"""The bond with a lifecycle manager: heartbeats by which Nav2's manager notices that the node has died or hangs."""

import uuid
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.timer import Timer

from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.steady_clock import STEADY

TOPIC = "bond"
PERIOD, TIMEOUT = 0.1, 4.0
"""Seconds between heartbeats, and without one after which the bond is broken; as in Nav2's servers."""


class Bond:
    """One end of a bond: bond/Status on the topic ``bond``, as the other, bondcpp in nav2_lifecycle_manager, expects.

    The id is the node's name without its namespace, and each activation has its own instance id. The heartbeats come
    from a timer of the executor that also answers the frames, so that they stop when it hangs. bondpy is not used: it
    needs ROS 2 Jazzy, and its heartbeats come from a thread that a hanging node does not stop.
    """

    def __init__(self, node: Node, faults: FaultLog):
        self._node, self._faults = node, faults
        self._publisher: Publisher | None = None
        self._timer: Timer | None = None
        self._instance = ""
        self._why_not = "it is for an active node"

    def start(self, wanted: str) -> None:
        """Begin to send heartbeats.

        Args:
            wanted: the parameter bond.

        Raises:
            UserError: it is "required", and the ROS 2 package bond is not installed.
        """
        if wanted == "none":
            self._why_not = "the parameter bond is none"
            return
        try:
            from bond.msg import Status
        except ImportError:
            self._why_not = "the ROS 2 package bond is not installed"
            if wanted == "required":
                sentence = f"{self._why_not}, but the parameter bond is required: apt install ros-$ROS_DISTRO-bond"
                raise UserError(sentence) from None
            return
        if self._publisher is None:
            self._publisher = self._node.create_publisher(Status, TOPIC, 1)
        self._instance = str(uuid.uuid4())
        beat = self._faults.guard("A heartbeat failed", self._beat, None)
        self._timer = self._node.create_timer(PERIOD, beat, clock=STEADY)

    def stop(self) -> None:
        """Break the bond: tell the manager that the node stops, and send nothing more."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
            self._why_not = "it is for an active node"
            self._beat(active=False)

    def state(self) -> str:
        """Whether there are heartbeats, and for whom, in words."""
        if self._timer is None or self._publisher is None:
            return f"none: {self._why_not}"
        return f"heartbeats on {self._publisher.topic_name}, {self._publisher.get_subscription_count()} listen"

    def _beat(self, active: bool = True) -> None:
        assert self._publisher is not None, "started before"
        message: Any = self._publisher.msg_type(id=self._node.get_name(), instance_id=self._instance, active=active)
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.heartbeat_period, message.heartbeat_timeout = PERIOD, TIMEOUT
        self._publisher.publish(message)
