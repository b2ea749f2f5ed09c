"""Checks of a running node and its camera, in the order of the data flow; ROS is accessed through `Graph` only."""

import os
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from fcn_road_seg.doctor.finding import UNKNOWN_NODE, Finding, error, ok, warning
from fcn_road_seg.doctor.traffic import check_diagnostics, check_frames, check_masks
from fcn_road_seg.ros.environment import discovery_variable
from fcn_road_seg.ros.remedies import rename, restart, start_command, transitions
from fcn_road_seg.ros.scope import scoped, source_of, topic_for

if TYPE_CHECKING:
    from fcn_road_seg.doctor.graph import Endpoint, Graph

T = TypeVar("T")

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
TRANSPORTS = {RAW: "raw", COMPRESSED: "compressed"}
DISCOVERY_SECONDS = 3.0
AGAIN = "run this again when the machine is less busy; if it stays so, restart the node"
CLASHES = (
    ("reliability", "BEST_EFFORT", "RELIABLE", "follow"),
    ("durability", "VOLATILE", "TRANSIENT_LOCAL", "volatile"),
)
"""QoS policy, the camera's offer, the node's incompatible request, and the parameter value that resolves the clash."""
KNOWN = {"RELIABLE", "BEST_EFFORT", "VOLATILE", "TRANSIENT_LOCAL"}
"""Values of these policies that tell whether they clash."""


class Camera(NamedTuple):
    """A camera of the node.

    Attributes:
        name: empty if it is the only one.
        topic, kind: of its images; empty if DDS has told of no subscription.
        mask: topic of its masks; empty if unknown, or if the node is not active.
    """

    name: str
    topic: str
    kind: str
    mask: str


def examine(graph: "Graph", name: str = "road_seg", image: str = "", seconds: float = 5.0) -> Iterator[Finding]:
    """Run all checks of this module, in order.

    Args:
        name: of the node, optionally with its namespace: /front/road_seg.
        image: the camera's topic, in case the node is not running; empty for the topics that the node subscribes to.
        seconds: how long to receive messages.
    """
    graph.discover(lambda: matching(graph.nodes(), name) and (not image or graph.publishers(image)), DISCOVERY_SECONDS)
    node = yield from find_node(graph, name)
    state = (yield from check_state(graph, node)) if node else None
    active = node if state == "active" else None
    cameras = find_cameras(graph, active) if active else []
    for camera in cameras:
        if not camera.topic:
            which = f"Could not tell which images {source_of(node or '', camera.name)} subscribes to"
            told = "DDS has not told of its subscription"
            yield from of(camera.name, [warning("image", f"{which}: {told}.", AGAIN)])
    subscribed = [camera for camera in cameras if camera.topic]
    if not subscribed and not image:  # an inactive node subscribes to nothing, so its camera's topic is unknown
        if node:
            yield from check_diagnostics(node, graph.listen(seconds, {})[1], expected=bool(active))
        return
    if subscribed and image and absolute(image) not in (camera.topic for camera in subscribed):
        text = f"{node} subscribes to {', '.join(camera.topic for camera in subscribed)}, not to {image}."
        likely = next((each.name for each in subscribed if topic_for(each.name, [absolute(image)])), subscribed[0].name)
        yield error("image", text, rename(scoped(likely, "image"), image))
    mask = cameras[0].mask if cameras else ""
    examined = subscribed or [Camera("", *published_image(graph, absolute(image)), mask)]
    publish: list[Camera] = []
    for camera in examined:
        if (yield from of(camera.name, check_camera(graph, node, camera.topic, camera.kind, camera.name))):
            publish.append(camera)
            if active and subscribed:
                yield from of(camera.name, check_qos(graph, active, camera.topic, camera.kind))
    if not node and not publish:
        return
    for camera in examined if active else []:
        if not camera.mask:
            text = f"Could not tell where {active} publishes its mask: DDS has not told of its publishers."
            yield from of(camera.name, [warning("masks", text, AGAIN)])
    topics = {camera.topic: camera.kind for camera in publish} | {camera.mask: RAW for camera in publish if camera.mask}
    streams, statuses = graph.listen(seconds, topics)
    for camera in publish:
        frames = streams[camera.topic]
        yield from of(camera.name, check_frames(camera.topic, frames, seconds))
        if camera.mask:
            masks = streams[camera.mask]
            yield from of(camera.name, check_masks(node or "", camera.mask, masks, frames, statuses, camera.name))
    if node:
        yield from check_diagnostics(node, statuses, expected=bool(active))


