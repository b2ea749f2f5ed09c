"""The executable road_seg_camera: a camera for a machine that has none; see `SyntheticCamera` for its topics.

ros2 run fcn_road_seg road_seg_camera --ros-args -p rate:=20.0 -p weather:=wet
"""

import sys

from fcn_road_seg.ros.run_node import run


def make():
    """The node; imported here so that a signal meanwhile ends the process cleanly."""
    from fcn_road_seg.ros.synthetic_camera import SyntheticCamera

    return SyntheticCamera()


def main() -> int:
    """The process's exit code: 0, or 2 for a parameter that cannot be."""
    return run("road_seg_camera", make)


if __name__ == "__main__":
    sys.exit(main())
