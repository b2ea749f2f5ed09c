"""A subscription to a camera that takes the reliability the camera offers."""

import os
import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
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
    take,
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
REST_PERIOD = 0.2
"""Seconds between looks at the newest frame while the node rests; a new listener waits that long at most."""
TRANSPORT_OF = {type_name(kind): transport for transport, (kind, _) in TRANSPORTS.items()}


class ImageGroup(MutuallyExclusiveCallbackGroup):
    """The callback group of an image subscription.

    Attributes:
        resting: the executor does not wake for a message.
    """

    resting = False

    def can_execute(self, entity: Any) -> bool:
        """Whether the executor may wait for a message, or take one."""
        return not self.resting and super().can_execute(entity)


class CameraSubscription:
    """A subscription to a camera's ``image``, KEEP_LAST 1, with the reliability of `offered_reliability`.

    It subscribes again when the publishers change, from a slow timer that never runs between a frame and its mask, and
    logs why nothing arrives, if it can find out.

    While the node rests, it takes the newest message every `REST_PERIOD`, because to wake the executor for each costs
    more than all else that a resting node does.

    The parameter ``qos_overrides.<topic>.subscription.reliability`` set to ``reliable`` or ``best_effort`` fixes the
    reliability instead.

    Args:
        callback: gets each message with its rclpy MessageInfo.
        resting: whether the node rests; asked after each message.

    Attributes:
        topic: the full name of the images' topic.
        problem: why nothing arrives, in a sentence; empty if something does, or the reason is unknown.
    """

    def __init__(
        self,
        node: Node,
        faults: FaultLog,
        callback: Callable[[Any, Any], None],
        resting: Callable[[], bool],
        camera: str = "",
    ):
        self._node = node
        self._faults = faults
        self._callback = callback
        self._resting = resting
        self._name = scoped(camera, TOPIC)
        self._transport = f"{camera}.image_transport".lstrip(".")
        self.topic = node.resolve_topic_name(self._name)
        self._subscription: Subscription | None = None
        self._reliability: ReliabilityPolicy | None = None
        self._group = ImageGroup()
        self._timers: list[Timer] = []
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
        self._timers = [
            self._node.create_timer(period, self._faults.guard(f"{task} failed", callback, None), clock=STEADY)
            for task, callback, period in (
                ("The check of the camera's QoS", self._follow, CHECK_PERIOD),
                ("A look at the newest frame", self._look, REST_PERIOD),
            )
        ]
        self._rest(False)

    def stop(self) -> None:
        """Unsubscribe."""
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._timers = []
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
        if self._timers and self._resting() != self._group.resting:
            self._rest(not self._group.resting)

    def _rest(self, resting: bool) -> None:
        self._group.resting = resting
        _, look = self._timers
        (look.reset if resting else look.cancel)()

    def _look(self) -> None:
        taken = None if self._subscription is None else take(self._subscription)
        if taken is None:  # a camera this slow costs little, and the next frame is not to wait
            self._rest(False)
        else:
            self._on_message(*taken)

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
            callback_group=self._group,
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=self._faults.guard("The report of a QoS clash failed", on_clash, None),
                use_default_callbacks=False,
            ),
        )
        self._subscription, self._reliability = subscription, reliability
        self._node.get_logger().info(f"Listening to {self.topic} ({reliability.name.lower()})")
