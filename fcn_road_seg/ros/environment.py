"""The environment variables of ROS 2: what our processes need, and what is wrong with them; imports without ROS."""

import os
import re
import stat
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fcn_road_seg.share import share_path

FAST_DDS_PROFILES = {2: "FASTRTPS_DEFAULT_PROFILES_FILE", 3: "FASTDDS_DEFAULT_PROFILES_FILE"}
"""The variable that names Fast DDS's profile, by its version. Fast DDS 2 ignores the other, 3 complains of it."""
FAST_DDS_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
DISCOVERY_RANGE, LOCALHOST_ONLY = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"
LARGEST_DOMAIN = 232
"""The largest domain with valid DDS ports; Fast DDS ends the process in a larger one."""
FIRST_PORT, PORTS_PER_DOMAIN = 7400, 250
"""DDS's ports, after which Fast DDS names its files of shared memory."""


def set_ros_defaults() -> None:
    """Complete this process's environment before ``rclpy.init()``; variables that are set keep their values.

    - ``FASTDDS_DEFAULT_PROFILES_FILE``, in Fast DDS 2 ``FASTRTPS_DEFAULT_PROFILES_FILE``: the shipped profile, whose
      shared memory is large enough for a camera frame; not if ``FASTDDS_BUILTIN_TRANSPORTS`` chooses the transports,
      which a profile would overrule.
    - ``AMENT_PREFIX_PATH``: sourcing ROS 2 sets it; ROS 2 installed from wheels does not, and has its index in this
      interpreter's prefix.
    """
    variable = FAST_DDS_PROFILES[fast_dds_version(os.environ)]
    if variable not in os.environ and FAST_DDS_TRANSPORTS not in os.environ:
        with suppress(FileNotFoundError):  # the node runs without it, but large frames then need RELIABLE cameras
            os.environ[variable] = str(share_path("config/fastdds_profile.xml"))
    if "AMENT_PREFIX_PATH" not in os.environ and (Path(sys.prefix) / "share" / "ament_index").is_dir():
        os.environ["AMENT_PREFIX_PATH"] = sys.prefix


def fast_dds_version(variables: Mapping[str, str]) -> int:
    """The major version of the installed Fast DDS: 2 (Humble, Jazzy) or 3 (Kilted and later; also if there is none)."""
    return 2 if any((prefix / "share/fastrtps").is_dir() for prefix in _prefixes(variables)) else 3


def isolated_ros_environment(domain_id: int) -> dict[str, str]:
    """A copy of this process's environment for programs that communicate only with each other, on this machine.

    Args:
        domain_id: the DDS domain, 0..101 (the range that is safe on Linux).
    """
    return os.environ | local_discovery(os.environ) | {"ROS_DOMAIN_ID": str(domain_id)}


def discovery_variable(variables: Mapping[str, str]) -> str:
    """The variable that limits discovery: Humble has another one, which later distributions deprecate."""
    return LOCALHOST_ONLY if variables.get("ROS_DISTRO") == "humble" else DISCOVERY_RANGE


def local_discovery(variables: Mapping[str, str]) -> dict[str, str]:
    """The variable, and its value, with which ROS 2 discovers only programs on this machine."""
    variable = discovery_variable(variables)
    return {variable: "1" if variable == LOCALHOST_ONLY else "LOCALHOST"}


def domain_problem(variables: Mapping[str, str]) -> str:
    """What is wrong with ``ROS_DOMAIN_ID``, in a sentence without its full stop; empty if nothing is."""
    text = variables.get("ROS_DOMAIN_ID", "")
    if not text or (text.isdecimal() and int(text) <= LARGEST_DOMAIN):
        return ""
    return f"ROS_DOMAIN_ID is '{text}', which is not a number in 0..{LARGEST_DOMAIN}"


def rmw_problem(variables: Mapping[str, str]) -> tuple[str, str]:
    """What is wrong with ``RMW_IMPLEMENTATION``, without which rclpy ends the process, and what to do; or two ''."""
    name = variables.get("RMW_IMPLEMENTATION", "")
    indices = [prefix / "share/ament_index/resource_index/rmw_typesupport" for prefix in _prefixes(variables)]
    if not name or any((index / name).is_file() for index in indices):
        return "", ""
    found = {file.name for index in indices if index.is_dir() for file in index.iterdir()} - {"rmw_implementation"}
    advice = f"install it, unset RMW_IMPLEMENTATION, or use an installed one: {', '.join(sorted(found)) or 'none'}"
    return f"RMW_IMPLEMENTATION is {name}, which is not installed", advice


def log_folder_problem(variables: Mapping[str, str]) -> str:
    """Why ROS 2 cannot write log files, without which it refuses to start, in a sentence; empty if it can.

    Creates the folder that ROS 2 would create: ``ROS_LOG_DIR``, else log in ``ROS_HOME``, else ~/.ros/log.
    """
    home = variables.get("ROS_HOME") or "~/.ros"
    folder = variables.get("ROS_LOG_DIR") or f"{home}/log"
    if folder.startswith("~"):
        if not variables.get("HOME"):
            return "HOME is not set, so there is no folder for ROS 2's log files"
        folder = variables["HOME"] + folder[1:]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"ROS 2's log files cannot be written to {folder}: {error.strerror}"


def foreign_shared_memory(variables: Mapping[str, str], user: int, folder: Path = Path("/dev/shm")) -> list[int]:
    """Other users who have processes in this domain whose shared memory `user` cannot write to, or vice versa.

    Such processes find each other, and Fast DDS then sends by shared memory only, so that nothing arrives.

    Returns:
        Their numeric ids, ascending.
    """
    if domain_problem(variables):
        return []
    first = FIRST_PORT + PORTS_PER_DOMAIN * int(variables.get("ROS_DOMAIN_ID") or 0)
    owners = set()
    for file in folder.glob("fast*_port*"):
        found = re.fullmatch(r"fast(?:dds|rtps)_port(\d+)", file.name)  # rtps: Fast DDS 2
        if found and first <= int(found[1]) < first + PORTS_PER_DOMAIN:
            with suppress(OSError):  # it was removed meanwhile
                status = file.stat()
                if status.st_uid != user and not status.st_mode & stat.S_IWOTH:
                    owners.add(status.st_uid)
    return sorted(owners)


def foreign_shared_memory_sentence(owners: list[int]) -> tuple[str, str]:
    """What `foreign_shared_memory` means, in a sentence without its full stop, and what to do."""
    users = ", ".join(map(_user_name, owners))
    text = (
        f"processes of another user ({users}) run in this domain on this machine: they are discovered, but Fast DDS's "
        "shared memory (/dev/shm/fast*) does not pass between users, so nothing arrives"
    )
    return text, "run the camera and the node as the same user"


def _prefixes(variables: Mapping[str, str]) -> list[Path]:
    """Where ROS 2's packages are installed, the nearest first; those from wheels are in this interpreter's prefix."""
    return [Path(text) for text in [*variables.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix] if text]


def _user_name(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
