"""The package builds and installs with everything in its place."""

import ast
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

SHIPPED = [
    "package.xml",
    "launch/road_seg.launch.py",
    "launch/replay.launch.py",
    "launch/demo.launch.py",
    "config/road_seg.yaml",
    "config/road_seg.rviz",
    "config/fastdds_profile.xml",
    "config/tf_static_qos_overrides.yaml",
    "config/sros2/road_seg.xml",
    "config/nav2_semantic_layer.yaml",
    "config/nav2_obstacle_layer.yaml",
]


def run(command, cwd) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def source(repository, tmp_path_factory) -> Path:
    """A copy of what a clone has, because building writes beside the sources; a stand-in for the weights."""
    copy = tmp_path_factory.mktemp("source") / "fcn_road_seg"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "install", "log", "runs", "models")
    shutil.copytree(repository, copy, ignore=ignored)
    (copy / "models").mkdir()
    (copy / "models" / "road_fcn8s.safetensors").write_bytes(b"weights")
    return copy


def assert_complete(prefix: Path, site_packages: Path, repository: Path) -> None:
    share = prefix / "share"
    assert (share / "ament_index" / "resource_index" / "packages" / "fcn_road_seg").is_file()
    assert (share / "fcn_road_seg" / "models" / "road_fcn8s.safetensors").read_bytes() == b"weights"
    for file in SHIPPED:
        assert (share / "fcn_road_seg" / file).read_text() == (repository / file).read_text()
    for pattern in ("**/*.py", "**/*.html", "training/recipes/*.yaml", "datasets/splits/*.txt"):
        expected = {path.relative_to(repository) for path in (repository / "fcn_road_seg").glob(pattern)}
        assert expected, pattern
        assert expected <= {path.relative_to(site_packages) for path in (site_packages / "fcn_road_seg").glob(pattern)}


def test_pip_installs_everything(source, repository, tmp_path):
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-compile"]
    run([*command, "--target", str(tmp_path), "."], source)
    assert_complete(tmp_path, tmp_path, repository)
    for script in ("road_seg", "road_seg_node", "road_seg_camera"):
        assert (tmp_path / "bin" / script).is_file()


def test_colcon_puts_the_node_where_ros2_run_looks(source, repository, tmp_path):
    pytest.importorskip("colcon_core", reason="colcon is not installed")
    colcon = [sys.executable, "-m", "colcon", "--log-base", str(tmp_path / "log")]
    assert run([*colcon, "list"], source).split() == ["fcn_road_seg", ".", "(ros.ament_python)"]
    build = ["build", "--build-base", str(tmp_path / "build"), "--install-base", str(tmp_path / "install")]
    run([*colcon, *build], source)
    prefix = tmp_path / "install" / "fcn_road_seg"
    (site_packages,) = prefix.glob("lib/python*/site-packages")
    assert_complete(prefix, site_packages, repository)
    for script in ("road_seg", "road_seg_node", "road_seg_camera"):
        assert (prefix / "lib" / "fcn_road_seg" / script).is_file()


def test_package_xml_is_what_colcon_and_rosdep_expect(repository):
    package = ElementTree.parse(repository / "package.xml").getroot()
    assert package.get("format") == "3"
    assert package.find("export/build_type").text == "ament_python"
    assert re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", package.find("maintainer").get("email"))
    setup = (repository / "setup.py").read_text()
    assert f'version="{package.find("version").text}"' in setup
    assert f'maintainer_email="{package.find("maintainer").get("email")}"' in setup


def test_package_xml_names_every_ros_package_that_is_imported(repository):
    ros = {"rclpy", "rcl_interfaces", "launch", "launch_ros", "cv_bridge", "sensor_msgs_py", "ament_index_python"}
    files = [*(repository / "fcn_road_seg").rglob("*.py"), *(repository / "launch").glob("*.py")]
    imported = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    used = {name for name in imported if name in ros or name.endswith("_msgs")}
    assert {"rclpy", "sensor_msgs", "launch_ros"} <= used
    package = ElementTree.parse(repository / "package.xml").getroot()
    assert used <= {depend.text for depend in package.findall("exec_depend")}


def test_every_pin_is_exact(repository):
    for line in (repository / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[a-z0-9-]+==[\w.+]+(; python_version [<>=]+ '3\.\d+'( and .*)?)?", line), line
