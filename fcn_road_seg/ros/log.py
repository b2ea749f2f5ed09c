"""Forwards the package's Python log, such as that a network was compiled, to the log of a ROS node."""

import logging
from typing import Any


class RosLogHandler(logging.Handler):
    """Forwards every record to the `info` or `warning` of a ROS logger."""

    def __init__(self, logger: Any):
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        # Two calls on two lines: rclpy allows only one severity per line of code.
        if record.levelno < logging.WARNING:
            self._logger.info(record.getMessage())
        else:
            self._logger.warning(record.getMessage())


def log_to(logger: Any) -> None:
    """Send the package's log to a ROS logger from now on; the last call counts for the process."""
    package = logging.getLogger("fcn_road_seg")
    package.setLevel(logging.INFO)
    package.handlers = [RosLogHandler(logger)]
