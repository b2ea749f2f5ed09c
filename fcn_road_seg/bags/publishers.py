"""The publishers of a replay: selection of the bag's topics, their types, and their recorded QoS."""

import importlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException, NoTypeSupportImportedException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from rclpy.type_support import check_for_type_support
from rosbags.interfaces import QosTime

from fcn_road_seg.bags.reader import Connection
from fcn_road_seg.errors import UserError

DEFAULT_DEPTH = 10
MAX_DEPTH = 1000
INFINITE_SECONDS = 2**31 - 1
"""A recorded duration of this or more means infinite; 0 means unspecified."""


def choose(
    connections: Sequence[Connection], topics: Collection[str] | None, remap: Mapping[str, str]
) -> list[Connection]:
    """The connections of the topics; None for all topics.

    Raises:
        UserError: the bag lacks a topic in `topics` or `remap`.
    """
    known = dict.fromkeys(connection.topic for connection in connections)
    wanted = set(known if topics is None else topics)
    if unknown := sorted({*wanted, *remap} - {*known, "/clock"}):
        raise UserError(f"the bag has no topic {unknown[0]}; it has {', '.join(known) or 'none'}")
    return [connection for connection in connections if connection.topic in wanted]


def left_out(connections: Sequence[Connection], own_clock: bool) -> dict[str, str]:
    """The topics that cannot be played, with the reasons.

    Args:
        own_clock: whether the replay itself publishes /clock.
    """
    reasons = {}
    for connection in connections:
        try:
            message_type(connection.msgtype)
        except UserError as reason:
            reasons[connection.topic] = str(reason)
        if own_clock and connection.topic == "/clock":
            reasons["/clock"] = "--clock publishes its own"
    return reasons


def create_publishers(
    node: Node, connections: Sequence[Connection], remap: Mapping[str, str]
) -> dict[Connection, Publisher]:
    """Create a publisher for each connection; connections of the same topic and type share one."""
    groups: dict[tuple[str, str], list[Connection]] = {}
    for connection in connections:
        groups.setdefault((connection.topic, connection.msgtype), []).append(connection)
    publishers: dict[Connection, Publisher] = {}
    for (topic, msgtype), group in groups.items():
        publisher = create_publisher(node, message_type(msgtype), topic, recorded_qos(group), remap)
        publishers |= dict.fromkeys(group, publisher)
    return publishers


def create_publisher(node: Node, kind: type, topic: str, qos: QoSProfile, remap: Mapping[str, str]) -> Publisher:
    """Create a publisher for the topic, under its new name if it is remapped.

    Raises:
        UserError: the name is invalid, or another type is already published under it.
    """
    name = remap.get(topic, topic)
    taken = {publisher.topic_name: publisher.msg_type for publisher in node.publishers}
    if taken.get(name, kind) is not kind:
        types = f"{taken[name].__name__} and {kind.__name__}"
        raise UserError(f"{name} would have two types, {types}: change --topics or --remap")
    try:
        return node.create_publisher(kind, name, qos)
    except InvalidTopicNameException:
        raise UserError(f"{name} is not a valid topic name") from None


def message_type(name: str) -> type:
    """The Python class of a message type such as "sensor_msgs/msg/Image".

    Raises:
        UserError: it is not installed.
    """
    package, _, rest = name.partition("/")
    kind, _, message = rest.partition("/")
    try:
        found = getattr(importlib.import_module(f"{package}.{kind}"), message)
        check_for_type_support(found)
    except (ImportError, AttributeError, ValueError, NoTypeSupportImportedException):
        raise UserError(f"its type {name} is not installed; it is part of the package {package}") from None
    return found


def is_latched(connection: Connection) -> bool:
    """Whether late subscribers receive earlier messages: /tf_static, and topics recorded as transient local."""
    recorded = any(offer.durability.name == "TRANSIENT_LOCAL" for offer in connection.offered_qos)
    return recorded or connection.latching or connection.topic.endswith("/tf_static")


def recorded_qos(connections: Sequence[Connection]) -> QoSProfile:
    """The QoS for the replay of a topic.

    If several publishers offered different QoS, this takes the stronger offer, which matches every subscription that
    matched one of them. History is KEEP_LAST with the recorded depth, or 10 if none was recorded, since a full
    KEEP_ALL queue would block the replay. Latched topics keep all messages of the bag, at most 1000. There is no
    lifespan: nothing expires.

    Args:
        connections: of one topic.
    """
    offers = [offer for connection in connections for offer in connection.offered_qos]
    depth = max((offer.depth for offer in offers if 0 < offer.depth <= MAX_DEPTH), default=DEFAULT_DEPTH)
    latched = any(is_latched(connection) for connection in connections)
    if latched:
        depth = min(max(depth, sum(connection.message_count for connection in connections)), MAX_DEPTH)
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


def _shortest(times: Iterable[QosTime]) -> Duration:
    """The shortest duration that is neither infinite nor unspecified; 0, which is unspecified, if there is none."""
    finite = [Duration(seconds=t.sec, nanoseconds=t.nsec) for t in times if any(t) and t.sec < INFINITE_SECONDS]
    return min(finite, key=lambda duration: duration.nanoseconds, default=Duration())
