"""The display configs show what the node and the camera publish, with settings that rviz2 knows."""

import re
from contextlib import ExitStack

import pytest
import yaml

from fcn_road_seg.ros.scope import around

ONE_CAMERA, CAMERAS = "config/road_seg.rviz", "config/cameras.rviz"
IMAGE = "rviz_default_plugins/Image"
CLASSES = {IMAGE} | {
    f"rviz_default_plugins/{name}" for name in ("Camera", "Grid", "LaserScan", "Map", "PointCloud2", "Polygon", "TF")
}
TOPIC_KEYS = {"Value", "Depth", "History Policy", "Reliability Policy", "Durability Policy"}
QOS_NAMES = {  # of rviz_common's QosProfileProperty, which takes any other as the default, without a warning
    "History Policy": {"Keep Last": "KEEP_LAST", "Keep All": "KEEP_ALL"},
    "Reliability Policy": {"Reliable": "RELIABLE", "Best Effort": "BEST_EFFORT"},
    "Durability Policy": {"Volatile": "VOLATILE", "Transient Local": "TRANSIENT_LOCAL"},
}
OF_ONE_CAMERA = {
    "/camera/image_raw": ("sensor_msgs/msg/Image", IMAGE),
    "/road_seg/mask": ("sensor_msgs/msg/Image", IMAGE),
    "/road_seg/overlay": ("sensor_msgs/msg/Image", IMAGE),
    "/road_seg/points": ("sensor_msgs/msg/PointCloud2", "rviz_default_plugins/PointCloud2"),
    "/road_seg/grid": ("nav_msgs/msg/OccupancyGrid", "rviz_default_plugins/Map"),
    "/road_seg/scan": ("sensor_msgs/msg/LaserScan", "rviz_default_plugins/LaserScan"),
    "/road_seg/boundary": ("geometry_msgs/msg/PolygonStamped", "rviz_default_plugins/Polygon"),
}
OF_CAMERAS = {
    name.replace("road_seg/", f"road_seg/{camera}/"): kinds
    for name, kinds in OF_ONE_CAMERA.items()
    for camera in around(3)
    if name.rpartition("/")[2] in ("overlay", "grid", "scan")
}
KINDS = {ONE_CAMERA: OF_ONE_CAMERA, CAMERAS: OF_CAMERAS}
"""Message type and display by topic, by display config."""


@pytest.fixture(scope="module", params=KINDS)
def kinds(request) -> dict[str, tuple[str, str]]:
    return KINDS[request.param]


@pytest.fixture(scope="module")
def config(repository, kinds) -> dict:
    (name,) = (name for name in KINDS if KINDS[name] is kinds)
    return yaml.safe_load((repository / name).read_text())["Visualization Manager"]


@pytest.fixture(scope="module")
def topics(config) -> dict[str, dict]:
    """What the displays subscribe to, by topic."""
    return {display["Topic"]["Value"]: display for display in config["Displays"] if "Topic" in display}


def test_displays_exist_in_rviz_and_are_enabled(config):
    classes = [display["Class"] for display in config["Displays"]]
    assert set(classes) <= CLASSES
    assert classes.count(IMAGE) == 3 and {"rviz_default_plugins/TF", "rviz_default_plugins/Grid"} <= set(classes)
    assert all(display["Enabled"] is True for display in config["Displays"])
    names = [display["Name"] for display in config["Displays"]]
    assert len(set(names)) == len(names)


def test_topics_are_this_package_s_with_qos_that_rviz_knows(topics, kinds):
    assert topics.keys() == kinds.keys()
    requested = [display[key] for display in topics.values() for key in ("Topic", "Update Topic") if key in display]
    for topic in requested:
        assert topic.keys() == TOPIC_KEYS
        assert type(topic["Depth"]) is int and topic["Depth"] >= 1
        for policy, names in QOS_NAMES.items():
            assert topic[policy] in names, f"rviz2 does not know {topic[policy]!r}"


def test_the_fixed_frame_is_the_ground_frame_of_the_camera_node(config):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from fcn_road_seg.ros.camera_topics import GROUND_FRAME

    assert config["Global Options"]["Fixed Frame"] == GROUND_FRAME
    assert {display["Reference Frame"] for display in config["Displays"] if "Reference Frame" in display} == {
        GROUND_FRAME
    }


def test_the_launch_file_remaps_these_topics(repository):
    text = (repository / "launch" / "road_seg.launch.py").read_text()
    image, outputs = re.search(r'^RVIZ_IMAGE, RVIZ_OUTPUTS = "(.+)", "(.+)"', text, re.MULTILINE).groups()
    names = re.search(r'^RVIZ_TOPICS = \(("\w+"(?:, "\w+")*)\)', text, re.MULTILINE)[1]
    remapped = {image, *(f"{outputs}/{name}" for name in re.findall(r"\w+", names))}
    updates = {"/road_seg/grid_updates"}  # a Map display subscribes to it; nobody needs to publish it
    assert remapped == OF_ONE_CAMERA.keys() | updates
    cameras, names = (
        re.findall(r"\w+", re.search(rf"^RVIZ_{part} = \((.+)\)", text, re.MULTILINE)[1])
        for part in ("CAMERAS", "CAMERA_TOPICS")
    )
    remapped = {f"{outputs}/{camera}/{name}" for camera in cameras for name in names}
    assert remapped == OF_CAMERAS.keys() | {f"/road_seg/{camera}/grid_updates" for camera in cameras}


def test_each_display_matches_its_publisher(topics, kinds, small_weights, domain_id, tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from camera_process import CameraProcess
    from node_harness import Client, NodeProcess
    from rclpy.qos import (
        DurabilityPolicy,
        HistoryPolicy,
        LivelinessPolicy,
        QoSCompatibility,
        QoSProfile,
        ReliabilityPolicy,
        qos_check_compatible,
    )

    def requested_qos(topic: dict) -> QoSProfile:
        value = {policy: names[topic[policy]] for policy, names in QOS_NAMES.items()}
        return QoSProfile(
            depth=topic["Depth"],
            history=HistoryPolicy[value["History Policy"]],
            reliability=ReliabilityPolicy[value["Reliability Policy"]],
            durability=DurabilityPolicy[value["Durability Policy"]],
            liveliness=LivelinessPolicy.AUTOMATIC,
        )

    client = Client(domain_id)
    parameters = {"cameras": "[front, left, rear]"} if kinds is OF_CAMERAS else {}
    node = NodeProcess(domain_id, tmp_path / "node.log", weights=small_weights, autostart=False, **parameters)
    with ExitStack() as stack:
        if kinds is OF_ONE_CAMERA:
            stack.enter_context(CameraProcess(domain_id, width=64, height=32, frames=1))
        try:
            for name, display in topics.items():
                client.spin_until(lambda name=name: client.node.count_publishers(name), f"a publisher of {name}")
                (publisher,) = client.node.get_publishers_info_by_topic(name)
                assert (publisher.topic_type, display["Class"]) == kinds[name]
                compatibility, reason = qos_check_compatible(publisher.qos_profile, requested_qos(display["Topic"]))
                assert compatibility == QoSCompatibility.OK, reason
                if name.startswith("/road_seg/"):  # the node's; cameras differ
                    assert publisher.qos_profile.reliability == requested_qos(display["Topic"]).reliability
                    assert publisher.qos_profile.durability == requested_qos(display["Topic"]).durability
        finally:
            node.stop()
            client.close()
