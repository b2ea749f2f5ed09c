"""The vehicle's attitude from IMU and odometry: which messages count, for which frame, and what TF may do meanwhile."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from geometry_msgs.msg import Quaternion, Vector3
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Imu, LaserScan
from std_msgs.msg import Header
from stub_node import Node, stamp_message

from fcn_road_seg.ground import GroundError, GroundPlane
from fcn_road_seg.ground.gravity import GRAVITY
from fcn_road_seg.ground.lookup import GroundMaps, MapMaker
from fcn_road_seg.ros import attitude_subscription, camera_info_subscription, ground_outputs
from fcn_road_seg.ros.attitude_subscription import AttitudeSubscription
from fcn_road_seg.ros.camera_info_subscription import NotYetError
from fcn_road_seg.ros.camera_topics import camera_info, optical_pose
from fcn_road_seg.ros.diagnostics import OK
from fcn_road_seg.ros.ground_attitude import GroundAttitude
from fcn_road_seg.ros.ground_outputs import GIVEN_UP, GroundOutputs
from fcn_road_seg.ros.ground_transform import GroundTransform
from fcn_road_seg.ros.history import LateTransformError
from fcn_road_seg.ros.parameters import NodeParameters
from fcn_road_seg.ros.segmented_frame import SegmentedFrame
from fcn_road_seg.ros.transform_tree import TransformTree
from fcn_road_seg.synthetic import Camera

SECOND = 10**9
NOT_PROVIDED = [-1.0] + [0.0] * 8


def about_y(angle: float) -> Quaternion:
    """Nose down by an angle."""
    return Quaternion(y=math.sin(angle / 2), w=math.cos(angle / 2))


def imu(stamp: float, pitch: float = 0.0, frame: str = "imu_link", **fields) -> Imu:
    """An Imu with an orientation, at rest."""
    message = Imu(header=Header(stamp=stamp_message(stamp), frame_id=frame), orientation=about_y(pitch))
    message.linear_acceleration = Vector3(x=-GRAVITY * math.sin(pitch), z=GRAVITY * math.cos(pitch))
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def raw(stamp: float, pitch: float = 0.0, rate: float = 0.0, **fields) -> Imu:
    """An Imu that has no orientation."""
    covariance = {"orientation_covariance": NOT_PROVIDED, "angular_velocity": Vector3(y=rate)}
    return imu(stamp, pitch, **covariance | fields)


def odom(stamp: float, pitch: float = 0.0, speed: float = 0.0) -> Odometry:
    message = Odometry(header=Header(stamp=stamp_message(stamp), frame_id="odom"), child_frame_id="base_link")
    message.pose.pose.orientation = about_y(pitch)
    message.twist.twist.linear.x = speed
    return message


class Sensor:
    """The subscription under test, and the messages that it gets."""

    def __init__(self, kind: str = "imu", window: float = 0.0):
        self.kind, self.node = kind, Node()
        self.subscription = AttitudeSubscription(self.node, lambda: None, lambda: window)
        self.subscription.start(kind)

    def send(self, *messages) -> "Sensor":
        for message in messages:
            self.node.callbacks[self.kind](message)
        return self

    def pitch(self, stamp: float) -> float:
        """Radians, against the average."""
        _, (down, level) = self.subscription.at(round(stamp * SECOND))
        return math.atan2(down[0], -down[2]) - math.atan2(level[0], -level[2])

    def absolute(self, stamp: float) -> float:
        _, (down, _) = self.subscription.at(round(stamp * SECOND))
        return math.atan2(down[0], -down[2])


@pytest.fixture(autouse=True)
def stub_subscriptions(monkeypatch):
    def subscribe(node, kind, topic, callback, depth=1):
        return node.create_subscription(kind, topic, callback, None)

    for module in (attitude_subscription, camera_info_subscription):
        monkeypatch.setattr(module, "create_overridable_subscription", subscribe)


def test_the_orientation_is_interpolated_and_never_extrapolated():
    sensor = Sensor().send(imu(10.0), imu(10.2, 0.02), imu(10.9, 0.04))
    assert sensor.absolute(10.2) == pytest.approx(0.02)
    assert sensor.absolute(10.05) == pytest.approx(0.005, abs=1e-6)
    assert sensor.absolute(0.0) == pytest.approx(0.04)  # an image without a stamp takes the newest
    for stamp, text in ((10.95, "newest attitude on imu is 0.05 s older"), (9.9, "oldest"), (10.5, "not published")):
        with pytest.raises(LateTransformError, match=text):
            sensor.absolute(stamp)


def test_without_an_orientation_accelerometer_and_gyroscope_count():
    sensor = Sensor().send(*(raw(10 + i / 100) for i in range(300)))
    sensor.send(*(raw(13 + i / 100, rate=0.1) for i in range(1, 31)))  # turns by 0.03, and the accelerometer does not
    assert sensor.absolute(13.3) == pytest.approx(0.03, abs=0.003)
    assert sensor.subscription.source == "accelerometer and gyroscope of imu_link on imu"


def test_the_filter_settles_before_it_is_used():
    sensor = Sensor().send(*(raw(10 + i / 100, pitch=0.05) for i in range(150)))
    with pytest.raises(NotYetError, match="no attitude has come"):
        sensor.absolute(11.0)
    sensor.send(*(raw(11.5 + i / 100, pitch=0.05) for i in range(100)))
    assert sensor.absolute(12.2) == pytest.approx(0.05, abs=1e-3)


def test_a_quaternion_of_length_0_is_no_orientation():
    """Drivers that know nothing of REP-145 leave it empty."""
    sensor = Sensor().send(*(imu(10 + i / 100, orientation=Quaternion(w=0.0)) for i in range(300)))
    assert sensor.absolute(12.9) == pytest.approx(0.0) and "gyroscope" in sensor.subscription.source


@pytest.mark.parametrize(
    "fields, text",
    [
        ({"linear_acceleration_covariance": NOT_PROVIDED}, "an orientation, or both acceleration and angular velocity"),
        ({"angular_velocity_covariance": NOT_PROVIDED}, "an orientation, or both acceleration and angular velocity"),
        ({"linear_acceleration": Vector3(z=math.nan)}, "an orientation, or both acceleration and angular velocity"),
        ({"linear_acceleration": Vector3(z=1.0)}, r"the acceleration is 1 m/s\^2 on average, not 9.8"),
        ({"header": Header(stamp=stamp_message(10.0))}, "they do not name the sensor's frame"),
        ({"header": Header(frame_id="imu_link")}, "they have no stamp"),
    ],
)
def test_messages_that_give_no_attitude_are_described(fields, text):
    sensor = Sensor().send(*(raw(10 + i / 100, **fields) for i in range(300)))
    with pytest.raises(GroundError, match=text):
        sensor.absolute(12.0)


def test_odometry_gives_the_attitude_of_its_child_frame():
    sensor = Sensor("odom").send(odom(10.0), odom(10.1, 0.02))
    assert sensor.absolute(10.05) == pytest.approx(0.01, abs=1e-6)
    assert sensor.subscription.at(0)[0] == "base_link"


@pytest.mark.parametrize("speeds, held", [(0.0, False), (-4.0, True)])
def test_the_average_stays_while_the_odometry_brakes(speeds, held):
    sensor = Sensor("odom", window=3.0).send(*(odom(10 + i / 50, speed=20.0) for i in range(500)))
    sensor.send(*(odom(20 + i / 50, pitch=0.02, speed=20 + speeds * i / 50) for i in range(150)))
    assert (sensor.pitch(22.9) > 0.018) == held


def test_time_that_jumps_back_forgets_the_attitude():
    sensor = Sensor().send(imu(100.0), imu(100.1))
    sensor.send(imu(50.0, 0.03), imu(50.1, 0.03))
    assert sensor.absolute(50.05) == pytest.approx(0.03)
    with pytest.raises(LateTransformError):
        sensor.absolute(100.05)


def test_messages_out_of_order_are_left_out():
    sensor = Sensor().send(imu(10.0), imu(10.2), imu(10.1, 0.5), imu(10.2, 0.5), imu(10.3))
    assert sensor.absolute(10.1) == pytest.approx(0.0) and sensor.absolute(10.2) == pytest.approx(0.0)


# With TF


class Tilted:
    """The tilt of a vehicle that has an IMU and TF."""

    def __init__(self, monkeypatch, **parameters):
        self.sensor = Node()
        self.transform = GroundTransform(self.sensor, lambda: None)
        monkeypatch.setattr(self.transform, "_start", lambda: None)
        self.tree: TransformTree = self.transform._tree
        self.attitude = GroundAttitude(self.sensor, lambda: None, self.transform)
        values = {"attitude": "imu", "attitude_window": 0.0} | parameters
        self.frame = SimpleNamespace(
            parameters=NodeParameters(**values), header=Header(frame_id="eye"), stamp=round(10.05 * SECOND)
        )

    def __call__(self, pitch: float = 0.02, plane: GroundPlane | None = None) -> np.ndarray:
        plane = plane or GroundPlane.from_mounting(1.65, 0.1)
        for _ in range(2):  # the first call subscribes
            try:
                return self.attitude.tilt(self.frame, plane)
            except NotYetError as error:
                missing = error
                self.sensor.callbacks["imu"](imu(10.0, pitch))
                self.sensor.callbacks["imu"](imu(10.1, pitch))
        raise missing


def nose_down(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])


def test_tf_turns_the_sensor_s_frame_to_the_vehicle_s(monkeypatch):
    """The x axis of the IMU points to the left: where it dives, the vehicle leans to the left."""
    vehicle = Tilted(monkeypatch)
    vehicle.tree.add("base_link", "imu_link", (1, 2, 3), (0, 0, math.sqrt(0.5), math.sqrt(0.5)), static=True)
    turn = vehicle(0.02)
    np.testing.assert_allclose(turn, [[1, 0, 0], [0, 1, 0.02], [0, -0.02, 1]], atol=3e-4)
    assert vehicle.attitude.values()["roll against the road (degrees)"] == "-1.15"


def test_an_imu_in_the_ground_frame_needs_no_transform(monkeypatch):
    vehicle = Tilted(monkeypatch, ground_frame="imu_link")
    np.testing.assert_allclose(vehicle(0.03), nose_down(0.03), atol=1e-9)
    assert vehicle.attitude.values()["attitude from"] == "the orientation of imu_link on imu"


def test_with_camera_height_tf_leads_to_the_camera(monkeypatch):
    """The IMU is level and the camera looks down by 0.1, as camera_pitch says."""
    vehicle = Tilted(monkeypatch, camera_height=1.65, camera_pitch=0.1)
    vehicle.tree.add("mast", "eye", *optical_pose(1.65, 0.1), static=True)
    vehicle.tree.add("mast", "imu_link", (0, 0, 0), (0, 0, 0, 1), static=True)
    np.testing.assert_allclose(vehicle(0.03), nose_down(0.03), atol=1e-9)


def test_frames_that_tf_does_not_connect_are_not_yet_there(monkeypatch):
    with pytest.raises(NotYetError, match="TF does not connect base_link with imu_link, the frame of the attitude"):
        Tilted(monkeypatch)()


def test_a_pitch_that_tf_has_already_is_not_corrected_twice(monkeypatch):
    vehicle = Tilted(monkeypatch, ground_frame="base_footprint")
    vehicle.tree.add("base_footprint", "base_link", (0, 0, 0), (0, 0, 0, 1), 10 * SECOND)
    vehicle.tree.add("base_link", "imu_link", (0, 0, 0), (0, 0, 0, 1), static=True)
    with pytest.raises(GroundError, match="TF moves base_link between base_footprint and imu_link"):
        vehicle()


def test_a_sensor_whose_frame_is_wrong_is_described(monkeypatch):
    """An IMU in the camera's optical frame, which calls it the vehicle's."""
    vehicle = Tilted(monkeypatch, ground_frame="imu_link")
    with pytest.raises(GroundError, match="stands 57 degrees askew: check the frame_id imu_link"):
        vehicle(1.0)
    vehicle = Tilted(monkeypatch, ground_frame="imu_link")
    with pytest.raises(GroundError, match="pitches by 23 and rolls by 0 degrees"):
        vehicle(0.4)


# In the ground outputs

CAMERA = Camera.of_size(124, 38)
PROBABILITY = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
PROBABILITY[25:, 30:90] = 255


class Prompt(MapMaker):
    """Waits for the tables."""

    def maps(self, *arguments) -> GroundMaps | None:
        while (maps := super().maps(*arguments)) is None:
            self._future.exception()
        return maps


@pytest.fixture
def outputs(monkeypatch):
    """Ground outputs of a camera with an IMU in its own frame; `published` has the scans by stamp."""
    monkeypatch.setattr(ground_outputs, "MapMaker", Prompt)
    node, published = Node(), {}

    def publisher(kind, topic):
        def publish(message):
            published[round(message.header.stamp.sec + message.header.stamp.nanosec / SECOND, 3)] = message

        count = int(kind is LaserScan)
        return SimpleNamespace(publish=publish, get_subscription_count=lambda: count)

    faults = SimpleNamespace(guard=lambda task, callback, otherwise: callback)
    outputs = GroundOutputs(node, publisher, faults)

    def frame(stamp: float, **changes) -> None:
        values = NodeParameters(**{"camera_height": 1.65, "attitude": "imu", "attitude_window": 0.0} | changes)
        header = Header(stamp=stamp_message(stamp), frame_id="eye")
        image = np.zeros((*PROBABILITY.shape, 3), np.uint8)
        outputs.publish(SegmentedFrame(header, image, PROBABILITY, PROBABILITY, 0.5, values))

    def tilt(stamp: float, pitch: float) -> None:
        optical = Vector3(y=-GRAVITY * math.cos(pitch), z=-GRAVITY * math.sin(pitch))
        half = (-pitch - math.pi / 2) / 2  # an optical frame whose z axis looks ahead, and down by the pitch
        turn = Quaternion(x=math.sin(half), w=math.cos(half))
        node.callbacks["imu"](imu(stamp, frame="eye", orientation=turn, linear_acceleration=optical))

    frame(0.001)
    node.callbacks["camera_info"](camera_info(CAMERA))
    frame(0.002)
    yield SimpleNamespace(node=node, published=published, outputs=outputs, frame=frame, tilt=tilt)
    outputs.stop()
    assert not node.callbacks


def test_a_frame_waits_for_its_attitude_and_is_given_up_without(outputs):
    outputs.tilt(9.9, 0.0)
    outputs.frame(10.0)
    outputs.frame(10.1)
    assert not outputs.published
    outputs.tilt(10.05, 0.0)
    assert list(outputs.published) == [10.0]
    outputs.frame(10.7)  # 10.1 has waited for 0.6 s
    outputs.tilt(10.8, 0.0)  # and nothing is known between 10.05 and 10.8
    assert list(outputs.published) == [10.0]
    assert outputs.outputs.report().values[GIVEN_UP] == "1"


def test_every_frame_has_its_own_attitude(outputs):
    ranges = {}
    for stamp, pitch in ((10.0, 0.0), (10.1, 0.02), (10.2, -0.02)):
        outputs.tilt(stamp, pitch)
        outputs.frame(stamp)
        scan = outputs.published[stamp].ranges
        ranges[pitch] = scan[len(scan) // 2]
    # The road's end, in row 25, is nearer if the camera looks down.
    for pitch, found in ranges.items():
        angle = math.atan((24.5 - CAMERA.cy) / CAMERA.fy) + pitch
        assert found == pytest.approx(1.65 / math.tan(angle), rel=0.1)
    report = outputs.outputs.report()
    assert report.level == OK and report.values["pitch against the road (degrees)"] == "-1.15"
    outputs.frame(10.3, attitude="none")
    assert "imu" not in outputs.node.callbacks and 10.3 in outputs.published
    assert "attitude from" not in outputs.outputs.report().values


def test_unusable_messages_are_reported(outputs):
    outputs.node.callbacks["imu"](imu(10.0, frame=""))
    outputs.frame(10.0)
    assert not outputs.published
    sentence = "ground outputs are not published: the messages on imu give no attitude: they do not name"
    assert outputs.outputs.report().sentence.startswith(sentence)
