"""What ROS 2 refuses at start is one sentence with exit code 2; a missing log folder is a warning."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.context import Context

from fcn_road_seg.cli.main import main
from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.environment import foreign_shared_memory, isolated_ros_environment, log_folder_problem
from fcn_road_seg.ros.start import start_ros


@pytest.mark.parametrize(
    "words, sentence",
    [
        (
            ["-r", "image=/cam"],
            "ROS 2 does not start: Couldn't parse remap rule: '-r image=/cam'; write -r from:=to, such as "
            "-r image:=/camera/image_raw",
        ),
        (
            ["-p", "threshold"],
            "ROS 2 does not start: Couldn't parse parameter override rule: '-p threshold'; write -p name:=value, such "
            "as -p threshold:=0.4",
        ),
        (
            ["-r"],
            "ROS 2 does not start: Couldn't parse trailing -r flag. No remap rule found; write -r from:=to, such as "
            "-r image:=/camera/image_raw",
        ),
        (["--nonsense"], "ROS 2 does not know the argument --nonsense: --help shows those it takes most often"),
        (
            ["--log-level", "loud"],
            "ROS 2 does not start: Couldn't parse log level: '--log-level loud'. Error: Argument does not use a valid "
            "severity level",
        ),
    ],
)
def test_arguments_that_rcl_refuses(words, sentence, capfd):
    with pytest.raises(UserError) as error:
        start_ros(["node", "--ros-args", *words], Context())
    assert str(error.value) == sentence
    assert capfd.readouterr() == ("", "")  # nothing of rcl's own beside the sentence


DOMAIN = (
    "ROS_DOMAIN_ID is '{}', which is not a number in 0..232: set one, the same for the camera and the node, or unset it"
)


@pytest.mark.parametrize("domain", ["abc", "999", "-1"])
@pytest.mark.parametrize("command", [["play", "."], ["view"]])
def test_commands_refuse_a_domain_without_a_traceback(command, domain, monkeypatch, capsys, tiny_bag_path):
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    command = [str(tiny_bag_path) if word == "." else word for word in command]
    assert main(command) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"road_seg {command[0]}: {DOMAIN.format(domain)}"


@pytest.fixture
def tiny_bag_path(tmp_path) -> Path:
    from rosbags.typesys import Stores, get_typestore

    from fcn_road_seg.bags.writer import new_bag

    with new_bag(tmp_path / "bag") as writer:
        store = get_typestore(Stores.LATEST)
        text = store.types["std_msgs/msg/String"](data="hello")
        connection = writer.add_connection("/chatter", text.__msgtype__, typestore=store)
        writer.write(connection, 10**9, store.serialize_cdr(text, text.__msgtype__))
    return tmp_path / "bag"


def test_the_demo_looks_before_it_renders(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_none")
    monkeypatch.setattr("fcn_road_seg.datasets.drive.open_drive", lambda *_: pytest.fail("it renders the drive"))
    assert main(["demo", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("road_seg demo: RMW_IMPLEMENTATION is rmw_none, which is not installed: ")


@pytest.mark.parametrize("module", ["node_main", "synthetic_camera_main"])
@pytest.mark.parametrize(
    "variables, words, sentence",
    [
        ({"ROS_DOMAIN_ID": "999"}, [], DOMAIN.format("999")),
        ({"RMW_IMPLEMENTATION": "rmw_none"}, [], "RMW_IMPLEMENTATION is rmw_none, which is not installed: install it"),
        ({}, ["-p", "weights:=lite"], "-p weights:=lite is not understood: ROS arguments follow --ros-args"),
    ],
)
def test_executables_refuse_before_they_load_ros(module, variables, words, sentence):
    program = f"import sys\nsys.modules['rclpy'] = None\nfrom fcn_road_seg.ros.{module} import main\nsys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, *words], env=os.environ | variables, capture_output=True, text=True, timeout=60
    )
    name = {"node_main": "road_seg_node", "synthetic_camera_main": "road_seg_camera"}[module]
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{name}: {sentence}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("home", [None, "/proc"])
def test_without_a_log_folder_it_warns_and_runs(home):
    program = (
        "import rclpy\nfrom fcn_road_seg.ros.start import check_start, start_ros\ncheck_start()\nstart_ros()\n"
        "rclpy.create_node('x').get_logger().info('it runs')"
    )
    variables = {name: value for name, value in os.environ.items() if name not in ("HOME", "ROS_LOG_DIR", "ROS_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=variables | ({} if home is None else {"HOME": home}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    warning, line = done.stderr.splitlines()
    why = "HOME is not set" if home is None else "ROS 2's log files cannot be written to /proc/.ros/log: "
    assert warning.startswith(f"No log file is written: {why}") and "set ROS_LOG_DIR to a folder" in warning
    assert (done.returncode, line.endswith("it runs")) == (0, True)


@pytest.mark.parametrize("distribution", ["", "humble", "iron", "jazzy", "kilted", "lyrical"])
def test_discovery_on_this_machine_only(monkeypatch, distribution):
    """Humble knows only the older variable, which overrides the newer one, with a warning, from Iron on."""
    monkeypatch.setattr(os, "environ", {"ROS_DISTRO": distribution})
    reach = {"ROS_LOCALHOST_ONLY": "1"} if distribution == "humble" else {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    assert isolated_ros_environment(5) == {"ROS_DISTRO": distribution, "ROS_DOMAIN_ID": "5"} | reach


def test_the_log_folder_is_the_one_that_ros_takes(tmp_path):
    (tmp_path / "file").touch()
    assert log_folder_problem({"ROS_LOG_DIR": str(tmp_path / "logs"), "ROS_HOME": str(tmp_path / "file")}) == ""
    assert (tmp_path / "logs").is_dir()
    assert log_folder_problem({"ROS_HOME": str(tmp_path / "home")}) == ""
    assert (tmp_path / "home/log").is_dir()
    assert log_folder_problem({"HOME": str(tmp_path)}) == ""
    assert (tmp_path / ".ros/log").is_dir()
    sentence = f"ROS 2's log files cannot be written to {tmp_path}/file: "
    assert log_folder_problem({"ROS_LOG_DIR": "~/file", "HOME": str(tmp_path)}).startswith(sentence)


@pytest.mark.parametrize("name", ["fastdds", "fastrtps"])
def test_another_user_s_shared_memory_in_this_domain(tmp_path, name):
    user = os.getuid()
    for rest in ("port7411", "port7411_el", "port8160", "08a893f35d2d14c7"):
        (tmp_path / f"{name}_{rest}").touch(0o644)
    assert foreign_shared_memory({}, user, tmp_path) == []
    assert foreign_shared_memory({}, user + 1, tmp_path) == [user]
    assert foreign_shared_memory({"ROS_DOMAIN_ID": "3"}, user + 1, tmp_path) == [user]
    assert foreign_shared_memory({"ROS_DOMAIN_ID": "2"}, user + 1, tmp_path) == []  # whose ports are 7900 to 8149
    (tmp_path / f"{name}_port7411").chmod(0o666)  # everybody may write
    assert foreign_shared_memory({}, user + 1, tmp_path) == []
    assert foreign_shared_memory({}, user + 1, tmp_path / "none") == []
