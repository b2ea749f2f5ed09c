"""The executable road_seg_node; see `RoadSegNode`."""

import sys
from typing import TYPE_CHECKING

from fcn_road_seg.ros.run_node import run

if TYPE_CHECKING:
    from fcn_road_seg.ros.node import RoadSegNode
    from fcn_road_seg.ros.usage import Usage


def make() -> "RoadSegNode":
    """Create the node; its import is here so that a signal meanwhile ends the process cleanly."""
    from fcn_road_seg.ros.node import RoadSegNode

    return RoadSegNode()


def usage() -> "Usage":
    """What --help prints."""
    from fcn_road_seg.ros.parameters import PARAMETERS, SHARED
    from fcn_road_seg.ros.usage import NODE_TOPICS, Usage

    text = (
        "Publishes a mask of the road for each camera image, and the road in metres, while somebody listens. "
        "The service ~/enable (std_srvs/SetBool) pauses it."
    )
    several_cameras = (
        "-p cameras:='[front, left]' names them. Each has its own topics front/image, front/camera_info, ~/front/mask "
        "and so on; only imu, odom, bond and /diagnostics are common. A parameter is for all of them; "
        "front.camera_height is for that camera alone. Only these are always common: "
        f"{', '.join(item.name for item in PARAMETERS if item.name in SHARED)}."
    )
    return Usage(text, NODE_TOPICS, PARAMETERS, several_cameras)


def main() -> int:
    """Run the node; the exit code is 0, 1 if the device no longer answers, 2 for an invalid argument or parameter."""
    return run("road_seg_node", make, usage)


if __name__ == "__main__":
    sys.exit(main())
