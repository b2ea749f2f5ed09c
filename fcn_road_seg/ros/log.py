"""What the package logs, such as that a network was compiled, in the log of a ROS node."""

import logging
from typing import Any


class RosLogHandler(logging.Handler):
    """Hands every record to a ROS logger, by its `info` and `warning`."""

    def __init__(self, logger: Any):
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        # Two calls in two places: rclpy allows a line of code one severity.
        if record.levelno < logging.WARNING:
            self._logger.info(record.getMessage())
        else:
            self._logger.warning(record.getMessage())


def log_to(logger: Any) -> None:
    """Send the package's log to a ROS logger from now on."""
    package = logging.getLogger("fcn_road_seg")
    package.setLevel(logging.INFO)
    package.handlers = [RosLogHandler(logger)]
