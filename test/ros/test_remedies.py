"""What to type, with `ros2` and without it."""

import sys
from pathlib import Path

import pytest

from fcn_road_seg.ros import remedies


@pytest.fixture
def path(monkeypatch, tmp_path) -> Path:
    """The only folder on the PATH; the environment that runs is not activated."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    return tmp_path


def command(path: Path) -> None:
    path.touch()
    path.chmod(0o755)


def test_remedies_without_ros2(path):
    start = remedies.start_command({"weights": "my weights"}, {"image": "/camera"})
    assert start == ".venv/bin/road_seg_node --ros-args -p 'weights:=my weights' -r image:=/camera"
    assert remedies.rename("image", "/camera") == "start the node with --ros-args -r image:=/camera"
    assert remedies.transitions("/road_seg", "configure", "activate") == (
        "end the node and start it again with autostart true, its default, or call /road_seg/change_state with "
        "configure, then activate"
    )
    assert remedies.resume("/road_seg") == "call ~/enable with true, or end the node and start it again"
    command(path / "road_seg_node")
    assert remedies.start_command({}, {"image": "/camera"}) == "road_seg_node --ros-args -r image:=/camera"


def test_remedies_with_ros2(path):
    command(path / "ros2")
    launch = "ros2 launch fcn_road_seg road_seg.launch.py 'weights:=my weights' image:=/camera"
    assert remedies.start_command({"weights": "my weights"}, {"image": "/camera"}) == launch
    restart = remedies.restart({"image_transport": "raw"}, {"image": "/camera"})
    assert restart == (
        "start the node with --ros-args -p image_transport:=raw -r image:=/camera "
        "(launch: image_transport:=raw image:=/camera)"
    )
    commands = remedies.transitions("/road_seg", "configure", "activate")
    assert commands == "ros2 lifecycle set /road_seg configure && ros2 lifecycle set /road_seg activate"
    call = "ros2 service call /road_seg/enable std_srvs/srv/SetBool '{data: true}'"
    assert remedies.resume("/road_seg") == call
