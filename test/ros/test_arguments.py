"""Arguments of the executables that rcl would ignore without a word, and what --help prints."""

import os
import shlex
import signal
import subprocess
import sys

import pytest

from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.arguments import RosArguments, no_such_parameter
from fcn_road_seg.ros.parameters import PARAMETERS
from fcn_road_seg.ros.scope import topic_for
from fcn_road_seg.ros.usage import NODE_TOPICS, Usage

TOPICS = ("image", "camera_info", "~/mask")
NAMES = {"/front/road_seg/get_state", "/front/image"}


def effects(*words: str) -> list[str]:
    return RosArguments.of(["--ros-args", *words]).without_effect("/front/road_seg", TOPICS, NAMES)


def test_a_command_line_is_divided_as_rcl_does():
    line = "a --ros-args -p x:=1 --log-level info -r image:=/cam -- b --ros-args --params-file f --param y:=2"
    arguments = RosArguments.of(shlex.split(line))
    assert arguments.others == ["a", "b"]
    assert (arguments.parameters, arguments.remaps, arguments.files) == (["x:=1", "y:=2"], ["image:=/cam"], ["f"])


def test_words_outside_ros_args_are_refused():
    with pytest.raises(UserError) as error:
        RosArguments.of(["-p", "weights:=lite"]).check("road_seg_node")
    assert str(error.value) == (
        "-p weights:=lite is not understood: ROS arguments follow --ros-args, as in "
        "road_seg_node --ros-args -p weights:=lite; --help lists topics and parameters"
    )
    with pytest.raises(UserError, match="image:=/cam is not understood"):  # rcl would take it as a renaming
        RosArguments.of(["image:=/cam"]).check("road_seg_node")
    RosArguments.of(["--ros-args", "-p", "weights:=lite", "--"]).check("road_seg_node")


@pytest.mark.parametrize(
    "content, text",
    [
        (None, "the params file {} cannot be read: No such file or directory"),
        ("a: [", "the params file {} is not YAML, line 1: "),
        (b"\xff\xfe\x00", "the params file {} is not YAML: "),
    ],
)
def test_a_params_file_that_cannot_be_read(tmp_path, content, text):
    file = tmp_path / "params.yaml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        RosArguments.of(["--ros-args", "--params-file", str(file)]).check("road_seg_node")
    assert str(error.value).startswith(text.format(file))


