"""Run a ROS 2 node as a process that SIGINT and SIGTERM end with code 0 at any time, even while it starts."""

import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from fcn_road_seg.errors import missing_package

if TYPE_CHECKING:
    from fcn_road_seg.ros.node import RoadSegNode
    from fcn_road_seg.ros.synthetic_camera import SyntheticCamera

SIGNALS = signal.SIGINT, signal.SIGTERM


def run(name: str, make: "Callable[[], RoadSegNode | SyntheticCamera]") -> int:
    """Run a node until SIGINT or SIGTERM.

    Args:
        name: of the executable, for its error messages.
        make: imports the node's class and creates the node.

    Returns:
        0, or 2 for an invalid parameter or a missing package. A SystemExit of the node ends the process with its code.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))  # until rclpy, which takes a second to import, handles them
    try:
        return _run(name, make)
    except ModuleNotFoundError as error:
        if sentence := missing_package(error):
            print(f"{name}: {sentence}", file=sys.stderr)
            return 2
        raise


def _run(name: str, make: "Callable[[], RoadSegNode | SyntheticCamera]") -> int:
    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.executors import SingleThreadedExecutor

    from fcn_road_seg.ros.environment import set_ros_defaults
    from fcn_road_seg.ros.parameter import ParameterError

    set_ros_defaults()
    rclpy.init()
    node = None
    try:
        node = make()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        node.start()
        while rclpy.ok():
            with node.faults.survived("A callback failed"):
                executor.spin()
    except (ParameterError, ParameterException) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    except Exception:
        if rclpy.ok():
            raise
        # else a signal shut ROS down, which made the call fail
    finally:
        for number in SIGNALS:  # a launcher sends Ctrl-C twice
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
