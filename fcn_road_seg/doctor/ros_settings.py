"""Checks of ROS 2 itself and of the variables that decide who hears whom. Only `check_rclpy` imports ROS."""

import importlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from fcn_road_seg.doctor.finding import Finding, error, ok, warning
from fcn_road_seg.errors import first_line
from fcn_road_seg.ros.environment import FAST_DDS_2_PROFILE, FAST_DDS_PROFILE
from fcn_road_seg.share import share_path

PROFILE_VARIABLES = (FAST_DDS_PROFILE, FAST_DDS_2_PROFILE)
LARGEST_DOMAIN, LARGEST_SAFE_DOMAIN = 232, 101
"""Of DDS's ports; and of those that Linux does not give to other programs."""
RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
LEAST_SHARED_MEMORY = 64
"""MB; every process takes 32 with the shipped profile."""
MODULES = ("rclpy", "sensor_msgs.msg", "lifecycle_msgs.srv", "diagnostic_msgs.msg")


def examine(variables: Mapping[str, str]) -> Iterator[Finding]:
    """What decides whether this process can talk to others: with an error here the graph is not worth a look.

    Args:
        variables: the environment as the user has it, before `set_ros_defaults`.
    """
    rmw = check_rmw(variables)
    yield check_rclpy() if rmw.status == "ok" else rmw  # with a wrong one, importing rclpy ends the process
    if rmw.status == "ok":
        yield rmw
    yield check_domain(variables)
    yield from check_discovery(variables)


def examine_transport(variables: Mapping[str, str], shared_memory: Path = Path("/dev/shm")) -> Iterator[Finding]:
    """What decides whether whole camera frames come through."""
    if "fastrtps" in (variables.get("RMW_IMPLEMENTATION") or "fastrtps"):
        yield check_profile(variables)
    yield check_shared_memory(shared_memory)


def check_rclpy() -> Finding:
    """Whether ROS 2 and the messages can be imported."""
    try:
        for module in MODULES:
            importlib.import_module(module)
    except Exception as fault:  # ImportError, or an OSError of ament_index
        advice = (
            "source ROS 2 (. /opt/ros/<distribution>/setup.bash) with its own Python, or run make venv and use .venv"
        )
        return error("ros", f"ROS 2 cannot be imported: {first_line(fault)}.", advice)
    return ok("ros", f"ROS 2 is there ({Path(sys.modules['rclpy'].__file__).parent}).")


def check_rmw(variables: Mapping[str, str]) -> Finding:
    """RMW_IMPLEMENTATION: the middleware must be installed, and be the one that the profile is for."""
    name = variables.get("RMW_IMPLEMENTATION", "")
    if not name:
        return ok("rmw", "RMW_IMPLEMENTATION is not set: ROS 2 takes its default.")
    prefixes = [*variables.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    indices = [Path(prefix) / "share/ament_index/resource_index/rmw_typesupport" for prefix in prefixes if prefix]
    if not any((index / name).is_file() for index in indices):
        there = {file.name for index in indices if index.is_dir() for file in index.iterdir()} - {"rmw_implementation"}
        advice = (
            f"install it, or unset RMW_IMPLEMENTATION, or take one that is there: {', '.join(sorted(there)) or 'none'}"
        )
        return error("rmw", f"RMW_IMPLEMENTATION is {name}, which is not installed.", advice)
    if "fastrtps" in name:
        return ok("rmw", f"RMW_IMPLEMENTATION is {name}.")
    return ok("rmw", f"RMW_IMPLEMENTATION is {name}: the shipped Fast DDS profile does not apply.")


def check_domain(variables: Mapping[str, str]) -> Finding:
    """ROS_DOMAIN_ID: only processes with the same one hear each other."""
    text = variables.get("ROS_DOMAIN_ID", "")
    if not text:
        return ok("domain", "ROS_DOMAIN_ID is not set: the domain is 0.")
    try:
        domain = int(text)
    except ValueError:
        domain = -1
    advice = "set the number, 0 to 101, that the camera's and the node's terminals have, or unset it everywhere"
    if not 0 <= domain <= LARGEST_DOMAIN:
        return error("domain", f"ROS_DOMAIN_ID is '{text}', which is no number in 0..{LARGEST_DOMAIN}.", advice)
    if domain > LARGEST_SAFE_DOMAIN:
        text = f"ROS_DOMAIN_ID is {domain}: above {LARGEST_SAFE_DOMAIN} its ports may be taken by other programs."
        return warning("domain", text, advice)
    return ok("domain", f"ROS_DOMAIN_ID is {domain}: only processes with the same one are heard.")


def check_discovery(variables: Mapping[str, str]) -> Iterator[Finding]:
    """How far this process looks for others."""
    reach = variables.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    setting = f"ROS_AUTOMATIC_DISCOVERY_RANGE is {reach}"
    peers = variables.get("ROS_STATIC_PEERS", "")
    if reach == "OFF":
        yield error("discovery", f"{setting}: nothing is found, not even here.", "unset it, or set SUBNET or LOCALHOST")
    elif reach == "LOCALHOST":
        yield ok(
            "discovery", f"{setting}: other machines are not seen{' but those of ROS_STATIC_PEERS' if peers else ''}."
        )
    elif reach and reach not in RANGES:
        advice = f"set one of {', '.join(RANGES[:3])}, in capitals"
        yield warning("discovery", f"{setting}, which ROS 2 does not know: only this machine is seen.", advice)
    else:
        yield ok(
            "discovery", f"{setting if reach else 'ROS_AUTOMATIC_DISCOVERY_RANGE is not set'}: the subnet is seen."
        )
    if variables.get("ROS_LOCALHOST_ONLY", "0") not in ("", "0"):
        text = "ROS_LOCALHOST_ONLY is deprecated, and overrules ROS_AUTOMATIC_DISCOVERY_RANGE."
        yield warning(
            "discovery", text, "unset it; ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST keeps ROS 2 on this machine"
        )
    if peers:
        yield ok("discovery", f"ROS_STATIC_PEERS also looks for {peers}; each of them must look back.")


def check_profile(variables: Mapping[str, str]) -> Finding:
    """The Fast DDS profile, without which a process has shared memory for less than a frame."""
    for variable in PROFILE_VARIABLES:
        if file := variables.get(variable):
            if Path(file).is_file():
                return ok("profile", f"{variable} is {file}.")
            advice = f"unset it, or set {FAST_DDS_PROFILE}={shipped_profile()}"
            return error("profile", f"{variable} names {file}, which is not there.", advice)
    text = f"{FAST_DDS_PROFILE} is not set: the node sets it for itself, a camera that loses frames needs"
    return ok("profile", f"{text} {FAST_DDS_PROFILE}={shipped_profile()}.")


def shipped_profile() -> str:
    """Where the profile lies that comes with this program."""
    try:
        return str(share_path("config/fastdds_profile.xml"))
    except FileNotFoundError:
        return "config/fastdds_profile.xml of this program's sources"


def check_shared_memory(folder: Path) -> Finding:
    """Room for the frames on their way."""
    if not folder.is_dir():
        return ok("shared memory", f"There is no {folder}: frames travel by UDP.")
    free = shutil.disk_usage(folder).free / 1e6
    text = f"{free:.0f} MB are free in {folder}"
    if free >= LEAST_SHARED_MEMORY:
        return ok("shared memory", f"{text}.")
    advice = "give a container more (--shm-size=512m); `fastdds shm clean` removes what crashed processes left"
    return warning("shared memory", f"{text}: frames get lost.", advice)
