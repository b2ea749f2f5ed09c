"""Several cameras in one node: each has its own topics, parameters, statuses and faults; the network is one."""

from collections import defaultdict

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from ground_client import CAMERA, calibration
from in_process_node import start_parameters
from node_harness import Client, NodeProcess, Spinning, frame_message, mask_pixels, qos
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from fcn_road_seg.doctor.graph import Graph
from fcn_road_seg.doctor.running import find_cameras
from fcn_road_seg.errors import FrameError
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.inference.segmenter import RoadSegmenter
from fcn_road_seg.postprocess.threshold import threshold_mask
from fcn_road_seg.ros.node import RoadSegNode
from fcn_road_seg.ros.parameter import ParameterError
from fcn_road_seg.ros.scope import scoped

NAMES = "front", "left", "rear"
SIZES = {"front": (47, 155), "left": (60, 80), "rear": (33, 101)}


def picture(camera: str, seconds: int) -> np.ndarray:
    """A frame of a camera, unlike every other."""
    seed = 100 * seconds + NAMES.index(camera)
    return np.random.default_rng(seed).integers(0, 256, (*SIZES[camera], 3), np.uint8)


def frame(camera: str, seconds: int) -> Image:
    return frame_message(picture(camera, seconds), "rgb8", seconds, f"{camera}_optical")


class Vehicle(Spinning):
    """A node with cameras in this process, and a client that has the cameras and listens to the masks of some."""

    def __init__(self, context, weights, listen=NAMES, cameras=NAMES, **parameters):
        overrides = start_parameters(weights, cameras=list(cameras), **parameters)
        self.node = RoadSegNode(context=context, namespace="/car", parameter_overrides=overrides)
        self.client = Node("client", context=context, namespace="/car")
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._executor.add_node(self.client)
        self.masks: dict[str, list[Image]] = defaultdict(list)
        self.cameras = {name: self.client.create_publisher(Image, f"{name}/image", qos()) for name in cameras}
        for name in listen:
            self.client.create_subscription(Image, f"road_seg/{name}/mask", self.masks[name].append, qos())

    def __enter__(self) -> "Vehicle":
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        for name, publisher in self.cameras.items():
            self.spin_until(publisher.get_subscription_count, "the subscription to a camera")
            topic = f"/car/road_seg/{name}/mask"
            self.spin_until(lambda topic=topic: self.client.count_publishers(topic), "the publisher of masks")
        self.spin_for(0.5)  # the node's side of the match
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.client.destroy_node()
        self.node.destroy_node()

    def camera(self, name: str):
        return next(camera for camera in self.node._cameras if camera.name == name)

    def diagnostics(self) -> dict[str, DiagnosticStatus]:
        """The next statuses of the node, by what follows its name."""
        return self.statuses(self.client, "/car/road_seg")


def test_every_mask_belongs_to_the_frame_of_its_camera(other_domain_id, small_weights, tmp_path, monkeypatch):
    """Over DDS, from the node as a process: masks with each camera's own threshold, points with its own calibration."""
    segmenter = RoadSegmenter.load(small_weights)
    frames = {name: picture(name, 7) for name in ("left", "rear")}
    frames["front"] = np.random.default_rng(1).integers(0, 256, (CAMERA.height, CAMERA.width, 3), np.uint8)
    thresholds = {name: round(float(np.median(segmenter(frames[name])) / 255), 3) for name in frames}
    own = {f"{name}.threshold": value for name, value in thresholds.items()}
    own |= {"front.camera_height": CAMERA.camera_height, "front.ground_frame": "front_road"}
    node = NodeProcess(
        other_domain_id,
        tmp_path / "log",
        weights=small_weights,
        precision="fp32",
        cameras="[front, left, rear]",
        warm_up_width=0,
        **own,
    )
    client = None
    try:
        node.wait_for_output("Listening to /rear/image")
        client = Client(other_domain_id)
        received: dict[str, dict[int, object]] = defaultdict(dict)

        def keep(topic: str):
            return lambda message: received[topic].setdefault(message.header.stamp.sec, message)

        kinds = {f"{name}/mask": Image for name in NAMES} | {"front/points": PointCloud2}
        for topic, kind in kinds.items():
            client.node.create_subscription(kind, f"road_seg/{topic}", keep(topic), qos())
        cameras = {name: client.node.create_publisher(Image, f"{name}/image", qos()) for name in NAMES}
        info = client.node.create_publisher(CameraInfo, "front/camera_info", qos())
        seconds = 0
        monkeypatch.setenv("ROS_DOMAIN_ID", str(other_domain_id))
        with Graph() as graph:
            cameras_found = find_cameras(graph, "/road_seg")
        while not all(received[topic] for topic in kinds):
            seconds += 1
            calibrated = calibration()
            calibrated.header.stamp.sec, calibrated.header.stamp.nanosec = seconds, 123_456_789
            info.publish(calibrated)
            for name, publisher in cameras.items():
                publisher.publish(frame_message(frames[name], "rgb8", seconds, f"{name}_optical"))
            client.spin_for(0.3)
    finally:
        if client is not None:
            client.close()
        assert node.stop() == 0
    assert "Traceback" not in node.output() and "no effect" not in node.output()
    raw = "sensor_msgs/msg/Image"
    assert cameras_found == [(name, f"/{name}/image", raw, f"/road_seg/{name}/mask") for name in NAMES]
    for name in NAMES:
        for mask in received[f"{name}/mask"].values():
            assert mask.header.frame_id == f"{name}_optical"
            expected = threshold_mask(segmenter(frames[name]), thresholds[name])
            assert 0 < expected.mean() < 255 and (mask_pixels(mask) == expected).mean() > 0.99
    points = next(iter(received["front/points"].values()))
    assert (points.width, points.height, points.header.frame_id) == (CAMERA.width, CAMERA.height, "front_optical")


