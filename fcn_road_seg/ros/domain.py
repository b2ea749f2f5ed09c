"""DDS domains for groups of processes on this machine that must not communicate, such as demos and tests."""

import os
import socket
import sys

from fcn_road_seg.ros.environment import isolated_ros_environment, set_ros_defaults

DOMAINS = (*range(1, 102), *range(215, 233))
"""Those whose ports are outside Linux's ephemeral range; 0 is the default of every ROS 2 program."""


class DomainReservation:
    """Reserves a DDS domain that no other reservation on this machine has; a context manager.

    It lasts until it is closed or garbage collected, or the process ends.

    Attributes:
        domain_id: the domain; on systems other than Linux, or when all are taken, others may use it too.
    """

    def __init__(self) -> None:
        start = os.getpid() % len(DOMAINS)
        self.domain_id = DOMAINS[start]
        self._socket = socket.socket(socket.AF_UNIX)
        if sys.platform != "linux":
            return
        for domain_id in DOMAINS[start:] + DOMAINS[:start]:
            try:  # an abstract socket address, which only one socket can have
                self._socket.bind(f"\0fcn_road_seg/domain/{domain_id}")
            except OSError:
                continue
            self.domain_id = domain_id
            return

    def isolate_process(self) -> None:
        """Confine ROS in this process and its children to this domain and machine; call it before ``rclpy.init()``."""
        os.environ.update(isolated_ros_environment(self.domain_id))
        set_ros_defaults()

    def __enter__(self) -> "DomainReservation":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
