"""The node's outputs besides the mask, over DDS, and what it reports when it cannot publish them."""

import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import ground_client
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PolygonStamped, TransformStamped, Vector3
from ground_client import CAMERA, FRAME, FRAME_ID, POINT, GroundClient, calibration
from nav_msgs.msg import OccupancyGrid
from node_harness import TIMEOUT, Client, NodeProcess, mask_pixels, qos
from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import CameraInfo, Imu, LaserScan, PointCloud2
from std_msgs.msg import Header

from fcn_road_seg.ground import GroundPlane, tilt
from fcn_road_seg.ground.lookup import GroundMaps
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.postprocess.labels import labels_and_confidence
from fcn_road_seg.ros.camera_topics import optical_pose
from fcn_road_seg.ros.parameters import NodeParameters

KINDS = ground_client.KINDS | {"boundary": PolygonStamped, "camera_info": CameraInfo}
HEIGHT, PITCH = 1.65, 0.02


def camera_model(**changes):
    from fcn_road_seg.ground import CameraModel

    info = calibration(**changes)
    size = (info.width, info.height)
    return CameraModel.from_camera_info(*size, info.k, info.d, info.distortion_model, info.r, info.p, image_size=size)


def maps_of(plane: GroundPlane, **changes) -> GroundMaps:
    """The maps that the node should use, at default parameters."""
    return GroundMaps(camera_model(), plane, replace(NodeParameters().map_options, **changes))


@pytest.fixture(scope="module")
def probability(small_weights) -> np.ndarray:
    return RoadSegmenter.load(small_weights)(FRAME)


@pytest.fixture(scope="module")
def threshold(probability) -> float:
    """A threshold that splits the result for FRAME in two."""
    return float(np.median(probability) / 255)


@pytest.fixture(scope="module")
def maps() -> GroundMaps:
    return maps_of(GroundPlane.from_mounting(HEIGHT, PITCH))


