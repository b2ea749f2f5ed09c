"""The ground outputs of a camera that moves: each frame is put into metres with the pose of its own stamp, or not."""

import sys
import types
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from geometry_msgs.msg import TransformStamped
from std_msgs.msg import Header
from stub_node import SECOND, Node, stamp_message

from fcn_road_seg.ground import GroundPlane
from fcn_road_seg.ground.lookup import GroundMaps, MapMaker
from fcn_road_seg.ros import ground_outputs
from fcn_road_seg.ros.camera_topics import camera_info, optical_pose
from fcn_road_seg.ros.diagnostics import OK, STALE, WARN
from fcn_road_seg.ros.ground_outputs import GIVEN_UP, MOST_WAITING, GroundOutputs
from fcn_road_seg.ros.parameters import NodeParameters
from fcn_road_seg.ros.segmented_frame import SegmentedFrame
from fcn_road_seg.synthetic import Camera

CAMERA = Camera.of_size(124, 38)
PROBABILITY = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
PROBABILITY[20:, 30:90] = 255
HEIGHT, STEP = 1.65, 0.02


class Prompt(MapMaker):
    """Waits for the tables, so that every frame whose transform is there has outputs."""

    def maps(self, *arguments) -> GroundMaps | None:
        while (maps := super().maps(*arguments)) is None:
            self._future.exception()
        return maps


class Vehicle:
    """The ground outputs of a camera on a vehicle, and what they publish: per stamp in seconds, geometry by topic."""

    def __init__(self):
        self.node = Node()
        self.published: dict[float, dict[str, np.ndarray]] = {}
        faults = SimpleNamespace(guard=lambda task, callback, otherwise: callback)
        self.outputs = GroundOutputs(self.node, self._publisher, faults)
        self.parameters = NodeParameters()
        self.frame(0.001)  # subscribes
        self.node.callbacks["camera_info"](camera_info(CAMERA))
        self.frame(0.002)  # subscribes to TF
        self._send("/tf_static", "mast", "eye", 0, HEIGHT, 0.0)
        self.tf(0.003, 0.0)

    def _publisher(self, kind, topic):
        def publish(message):
            stamp = message.header.stamp.sec + message.header.stamp.nanosec / SECOND
            geometry = self.published.setdefault(round(stamp, 3), {})
            assert topic not in geometry, "published twice"
            geometry[topic.removeprefix("~/")] = _geometry(message)

        return SimpleNamespace(publish=publish, get_subscription_count=lambda: int(topic != "~/camera_info"))

    def _send(self, topic, parent, child, stamp, height, pitch):
        pose = (
            optical_pose(height, pitch)
            if child == "eye"
            else SimpleNamespace(
                translation=(0.0, 0.0, height), rotation=(0.0, np.sin(pitch / 2), 0.0, np.cos(pitch / 2))
            )
        )
        message = TransformStamped(child_frame_id=child)
        message.header = Header(stamp=stamp_message(stamp), frame_id=parent)
        t, r = message.transform.translation, message.transform.rotation
        t.x, t.y, t.z = pose.translation
        r.x, r.y, r.z, r.w = pose.rotation
        self.node.callbacks[topic](SimpleNamespace(transforms=[message]))

    def tf(self, stamp: float, pitch: float) -> None:
        """The pitch of the vehicle at a stamp."""
        self._send("/tf", "base_link", "mast", stamp, 0.0, pitch)

    def frame(self, stamp: float) -> None:
        header = Header(stamp=stamp_message(stamp), frame_id="eye")
        image = np.zeros((*PROBABILITY.shape, 3), np.uint8)
        mask = PROBABILITY
        self.outputs.publish(SegmentedFrame(header, image, PROBABILITY, mask, 0.5, self.parameters))

    def check(self, truth: dict[float, float]) -> None:
        """Check that exactly the frames of `truth`, stamps and pitches, were published, each with its own pose."""
        assert sorted(self.published) == sorted(truth)
        for stamp, geometry in self.published.items():
            for topic, expected in geometry_at(round(truth[stamp], 6)).items():
                np.testing.assert_allclose(geometry[topic], expected, atol=2e-3, err_msg=f"{topic} at {stamp}")

    def values(self) -> dict[str, str]:
        return self.outputs.report().values


def _geometry(message) -> np.ndarray:
    kind = type(message).__name__
    if kind == "PointCloud2":
        return np.frombuffer(bytes(message.data), "<f4").reshape(-1, 4)[:, :3].copy()
    if kind == "OccupancyGrid":
        return np.array(message.data)
    if kind == "LaserScan":
        return np.array(message.ranges)
    return np.array([(point.x, point.y) for point in message.polygon.points])


