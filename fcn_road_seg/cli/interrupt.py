"""Ctrl-C, SIGTERM and SIGHUP end a command in the same way, also when they come twice."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
REPEATED = 2.0
"""Seconds in which more signals have no effect: a launcher passes on a Ctrl-C that the terminal has sent as well."""
CODE_VARIABLE = "ROAD_SEG_INTERRUPTED_CODE"
"""Environment variable with the exit code; launch files set it to 0, because launch reports others as a death."""


class Interrupt:
    """Lets signals raise KeyboardInterrupt, so that unfinished files are removed; those that are ignored stay so."""

    def __init__(self) -> None:
        self._last: float | None = None
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # not under nohup
                    signal.signal(number, self._raise)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._last is None or now > self._last + REPEATED:
            self._last = now
            raise KeyboardInterrupt

    def exit_code(self) -> int:
        """The exit code of an interrupted command: 130, or what `CODE_VARIABLE` says."""
        return int(os.environ.get(CODE_VARIABLE, "130"))

    def close(self) -> None:
        """After an interruption, ignore signals while the interpreter ends."""
        if self._last is not None:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a signal that arrives in this block take effect at its end, for steps that would leave a half-made state."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals interrupt the main thread alone
        return
    arrived: list[signal.Signals] = []
    handlers = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, frame: arrived.append(signal.Signals(number)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for first in arrived[:1]:
            handlers[first](first, None)
