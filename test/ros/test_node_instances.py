"""The node's instances: over DDS from the node as a process, and how they run beside the masks."""

import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from ground_client import CAMERA, FRAME_ID, GroundClient, calibration
from in_process_node import InProcessNode
from node_harness import Client, NodeProcess, frame_message, mask_pixels, qos
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from tiny_instances import write_detector

from fcn_road_seg.errors import FrameError
from fcn_road_seg.frames.image_message import compressed_to_rgb
from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.instances.detector import InstanceDetector
from fcn_road_seg.instances.drawing import draw_instances
from fcn_road_seg.instances.instances import Instances
from fcn_road_seg.postprocess.overlay import overlay
from fcn_road_seg.postprocess.threshold import threshold_mask

FRAME = np.random.default_rng(3).integers(0, 256, (CAMERA.height, CAMERA.width, 3), np.uint8)
THRESHOLD = 0.5
OBSTACLE = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z", "range", "score")] + [(name, "<u2") for name in ("class_id", "instance")]
)
"""A point of ~/obstacles."""


def test_boxes_ids_obstacles_and_the_overlay_are_those_of_the_frame(
    other_domain_id, small_weights, tmp_path, interfaces
):
    from vision_msgs.msg import Detection2DArray

    weights = write_detector(tmp_path / "instances.safetensors")
    parameters = {"instances": True, "instances_weights": weights, "instances_max_fps": 0.0, "threshold": THRESHOLD}
    node = NodeProcess(
        other_domain_id,
        tmp_path / "log",
        interfaces,
        weights=small_weights,
        precision="fp32",
        camera_height=CAMERA.camera_height,
        warm_up_width=CAMERA.width,
        warm_up_height=CAMERA.height,
        **parameters,
    )
    client = None
    try:
        node.wait_for_output("Listening to /image")
        client = Client(other_domain_id)
        camera = client.camera()
        client.answer(camera, frame_message(FRAME, "rgb8", 5))
        assert client.diagnostics()["instances"].message == "no output with instances is subscribed to"
        client.node.destroy_publisher(camera)
        kinds = {"instances": Detection2DArray, "instance_ids": Image, "overlay": Image, "obstacles": PointCloud2}
        listener = GroundClient(client, kinds)
        stamps: set[int] = set()

        def complete() -> set[int]:
            return set.intersection(*(set(messages) for messages in listener.received.values()))

        while not complete():  # until the node knows of the subscriptions, and has its tables
            stamps.add(listener.send(calibration(), FRAME).header.stamp.sec)
            client.spin_for(0.2)
        (stamp, *_) = complete()
        messages = {topic: received[stamp] for topic, received in listener.received.items()}
        mask = next(mask for mask in client.masks if mask.header.stamp.sec == stamp)
        status = client.diagnostics()["instances"]
        listener.close()
    finally:
        if client is not None:
            client.close()
        assert node.stop() == 0
    assert "Traceback" not in node.output() and stamp in stamps
    headers = {topic: message.header for topic, message in messages.items()}
    assert {header.stamp.sec for header in headers.values()} == {mask.header.stamp.sec}
    assert headers.pop("obstacles").frame_id == "base_link"
    assert {header.frame_id for header in headers.values()} == {FRAME_ID}

    found = InstanceDetector.load(weights).detect(FRAME)
    boxes = messages["instances"].detections
    assert len(boxes) == len(found) > 3
    for i, detection in enumerate(boxes):
        (result,) = detection.results
        assert result.hypothesis.class_id == INSTANCE_CLASSES[found.labels[i]]
        assert result.hypothesis.score == pytest.approx(found.scores[i], abs=1e-4)
        middle, half = detection.bbox.center.position, np.array([detection.bbox.size_x, detection.bbox.size_y]) / 2
        corners = [middle.x - half[0], middle.y - half[1], middle.x + half[0], middle.y + half[1]]
        assert corners == pytest.approx(found.boxes[i].tolist(), abs=1e-2)
    ids = messages["instance_ids"]
    assert (ids.encoding, ids.step, ids.is_bigendian) == ("mono16", 2 * CAMERA.width, 0)
    pixels = np.frombuffer(ids.data, "<u2").reshape(ids.height, ids.width)
    assert (pixels == found.ids).mean() > 0.99
    picture = np.frombuffer(messages["overlay"].data, np.uint8).reshape(FRAME.shape)
    expected = draw_instances(overlay(FRAME, mask_pixels(mask)), found)[:, :, ::-1]
    assert (picture == expected).mean() > 0.99

    cloud = messages["obstacles"]
    assert [field.name for field in cloud.fields] == list(OBSTACLE.names) and cloud.height == 1
    obstacles = np.frombuffer(cloud.data, OBSTACLE)
    assert (
        len(obstacles) == cloud.width > 0 and (obstacles["class_id"] == found.labels[obstacles["instance"] - 1]).all()
    )
    np.testing.assert_allclose(obstacles["range"], np.hypot(obstacles["x"], obstacles["y"]), rtol=1e-5)
    points = np.stack([obstacles["x"], obstacles["y"], obstacles["z"]], -1).astype(float)
    np.testing.assert_allclose(CAMERA.project(points), found.feet()[obstacles["instance"] - 1], atol=0.05)
    values = {value.key: value.value for value in status.values}
    assert values["weights"] == str(weights) and values["device"] == "cpu"
    assert float(values["detection p50 (ms)"]) > 0 and int(values["instances"]) == len(found)