@cache
def geometry_at(pitch: float) -> dict[str, np.ndarray]:
    """What each topic has at a pitch."""
    from fcn_road_seg.ground import CameraModel

    info = camera_info(CAMERA)
    size = CAMERA.width, CAMERA.height
    camera = CameraModel.from_camera_info(*size, info.k, info.d, info.distortion_model, info.r, info.p, image_size=size)
    # The mast turns about the road below it, so the camera moves as well.
    s, c = np.sin(pitch), np.cos(pitch)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    level = GroundPlane.from_mounting(HEIGHT)
    maps = GroundMaps(
        camera, GroundPlane(turn @ level.rotation, turn @ level.translation), NodeParameters().map_options
    )
    mask = PROBABILITY
    return {
        "points": maps.tables.optical_points().reshape(-1, 3),
        "grid": maps.grid(PROBABILITY, 0.5).ravel(),
        "scan": maps.scan(mask),
        "boundary": maps.boundary(mask).polygon(),
    }


@pytest.fixture
def vehicle(monkeypatch) -> Iterator[Vehicle]:
    module = types.ModuleType("tf2_msgs.msg")
    module.TFMessage = object
    monkeypatch.setitem(sys.modules, "tf2_msgs", types.ModuleType("tf2_msgs"))
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", module)
    monkeypatch.setattr(ground_outputs, "MapMaker", Prompt)
    vehicle = Vehicle()
    yield vehicle
    vehicle.outputs.stop()


def pitch_at(stamp: float) -> float:
    """A step at 100 s."""
    return STEP if stamp >= 100 else 0.0


FRAMES = [99.8, 99.9, 100.0, 100.1, 100.2]
TRUTH = {stamp: pitch_at(stamp) for stamp in FRAMES}


def test_a_step_of_pitch_moves_every_output_far():
    """What the tests below would see if a frame had the pose of its neighbour."""
    before, after = geometry_at(0.0), geometry_at(STEP)
    assert np.nanmax(np.abs(before["points"] - after["points"])) > 3
    for topic in before:
        assert before[topic].shape != after[topic].shape or not np.allclose(before[topic], after[topic], equal_nan=True)


def test_transforms_in_time(vehicle):
    for stamp in FRAMES:
        vehicle.tf(stamp, pitch_at(stamp))
        vehicle.frame(stamp)
    vehicle.check(TRUTH)
    assert vehicle.outputs.report().level == OK and GIVEN_UP not in vehicle.values()


def test_a_frame_waits_for_a_late_transform(vehicle):
    for stamp in FRAMES:
        vehicle.frame(stamp)
        assert not vehicle.published and vehicle.outputs.report().level == STALE
    for stamp in FRAMES:
        vehicle.tf(stamp, pitch_at(stamp))
        vehicle.check({s: pitch for s, pitch in TRUTH.items() if s <= stamp})
    assert vehicle.outputs.report().level == OK and GIVEN_UP not in vehicle.values()


def test_transforms_that_are_always_late_by_two_frames(vehicle):
    for i, stamp in enumerate(FRAMES):
        vehicle.frame(stamp)
        if i >= 2:
            vehicle.tf(FRAMES[i - 2], pitch_at(FRAMES[i - 2]))
    vehicle.check({stamp: TRUTH[stamp] for stamp in FRAMES[:3]})


def test_transforms_out_of_order(vehicle):
    for stamp in (99.9, 99.8, 100.0, 100.3, 100.2):
        vehicle.tf(stamp, pitch_at(stamp))
    for stamp in FRAMES:
        vehicle.frame(stamp)
    vehicle.check(TRUTH)
    vehicle.tf(100.1, 0.5 * STEP)  # too late for the frame, which lay between two
    vehicle.check(TRUTH)


def test_transforms_at_a_lower_rate_than_the_camera(vehicle):
    """Between two transforms lies what is interpolated between them; TF says no more about a step."""
    for stamp in (99.6, 99.65, 99.7, 99.75, 99.8, 99.85, 99.9, 99.95, 100.0, 100.05):
        vehicle.frame(stamp)
        if round(100 * stamp) % 20 == 0:  # every 0.2 s
            vehicle.tf(stamp, pitch_at(stamp))
    steady = dict.fromkeys((99.6, 99.65, 99.7, 99.75, 99.8), 0.0)
    vehicle.check(steady | {99.85: STEP / 4, 99.9: STEP / 2, 99.95: 3 * STEP / 4, 100.0: STEP})


def test_simulated_time_begins_at_zero(vehicle):
    for i in range(1, 6):
        vehicle.frame(i / 10)
    for i in range(1, 6):
        vehicle.tf(i / 10, STEP * (i >= 3))
    vehicle.check({0.1: 0.0, 0.2: 0.0, 0.3: STEP, 0.4: STEP, 0.5: STEP})


