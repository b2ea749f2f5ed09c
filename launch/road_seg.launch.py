"""Start the road segmentation node: ros2 launch fcn_road_seg road_seg.launch.py image:=/camera/image_raw

The node configures and activates itself, also after a respawn. With autostart:=false it waits for a lifecycle manager,
such as Nav2's. It is a LifecycleNode: including launch files can handle its transitions (OnStateTransition).
"""

import os
from pathlib import Path

from ament_index_python import get_search_paths
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.events import matches_action
from launch.events.process import ShutdownProcess
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare("fcn_road_seg")
FAST_DDS_PROFILES = {2: "FASTRTPS_DEFAULT_PROFILES_FILE", 3: "FASTDDS_DEFAULT_PROFILES_FILE"}
WRONG_USAGE = 2  # the node's exit code for settings that cannot be right the next time either
RVIZ_IMAGE, RVIZ_OUTPUTS = "/camera/image_raw", "/road_seg"  # the topics in config/road_seg.rviz
RVIZ_TOPICS = ("mask", "overlay", "points", "grid", "grid_updates", "scan", "boundary")
RVIZ_CAMERAS = ("front", "left", "rear")  # their names in config/cameras.rviz ...
RVIZ_CAMERA_TOPICS = ("overlay", "grid", "grid_updates", "scan")  # ... and what it shows of each
PLACEHOLDER = "{camera}"

ARGUMENTS = {
    "image": ("", "Topic of the camera; empty: image, or with cameras {camera}/image, where {camera} is its name."),
    "camera_info": ("", "Topic of the camera's calibration; empty: camera_info beside the image topic."),
    "cameras": ("", "Names of several cameras, such as [front, left, rear]; empty: as in params_file."),
    "image_transport": ("", "raw, or compressed for a topic of JPEG or PNG images; empty: as in params_file."),
    "imu": ("imu", "Topic of the IMU, for the parameter attitude: imu."),
    "odom": ("odom", "Topic of the odometry, for the parameter attitude: odom."),
    "params_file": (PathJoinSubstitution([SHARE, "config", "road_seg.yaml"]), "YAML file with the node's parameters."),
    "weights": ("", "Weights file (.safetensors), road, lite or permissive; empty: as in params_file."),
    "camera_height": ("", "Metres of the camera above the road, if not in TF; empty: as in params_file."),
    "own_vehicle_mask": ("", "Image or polygons of the vehicle itself, see docs/node.md; empty: as in params_file."),
    "instances": ("", "true: find vehicles and people one by one too; empty: as in params_file."),
    "device": ("", "auto, cpu, cuda, cuda:N, or a device of OpenVINO; empty: as in params_file."),
    "autostart": ("", "true, or false: wait for a lifecycle manager; empty: as in params_file."),
    "use_sim_time": ("", "true: take the time from /clock; empty: as in params_file."),
    "namespace": ("", "Namespace of the node and its topics."),
    "name": ("road_seg", "Name of the node."),
    "respawn": ("true", "Start the node again 2 s after it dies, unless it refuses its settings."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "rviz": ("false", "Start rviz2 with the camera, the mask and the ground outputs, or those of the first 3 cameras."),
}
OVERRIDES = {
    "weights": str,
    "own_vehicle_mask": str,
    "device": str,
    "image_transport": str,
    "camera_height": float,
    "instances": bool,
    "autostart": bool,
    "use_sim_time": bool,
}
"""Arguments that set a parameter of the node, and their types."""


def given(context, names):
    """The node's parameters whose arguments are not empty."""
    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=OVERRIDES[name])
        for name in names
        if LaunchConfiguration(name).perform(context)
    }


def camera_names(context):
    """The names in the argument cameras."""
    text = LaunchConfiguration("cameras").perform(context)
    return [name.strip("'\"") for name in text.strip("[] ").replace(",", " ").split()]


