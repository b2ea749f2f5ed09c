"""The table of parameters, and everything that has to agree with it."""

import re
from dataclasses import FrozenInstanceError, fields, replace
from typing import get_origin, get_type_hints

import pytest
import yaml

from fcn_road_seg.ground.lookup import MapOptions
from fcn_road_seg.ros.parameter import ParameterError, descriptor
from fcn_road_seg.ros.parameters import BY_NAME, PARAMETERS, NodeParameters, camera_names, check_change, markdown_table

OUTPUTS = {"min_confidence", "camera_height", "camera_pitch", "camera_roll", "ground_frame", "ground_z", "rectified"}
OUTPUTS |= {"instances_min_score", "instances_max_fps"}
OUTPUTS |= {"attitude_window", "overlay_alpha", "jpeg_quality"}
OUTPUTS |= {field.name for field in fields(MapOptions)}
"""Parameters of the outputs besides the mask; they can change while the node runs."""


def test_every_default_is_in_its_range():
    for parameter in PARAMETERS:
        parameter.check(parameter.default)


@pytest.mark.parametrize(
    "name, value, text",
    [
        ("threshold", 1.5, "'threshold' is a double (0.0 to 1.0) and cannot be 1.5"),
        ("threshold", float("nan"), "cannot be nan"),
        ("threshold", 1, "written with a decimal point, not 1"),
        ("threshold", True, "not True"),
        ("precision", "int4", "'precision' is a string (auto, fp32, bf16, fp16, int8) and cannot be 'int4'"),
        ("backend", "torch-cpu", "openvino, graph, onnxruntime, onnxruntime_tensorrt, tensorrt) and cannot be"),
        ("threads", -1, "'threads' is an integer (0 to 1024) and cannot be -1"),
        ("network_width", 100, "'network_width' is an integer (0 to 4096, a multiple of 32) and cannot be 100"),
        ("network_width", -32, "cannot be -32"),
        ("require_cuda", 1, "'require_cuda' is a bool, not 1"),
        ("weights", None, "'weights' is a string, not None"),
        ("ground_frame", "", "'ground_frame' is a string (a name without spaces or a leading /) and cannot be ''"),
        ("ground_frame", "/base_link", "cannot be '/base_link'"),
        ("ground_frame", "base link", "cannot be 'base link'"),
        ("cameras", "front", "'cameras' is a string array, such as [front, left], not 'front'"),
        ("cameras", [1, 2], "'cameras' is a string array, such as [front, left], not [1, 2]"),
        ("left.threshold", 2.0, "'left.threshold' is a double (0.0 to 1.0) and cannot be 2.0"),
    ],
)
def test_an_invalid_value_is_refused_in_a_sentence(name, value, text):
    with pytest.raises(ParameterError) as error:
        check_change(name, value, configured=False)
    assert text in str(error.value)


@pytest.mark.parametrize(
    "cameras, text",
    [
        (["front", "front"], "'cameras' has the name 'front' twice"),
        (["front", ""], "'cameras' has the name '', but a name is letters, digits and single underscores"),
        (["front/left"], "has the name 'front/left'"),
        (["2nd"], "has the name '2nd'"),
        (["a__b"], "has the name 'a__b'"),
    ],
)
def test_names_of_cameras_that_cannot_be_are_refused_in_a_sentence(cameras, text):
    with pytest.raises(ParameterError) as error:
        camera_names(cameras)
    assert text in str(error.value)


def test_no_names_are_one_camera_without_a_name():
    assert camera_names([]) == camera_names([""]) == ("",)
    assert camera_names(("front", "rear_left")) == ("front", "rear_left")


def test_the_snapshot_and_the_table_agree():
    defaults, types = NodeParameters(), get_type_hints(NodeParameters)
    assert [field.name for field in fields(NodeParameters)] == [parameter.name for parameter in PARAMETERS]
    for parameter in PARAMETERS:
        kind = types[parameter.name]
        assert (get_origin(kind) or kind) is type(parameter.default)
        assert getattr(defaults, parameter.name) == parameter.default
    with pytest.raises(FrozenInstanceError):
        defaults.threshold = 0.7
    assert {field.name for field in fields(MapOptions)} <= types.keys()
    assert replace(defaults, max_range=30.0).map_options.max_range == 30.0


def test_only_some_parameters_change_while_configured():
    changed = set()
    for parameter in PARAMETERS:
        try:
            check_change(parameter.name, parameter.default, configured=True)
            changed.add(parameter.name)
        except ParameterError as error:
            assert "clean the node up, set it, configure again" in str(error)
    assert (
        changed
        == {
            "threshold",
            "smoothing",
            "min_region",
            "max_age_ms",
            "max_pixels",
            "autostart",
            "always_on",
            "max_fps",
            "cameras",
        }
        | OUTPUTS
    )
    check_change("network_width", 832, configured=False)
    check_change("use_sim_time", True, configured=True)


def test_the_params_file_has_every_parameter_at_its_default(repository):
    file = yaml.safe_load((repository / "config" / "road_seg.yaml").read_text())
    values = file["/**"]["ros__parameters"]
    assert list(values) == [parameter.name for parameter in PARAMETERS]
    for name, written in values.items():
        value = tuple(written) if isinstance(written, list) else written
        assert value == BY_NAME[name].default
        assert type(value) is type(BY_NAME[name].default)


def test_the_documentation_has_the_table(repository):
    page = (repository / "docs" / "parameters.md").read_text()
    (table,) = re.findall(r"<!-- parameters -->\n(.*?)\n<!-- /parameters -->", page, re.DOTALL)
    message = "put the output of `python -m fcn_road_seg.ros.parameters` into docs/parameters.md"
    assert table.strip() == markdown_table(), message


def test_descriptors_match_the_table():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    threshold, width = descriptor(BY_NAME["threshold"]), descriptor(BY_NAME["network_width"])
    assert [(r.from_value, r.to_value) for r in threshold.floating_point_range] == [(0.0, 1.0)]
    assert [(r.from_value, r.to_value, r.step) for r in width.integer_range] == [(0, 4096, 32)]
    assert "fp16" in descriptor(BY_NAME["precision"]).additional_constraints
    assert [p.name for p in PARAMETERS if descriptor(p).read_only] == ["cameras", "autostart"]