class Detector:
    """Finds a car in the left half of every frame, once `go` is set; keeps what it is asked for."""

    device, backend, precision, checkpoint, least_score = "cpu", "torch", "fp32", None, 0.0

    def __init__(self):
        self.go, self.busy = threading.Event(), threading.Event()
        self.frames: list[np.ndarray] = []
        self.fault: Exception | None = None

    def detect(self, image: np.ndarray) -> Instances:
        self.frames.append(image)
        self.busy.set()
        assert self.go.wait(60)
        self.busy.clear()
        if self.fault is not None:
            raise self.fault
        masks = np.zeros((1, *image.shape[:2]), bool)
        masks[:, :, : image.shape[1] // 2] = True
        box = np.array([[0, 0, image.shape[1] // 2, image.shape[0]]], np.float32)
        return Instances(box, np.array([2]), np.array([0.9], np.float32), masks)


@pytest.fixture
def detector(monkeypatch):
    detector = Detector()
    monkeypatch.setattr("fcn_road_seg.ros.node.load_detector", lambda *_: detector)
    yield detector
    detector.go.set()


def subscribed(node: InProcessNode, topic: str, kind: type = Image) -> list:
    """The messages of an output, to which the node knows that somebody listens."""
    received: list = []
    node.client.create_subscription(kind, f"road_seg/{topic}", received.append, qos())
    publisher = next(p for p in node.node.publishers if p.topic_name.endswith(f"/{topic}"))
    node.spin_until(publisher.get_subscription_count, f"the subscription to {topic}")
    node.spin_until(lambda: node.client.count_publishers(f"road_seg/{topic}"), f"the publisher of {topic}")
    return received


def report(node: InProcessNode) -> SimpleNamespace:
    """The node's status of the instances, now."""
    made = node.camera.detection.report()
    return SimpleNamespace(level=made.level, sentence=made.sentence, values=made.values)


def frame(seconds: int) -> Image:
    """A frame whose pixels are its number."""
    return frame_message(np.full((20, 30, 3), seconds, np.uint8), "rgb8", seconds)


def test_an_idle_node_looks_for_nothing_and_wakes_for_instances(context, small_weights, detector, monkeypatch):
    monkeypatch.setattr("fcn_road_seg.ros.demand.IDLE_AFTER", 0.0)
    detector.go.set()
    with InProcessNode(context, small_weights, "idle", listen=False, instances=True, instances_max_fps=0.0) as node:
        node.start()
        node.send(frame(1))
        node.spin_until(lambda: node.camera.statistics.passed_over["idle"], "a frame that is passed over")
        assert not detector.frames
        assert node.diagnostics()["instances"].message == "idle: nobody listens"
        ids = subscribed(node, "instance_ids")
        node.send(frame(2))
        node.spin_until(lambda: ids, "the ids")
        assert [message.header.stamp.sec for message in ids] == [2]


def test_both_overlays_show_the_instances_of_their_frame(context, small_weights, detector):
    detector.go.set()
    with InProcessNode(context, small_weights, "pictures", instances=True) as node:
        node.start()
        pictures, compressed = subscribed(node, "overlay"), subscribed(node, "overlay/compressed", CompressedImage)
        mask = mask_pixels(node.answer(frame(7)))
        node.spin_until(lambda: pictures and compressed, "both overlays")
        road = overlay(np.full((20, 30, 3), 7, np.uint8), mask)
        expected = draw_instances(road, detector.detect(road))
        shown = np.frombuffer(pictures[0].data, np.uint8).reshape(20, 30, 3)[:, :, ::-1]
        np.testing.assert_array_equal(shown, expected)
        assert np.abs(compressed_to_rgb(compressed[0]).astype(int) - expected).mean() < 15
        assert np.abs(expected.astype(int) - road).mean() > 30


def test_masks_do_not_wait_and_the_newest_frame_is_next(context, small_weights, detector):
    with InProcessNode(context, small_weights, "beside", instances=True, instances_max_fps=0.0) as node:
        node.start()
        node.answer(frame(1))
        assert not detector.frames  # nobody listens
        ids = subscribed(node, "instance_ids")
        for seconds in (2, 3, 4):
            node.answer(frame(seconds))  # while the detector is busy
        assert detector.busy.wait(60) and not ids
        detector.go.set()
        node.spin_until(lambda: ids, "the ids")
        node.answer(frame(5))
        node.spin_until(lambda: len(ids) == 2, "the next ids")
        assert [message.header.stamp.sec for message in ids] == [2, 5]
        assert [image[0, 0, 0] for image in detector.frames] == [2, 5]
        pixels = np.frombuffer(ids[0].data, "<u2").reshape(20, 30)
        assert (pixels[:, :15] == 1).all() and not pixels[:, 15:].any()
        assert "one instance in the last frame" in report(node).sentence
        assert "age at publish p50 (ms)" in report(node).values


def test_the_rate_is_limited(context, small_weights, detector, monkeypatch):
    detector.go.set()
    now = [1000.0]
    monkeypatch.setattr("fcn_road_seg.ros.instance_detection.time.monotonic", lambda: now[0])
    detection = None
    with InProcessNode(context, small_weights, "rate", instances=True, instances_max_fps=2.0) as node:
        assert node.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        detection = node.camera.detection
        parameters = node.node._values()
        monkeypatch.setattr(type(detection), "_wanted", lambda self: True)
        started = []
        for tenth in range(21):  # two seconds at 10 Hz
            now[0] = 1000.0 + tenth / 10
            before = len(detector.frames)
            detection.publish(SimpleNamespace(instances=None, image=FRAME, hidden=None, parameters=parameters))
            if detection._running is not None:
                detection._running[1].result(60)
                detection._running = None
            started += [tenth] * (len(detector.frames) - before)
    assert started == [0, 5, 10, 15, 20]


def test_a_frame_of_which_the_detector_fails_has_its_mask_and_the_next_its_instances(context, small_weights, detector):
    detector.go.set()
    with InProcessNode(context, small_weights, "failing", instances=True, instances_max_fps=0.0) as node:
        node.start()
        ids = subscribed(node, "instance_ids")
        faults = (FrameError("memory", "not enough memory for it"), KeyError("a fault of ours"))
        for seconds, detector.fault in enumerate(faults, start=1):
            node.answer(frame(seconds))
            sentence = str(detector.fault)
            node.spin_until(lambda sentence=sentence: sentence in report(node).sentence, "the report")
            assert report(node).level == 1 and report(node).values["frames that failed"] == str(seconds)
        assert [name.partition(" at ")[0] for name in node.node.faults.report().values] == ["KeyError"]
        detector.fault = None
        node.answer(frame(3))
        node.spin_until(lambda: ids, "the ids")
        assert report(node).level == 0


def test_instances_that_are_cut_out_are_those_of_the_masks_frame(context, small_weights, detector):
    detector.go.set()
    segmenter = RoadSegmenter.load(small_weights)
    pixels = np.random.default_rng(4).integers(0, 256, (40, 62, 3), np.uint8)
    threshold = float(np.median(segmenter(pixels)) / 255)
    parameters = {"instances": True, "subtract_instances": True, "threshold": threshold, "min_region": 0.05}
    with InProcessNode(context, small_weights, "cut", **parameters, instances_max_fps=0.001) as node:
        node.start()
        probabilities = subscribed(node, "probability")
        overlays = subscribed(node, "overlay")
        for seconds in (1, 2):
            mask = mask_pixels(node.answer(frame_message(pixels, "rgb8", seconds)))
            assert not mask[:, :31].any() and mask[:, 31:].any()
        node.spin_until(lambda: len(overlays) == 2 and len(probabilities) == 2, "the other outputs")
        probability = np.frombuffer(probabilities[-1].data, np.uint8).reshape(40, 62)
        np.testing.assert_array_equal(threshold_mask(probability, threshold), mask)
        assert len(detector.frames) == 2 and "one instance" in report(node).sentence
        detector.fault = RuntimeError("the network failed")
        node.send(frame_message(pixels, "rgb8", 3))
        node.spin_until(lambda: "RuntimeError" in str(node.node.faults.report()), "the fault")
        assert [message.header.stamp.sec for message in node.masks] == [1, 2]  # a mask with its instances, or none


def test_what_was_looked_for_before_a_deactivation_is_not_published(context, small_weights, detector):
    with InProcessNode(context, small_weights, "stopped", instances=True) as node:
        node.start()
        ids = subscribed(node, "instance_ids")
        node.answer(frame(1))
        assert detector.busy.wait(60)
        assert node.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        detector.go.set()
        assert node.node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        node.spin_for(0.3)
        assert not ids and node.camera.detection._thread is None


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"subtract_instances": True}, "subtract_instances is true, but instances is false"),
        ({"instances": True, "instances_weights": "missing.safetensors"}, "missing.safetensors"),
    ],
)
def test_what_cannot_find_instances_is_refused_before_the_warm_up(
    context, small_weights, parameters, sentence, monkeypatch
):
    monkeypatch.setattr(RoadSegmenter, "warm_up", lambda *_: pytest.fail("warmed up"))
    with InProcessNode(context, small_weights, "refused", **parameters | {"warm_up_width": 64}) as node:
        assert node.node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert sentence in node.node._failure and not node.faults()


