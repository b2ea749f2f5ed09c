"""Drive a simulated vehicle by what its camera sees: ros2 launch fcn_road_seg nav2_demo.launch.py rviz:=true

Starts the vehicle on a synthetic street, the node, and Nav2 where nav2_bringup is installed: with Nav2's own parameters
and, over them, config/nav2_obstacle_layer.yaml and config/nav2_demo.yaml; send it goals from rviz2. Without Nav2, or
with planner:=stub, a stand-in follows the road and stops before the parked car. planner:=none leaves /cmd_vel to you.
Also takes the arguments of road_seg.launch.py but cameras.
"""

import atexit
import os
import tempfile
from pathlib import Path

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare("fcn_road_seg")
OURS = (
    PathJoinSubstitution([SHARE, "config", "nav2_obstacle_layer.yaml"]),
    PathJoinSubstitution([SHARE, "config", "nav2_demo.yaml"]),
)

VEHICLE = {
    "rate": (float, "5.0", "Frames per second."),
    "seed": (int, "23", "Seed of the street and light."),
    "length": (float, "250.0", "Metres to the parked car."),
    "camera": (str, "hd", "kitti, windscreen, robot, hd, vga or sxga."),
    "scene": (
        str,
        "country",
        "Street: residential, country, urban, avenue, brick, brick_pavement, gravel or gravel_shoulder.",
    ),
    "weather": (str, "overcast", "sun, overcast, dusk, night, fog, wet, headlights, rain or rainy_night."),
}
"""Arguments that are parameters of the vehicle: type, default, description."""


def merged(ours, theirs):
    """Nested tables of parameters as one; `ours` wins."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return ours
    return theirs | {key: merged(value, theirs.get(key)) for key, value in ours.items()}


def nav2(context, folder):
    """The action that starts Nav2 with its own parameters and, over them, ours."""
    parameters = yaml.safe_load(Path(folder, "params", "nav2_params.yaml").read_text())
    for ours in OURS:
        parameters = merged(yaml.safe_load(Path(ours.perform(context)).read_text()), parameters)
    handle, file = tempfile.mkstemp(prefix="road_seg_nav2_", suffix=".yaml")
    atexit.register(os.remove, file)
    with os.fdopen(handle, "w") as stream:
        yaml.safe_dump(parameters, stream)
    return IncludeLaunchDescription(
        str(Path(folder, "launch", "navigation_launch.py")),
        launch_arguments={"params_file": file, "use_sim_time": "false", "autostart": "true"}.items(),
    )


def plan(context):
    """Start what drives."""
    planner = LaunchConfiguration("planner").perform(context)
    if planner not in ("auto", "nav2", "stub", "none"):
        raise RuntimeError(f"planner is '{planner}', but must be auto, nav2, stub or none")
    actions = []
    if planner in ("auto", "nav2"):
        try:
            return [nav2(context, get_package_share_directory("nav2_bringup"))]
        except PackageNotFoundError:
            if planner == "nav2":
                raise RuntimeError("planner:=nav2 needs the package nav2_bringup, which is not installed") from None
            sentence = "Nav2 is not installed (nav2_bringup): a stand-in follows the road instead"
            actions.append(LogInfo(msg=sentence))
    if planner != "none":
        speed = ParameterValue(LaunchConfiguration("speed"), value_type=float)
        namespace = LaunchConfiguration("namespace")
        actions.append(
            Node(
                package="fcn_road_seg",
                executable="road_seg_planner",
                namespace=namespace,
                parameters=[{"speed": speed}],
                remappings=[("road_seg/scan", [LaunchConfiguration("name"), "/scan"])],
                output="screen",
            )
        )
    return actions


def generate_launch_description():
    """Build the launch description."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (_, default, description) in VEHICLE.items()
            ),
            DeclareLaunchArgument(
                "planner", default_value="auto", description="nav2, stub, none, or auto: nav2 if installed, else stub."
            ),
            DeclareLaunchArgument("speed", default_value="4.0", description="Speed of the stand-in, m/s."),
            # road_seg.launch.py has these arguments too and takes their values from here.
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of all nodes but Nav2's."),
            DeclareLaunchArgument("name", default_value="road_seg", description="Name of the node."),
            DeclareLaunchArgument("image", default_value="camera/image_raw", description="Topic of the camera."),
            # Comes before the vehicle, because it sets the Fast DDS profile that the camera needs.
            IncludeLaunchDescription(PathJoinSubstitution([SHARE, "launch", "road_seg.launch.py"])),
            Node(
                package="fcn_road_seg",
                executable="road_seg_vehicle",
                namespace=LaunchConfiguration("namespace"),
                parameters=[
                    {
                        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                        for name, (kind, _, _) in VEHICLE.items()
                    }
                ],
                output="screen",
            ),
            OpaqueFunction(function=plan),
        ]
    )
