"""What to type against a fault, with the commands that this machine has; imports without ROS."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path


def has_ros2() -> bool:
    """Whether there is the command `ros2`; ROS 2 from wheels has none."""
    return shutil.which("ros2") is not None


def executable(name: str) -> str:
    """How to type the name of one of this package's executables: as it is if on the PATH, else where it lies."""
    if shutil.which(name):
        return name
    path = Path(os.path.abspath(sys.executable)).with_name(name)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def start_command(parameters: Mapping[str, str], topics: Mapping[str, str]) -> str:
    """The command that starts the node with these parameters and with topics renamed."""
    if has_ros2():
        return f"ros2 launch fcn_road_seg road_seg.launch.py {_assigned({**parameters, **topics})}"
    return f"{executable('road_seg_node')} {_ros_arguments(parameters, topics)}"


def restart(parameters: Mapping[str, str], topics: Mapping[str, str]) -> str:
    """A sentence that says how to start a node, in one's own way, with other parameters and topics."""
    values = {**parameters, **topics}
    of_several_cameras = any({"/", "."} & set(name) for name in values)  # for which the launch file has no arguments
    launch = f" (launch: {_assigned(values)})" if has_ros2() and not of_several_cameras else ""
    return f"start the node with {_ros_arguments(parameters, topics)}{launch}"


def rename(name: str, topic: str) -> str:
    """A sentence that says how to start a node that finds `name`, such as "image", on another topic."""
    return restart({}, {name: topic})


def transitions(node: str, *names: str) -> str:
    """How to make these transitions of a node's lifecycle."""
    if has_ros2():
        return " && ".join(f"ros2 lifecycle set {node} {name}" for name in names)
    calls = f"call {node}/change_state with {', then '.join(names)}"
    return f"end the node and start it again with autostart true, its default, or {calls}"


def resume(node: str) -> str:
    """How to end a pause of a node."""
    if has_ros2():
        return f"ros2 service call {node}/enable std_srvs/srv/SetBool '{{data: true}}'"
    return "call ~/enable with true, or end the node and start it again"


def _assigned(values: Mapping[str, str], option: str = "") -> str:
    return " ".join(f"{option}{shlex.quote(f'{name}:={value}')}" for name, value in values.items())


def _ros_arguments(parameters: Mapping[str, str], topics: Mapping[str, str]) -> str:
    return " ".join(filter(None, ["--ros-args", _assigned(parameters, "-p "), _assigned(topics, "-r ")]))