def test_a_params_file_from_a_pipe_is_left_to_rcl(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    RosArguments.of(["--ros-args", "--params-file", str(tmp_path / "pipe")]).check("road_seg_node")


@pytest.mark.parametrize(
    "key, matches",
    [  # as rclpy 9.1 was seen to match them
        ("/**", True),
        ("**", True),
        ("/*", False),
        ("road_seg", False),
        ("/road_seg", False),
        ("/**/road_seg", True),
        ("/*/road_seg", True),
        ("/front/road_seg", True),
        ("front/road_seg", True),
        ("/front/*", True),
        ("/front/**", True),
        ("/camera", False),
    ],
)
def test_a_params_file_for_another_node(tmp_path, key, matches):
    file = tmp_path / "params.yaml"
    file.write_text(f"'{key}':\n  ros__parameters:\n    weights: lite\n")
    sentence = f"--params-file {file} has no effect: it is for /{key.strip('/')}, this is /front/road_seg"
    assert effects("--params-file", str(file)) == ([] if matches else [sentence])


def test_a_list_as_launch_writes_it(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("/**:\n  ros__parameters:\n    cameras: !!python/tuple\n    - front\n    - left\n")
    assert effects("--params-file", str(file)) == []


def test_the_topics_of_several_cameras_can_be_renamed():
    names = Usage("Does it.", NODE_TOPICS, PARAMETERS).topic_names(["front", "left"])
    assert {"front/image", "left/image", "~/left/mask", "imu", "/diagnostics"} < set(names)
    assert not {"image", "~/mask", "front/imu"} & set(names)
    assert Usage("Does it.", NODE_TOPICS, PARAMETERS).topic_names() == [topic.name for topic in NODE_TOPICS]


def test_nested_namespaces_of_a_params_file(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(
        "front:\n  road_seg:\n    ros__parameters: {weights: lite}\n  camera:\n    ros__parameters: {x: 1}\n"
    )
    assert effects("--params-file", str(file)) == []
    file.write_text("weights: lite\n")
    assert effects("--params-file", str(file)) == [
        f"--params-file {file} has no effect: it is for no node, this is /front/road_seg"
    ]


@pytest.mark.parametrize(
    "rule, sentence",
    [
        ("image:=/cam", ""),
        ("/front/image:=/cam", ""),
        ("~/mask:=/free", ""),
        ("road_seg:image:=/cam", ""),
        ("/tf:=tf", ""),
        ("__node:=front", ""),
        ("camera:__node:=front", ""),
        ("~/get_state:=~/get_state", ""),
        ("rostopic://image:=/cam", ""),
        ("imag:=/cam", "-r imag:=/cam has no effect: /front/road_seg has no topic imag; did you mean image?"),
        ("/image:=/cam", "-r /image:=/cam has no effect: /front/road_seg has no topic /image; did you mean image?"),
        ("rear:image:=/cam", "-r rear:image:=/cam has no effect: it is for a node rear, this is /front/road_seg"),
    ],
)
def test_a_renaming_without_effect(rule, sentence):
    assert effects("-r", rule) == ([sentence] if sentence else [])


def test_a_parameter_of_another_node():
    assert effects("-p", "road_seg:threshold:=0.3", "-p", "threshold:=0.3", "-p", "weights:=/a:b") == []
    assert effects("-p", "rear:threshold:=0.3") == [
        "-p rear:threshold:=0.3 has no effect: it is for a node rear, this is /front/road_seg"
    ]


def test_help_has_every_topic_and_parameter():
    text = Usage("Does it.", NODE_TOPICS, PARAMETERS).help("road_seg_node")
    assert all(f"\n  {topic.name} ({topic.type})\n" in text for topic in NODE_TOPICS)
    assert "\n  threshold (double, default 0.0; 0.0 to 1.0)\n      Lowest probability" in text
    assert '\n  weights (string, default "")\n' in text and '\n  cameras (string array, default [""])\n' in text
    assert all(f"\n  {parameter.name} (" in text for parameter in PARAMETERS)
    assert max(map(len, text.splitlines())) <= 120


def test_a_pager_that_ends_early_ends_the_help():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "fcn_road_seg.ros.node_main", "--help"]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (-signal.SIGPIPE, "")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "front.threshold",
            "'front.threshold': give it at start, or set 'threshold', which is for all cameras",
        ),
        ("front.thresold", "'front.thresold'; did you mean front.threshold?"),
        ("front.weights", "'front.weights': 'weights' is always for all cameras"),
        ("frnt.threshold", "'frnt.threshold', because it has no camera 'frnt'; did you mean front.threshold?"),
        ("other.weights", "'other.weights', because it has no camera 'other'"),
        ("thresold", "'thresold'; did you mean threshold?"),
        ("unlike", "'unlike'"),
    ],
)
def test_a_parameter_that_is_not_there(name, sentence):
    known = ["threshold", "weights", "rear.threshold"]
    optional = [f"{camera}.{row}" for camera in ("front", "rear") for row in ("threshold", "smoothing")]
    assert no_such_parameter(name, known, optional) == f"this node has no parameter {sentence}"


def test_the_topic_that_is_proposed_to_a_camera_has_its_name():
    topics = ["/front/camera_info", "/left/camera/camera_info"]
    assert topic_for("left", topics) == topics[1] and topic_for("", topics) == topics[0]
    assert topic_for("rear", topics) == "" and topic_for("", []) == ""
