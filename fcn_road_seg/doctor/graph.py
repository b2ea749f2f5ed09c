"""The running ROS 2 graph: nodes, topics, their QoS, a node's lifecycle state, and received messages."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import NodeNameNonExistentError
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image

from fcn_road_seg.doctor.finding import UNKNOWN_NODE
from fcn_road_seg.doctor.traffic import Stream
from fcn_road_seg.ros.diagnostics import camera_topics
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.qos import offered_reliability, topics_of_type
from fcn_road_seg.ros.start import refusals, start_ros

T = TypeVar("T")

NAME = "road_seg_doctor"
MESSAGES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
SETTLE_SECONDS = 1.0
"""Time without changes after which the graph counts as completely discovered."""
MAX_SETTLE_SECONDS = 10.0
LOOK_SECONDS = 5.0
"""Time after which something that DDS has not told of counts as not there."""
RESPONSE_SECONDS = 3.0
UNKNOWN_NAME = "_NODE_NAME_UNKNOWN_"
"""The name of an endpoint's node until DDS tells it."""


class Endpoint(NamedTuple):
    """A publisher or subscription: its node's full name or `UNKNOWN_NODE`, its type, the names of its QoS policies."""

    node: str
    type: str
    reliability: str
    durability: str


class Graph:
    """A node that inspects the graph; a context manager.

    It has its own context, so other ROS nodes can run in the same process.

    Raises:
        UserError: ROS 2 does not start.
    """

    def __enter__(self) -> "Graph":
        self._context = Context()
        start_ros(["--ros-args", "--disable-external-lib-logs"], self._context)  # a health check runs 2880 times a day
        with refusals():
            self._node = rclpy.create_node(
                NAME, context=self._context, enable_rosout=False, start_parameter_services=False
            )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._faults = FaultLog(self._node)
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def discover(self, found: Callable[[], object], seconds: float) -> None:
        """Spin until `found`, at most `seconds`, and until discovery settles; follow /clock if it is published."""
        self._spin(seconds, found)
        self._settle()
        if self._node.count_publishers("/clock"):
            self._node.set_parameters([Parameter("use_sim_time", value=True)])

    def look(self, find: Callable[[], T]) -> T:
        """What `find` finds; as long as that is empty it looks again, at most `LOOK_SECONDS`.

        On a busy machine DDS tells of endpoints, and of the nodes that own them, seconds late.
        """
        end = time.monotonic() + LOOK_SECONDS
        while not (found := find()) and time.monotonic() < end:
            self._spin(0.1)
        return found

    def nodes(self) -> list[str]:
        """Fully qualified names without hidden nodes and this one; a name used by two nodes appears twice."""
        pairs = self._node.get_node_names_and_namespaces()
        return sorted(full_name(n, namespace) for n, namespace in pairs if not n.startswith("_") and n != NAME)

    def topics(self, kind: str) -> list[str]:
        """The topics of a type that have a publisher."""
        return topics_of_type(self._node, kind)

    def subscribed(self, node: str) -> dict[str, list[str]]:
        """The topics that a node subscribes to, with their types."""
        return self._by_node(self._node.get_subscriber_names_and_types_by_node, node)

    def published(self, node: str) -> dict[str, list[str]]:
        """The topics that a node publishes, with their types."""
        return self._by_node(self._node.get_publisher_names_and_types_by_node, node)

    def publishers(self, topic: str) -> list[Endpoint]:
        return [endpoint(info) for info in self._node.get_publishers_info_by_topic(topic)]

    def subscriptions(self, topic: str) -> list[Endpoint]:
        return [endpoint(info) for info in self._node.get_subscriptions_info_by_topic(topic)]

    def state(self, node: str) -> str | None:
        """The lifecycle state, such as "active"; None if the node does not respond."""
        client: Client = self._node.create_client(GetState, f"{node}/get_state")
        try:
            if not self._spin(RESPONSE_SECONDS, client.service_is_ready):
                return None
            future = client.call_async(GetState.Request())
            response = future.result() if self._spin(RESPONSE_SECONDS, future.done) else None
            return None if response is None else response.current_state.label
        finally:
            self._node.destroy_client(client)

    def cameras(self, node: str) -> dict[str, tuple[str, str]]:
        """The topics of an active node's cameras, see `camera_topics`; empty if it does not say it in time."""
        found: dict[str, tuple[str, str]] = {}
        subscription = self._subscribe(
            DiagnosticArray, "/diagnostics", lambda message: found.update(camera_topics(message, node))
        )
        self._spin(LOOK_SECONDS, lambda: found)
        self._node.destroy_subscription(subscription)
        return found

    def listen(self, seconds: float, topics: dict[str, str]) -> tuple[dict[str, Stream], list[tuple[str, int, str]]]:
        """Receive /diagnostics and image topics, given with their types, for `seconds`.

        The time begins when something has arrived on every topic, after `seconds` at the latest: until then DDS may
        still be connecting them.

        Returns:
            The images of each topic; name, level and message of each diagnostic status.
        """
        streams = {topic: Stream() for topic in topics}
        statuses: list[tuple[str, int, str]] = []

        def on_diagnostics(message: DiagnosticArray) -> None:
            statuses.extend((status.name, status.level[0], status.message) for status in message.status)

        subscriptions = [self._subscribe(DiagnosticArray, "/diagnostics", on_diagnostics)]
        for topic, kind in topics.items():
            subscriptions.append(self._subscribe(MESSAGES[kind], topic, self._adder(streams, topic)))
        self._spin(seconds, lambda: statuses and all(stream.stamps for stream in streams.values()))
        statuses.clear()
        streams.update((topic, Stream()) for topic in topics)
        self._spin(seconds)
        for subscription in subscriptions:
            self._node.destroy_subscription(subscription)
        return streams, statuses

    def _adder(self, streams: dict[str, Stream], topic: str) -> Callable[[Any], None]:
        return lambda message: streams[topic].add(message, self._node.get_clock().now().nanoseconds)

    def _subscribe(self, kind: type, topic: str, callback: Callable[[Any], None]) -> Subscription:
        reliability = offered_reliability(self._node, topic)
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=30, reliability=reliability)
        return self._node.create_subscription(kind, topic, callback, qos)

    def _spin(self, seconds: float, until: Callable[[], object] = lambda: False) -> bool:
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() >= end:
                return False
            with self._faults.survived("A callback failed"):
                self._executor.spin_once(timeout_sec=0.05)
        return True

    def _settle(self) -> None:
        """Spin until the graph has not changed for `SETTLE_SECONDS`, at most `MAX_SETTLE_SECONDS`.

        A node, its endpoints and the names of their owners are discovered one after the other.
        """
        give_up = time.monotonic() + MAX_SETTLE_SECONDS
        known, since = self._snapshot(), time.monotonic()
        while time.monotonic() < min(since + SETTLE_SECONDS, give_up):
            self._spin(0.1)
            if (now := self._snapshot()) != known:
                known, since = now, time.monotonic()

    def _snapshot(self) -> tuple[list[str], dict[str, list[Endpoint]]]:
        topics = (topic for topic, _ in self._node.get_topic_names_and_types())
        return self.nodes(), {topic: sorted(self.publishers(topic) + self.subscriptions(topic)) for topic in topics}

    def _by_node(self, look_up: Callable, node: str) -> dict[str, list[str]]:
        namespace, _, name = node.rpartition("/")
        try:
            return dict(look_up(name, namespace or "/"))
        except NodeNameNonExistentError:  # it has exited meanwhile
            return {}


def full_name(name: str, namespace: str) -> str:
    """A node's fully qualified name."""
    return f"{namespace.rstrip('/')}/{name}"


def endpoint(info: TopicEndpointInfo) -> Endpoint:
    """The part of rclpy's endpoint description that the checks need."""
    qos = info.qos_profile
    unknown = info.node_name == UNKNOWN_NAME
    node = UNKNOWN_NODE if unknown else full_name(info.node_name, info.node_namespace)
    return Endpoint(node, info.topic_type, qos.reliability.name, qos.durability.name)
