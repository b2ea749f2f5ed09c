"""The launch files refer only to existing files, executables and parameters, and start the right processes."""

import argparse
import ast
import importlib
import json
import os
import re
import runpy
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from fcn_road_seg.ros.environment import (
    FAST_DDS_PROFILES,
    FAST_DDS_TRANSPORTS,
    fast_dds_version,
    isolated_ros_environment,
)
from fcn_road_seg.ros.parameters import BY_NAME

FILES = ["demo", "nav2_demo", "replay", "road_seg"]
PROFILE = FAST_DDS_PROFILES[fast_dds_version(os.environ)]
"""The variable that names the profile of the installed Fast DDS."""
MODULES = {
    "launch",
    "launch_ros",
    "ament_index_python",
    "atexit",
    "os",
    "pathlib",
    "shutil",
    "tempfile",
    "time",
    "yaml",
}
"""What a launch file may import: nothing that downloads, evaluates or computes."""


class LaunchFile:
    """A launch file as its syntax tree."""

    def __init__(self, path: Path):
        self.text = path.read_text()
        self.tree = ast.parse(self.text)

    def of(self, kind: type) -> list:
        return [node for node in ast.walk(self.tree) if isinstance(node, kind)]

    def table(self, name: str) -> dict:
        """The dict that the file assigns to `name`: its keys, and the constants within each value."""
        for node in self.of(ast.Assign):
            if getattr(node.targets[0], "id", "") == name:
                return {
                    key.value: [part.value for part in ast.walk(value) if isinstance(part, ast.Constant)]
                    for key, value in zip(node.value.keys, node.value.values, strict=True)
                }
        return {}

    def calls(self, name: str) -> list[ast.Call]:
        return [call for call in self.of(ast.Call) if getattr(call.func, "id", "") == name]


@pytest.fixture(params=FILES)
def launch_file(request, repository) -> LaunchFile:
    return LaunchFile(repository / "launch" / f"{request.param}.launch.py")


def test_every_launch_file_is_tested(repository):
    assert sorted(path.name for path in (repository / "launch").iterdir()) == [f"{name}.launch.py" for name in FILES]


def test_executables_exist(launch_file, repository):
    named = set()
    for call in launch_file.of(ast.Call):
        values = {item.arg: item.value.value for item in call.keywords if isinstance(item.value, ast.Constant)}
        if "executable" in values:
            named.add((values["package"], values["executable"]))
    setup = (repository / "setup.py").read_text()
    for package, executable in named - {("rviz2", "rviz2")}:
        assert package == "fcn_road_seg"
        entry = re.search(rf'"{executable} = {{NAME}}([\w.]+):(\w+)"', setup)
        assert entry, f"{executable} is not an entry point in setup.py"
        assert callable(getattr(importlib.import_module(f"fcn_road_seg{entry[1]}"), entry[2]))


def test_files_exist(launch_file, repository):
    paths = [
        [part.value for part in parts.elts[1:]]
        for parts in launch_file.of(ast.List)
        if parts.elts and getattr(parts.elts[0], "id", "") == "SHARE"
    ]
    assert paths
    for path in paths:
        assert repository.joinpath(*path).is_file(), path


def test_parameters_exist(repository):
    overrides = LaunchFile(repository / "launch" / "road_seg.launch.py").table("OVERRIDES")
    assert overrides and overrides.keys() <= BY_NAME.keys() | {"use_sim_time"}


def test_a_node_that_dies_is_started_again(repository):
    assert LaunchFile(repository / "launch" / "road_seg.launch.py").table("ARGUMENTS")["respawn"][0] == "true"


def test_the_demo_s_arguments_are_the_camera_s_parameters(repository):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from fcn_road_seg.ros.parameter import table
    from fcn_road_seg.ros.synthetic_camera import CameraParameters

    parameters = {parameter.name: parameter for parameter in table(CameraParameters)}
    arguments = LaunchFile(repository / "launch" / "demo.launch.py").table("CAMERA")
    assert arguments
    for name, (default, description) in arguments.items():
        assert default == str(parameters[name].default)
        assert all(choice in description for choice in parameters[name].choices)


