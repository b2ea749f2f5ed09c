"""Replay a bag or a KITTI drive through the node.

    ros2 launch fcn_road_seg replay.launch.py bag:=drive_bag image:=/camera/image_raw
    ros2 launch fcn_road_seg replay.launch.py drive:=2011_09_26/2011_09_26_drive_0001_sync rviz:=true

Plays the bag with `ros2 bag play` if it is installed, otherwise with `road_seg play`, once the node is active.
Shuts down when the bag ends. Also takes the arguments of road_seg.launch.py.
"""

import atexit
import os
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
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.event_handlers import OnStateTransition
from launch_ros.substitutions import ExecutableInPackage, FindPackageShare

SHARE = FindPackageShare("fcn_road_seg")
CLOCK_HZ = "100"  # for ros2 bag play; with its default of 40 the ages of frames are coarse
LAST_FRAMES = 1.0  # seconds left to the node after the bag has ended

ARGUMENTS = {
    "bag": ("", "Folder or file of a rosbag2. Give either this or drive."),
    "drive": ("", "A KITTI raw drive (the ..._sync folder) or a KITTI Road folder; made into a temporary bag."),
    "image": ("/kitti/camera_color_left/image_raw", "Image topic in the bag."),
    "rate": ("1.0", "Playback rate."),
    "use_sim_time": ("true", "Take the time from the bag."),
    "respawn": ("false", "Start the node again if it dies."),
    "loop": (LaunchConfiguration("rviz", default="false"), "Repeat the bag; the default is the value of rviz."),
}


def is_true(context, name):
    """Whether a boolean argument is true."""
    return LaunchConfiguration(name).perform(context).lower() in ("true", "1")


def road_seg(*arguments):
    """An action that runs a `road_seg` command, which ends with 0 after Ctrl-C: launch calls other codes a death."""
    executable = ExecutableInPackage(package="fcn_road_seg", executable="road_seg")
    return ExecuteProcess(
        cmd=[executable, *arguments], output="screen", additional_env={"ROAD_SEG_INTERRUPTED_CODE": "0"}
    )


def player(context, bag):
    """The action that plays the bag."""
    options = ["--rate", LaunchConfiguration("rate")] + ["--loop"] * is_true(context, "loop")
    try:
        get_package_prefix("ros2bag")
    except PackageNotFoundError:
        listener = LaunchConfiguration("name", default="road_seg")
        return road_seg("play", bag, "--clock", "--wait-for", listener, "--wait", "60", *options)
    overrides = PathJoinSubstitution([SHARE, "config", "tf_static_qos_overrides.yaml"])
    options += ["--clock", CLOCK_HZ, "--qos-profile-overrides-path", overrides, "--disable-keyboard-controls"]
    return ExecuteProcess(cmd=["ros2", "bag", "play", bag, *options], output="screen")


def bag_of(drive):
    """The action that converts a drive to a bag, and the path of that bag, which is deleted at exit."""
    folder = tempfile.mkdtemp(prefix="road_seg_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    bag = str(Path(folder, "bag"))
    return road_seg("kitti-to-bag", drive, "--out", bag), bag


def succeeded(event, context):
    """Whether a process exited with code 0; raises if it did not. False during a shutdown, such as after Ctrl-C."""
    if context.is_shutdown:
        return False
    if event.returncode:
        raise RuntimeError(f"{' '.join(event.cmd)} ended with code {event.returncode}")
    return True


def refused(event):
    """End with an error when the node says that it could not be configured."""
    return OpaqueFunction(function=fail) if b"Not configured" in event.text else None


def fail(context):
    """Shut down with an error."""
    raise RuntimeError("the node could not be configured")


def replay(context):
    """Event handlers: once the node is active, convert the drive, play the bag, then shut down."""
    bag, drive = (os.path.expanduser(LaunchConfiguration(name).perform(context)) for name in ("bag", "drive"))
    if bool(bag) == bool(drive):
        raise RuntimeError("give either a bag or a KITTI drive: bag:=FOLDER or drive:=FOLDER")
    if not Path(bag or drive).exists():
        raise RuntimeError(f"{bag or drive} does not exist")
    convert, bag = bag_of(drive) if drive else (None, bag)
    play = player(context, bag)

    def converted(event, context):
        return play if succeeded(event, context) else None

    def played(event, context):
        end = TimerAction(period=LAST_FRAMES, actions=[Shutdown(reason="the bag has ended")])
        return end if succeeded(event, context) else None

    handlers = [
        OnStateTransition(goal_state="active", entities=[convert or play], handle_once=True),
        OnProcessIO(on_stderr=refused),  # a transition is not told of while launch_ros has yet to discover the node
        OnProcessExit(target_action=play, on_exit=played),
    ]
    if convert:
        handlers.append(OnProcessExit(target_action=convert, on_exit=converted))
    return [RegisterEventHandler(handler) for handler in handlers]


def generate_launch_description():
    """Build the launch description."""
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
