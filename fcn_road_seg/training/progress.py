"""The progress of a training run: a bar on a terminal, lines in the run's log file."""

import logging
import time
import traceback
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fcn_road_seg.errors import UserError

LINE_EVERY = 10.0
"""Seconds between the lines of progress."""
Item = TypeVar("Item")


class TrainingProgress:
    """Tells people how far a training run is.

    On a terminal stderr shows a bar; elsewhere a line every `LINE_EVERY` seconds. The log file gets these lines too,
    and all that is printed besides: what `say` is told, warnings, and the error that ends the run.

    Args:
        log: the file to append to; None for a process that says nothing.
    """

    def __init__(self, log: Path | None):
        self._file = open(log, "a", buffering=1, encoding="utf-8") if log else None  # noqa: SIM115
        self._console = Console(stderr=True)
        columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
        self._bar = Progress(
            *columns,
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            disable=not (log and self._console.is_terminal),
        )
        self._warnings = _Warnings(self)
        self._run: TaskID | None = None
        self._steps = self._first_step = 0
        self._began = self._lined = time.monotonic()

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        if self._file:
            logging.getLogger().addHandler(self._warnings)
            logging.captureWarnings(True)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()
        if self._file:
            logging.captureWarnings(False)
            logging.getLogger().removeHandler(self._warnings)
            if isinstance(error, UserError):
                self._write(f"Ended: {error}")
            elif isinstance(error, KeyboardInterrupt):
                self._write("Ended: interrupted.")
            elif error:
                self._write("Ended by an error.\n" + "".join(traceback.format_exception(error)).rstrip())
            self._file.close()

    def say(self, text: str) -> None:
        """Print a line, and log it."""
        if self._file:
            self._console.print(text, soft_wrap=True, markup=False, highlight=False)
            self._write(text)

    def begin(self, steps: int, first_step: int) -> None:
        """Begin the run's steps, `first_step` of which an earlier process has done."""
        self._steps, self._first_step, self._began = steps, first_step, time.monotonic()
        self._run = self._bar.add_task("training", total=steps, completed=first_step, left="")

    def step(self, done: int, description: str) -> None:
        """Tell that `done` of the run's steps are done."""
        seconds = (time.monotonic() - self._began) / (done - self._first_step)
        left = duration(seconds * (self._steps - done)) + " left"
        if self._run is not None:
            self._bar.update(self._run, completed=done, description=description, left=left)
        self._line(f"{description}, step {done}/{self._steps}, {left}")

    def track(self, items: Iterable[Item], description: str) -> Iterator[Item]:
        """Iterate over items of which there may be many."""
        total = len(items) if isinstance(items, Sized) else None
        task = self._bar.add_task(description, total=total, left="")
        try:
            for done, item in enumerate(items):
                self._bar.update(task, completed=done)
                self._line(f"{description} {done}/{total}" if total else f"{description} {done}")
                yield item
        finally:
            self._bar.remove_task(task)

    def _line(self, text: str) -> None:
        if self._file and time.monotonic() - self._lined >= LINE_EVERY:
            self._lined = time.monotonic()
            if self._console.is_terminal:
                self._write(text)
            else:
                self.say(text)

    def _write(self, text: str) -> None:
        if self._file:
            self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


class _Warnings(logging.Handler):
    """Hands warnings to a run's progress, so that they reach its log and do not break its bar."""

    def __init__(self, progress: TrainingProgress):
        super().__init__(logging.WARNING)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.say(record.getMessage().rstrip())


def duration(seconds: float) -> str:
    """Seconds as people say them: 40 s, 12 min, 1 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
