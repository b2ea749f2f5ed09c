"""QoS of topics: publishers whose QoS parameters override, the reliability that publishers offer, QoS clashes."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from fcn_road_seg.ros.parameter import ParameterError

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks  # type: ignore[no-redef] # the same

HAS_MESSAGE_INFO = hasattr(Subscription, "CallbackType")
"""Whether callbacks can get a MessageInfo: not in ROS 2 Humble. Jazzy's rclpy has no such type, but passes a dict."""

__all__ = [
    "OVERRIDABLE",
    "SubscriptionEventCallbacks",
    "clash_reporter",
    "create_overridable_publisher",
    "create_overridable_subscription",
    "offered_reliability",
    "other_types",
    "overrides",
    "seldom",
    "take",
    "take_all",
    "topics_of_type",
    "type_name",
    "with_message_info",
]

T = TypeVar("T")
LOOK_PERIOD = 1.0
"""Seconds between two looks at the graph; see `seldom`."""
OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)


def overrides(topic: str, side: str) -> list[str]:
    """The parameters that override the QoS of an endpoint.

    Args:
        topic: its full name.
        side: "publisher" or "subscription".
    """
    return [f"qos_overrides.{topic}.{side}.{kind.name.lower()}" for kind in OVERRIDABLE]


def create_overridable_publisher(
    node: Node,
    create: Callable[..., Publisher],
    message_type: type,
    topic: str,
    depth: int = 1,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
) -> Publisher:
    """A publisher, RELIABLE and KEEP_LAST unless the parameters qos_overrides.<topic> say otherwise.

    Args:
        create: the node's method that creates publishers.

    Raises:
        ParameterError: one of those parameters has a value that it cannot take.
    """
    reliable = ReliabilityPolicy.RELIABLE
    qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliable, durability=durability)
    name = node.resolve_topic_name(topic)
    report = clash_reporter(node, name, lambda: publisher.qos_profile, "publisher")
    # rclpy's default callback is for other types, which Fast DDS does not report, and costs time in every wait.
    try:
        publisher = create(
            message_type,
            topic,
            qos,
            qos_overriding_options=QoSOverridingOptions(policy_kinds=OVERRIDABLE),
            event_callbacks=PublisherEventCallbacks(incompatible_qos=report, use_default_callbacks=False),
        )
    except (RuntimeError, ParameterException) as error:
        raise ParameterError(f"qos_overrides.{name}.publisher: {error}") from None
    return publisher


def create_overridable_subscription(
    node: Node, message_type: type, topic: str, callback: Callable[[Any], None], depth: int = 1
) -> Subscription:
    """A subscription, BEST_EFFORT and KEEP_LAST unless the parameters qos_overrides.<topic> say otherwise.

    Every publisher matches it.
    """
    name = node.resolve_topic_name(topic)
    report = clash_reporter(node, name, lambda: subscription.qos_profile, "subscription")
    subscription = node.create_subscription(
        message_type,
        topic,
        callback,
        QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT),
        qos_overriding_options=QoSOverridingOptions(policy_kinds=OVERRIDABLE),
        event_callbacks=SubscriptionEventCallbacks(incompatible_qos=report, use_default_callbacks=False),
    )
    return subscription


def take(subscription: Subscription) -> tuple[Any, Any] | None:
    """Take a message, with its MessageInfo, outside the executor; None if none waits.

    rclpy has no public way to do so, hence the methods of the handle.
    """
    with subscription.handle:
        return subscription.handle.take_message(subscription.msg_type, False)


def take_all(subscription: Subscription, callback: Callable[[Any], None]) -> None:
    """Pass all waiting messages to the callback.

    Under a constant flow of frames the executor takes only one message per frame.
    """
    while (taken := take(subscription)) is not None:
        callback(taken[0])


