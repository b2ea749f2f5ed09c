"""Checks of the ROS 2 installation and the environment variables of discovery. Only `check_rclpy` imports ROS."""

import importlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from fcn_road_seg.doctor.finding import Finding, error, ok, warning
from fcn_road_seg.errors import first_line
from fcn_road_seg.ros.domain import DOMAINS
from fcn_road_seg.ros.environment import (
    DISCOVERY_RANGE,
    FAST_DDS_PROFILES,
    FAST_DDS_TRANSPORTS,
    LOCALHOST_ONLY,
    discovery_variable,
    domain_problem,
    fast_dds_version,
    foreign_shared_memory,
    foreign_shared_memory_sentence,
    log_folder_problem,
    rmw_problem,
)
from fcn_road_seg.share import share_path

RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
MIN_SHARED_MEMORY = 64
"""MB; each process takes 32 with the shipped profile."""
MODULES = ("rclpy", "sensor_msgs.msg", "lifecycle_msgs.srv", "diagnostic_msgs.msg")


def examine(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Check the conditions for communicating at all; after an error here, examining the graph is pointless.

    Args:
        variables: the user's environment, before `set_ros_defaults`.
    """
    rmw = check_rmw(variables)
    yield check_rclpy() if rmw.status == "ok" else rmw  # rclpy aborts the process if the RMW is not installed
    if rmw.status == "ok":
        yield rmw
    yield check_domain(variables)
    yield check_log_folder(variables)
    yield from check_discovery(variables)


def examine_transport(variables: Mapping[str, str], shared_memory: Path = Path("/dev/shm")) -> Iterator[Finding]:
    """Check the conditions for transporting full camera frames."""
    if "fastrtps" in (variables.get("RMW_IMPLEMENTATION") or "fastrtps"):
        yield check_profile(variables)
        yield from check_owners(variables, shared_memory)
    yield check_shared_memory(shared_memory)


def check_rclpy() -> Finding:
    """Check that rclpy and the message packages can be imported."""
    try:
        for module in MODULES:
            importlib.import_module(module)
    except Exception as fault:  # an ImportError, or an OSError from ament_index
        advice = (
            "source ROS 2 (. /opt/ros/<distribution>/setup.bash) with its own Python, or run make venv and use .venv"
        )
        return error("ros", f"ROS 2 cannot be imported: {first_line(fault)}.", advice)
    return ok("ros", f"ROS 2 is installed ({Path(str(sys.modules['rclpy'].__file__)).parent}).")


def check_rmw(variables: Mapping[str, str]) -> Finding:
    """Check RMW_IMPLEMENTATION: the middleware must be installed, and the Fast DDS profile applies to one only."""
    name = variables.get("RMW_IMPLEMENTATION", "")
    if not name:
        return ok("rmw", "RMW_IMPLEMENTATION is not set: ROS 2 uses its default.")
    problem, advice = rmw_problem(variables)
    if problem:
        return error("rmw", f"{problem}.", advice)
    if "fastrtps" in name:
        return ok("rmw", f"RMW_IMPLEMENTATION is {name}.")
    return ok("rmw", f"RMW_IMPLEMENTATION is {name}: the shipped Fast DDS profile does not apply.")


def check_domain(variables: Mapping[str, str]) -> Finding:
    """Check ROS_DOMAIN_ID: only processes with the same value communicate."""
    text = variables.get("ROS_DOMAIN_ID", "")
    if not text:
        return ok("domain", "ROS_DOMAIN_ID is not set: the domain is 0.")
    advice = "set the same number, 0 to 101, for the camera, the node and this terminal, or unset it everywhere"
    if problem := domain_problem(variables):
        return error("domain", f"{problem}.", advice)
    domain = int(text)
    if domain not in (0, *DOMAINS):
        text = f"ROS_DOMAIN_ID is {domain}: in the domains 102 to 214 other programs may use its ports."
        return warning("domain", text, advice)
    return ok("domain", f"ROS_DOMAIN_ID is {domain}: only processes with the same value communicate.")


def check_log_folder(variables: Mapping[str, str]) -> Finding:
    """Check that ROS 2 can write log files, without which ROS programs refuse to start."""
    if problem := log_folder_problem(variables):
        text = f"{problem}. Our commands and nodes then run without a log file, but other ROS programs do not start."
        return warning("log folder", text, "set ROS_LOG_DIR to a folder that this user can write to")
    return ok("log folder", "ROS 2's log files can be written.")


def check_discovery(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Check the discovery range."""
    if discovery_variable(variables) == LOCALHOST_ONLY:
        yield from _check_localhost_only(variables)
        return
    reach = variables.get(DISCOVERY_RANGE, "")
    setting = f"{DISCOVERY_RANGE} is {reach}"
    peers = variables.get("ROS_STATIC_PEERS", "")
    if reach == "OFF":
        text = f"{setting}: nothing is discovered, not even on this machine."
        yield error("discovery", text, "unset it, or set SUBNET or LOCALHOST")
    elif reach == "LOCALHOST":
        exception = " except those in ROS_STATIC_PEERS" if peers else ""
        yield ok("discovery", f"{setting}: other machines are not discovered{exception}.")
    elif reach and reach not in RANGES:
        advice = f"set one of {', '.join(RANGES[:3])}, in capitals"
        yield warning("discovery", f"{setting}, which ROS 2 does not know: only this machine is discovered.", advice)
    else:
        setting = setting if reach else f"{DISCOVERY_RANGE} is not set"
        yield ok("discovery", f"{setting}: the subnet is discovered.")
    if variables.get(LOCALHOST_ONLY, "0") not in ("", "0"):
        text = f"{LOCALHOST_ONLY} is deprecated and overrides {DISCOVERY_RANGE}."
        advice = f"unset it; {DISCOVERY_RANGE}=LOCALHOST keeps ROS 2 on this machine"
        yield warning("discovery", text, advice)
    if peers:
        yield ok("discovery", f"ROS_STATIC_PEERS adds {peers}; each of them must also discover this machine.")


def _check_localhost_only(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Check Humble's variable of discovery, which is on if it is 1, and those that Humble does not have."""
    if variables.get(LOCALHOST_ONLY) == "1":
        yield ok("discovery", f"{LOCALHOST_ONLY} is 1: other machines are not discovered.")
    else:
        yield ok("discovery", f"{LOCALHOST_ONLY} is not 1: the subnet is discovered.")
    for name in (DISCOVERY_RANGE, "ROS_STATIC_PEERS"):
        if value := variables.get(name):
            advice = f"unset it; {LOCALHOST_ONLY}=1 keeps ROS 2 on this machine"
            yield warning("discovery", f"{name} is {value}, which ROS 2 Humble does not know.", advice)


def check_profile(variables: Mapping[str, str]) -> Finding:
    """Check the Fast DDS profile, without which a process's shared memory is smaller than a frame."""
    version = fast_dds_version(variables)
    variable = FAST_DDS_PROFILES[version]
    setting = profile_setting(variables)
    if file := variables.get(variable):
        if Path(file).is_file():
            return ok("profile", f"{variable} is {file}.")
        return error("profile", f"{variable} is {file}, which does not exist.", f"unset it, or set {setting}")
    if transports := variables.get(FAST_DDS_TRANSPORTS):
        return ok("profile", f"{FAST_DDS_TRANSPORTS} is {transports}: the node does not set {variable}.")
    for other in FAST_DDS_PROFILES.values():
        if file := variables.get(other):
            text = f"{other} is {file}, but the installed Fast DDS {version} reads {variable}."
            return warning("profile", text, f"for a camera set {setting}; the node sets it for itself")
    text = f"{variable} is not set: the node sets it for itself; a camera that loses frames needs"
    return ok("profile", f"{text} {setting}.")


def profile_setting(variables: Mapping[str, str]) -> str:
    """The shell's assignment that gives a process the profile that ships with this package."""
    try:
        file = str(share_path("config/fastdds_profile.xml"))
    except FileNotFoundError:
        file = "config/fastdds_profile.xml of this package's sources"
    return f"{FAST_DDS_PROFILES[fast_dds_version(variables)]}={file}"


def check_owners(variables: Mapping[str, str], folder: Path) -> Iterator[Finding]:
    """Check that no other user has processes in this domain, to which shared memory does not lead."""
    if owners := foreign_shared_memory(variables, os.getuid(), folder):
        text, advice = foreign_shared_memory_sentence(owners)
        yield warning("users", f"{text[0].upper()}{text[1:]}.", advice)


def check_shared_memory(folder: Path) -> Finding:
    """Check the free space for frames in transit."""
    if not folder.is_dir():
        return ok("shared memory", f"{folder} does not exist: frames are transported over UDP.")
    free = shutil.disk_usage(folder).free / 1e6
    text = f"{free:.0f} MB are free in {folder}"
    if free >= MIN_SHARED_MEMORY:
        return ok("shared memory", f"{text}.")
    advice = "give a container more (--shm-size=512m); `fastdds shm clean` removes leftovers of crashed processes"
    return warning("shared memory", f"{text}: frames may get lost.", advice)
