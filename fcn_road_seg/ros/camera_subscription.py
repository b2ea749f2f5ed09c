"""A subscription to a camera that takes the reliability the camera offers."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.parameter import Parameter, declare
from fcn_road_seg.ros.qos import (
    OVERRIDABLE,
    SubscriptionEventCallbacks,
    clash_reporter,
    offered_reliability,
    with_message_info,
)
from fcn_road_seg.ros.steady_clock import STEADY

TOPIC = "image"
CHECK_PERIOD = 0.5
"""Seconds between checks of the camera's QoS; a camera that changed it may go unreceived that long."""


class CameraSubscription:
    """The node's subscription to ``image``, KEEP_LAST 1, with the reliability of `offered_reliability`.

    It subscribes again when the publishers change, from a slow timer that never runs between a frame and its mask.

    The parameter ``qos_overrides.<topic>.subscription.reliability`` set to ``reliable`` or ``best_effort`` fixes the
    reliability instead.

    Args:
        callback: gets each message with its rclpy MessageInfo.
    """

    def __init__(self, node: Node, faults: FaultLog, callback: Callable[[Any, Any], None]):
        self._node = node
        self._faults = faults
        self._callback = callback
        self._topic = node.resolve_topic_name(TOPIC)
        self._subscription: Subscription | None = None
        self._reliability: ReliabilityPolicy | None = None
        self._timer: Timer | None = None
        self._override = str(
            declare(
                node,
                Parameter(
                    f"qos_overrides.{self._topic}.subscription.reliability",
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

    def _required(self) -> ReliabilityPolicy:
        if self._override != "follow":
            return ReliabilityPolicy[self._override.upper()]
        return offered_reliability(self._node, self._topic)

    def _subscribe(self, reliability: ReliabilityPolicy) -> None:
        policies = [kind for kind in OVERRIDABLE if kind != QoSPolicyKind.RELIABILITY]
        report = clash_reporter(self._node, self._topic, lambda: subscription.qos_profile, "subscription")

        def on_clash(event: Any) -> None:
            if event.last_policy_kind == QoSPolicyKind.RELIABILITY and self._override == "follow":
                self._follow()
            else:
                report(event)

        subscription = self._node.create_subscription(
            self._message_type,
            TOPIC,
            with_message_info(self._callback),
            QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability),
            qos_overriding_options=QoSOverridingOptions(policy_kinds=policies),
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=self._faults.guard("The report of a QoS clash failed", on_clash, None)
            ),
        )
        self._subscription, self._reliability = subscription, reliability
        self._node.get_logger().info(f"Listening to {self._topic} ({reliability.name.lower()})")