def test_each_camera_has_its_own_faults_and_statuses(context, small_weights, monkeypatch):
    with Vehicle(context, small_weights) as vehicle:
        segment = vehicle.node._segmenter.__class__.__call__

        def fail_for_left(segmenter, image):
            if image.shape[:2] == SIZES["left"]:
                raise FrameError("inference", "the network failed on it")
            return segment(segmenter, image)

        monkeypatch.setattr(vehicle.node._segmenter.__class__, "__call__", fail_for_left)
        for seconds in (1, 2):
            for name, publisher in vehicle.cameras.items():
                publisher.publish(frame(name, seconds))
            wanted = [seconds, seconds]
            others = [vehicle.masks[name] for name in ("front", "rear")]
            vehicle.spin_until(lambda: list(map(len, others)) == wanted, "the masks of the others")  # noqa: B023
        dropped = vehicle.camera("left").statistics.dropped
        vehicle.spin_until(lambda: dropped["inference"] == 2, "the frames that are dropped")
        statuses = vehicle.diagnostics()
    assert not vehicle.masks["left"]
    subjects = "frames", "latency", "road", "scene", "ground", "instances"
    assert set(statuses) == {": state", ": faults", ": device"} | {f"/{n}: {s}" for n in NAMES for s in subjects}
    assert statuses["/left: frames"].level == DiagnosticStatus.ERROR
    assert "the network failed on it" in statuses["/left: frames"].message
    assert statuses["/front: frames"].level == statuses["/rear: frames"].level == DiagnosticStatus.OK
    assert {status.hardware_id for status in statuses.values()} == {"/car/road_seg"}


def test_only_the_cameras_to_which_somebody_listens_are_segmented(context, small_weights, monkeypatch):
    monkeypatch.setattr("fcn_road_seg.ros.demand.IDLE_AFTER", 0.0)
    with Vehicle(context, small_weights, listen=("left",)) as vehicle:
        for name, publisher in vehicle.cameras.items():
            publisher.publish(frame(name, 3))
        vehicle.spin_until(lambda: vehicle.masks["left"], "the mask")
        idle = [vehicle.camera(name).statistics.passed_over for name in ("front", "rear")]
        vehicle.spin_until(lambda: all(counts["idle"] == 1 for counts in idle), "the frames that are passed over")
        assert vehicle.diagnostics()["/rear: road"].message == "idle: nobody listens"
        assert vehicle.camera("left").statistics.passed_over["idle"] == 0


def test_enable_pauses_all_cameras(context, small_weights):
    set_bool = pytest.importorskip("std_srvs.srv", reason="std_srvs is not installed").SetBool
    with Vehicle(context, small_weights) as vehicle:
        client = vehicle.client.create_client(set_bool, "road_seg/enable")
        vehicle.spin_until(client.service_is_ready, "the service")
        future = client.call_async(set_bool.Request(data=False))
        vehicle.spin_until(future.done, "an answer")
        for name, publisher in vehicle.cameras.items():
            publisher.publish(frame(name, 4))
        counts = [vehicle.camera(name).statistics.passed_over for name in NAMES]
        vehicle.spin_until(lambda: all(each["paused"] for each in counts), "the frames that are passed over")
        assert vehicle.diagnostics()[": state"].message == "active, paused by ~/enable"


def test_no_camera_starves_when_all_are_faster_than_the_node(context, small_weights):
    """Every camera sends whenever the node is done with a frame of any, so there is always a new frame of each."""
    with Vehicle(context, small_weights) as vehicle:
        seconds = 0
        while sum(map(len, vehicle.masks.values())) < 30:
            seconds += 1
            for name, publisher in vehicle.cameras.items():
                publisher.publish(frame(name, seconds))
            vehicle._executor.spin_once(timeout_sec=0.01)
        counts = {name: len(masks) for name, masks in vehicle.masks.items()}
    assert max(counts.values()) <= 2 * min(counts.values())


