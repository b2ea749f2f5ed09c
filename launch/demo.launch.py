"""Try the node without a camera: ros2 launch fcn_road_seg demo.launch.py rviz:=true

Starts a synthetic camera, the node and, on request, rviz2. Also takes the arguments of road_seg.launch.py.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare("fcn_road_seg")

CAMERA = {
    "rate": (float, "10.0", "Frames per second."),
    "frames": (int, "40", "Frames to render first, which takes a few seconds; they then repeat."),
    "seed": (int, "0", "Seed of the street, light and traffic."),
    "camera": (str, "kitti", "kitti, windscreen, robot, hd, vga or sxga."),
    "scene": (
        str,
        "residential",
        "Street: residential, country, urban, avenue, brick, brick_pavement, gravel, gravel_shoulder or random.",
    ),
    "weather": (str, "sun", "sun, overcast, dusk, night, fog, wet, headlights, rain, rainy_night or random."),
}
"""Arguments that are parameters of the camera: type, default, description."""


def generate_launch_description():
    """Build the launch description."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (_, default, description) in CAMERA.items()
            ),
            # road_seg.launch.py has these arguments too and takes their values from here.
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of camera, node and topics."),
            DeclareLaunchArgument("image", default_value="camera/image_raw", description="Topic of the camera."),
            # Comes before the camera, because it sets the Fast DDS profile that the camera needs.
            IncludeLaunchDescription(PathJoinSubstitution([SHARE, "launch", "road_seg.launch.py"])),
            Node(
                package="fcn_road_seg",
                executable="road_seg_camera",
                namespace=LaunchConfiguration("namespace"),
                parameters=[
                    {
                        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                        for name, (kind, _, _) in CAMERA.items()
                    }
                ],
                output="screen",
            ),
        ]
    )
