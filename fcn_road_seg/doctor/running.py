"""Checks of a running node and its camera, in the order in which frames travel. `Graph` knows ROS, this does not."""

from collections.abc import Generator, Iterator
from itertools import product
from typing import TYPE_CHECKING

from fcn_road_seg.doctor.finding import Finding, error, ok, warning
from fcn_road_seg.doctor.traffic import Stream, judge_diagnostics, judge_frames, judge_masks

if TYPE_CHECKING:
    from fcn_road_seg.doctor.graph import Graph

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
TRANSPORTS = {RAW: "raw", COMPRESSED: "compressed"}
DISCOVERY_SECONDS = 3.0
CLASHES = (
    ("reliability", "BEST_EFFORT", "RELIABLE", "follow"),
    ("durability", "VOLATILE", "TRANSIENT_LOCAL", "volatile"),
)
"""QoS policy, what a camera offers, what a node wants in vain, and the node's parameter that mends it."""


def examine(graph: "Graph", name: str = "road_seg", image: str = "", seconds: float = 5.0) -> Iterator[Finding]:
    """Everything below, in order.

    Args:
        name: the node's, or with its namespace: /front/road_seg.
        image: the camera's topic, for a node that does not run; empty: what the node subscribes to.
        seconds: of listening.
    """
    graph.discover(lambda: matching(graph.nodes(), name) and (not image or graph.publishers(image)), DISCOVERY_SECONDS)
    node = yield from find_node(graph, name)
    state = (yield from check_state(graph, node)) if node else None
    active = state == "active"
    if not active and not image:  # it subscribes to nothing, so that its camera's topic is not known
        if node:
            yield from judge_diagnostics(node, graph.listen(seconds, {})[1], expected=False)
        return
    topic, kind = image_topic(graph, node, image)
    if image and topic != absolute(image):
        advice = f"start the node with --ros-args -r image:={image} (launch: image:={image})"
        yield error("image", f"{node} listens to {topic}, not to {image}.", advice)
    there = yield from check_camera(graph, node, topic, kind)
    if active and there:
        yield from check_qos(graph, node, topic, kind)
    if not node and not there:
        return
    mask = mask_topic(graph, node) if active else ""
    topics = ({topic: kind} if there else {}) | ({mask: RAW} if mask else {})
    streams, statuses = graph.listen(seconds, topics)
    frames = streams.get(topic, Stream())
    if there:
        yield from judge_frames(topic, frames, seconds)
    if mask:
        yield from judge_masks(mask, streams[mask], frames)
    if node:
        yield from judge_diagnostics(node, statuses, expected=active)


def find_node(graph: "Graph", name: str) -> Generator[Finding, None, str | None]:
    """The fully qualified name of the node to examine."""
    nodes = graph.nodes()
    found = matching(nodes, name)
    if not found:
        there = f"there are {', '.join(nodes)}" if nodes else "no node at all is seen"
        advice = (
            "start it: ros2 launch fcn_road_seg road_seg.launch.py image:=/your/camera (--node finds another name); "
            "if it runs, its terminal and this one must agree in ROS_DOMAIN_ID, ROS_AUTOMATIC_DISCOVERY_RANGE and "
            "RMW_IMPLEMENTATION"
        )
        yield error("node", f"There is no node {name}: {there}.", advice)
        return None
    if len(set(found)) < len(found):
        advice = "stop all but one, or give them namespaces: their masks go to one topic"
        yield warning("node", f"{len(found)} nodes are called {', '.join(sorted(set(found)))}.", advice)
    elif len(found) > 1:
        yield ok("node", f"{', '.join(found)} are there: {found[0]} is examined, --node chooses another.")
    else:
        yield ok("node", f"{found[0]} is there.")
    return found[0]


def matching(nodes: list[str], name: str) -> list[str]:
    """The nodes of that name; of any namespace, unless the name has one."""
    return [node for node in nodes if node == name or node.endswith(f"/{name}")]


