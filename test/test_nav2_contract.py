"""What Nav2's semantic_segmentation_layer and obstacle layer require of the messages that they receive.

The checks are those of the layer's subscriptions and callbacks: best-effort subscriptions, one stamp for all messages
of a frame, one byte per class id, as many points as pixels, latched names of the ids.
"""

import numpy as np
import pytest
import yaml

from fcn_road_seg.postprocess.labels import CLASS_NAMES, NOT_ROAD, ROAD, UNKNOWN, labels_and_confidence


@pytest.fixture(scope="module")
def semantic(repository) -> dict:
    file = yaml.safe_load((repository / "config/nav2_semantic_layer.yaml").read_text())
    return file["local_costmap"]["local_costmap"]["ros__parameters"]["semantic_layer"]


@pytest.fixture(scope="module")
def obstacle(repository) -> dict:
    file = yaml.safe_load((repository / "config/nav2_obstacle_layer.yaml").read_text())
    return file["local_costmap"]["local_costmap"]["ros__parameters"]["obstacle_layer"]


def test_every_id_but_255_has_a_name():
    probability = np.arange(256, dtype=np.uint8)[None]
    labels, confidence = labels_and_confidence(probability, 0.4, 0.6)
    assert set(np.unique(labels)) == {NOT_ROAD, ROAD, UNKNOWN} == {0, 1, 255}
    assert CLASS_NAMES == {0: "not_road", 1: "road"}  # vision_msgs: the largest id has no name
    levels = probability.astype(int)
    sure = np.maximum(levels, 255 - levels) >= 0.6 * 255
    np.testing.assert_array_equal(labels == UNKNOWN, ~sure)
    np.testing.assert_array_equal(labels[sure] == ROAD, levels[sure] >= 102)
    np.testing.assert_array_equal(confidence[sure], np.where(levels >= 102, levels, 255 - levels)[sure])
    assert not confidence[
        ~sure
    ].any()  # so the layer, which takes a tile's most confident pixel, never takes an unsure one


def test_without_min_confidence_every_pixel_has_a_class():
    labels, confidence = labels_and_confidence(np.arange(256, dtype=np.uint8)[None], 0.5, 0.0)
    assert UNKNOWN not in labels and confidence.min() >= 127


def test_the_example_names_our_classes_and_topics(semantic, obstacle):
    camera = semantic["camera"]
    classes = [name for kind in camera["class_types"] for name in camera[kind]["classes"]]
    assert sorted(classes) == sorted(CLASS_NAMES.values())  # the layer ignores classes that the file does not list
    for kind in camera["class_types"]:
        assert camera[kind].keys() == {
            *("classes", "base_cost", "max_cost", "mark_confidence", "samples_to_max_cost", "dominant_priority")
        }
        assert 0 <= camera[kind]["base_cost"] <= camera[kind]["max_cost"] <= 254
    names = ("segmentation", "confidence", "labels", "pointcloud")
    topics = [camera[f"{name}_topic"].removeprefix("/road_seg/") for name in names]
    assert topics == ["labels", "confidence", "label_info", "points"]
    source = obstacle[obstacle["observation_sources"]]
    assert source["topic"] == "/road_seg/scan" and source["data_type"] == "LaserScan" and source["inf_is_valid"]


def test_the_obstacle_layer_takes_obstacles_from_slopes(obstacle):
    """Nav2 drops points by their height in the costmap's frame, in the source's buffer and again in the layer."""
    source = obstacle[obstacle["observation_sources"]]
    for pitch in (-0.2, 0.2):
        z = source["obstacle_max_range"] * np.sin(pitch)
        for limits in (obstacle, source):
            assert limits["min_obstacle_height"] < z < limits["max_obstacle_height"]


def test_an_obstacle_on_what_was_road_is_marked_at_once(semantic):
    """The layer's queues: a class with priority takes the tile; another must outnumber the class that has it."""
    kinds, rate = semantic["camera"], 10
    decay = round(semantic["camera"]["tile_map_decay_time"] * rate)

    def cost_after(count: int, kind: str, other: str) -> int:
        """The cost of a tile that showed the other class throughout, after `count` observations of this one."""
        dominant = kinds[kind]["dominant_priority"] or count > decay - count
        if not dominant:
            return kinds[other]["max_cost"]
        return kinds[kind]["max_cost" if count >= kinds[kind]["samples_to_max_cost"] else "base_cost"]

    assert [cost_after(n, "blocked", "free") for n in (1, 2, 3)] == [100, 100, 254]
    assert [cost_after(n, "free", "blocked") for n in (1, 10, 11)] == [254, 254, 0]


