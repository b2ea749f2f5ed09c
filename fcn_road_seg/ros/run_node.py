"""A ROS 2 node as a process: from its first line to its last, Ctrl-C and SIGTERM end it with code 0."""

import signal
import sys
from collections.abc import Callable
from typing import Any

from fcn_road_seg.errors import missing_package

SIGNALS = signal.SIGINT, signal.SIGTERM


def run(name: str, make: Callable[[], Any]) -> int:
    """Run a node until SIGINT or SIGTERM.

    Args:
        name: of the executable, for its error messages.
        make: imports and makes the node, which has a `start` method.

    Returns:
        0, or 2 for an invalid parameter or a missing package. A SystemExit of the node ends the process with its code.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))  # until rclpy, which takes a second to import, has its own
    try:
        return _run(name, make)
    except ModuleNotFoundError as error:
        if sentence := missing_package(error):
            print(f"{name}: {sentence}", file=sys.stderr)
            return 2
        raise


def _run(name: str, make: Callable[[], Any]) -> int:
    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.executors import SingleThreadedExecutor

    from fcn_road_seg.ros.environment import set_ros_defaults
    from fcn_road_seg.ros.parameters import ParameterError

    set_ros_defaults()
    rclpy.init()
    node = None
    try:
        node = make()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        node.start()
        executor.spin()
    except (ParameterError, ParameterException) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    except Exception:
        if rclpy.ok():
            raise
        # else a signal came, which made the ROS call in progress fail
    finally:
        for number in SIGNALS:  # Ctrl-C under a launcher comes twice
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
