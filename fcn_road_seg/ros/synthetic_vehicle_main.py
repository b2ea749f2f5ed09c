"""The executable road_seg_vehicle: a vehicle for a machine without one; see `SyntheticVehicle` for its topics.

ros2 run fcn_road_seg road_seg_vehicle --ros-args -p weather:=wet
"""

import sys
from typing import TYPE_CHECKING

from fcn_road_seg.ros.run_node import run

if TYPE_CHECKING:
    from fcn_road_seg.ros.synthetic_vehicle import SyntheticVehicle
    from fcn_road_seg.ros.usage import Usage


def make() -> "SyntheticVehicle":
    """Create the node; its import is here so that a signal meanwhile ends the process cleanly."""
    from fcn_road_seg.ros.synthetic_vehicle import SyntheticVehicle

    return SyntheticVehicle()


def usage() -> "Usage":
    """What --help prints."""
    from fcn_road_seg.ros.parameter import table
    from fcn_road_seg.ros.synthetic_vehicle import VehicleParameters
    from fcn_road_seg.ros.usage import VEHICLE_TOPICS, Usage

    return Usage(
        "A small vehicle on a synthetic street, with a camera: it drives by cmd_vel.",
        VEHICLE_TOPICS,
        table(VehicleParameters),
    )


def main() -> int:
    """Run the node; the exit code is 0, or 2 for an invalid argument or parameter."""
    return run("road_seg_vehicle", make, usage)


if __name__ == "__main__":
    sys.exit(main())
