"""A subscription to a camera that takes the reliability the camera offers."""

import os
import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from fcn_road_seg.ros.environment import foreign_shared_memory, foreign_shared_memory_sentence
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.frame_handler import TRANSPORTS
from fcn_road_seg.ros.parameter import Parameter, declare
from fcn_road_seg.ros.qos import (
    OVERRIDABLE,
    SubscriptionEventCallbacks,
    clash_reporter,
    offered_reliability,
    other_types,
    type_name,
    with_message_info,
)
from fcn_road_seg.ros.scope import scoped
from fcn_road_seg.ros.steady_clock import STEADY

TOPIC = "image"
CHECK_PERIOD = 0.5
"""Seconds between checks of the camera's QoS; a camera that changed it may go unreceived that long."""
SILENCE = 3.0
"""Seconds without an image, although the topic has a publisher, after which the node looks for a reason."""
TRANSPORT_OF = {type_name(kind): transport for transport, (kind, _) in TRANSPORTS.items()}


class CameraSubscription:
    """A subscription to a camera's ``image``, KEEP_LAST 1, with the reliability of `offered_reliability`.

    It subscribes again when the publishers change, from a slow timer that never runs between a frame and its mask, and
    logs why nothing arrives, if it can find out.

    The parameter ``qos_overrides.<topic>.subscription.reliability`` set to ``reliable`` or ``best_effort`` fixes the
    reliability instead.

    Args:
        callback: gets each message with its rclpy MessageInfo.

    Attributes:
        topic: the full name of the images' topic.
        problem: why nothing arrives, in a sentence; empty if something does, or the reason is unknown.
    """

    def __init__(self, node: Node, faults: FaultLog, callback: Callable[[Any, Any], None], camera: str = ""):
        self._node = node
        self._faults = faults
        self._callback = callback
        self._name = scoped(camera, TOPIC)
        self._transport = f"{camera}.image_transport".lstrip(".")
        self.topic = node.resolve_topic_name(self._name)
        self._subscription: Subscription | None = None
        self._reliability: ReliabilityPolicy | None = None
        self._timer: Timer | None = None
        self.problem = ""
        self._alive = 0.0  # when the last image arrived, or when there was no publisher
        self._override = str(
            declare(
                node,
                Parameter(
                    f"qos_overrides.{self.topic}.subscription.reliability",
                    "follow",
                    "Reliability of the image subscription; follow: that of the publishers.",
                    changes="at start",
                    choices=("follow", "reliable", "best_effort"),
                ),
            )
        )

    def start(self, message_type: type) -> None:
        """Subscribe to messages of a type."""
        self._message_type = message_type
        self.problem, self._alive = "", time.monotonic()
        self._subscribe(self._required())
        follow = self._faults.guard("The check of the camera's QoS failed", self._follow, None)
        self._timer = self._node.create_timer(CHECK_PERIOD, follow, clock=STEADY)

    def stop(self) -> None:
        """Unsubscribe."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        self._unsubscribe()

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _follow(self) -> None:
        required = self._required()
        if required != self._reliability:
            self._unsubscribe()
            self._subscribe(required)
        problem = self._find_problem()
        if problem and problem != self.problem:
            self._node.get_logger().warning(f"No image arrives: {problem}")
        self.problem = problem

    def _find_problem(self) -> str:
        if others := other_types(self._node, self.topic, self._message_type):
            transport = TRANSPORT_OF.get(others[0])
            remedy = (
                f"set {self._transport} to {transport}" if transport else f"remap {self._name} to the topic of a camera"
            )
            return f"{self.topic} is published as {others[0]}, not as {type_name(self._message_type)}: {remedy}"
        if not self._node.count_publishers(self.topic):
            self._alive = time.monotonic()
        if time.monotonic() - self._alive < SILENCE:
            return ""
        owners = foreign_shared_memory(os.environ, os.getuid())
        return ": ".join(foreign_shared_memory_sentence(owners)) if owners else ""

    def _on_message(self, message: Any, info: Any) -> None:
        self._alive = time.monotonic()
        self._callback(message, info)

    def _required(self) -> ReliabilityPolicy:
        if self._override != "follow":
            return ReliabilityPolicy[self._override.upper()]
        return offered_reliability(self._node, self.topic)

    def _subscribe(self, reliability: ReliabilityPolicy) -> None:
        policies = [kind for kind in OVERRIDABLE if kind != QoSPolicyKind.RELIABILITY]
        report = clash_reporter(self._node, self.topic, lambda: subscription.qos_profile, "subscription")

        def on_clash(event: Any) -> None:
            if event.last_policy_kind == QoSPolicyKind.RELIABILITY and self._override == "follow":
                self._follow()
            else:
                report(event)

        subscription = self._node.create_subscription(
            self._message_type,
            self._name,
            with_message_info(self._on_message),
            QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability),
            qos_overriding_options=QoSOverridingOptions(policy_kinds=policies),
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=self._faults.guard("The report of a QoS clash failed", on_clash, None),
                use_default_callbacks=False,
            ),
        )
        self._subscription, self._reliability = subscription, reliability
        self._node.get_logger().info(f"Listening to {self.topic} ({reliability.name.lower()})")
