"""The environment variables that ROS 2 needs in our processes."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from fcn_road_seg.share import share_path

FAST_DDS_PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"
FAST_DDS_2_PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
"""Its equivalent in Fast DDS 2."""
WITH_FAST_DDS_2 = ("humble", "iron", "jazzy")


def set_ros_defaults() -> None:
    """Complete this process's environment before ``rclpy.init()``; variables that are set keep their values.

    - ``FASTDDS_DEFAULT_PROFILES_FILE``, in Fast DDS 2 ``FASTRTPS_DEFAULT_PROFILES_FILE``: the shipped profile, whose
      shared memory is large enough for a camera frame.
    - ``AMENT_PREFIX_PATH``: sourcing ROS 2 sets it; ROS 2 installed from wheels does not, and has its index in this
      interpreter's prefix.
    """
    variable = FAST_DDS_2_PROFILE if os.environ.get("ROS_DISTRO") in WITH_FAST_DDS_2 else FAST_DDS_PROFILE
    if not any(name in os.environ for name in (variable, FAST_DDS_2_PROFILE)):
        with suppress(FileNotFoundError):  # the node runs without it, but large frames then need RELIABLE cameras
            os.environ[variable] = str(share_path("config/fastdds_profile.xml"))
    if "AMENT_PREFIX_PATH" not in os.environ and (Path(sys.prefix) / "share" / "ament_index").is_dir():
        os.environ["AMENT_PREFIX_PATH"] = sys.prefix


def isolated_ros_environment(domain_id: int) -> dict[str, str]:
    """A copy of this process's environment for programs that communicate only with each other, on this machine.

    Args:
        domain_id: the DDS domain, 0..101 (the range that is safe on Linux).
    """
    return os.environ | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(domain_id)}