def check_state(graph: "Graph", node: str) -> Generator[Finding, None, str | None]:
    """The node's lifecycle state."""
    state = graph.state(node)
    command = f"ros2 lifecycle set {node}"
    if state == "active":
        yield ok("state", f"{node} is active.")
    elif state is None:
        advice = "wait, if it is loading its weights now, and run this again; else start it anew"
        yield error("state", f"{node} does not answer when asked for its state.", advice)
    elif state == "inactive":
        yield error("state", f"{node} is inactive: it hears no camera.", f"activate it: {command} activate")
    elif state == "unconfigured":
        advice = f"read in its log why, mend that, then: {command} configure && {command} activate"
        yield error("state", f"{node} is unconfigured: it has loaded no weights and hears no camera.", advice)
    else:
        yield error("state", f"{node} is {state}.", "run this again in a while; if that stays, start the node anew")
    return state


def image_topic(graph: "Graph", node: str | None, image: str) -> tuple[str, str]:
    """The camera's topic and type: what the node subscribes to, else `image`, else the default name."""
    for topic, kinds in graph.subscribed(node).items() if node else ():
        for kind in TRANSPORTS:
            if kind in kinds:
                return topic, kind
    topic = absolute(image) if image else f"{node.rpartition('/')[0]}/image"
    published = {publisher.type for publisher in graph.publishers(topic)}
    return topic, COMPRESSED if COMPRESSED in published and RAW not in published else RAW


def absolute(topic: str) -> str:
    return topic if topic.startswith("/") else f"/{topic}"


def check_camera(graph: "Graph", node: str | None, topic: str, kind: str) -> Generator[Finding, None, bool]:
    """Whether somebody publishes the topic; what else there is if not."""
    cameras = [publisher.node for publisher in graph.publishers(topic) if publisher.type == kind]
    if cameras:
        yield ok("camera", f"{', '.join(sorted(set(cameras)))} publishes {topic} ({kind}).")
        return True
    text = f"Nobody publishes {topic} as {kind}"
    other = RAW if kind == COMPRESSED else COMPRESSED
    own = graph.published(node) if node else {}
    near = topic.removesuffix("/compressed") if other == RAW else f"{topic}/compressed"
    for candidate in (topic, near):
        if any(publisher.type == other for publisher in graph.publishers(candidate)):
            advice = f"start the node with image_transport:={TRANSPORTS[other]} and image:={candidate}"
            yield error("camera", f"{text}, but {candidate} is there as {other}.", advice)
            return False
    same = [candidate for candidate in graph.topics(kind) if candidate not in own]
    others = [candidate for candidate in graph.topics(other) if candidate not in own]
    if same:
        advice = f"start the node with --ros-args -r image:={same[0]} (launch: image:={same[0]})"
        yield error("camera", f"{text}; topics of that type are {', '.join(same)}.", advice)
    elif others:
        advice = f"start the node with image_transport:={TRANSPORTS[other]} and image:={others[0]}"
        yield error("camera", f"{text}, nor any other topic so; as {other} there are {', '.join(others)}.", advice)
    else:
        advice = (
            "start the camera; if it runs, its ROS_DOMAIN_ID and ROS_AUTOMATIC_DISCOVERY_RANGE must be this terminal's"
        )
        yield error("camera", f"{text}, and no other camera is seen.", advice)
    return False


def check_qos(graph: "Graph", node: str, topic: str, kind: str) -> Iterator[Finding]:
    """Whether DDS lets the cameras' frames through to the node."""
    cameras = [publisher for publisher in graph.publishers(topic) if publisher.type == kind]
    wanted = [subscription for subscription in graph.subscriptions(topic) if subscription.node == node]
    clash = False
    for camera, subscription in product(cameras, wanted):
        for policy, offer, demand, remedy in CLASHES:
            if (getattr(camera, policy), getattr(subscription, policy)) == (offer, demand):
                clash = True
                text = f"{camera.node} publishes {topic} {offer}, but {node} wants {demand}: no frame comes through."
                yield error("qos", text, f"start the node with qos_overrides.{topic}.subscription.{policy}:={remedy}")
    if not clash:
        yield ok("qos", f"The QoS of {node} fits its camera's.")


def mask_topic(graph: "Graph", node: str) -> str:
    """Where the node publishes its mask: ~/mask, or the one of its images that was remapped to elsewhere."""
    images = sorted(topic for topic, kinds in graph.published(node).items() if RAW in kinds)
    if f"{node}/mask" in images:
        return f"{node}/mask"
    elsewhere = [topic for topic in images if not topic.startswith(f"{node}/")]
    return next((topic for topic in elsewhere if "mask" in topic), elsewhere[0] if elsewhere else "")