def offered_reliability(node: Node, topic: str) -> ReliabilityPolicy:
    """The reliability with which to subscribe to a topic, given by its full name.

    RELIABLE if every publisher of the topic is, or if there is none yet, else BEST_EFFORT. A RELIABLE subscription
    receives nothing from a BEST_EFFORT publisher; a BEST_EFFORT one matches every publisher but loses most large
    messages of a publisher that runs on Fast DDS's defaults.
    """
    publishers = node.get_publishers_info_by_topic(topic)
    reliable = all(publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE for publisher in publishers)
    return ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT


def type_name(kind: type) -> str:
    """ROS's name of a message class, such as sensor_msgs/msg/Image."""
    return f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"


def other_types(node: Node, topic: str, kind: type) -> list[str]:
    """The types as which a topic is published, if nobody publishes it as `kind`; DDS does not report that."""
    published = {info.topic_type for info in node.get_publishers_info_by_topic(topic)}
    return [] if type_name(kind) in published else sorted(published)


def seldom(look: Callable[[], T]) -> Callable[[], T]:
    """What `look`, which is too slow for every frame because it queries the graph, found `LOOK_PERIOD` ago at most."""
    last: list[tuple[float, T]] = []

    def found() -> T:
        now = time.monotonic()
        if not last or now >= last[0][0] + LOOK_PERIOD:
            last[:] = [(now, look())]
        return last[0][1]

    return found


def topics_of_type(node: Node, kind: str) -> list[str]:
    """The topics that other nodes publish as a type such as "sensor_msgs/msg/Image", sorted."""
    itself = node.get_name(), node.get_namespace()

    def is_published(topic: str) -> bool:
        publishers = node.get_publishers_info_by_topic(topic)
        return any(info.topic_type == kind and (info.node_name, info.node_namespace) != itself for info in publishers)

    return sorted(t for t, kinds in node.get_topic_names_and_types() if kind in kinds and is_published(t))


def with_message_info(callback: Callable[[Any, Any], None]) -> Callable[[Any, Any], None] | Callable[[Any], None]:
    """A subscription's callback of a message and its MessageInfo; in ROS 2 Humble it gets an empty dict instead."""
    return callback if HAS_MESSAGE_INFO else lambda message: callback(message, {})


def clash_reporter(node: Node, topic: str, qos: Callable[[], QoSProfile], side: str) -> Callable[[Any], None]:
    """A callback for incompatible-QoS events: logs which policies differ and which parameter to set.

    Args:
        topic: the endpoint's full topic name.
        qos: returns the endpoint's own profile.
        side: "publisher" or "subscription", what the endpoint is.
    """

    def report(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        if side == "publisher":
            others, other, effect = node.get_subscriptions_info_by_topic(topic), "subscriber", "it receives nothing"
        else:
            others, other, effect = node.get_publishers_info_by_topic(topic), "publisher", "nothing arrives from it"
        ours = _value(qos(), policy)
        differing = [info for info in others if _value(info.qos_profile, policy) not in (ours, "")]
        if event.last_policy_kind not in OVERRIDABLE or not differing:
            node.get_logger().error(
                f"QoS clash on {topic}: a {other} and this node's {side} differ in {policy}, so {effect}. "
                f"Change the {other}"
            )
            return
        theirs = _value(differing[0].qos_profile, policy)
        node.get_logger().error(
            f"QoS clash on {topic}: this node's {side} has {policy} {ours}, but {_name(differing[0], other)} has "
            f"{theirs}, so {effect}. Set the parameter qos_overrides.{topic}.{side}.{policy} to {theirs}, "
            f"or change the {other}"
        )

    return report


def _value(profile: QoSProfile, policy: str) -> str:
    """A policy's value as parameters spell it, such as "best_effort"; empty for a policy that has no such spelling."""
    return getattr(getattr(profile, policy, None), "short_key", "")


def _name(info: Any, other: str) -> str:
    if info.node_name.startswith("_"):  # unknown as yet: DDS announces the endpoint before its node
        return f"a {other}"
    return f"the {other} {info.node_namespace.rstrip('/')}/{info.node_name}"
