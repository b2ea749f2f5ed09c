"""The node as a process: its input and output over DDS."""

import signal
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from node_harness import TIMEOUT, Client, NodeProcess, frame_message, mask_pixels, qos
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.postprocess.overlay import overlay
from fcn_road_seg.postprocess.temporal_filter import TemporalFilter
from fcn_road_seg.postprocess.threshold import threshold_mask

# An odd size, with red, green and blue that differ.
FRAME = np.random.default_rng(1).integers(0, 256, (61, 97, 3), np.uint8) // np.uint8([1, 2, 8])


@pytest.fixture(scope="module")
def segmenter(small_weights):
    segmenter = RoadSegmenter.load(small_weights)
    segmenter.warm_up(*FRAME.shape[:2])
    return segmenter


@pytest.fixture(scope="module")
def threshold(segmenter) -> float:
    """A threshold that splits the result for FRAME in two."""
    return float(np.median(segmenter(FRAME)) / 255)


@pytest.fixture(scope="module")
def node(domain_id, small_weights, threshold, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    node = NodeProcess(domain_id, log, weights=small_weights, threshold=threshold, warm_up_width=97, warm_up_height=61)
    node.wait_for_output("Listening to /image")
    yield node
    assert node.stop() == 0
    assert "Traceback" not in node.output()


def test_the_mask_is_the_segmenters_with_the_frames_header(client, camera, segmenter, threshold):
    mask = client.answer(camera, frame_message(FRAME[:, :, ::-1], "bgr8", 10))
    assert (mask.height, mask.width) == FRAME.shape[:2]
    assert (mask.header.stamp.sec, mask.header.stamp.nanosec) == (10, 123_456_789)
    assert mask.header.frame_id == "front_camera"
    pixels = mask_pixels(mask)
    np.testing.assert_array_equal(pixels, threshold_mask(segmenter(FRAME), threshold))
    assert set(np.unique(pixels)) == {0, 255}


def test_the_channel_order_is_the_encodings(client, camera, segmenter, threshold):
    as_rgb = mask_pixels(client.answer(camera, frame_message(FRAME, "rgb8", 20)))
    swapped = mask_pixels(client.answer(camera, frame_message(FRAME, "bgr8", 21)))
    np.testing.assert_array_equal(as_rgb, threshold_mask(segmenter(FRAME), threshold))
    np.testing.assert_array_equal(swapped, threshold_mask(segmenter(FRAME[:, :, ::-1]), threshold))
    assert (as_rgb != swapped).any()


def test_the_size_may_change_from_frame_to_frame(client, camera, segmenter, threshold):
    for seconds, frame in ((30, FRAME[:40, :33]), (31, FRAME)):
        mask = mask_pixels(client.answer(camera, frame_message(frame, "rgb8", seconds)))
        np.testing.assert_array_equal(mask, threshold_mask(segmenter(frame), threshold))


def test_the_overlay_follows_the_mask_while_it_is_subscribed_to(client, camera, segmenter, threshold):
    overlays, sent = [], []

    def on_overlay(message: Image, info: dict) -> None:
        overlays.append(message)
        sent.append(info["source_timestamp"])

    subscription = client.node.create_subscription(Image, "road_seg/overlay", on_overlay, qos())
    for seconds in range(4000, 4100):  # until the node knows of the subscription
        client.answer(camera, frame_message(FRAME, "rgb8", seconds))
        client.spin_for(0.2)
        if overlays:
            break
    client.node.destroy_subscription(subscription)
    mask = next(mask for mask in client.masks if mask.header == overlays[0].header)
    assert overlays[0].encoding == "bgr8"
    expected = overlay(FRAME, threshold_mask(segmenter(FRAME), threshold))
    np.testing.assert_array_equal(np.frombuffer(overlays[0].data, np.uint8), expected[:, :, ::-1].ravel())
    assert client.mask_sent[client.masks.index(mask)] < sent[0]


def test_bad_messages_are_dropped_with_a_reason_and_the_next_frame_is_answered(client, camera, node):
    short = frame_message(FRAME, "rgb8", 50)
    short.height += 1
    unknown = frame_message(FRAME, "rgb8", 51)
    unknown.encoding = "32SC4"
    empty = Image()
    before_our_time = frame_message(FRAME, "rgb8", -1)
    answered = len(client.masks)
    for message, text in ((short, "18042 bytes, but"), (unknown, "'32SC4' is depth"), (empty, "0x0")):
        camera.publish(message)
        client.spin_for(1.2)  # the log is throttled to once a second
        node.wait_for_output(text)
    assert client.answer(camera, before_our_time)
    client.answer(camera, frame_message(FRAME, "rgb8", 52))
    assert len(client.masks) == answered + 2
    node.wait_for_output("Frame dropped (1 so far): 62 rows of 291 bytes are 18042 bytes, but the message has 17751")


def test_the_threshold_changes_while_running(client, camera, segmenter, threshold):
    stricter = float(np.percentile(segmenter(FRAME), 90) / 255)
    assert stricter > threshold
    assert client.set_parameter("threshold", stricter) == ""
    mask = mask_pixels(client.answer(camera, frame_message(FRAME, "rgb8", 60)))
    np.testing.assert_array_equal(mask, threshold_mask(segmenter(FRAME), stricter))
    assert client.set_parameter("threshold", threshold) == ""
    assert "cannot be 1.5" in client.set_parameter("threshold", 1.5)


def test_a_change_of_what_configure_reads_is_refused_in_a_sentence(client):
    reason = client.set_parameter("precision", "fp32")
    assert reason == "'precision' is read when the node configures: clean the node up, set it, configure again"
    assert client.set_parameter("autostart", False).startswith("'autostart' is read only when the node starts")


def test_diagnostics_report_the_frames_and_the_device(client, camera, segmenter, small_weights):
    client.answer(camera, frame_message(FRAME, "rgb8", 62))
    statuses = client.diagnostics()
    assert set(statuses) == {"state", "faults", "device", "frames", "latency", "road", "scene", "ground", "instances"}
    assert statuses["state"].message == "active"
    device = {value.key: value.value for value in statuses["device"].values}
    assert (device["device"], device["precision"]) == (segmenter.device, segmenter.precision)
    assert device["weights SHA-256"] == segmenter.checkpoint.sha256 and device["weights"] == str(small_weights)
    frames = {value.key: value.value for value in statuses["frames"].values}
    assert frames["frames dropped: encoding"] == "1" and int(frames["frames answered"]) >= 6
    assert frames["last stamp (s)"] == "62.123456789"
    latency = {value.key for value in statuses["latency"].values}
    for stage in ("decode", "preprocess", "network", "postprocess", "publish", "age at publish"):
        assert {f"{stage} p50 (ms)", f"{stage} p99 (ms)"} <= latency
    assert "use_sim_time" in statuses["latency"].message  # the stamps of the test are from 1970
    client.spin_for(2.0)
    assert client.diagnostics()["frames"].message.startswith("no image has arrived for")


def test_an_old_frame_is_dropped_and_one_without_a_stamp_is_not(client, camera, node):
    assert client.set_parameter("max_age_ms", 60_000.0) == ""
    now = client.node.get_clock().now().seconds_nanoseconds()[0]
    answered = len(client.masks)
    camera.publish(frame_message(FRAME, "rgb8", now - 100))
    node.wait_for_output("ms old, but max_age_ms is 60000")
    client.answer(camera, frame_message(FRAME, "rgb8", now))
    unstamped = frame_message(FRAME, "rgb8", 0)
    unstamped.header.stamp.nanosec = 0
    client.answer(camera, unstamped)
    assert len(client.masks) == answered + 2
    assert client.set_parameter("max_age_ms", 0.0) == ""


def test_stamps_that_go_back_are_answered_and_counted(client, camera):
    for seconds in (65, 64):
        client.answer(camera, frame_message(FRAME, "rgb8", seconds))
    frames = {value.key: value.value for value in client.diagnostics()["frames"].values}
    assert int(frames["stamps that went back"]) >= 1


def test_the_security_policy_matches_the_node(client, camera, repository):
    root = ElementTree.parse(repository / "config" / "sros2" / "road_seg.xml")

    def allowed(kind: str, action: str) -> set[str]:
        names = [entry.text for group in root.iter(f"{kind}s") if group.get(action) for entry in group.iter(kind)]
        return {name.replace("~", "/road_seg") if name.startswith(("~", "/")) else f"/{name}" for name in names}

    def there(look_up) -> set[str]:
        return {name for name, _ in look_up("road_seg", "/")}

    services = there(client.node.get_service_names_and_types_by_node)
    assert services | {"/road_seg/enable"} == allowed("service", "reply")  # if std_srvs is installed
    published = there(client.node.get_publisher_names_and_types_by_node)
    optional = {"/road_seg/label_info", "/road_seg/instances", "/bond"}  # if vision_msgs and bond are installed
    assert published | optional == allowed("topic", "publish")
    subscribed = there(client.node.get_subscriber_names_and_types_by_node)
    sometimes = {
        "/clock",
        "/parameter_events",
        "/camera_info",
        "/imu",
        "/odom",
        "/tf",
        "/tf_static",
    }  # the last five: for ground outputs
    assert subscribed | sometimes == allowed("topic", "subscribe")


def test_the_subscription_follows_the_cameras_reliability(client, camera, segmenter):
    def subscribed() -> list[ReliabilityPolicy]:
        return [info.qos_profile.reliability for info in client.node.get_subscriptions_info_by_topic("/image")]

    assert subscribed() == [ReliabilityPolicy.RELIABLE]
    second = client.camera(ReliabilityPolicy.BEST_EFFORT, wait=False)
    client.spin_until(lambda: subscribed() == [ReliabilityPolicy.BEST_EFFORT], "BEST_EFFORT for cameras that differ")
    client.spin_for(0.5)
    client.answer(second, frame_message(FRAME, "rgb8", 70))
    client.node.destroy_publisher(second)
    client.spin_until(lambda: subscribed() == [ReliabilityPolicy.RELIABLE], "RELIABLE for the camera that is left")
    client.spin_for(0.5)
    client.answer(camera, frame_message(FRAME, "rgb8", 71))


def test_deactivate_stops_and_activate_resumes(client, camera):
    assert client.change_state("deactivate")
    assert client.state() == "inactive"
    client.spin_until(lambda: not camera.get_subscription_count(), "the end of the subscription")
    assert client.change_state("activate")
    client.spin_until(camera.get_subscription_count, "a new subscription")
    client.spin_for(0.5)
    client.answer(camera, frame_message(FRAME, "rgb8", 80))


def test_compressed_images_are_decoded(domain_id, client, camera, segmenter, threshold):
    assert client.change_state("deactivate") and client.change_state("cleanup")
    assert client.set_parameter("image_transport", "compressed") == ""
    assert client.change_state("configure") and client.change_state("activate")
    compressed = Client(domain_id)  # in one process, DDS allows a topic only one type
    message = CompressedImage(format="rgb8; png compressed bgr8")
    message.header.stamp.sec = 85
    message.data = cv2.imencode(".png", FRAME[:, :, ::-1])[1].tobytes()
    mask = compressed.answer(compressed.camera(kind=CompressedImage), message)
    compressed.close()
    np.testing.assert_array_equal(mask_pixels(mask), threshold_mask(segmenter(FRAME), threshold))
    assert client.change_state("deactivate") and client.change_state("cleanup")
    assert client.set_parameter("image_transport", "raw") == ""
    assert client.change_state("configure") and client.change_state("activate")
    client.spin_until(camera.get_subscription_count, "a new subscription")
    client.spin_for(0.5)
    client.answer(camera, frame_message(FRAME, "rgb8", 86))


def test_12_bits_in_16_are_a_picture(client, camera, segmenter, threshold):
    grey = FRAME[:, :, 1].copy()
    grey[0, 0] = 255
    message = Image(height=grey.shape[0], width=grey.shape[1], encoding="mono16", step=2 * grey.shape[1])
    message.header.stamp.sec = 87
    message.data = (grey.astype("<u2") << 4 | 9).tobytes()
    mask = client.answer(camera, message)
    np.testing.assert_array_equal(mask_pixels(mask), threshold_mask(segmenter(np.stack([grey] * 3, 2)), threshold))


def test_a_missing_package_is_named(other_domain_id, small_weights, tmp_path):
    prelude = "sys.modules['safetensors'] = None"
    node = NodeProcess(other_domain_id, tmp_path / "log", prelude, weights=small_weights)
    try:
        node.wait_for_output("Not configured: the Python package safetensors is not installed: pip install safetensors")
        assert "Traceback" not in node.output()
    finally:
        assert node.stop() == 0


def test_a_failed_configure_reports_why_and_the_next_one_works(other_domain_id, small_weights, tmp_path):
    node = NodeProcess(other_domain_id, tmp_path / "log", weights=tmp_path / "none.safetensors")
    client = Client(other_domain_id)
    try:
        node.wait_for_output(f"Not configured: there is no weights file {tmp_path / 'none.safetensors'}")
        assert client.state() == "unconfigured"
        state = client.diagnostics()["state"]
        assert state.level == state.ERROR and "there is no weights file" in state.message
        assert client.set_parameter("weights", str(small_weights)) == ""
        assert client.change_state("configure")
        assert client.change_state("activate")
        client.answer(client.camera(), frame_message(FRAME, "rgb8", 90))
    finally:
        client.close()
        assert node.stop(signal.SIGTERM) == 0
    assert "Traceback" not in node.output()


def test_an_invalid_parameter_ends_the_start_with_a_sentence(domain_id, tmp_path):
    node = NodeProcess(domain_id, tmp_path / "log", threshold=1)
    assert node.process.wait(TIMEOUT) == 2
    assert node.output().splitlines() == [
        "road_seg_node: 'threshold' is a double (0.0 to 1.0), written with a decimal point, not 1"
    ]


def test_the_shipped_weights_find_a_synthetic_road(other_domain_id, shipped_weights, tmp_path):
    from fcn_road_seg.synthetic import SyntheticDrive

    frame = SyntheticDrive(seed=0, frames=1)[0]
    node = NodeProcess(other_domain_id, tmp_path / "log")
    client = Client(other_domain_id)
    try:
        node.wait_for_output("Listening to /image")
        mask = mask_pixels(client.answer(client.camera(), frame_message(frame.image, "rgb8", 1))) != 0
    finally:
        client.close()
        assert node.stop() == 0
    assert str(shipped_weights) in node.output()
    assert np.count_nonzero(mask & frame.road) / np.count_nonzero(mask | frame.road) > 0.8


def test_smoothing_averages_with_the_previous_frame_and_restarts_after_a_gap(client, camera, segmenter, threshold):
    assert client.set_parameter("smoothing", 0.6) == ""
    smooth, masks = TemporalFilter(), []
    for seconds, nanoseconds, frame in ((60, 0, FRAME), (60, 10**8, FRAME[::-1]), (62, 0, FRAME)):
        message = frame_message(frame, "rgb8", seconds)
        message.header.stamp.nanosec = nanoseconds
        masks.append(mask_pixels(client.answer(camera, message)))
        answer = smooth(segmenter(frame), frame, 0.6, seconds * 10**9 + nanoseconds, "front_camera")
        np.testing.assert_array_equal(masks[-1], threshold_mask(answer, threshold))
    assert client.set_parameter("smoothing", 0.0) == ""
    assert (masks[1] != masks[0][::-1]).any() and (masks[2] == masks[0]).all()
