"""The executable road_seg_node; see `RoadSegNode`."""

import sys

from fcn_road_seg.ros.run_node import run


def make():
    """The node; imported here so that a signal meanwhile ends the process cleanly."""
    from fcn_road_seg.ros.node import RoadSegNode

    return RoadSegNode()


def main() -> int:
    """The process's exit code: 0, 1 when the device answers no more, 2 for a parameter that cannot be."""
    return run("road_seg_node", make)


if __name__ == "__main__":
    sys.exit(main())
