"""A ROS 2 node that stands in for a planner: from the node's scan to /cmd_vel, by `RoadFollower`."""

from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Twist
from rclpy.node import Node
from sensor_msgs.msg import LaserScan

from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.parameter import declare_all, parameter, warn_undeclared
from fcn_road_seg.ros.road_follower import RoadFollower
from fcn_road_seg.ros.services import answer_always


@dataclass(frozen=True)
class PlannerParameters:
    """The parameters of the stand-in for a planner."""

    speed: float = parameter(4.0, "Speed on a free road, m/s.", minimum=0.1, maximum=10.0)


class RoadPlanner(Node):
    """Drives along the middle of the road and stops before what blocks it; for simulation only.

    Topics:
        road_seg/scan: sensor_msgs/LaserScan, in base_link.
        cmd_vel: geometry_msgs/Twist, with each scan.

    Attributes:
        faults: the exceptions that the node survived.

    Raises:
        ParameterError: a parameter was started with a value that it cannot take.
    """

    def __init__(self):
        super().__init__("road_seg_planner")
        self.faults = FaultLog(self)
        self._follower = RoadFollower(declare_all(self, PlannerParameters, at_start=True).speed)
        self._state = ""
        answer_always(self, self.faults)
        warn_undeclared(self)

    def start(self) -> None:
        """Start to drive."""
        self._publisher = self.create_publisher(Twist, "cmd_vel", 1)
        scans = self.create_subscription(LaserScan, "road_seg/scan", self._on_scan, 1)
        self.get_logger().info(f"Waiting for {scans.topic_name}")

    def _on_scan(self, scan: LaserScan) -> None:
        command = self._follower(np.asarray(scan.ranges), scan.angle_min, scan.angle_increment)
        message = Twist()
        message.linear.x, message.angular.z = command
        self._publisher.publish(message)
        state = "Following the road" if command.speed else "The road is blocked: standing"
        if state != self._state:
            self.get_logger().info(state)
            self._state = state
