"""The rules of the house: the node knows no torch, and everything but the ROS modules knows no ROS."""

import subprocess
import sys

import pytest

ROS_MODULES = {
    "node",
    "camera_info",
    "ground_transform",
    "metric_outputs",
    "pixel_outputs",
    "camera_subscription",
    "qos",
    "steady_clock",
    "synthetic_camera",
    "bags.play",
    "bags.publishers",
    "benchmark.mask_listener",
    "demo.recorder",
    "doctor.graph",
    "view.listener",
}


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_node_imports_no_torch():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    assert run("import sys, fcn_road_seg.ros.node; print('torch' in sys.modules)") == "False"


def test_a_command_starts_without_torch():
    assert run("import sys, fcn_road_seg.cli.main; print('torch' in sys.modules)") == "False"


def test_everything_else_imports_without_ros(repository):
    files = (repository / "fcn_road_seg").rglob("*.py")
    names = {".".join(f.relative_to(repository / "fcn_road_seg").with_suffix("").parts) for f in files}
    names = {name.removesuffix(".__init__") for name in names} - ROS_MODULES - {"__init__"}
    assert {"segmenter", "training.loop", "image_message", "cli.main", "demo.run"} <= names
    imports = "\n".join(f"import fcn_road_seg.{name}" for name in sorted(names))
    run(f"import sys\nfor name in ('rclpy', 'sensor_msgs', 'launch'): sys.modules[name] = None\n{imports}")