def of(camera: str, findings: Iterable[Finding]) -> Generator[Finding, None, T]:
    """Name one of several cameras in the checks of its findings; returns what a generator of them returns."""
    findings = iter(findings)
    while True:
        try:
            finding = next(findings)
        except StopIteration as end:
            return end.value
        yield finding._replace(check=f"{camera}/{finding.check}" if camera else finding.check)


def find_cameras(graph: "Graph", node: str) -> list[Camera]:
    """The cameras of an active node, which says on /diagnostics which they are; without that, it has one."""
    alone = f"{node}/mask" in graph.look(lambda: graph.published(node))
    told = {} if alone else graph.cameras(node)
    cameras = []
    for name, (image, mask) in (told or {"": ("", "")}).items():
        topic, kind = graph.look(partial(subscribed_image, graph, node, image)) or ("", "")
        cameras.append(Camera(name, topic, kind, mask or graph.look(partial(mask_topic, graph, node))))
    return cameras


def examine_diagnostics(graph: "Graph", name: str, seconds: float) -> Iterator[Finding]:
    """Check only that the node publishes on /diagnostics, and what it reports there.

    Args:
        name: of the node, optionally with its namespace: /front/road_seg.
        seconds: how long to listen, and before that how long to wait for the first message.
    """
    statuses = graph.listen(seconds, {})[1]
    nodes = matching(sorted({status.partition(":")[0] for status, _, _ in statuses}), name)
    if not nodes:
        advice = "start the node or wait until it has started; if it is running, it hangs: restart it"
        yield error("diagnostics", f"No node {name} publishes on /diagnostics.", advice)
    for node in nodes:
        yield from check_diagnostics(node, statuses, expected=True)


def find_node(graph: "Graph", name: str) -> Generator[Finding, None, str | None]:
    """Find the node to examine; returns its fully qualified name."""
    nodes = graph.nodes()
    found = matching(nodes, name)
    if not found:
        others = f"the running nodes are {', '.join(nodes)}" if nodes else "no nodes were discovered"
        advice = (
            f"start it: {start_command({}, {'image': '/your/camera'})} (--node selects another name); "
            "if it is running, its terminal and this one must use the same ROS_DOMAIN_ID, "
            f"{discovery_variable(os.environ)} and RMW_IMPLEMENTATION"
        )
        yield error("node", f"There is no node {name}: {others}.", advice)
        return None
    if len(set(found)) < len(found):
        advice = "stop all but one, or give them namespaces: their masks go to the same topic"
        yield warning("node", f"{len(found)} nodes are named {', '.join(sorted(set(found)))}.", advice)
    elif len(found) > 1:
        yield ok("node", f"{', '.join(found)} are running; this examines {found[0]}, --node selects another.")
    else:
        yield ok("node", f"{found[0]} is running.")
    return found[0]


def matching(nodes: list[str], name: str) -> list[str]:
    """The nodes with that name, in any namespace unless the name includes one."""
    return [node for node in nodes if node == name or node.endswith(f"/{name}")]


def check_state(graph: "Graph", node: str) -> Generator[Finding, None, str | None]:
    """Check that the node is active; returns its lifecycle state."""
    state = graph.state(node)
    if state == "active":
        yield ok("state", f"{node} is active.")
    elif state is None:
        advice = "if it is loading its weights, wait and run this again; otherwise restart it"
        yield error("state", f"{node} does not respond to requests for its lifecycle state.", advice)
    elif state == "inactive":
        text = f"{node} is inactive: it does not subscribe to the camera."
        yield error("state", text, f"activate it: {transitions(node, 'activate')}")
    elif state == "unconfigured":
        advice = f"find the reason in its log and fix it, then: {transitions(node, 'configure', 'activate')}"
        text = f"{node} is unconfigured: it has not loaded weights and does not subscribe to the camera."
        yield error("state", text, advice)
    else:
        yield error("state", f"{node} is {state}.", "run this again later; if the state persists, restart the node")
    return state


def subscribed_image(graph: "Graph", node: str, name: str = "") -> tuple[str, str] | None:
    """The topic, of this name if it is given, and the type of images that a node subscribes to; None if not told of."""
    subscribed = [(topic, kinds) for topic, kinds in graph.subscribed(node).items() if name in ("", topic)]
    return next(((topic, kind) for topic, kinds in subscribed for kind in TRANSPORTS if kind in kinds), None)