def test_a_subscriber_while_instances_are_off_is_told(context, small_weights):
    with InProcessNode(context, small_weights, "off") as node:
        node.start()
        assert (report(node).level, report(node).sentence) == (0, "off")
        subscribed(node, "instance_ids")
        assert report(node).level == 1 and "the parameter instances is false" in report(node).sentence


def test_without_vision_msgs_there_are_no_boxes_and_the_log_says_so(context, small_weights, detector, monkeypatch):
    detector.go.set()
    said = []
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", None)
    monkeypatch.setattr("rclpy.impl.rcutils_logger.RcutilsLogger.info", lambda _, text, **__: said.append(text))
    with InProcessNode(context, small_weights, "boxless", instances=True) as node:
        node.start()
        ids = subscribed(node, "instance_ids")
        node.answer(frame(1))
        node.spin_until(lambda: ids, "the ids")
        assert not node.client.count_publishers("road_seg/instances")
    assert said.count("No ~/instances: the ROS 2 package vision_msgs is not installed") == 1


def test_a_node_may_go_while_the_detector_is_busy(context, small_weights, detector, caplog):
    with InProcessNode(context, small_weights, "gone", instances=True) as node:
        node.start()
        subscribed(node, "instance_ids")
        node.answer(frame(1))
        assert detector.busy.wait(60)
        thread = node.camera.detection._thread
    detector.go.set()
    thread.shutdown()
    assert not caplog.records


def test_obstacles_of_before_a_jump_of_time_are_left_out(context, small_weights, detector, monkeypatch):
    """A frame whose instances come after the stamps went back is of another time, and left out."""
    detector.go.set()
    with InProcessNode(context, small_weights, "jump", instances=True) as node:
        node.start()
        outputs = node.camera.ground_outputs
        served = []
        monkeypatch.setattr(outputs, "_publish_when_possible", lambda frame, info, topics: served.append(frame))
        monkeypatch.setattr(outputs, "_calibration", lambda frame: None)
        monkeypatch.setattr(type(outputs), "wants_instances", True)

        def late(seconds: int) -> SimpleNamespace:
            return SimpleNamespace(stamp=seconds)

        outputs.publish_instances(late(1))
        assert not served  # nobody had subscribed when the frame came
        outputs._waiting_since, outputs._last_stamp = 1.0, 5
        for seconds in (4, 5, 6):
            outputs.publish_instances(late(seconds))
        assert [frame.stamp for frame in served] == [4, 5]
