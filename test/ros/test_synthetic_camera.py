"""The synthetic camera over DDS: its messages match the renderer and share a header."""

import signal
import time
from dataclasses import astuple
from functools import partial

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from camera_process import TIMEOUT, CameraProcess
from node_harness import Client, mask_pixels, qos
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from fcn_road_seg.frames.image_message import image_to_rgb
from fcn_road_seg.ground import GroundPlane
from fcn_road_seg.ros.camera_topics import optical_pose
from fcn_road_seg.ros.synthetic_camera import CameraParameters, chosen_camera
from fcn_road_seg.synthetic import CAMERAS, Camera, SyntheticDrive

CAMERA = Camera.of_size(138, 43)
FRAMES = 3
RATE = 10.0
PARAMETERS = {
    "width": 138,
    "height": 43,
    "frames": FRAMES,
    "rate": RATE,
    "seed": 5,
    "weather": "wet",
    "frame_id": "eye",
}


@pytest.fixture(scope="module")
def camera(domain_id):
    with CameraProcess(domain_id, **PARAMETERS) as process:
        yield process
        assert process.end()[0] == 0


class ReceivedFrames:
    """The camera's messages by topic."""

    def __init__(self, client: Client, count: int):
        self.images: list[Image] = []
        self.truths: list[Image] = []
        self.infos: list[CameraInfo] = []
        self.arrived: list[float] = []
        deep = qos(depth=1000)  # a busy machine may not take frames for seconds
        client.node.create_subscription(Image, "camera/image_raw", self.on_image, deep)
        client.node.create_subscription(Image, "camera/truth", self.truths.append, deep)
        client.node.create_subscription(CameraInfo, "camera/camera_info", self.infos.append, deep)
        client.spin_until(
            lambda: min(map(len, (self.images, self.truths, self.infos))) >= count, f"{count} frames of the camera"
        )

    def on_image(self, message: Image) -> None:
        self.arrived.append(time.monotonic())
        self.images.append(message)


@pytest.fixture(scope="module")
def received(camera, domain_id):
    client = Client(domain_id)
    yield ReceivedFrames(client, 12)
    client.close()


def stamp_seconds(message) -> float:
    return message.header.stamp.sec + message.header.stamp.nanosec / 1e9


def by_stamp(messages) -> dict:
    return {stamp_seconds(message): message for message in messages}


def test_image_truth_and_calibration_have_one_header(received):
    images, truths, infos = map(by_stamp, (received.images, received.truths, received.infos))
    common = images.keys() & truths.keys() & infos.keys()
    assert len(common) >= 10  # all but those sent before all three publishers were discovered
    for message in (*received.images, *received.truths, *received.infos):
        assert message.header.frame_id == "eye"
    assert abs(max(images) - time.time()) < TIMEOUT


def test_the_pixels_are_the_renderer_s(received):
    drive = SyntheticDrive(seed=5, frames=FRAMES, camera=CAMERA, rate=RATE, weather="wet", scene="residential")
    frames = [drive[index] for index in range(FRAMES)]
    truths = by_stamp(received.truths)
    seen = []
    for image in received.images:
        assert image.encoding == "bgr8"
        pixels = image_to_rgb(image)
        (index,) = (i for i, frame in enumerate(frames) if np.array_equal(frame.image, pixels))
        seen.append(index)
        truth = truths.get(stamp_seconds(image))
        if truth is not None:
            np.testing.assert_array_equal(mask_pixels(truth), np.where(frames[index].road, 255, 0))
    assert seen == [(seen[0] + i) % FRAMES for i in range(len(seen))]


def test_the_calibration_is_the_renderer_s(received):
    info = received.infos[-1]
    assert (info.width, info.height, info.distortion_model) == (138, 43, "plumb_bob")
    k = np.reshape(info.k, (3, 3))
    p = np.reshape(info.p, (3, 4))
    np.testing.assert_array_equal(p, np.c_[k, np.zeros(3)])
    np.testing.assert_array_equal(np.reshape(info.r, (3, 3)), np.eye(3))
    assert list(info.d) == [0.0] * 5
    point = np.array([[9.0, 1.5, 0.4]])  # in the ground frame
    optical = (point - (0, 0, CAMERA.camera_height)) @ rotation(*optical_pose(CAMERA.camera_height, 0.0).rotation)
    pixel = k @ optical[0]
    np.testing.assert_allclose(pixel[:2] / pixel[2], CAMERA.project(point)[0])


