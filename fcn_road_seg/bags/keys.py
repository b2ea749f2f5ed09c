"""Reads single key presses from a terminal, and restores its settings afterwards."""

import os
import select
import sys
import termios
import time
import tty
from contextlib import suppress
from typing import TextIO

PAUSE = "pause"
STEP = "step"
MEANINGS = {b" ": PAUSE, b"s": STEP, b"\x1b[C": STEP, b"\x1bOC": STEP}
"""Space; s; the right arrow, in normal and in application mode."""
LONGEST_SLEEP = 0.1


class Keys:
    """Waits for key presses; a context manager. Without a terminal, `active` is False and it only waits."""

    def __init__(self, stream: TextIO | None = None):
        stream = sys.stdin if stream is None else stream
        try:
            self._fd = stream.fileno()
            self.active = os.isatty(self._fd)
        except (AttributeError, OSError, ValueError):  # stdin is missing, closed, or not a file
            self.active = False

    def __enter__(self) -> "Keys":
        if self.active and self._in_foreground():
            self._settings = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd, termios.TCSANOW)
        else:
            self.active = False  # a background job would be stopped for changing the terminal
        return self

    def __exit__(self, *_: object) -> None:
        if self.active and self._in_foreground():
            with suppress(termios.error):  # the terminal has been closed
                termios.tcsetattr(self._fd, termios.TCSANOW, self._settings)

    def _in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:  # not this process's controlling terminal
            return True

    def wait(self, seconds: float) -> list[str]:
        """Wait for key presses, at most `seconds`; returns their meanings."""
        if not self.active:
            time.sleep(seconds)
            return []
        if not self._in_foreground():
            time.sleep(min(seconds, LONGEST_SLEEP))
            return []
        if not select.select([self._fd], [], [], seconds)[0]:
            return []
        try:
            pressed = os.read(self._fd, 256)
        except OSError:
            pressed = b""
        if not pressed:  # the terminal has been closed
            self.active = False
        return parse(pressed)


def parse(pressed: bytes) -> list[str]:
    """The meanings of the keys in order; unknown keys are ignored."""
    meanings = []
    while pressed:
        known = next((key for key in MEANINGS if pressed.startswith(key)), None)
        meanings += [MEANINGS[known]] if known else []
        pressed = pressed[len(known or b"x") :]
    return meanings
