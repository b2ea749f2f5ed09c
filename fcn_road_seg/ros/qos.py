"""QoS of the node's topics: what parameters may override, and clashes in words."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, qos_policy_name_from_kind

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

__all__ = ["OVERRIDABLE", "PublisherEventCallbacks", "SubscriptionEventCallbacks", "clash_reporter"]

OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)


def clash_reporter(node: Node, topic: str, qos: Callable[[], QoSProfile], side: str) -> Callable[[Any], None]:
    """A callback for incompatible-QoS events: logs which policies differ, and the parameter that mends it.

    Args:
        topic: of the endpoint, with its namespace.
        qos: gives the endpoint's own profile.
        side: "publisher" or "subscription", what the endpoint is.
    """

    def report(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        if side == "publisher":
            others, other, effect = node.get_subscriptions_info_by_topic(topic), "subscriber", "it gets nothing"
        else:
            others, other, effect = node.get_publishers_info_by_topic(topic), "publisher", "nothing is heard of it"
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
    """A policy's value as parameters spell it, such as "best_effort"; empty for what is not a word."""
    return getattr(getattr(profile, policy, None), "short_key", "")


def _name(info: Any, other: str) -> str:
    if info.node_name.startswith("_"):  # not known yet: the endpoint came before the word whose it is
        return f"a {other}"
    return f"the {other} {info.node_namespace.rstrip('/')}/{info.node_name}"
