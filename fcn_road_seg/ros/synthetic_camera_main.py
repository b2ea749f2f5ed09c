"""The executable road_seg_camera: a camera for a machine without one; see `SyntheticCamera` for its topics.

ros2 run fcn_road_seg road_seg_camera --ros-args -p rate:=20.0 -p weather:=wet
"""

import sys
from typing import TYPE_CHECKING

from fcn_road_seg.ros.run_node import run

if TYPE_CHECKING:
    from fcn_road_seg.ros.synthetic_camera import SyntheticCamera
    from fcn_road_seg.ros.usage import Usage


def make() -> "SyntheticCamera":
    """Create the node; its import is here so that a signal meanwhile ends the process cleanly."""
    from fcn_road_seg.ros.synthetic_camera import SyntheticCamera

    return SyntheticCamera()


def usage() -> "Usage":
    """What --help prints."""
    from fcn_road_seg.ros.parameter import table
    from fcn_road_seg.ros.synthetic_camera import CameraParameters
    from fcn_road_seg.ros.usage import CAMERA_TOPICS, Usage

    return Usage(
        "Publishes a synthetic drive, its calibration and the true masks.", CAMERA_TOPICS, table(CameraParameters)
    )


def main() -> int:
    """Run the node; the exit code is 0, or 2 for an invalid argument or parameter."""
    return run("road_seg_camera", make, usage)


if __name__ == "__main__":
    sys.exit(main())
