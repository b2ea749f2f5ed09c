"""QoS of the node's topics: what parameters may override, and clashes in words."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, qos_policy_name_from_kind

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
        ours = value(qos(), policy)
        theirs = {
            value(info.qos_profile, policy): f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in others
        }
        theirs.pop(ours, None)
        clashing = " and ".join(f"{name} has {what}" for what, name in theirs.items()) or f"a {other} has another"
        wanted = next(iter(theirs), "the other's value")
        node.get_logger().error(
            f"QoS clash on {topic}: this node's {side} has {policy} {ours}, but the {other} {clashing}, so {effect}. "
            f"Set the parameter qos_overrides.{topic}.{side}.{policy} to {wanted}, or change the {other}"
        )

    return report


def value(profile: QoSProfile, policy: str) -> str:
    """A policy's value as parameters spell it, such as "best_effort"."""
    return getattr(getattr(profile, policy, None), "short_key", "unknown")
