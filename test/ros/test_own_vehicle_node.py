"""The node with an own-vehicle mask, and with min_region: all outputs agree."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import ground_client
from geometry_msgs.msg import PolygonStamped
from ground_client import CAMERA, FRAME, POINT, GroundClient, calibration
from in_process_node import InProcessNode
from node_harness import NodeProcess, frame_message, mask_pixels
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage

from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.image_message import compressed_to_rgb, fill_compressed
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.ground import CameraModel, GroundPlane
from fcn_road_seg.ground.lookup import GroundMaps
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.postprocess.labels import labels_and_confidence
from fcn_road_seg.postprocess.overlay import overlay
from fcn_road_seg.postprocess.small_regions import without_small_regions
from fcn_road_seg.postprocess.threshold import threshold_mask
from fcn_road_seg.ros.parameters import NodeParameters
from fcn_road_seg.ros.pixel_outputs import OUTPUTS

KINDS = ground_client.KINDS | {topic: kind for topic, (kind, _) in OUTPUTS.items()} | {"boundary": PolygonStamped}
HEIGHT, MIN_REGION = 1.65, 0.01


@pytest.fixture(scope="module")
def mask_file(tmp_path_factory):
    """A bonnet, and a mast at the left that hides whole bearings, in half the camera's size."""
    width, height = CAMERA.width // 2, CAMERA.height // 2
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height), (width * 3 // 4, height // 5), 0, 0, 360, 255, cv2.FILLED)
    mask[:, 20:26] = 255
    path = tmp_path_factory.mktemp("mask") / "own_vehicle.png"
    write_image(path, mask)
    return path


@pytest.fixture(scope="module")
def hidden(mask_file) -> np.ndarray:
    return OwnVehicle(mask_file).hidden(CAMERA.height, CAMERA.width)


@pytest.fixture(scope="module")
def raw(small_weights) -> np.ndarray:
    return RoadSegmenter.load(small_weights)(FRAME)


@pytest.fixture(scope="module")
def threshold(raw) -> float:
    """A threshold that splits the result for FRAME in two."""
    return float(np.median(raw) / 255)


@pytest.fixture(scope="module")
def node(domain_id, small_weights, threshold, mask_file, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    options = {"own_vehicle_mask": mask_file, "min_region": MIN_REGION, "camera_height": HEIGHT}
    node = NodeProcess(domain_id, log, weights=small_weights, threshold=threshold, **options)
    node.wait_for_output("Listening to /image")
    yield node
    assert node.stop() == 0
    assert "Traceback" not in node.output()


@pytest.fixture(scope="module")
def listener(client):
    listener = GroundClient(client, KINDS)
    yield listener
    listener.close()


@pytest.fixture(scope="module")
def answers(listener) -> dict:
    return listener.until_received(calibration(), *KINDS)


@pytest.fixture(scope="module")
def probability(raw, hidden, threshold) -> np.ndarray:
    """What all outputs are made from."""
    return without_small_regions(raw & ~hidden, threshold, MIN_REGION, hidden)


def test_every_output_is_looked_at_here(client, answers):
    """A new output of the node needs a check below."""
    topics = {name for name, _ in client.node.get_publisher_names_and_types_by_node("road_seg", "/")}
    outputs = {name.removeprefix("/road_seg/") for name in topics if name.startswith("/road_seg/")}
    of_instances = {"instances", "instance_ids", "obstacles"}  # see Instances.without_own_vehicle and its test
    assert outputs - {"mask", "camera_info", "label_info", "transition_event"} - of_instances == set(KINDS)


def test_the_vehicle_is_never_road_and_unknown_in_the_labels(answers, raw, probability, threshold, hidden):
    mask, own = mask_pixels(answers["mask"]), hidden != 0
    assert (threshold_mask(raw, threshold)[own] != 0).mean() > 0.1
    np.testing.assert_array_equal(mask, threshold_mask(probability, threshold))
    np.testing.assert_array_equal(mask_pixels(answers["probability"]), probability)
    labels, confidence = labels_and_confidence(probability, threshold, 0.0, hidden)
    np.testing.assert_array_equal(mask_pixels(answers["labels"]), labels)
    np.testing.assert_array_equal(mask_pixels(answers["confidence"]), confidence)
    assert not mask[own].any() and not probability[own].any()
    assert (labels[own] == 255).all() and not confidence[own].any()
    np.testing.assert_array_equal(labels[~own] == 1, mask[~own] == 255)
    assert set(np.unique(labels[~own])) == {0, 1}
    picture = np.frombuffer(answers["overlay"].data, np.uint8).reshape(FRAME.shape)[..., ::-1]
    np.testing.assert_array_equal(picture, overlay(FRAME, mask))
    np.testing.assert_array_equal(picture[own], FRAME[own])
    np.testing.assert_array_equal(compressed_to_rgb(answers["mask/compressed"])[..., 0], mask)
    jpeg = fill_compressed(CompressedImage(), picture[..., ::-1], NodeParameters().jpeg_quality)
    assert answers["overlay/compressed"].data == jpeg.data


def test_crumbs_are_gone_from_every_output(answers, raw, threshold, hidden):
    plain = threshold_mask(raw & ~hidden, threshold)
    mask = mask_pixels(answers["mask"])
    assert (mask != plain).any()
    sizes = cv2.connectedComponentsWithStats(mask)[2][1:, cv2.CC_STAT_AREA]
    before = cv2.connectedComponentsWithStats(plain)[2][1:, cv2.CC_STAT_AREA]
    assert before.min() < MIN_REGION * mask.size * 0.5 < sizes.min()


def test_the_vehicle_is_unknown_in_metres(answers, probability, threshold, hidden):
    info = calibration()
    size = info.width, info.height
    camera = CameraModel.from_camera_info(*size, info.k, info.d, info.distortion_model, info.r, info.p, image_size=size)
    plane, options = GroundPlane.from_mounting(HEIGHT), NodeParameters().map_options
    maps, without = GroundMaps(camera, plane, options, hidden), GroundMaps(camera, plane, options)
    mask, own = mask_pixels(answers["mask"]), hidden != 0
    points = np.frombuffer(answers["points"].data, POINT).reshape(CAMERA.height, CAMERA.width)
    assert np.isnan(points["x"][own]).all() and (points["label"][own] == 255).all()
    there = ~np.isnan(without.tables.xy[..., 0])
    assert (there & own).mean() > 0.02 and np.isfinite(points["x"][there & ~own]).all()

    cells = np.array(answers["grid"].data, np.int8).reshape(200, 400)
    np.testing.assert_array_equal(cells, maps.grid(probability, threshold))
    seen = without.grid(probability, threshold) >= 0
    assert (cells[~seen] == -1).all() and 100 < (cells[seen] == -1).sum() < 0.5 * seen.sum()

    edges = np.array([(point.x, point.y) for point in answers["boundary"].polygon.points], np.float32)
    np.testing.assert_array_equal(edges, maps.boundary(mask).polygon())

    ranges = np.array(answers["scan"].ranges, np.float32)
    np.testing.assert_array_equal(ranges, maps.scan(mask))
    bearings = answers["scan"].angle_min + answers["scan"].angle_increment * np.arange(len(ranges))
    mast = np.arctan((CAMERA.cx - np.array([41, 51])) / CAMERA.fx)
    behind_the_mast = (bearings < mast[0] - 0.01) & (bearings > mast[1] + 0.01)
    assert behind_the_mast.any() and np.isnan(ranges[behind_the_mast]).all()
    assert not np.isnan(ranges[(bearings > 0) & (bearings < mast[1] - 0.02)]).any()


def test_smoothing_does_not_spread_over_the_vehicle(client, listener, hidden):
    assert client.set_parameter("smoothing", 0.9) == ""
    for _ in range(3):
        mask = mask_pixels(listener.send(calibration()))
        assert not mask[hidden != 0].any() and mask.any()
    assert client.set_parameter("smoothing", 0.0) == ""


def test_min_region_changes_while_running_and_the_mask_file_does_not(client, listener, raw, hidden, threshold):
    assert client.set_parameter("min_region", 0.0) == ""
    np.testing.assert_array_equal(mask_pixels(listener.send(calibration())), threshold_mask(raw & ~hidden, threshold))
    assert client.set_parameter("min_region", MIN_REGION) == ""
    assert "cannot be 0.2" in client.set_parameter("min_region", 0.2)
    reason = client.set_parameter("own_vehicle_mask", "")
    assert reason == "'own_vehicle_mask' is read when the node configures: clean the node up, set it, configure again"


def test_diagnostics_and_the_log_name_the_file(client, node, mask_file, answers):
    values = {value.key: value.value for value in client.diagnostics()["device"].values}
    own = OwnVehicle(mask_file)
    assert values["own-vehicle mask"] == f"{mask_file} ({100 * own.share:.1f} %)"
    assert values["own-vehicle mask SHA-256"] == own.sha256
    node.wait_for_output(f"Own-vehicle mask {mask_file}: {100 * own.share:.1f} % of the image is never road")


def test_another_aspect_ratio_is_a_sentence_and_no_mask(client, camera, listener, node):
    count = len(client.masks)
    camera.publish(frame_message(FRAME[:, :200], "rgb8", 5))
    node.wait_for_output("is 155x47, but the frame 200x94 has another aspect ratio: make the mask from a frame of")
    listener.send(calibration())
    assert len(client.masks) == count + 1
    frames = {value.key: value.value for value in client.diagnostics()["frames"].values}
    assert frames["frames dropped: own_vehicle_mask"] == "1"


def test_a_mask_that_cannot_be_used_leaves_the_node_unconfigured(context, small_weights, tmp_path):
    def refused(name: str) -> str:
        with InProcessNode(context, small_weights, "/other", own_vehicle_mask=str(tmp_path / name)) as other:
            assert other.node.trigger_configure() == TransitionCallbackReturn.FAILURE
            return other.node._failure

    assert f"Not configured: there is no own-vehicle mask {tmp_path}/none.png: name an image" in refused("none.png")
    write_image(tmp_path / "black.png", np.zeros((9, 9), np.uint8))
    assert "black.png marks no pixel: mark the vehicle, and only that; fix that, then" in refused("black.png")
