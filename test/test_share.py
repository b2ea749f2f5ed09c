"""The package finds its shipped files wherever it is installed."""

import os

import pytest

from fcn_road_seg import share
from fcn_road_seg.ros.environment import set_ros_defaults


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Make share.py look as if it were outside a source checkout."""
    module = tmp_path / "prefix" / "lib" / "python3.11" / "site-packages" / "fcn_road_seg" / "share.py"
    module.parent.mkdir(parents=True)
    monkeypatch.setattr(share, "__file__", str(module))
    monkeypatch.setattr(share.sys, "prefix", str(tmp_path / "interpreter"))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'ament1'}:{tmp_path / 'ament2'}")
    return tmp_path


def ship(prefix):
    file = prefix / "share" / "fcn_road_seg" / "config" / "road_seg.yaml"
    file.parent.mkdir(parents=True)
    file.touch()
    return file


def test_a_checkout_uses_its_own_files(repository):
    assert share.share_path("config/road_seg.yaml") == repository / "config" / "road_seg.yaml"


@pytest.mark.parametrize("prefix", ["prefix", "interpreter", "ament1", "ament2"])
def test_an_installation_uses_its_prefix(installed, prefix):
    file = ship(installed / prefix)
    assert share.share_path("config/road_seg.yaml") == file


def test_the_nearest_prefix_comes_first(installed):
    ship(installed / "ament1")
    ship(installed / "interpreter")
    nearest = ship(installed / "prefix")
    assert share.share_path("config/road_seg.yaml") == nearest


@pytest.mark.parametrize(
    "distribution, given, variable",
    [
        ("kilted", {}, "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("jazzy", {"FASTDDS_DEFAULT_PROFILES_FILE": "x"}, "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("jazzy", {"FASTRTPS_DEFAULT_PROFILES_FILE": "x"}, ""),
        ("kilted", {"FASTDDS_DEFAULT_PROFILES_FILE": "x"}, ""),
    ],
)
def test_fast_dds_gets_its_profile(monkeypatch, repository, distribution, given, variable):
    environment = {"ROS_DISTRO": distribution, "AMENT_PREFIX_PATH": "x"} | given
    monkeypatch.setattr(os, "environ", dict(environment))
    set_ros_defaults()
    profile = str(repository / "config" / "fastdds_profile.xml")
    assert os.environ == environment | ({variable: profile} if variable else {})


def test_a_missing_file_is_named(installed):
    with pytest.raises(FileNotFoundError) as error:
        share.share_path("models/none.safetensors")
    assert str(error.value).startswith("models/none.safetensors is neither in the source checkout nor in")
    assert "\n" not in str(error.value)