def camera_remappings(context, cameras):
    """Where the node finds the topics image and camera_info of each camera, or of its only one."""
    image, camera_info = (LaunchConfiguration(name).perform(context) for name in ("image", "camera_info"))
    for name, topic in (("image", image), ("camera_info", camera_info)):
        if len(cameras) > 1 and topic and PLACEHOLDER not in topic:
            raise RuntimeError(
                f"{name} is '{topic}', but there are several cameras: write {PLACEHOLDER} for the name, such as "
                f"{name}:=/{PLACEHOLDER}/{name}"
            )
    remappings = []
    for camera in cameras or [""]:
        source = image.replace(PLACEHOLDER, camera)
        info = camera_info.replace(PLACEHOLDER, camera) or (camera_info_of(source) if source else "")
        scope = f"{camera}/" if camera else ""
        remappings += [(f"{scope}{name}", topic) for name, topic in (("image", source), ("camera_info", info)) if topic]
    return remappings


def rviz_remappings(context, cameras):
    """From the topics in the display config to the node's and the camera's."""
    outputs = LaunchConfiguration("name").perform(context)
    if cameras:
        return [
            (f"{RVIZ_OUTPUTS}/{shown}/{topic}", f"{outputs}/{camera}/{topic}")
            for shown, camera in zip(RVIZ_CAMERAS, cameras, strict=False)
            for topic in RVIZ_CAMERA_TOPICS
        ]
    image = LaunchConfiguration("image").perform(context) or "image"
    return [
        (RVIZ_IMAGE, image.removesuffix("/compressed")),
        *((f"{RVIZ_OUTPUTS}/{topic}", f"{outputs}/{topic}") for topic in RVIZ_TOPICS),
    ]


def camera_info_of(image):
    """The topic on which a driver publishes the calibration beside its images."""
    folder, slash, _ = image.removesuffix("/compressed").rpartition("/")
    return f"{folder}{slash}camera_info"


def set_profile(context):
    """Give every process the Fast DDS profile, without which it loses most camera frames that are not RELIABLE.

    Fast DDS 2 (Humble, Jazzy) ignores the variable of Fast DDS 3, which in turn complains of the older one.
    A profile would overrule the transports that FASTDDS_BUILTIN_TRANSPORTS chooses.
    """
    version = 2 if any(Path(prefix, "share", "fastrtps").is_dir() for prefix in get_search_paths()) else 3
    variable = FAST_DDS_PROFILES[version]
    if {variable, "FASTDDS_BUILTIN_TRANSPORTS"} & set(context.environment):
        return []
    return [SetEnvironmentVariable(variable, PathJoinSubstitution([SHARE, "config", "fastdds_profile.xml"]))]


def ended(event, context):
    """Keep launch's respawn, which does not look at the exit code, from starting a node that refuses its settings."""
    if context.is_shutdown or event.returncode != WRONG_USAGE:
        return None
    sentence = "The node refuses its settings, see above, so it is not started again"
    return [LogInfo(msg=sentence), EmitEvent(event=ShutdownProcess(process_matcher=matches_action(event.action)))]


def start(context):
    """Actions that start the node and, on request, rviz2."""
    name, namespace = (LaunchConfiguration(argument) for argument in ("name", "namespace"))
    cameras = camera_names(context)
    parameters = given(context, OVERRIDES)
    if cameras:
        parameters["cameras"] = cameras
    node = LifecycleNode(
        package="fcn_road_seg",
        executable="road_seg_node",
        name=name,
        namespace=namespace,
        parameters=[os.path.expanduser(LaunchConfiguration("params_file").perform(context)), parameters],
        remappings=[
            *camera_remappings(context, cameras),
            *((topic, LaunchConfiguration(topic)) for topic in ("imu", "odom")),
        ],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        respawn=LaunchConfiguration("respawn"),
        respawn_delay=2.0,
        on_exit=ended,
        output="screen",
    )
    display_config = [SHARE, "config", "cameras.rviz"] if cameras else [SHARE, "config", "road_seg.rviz"]
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=namespace,
        arguments=["--display-config", PathJoinSubstitution(display_config)],
        parameters=[given(context, ["use_sim_time"])],
        remappings=rviz_remappings(context, cameras),
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return [node, rviz]


def generate_launch_description():
    """Build the launch description."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=set_profile),
            OpaqueFunction(function=start),
        ]
    )
