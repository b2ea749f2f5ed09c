"""Starts ROS 2 in a process: what it refuses becomes one sentence, and a missing log folder does not stop it."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from fcn_road_seg.errors import UserError
from fcn_road_seg.ros.environment import domain_problem, log_folder_problem, rmw_problem, set_ros_defaults

if TYPE_CHECKING:
    from rclpy.context import Context

LOG = logging.getLogger(__name__)
PARSER_DETAILS = re.compile(r"\. Error: (?:Expect|error not set).*|, at /\S+:\d+\)?", re.DOTALL)
"""What people cannot use of rcl's messages: what its parser expected, and lines of its source."""


def check_environment() -> None:
    """Check, without loading ROS 2, the variables with which it would end the process.

    Raises:
        UserError: one is wrong.
    """
    if problem := domain_problem(os.environ):
        raise UserError(f"{problem}: set one, the same for the camera and the node, or unset it")
    problem, advice = rmw_problem(os.environ)
    if problem:
        raise UserError(f"{problem}: {advice}")


def start_ros(arguments: Sequence[str] = (), context: "Context | None" = None, handle_signals: bool = False) -> None:
    """Initialise rclpy, after `set_ros_defaults`; without a log file, and with a warning, if none can be written.

    Args:
        arguments: the words of the command line.
        context: to initialise; the default context if it is None.
        handle_signals: whether SIGINT and SIGTERM shut ROS 2 down.

    Raises:
        UserError: ROS 2 refuses to start.
    """
    check_environment()
    set_ros_defaults()

    import rclpy
    from rclpy.logging import LoggingSeverity, get_logger_effective_level, set_logger_level
    from rclpy.signals import SignalHandlerOptions

    words = list(arguments)
    if problem := log_folder_problem(os.environ):
        _warn(f"No log file is written: {problem}; set ROS_LOG_DIR to a folder that can be written")
        words += ["--ros-args", "--disable-external-lib-logs"]
    signals = SignalHandlerOptions.ALL if handle_signals else SignalHandlerOptions.NO
    set_logger_level("rcl", LoggingSeverity.FATAL)  # it would announce that a sentence follows
    try:
        with refusals():
            rclpy.init(args=words, context=context, signal_handler_options=signals)
    finally:
        if get_logger_effective_level("rcl") == LoggingSeverity.FATAL:  # the arguments did not set it
            set_logger_level("rcl", LoggingSeverity.UNSET)


def check_start() -> None:
    """Start ROS 2 and end it again, before work that would be lost if it did not start.

    Raises:
        UserError: as `start_ros`.
    """
    import rclpy
    from rclpy.context import Context

    context = Context()
    start_ros(context=context)
    rclpy.shutdown(context=context)


@contextmanager
def refusals() -> Iterator[None]:
    """Turns what ROS 2 refuses in a ``with`` block, such as to create a node, into a UserError."""
    from rclpy.exceptions import NameValidationException
    from rclpy.impl.implementation_singleton import rclpy_implementation

    unknown = getattr(rclpy_implementation, "UnknownROSArgsError", ())
    try:
        yield
    except unknown as error:
        words = str(error).strip("[]").replace("'", "")
        raise UserError(f"ROS 2 does not know the argument {words}: --help shows those it takes most often") from None
    except (rclpy_implementation.RCLError, NameValidationException) as error:
        raise UserError(f"ROS 2 does not start: {_readable(str(error))}") from None


def _readable(message: str) -> str:
    """An rcl message without its prefix, its parser's details and its source lines, on one line."""
    text = message.removeprefix("failed to initialize rcl: ")
    text = " ".join(PARSER_DETAILS.sub("", text).split()).rstrip(" .,:")
    if "remap rule" in text:
        return f"{text}; write -r from:=to, such as -r image:=/camera/image_raw"
    if "parameter override rule" in text:
        return f"{text}; write -p name:=value, such as -p threshold:=0.4"
    return text


@cache
def _warn(sentence: str) -> None:
    """Warn once in a process."""
    LOG.warning(sentence)
