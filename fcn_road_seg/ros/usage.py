"""The text that --help of an executable prints: its topics and parameters; imports without ROS."""

import json
import textwrap
from collections.abc import Iterable
from typing import NamedTuple

from fcn_road_seg.ros.parameter import Parameter
from fcn_road_seg.ros.scope import scoped

WIDTH = 100


class Topic(NamedTuple):
    """A topic of a node, by the name before it is remapped."""

    name: str
    type: str
    text: str
    shared: bool = False
    """Whether several cameras of a node have it in common."""


NODE_TOPICS = (
    Topic("image", "sensor_msgs/Image or CompressedImage", "In: the camera."),
    Topic("camera_info", "sensor_msgs/CameraInfo", "In: its calibration, for the ground outputs."),
    Topic("imu", "sensor_msgs/Imu", "In: the vehicle's attitude, with attitude:=imu.", shared=True),
    Topic("odom", "nav_msgs/Odometry", "In: the vehicle's attitude, with attitude:=odom.", shared=True),
    Topic("~/mask", "sensor_msgs/Image mono8", "255 = road, 0 = not road. Published first."),
    Topic("~/mask/compressed", "sensor_msgs/CompressedImage PNG", "The mask in about 2 kB."),
    Topic("~/overlay", "sensor_msgs/Image bgr8", "The frame with the road tinted; with instances, those too."),
    Topic("~/overlay/compressed", "sensor_msgs/CompressedImage JPEG", "The same; jpeg_quality."),
    Topic("~/probability", "sensor_msgs/Image mono8", "P(road) x 255."),
    Topic("~/labels", "sensor_msgs/Image mono8", "0 = not road, 1 = road, 255 = unknown."),
    Topic("~/confidence", "sensor_msgs/Image mono8", "Probability of the label x 255."),
    Topic("~/label_info", "vision_msgs/LabelInfo", "The names of the labels."),
    Topic("~/points", "sensor_msgs/PointCloud2", "The road plane, pixel for pixel."),
    Topic("~/grid", "nav_msgs/OccupancyGrid", "0 = road, 100 = not road, -1 = unseen."),
    Topic("~/scan", "sensor_msgs/LaserScan", "Range to the edge of the road."),
    Topic("~/boundary", "geometry_msgs/PolygonStamped", "The edge of the road."),
    Topic("~/instances", "vision_msgs/Detection2DArray", "With instances: boxes, names and scores."),
    Topic("~/instance_ids", "sensor_msgs/Image mono16", "With instances: 0 = none, else the index of the box + 1."),
    Topic("~/obstacles", "sensor_msgs/PointCloud2", "With instances: where they stand on the road plane."),
    Topic("~/camera_info", "sensor_msgs/CameraInfo", "The camera's, with the mask's header."),
    Topic("bond", "bond/Status", "Heartbeats for a lifecycle manager.", shared=True),
    Topic("/diagnostics", "diagnostic_msgs/DiagnosticArray", "Once a second.", shared=True),
)
CAMERA_TOPICS = (
    Topic("camera/camera_info", "sensor_msgs/CameraInfo", "The calibration; published first."),
    Topic("camera/image_raw", "sensor_msgs/Image bgr8", "The frame."),
    Topic("camera/truth", "sensor_msgs/Image mono8", "255 = road, 0 = not road, exact."),
    Topic("/tf_static", "tf2_msgs/TFMessage", "base_link, on the road below the camera, to the camera.", shared=True),
)
VEHICLE_TOPICS = (
    *CAMERA_TOPICS,
    Topic("cmd_vel", "geometry_msgs/Twist or TwistStamped", "In: the command; it stops after a second without one."),
    Topic("odom", "nav_msgs/Odometry", "Its pose and speed, exact."),
    Topic("/tf", "tf2_msgs/TFMessage", "odom to base_link."),
)
PLANNER_TOPICS = (
    Topic("road_seg/scan", "sensor_msgs/LaserScan", "In: range to the edge of the road."),
    Topic("cmd_vel", "geometry_msgs/Twist", "The command, with each scan."),
)


class Usage(NamedTuple):
    """What an executable does, in a sentence, and the topics and parameters of its node."""

    text: str
    topics: tuple[Topic, ...]
    parameters: tuple[Parameter, ...]
    several_cameras: str = ""

    def topic_names(self, cameras: Iterable[str] = ("",)) -> list[str]:
        """The names of the topics of a node with these cameras, before they are remapped."""
        scopes = [""] if "" in cameras else list(cameras)
        return [scoped(camera, topic.name) for topic in self.topics for camera in ([""] if topic.shared else scopes)]

    def help(self, program: str) -> str:
        """The text of --help of an executable."""
        lines = [
            f"usage: {program} [--help] [--ros-args [-p NAME:=VALUE] [-r TOPIC:=TOPIC] [--params-file FILE] ...]",
            "",
            self.text,
            "",
            "Topics (rename with -r):",
            *(_entry(f"{topic.name} ({topic.type})", topic.text) for topic in self.topics),
            "",
            *([_entry("Several cameras:", self.several_cameras)[2:], ""] if self.several_cameras else []),
            "Parameters (set with -p):",
        ]
        for item in self.parameters:
            default = str(item.default).lower() if isinstance(item.default, bool) else item.default
            default = json.dumps(default) if default == "" or isinstance(default, tuple) else default
            allowed = f"; {item.range_text}" if item.range_text else ""
            lines.append(_entry(f"{item.name} ({item.type_name}, default {default}{allowed})", item.text))
        return "\n".join(lines)


def _entry(head: str, text: str) -> str:
    return f"  {head}\n" + textwrap.indent(textwrap.fill(text, WIDTH), "      ")