@pytest.mark.parametrize("back", [50.0, 0.3])
def test_poses_from_before_the_clock_was_set_back_are_not_used(vehicle, back):
    for stamp in (99.4, 99.5, 99.6, 99.7, 99.8, 99.9, 100.0):
        vehicle.tf(stamp, 0.0)
    vehicle.frame(100.0)
    vehicle.frame(100.05)  # its transform never comes
    now = 100.0 - back
    vehicle.frame(now)
    vehicle.check({100.0: 0.0})
    vehicle.tf(now + 0.05, STEP)
    vehicle.tf(now + 0.15, STEP)
    vehicle.frame(round(now + 0.1, 3))
    vehicle.check({100.0: 0.0, round(now + 0.1, 3): STEP})
    assert vehicle.values()[GIVEN_UP] == "1"


def test_the_time_over_which_the_clock_was_set_forward_is_not_bridged(vehicle):
    vehicle.tf(100.0, 0.0)
    vehicle.frame(100.0)
    for stamp in (149.9, 150.0):
        vehicle.frame(stamp)
        vehicle.check({100.0: 0.0})
    vehicle.tf(149.95, STEP)
    vehicle.tf(150.05, STEP)
    vehicle.check({100.0: 0.0, 150.0: STEP})


def test_a_frame_waits_half_a_second_and_is_counted(vehicle, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(ground_outputs, "time", SimpleNamespace(monotonic=lambda: now))
    vehicle.tf(100.0, 0.0)
    for stamp in (100.0, 100.1, 100.6):
        vehicle.frame(stamp)
    assert vehicle.outputs.report().level == OK and GIVEN_UP not in vehicle.values()
    vehicle.frame(100.7)
    report = vehicle.outputs.report()
    assert report.level == STALE and report.values == {GIVEN_UP: "1"}
    assert report.sentence.startswith("not yet: the newest transform from mast to base_link is 0.10 s older than")
    now += 4
    vehicle.frame(101.2)
    report = vehicle.outputs.report()
    assert report.level == WARN and report.values == {GIVEN_UP: "2"}
    (sentence,) = vehicle.node.log
    assert "Ground outputs are not published: the newest transform from mast to base_link is" in sentence
    vehicle.tf(101.2, 0.0)
    vehicle.frame(101.2)
    vehicle.check({100.0: 0.0, 101.2: 0.0})
    assert vehicle.outputs.report().level == OK


def test_few_frames_wait_at_once_and_the_oldest_keep_their_place(vehicle):
    stamps = [round(100 + i / 100, 3) for i in range(MOST_WAITING + 3)]
    for stamp in stamps:
        vehicle.frame(stamp)
    vehicle.tf(100.0, 0.0)
    vehicle.tf(100.4, 0.0)
    vehicle.check(dict.fromkeys(stamps[:MOST_WAITING], 0.0))
    assert vehicle.values()[GIVEN_UP] == "3"


def test_an_image_without_a_stamp_takes_the_newest_and_does_not_wait(vehicle):
    vehicle.frame(0.0)
    for stamp in (99.0, 99.1):
        vehicle.tf(stamp, pitch_at(stamp))
    vehicle.check({})
    vehicle.frame(0.0)
    vehicle.check({0.0: 0.0})


def test_a_calibration_of_another_frame_is_a_warning(vehicle):
    def report(frame_id: str, stamp: float):
        info = camera_info(CAMERA)
        info.header.frame_id = frame_id
        vehicle.node.callbacks["camera_info"](info)
        vehicle.tf(stamp, 0.0)
        vehicle.frame(stamp)
        return vehicle.outputs.report()

    for stamp, same in enumerate(("", "eye", "/eye"), 10):
        assert report(same, stamp).level == OK and not vehicle.node.log
    sentence = (
        "camera_info is for the frame left_eye, but the images are of eye, so the calibration may be another camera's: "
        "remap camera_info to that of this camera, or make the camera give both one frame_id"
    )
    other = report("left_eye", 13)
    assert (other.level, other.sentence) == (WARN, sentence) and other.values["height above the road (m)"] == "1.650"
    assert vehicle.node.log == [f"The ground outputs may be wrong: {sentence}"]
    assert sorted(vehicle.published)[-1] == 13
    assert report("eye", 14).level == OK


def test_a_fixed_mounting_needs_no_transform_and_ends_the_waiting(vehicle):
    vehicle.frame(100.0)
    vehicle.parameters = NodeParameters(camera_height=HEIGHT)
    vehicle.frame(100.1)
    vehicle.check({100.1: 0.0})
    assert "/tf" not in vehicle.node.callbacks and vehicle.values()[GIVEN_UP] == "1"