KEYS = {
    "local_costmap": {"global_frame", "robot_base_frame", "rolling_window", "width", "height", "resolution"}
    | {"track_unknown_space", "plugins"},
    "nav2_costmap_2d::ObstacleLayer": {"plugin", "enabled", "observation_sources", "min_obstacle_height"}
    | {"max_obstacle_height", "combination_method", "footprint_clearing_enabled"},
    "obstacle source": {"topic", "data_type", "marking", "clearing", "inf_is_valid", "obstacle_max_range"}
    | {"obstacle_min_range", "raytrace_max_range", "raytrace_min_range", "min_obstacle_height", "max_obstacle_height"}
    | {"sensor_frame", "observation_persistence", "expected_update_rate"},
    "nav2_costmap_2d::InflationLayer": {"plugin", "enabled", "inflation_radius", "cost_scaling_factor"},
    "semantic_segmentation_layer::SemanticSegmentationLayer": {"plugin", "enabled", "combination_method"}
    | {"observation_sources", "use_approximate_time_sync", "sensor_data_depth"},
    "semantic source": {"segmentation_topic", "confidence_topic", "labels_topic", "pointcloud_topic", "class_types"}
    | {"max_obstacle_distance", "min_obstacle_distance", "tile_map_decay_time", "use_cost_selection"},
    "collision_monitor": {"base_frame_id", "odom_frame_id", "source_timeout", "polygons", "observation_sources"},
    "polygon": {"type", "points", "action_type", "slowdown_ratio", "min_points", "visualize", "polygon_pub_topic"},
    "monitor source": {"type", "topic", "enabled", "source_timeout"},
}
"""Parameters that the sources of Nav2 (Jazzy, Kilted, Lyrical) and of the semantic layer declare, of those that fit."""


def test_the_demo_s_global_costmap_takes_obstacles_as_the_local_one(repository, obstacle):
    demo = yaml.safe_load((repository / "config/nav2_demo.yaml").read_text())
    costmap = demo["global_costmap"]["global_costmap"]["ros__parameters"]
    assert costmap.keys() - set(costmap["plugins"]) <= KEYS["local_costmap"] | {"robot_radius"}
    local = demo["local_costmap"]["local_costmap"]["ros__parameters"]["obstacle_layer"]["road_edge"]
    assert costmap["obstacle_layer"] == obstacle | {"road_edge": obstacle["road_edge"] | local}


@pytest.mark.parametrize("file", ["nav2_obstacle_layer.yaml", "nav2_semantic_layer.yaml"])
def test_nav2_knows_every_key_of_the_examples(repository, file):
    """Nav2 ignores a parameter that no plugin declares, without a word."""
    example = yaml.safe_load((repository / "config" / file).read_text())
    costmap = example["local_costmap"]["local_costmap"]["ros__parameters"]
    assert costmap.keys() - set(costmap["plugins"]) <= KEYS["local_costmap"]
    for name in costmap["plugins"]:
        layer = dict(costmap[name])
        for source in layer.get("observation_sources", "").split():
            settings, kind = layer.pop(source), "obstacle" if "Obstacle" in layer["plugin"] else "semantic"
            assert settings.keys() - set(settings.get("class_types", ())) <= KEYS[f"{kind} source"]
        assert layer.keys() <= KEYS[layer["plugin"]]
    if "collision_monitor" in example:
        monitor = dict(example["collision_monitor"]["ros__parameters"])
        for names, kind in (("polygons", "polygon"), ("observation_sources", "monitor source")):
            for name in monitor[names]:
                assert monitor.pop(name).keys() <= KEYS[kind]
        assert monitor.keys() <= KEYS["collision_monitor"]


# Over DDS


@pytest.fixture(scope="module")
def node(domain_id, small_weights, tmp_path_factory):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from node_harness import NodeProcess

    log = tmp_path_factory.mktemp("node") / "log"
    node = NodeProcess(domain_id, log, weights=small_weights, camera_height=1.5, threshold=0.4)
    node.wait_for_output("Listening to /image")
    yield node
    assert node.stop() == 0


