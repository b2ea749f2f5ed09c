"""Start the road segmentation node: ros2 launch fcn_road_seg road_seg.launch.py image:=/camera/image_raw"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare("fcn_road_seg")
FAST_DDS_PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"

ARGUMENTS = {
    "image": ("image", "Topic of the camera (sensor_msgs/msg/Image)."),
    "params_file": (
        PathJoinSubstitution([SHARE, "config", "road_seg.yaml"]),
        "YAML file with the node's parameters.",
    ),
    "weights": ("", "Weights file; empty: what params_file says."),
    "device": ("", "auto, cpu or cuda; empty: what params_file says."),
    "namespace": ("", "Namespace of the node and its topics."),
    "name": ("road_seg", "Name of the node."),
    "respawn": ("true", "Start the node again if it dies."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
}


def node(context):
    """The node's action; an argument that is empty leaves the params file's value."""
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=str)
        for name in ("weights", "device")
        if LaunchConfiguration(name).perform(context)
    }
    profile = PathJoinSubstitution([SHARE, "config", "fastdds_profile.xml"])
    return [
        Node(
            package="fcn_road_seg",
            executable="road_seg_node",
            name=LaunchConfiguration("name"),
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file"), overrides],
            remappings=[("image", LaunchConfiguration("image"))],
            additional_env={FAST_DDS_PROFILE: EnvironmentVariable(FAST_DDS_PROFILE, default_value=profile)},
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            respawn=LaunchConfiguration("respawn"),
            respawn_delay=2.0,
            output="screen",
        )
    ]


def generate_launch_description():
    """What ros2 launch asks for."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=node),
        ]
    )
