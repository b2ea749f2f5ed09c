"""The topics of a simulated camera: image, calibration, true mask, and its pose above the road."""

import math
from typing import Any, NamedTuple

import numpy as np
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from fcn_road_seg.frames.image_message import fill_image
from fcn_road_seg.ros.scope import scoped
from fcn_road_seg.synthetic import Camera, SyntheticFrame

GROUND_FRAME = "base_link"


class CameraTopics:
    """Publishes the frames of a camera that is mounted on base_link, on the road right below it.

    Args:
        node: has the publishers; see `SyntheticCamera` for the topics.
        camera: which takes the frames.
        frame_id: of the images.
        name: of the camera, if there are several.
    """

    def __init__(self, node: Node, camera: Camera, frame_id: str, name: str = ""):
        self._node, self._camera, self._frame_id = node, camera, frame_id
        self._info = camera_info(camera)
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._info_publisher = node.create_publisher(CameraInfo, scoped(name, "camera/camera_info"), qos)
        self._image_publisher = node.create_publisher(Image, scoped(name, "camera/image_raw"), qos)
        self._truth_publisher = node.create_publisher(Image, scoped(name, "camera/truth"), qos)

    @property
    def image_topic(self) -> str:
        """The full name of the images' topic."""
        return self._image_publisher.topic_name

    def publish(self, stamp: Any, image: Image, truth: Image) -> None:
        """Publish a frame's messages, made by `frame_messages`, under one header of a time; the calibration first."""
        header = Header(stamp=stamp, frame_id=self._frame_id)
        for message in (self._info, image, truth):
            message.header = header
        self._info_publisher.publish(self._info)
        self._image_publisher.publish(image)
        self._truth_publisher.publish(truth)

    def publish_transform(self) -> None:
        """Publish the pose of the camera, latched; without tf2_msgs log that it is missing."""
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            self._node.get_logger().warning("No /tf_static: the ROS 2 package tf2_msgs is not installed", once=True)
            return
        pose = optical_pose(self._camera.camera_height, self._camera.pitch)
        transform = TransformStamped(child_frame_id=self._frame_id)
        transform.header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=GROUND_FRAME)
        transform.transform.translation = Vector3(**dict(zip("xyz", pose.translation, strict=True)))
        transform.transform.rotation = Quaternion(**dict(zip("xyzw", pose.rotation, strict=True)))
        qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
        self._transform_publisher = self._node.create_publisher(TFMessage, "/tf_static", qos)
        self._transform_publisher.publish(TFMessage(transforms=[transform]))


def frame_messages(frame: SyntheticFrame) -> tuple[Image, Image]:
    """The image, bgr8, and the true mask, mono8, of a frame; their headers are empty."""
    image = fill_image(Image(), frame.image[:, :, ::-1], "bgr8")
    return image, fill_image(Image(), np.uint8(255) * frame.road, "mono8")


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
