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
    from fcn_road_seg.ros.parameters import PARAMETERS
    from fcn_road_seg.ros.usage import NODE_TOPICS, Usage

    text = (
        "Publishes a mask of the road for each camera image, and the road in metres, while somebody listens. "
        "The service ~/enable (std_srvs/SetBool) pauses it."
    )
    return Usage(text, NODE_TOPICS, PARAMETERS)


def main() -> int:
    """Run the node; the exit code is 0, 1 if the device no longer answers, 2 for an invalid argument or parameter."""
    return run("road_seg_node", make, usage)


if __name__ == "__main__":
    sys.exit(main())
