"""The package finds its shipped files wherever it is installed."""

import os
import sys
from pathlib import Path

import pytest

from fcn_road_seg import share
from fcn_road_seg.ros.environment import FAST_DDS_PROFILES, fast_dds_version, set_ros_defaults


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
    "folder, given, variable",
    [
        ("fastdds", {}, "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("fastdds", {"FASTRTPS_DEFAULT_PROFILES_FILE": "x"}, "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("fastdds", {"FASTDDS_DEFAULT_PROFILES_FILE": "x"}, ""),
        ("fastrtps", {}, "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("fastrtps", {"FASTDDS_DEFAULT_PROFILES_FILE": "x"}, "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("fastrtps", {"FASTRTPS_DEFAULT_PROFILES_FILE": "x"}, ""),
        ("fastrtps", {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}, ""),
    ],
)
def test_fast_dds_gets_its_profile(monkeypatch, repository, tmp_path, folder, given, variable):
    (tmp_path / "share" / folder).mkdir(parents=True)
    environment = {"AMENT_PREFIX_PATH": f"x:{tmp_path}"} | given
    monkeypatch.setattr(os, "environ", dict(environment))
    monkeypatch.setattr(sys, "prefix", "/none")
    set_ros_defaults()
    profile = str(repository / "config" / "fastdds_profile.xml")
    assert os.environ == environment | ({variable: profile} if variable else {})


def test_the_installed_fast_dds_reads_that_variable():
    libraries = [path for name in ("fastdds", "fastrtps") for path in Path(sys.prefix, "lib").glob(f"lib{name}.so")]
    if not libraries:
        pytest.skip("ROS 2 is not installed from wheels")
    assert FAST_DDS_PROFILES[fast_dds_version(os.environ)].encode() in libraries[0].read_bytes()


def test_a_missing_file_is_named(installed):
    with pytest.raises(FileNotFoundError) as error:
        share.share_path("models/none.safetensors")
    assert str(error.value).startswith("models/none.safetensors is neither in the source checkout nor in")
    assert "\n" not in str(error.value)
