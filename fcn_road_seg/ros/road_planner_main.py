"""The executable road_seg_planner: a stand-in for a planner; see `RoadPlanner`.

ros2 run fcn_road_seg road_seg_planner --ros-args -p speed:=6.0
"""

import sys
from typing import TYPE_CHECKING

from fcn_road_seg.ros.run_node import run

if TYPE_CHECKING:
    from fcn_road_seg.ros.road_planner import RoadPlanner
    from fcn_road_seg.ros.usage import Usage


def make() -> "RoadPlanner":
    """Create the node; its import is here so that a signal meanwhile ends the process cleanly."""
    from fcn_road_seg.ros.road_planner import RoadPlanner

    return RoadPlanner()


def usage() -> "Usage":
    """What --help prints."""
    from fcn_road_seg.ros.parameter import table
    from fcn_road_seg.ros.road_planner import PlannerParameters
    from fcn_road_seg.ros.usage import PLANNER_TOPICS, Usage

    return Usage(
        "Follows the road that road_seg's scan shows, and stops before what blocks it; for simulation only.",
        PLANNER_TOPICS,
        table(PlannerParameters),
    )


def main() -> int:
    """Run the node; the exit code is 0, or 2 for an invalid argument or parameter."""
    return run("road_seg_planner", make, usage)


if __name__ == "__main__":
    sys.exit(main())
