"""The launch files name only what exists."""

import ast
import re

import pytest

from fcn_road_seg.parameters import BY_NAME

LAUNCH_FILE = "launch/road_seg.launch.py"


def constants(repository) -> dict[str, list]:
    """Keyword -> the string constants that the launch file gives it."""
    found: dict[str, list] = {}
    for node in ast.walk(ast.parse((repository / LAUNCH_FILE).read_text())):
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            found.setdefault(node.arg, []).append(node.value.value)
    return found


def test_it_names_executables_files_and_parameters_that_exist(repository):
    text = (repository / LAUNCH_FILE).read_text()
    found = constants(repository)
    assert found["package"] == ["fcn_road_seg"]
    for executable in found["executable"]:
        assert f"{executable} = " in (repository / "setup.py").read_text()
    files = re.findall(r'SHARE, "(\w+)", "([\w.]+)"', text)
    assert files
    for folder, name in files:
        assert (repository / folder / name).is_file()
    (overrides,) = re.findall(r"for name in \(([^)]*)\)", text)
    for name in re.findall(r'"(\w+)"', overrides):
        assert name in BY_NAME


def test_it_starts_the_node_as_asked(repository):
    launch = pytest.importorskip("launch", reason="the ROS 2 package launch is not installed")
    pytest.importorskip("launch_ros", reason="the ROS 2 package launch_ros is not installed")
    from launch.actions import DeclareLaunchArgument
    from launch.launch_description_sources import get_launch_description_from_python_launch_file
    from launch_ros.actions import Node

    description = get_launch_description_from_python_launch_file(str(repository / LAUNCH_FILE))
    arguments = {action.name: action for action in description.entities if isinstance(action, DeclareLaunchArgument)}
    assert {"image", "params_file", "weights", "device", "namespace", "respawn", "log_level"} <= arguments.keys()
    assert all(argument.description for argument in arguments.values())
    context = launch.LaunchContext()
    context.launch_configurations.update(dict.fromkeys(arguments, "x"), respawn="true")
    (started,) = description.entities[-1].execute(context)
    assert isinstance(started, Node)
    assert (started.node_package, started.node_executable) == ("fcn_road_seg", "road_seg_node")
