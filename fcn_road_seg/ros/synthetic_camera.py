"""A ROS 2 node for a machine without a camera: publishes a synthetic drive, its calibration and ground truth."""

from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import Image

from fcn_road_seg.ros.camera_topics import CameraTopics, frame_messages
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.parameter import declare_all, parameter, warn_undeclared
from fcn_road_seg.ros.parameters import camera_names
from fcn_road_seg.ros.services import answer_always
from fcn_road_seg.ros.steady_clock import STEADY
from fcn_road_seg.synthetic import CAMERAS, SCENES, WEATHERS, Camera, SyntheticDrive

PROGRESS_STEPS = 4
"""Number of log lines while the drive is rendered."""


@dataclass(frozen=True)
class CameraParameters:
    """The parameters of the synthetic camera."""

    cameras: tuple[str, ...] = parameter(
        ("",),
        "Names of several cameras, such as [front, left], for the node's parameter of that name: each has its own "
        "street and topics such as front/camera/image_raw, and they publish in turn. Empty: one without a name.",
    )
    rate: float = parameter(10.0, "Frames per second, of each camera.", minimum=0.1, maximum=1000.0)
    frames: int = parameter(
        40, "Frames that are rendered before the first is published; then they repeat.", minimum=1, maximum=1000
    )
    seed: int = parameter(
        0,
        "Each seed gives a different street, light and traffic; further cameras have the next ones.",
        minimum=0,
        maximum=2**31 - 1,
    )
    scene: str = parameter("residential", "Kind of street.", choices=("random", *SCENES))
    weather: str = parameter("sun", "Light and weather.", choices=("random", *WEATHERS))
    camera: str = parameter("kitti", "Camera: its place, field of view and image size.", choices=tuple(CAMERAS))
    width: int = parameter(0, "Width of the images in pixels; 0 = the camera's own.", minimum=0, maximum=4096)
    height: int = parameter(0, "Height of the images in pixels; 0 = the camera's own.", minimum=0, maximum=4096)
    frame_id: str = parameter(
        "camera_optical_frame",
        "Frame of the images: x right, y down, z forward (REP-103); with cameras, front_camera_optical_frame.",
        frame=True,
    )


class SyntheticCamera(Node):
    """Publishes a loop of frames of a `SyntheticDrive` at a steady rate; with several cameras, of each one's in turn.

    Topics, RELIABLE and KEEP_LAST 10; a frame's three messages share one header, stamped when they are published:
        camera/camera_info: sensor_msgs/CameraInfo, no distortion. Published first.
        camera/image_raw: sensor_msgs/Image bgr8.
        camera/truth: sensor_msgs/Image mono8, 255 = road, 0 = not road, exact.

        /tf_static: tf2_msgs/TFMessage, base_link (on the road, right below the camera) -> frame_id. Transient local.

    Attributes:
        faults: the exceptions that the node survived.
        camera_names: of its cameras; ("",) for one without a name.

    Raises:
        ParameterError: a parameter was started with a value that it cannot take.
    """

    def __init__(self):
        super().__init__("road_seg_camera")
        self.faults = FaultLog(self)
        values = declare_all(self, CameraParameters, at_start=True)
        self._rate = values.rate
        camera = chosen_camera(values)
        self._drives, self._topics = [], []
        self.camera_names = camera_names(values.cameras)
        for seed, name in enumerate(self.camera_names, values.seed):
            self._drives.append(
                SyntheticDrive(
                    seed=seed,
                    frames=values.frames,
                    camera=camera,
                    rate=values.rate,
                    weather=values.weather,
                    scene=values.scene,
                )
            )
            frame_id = f"{name}_{values.frame_id}" if name else values.frame_id
            self._topics.append(CameraTopics(self, camera, frame_id, name))
        self._frames: list[tuple[Image, Image]] = []
        self._next = 0
        answer_always(self, self.faults)
        warn_undeclared(self)

    def start(self) -> None:
        """Render the drives, which takes a while and stops early at a signal, then start publishing them."""
        for topics in self._topics:
            topics.publish_transform()
        cameras = len(self._drives)
        count = sum(map(len, self._drives))
        for index in range(count):
            if index * PROGRESS_STEPS // count != (index - 1) * PROGRESS_STEPS // count:
                self.get_logger().info(f"Rendering the drive: {index} of {count} frames")
            if not self.context.ok():
                return
            self._frames.append(frame_messages(self._drives[index % cameras][index // cameras]))
        self.create_timer(1 / (self._rate * cameras), self._publish, clock=STEADY)
        for topics, drive in zip(self._topics, self._drives, strict=True):
            self.get_logger().info(
                f"Publishing {topics.image_topic}, {drive.camera.width}x{drive.camera.height} "
                f"at {self._rate:g} Hz: {drive.scene}, {drive.weather}, seed {drive.seed}"
            )

    def _publish(self) -> None:
        topics = self._topics[self._next % len(self._topics)]
        topics.publish(self.get_clock().now().to_msg(), *self._frames[self._next])
        self._next = (self._next + 1) % len(self._frames)


def chosen_camera(values: Any) -> Camera:
    """The camera that the parameters name, in the size that they ask for."""
    camera = CAMERAS[values.camera]
    return camera.resized(values.width or camera.width, values.height or camera.height)