def test_the_nav2_demo_s_arguments_are_the_vehicle_s_parameters(repository):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from fcn_road_seg.ros.parameter import table
    from fcn_road_seg.ros.road_planner import PlannerParameters
    from fcn_road_seg.ros.synthetic_vehicle import VehicleParameters

    parameters = {parameter.name: parameter for parameter in table(VehicleParameters)}
    file = LaunchFile(repository / "launch" / "nav2_demo.launch.py")
    arguments = file.table("VEHICLE")
    assert arguments
    for name, (default, description) in arguments.items():
        assert default == str(parameters[name].default)
        assert all(choice in description for choice in parameters[name].choices)
    assert f'"speed", default_value="{PlannerParameters.speed}"' in file.text


@pytest.mark.parametrize(
    "verb, arguments",
    [
        ("play", ["BAG", "--clock", "--wait-for", "road_seg", "--wait", "60", "--rate", "1.0", "--loop"]),
        ("kitti-to-bag", ["DRIVE", "--out", "BAG"]),
    ],
)
def test_the_replay_s_commands_accept_their_arguments(verb, arguments, repository):
    text = (repository / "launch" / "replay.launch.py").read_text()
    assert all(f'"{word}"' in text for word in [verb, *arguments] if word.startswith("--") or word == verb)
    parser = argparse.ArgumentParser()
    module = importlib.import_module(f"fcn_road_seg.cli.{verb.replace('-', '_')}")
    module.add_parser(parser.add_subparsers())
    parser.parse_args([verb, *arguments])


def test_every_process_has_the_fast_dds_profile(launch_file):
    """road_seg.launch.py sets it for everything that starts later."""
    (description,) = launch_file.calls("LaunchDescription")
    actions = [ast.unparse(action) for action in description.args[0].elts]
    kinds = [action.partition("(")[0] for action in actions]
    if "IncludeLaunchDescription" in kinds:
        assert "Node" not in kinds[: kinds.index("IncludeLaunchDescription")]
    else:
        functions = [action for action in actions if action.startswith("OpaqueFunction")]
        assert functions == ["OpaqueFunction(function=set_profile)", "OpaqueFunction(function=start)"]
        assert set(FAST_DDS_PROFILES.values()) <= {constant.value for constant in launch_file.of(ast.Constant)}


@pytest.fixture
def stand_ins(monkeypatch):
    """Stand-ins for launch and launch_ros: a test looks at what a launch file does with them."""
    pytest.importorskip("ament_index_python", reason="ROS 2 is not installed")
    names = [
        "actions",
        "conditions",
        "event_handlers",
        "events",
        "events.process",
        "parameter_descriptions",
        "substitutions",
    ]
    for package in ("launch", "launch_ros"):
        for module in (package, *(f"{package}.{name}" for name in names)):
            monkeypatch.setitem(sys.modules, module, MagicMock())


@pytest.mark.parametrize("installed, version", [("fastrtps", 2), ("fastdds", 3)])
def test_the_profile_is_for_the_installed_fast_dds(stand_ins, repository, monkeypatch, tmp_path, installed, version):
    (tmp_path / "share" / installed).mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    set_profile = runpy.run_path(str(repository / "launch/road_seg.launch.py"))["set_profile"]
    (action,) = set_profile(SimpleNamespace(environment={}))
    set_variable = sys.modules["launch.actions"].SetEnvironmentVariable
    assert action is set_variable.return_value
    assert [call.args[0] for call in set_variable.call_args_list] == [FAST_DDS_PROFILES[version]]
    for name in (FAST_DDS_PROFILES[version], FAST_DDS_TRANSPORTS):
        assert set_profile(SimpleNamespace(environment={name: "own"})) == []


