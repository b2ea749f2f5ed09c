"""A ROS 2 node for a machine without a robot: a small vehicle with a synthetic camera, which drives by /cmd_vel."""

import math
import time
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import Quaternion, TransformStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from std_msgs.msg import Header

from fcn_road_seg.ros.camera_topics import GROUND_FRAME, CameraTopics, frame_messages
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.parameter import declare_all, parameter, warn_undeclared
from fcn_road_seg.ros.services import answer_always
from fcn_road_seg.ros.steady_clock import STEADY
from fcn_road_seg.ros.synthetic_camera import chosen_camera
from fcn_road_seg.synthetic import CAMERAS, SCENES, WEATHERS, SyntheticCourse, Vehicle

ODOM_FRAME = "odom"
POSE_RATE = 20.0
"""Poses per second."""
COMMAND_SECONDS = 1.0
"""A vehicle whose last command is older stops."""
STAMPED = "geometry_msgs/msg/TwistStamped"


@dataclass(frozen=True)
class VehicleParameters:
    """The parameters of the simulated vehicle."""

    rate: float = parameter(5.0, "Frames per second.", minimum=0.1, maximum=100.0)
    seed: int = parameter(23, "Each seed gives a different street and light.", minimum=0, maximum=2**31 - 1)
    scene: str = parameter("country", "Kind of street.", choices=SCENES)
    weather: str = parameter("overcast", "Light and weather.", choices=WEATHERS)
    length: float = parameter(250.0, "Metres to the parked car.", minimum=20.0, maximum=10000.0)
    camera: str = parameter("hd", "Camera: its place, field of view and image size.", choices=tuple(CAMERAS))
    width: int = parameter(416, "Width of the images in pixels; 0 = the camera's own.", minimum=0, maximum=4096)
    height: int = parameter(234, "Height of the images in pixels; 0 = the camera's own.", minimum=0, maximum=4096)
    frame_id: str = parameter(
        "camera_optical_frame", "Frame of the images: x right, y down, z forward (REP-103).", frame=True
    )


class SyntheticVehicle(Node):
    """A vehicle on a `SyntheticCourse`: it moves by commands, and its camera renders what is seen from where it is.

    Topics, RELIABLE:
        camera/camera_info, camera/image_raw, camera/truth, /tf_static: as those of `SyntheticCamera`.
        cmd_vel: geometry_msgs/Twist or TwistStamped, whichever is published. The vehicle stops if none arrives for a
            second.
        odom: nav_msgs/Odometry, exact; 20 times a second and with the stamp of each frame.
        /tf: tf2_msgs/TFMessage, odom -> base_link, with each odom.

    Attributes:
        faults: the exceptions that the node survived.

    Raises:
        ParameterError: a parameter was started with a value that it cannot take.
    """

    def __init__(self):
        super().__init__("road_seg_vehicle")
        self.faults = FaultLog(self)
        values = declare_all(self, VehicleParameters, at_start=True)
        self._rate = values.rate
        self._course = SyntheticCourse(values.seed, values.length, chosen_camera(values), values.weather, values.scene)
        self._vehicle = Vehicle()
        self._camera = CameraTopics(self, self._course.camera, values.frame_id)
        self._odometry = self.create_publisher(Odometry, "odom", 10)
        self._transforms: Publisher | None = None
        self._command, self._commanded = Twist(), -math.inf
        self._commands: Subscription | None = None
        self._moved = 0.0
        self._frames = 0
        answer_always(self, self.faults)
        warn_undeclared(self)

    def start(self) -> None:
        """Render a frame, because the first takes seconds, and then start to move and to publish."""
        self.get_logger().info("Preparing the street")
        self._course.frame(self._vehicle.pose)
        self._camera.publish_transform()
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            self.get_logger().warning("No /tf: the ROS 2 package tf2_msgs is not installed")
        else:
            self._transforms = self.create_publisher(TFMessage, "/tf", 10)
        self._subscribe()
        self._moved = time.monotonic()
        self.create_timer(1 / POSE_RATE, self._move, clock=STEADY)
        self.create_timer(1 / self._rate, self._look, clock=STEADY)
        self.create_timer(1.0, self._subscribe, clock=STEADY)
        course = self._course
        self.get_logger().info(
            f"Publishing {self._camera.image_topic}, {course.camera.width}x{course.camera.height} "
            f"at {self._rate:g} Hz: {course.scene}, {course.weather}, seed {course.seed}; "
            f"waiting for {self.resolve_topic_name('cmd_vel')}"
        )

    def _subscribe(self) -> None:
        """Subscribe to cmd_vel by the type of its publishers, again if it has changed."""
        topic = self.resolve_topic_name("cmd_vel")
        types = {info.topic_type for info in self.get_publishers_info_by_topic(topic)}
        kind = TwistStamped if STAMPED in types else Twist
        if self._commands is not None:
            if not types or self._commands.msg_type is kind:
                return
            self.destroy_subscription(self._commands)
        self._commands = self.create_subscription(kind, "cmd_vel", self._on_command, 1)

    def _on_command(self, message: Twist | TwistStamped) -> None:
        self._move()
        self._command = message.twist if isinstance(message, TwistStamped) else message
        self._commanded = time.monotonic()

    def _move(self) -> Any:
        """Move on to now and publish the pose; returns its stamp."""
        now = time.monotonic()
        command = self._command if now < self._commanded + COMMAND_SECONDS else Twist()
        self._vehicle.step(now - self._moved, command.linear.x, command.angular.z)
        self._moved = now
        stamp = self.get_clock().now().to_msg()
        x, y, heading = self._vehicle.pose
        rotation = Quaternion(z=math.sin(heading / 2), w=math.cos(heading / 2))
        odometry = Odometry(header=Header(stamp=stamp, frame_id=ODOM_FRAME), child_frame_id=GROUND_FRAME)
        odometry.pose.pose.position.x, odometry.pose.pose.position.y = x, y
        odometry.pose.pose.orientation = rotation
        odometry.twist.twist.linear.x = self._vehicle.speed
        odometry.twist.twist.angular.z = self._vehicle.turn_rate
        self._odometry.publish(odometry)
        if self._transforms is not None:
            transform = TransformStamped(header=odometry.header, child_frame_id=GROUND_FRAME)
            transform.transform.translation.x, transform.transform.translation.y = x, y
            transform.transform.rotation = rotation
            self._transforms.publish(self._transforms.msg_type(transforms=[transform]))
        return stamp

    def _look(self) -> None:
        """Move on to now and publish what the camera sees."""
        stamp = self._move()
        frame = self._course.frame(self._vehicle.pose, self._frames)
        self._frames += 1
        self._camera.publish(stamp, *frame_messages(frame))