def published_image(graph: "Graph", topic: str) -> tuple[str, str]:
    """A camera's topic and the type that is published there."""
    published = {publisher.type for publisher in graph.publishers(topic)}
    return topic, COMPRESSED if COMPRESSED in published and RAW not in published else RAW


def absolute(topic: str) -> str:
    return topic if topic.startswith("/") else f"/{topic}"


def check_camera(
    graph: "Graph", node: str | None, topic: str, kind: str, name: str = ""
) -> Generator[Finding, None, bool]:
    """Check that a camera's topic has a publisher of the type, or suggest another topic; returns whether it has."""
    transport, renamed = f"{name}.image_transport".lstrip("."), scoped(name, "image")

    def names() -> list[str]:
        return [publisher.node for publisher in graph.publishers(topic) if publisher.type == kind]

    cameras = graph.look(lambda: [] if UNKNOWN_NODE in (found := names()) else found) or names()
    if cameras:
        yield ok("camera", f"{', '.join(sorted(set(cameras)))} publishes {topic} ({kind}).")
        return True
    text = f"{topic} has no publisher of type {kind}"
    other = RAW if kind == COMPRESSED else COMPRESSED
    own = graph.look(lambda: graph.published(node)) | graph.subscribed(node) if node else {}
    near = topic.removesuffix("/compressed") if other == RAW else f"{topic}/compressed"
    for candidate in (topic, near):
        if any(publisher.type == other for publisher in graph.publishers(candidate)):
            advice = restart({transport: TRANSPORTS[other]}, {renamed: candidate})
            yield error("camera", f"{text}, but {candidate} is published as {other}.", advice)
            return False
    same = [candidate for candidate in graph.topics(kind) if candidate not in own]
    others = [candidate for candidate in graph.topics(other) if candidate not in own]
    to_the_topic = f"rename {renamed} to the topic of this camera"
    if same:
        likely = topic_for(name, same)
        advice = rename(renamed, likely) if likely else to_the_topic
        yield error("camera", f"{text}; other topics of that type: {', '.join(same)}.", advice)
    elif others:
        likely = topic_for(name, others)
        advice = restart({transport: TRANSPORTS[other]}, {renamed: likely}) if likely else to_the_topic
        yield error("camera", f"{text}, and no other topic has; topics of type {other}: {', '.join(others)}.", advice)
    else:
        advice = (
            "start the camera; if it is running, it must use the same ROS_DOMAIN_ID and "
            f"{discovery_variable(os.environ)} as this terminal"
        )
        yield error("camera", f"{text}, and no other camera was discovered.", advice)
    return False


def check_qos(graph: "Graph", node: str, topic: str, kind: str) -> Iterator[Finding]:
    """Check that the QoS of the cameras' publishers and of the node's subscription are compatible."""

    def ends() -> "list[tuple[Endpoint, Endpoint]]":
        cameras = [publisher for publisher in graph.publishers(topic) if publisher.type == kind]
        return list(product(cameras, (each for each in graph.subscriptions(topic) if each.node == node)))

    pairs = graph.look(ends)
    clash = False
    for camera, subscription in pairs:
        for policy, offer, request, remedy in CLASHES:
            if (getattr(camera, policy), getattr(subscription, policy)) == (offer, request):
                clash = True
                text = (
                    f"{camera.node} publishes {topic} {offer}, but {node} requests {request}: no frames are delivered."
                )
                override = f"qos_overrides.{topic}.subscription.{policy}:={remedy}"
                yield error("qos", text, f"start the node with --ros-args -p {override}")
    values = {getattr(end, policy) for pair in pairs for end in pair for policy, *_ in CLASHES}
    if not pairs or (not clash and values - KNOWN):
        text = f"Could not tell whether the QoS of {node} and its camera are compatible: DDS has not told of both."
        yield warning("qos", text, AGAIN)
    elif not clash:
        yield ok("qos", f"The QoS of {node} and its camera are compatible.")


def mask_topic(graph: "Graph", node: str) -> str:
    """The topic of the node's mask: ~/mask, or the image topic that was remapped out of the node's namespace."""
    images = sorted(topic for topic, kinds in graph.published(node).items() if RAW in kinds)
    if f"{node}/mask" in images:
        return f"{node}/mask"
    elsewhere = [topic for topic in images if not topic.startswith(f"{node}/")]
    return next((topic for topic in elsewhere if "mask" in topic), elsewhere[0] if elsewhere else "")