def test_a_node_that_refuses_its_settings_is_not_started_again(stand_ins, repository):
    ended = runpy.run_path(str(repository / "launch/road_seg.launch.py"))["ended"]
    running, shutdown = (SimpleNamespace(is_shutdown=state) for state in (False, True))
    refused = SimpleNamespace(returncode=2, action="the node")
    assert [ended(SimpleNamespace(returncode=code), running) for code in (1, 0, -11)] == [None] * 3
    assert ended(refused, shutdown) is None
    said, stop = ended(refused, running)
    assert said is sys.modules["launch.actions"].LogInfo.return_value
    assert stop is sys.modules["launch.actions"].EmitEvent.return_value
    sys.modules["launch.events"].matches_action.assert_called_once_with("the node")


@pytest.mark.parametrize("is_shutdown", [False, True])
def test_a_replay_shuts_down_once(stand_ins, repository, monkeypatch, tmp_path, is_shutdown):
    """The ends of its commands after Ctrl-C ask for nothing."""
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    values = {"drive": str(tmp_path)}
    arguments = sys.modules["launch.substitutions"].LaunchConfiguration
    arguments.side_effect = lambda name, default="": SimpleNamespace(perform=lambda context: values.get(name, ""))
    context = SimpleNamespace(is_shutdown=is_shutdown)
    runpy.run_path(str(repository / "launch/replay.launch.py"))["replay"](context)
    on_process_exit = sys.modules["launch.event_handlers"].OnProcessExit
    played, converted = (call.kwargs["on_exit"] for call in on_process_exit.mock_calls)
    ended = SimpleNamespace(returncode=0, cmd=["road_seg"])
    assert [bool(handler(ended, context)) for handler in (converted, played)] == [not is_shutdown] * 2
    failed = SimpleNamespace(returncode=1, cmd=["road_seg"])
    for handler in (converted, played):
        with nullcontext() if is_shutdown else pytest.raises(RuntimeError, match="road_seg ended with code 1"):
            assert handler(failed, context) is None


def test_nothing_is_downloaded_or_evaluated(launch_file):
    imported = {alias.name for node in launch_file.of(ast.Import) for alias in node.names}
    imported |= {node.module for node in launch_file.of(ast.ImportFrom)}
    assert {module.split(".")[0] for module in imported} <= MODULES
    assert not any(launch_file.calls(name) for name in ("eval", "exec", "__import__", "open"))


# With the real launch

