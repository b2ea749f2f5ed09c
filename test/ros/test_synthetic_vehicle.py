"""The simulated vehicle over DDS: it moves by cmd_vel, and odometry, TF and what its camera sees agree."""

import math

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from camera_process import CameraProcess
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from node_harness import Client, mask_pixels, qos
from sensor_msgs.msg import Image

from fcn_road_seg.synthetic import CAMERAS, Pose, SyntheticCourse

SIZE = {"width": 104, "height": 58}


class VehicleProcess(CameraProcess):
    executable = "synthetic_vehicle_main"


def stamp(message) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


@pytest.mark.parametrize("kind", [Twist, TwistStamped])
def test_it_moves_by_commands_and_its_camera_with_it(other_domain_id, interfaces, kind):
    client = Client(other_domain_id)
    from tf2_msgs.msg import TFMessage

    poses, transforms, truths = {}, {}, {}
    deep = qos(depth=1000)
    client.node.create_subscription(Odometry, "odom", lambda m: poses.update({stamp(m): m}), deep)
    client.node.create_subscription(
        TFMessage, "/tf", lambda m: transforms.update({stamp(m.transforms[0]): m.transforms[0]}), deep
    )
    client.node.create_subscription(Image, "camera/truth", lambda m: truths.update({stamp(m): m}), deep)
    publisher = client.node.create_publisher(kind, "cmd_vel", 1)
    command = kind()
    twist = command.twist if kind is TwistStamped else command
    twist.linear.x, twist.angular.z = 2.0, 0.1

    def moved() -> bool:
        publisher.publish(command)
        seen = poses.keys() & truths.keys() & transforms.keys()
        return any(poses[key].pose.pose.position.x > 1.0 for key in seen)

    try:
        with VehicleProcess(other_domain_id, interfaces, rate=5.0, **SIZE) as vehicle:
            client.spin_until(moved, "a frame from 1 m on")
            assert vehicle.end()[0] == 0
    finally:
        client.close()
    course = SyntheticCourse(23, 250.0, CAMERAS["hd"].resized(**SIZE))
    key = max(poses.keys() & truths.keys() & transforms.keys())
    odometry, transform = poses[key], transforms[key]
    assert (odometry.header.frame_id, odometry.child_frame_id) == ("odom", "base_link")
    assert (transform.header.frame_id, transform.child_frame_id) == ("odom", "base_link")
    at, rotation = odometry.pose.pose.position, odometry.pose.pose.orientation
    assert (at.x, at.y) == (transform.transform.translation.x, transform.transform.translation.y)
    assert rotation == transform.transform.rotation
    heading = 2 * math.atan2(rotation.z, rotation.w)
    assert at.x > 1 and heading > 0 and odometry.twist.twist.linear.x > 0
    frame = course.frame(Pose(at.x, at.y, heading))
    differs = (mask_pixels(truths[key]) > 0) != frame.road
    assert differs.mean() < 0.002  # the rounding of the pose
