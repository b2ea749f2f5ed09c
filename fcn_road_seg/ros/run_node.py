"""Run a ROS 2 node as a process that SIGINT and SIGTERM end with code 0 at any time, even while it starts."""

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from fcn_road_seg.errors import UserError, missing_package

if TYPE_CHECKING:
    from fcn_road_seg.ros.node import RoadSegNode
    from fcn_road_seg.ros.road_planner import RoadPlanner
    from fcn_road_seg.ros.synthetic_camera import SyntheticCamera
    from fcn_road_seg.ros.synthetic_vehicle import SyntheticVehicle
    from fcn_road_seg.ros.usage import Usage

    OurNode = RoadSegNode | SyntheticCamera | SyntheticVehicle | RoadPlanner

SIGNALS = signal.SIGINT, signal.SIGTERM


def run(name: str, make: "Callable[[], OurNode]", usage: "Callable[[], Usage]") -> int:
    """Run a node until SIGINT or SIGTERM, with the arguments of this process.

    Args:
        name: of the executable, for its messages.
        make: imports the node's class and creates the node.
        usage: what the node does, its topics and its parameters.

    Returns:
        0, or 2 for an invalid argument, setting or parameter or a missing package. A SystemExit with a sentence, that
        of a lost device, ends the process with code 1 and at once: to free what is on the device would abort it.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))  # until rclpy, which takes a second to import, handles them
    try:
        return _run(name, make, usage)
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if sentence := missing_package(error):
            print(f"{name}: {sentence}", file=sys.stderr)
            return 2
        raise
    except SystemExit as end:
        if not isinstance(end.code, str):
            raise
        print(end.code, file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(1)


def _run(name: str, make: "Callable[[], OurNode]", usage: "Callable[[], Usage]") -> int:
    from fcn_road_seg.ros.arguments import RosArguments

    arguments = RosArguments.of(sys.argv[1:])
    if {"-h", "--help"} & set(arguments.others):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a pager may end before it has read all
        print(usage().help(name))
        return 0
    arguments.check(name)

    from fcn_road_seg.ros.start import refusals, start_ros

    start_ros(sys.argv, handle_signals=True)

    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import uninstall_signal_handlers

    node = None
    try:
        with refusals():
            node = make()
        topics = usage().topic_names(getattr(node, "camera_names", ("",)))
        for sentence in arguments.without_effect(node.get_fully_qualified_name(), topics, _names(node)):
            node.get_logger().warning(sentence)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        node.start()
        while rclpy.ok():
            with node.faults.survived("A callback failed"):
                executor.spin()
    except ParameterException as error:
        raise UserError(str(error)) from None
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
        uninstall_signal_handlers()  # ends rclpy's thread for signals, which may use the executor, before that goes
    return 0


def _names(node: "OurNode") -> set[str]:
    """The names of a node's topics and services."""
    topics = {publisher.topic_name for publisher in node.publishers} | {s.topic_name for s in node.subscriptions}
    return topics | {node.resolve_service_name(service.srv_name) for service in node.services}
