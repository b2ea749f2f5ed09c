"""Replay a bag or a KITTI drive through the node.

    ros2 launch fcn_road_seg replay.launch.py bag:=drive_bag image:=/camera/image_raw
    ros2 launch fcn_road_seg replay.launch.py drive:=2011_09_26/2011_09_26_drive_0001_sync rviz:=true

Plays with `ros2 bag play` where it is installed, else with `road_seg play`, from the moment on when the node is active.
Everything ends with the bag. The arguments of road_seg.launch.py work here as well.
"""

import atexit
import shutil
import tempfile
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.event_handlers import OnStateTransition
from launch_ros.substitutions import ExecutableInPackage, FindPackageShare

SHARE = FindPackageShare("fcn_road_seg")
CLOCK_HZ = "100"  # of ros2 bag play; its default of 40 makes the ages of frames coarse
LAST_FRAMES = 1.0  # seconds that the node has for them when the bag has ended

ARGUMENTS = {
    "bag": ("", "A rosbag2: its folder or file. Either this or drive."),
    "drive": ("", "A KITTI raw drive (the ..._sync folder) or a KITTI Road folder, made into a temporary bag first."),
    "image": ("/kitti/camera_color_left/image_raw", "Topic of the bag's camera."),
    "rate": ("1.0", "How fast to play."),
    "use_sim_time": ("true", "Take the time from the bag."),
    "respawn": ("false", "Start the node again if it dies."),
    "loop": (LaunchConfiguration("rviz", default="false"), "Play again and again; by default if rviz is true."),
}


def is_true(context, name):
    """Whether an argument says so."""
    return LaunchConfiguration(name).perform(context).lower() in ("true", "1")


def road_seg(*arguments):
    """A command of this package."""
    executable = ExecutableInPackage(package="fcn_road_seg", executable="road_seg")
    return ExecuteProcess(cmd=[executable, *arguments], output="screen")


def player(context, bag):
    """What plays the bag."""
    options = ["--rate", LaunchConfiguration("rate")] + ["--loop"] * is_true(context, "loop")
    try:
        get_package_prefix("ros2bag")
    except PackageNotFoundError:
        return road_seg("play", bag, "--clock", "--wait", "60", *options)
    overrides = PathJoinSubstitution([SHARE, "config", "tf_static_qos_overrides.yaml"])
    options += ["--clock", CLOCK_HZ, "--qos-profile-overrides-path", overrides, "--disable-keyboard-controls"]
    return ExecuteProcess(cmd=["ros2", "bag", "play", bag, *options], output="screen")


def bag_of(drive):
    """A command that makes a drive into a bag, and the bag, which is deleted at the end."""
    folder = tempfile.mkdtemp(prefix="road_seg_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    bag = str(Path(folder, "bag"))
    return road_seg("kitti-to-bag", drive, "--out", bag), bag


def succeeded(event, context):
    """Whether a process ended well, and not because everything ends; an error ends everything."""
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(f"{' '.join(event.cmd)} ended with code {event.returncode}")
    return not event.returncode


def fail(context):
    """End everything with an error."""
    raise RuntimeError("the node could not be configured")


def replay(context):
    """What happens when the node is active: the drive becomes a bag, the bag is played, everything ends."""
    bag, drive = (LaunchConfiguration(name).perform(context) for name in ("bag", "drive"))
    if bool(bag) == bool(drive):
        raise RuntimeError("name either a bag or a KITTI drive: bag:=FOLDER or drive:=FOLDER")
    if not Path(bag or drive).exists():
        raise RuntimeError(f"there is no {bag or drive}")
    convert, bag = bag_of(drive) if drive else (None, bag)
    play = player(context, bag)

    def converted(event, context):
        return play if succeeded(event, context) else None

    def played(event, context):
        succeeded(event, context)
        return TimerAction(period=LAST_FRAMES, actions=[Shutdown(reason="the bag has ended")])

    handlers = [
        OnStateTransition(goal_state="active", entities=[convert or play], handle_once=True),
        OnStateTransition(
            start_state="configuring", goal_state="unconfigured", entities=[OpaqueFunction(function=fail)]
        ),
        OnProcessExit(target_action=play, on_exit=played),
    ]
    if convert:
        handlers.append(OnProcessExit(target_action=convert, on_exit=converted))
    return [RegisterEventHandler(handler) for handler in handlers]


def generate_launch_description():
    """What ros2 launch asks for."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=replay),
            IncludeLaunchDescription(PathJoinSubstitution([SHARE, "launch", "road_seg.launch.py"])),
        ]
    )