def test_a_camera_has_its_own_parameters_and_vehicle(context, small_weights, tmp_path):
    mask, path = np.zeros(SIZES["left"], np.uint8), tmp_path / "left.png"
    mask[30:] = 255
    write_image(path, mask)
    given = {"left.own_vehicle_mask": str(path), "left.max_fps": 5.0, "threshold": 0.001, "rear.threshold": 1.0}
    with Vehicle(context, small_weights, **given) as vehicle:
        for name, publisher in vehicle.cameras.items():
            publisher.publish(frame(name, 1))
        vehicle.spin_until(lambda: len(vehicle.masks) == 3 and all(vehicle.masks.values()), "the masks")
        shown = {name: mask_pixels(masks[0]) for name, masks in vehicle.masks.items()}
        assert shown["front"].all() and not shown["rear"].any()
        assert shown["left"][:30].all() and not shown["left"][30:].any()
        assert [vehicle.node._values(name).max_fps for name in NAMES] == [0.0, 5.0, 0.0]

        def set_parameter(name: str, value: float) -> str:
            return vehicle.node.set_parameters([Parameter(name, value=value)])[0].reason

        assert "rear.threshold" in set_parameter("rear.threshold", 7.0)
        assert set_parameter("rear.threshold", 0.002) == "" and set_parameter("threshold", 0.9) == ""
        assert [vehicle.node._values(name).threshold for name in NAMES] == [0.9, 0.9, 0.002]
        values = {value.key: value.value for value in vehicle.diagnostics()[": device"].values}
        assert values["front own-vehicle mask"] == "none" and values["left own-vehicle mask"] == f"{path} (50.0 %)"


def test_a_parameter_of_a_camera_that_is_not_there_or_of_the_whole_node_is_named(context, small_weights, monkeypatch):
    warned = []
    monkeypatch.setattr("rclpy.impl.rcutils_logger.RcutilsLogger.warning", lambda _, text, **__: warned.append(text))
    parameters = start_parameters(small_weights, cameras=["front"], **{"back.threshold": 0.5, "front.weights": "lite"})
    node = RoadSegNode(context=context, namespace="/car", parameter_overrides=parameters)
    node.destroy_node()
    assert len(warned) == 2 and "'back.threshold', because it has no camera 'back'" in warned[0]
    assert "'front.weights': 'weights' is always for all cameras" in warned[1]
    with pytest.raises(ParameterError, match="'cameras' has the name 'a b'"):
        RoadSegNode(context=context, parameter_overrides=start_parameters(small_weights, cameras=["a b"]))
    with pytest.raises(ParameterError, match="'front.threshold' is a double"):
        parameters = start_parameters(small_weights, cameras=["front"], **{"front.threshold": 3.0})
        RoadSegNode(context=context, parameter_overrides=parameters)


@pytest.mark.parametrize("topic", ["image", "~/mask"])
def test_two_cameras_on_one_topic_are_refused_in_a_sentence(other_domain_id, small_weights, topic):
    renamed = [part for name in ("front", "left") for part in ("-r", f"{scoped(name, topic)}:=/shared")]
    context = Context()
    rclpy.init(args=["--ros-args", *renamed], context=context, domain_id=other_domain_id)
    try:
        with pytest.raises(ParameterError, match="two topics of this node are renamed to /shared: give each camera"):
            parameters = start_parameters(small_weights, cameras=["front", "left"])
            RoadSegNode(context=context, parameter_overrides=parameters)
    finally:
        rclpy.shutdown(context=context)


def test_a_shared_ground_frame_below_two_cameras_is_warned_of(context, small_weights, monkeypatch):
    warned = []
    monkeypatch.setattr("rclpy.impl.rcutils_logger.RcutilsLogger.warning", lambda _, text, **__: warned.append(text))
    parameters = start_parameters(
        small_weights, cameras=["front", "left", "rear"], camera_height=1.5, **{"rear.ground_frame": "rear_ground"}
    )
    node = RoadSegNode(context=context, namespace="/car", parameter_overrides=parameters)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    node.destroy_node()
    (sentence,) = warned
    assert sentence.startswith("front and left have camera_height and the same ground_frame, base_link, so")


def test_no_cameras_in_a_list_are_one_without_a_name(other_domain_id, small_weights, tmp_path):
    node = NodeProcess(other_domain_id, tmp_path / "log", weights=small_weights, cameras="[]", warm_up_width=0)
    node.wait_for_output("Listening to /image")
    assert node.stop() == 0