def test_the_rate_is_the_parameter_s(received):
    stamps = sorted(by_stamp(received.images))
    assert np.median(np.diff(stamps)) == pytest.approx(1 / RATE, rel=0.3)
    assert (stamps[-1] - stamps[0]) / (len(stamps) - 1) == pytest.approx(1 / RATE, rel=0.5)


def rotation(x: float, y: float, z: float, w: float) -> np.ndarray:
    """The matrix of a unit quaternion."""
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@pytest.mark.parametrize("pitch", [0.0, 0.1, -0.3])
def test_the_optical_frame_is_rep_103_s_and_the_renderer_s(pitch):
    pose = optical_pose(1.2, pitch)
    matrix = rotation(*pose.rotation)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(matrix[:, 0], [0, -1, 0], atol=1e-12)  # right
    np.testing.assert_allclose(matrix[:, 2], [np.cos(pitch), 0, -np.sin(pitch)], atol=1e-12)  # forward, down by pitch
    camera = Camera(camera_height=1.2, pitch=pitch)
    points = np.random.default_rng(0).uniform((4, -3, 0), (40, 3, 2), (20, 3))
    optical = (points - pose.translation) @ matrix
    pixels = optical[:, :2] / optical[:, 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    np.testing.assert_allclose(pixels, camera.project(points))


def test_the_optical_pose_is_the_mounting_of_the_ground_plane():
    pose, plane = optical_pose(1.2, 0.2, -0.1), GroundPlane.from_mounting(1.2, 0.2, -0.1)
    np.testing.assert_allclose(rotation(*pose.rotation), plane.rotation, atol=1e-12)
    np.testing.assert_allclose(pose.translation, plane.translation)


def test_the_pose_of_the_camera_goes_to_tf_static(other_domain_id, interfaces):
    from tf2_msgs.msg import TFMessage

    latched, received = qos(), []
    latched.durability = DurabilityPolicy.TRANSIENT_LOCAL
    client = Client(other_domain_id)
    try:
        with CameraProcess(other_domain_id, interfaces, **PARAMETERS) as camera:
            camera.wait_for("Publishing /camera/image_raw")
            client.node.create_subscription(TFMessage, "/tf_static", received.append, latched)  # after it was sent
            client.spin_until(lambda: received, "the transform")
            (info,) = client.node.get_publishers_info_by_topic("/tf_static")
            assert camera.end()[0] == 0
    finally:
        client.close()
    ((sent,),) = [message.transforms for message in received]
    pose = optical_pose(1.65, 0.0)
    assert (sent.header.frame_id, sent.child_frame_id) == ("base_link", "eye")
    assert (sent.transform.translation.z, sent.transform.rotation.z) == (pose.translation[2], pose.rotation[2])
    assert (info.qos_profile.durability, info.qos_profile.reliability) == (
        DurabilityPolicy.TRANSIENT_LOCAL,
        ReliabilityPolicy.RELIABLE,
    )
    if hasattr(info, "topic_type_hash"):  # that of the public definition
        digest = "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"
        assert str(info.topic_type_hash) == f"RIHS01_{digest}"


def test_without_tf2_msgs_it_warns_once_and_goes_on(other_domain_id):
    prelude = "sys.modules['tf2_msgs'] = None"
    with CameraProcess(other_domain_id, prelude, **PARAMETERS) as camera:
        text = camera.wait_for("Publishing /camera/image_raw, 138x43 at 10 Hz: residential, wet, seed 5")
        assert text.count("No /tf_static") == 1
        client = Client(other_domain_id)
        ReceivedFrames(client, 1)  # rcl complains of a signal that comes before the line has gone to /rosout
        client.close()
        assert camera.end(signal.SIGTERM) == (0, "")
    assert "Rendering the drive: 0 of 3 frames" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_renders_ends_it_cleanly(domain_id, number):
    with CameraProcess(domain_id, frames=1000) as camera:
        camera.wait_for("Rendering the drive: 0 of 1000 frames")
        code, text = camera.end(number)
    assert code == 0
    assert "Traceback" not in text and "Publishing" not in text


def test_a_camera_has_its_own_size_unless_another_is_asked_for():
    for parameters, camera in (
        ({}, Camera()),
        ({"width": 621, "height": 188}, Camera.of_size(621, 188)),
        ({"camera": "robot"}, CAMERAS["robot"]),
        ({"camera": "windscreen", "height": 960}, CAMERAS["windscreen"].resized(1280, 960)),
    ):
        assert astuple(chosen_camera(CameraParameters(**parameters))) == pytest.approx(astuple(camera))


def test_the_camera_behind_a_windscreen_publishes_its_truth(other_domain_id):
    size = {"width": 96, "height": 54}
    with CameraProcess(other_domain_id, camera="windscreen", frames=1, rate=RATE, weather="rain", **size) as process:
        process.wait_for("Publishing /camera/image_raw, 96x54 at 10 Hz: residential, rain, seed 0")
        client = Client(other_domain_id)
        received = ReceivedFrames(client, 1)
        client.close()
        assert process.end()[0] == 0
    camera = CAMERAS["windscreen"].resized(**size)
    np.testing.assert_allclose(received.infos[0].k[0], camera.fx)
    frame = SyntheticDrive(frames=1, camera=camera, rate=RATE, weather="rain", scene="residential")[0]
    np.testing.assert_array_equal(mask_pixels(received.truths[0]), np.where(frame.road, 255, 0))


def test_several_cameras_publish_their_own_streets_in_turn(other_domain_id):
    received: list[tuple[str, Image]] = []
    with CameraProcess(other_domain_id, **PARAMETERS | {"frames": 1}, cameras="[front, left]") as camera:
        camera.wait_for("Publishing /left/camera/image_raw, 138x43 at 10 Hz: residential, wet, seed 6")
        client = Client(other_domain_id)
        for name in ("front", "left"):
            keep = partial(lambda name, message: received.append((name, message)), name)
            client.node.create_subscription(Image, f"{name}/camera/image_raw", keep, qos(depth=1000))
        client.spin_until(lambda: {name for name, _ in received} == {"front", "left"} and len(received) > 8, "frames")
        assert client.set_parameter("rate", 20.0, "road_seg_camera").startswith("'rate' is read only when the node")
        client.close()
        assert camera.end()[0] == 0
    assert {(name, message.header.frame_id) for name, message in received} == {
        ("front", "front_eye"),
        ("left", "left_eye"),
    }
    for seed, name in ((5, "front"), (6, "left")):
        drive = SyntheticDrive(seed=seed, frames=1, camera=CAMERA, rate=RATE, weather="wet", scene="residential")
        image = next(message for camera, message in received if camera == name)
        np.testing.assert_array_equal(image_to_rgb(image), drive[0].image)
    stamps = sorted((stamp_seconds(message), name) for name, message in received)
    assert np.median(np.diff([stamp for stamp, _ in stamps])) == pytest.approx(1 / (2 * RATE), rel=0.5)


REPORT_THE_ORDER = """
import rclpy.signals as signals
def reported(function):
    def run(*arguments):
        print(function.__name__)
        return function(*arguments)
    return run
signals.uninstall_signal_handlers = reported(signals.uninstall_signal_handlers)
signals.SignalHandlerGuardCondition.destroy = reported(signals.SignalHandlerGuardCondition.destroy)
"""


def test_the_thread_that_handles_signals_ends_before_what_it_uses(other_domain_id):
    with CameraProcess(other_domain_id, REPORT_THE_ORDER, **PARAMETERS) as camera:
        camera.wait_for("Publishing")
        code, text = camera.end()
    assert code == 0
    first, *others = [line for line in text.splitlines() if line.isidentifier()]
    assert first == "uninstall_signal_handlers" and set(others) == {"destroy"}


SIGNAL_AT_RCLPY = """
import os
class Finder:
    def find_spec(self, name, *_):
        if name == "rclpy":
            os.kill(os.getpid(), 2)
sys.meta_path.insert(0, Finder())
"""


def test_a_signal_before_ros_is_imported_ends_it_cleanly(domain_id):
    with CameraProcess(domain_id, SIGNAL_AT_RCLPY) as camera:
        text, _ = camera.process.communicate(timeout=TIMEOUT)
        assert (camera.process.returncode, text) == (0, "")


@pytest.mark.parametrize(
    "parameters, text",
    [
        ({"rate": 5}, "'rate' is a double (0.1 to 1000.0), written with a decimal point, not 5"),
        ({"frames": 0}, "'frames' is an integer (1 to 1000) and cannot be 0"),
        ({"weather": "hail"}, "and cannot be 'hail'"),
        ({"camera": "drone"}, "kitti, windscreen, robot, hd, vga, sxga"),
        ({"cameras": "[left, left]"}, "'cameras' has the name 'left' twice"),
    ],
)
def test_a_bad_parameter_is_one_sentence(domain_id, parameters, text):
    with CameraProcess(domain_id, **parameters) as camera:
        output, _ = camera.process.communicate(timeout=TIMEOUT)
        assert camera.process.returncode == 2
    (sentence,) = output.splitlines()
    assert sentence.startswith("road_seg_camera: ") and text in sentence
