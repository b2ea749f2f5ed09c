"""What a replay publishes: which topics of the bag, their types by name, their QoS as recorded."""

import importlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import QosTime

from fcn_road_seg.bags.reader import Connection
from fcn_road_seg.errors import UserError

DEFAULT_DEPTH = 10
DEEPEST = 1000
FOREVER_SECONDS = 2**31 - 1
"""From here on a recorded duration means infinite; 0 means unspecified."""


def choose(
    connections: Sequence[Connection], topics: Collection[str] | None, remap: Mapping[str, str]
) -> list[Connection]:
    """The connections of the topics; None means all.

    Raises:
        UserError: the bag has no topic that is asked for or renamed.
    """
    known = dict.fromkeys(connection.topic for connection in connections)
    wanted = known if topics is None else topics
    if unknown := sorted({*wanted, *remap} - {*known, "/clock"}):
        raise UserError(f"the bag has no topic {unknown[0]}; it has {', '.join(known) or 'none'}")
    return [connection for connection in connections if connection.topic in wanted]


def left_out(connections: Sequence[Connection], own_clock: bool) -> dict[str, str]:
    """Why a topic cannot be played, by topic.

    Args:
        own_clock: whether /clock is published by the replay itself.
    """
    reasons = {}
    for connection in connections:
        try:
            message_type(connection.msgtype)
        except UserError as reason:
            reasons[connection.topic] = str(reason)
        if own_clock and connection.topic == "/clock":
            reasons["/clock"] = "--clock publishes another"
    return reasons


def create_publishers(
    node: Node, connections: Sequence[Connection], remap: Mapping[str, str]
) -> dict[Connection, Publisher]:
    """A publisher for every connection; one for those that share topic and type."""
    groups: dict[tuple[str, str], list[Connection]] = {}
    for connection in connections:
        groups.setdefault((connection.topic, connection.msgtype), []).append(connection)
    publishers: dict[Connection, Publisher] = {}
    for (topic, msgtype), group in groups.items():
        publisher = create_publisher(node, message_type(msgtype), topic, recorded_qos(group), remap)
        publishers |= dict.fromkeys(group, publisher)
    return publishers


def create_publisher(node: Node, kind: type, topic: str, qos: QoSProfile, remap: Mapping[str, str]) -> Publisher:
    """A publisher of the topic under its new name, if it has one.

    Raises:
        UserError: that is no name for a topic, or the topic has another type already.
    """
    name = remap.get(topic, topic)
    taken = {publisher.topic_name: publisher.msg_type for publisher in node.publishers}
    if taken.get(name, kind) is not kind:
        types = f"{taken[name].__name__} and {kind.__name__}"
        raise UserError(f"{name} would have two types, {types}: choose other --topics or --remap")
    try:
        return node.create_publisher(kind, name, qos)
    except InvalidTopicNameException:
        raise UserError(f"{name} cannot be the name of a topic") from None


def message_type(name: str) -> type:
    """The Python class of a type such as "sensor_msgs/msg/Image".

    Raises:
        UserError: it is not installed.
    """
    package, _, rest = name.partition("/")
    kind, _, message = rest.partition("/")
    try:
        found = getattr(importlib.import_module(f"{package}.{kind}"), message)
        found.__class__.__import_type_support__()
    except (ImportError, AttributeError, ValueError):
        raise UserError(f"its type {name} is not installed; the package {package} has it") from None
    return found


def is_latched(connection: Connection) -> bool:
    """Whether late joiners are to get what was sent before: /tf_static, and what was recorded so."""
    recorded = any(offer.durability.name == "TRANSIENT_LOCAL" for offer in connection.offered_qos)
    return recorded or connection.latching or connection.topic.endswith("/tf_static")


def recorded_qos(connections: Sequence[Connection]) -> QoSProfile:
    """The QoS for all that was recorded of one topic.

    Where several publishers offered different QoS, the stronger offer: it matches whatever matched one of them.
    History is KEEP_LAST with the recorded depth, 10 where none is recorded, since a full KEEP_ALL queue would hold up
    the replay. Latched topics keep all messages of the bag, 1000 at most. Lifespan is not offered: nothing expires.

    Args:
        connections: of one topic.
    """
    offers = [offer for connection in connections for offer in connection.offered_qos]
    depth = max((offer.depth for offer in offers if 0 < offer.depth <= DEEPEST), default=DEFAULT_DEPTH)
    latched = any(is_latched(connection) for connection in connections)
    if latched:
        depth = min(max(depth, sum(connection.message_count for connection in connections)), DEEPEST)
    best_effort = {offer.reliability.name for offer in offers} == {"BEST_EFFORT"}
    by_topic = any(offer.liveliness.name == "MANUAL_BY_TOPIC" for offer in offers)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        deadline=_shortest(offer.deadline for offer in offers),
        liveliness=LivelinessPolicy.MANUAL_BY_TOPIC if by_topic else LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=_shortest(offer.liveliness_lease_duration for offer in offers),
    )


def _shortest(times: Iterable[QosTime]) -> Duration | None:
    """The shortest that is neither infinite nor unspecified."""
    finite = [Duration(seconds=t.sec, nanoseconds=t.nsec) for t in times if any(t) and t.sec < FOREVER_SECONDS]
    return min(finite, key=lambda duration: duration.nanoseconds, default=None)