@pytest.fixture(scope="module")
def node(domain_id, small_weights, threshold, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    mounting = {"camera_height": HEIGHT, "camera_pitch": PITCH}
    node = NodeProcess(domain_id, log, weights=small_weights, threshold=threshold, **mounting)
    node.wait_for_output("Listening to /image")
    yield node
    assert node.stop() == 0
    assert "Traceback" not in node.output()


@pytest.fixture(scope="module")
def listener(client):
    listener = GroundClient(client, KINDS)
    yield listener
    listener.close()


@pytest.fixture
def answers(listener) -> dict:
    return listener.until_received(calibration(), *KINDS)


def test_everything_has_the_image_s_stamp_and_its_own_frame(answers):
    stamps = {(m.header.stamp.sec, m.header.stamp.nanosec) for m in answers.values()}
    assert len(stamps) == 1
    frames = {topic: message.header.frame_id for topic, message in answers.items()}
    in_ground = {"grid", "scan", "boundary"}
    assert frames == {topic: "base_link" if topic in in_ground else FRAME_ID for topic in frames}


def test_the_mask_is_published_first(listener, client, answers):
    stamp = answers["mask"].header.stamp.sec
    mask_sent = client.mask_sent[client.masks.index(answers["mask"])]
    assert all(mask_sent < listener.sent[topic][stamp] for topic in KINDS)


def test_labels_confidence_and_probability_are_the_segmenter_s(answers, probability, threshold):
    labels, confidence = labels_and_confidence(probability, threshold, 0.0)
    np.testing.assert_array_equal(mask_pixels(answers["probability"]), probability)
    np.testing.assert_array_equal(mask_pixels(answers["labels"]), labels)
    np.testing.assert_array_equal(mask_pixels(answers["confidence"]), confidence)
    np.testing.assert_array_equal(labels == 1, mask_pixels(answers["mask"]) == 255)


def test_the_cloud_is_the_ground_plane_pixel_for_pixel(answers, maps, probability, threshold):
    cloud = answers["points"]
    assert (cloud.width, cloud.height, cloud.is_dense, cloud.is_bigendian) == (
        CAMERA.width,
        CAMERA.height,
        False,
        False,
    )
    assert (cloud.point_step, cloud.row_step) == (16, 16 * CAMERA.width)
    points = np.frombuffer(cloud.data, POINT).reshape(CAMERA.height, CAMERA.width)
    xyz = np.stack([points[axis] for axis in "xyz"], -1)
    np.testing.assert_array_equal(xyz, maps.tables.optical_points())
    assert 0.2 < np.isfinite(xyz).all(-1).mean() < 0.8
    labels, confidence = labels_and_confidence(probability, threshold, 0.0)
    np.testing.assert_array_equal(points["label"], labels)
    np.testing.assert_array_equal(points["confidence"], confidence)
    # Projecting a point with P gives its pixel.
    u, v = 200, 80
    pixel = np.reshape(answers["camera_info"].p, (3, 4))[:, :3] @ xyz[v, u]
    np.testing.assert_allclose(pixel[:2] / pixel[2], (u, v), atol=1e-3)


def test_sensor_msgs_py_reads_the_cloud(answers):
    point_cloud2 = pytest.importorskip("sensor_msgs_py.point_cloud2", reason="sensor_msgs_py is not installed")
    points = point_cloud2.read_points(answers["points"])
    assert points.dtype.names == ("x", "y", "z", "label", "confidence")
    assert len(points) == CAMERA.width * CAMERA.height


def test_the_grid_is_the_road_s_cells_ahead(answers, maps, probability, threshold):
    grid = answers["grid"]
    assert (grid.info.width, grid.info.height) == (400, 200)
    assert grid.info.resolution == pytest.approx(0.1)
    origin = grid.info.origin
    assert (origin.position.x, origin.position.y, origin.position.z) == (0, -10, 0)
    assert origin.orientation.w == 1
    cells = np.array(grid.data, np.int8).reshape(200, 400)
    np.testing.assert_array_equal(cells, maps.grid(probability, threshold))
    assert set(np.unique(cells)) == {-1, 0, 100}


def test_the_scan_is_the_edge_of_the_road(answers, maps):
    scan = answers["scan"]
    ranges = np.array(scan.ranges, np.float32)
    np.testing.assert_array_equal(ranges, maps.scan(mask_pixels(answers["mask"])))
    assert len(ranges) == 1 + round((scan.angle_max - scan.angle_min) / scan.angle_increment)
    assert scan.angle_min < 0 < scan.angle_max  # the camera looks forward
    finite = ranges[np.isfinite(ranges)]
    assert len(finite) and (finite >= scan.range_min).all() and (finite <= scan.range_max).all()
    assert len(scan.intensities) == 0 and scan.scan_time == 0


def test_the_boundary_is_a_polygon_of_the_road(answers, maps):
    boundary = maps.boundary(mask_pixels(answers["mask"]))
    points = np.array([(p.x, p.y) for p in answers["boundary"].polygon.points], np.float32)
    np.testing.assert_array_equal(points, boundary.polygon())


def test_camera_info_is_the_camera_s(answers):
    info, given = answers["camera_info"], calibration()
    assert (info.width, info.height, info.distortion_model) == (given.width, given.height, given.distortion_model)
    np.testing.assert_array_equal(info.k, given.k)
    np.testing.assert_array_equal(info.p, given.p)


def test_a_camera_info_with_another_stamp_is_used_until_the_right_one_arrives(listener):
    answers = listener.until_received(calibration(), "points", "camera_info", same_stamp=False)
    assert answers["camera_info"].header == answers["mask"].header
    listener.until_received(None, "points", "camera_info")  # one was lost


def test_diagnostics_report_where_the_road_is(client, answers):
    ground = client.diagnostics()["ground"]
    assert ground.level == ground.OK and ground.message.startswith("the road lies 1.65 m below the camera")
    values = {value.key: value.value for value in ground.values}
    assert values["ground frame"] == "base_link" and values["plane from"].startswith("camera_height")
    client.spin_until(lambda: client.diagnostics()["ground"].level == ground.STALE, "a stale status without frames")
    assert "s; the last status: the road lies 1.65 m" in client.diagnostics()["ground"].message


BAD = {
    "size": (dict(width=100, height=50), "is for images of 100x50, but the image has 311x94"),
    "focal length": (
        dict(k=[0.0] * 9, p=[0.0, 0.0, 155.0, 0.0, 0.0, 180.0, 47.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        "focal lengths in P are 0 and 180",
    ),
    "P": (
        dict(p=[0.0] * 12),
        "camera_info's P is all zero: the camera is not calibrated; its K is good, so set rectified to false",
    ),
    "identity": (dict(k=[0.0] * 9, p=[1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]), "P is impossible for 311x94 pixels"),
    "telescope": (dict(p=[1e9, 0, 155, 0, 0, 1e9, 47, 0, 0, 0, 1, 0]), "means a field of view of 1.782e-05 x"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_calibration_is_a_sentence_and_masks_continue(listener, client, answers, fault):
    changes, text = BAD[fault]
    listener.received["camera_info"].clear()
    outputs = [listener.received[topic] for topic in ("points", "grid", "scan", "boundary")]
    ground = listener.until_reported(text, calibration(**changes))
    before = [len(messages) for messages in outputs]
    listener.send(calibration(**changes))
    client.spin_for(0.5)
    assert [len(messages) for messages in outputs] == before
    assert ground.level == ground.WARN
    assert ground.message.startswith("ground outputs are not published: ")
    listener.until_received(calibration(), *KINDS)


def test_a_sentence_is_in_the_log(node, listener, client):
    node.wait_for_output("Ground outputs are not published: /camera_info is for images of 100x50")
    node.wait_for_output("Ground outputs (base_link, plane from camera_height")


def test_parameters_apply_at_once_and_an_old_plane_is_never_used(listener, client, probability):
    assert client.set_parameter("camera_height", 1.0) == ""
    assert client.set_parameter("grid_mode", "probability") == ""
    answers = listener.until_received(calibration(), "grid", "points")
    maps = maps_of(GroundPlane.from_mounting(1.0, PITCH), grid_mode="probability")
    np.testing.assert_array_equal(np.array(answers["grid"].data, np.int8), maps.grid(probability).ravel())
    points = np.frombuffer(answers["points"].data, POINT)["y"].reshape(CAMERA.height, CAMERA.width)
    np.testing.assert_array_equal(points, maps.tables.optical_points()[..., 1])
    assert client.set_parameter("camera_height", HEIGHT) == ""
    before = set(listener.received["points"])
    listener.until_received(calibration(), "points")
    new = [listener.received["points"][stamp] for stamp in listener.received["points"].keys() - before]
    at_height = maps_of(GroundPlane.from_mounting(HEIGHT, PITCH)).tables.optical_points()[..., 1]
    for cloud in new:
        points = np.frombuffer(cloud.data, POINT)["y"].reshape(CAMERA.height, CAMERA.width)
        np.testing.assert_array_equal(points, at_height)
    assert client.set_parameter("grid_mode", "binary") == ""
    assert "cannot be -1.0" in client.set_parameter("camera_height", -1.0)
    assert "cannot be ''" in client.set_parameter("ground_frame", "")


@pytest.mark.parametrize(
    "name, value, usual, text",
    [
        ("camera_pitch", -1.0, PITCH, "no pixel sees the road"),
        ("camera_height", 165.0, HEIGHT, "165 m above the road, but must be 0.05 to 10 m"),  # in centimetres
        ("scan_angle_increment", 1e-4, 0.0087, "take too long for every frame"),
    ],
)
def test_what_the_camera_cannot_see_is_a_sentence(listener, client, name, value, usual, text):
    assert client.set_parameter(name, value) == ""
    ground = listener.until_reported(text, calibration())
    stamp = listener.send(calibration()).header.stamp.sec
    client.spin_for(0.5)
    assert ground.level == ground.WARN and stamp not in listener.received["points"]
    assert client.set_parameter(name, usual) == ""
    listener.until_received(calibration(), *KINDS)


def test_uncertain_pixels_have_no_class(listener, client, probability, threshold):
    min_confidence = float(np.median(np.maximum(probability, 255 - probability)) / 255)
    assert client.set_parameter("min_confidence", min_confidence) == ""
    answers = listener.until_received(calibration(), *KINDS)
    assert client.set_parameter("min_confidence", 0.0) == ""
    labels = mask_pixels(answers["labels"])
    sure = np.maximum(probability, 255 - probability) >= min_confidence * 255
    assert set(np.unique(labels)) == {0, 1, 255}
    np.testing.assert_array_equal(labels != 255, sure)
    assert (mask_pixels(answers["confidence"])[labels == 255] == 0).all()
    np.testing.assert_array_equal(mask_pixels(answers["mask"]) == 255, probability >= round(threshold * 255))


def test_without_subscribers_nothing_is_subscribed_to_or_made(other_domain_id, small_weights, tmp_path):
    prelude = """
from fcn_road_seg.ground import lookup
class Never:
    def __init__(self, *_):
        print("maps are made", flush=True)
lookup.GroundMaps = Never
"""
    node = NodeProcess(other_domain_id, tmp_path / "log", prelude, weights=small_weights, camera_height=HEIGHT)
    client = Client(other_domain_id)
    try:
        listener = GroundClient(client, {})
        for _ in range(3):
            listener.send(calibration())
        assert "no ground output is subscribed to" in client.diagnostics()["ground"].message
        assert not client.node.count_subscribers("camera_info") and "maps are made" not in node.output()
        client.node.destroy_publisher(listener._infos)
        elsewhere = client.node.create_publisher(CameraInfo, "front/camera_info", qos())
        text = (
            "camera_height is set, but nobody publishes /camera_info: "
            "start the node with --ros-args -r camera_info:=/front/camera_info"
        )
        assert listener.until_reported(text, None).level == DiagnosticStatus.WARN
        listener._infos = client.node.create_publisher(CameraInfo, "camera_info", qos())
        client.node.destroy_publisher(elsewhere)
        assert listener.until_reported("no ground output is subscribed to", None).level == DiagnosticStatus.OK
        subscription = client.node.create_subscription(LaserScan, "road_seg/scan", lambda message: None, qos())
        client.spin_until(
            lambda: listener.send(calibration()) and client.node.count_subscribers("camera_info"),
            "the subscription to camera_info",
        )
        client.node.destroy_subscription(subscription)
        client.spin_until(lambda: not client.node.count_subscribers("road_seg/scan"), "the end of it")
        client.spin_until(
            lambda: listener.send(calibration()) and not client.node.count_subscribers("camera_info"),
            "the end of the subscription",
        )
    finally:
        client.close()
        assert node.stop() == 0


def transform(parent: str, child: str, translation, rotation, stamp: Time | None = None) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header = Header(frame_id=parent, stamp=stamp or Time())
    for axis, value in zip("xyz", translation, strict=True):
        setattr(message.transform.translation, axis, float(value))
    for axis, value in zip("xyzw", rotation, strict=True):
        setattr(message.transform.rotation, axis, float(value))
    return message


def tf_publisher(client: Client, topic: str, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE):
    """What publishes some transforms in one message, as tf2_ros's broadcasters do."""
    from tf2_msgs.msg import TFMessage

    profile = qos()
    profile.durability = durability
    publisher = client.node.create_publisher(TFMessage, topic, profile)
    return lambda *transforms: publisher.publish(TFMessage(transforms=transforms))


def test_the_plane_comes_from_a_chain_of_static_transforms(other_domain_id, small_weights, tmp_path, interfaces):
    parameters = {"weights": small_weights, "ground_frame": "base_footprint", "ground_z": -0.25}
    node = NodeProcess(other_domain_id, tmp_path / "log", interfaces, **parameters)
    client = Client(other_domain_id)
    try:
        listener = GroundClient(client, {"points": PointCloud2, "grid": OccupancyGrid})
        listener.silent(None)
        node.wait_for_output("Listening to /image")
        client.spin_for(3.0)
        listener.silent(None, 1)
        node.wait_for_output("Ground outputs are not published: no camera_info has arrived on /camera_info")
        listener.until_reported("TF does not connect base_footprint with the image's frame front_camera", calibration())
        listener.silent(calibration(), 1)
        publish = tf_publisher(client, "/tf_static", DurabilityPolicy.TRANSIENT_LOCAL)
        # base_footprint <- base_link <- mast <- camera, and the mast is rotated.
        half = np.sqrt(0.5)
        pose = optical_pose(0.5, PITCH)
        publish(
            transform("base_link", "base_footprint", (0, 0, -0.4), (0, 0, 0, 1)),
            transform("base_link", "mast", (2, 0, 0.8), (0, 0, half, half)),
            transform("mast", FRAME_ID, (0, 0, 0.5), quaternion_product((0, 0, -half, half), pose.rotation)),
        )
        answers = listener.until_received(calibration(), "points", "grid")
        matrix_plane = GroundPlane.from_quaternion((2, 0, 1.7), pose.rotation, -0.25)
        expected = maps_of(matrix_plane).tables.optical_points()
        points = np.frombuffer(answers["points"].data, POINT).reshape(CAMERA.height, CAMERA.width)
        np.testing.assert_allclose(np.stack([points[axis] for axis in "xyz"], -1), expected, rtol=1e-4, atol=1e-4)
        assert answers["grid"].header.frame_id == "base_footprint"
        assert answers["grid"].info.origin.position.z == -0.25
        assert "plane from TF" in node.output()
        # A transform below the road: the old plane is no longer used.
        publish(transform("base_link", "mast", (2, 0, -3), (0, 0, half, half)))
        listener.until_reported("m above the road, but it must be above it", calibration())
        listener.silent(calibration(), 2)
    finally:
        client.close()
        assert node.stop() == 0
    assert "Traceback" not in node.output()


def test_each_frame_has_the_pose_of_its_own_stamp_when_the_pitch_makes_a_step(
    other_domain_id, small_weights, tmp_path, interfaces
):
    """A frame's transform comes after its mask here, so every frame waits for it; see test_moving_camera.py."""
    node = NodeProcess(other_domain_id, tmp_path / "log", interfaces, weights=small_weights)
    client = Client(other_domain_id)
    try:
        listener = GroundClient(client, {"points": PointCloud2})
        publish = tf_publisher(client, "/tf")
        clouds, pitches = listener.received["points"], {}
        for pitch in (0.0, 0.05, -0.02):
            deadline = time.monotonic() + TIMEOUT
            while not any(pitches[second] == pitch for second in clouds):
                assert time.monotonic() < deadline, node.output()
                stamp = listener.send(calibration()).header.stamp
                assert stamp.sec not in clouds
                pitches[stamp.sec] = pitch
                pose = optical_pose(HEIGHT, pitch)
                publish(transform("base_link", FRAME_ID, pose.translation, pose.rotation, stamp))
                client.spin_for(0.1)
        for second, cloud in clouds.items():
            expected = maps_of(GroundPlane.from_mounting(HEIGHT, pitches[second])).tables.optical_points()
            points = np.frombuffer(cloud.data, POINT).reshape(CAMERA.height, CAMERA.width)
            np.testing.assert_allclose(np.stack([points[axis] for axis in "xyz"], -1), expected, rtol=1e-4, atol=1e-4)
    finally:
        client.close()
        assert node.stop() == 0
    assert "Traceback" not in node.output()


def quaternion_product(a, b):
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def test_without_tf_and_camera_height_it_advises_what_to_do(other_domain_id, small_weights, tmp_path):
    prelude = "sys.modules['tf2_msgs'] = None"
    node = NodeProcess(other_domain_id, tmp_path / "log", prelude, weights=small_weights)
    client = Client(other_domain_id)
    try:
        listener = GroundClient(client, {"scan": LaserScan})
        listener.silent(calibration())
        client.spin_for(3.0)
        listener.silent(calibration(), 1)
        node.wait_for_output("tf2_msgs is not installed, so TF cannot locate the camera")
        listener.until_reported("set camera_height", calibration())
    finally:
        client.close()
        assert node.stop() == 0


def test_the_attitude_of_an_imu_moves_the_road(listener, client):
    """An IMU in the camera's frame that looks down by 0.06, although camera_pitch says 0.02."""
    maps = maps_of(GroundPlane.from_mounting(HEIGHT, PITCH), attitude="imu")
    plane = GroundPlane.from_mounting(HEIGHT, 0.06)
    assert client.set_parameter("attitude_window", 0.0) == ""
    assert client.set_parameter("attitude", "imu") == ""
    listener.until_reported("no attitude has come from /imu so far: remap imu", calibration())
    publisher = client.node.create_publisher(Imu, "imu", qos(depth=400))
    client.spin_until(publisher.get_subscription_count, "the node's subscription to imu")
    client.spin_for(0.5)  # the node's side of the match
    now = listener.send(calibration()).header.stamp.sec
    for i in range(95):  # the filter settles in 2 s
        message = Imu(header=Header(stamp=Time(sec=now - 3 + i // 10, nanosec=i % 10 * 10**8), frame_id=FRAME_ID))
        message.orientation_covariance[0] = -1.0
        x, y, z = plane.rotation.T @ (0, 0, 9.81)
        message.linear_acceleration = Vector3(x=x, y=y, z=z)
        publisher.publish(message)
    answers = listener.until_received(calibration(), *KINDS)
    points = np.frombuffer(answers["points"].data, POINT).reshape(CAMERA.height, CAMERA.width)
    expected = maps.view.points(tilt(maps.tables.plane.rotation @ plane.rotation.T @ (0, 0, -1), np.array([0, 0, -1])))
    for axis, name in enumerate("xyz"):
        np.testing.assert_allclose(points[name], expected[..., axis], atol=0.02)
    ground = {value.key: value.value for value in client.diagnostics()["ground"].values}
    assert ground["pitch against the road (degrees)"] == "2.29"
    assert ground["attitude from"] == f"accelerometer and gyroscope of {FRAME_ID} on /imu"
    client.node.destroy_publisher(publisher)
    assert client.set_parameter("attitude", "none") == ""
