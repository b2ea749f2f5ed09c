"""Faults of the program: unexpected exceptions, which are logged with their traceback, counted, and survived."""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from rclpy.node import Node

from fcn_road_seg.errors import DeviceLostError, first_line
from fcn_road_seg.ros.diagnostics import OK, WARN, Report
from fcn_road_seg.ros.steady_clock import STEADY

RECENT = 10.0
"""Seconds for which a fault is a warning in /diagnostics; its count stays."""
P = ParamSpec("P")
R = TypeVar("R")


class FaultLog:
    """The faults of a node, grouped by exception type and line of code.

    The first of a kind is logged at ERROR with its traceback, later ones with a sentence, once a second at most. No
    exception is kept, because its traceback would keep the frame's images.
    """

    def __init__(self, node: Node):
        self._node = node
        self._counts: Counter[str] = Counter()
        self._last = ""
        self._last_time = 0.0

    def record(self, task: str, error: Exception) -> None:
        """Log and count a fault.

        Args:
            task: what failed, the start of a sentence: "A frame failed".
        """
        if not self._node.context.ok():  # a signal ended ROS, and every call of it fails
            return
        kind, logger = _kind(error), self._node.get_logger()
        self._counts[kind] += 1
        self._last, self._last_time = f"{task}: {type(error).__name__}: {first_line(error)}", time.monotonic()
        if self._counts[kind] == 1:
            trace = "".join(traceback.format_exception(error)).rstrip()
            logger.error(f"{self._last}\n{trace}")
        else:
            logger.error(
                f"{self._last} (number {self._counts[kind]} of {kind}; the first was logged with its traceback)",
                throttle_duration_sec=1.0,
                throttle_time_source_type=STEADY,
            )

    @contextmanager
    def survived(self, task: str) -> Iterator[None]:
        """Log and count a fault in a ``with`` block, and continue after the block; a lost device passes through."""
        try:
            yield
        except DeviceLostError:
            raise
        except Exception as error:
            self.record(task, error)

    def guard(self, task: str, callback: Callable[P, R], otherwise: R) -> Callable[P, R]:
        """A callback that returns `otherwise` after a fault."""

        @wraps(callback)
        def guarded(*arguments: P.args, **keywords: P.kwargs) -> R:
            with self.survived(task):
                return callback(*arguments, **keywords)
            return otherwise

        return guarded

    def report(self) -> Report:
        """The counts so far; a warning for `RECENT` seconds after a fault."""
        if not self._counts:
            return Report("faults", OK, "no unexpected exception so far", {})
        recent = time.monotonic() - self._last_time < RECENT
        total = self._counts.total()
        exceptions = "one unexpected exception" if total == 1 else f"{total} unexpected exceptions"
        sentence = f"{exceptions} so far, last: {self._last}; the tracebacks are in the log"
        return Report("faults", WARN if recent else OK, sentence, {k: str(n) for k, n in self._counts.items()})


def _kind(error: Exception) -> str:
    """The exception's type and line, such as "KeyError at overlay.py:31"."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown line"
    return f"{type(error).__name__} at {place}"