@pytest.fixture(scope="module")
def synchronised(client) -> dict:
    """The messages that an exact time synchroniser on best-effort subscriptions passes on."""
    from ground_client import GroundClient, calibration
    from rclpy.qos import ReliabilityPolicy
    from sensor_msgs.msg import Image, PointCloud2

    kinds = {"labels": Image, "confidence": Image, "points": PointCloud2}
    listener = GroundClient(client, kinds, ReliabilityPolicy.BEST_EFFORT)
    yield listener.until_received(calibration(), *kinds)
    listener.close()


def test_all_three_have_one_stamp(synchronised):
    stamps = {(message.header.stamp.sec, message.header.stamp.nanosec) for message in synchronised.values()}
    assert len(stamps) == 1 and stamps != {(0, 0)}
    # The layer looks this frame up in TF and measures distances from its origin, the camera.
    assert {message.header.frame_id for message in synchronised.values()} == {"front_camera"}


def test_there_are_as_many_points_as_pixels_and_one_byte_per_pixel(synchronised):
    labels, confidence, cloud = (synchronised[topic] for topic in ("labels", "confidence", "points"))
    for image in (labels, confidence):
        assert image.encoding == "mono8" and image.step == image.width  # the layer indexes data by row * width + column
        assert len(image.data) == image.width * image.height
        assert (image.width, image.height) == (cloud.width, cloud.height)
    assert len(cloud.data) == cloud.row_step * cloud.height == cloud.point_step * cloud.width * cloud.height


def test_the_cloud_has_x_y_z_as_float32_and_missing_points_are_not_finite(synchronised):
    cloud = synchronised["points"]
    fields = {field.name: field for field in cloud.fields}
    for name in "xyz":
        assert (fields[name].datatype, fields[name].count) == (fields[name].FLOAT32, 1)
    assert not cloud.is_bigendian and not cloud.is_dense
    names = {"names": list("xyz"), "formats": ["<f4"] * 3, "offsets": [fields[name].offset for name in "xyz"]}
    points = np.frombuffer(cloud.data, np.dtype(names | {"itemsize": cloud.point_step}))
    known = np.isfinite(points["z"])  # the layer skips the others
    assert known.any() and not known.all()
    for name in "xy":
        np.testing.assert_array_equal(np.isfinite(points[name]), known)
    assert np.allclose(points["y"][known], 1.5, atol=1e-4)  # y is down: the road lies below the camera


def test_who_joins_late_gets_the_names_and_everybody_a_new_threshold(other_domain_id, small_weights, tmp_path, request):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    interfaces = request.getfixturevalue("interfaces")
    from node_harness import Client, NodeProcess, frame_message, qos
    from rclpy.qos import DurabilityPolicy
    from vision_msgs.msg import LabelInfo

    node = NodeProcess(other_domain_id, tmp_path / "log", interfaces, weights=small_weights, threshold=0.4)
    client = Client(other_domain_id)
    try:
        node.wait_for_output("Listening to /image")
        camera = client.camera()
        client.answer(camera, frame_message(np.zeros((32, 64, 3), np.uint8), "rgb8", 7))  # it is active
        late, received = qos(), []
        late.durability = DurabilityPolicy.TRANSIENT_LOCAL
        client.node.create_subscription(LabelInfo, "road_seg/label_info", received.append, late)
        client.spin_until(lambda: received, "the names")
        assert client.set_parameter("threshold", 0.6) == ""
        client.answer(camera, frame_message(np.zeros((32, 64, 3), np.uint8), "rgb8", 8))
        client.spin_until(lambda: len(received) == 2, "the new threshold")
    finally:
        client.close()
        assert node.stop() == 0
    for message, threshold in zip(received, (0.4, 0.6), strict=True):
        assert {entry.class_id: entry.class_name for entry in message.class_map} == CLASS_NAMES
        assert message.threshold == pytest.approx(threshold)
        assert message.header.stamp.sec > 0


def test_without_vision_msgs_the_node_logs_it_once(other_domain_id, small_weights, tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from node_harness import NodeProcess

    prelude = "sys.modules['vision_msgs'] = None"
    node = NodeProcess(other_domain_id, tmp_path / "log", prelude, weights=small_weights)
    node.wait_for_output("Listening to /image")
    assert node.stop() == 0
    assert node.output().count("No ~/label_info: the ROS 2 package vision_msgs is not installed") == 1
