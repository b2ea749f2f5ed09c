"""A ROS 2 node for a machine without a camera: publishes a synthetic drive, its calibration and ground truth."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from fcn_road_seg.frames.image_message import fill_image
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.parameter import declare_all, parameter, warn_undeclared
from fcn_road_seg.ros.services import answer_always
from fcn_road_seg.ros.steady_clock import STEADY
from fcn_road_seg.synthetic import CAMERAS, SCENES, WEATHERS, Camera, SyntheticDrive

GROUND_FRAME = "base_link"
PROGRESS_STEPS = 4
"""Number of log lines while the drive is rendered."""


@dataclass(frozen=True)
class CameraParameters:
    """The parameters of the synthetic camera."""

    rate: float = parameter(10.0, "Frames per second.", minimum=0.1, maximum=1000.0)
    frames: int = parameter(
        40, "Frames that are rendered before the first is published; then they repeat.", minimum=1, maximum=1000
    )
    seed: int = parameter(0, "Each seed gives a different street, light and traffic.", minimum=0, maximum=2**31 - 1)
    scene: str = parameter("residential", "Kind of street.", choices=("random", *SCENES))
    weather: str = parameter("sun", "Light and weather.", choices=("random", *WEATHERS))
    camera: str = parameter("kitti", "Camera: its place, field of view and image size.", choices=tuple(CAMERAS))
    width: int = parameter(0, "Width of the images in pixels; 0 = the camera's own.", minimum=0, maximum=4096)
    height: int = parameter(0, "Height of the images in pixels; 0 = the camera's own.", minimum=0, maximum=4096)
    frame_id: str = parameter(
        "camera_optical_frame", "Frame of the images: x right, y down, z forward (REP-103).", frame=True
    )


class SyntheticCamera(Node):
    """Publishes a loop of frames of a `SyntheticDrive` at a steady rate.

    Topics, RELIABLE and KEEP_LAST 10; a frame's three messages share one header, stamped when they are published:
        camera/camera_info: sensor_msgs/CameraInfo, no distortion. Published first.
        camera/image_raw: sensor_msgs/Image bgr8.
        camera/truth: sensor_msgs/Image mono8, 255 = road, 0 = not road, exact.

        /tf_static: tf2_msgs/TFMessage, base_link (on the road, right below the camera) -> frame_id. Transient local.

    Attributes:
        faults: the exceptions that the node survived.

    Raises:
        ParameterError: a parameter was started with a value that it cannot take.
    """

    def __init__(self):
        super().__init__("road_seg_camera")
        self.faults = FaultLog(self)
        values = declare_all(self, CameraParameters)
        self._rate, self._frame_id = values.rate, values.frame_id
        self._drive = SyntheticDrive(
            seed=values.seed,
            frames=values.frames,
            camera=chosen_camera(values),
            rate=values.rate,
            weather=values.weather,
            scene=values.scene,
        )
        self._info = camera_info(self._drive.camera)
        self._frames: list[tuple[Image, Image]] = []
        self._next = 0
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._info_publisher = self.create_publisher(CameraInfo, "camera/camera_info", qos)
        self._image_publisher = self.create_publisher(Image, "camera/image_raw", qos)
        self._truth_publisher = self.create_publisher(Image, "camera/truth", qos)
        answer_always(self, self.faults)
        warn_undeclared(self)

    def start(self) -> None:
        """Render the drive, which takes a while and stops early at a signal, then start publishing it."""
        self._publish_transform()
        count = len(self._drive)
        for index in range(count):
            if index * PROGRESS_STEPS // count != (index - 1) * PROGRESS_STEPS // count:
                self.get_logger().info(f"Rendering the drive: {index} of {count} frames")
            if not self.context.ok():
                return
            frame = self._drive[index]
            image = fill_image(Image(), frame.image[:, :, ::-1], "bgr8")
            self._frames.append((image, fill_image(Image(), np.uint8(255) * frame.road, "mono8")))
        self.create_timer(1 / self._rate, self._publish, clock=STEADY)
        self.get_logger().info(
            f"Publishing {self._image_publisher.topic_name}, {self._drive.camera.width}x{self._drive.camera.height} "
            f"at {self._rate:g} Hz: {self._drive.scene}, {self._drive.weather}, seed {self._drive.seed}"
        )

    def _publish(self) -> None:
        image, truth = self._frames[self._next]
        self._next = (self._next + 1) % len(self._frames)
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        for message in (self._info, image, truth):
            message.header = header
        self._info_publisher.publish(self._info)
        self._image_publisher.publish(image)
        self._truth_publisher.publish(truth)

    def _publish_transform(self) -> None:
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            self.get_logger().warning("No /tf_static: the ROS 2 package tf2_msgs is not installed")
            return
        pose = optical_pose(self._drive.camera.camera_height, self._drive.camera.pitch)
        transform = TransformStamped(child_frame_id=self._frame_id)
        transform.header = Header(stamp=self.get_clock().now().to_msg(), frame_id=GROUND_FRAME)
        transform.transform.translation = Vector3(**dict(zip("xyz", pose.translation, strict=True)))
        transform.transform.rotation = Quaternion(**dict(zip("xyzw", pose.rotation, strict=True)))
        qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
        self._transform_publisher = self.create_publisher(TFMessage, "/tf_static", qos)
        self._transform_publisher.publish(TFMessage(transforms=[transform]))


def chosen_camera(values: CameraParameters) -> Camera:
    """The camera that the parameters name, in the size that they ask for."""
    camera = CAMERAS[values.camera]
    return camera.resized(values.width or camera.width, values.height or camera.height)


class Pose(NamedTuple):
    """The pose of a frame in its parent frame."""

    translation: tuple[float, float, float]
    """x, y, z in metres."""
    rotation: tuple[float, float, float, float]
    """Quaternion x, y, z, w."""


def optical_pose(height: float, pitch: float, roll: float = 0.0) -> Pose:
    """The pose of a camera's optical frame in a frame on the road below it.

    The axes are those of REP-103: z forward, x right, y down; and x forward, y left, z up.

    Args:
        height: metres above the road.
        pitch: radians; positive looks down.
        roll: radians; positive leans to the right. It comes before the pitch, as in `GroundPlane.from_mounting`.
    """
    sp, cp, sr, cr = math.sin(pitch / 2), math.cos(pitch / 2), math.sin(roll / 2), math.cos(roll / 2)
    w, x, y, z = cp * cr / 2, cp * sr / 2, sp * cr / 2, -sp * sr / 2  # the roll, then the pitch; halved for the axes
    return Pose((0.0, 0.0, height), (-w + x - y - z, w + x + y - z, -w + x + y + z, w + x - y + z))


def camera_info(camera: Camera) -> CameraInfo:
    """The calibration of a pinhole camera without distortion; its header is empty."""
    fx, fy, cx, cy = map(float, (camera.fx, camera.fy, camera.cx, camera.cy))
    return CameraInfo(
        width=camera.width,
        height=camera.height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