PRINT_CALL = """#!{python}
import json, os, sys
files = [sys.argv[i + 1] for i, word in enumerate(sys.argv) if word == "--params-file"]
texts = [open(file).read() for file in files]
profiles = {name: value for name, value in os.environ.items() if name.endswith("_DEFAULT_PROFILES_FILE")}
print(json.dumps([sys.argv, texts, profiles]))
"""
DIE_AND_REFUSE = """#!{python}
from pathlib import Path
died = Path("died")
if died.exists(): raise SystemExit(2)
died.touch()
raise SystemExit(1)
"""
INTERRUPT_ALL = """#!{python}
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(int(os.environ["ROAD_SEG_INTERRUPTED_CODE"])))
os.killpg(0, signal.SIGINT)
time.sleep(60)
"""
RUN_THE_NODE = "#!{python}\nfrom fcn_road_seg.ros.node_main import main\nraise SystemExit(main())\n"
LAUNCH = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
service = LaunchService(noninteractive=True)
arguments = [word.split(":=") for word in sys.argv[2:]]
service.include_launch_description(IncludeLaunchDescription(sys.argv[1], launch_arguments=arguments))
sys.exit(service.run())
"""


class Launched:
    """The result of running a launch file."""

    def __init__(self, code: int, output: str):
        self.code, self.output = code, output
        lines = re.findall(r"^\[([\w-]+)-\d+\] (\[\[.*)$", output, re.MULTILINE)
        self.processes = {name: json.loads(text) for name, text in lines}
        """By executable: its command line, the contents of its parameter files, its variables of Fast DDS profiles."""

    def command(self, executable: str) -> str:
        return " ".join(self.processes[executable][0][1:])

    def parameters(self, executable: str) -> str:
        """The parameters that the launch file adds to the params file, in YAML."""
        return self.processes[executable][1][-1]


@pytest.fixture
def launch(repository, tmp_path, domain_id):
    """Run a launch file with executables that print how they were called; the node can be the real one."""
    pytest.importorskip("launch_ros", reason="the ROS 2 package launch_ros is not installed")

    def run(
        name: str,
        *arguments: str,
        node: str = PRINT_CALL,
        road_seg: str = PRINT_CALL,
        ros2bag: bool = False,
        **variables: str,
    ) -> Launched:
        programs = {"fcn_road_seg/road_seg_camera": PRINT_CALL, "fcn_road_seg/road_seg": road_seg}
        programs |= {"fcn_road_seg/road_seg_node": node, "rviz2/rviz2": PRINT_CALL}
        programs |= {f"fcn_road_seg/road_seg_{name}": PRINT_CALL for name in ("vehicle", "planner")}
        if ros2bag:
            programs["ros2bag/ros2"] = PRINT_CALL
        for program, text in programs.items():
            package = program.split("/")[0]
            file = tmp_path / "lib" / program
            for folder in (file.parent, tmp_path / "share/ament_index/resource_index/packages", tmp_path / "share"):
                folder.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("{python}", sys.executable))
            file.chmod(0o755)
            (tmp_path / "share/ament_index/resource_index/packages" / package).touch()
        (tmp_path / "share/fcn_road_seg").symlink_to(repository)
        environment = isolated_ros_environment(domain_id) | {
            "AMENT_PREFIX_PATH": os.pathsep.join([str(tmp_path), os.environ.get("AMENT_PREFIX_PATH", sys.prefix)]),
            "PATH": os.pathsep.join([str(tmp_path / "lib/ros2bag"), os.environ["PATH"]]),
            "OVERRIDE_LAUNCH_PROCESS_OUTPUT": "screen",
            "PYTHONPATH": os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")]),
            "ROS_LOG_DIR": str(tmp_path / "log"),
            "TMPDIR": str(tmp_path),
        }
        for variable in FAST_DDS_PROFILES.values():
            environment.pop(variable, None)
        environment |= variables
        command = [sys.executable, "-c", LAUNCH, str(repository / "launch" / f"{name}.launch.py"), *arguments]
        result = subprocess.run(
            command,
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            start_new_session=True,
        )
        return Launched(result.returncode, result.stdout)

    return run


def test_the_node_takes_its_params_file(launch, repository):
    launched = launch("road_seg", "respawn:=false", "image:=/cam/image")
    assert launched.code == 0, launched.output
    (_, params, profiles) = launched.processes["road_seg_node"]
    assert profiles.keys() == {PROFILE}
    assert Path(profiles[PROFILE]).samefile(repository / "config/fastdds_profile.xml")
    assert params[0] == (repository / "config/road_seg.yaml").read_text()
    assert all(
        word not in params[-1] or len(params) == 1 for word in ("weights", "device", "autostart", "use_sim_time")
    )
    assert "image:=/cam/image" in launched.command("road_seg_node")
    assert "camera_info:=/cam/camera_info" in launched.command("road_seg_node")
    assert "rviz2" not in launched.processes


@pytest.mark.parametrize(
    "variables, profiles", [({PROFILE: "own.xml"}, {PROFILE: "own.xml"}), ({FAST_DDS_TRANSPORTS: "UDPv4"}, {})]
)
def test_the_users_own_transports_are_kept(launch, variables, profiles):
    launched = launch("road_seg", "respawn:=false", **variables)
    assert launched.processes["road_seg_node"][2] == profiles


def test_arguments_become_parameters_names_and_remappings(launch):
    arguments = "image:=cam/compressed image_transport:=compressed weights:=w.safetensors device:=cpu autostart:=false"
    names = "namespace:=front name:=seg log_level:=warn rviz:=true use_sim_time:=true respawn:=false"
    metres = "camera_info:=cam/calibration camera_height:=1.2 own_vehicle_mask:=own.png imu:=imu/data odom:=wheel/odom"
    launched = launch("road_seg", *arguments.split(), *names.split(), *metres.split())
    assert launched.code == 0, launched.output
    node, rviz = launched.command("road_seg_node"), launched.command("rviz2")
    topics = ("image:=cam/compressed", "camera_info:=cam/calibration", "imu:=imu/data", "odom:=wheel/odom")
    for part in ("__node:=seg", "__ns:=/front", *topics, "--log-level warn"):
        assert part in node
    parameters = launched.parameters("road_seg_node")
    for line in ("weights: w.safetensors", "device: cpu", "image_transport: compressed", "autostart: false"):
        assert line in parameters
    assert "camera_height: 1.2" in parameters and "own_vehicle_mask: own.png" in parameters
    assert "use_sim_time: true" in parameters and "use_sim_time: true" in launched.parameters("rviz2")
    for part in ("road_seg.rviz", "__ns:=/front", "/camera/image_raw:=cam ", "/road_seg/mask:=seg/mask"):
        assert part in rviz + " "
    for topic in ("overlay", "points", "grid", "scan", "boundary"):
        assert f"/road_seg/{topic}:=seg/{topic}" in rviz
    assert launched.processes["rviz2"][2] == launched.processes["road_seg_node"][2] != {}


def test_several_cameras_have_their_own_topics(launch):
    arguments = ["cameras:=[left, 'front']", "image:=/{camera}/raw/compressed", "name:=seg", "rviz:=true"]
    launched = launch("road_seg", "respawn:=false", *arguments)
    assert launched.code == 0, launched.output
    node, rviz = launched.command("road_seg_node"), launched.command("rviz2")
    assert re.search(r"cameras:.*\n +- left\n +- front\n", launched.parameters("road_seg_node"))
    for camera in ("left", "front"):
        for topic in (f"image:=/{camera}/raw/compressed", f"camera_info:=/{camera}/camera_info"):
            assert f" {camera}/{topic} " in node
    assert " image:=" not in node and "cameras.rviz" in rviz
    for shown, camera in (("front", "left"), ("left", "front")):
        for topic in ("overlay", "grid", "grid_updates", "scan"):
            assert f"/road_seg/{shown}/{topic}:=seg/{camera}/{topic}" in rviz


def test_cameras_that_would_share_a_topic_are_refused(launch):
    launched = launch("demo", "cameras:=[front, left]")
    assert launched.code == 1 and "road_seg_node" not in launched.processes
    sentence = "image is 'camera/image_raw', but there are several cameras: write {camera} for the name"
    assert sentence in launched.output


def test_a_node_that_dies_is_started_again_until_it_refuses_its_settings(launch):
    launched = launch("road_seg", node=DIE_AND_REFUSE)
    assert launched.code == 0, launched.output
    assert launched.output.count("process started with pid") == 2
    assert "The node refuses its settings, see above, so it is not started again" in launched.output
    assert "WARNING" not in launched.output and "Traceback" not in launched.output
    assert "failed to terminate" not in launched.output


def test_the_demo_starts_camera_and_node(launch):
    launched = launch("demo", "respawn:=false", "rate:=5", "seed:=3", "namespace:=front", "device:=cpu")
    assert launched.code == 0, launched.output
    assert launched.processes.keys() == {"road_seg_camera", "road_seg_node"}
    parameters = launched.parameters("road_seg_camera")
    for line in ("rate: 5.0", "seed: 3", "frames: 40", "weather: sun"):
        assert line in parameters
    assert "__ns:=/front" in launched.command("road_seg_camera")
    for remapping in ("image:=camera/image_raw", "camera_info:=camera/camera_info"):
        assert remapping in launched.command("road_seg_node")
    assert "device: cpu" in launched.parameters("road_seg_node")
    assert launched.processes["road_seg_camera"][2] == launched.processes["road_seg_node"][2] != {}


def test_the_nav2_demo_without_nav2_starts_the_stand_in(launch):
    launched = launch("nav2_demo", "respawn:=false", "speed:=2", "length:=90")
    assert launched.code == 0, launched.output
    assert launched.processes.keys() == {"road_seg_vehicle", "road_seg_node", "road_seg_planner"}
    assert launched.output.count("Nav2 is not installed (nav2_bringup)") == 1
    assert "speed: 2.0" in launched.parameters("road_seg_planner")
    assert "length: 90.0" in launched.parameters("road_seg_vehicle")
    assert launched.processes["road_seg_vehicle"][2] == launched.processes["road_seg_node"][2] is not None


@pytest.mark.parametrize("planner, sentence", [("nav2", "needs the package nav2_bringup"), ("x", "planner is 'x'")])
def test_a_planner_that_is_not_there_is_a_sentence(launch, planner, sentence):
    launched = launch("nav2_demo", "respawn:=false", f"planner:={planner}")
    assert launched.code == 1 and sentence in launched.output


def test_a_drive_becomes_a_bag_that_is_played_when_the_node_is_active(launch, small_weights, tmp_path):
    (tmp_path / "drive").mkdir()
    launched = launch("replay", "drive:=drive", f"weights:={small_weights}", node=RUN_THE_NODE)
    assert launched.code == 0, launched.output
    moments = ["Listening to /kitti/camera_color_left/image_raw", '"kitti-to-bag", "drive", "--out"', '"play", "']
    places = [launched.output.find(moment) for moment in moments]
    assert -1 not in places and places == sorted(places), launched.output
    out = re.search(r'"--out", "([^"]+)"', launched.output)[1]
    assert launched.command("road_seg") == f"play {out} --clock --wait-for road_seg --wait 60 --rate 1.0"
    assert not Path(out).parent.exists()
    assert launched.processes["road_seg"][2][PROFILE].endswith("fastdds_profile.xml")


def test_ros2_bag_play_is_used_where_it_is_installed(launch, small_weights, tmp_path):
    (tmp_path / "bag").mkdir()
    arguments = ["bag:=bag", "rate:=0.5", "loop:=true", f"weights:={small_weights}"]
    launched = launch("replay", *arguments, node=RUN_THE_NODE, ros2bag=True)
    assert launched.code == 0, launched.output
    command = launched.command("ros2")
    assert command.startswith("bag play bag --rate 0.5 --loop --clock 100 --qos-profile-overrides-path ")
    assert "road_seg" not in launched.processes


def test_ctrl_c_ends_a_replay_cleanly(launch, small_weights, tmp_path):
    (tmp_path / "bag").mkdir()
    launched = launch("replay", "bag:=bag", f"weights:={small_weights}", node=RUN_THE_NODE, road_seg=INTERRUPT_ALL)
    assert launched.code == 0 and "[ERROR]" not in launched.output, launched.output
    assert launched.output.count("process has finished cleanly") == 2


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ([], "give either a bag or a KITTI drive"),
        (["bag:=none"], "none does not exist"),
        (["bag:=.", "weights:=none"], "the node could not be configured"),
    ],
)
def test_an_invalid_replay_ends_with_a_sentence(launch, arguments, sentence):
    launched = launch("replay", *arguments, node=RUN_THE_NODE)
    assert launched.code == 1
    assert sentence in launched.output and "Traceback" not in launched.output
    assert "road_seg" not in launched.processes
