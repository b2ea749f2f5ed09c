"""A subscription to a camera that takes the reliability the camera offers."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from fcn_road_seg.ros.parameters import Parameter, declare
from fcn_road_seg.ros.qos import OVERRIDABLE, SubscriptionEventCallbacks, clash_reporter
from fcn_road_seg.ros.steady_clock import STEADY

try:
    from rclpy.subscription import MessageInfo  # noqa: F401
except ImportError:  # ROS 2 Humble
    TELLS_INFO = False
else:
    TELLS_INFO = True
"""Whether rclpy tells a callback, besides the message, who sent it as its how manieth."""

TOPIC = "image"
CHECK_PERIOD = 0.5
"""Seconds between looks at the camera's QoS; in between a changed camera may go unheard."""


class CameraSubscription:
    """The node's subscription to ``image``, KEEP_LAST 1.

    RELIABLE if every publisher of the topic is (or there is none yet), else BEST_EFFORT: a BEST_EFFORT subscription
    would match every camera, but loses most large frames of one that has Fast DDS's default shared memory, and a
    RELIABLE one never hears a BEST_EFFORT camera. It subscribes anew when the publishers change, from a slow timer that
    is never between a frame and its mask.

    The parameter ``qos_overrides.<topic>.subscription.reliability`` set to ``reliable`` or ``best_effort`` ends the
    following.
    """

    def __init__(self, node: Node, callback: Callable[[Any, dict], None]):
        self._node = node
        self._callback = callback
        self._topic = node.resolve_topic_name(TOPIC)
        self._subscription = None
        self._reliability: ReliabilityPolicy | None = None
        self._timer = None
        self._override = declare(
            node,
            Parameter(
                f"qos_overrides.{self._topic}.subscription.reliability",
                "follow",
                "Reliability of the image subscription; follow: the publishers'.",
                changes="at start",
                choices=("follow", "reliable", "best_effort"),
            ),
        )

    def start(self, message_type: type) -> None:
        """Subscribe to messages of a type."""
        self._message_type = message_type
        self._subscribe(self._wanted())
        self._timer = self._node.create_timer(CHECK_PERIOD, self._follow, clock=STEADY)

    def stop(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_timer(self._timer)
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _follow(self) -> None:
        wanted = self._wanted()
        if wanted != self._reliability:
            self._node.destroy_subscription(self._subscription)
            self._subscribe(wanted)

    def _wanted(self) -> ReliabilityPolicy:
        if self._override != "follow":
            return ReliabilityPolicy[self._override.upper()]
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        all_reliable = all(publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE for publisher in publishers)
        return ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT

    def _subscribe(self, reliability: ReliabilityPolicy) -> None:
        policies = [kind for kind in OVERRIDABLE if kind != QoSPolicyKind.RELIABILITY]
        self._subscription = self._node.create_subscription(
            self._message_type,
            TOPIC,
            self._callback if TELLS_INFO else lambda message: self._callback(message, {}),
            QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability),
            qos_overriding_options=QoSOverridingOptions(policy_kinds=policies),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_clash),
        )
        self._reliability = reliability
        self._node.get_logger().info(f"Listening to {self._topic} ({reliability.name.lower()})")

    def _on_clash(self, event: Any) -> None:
        if event.last_policy_kind == QoSPolicyKind.RELIABILITY and self._override == "follow":
            return self._follow()
        clash_reporter(self._node, self._topic, lambda: self._subscription.qos_profile, "subscription")(event)
