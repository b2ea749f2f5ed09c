"""Rate, latency and statuses of a node for viewers. Does not import ROS."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from fcn_road_seg.ros.diagnostics import STALE
from fcn_road_seg.ros.frame_statistics import PAUSED, RESTS, max_fps_in, patience
from fcn_road_seg.ros.scope import source_of

WINDOW = 10.0
"""Period in seconds that rate and percentiles cover."""
STATUS_TIMEOUT = 5.0
"""Seconds without diagnostics, normally published once a second, after which the last ones are stale."""


class Status(NamedTuple):
    """A diagnostic status of the node."""

    subject: str
    """Such as "state" or "device"."""
    level: int
    """0 ok, 1 warning, 2 error, 3 stale."""
    message: str


class Figures:
    """Counts masks and keeps the node's latest statuses. Thread-safe.

    Args:
        node: fully qualified name.
        clock: monotonic time in seconds.
        camera: one of the node's cameras; empty for the only one, or the first.
    """

    def __init__(self, node: str, clock: Callable[[], float] = time.monotonic, camera: str = ""):
        self._node = node
        self._camera = self._wanted_camera = camera
        self._cameras: tuple[str, ...] = ()
        self._clock = clock
        self._lock = Lock()
        self._masks: deque[tuple[float, float | None]] = deque()  # arrival, latency
        self._last_mask: float | None = None
        self._statuses: list[Status] = []
        self._last_statuses: float | None = None
        self._present = self._was_present = False

    @property
    def camera(self) -> str:
        """The camera that is shown; empty if it is the only one."""
        return self._camera

    @property
    def source(self) -> str:
        """What the names of its outputs start with, such as "/road_seg" or "/road_seg/front"."""
        return source_of(self._node, self._camera)

    def cameras(self, names: Sequence[str]) -> None:
        """Say which cameras the node has, at least one."""
        with self._lock:
            self._cameras = tuple(names)
            if not self._wanted_camera and self._camera not in names:
                self._camera = names[0]

    def others(self) -> str:
        """A sentence about the cameras that are not shown, if the user has chosen none; "" without others."""
        others = [name for name in self._cameras if name != self._camera]
        if self._wanted_camera or not others:
            return ""
        return f"Showing the camera {self._camera}; --camera NAME shows another: {', '.join(others)}."

    def present(self, present: bool) -> None:
        """Say whether the node is in the ROS graph."""
        with self._lock:
            self._present = present
            self._was_present |= present

    def mask(self, latency: float | None) -> None:
        """Count a received mask.

        Args:
            latency: seconds from the frame's stamp to the mask's arrival; None for a frame without a stamp.
        """
        with self._lock:
            now = self._clock()
            if self._last_mask is not None and now - self._last_mask > self._patience():
                self._masks.clear()  # the rate does not count the time without masks
            self._last_mask = now
            self._masks.append((self._last_mask, latency))
            self._drop_old(self._last_mask)

    def _drop_old(self, now: float) -> None:
        while self._masks and self._masks[0][0] < now - WINDOW:
            self._masks.popleft()

    def statuses(self, statuses: Iterable[Status]) -> None:
        """Replace the node's statuses."""
        with self._lock:
            self._statuses, self._last_statuses = list(statuses), self._clock()

    def snapshot(self) -> dict[str, Any]:
        """The current figures, ready for JSON.

        Returns:
            ``node``; ``source`` and ``others``, see there; ``live``, whether masks arrive; ``fps``, masks per second;
            ``latency_p50_ms`` and ``latency_p99_ms``, None if unknown; ``mask_age_s``, seconds since the last mask,
            None before the first; ``statuses``, dicts with the fields of Status; ``notice``, a sentence for the user
            if there are no live masks, else "".
        """
        with self._lock:
            now = self._clock()
            self._drop_old(now)
            mask_age = None if self._last_mask is None else now - self._last_mask
            gone = self._why_gone(now)
            live = not gone and mask_age is not None and mask_age <= self._patience()
            latencies = [latency for _, latency in self._masks if latency is not None] if live else []
            p50, p99 = np.percentile(latencies, (50, 99)) * 1000 if latencies else (None, None)
            return {
                "node": self._node,
                "source": self.source,
                "others": self.others(),
                "live": live,
                "fps": self._rate() if live else 0.0,
                "latency_p50_ms": p50 if p50 is None else round(float(p50), 2),
                "latency_p99_ms": p99 if p99 is None else round(float(p99), 2),
                "mask_age_s": mask_age if mask_age is None else round(mask_age, 2),
                "statuses": [status._asdict() for status in self._current_statuses(now, gone)],
                "notice": "" if live else self._notice(gone),
            }

    def _patience(self) -> float:
        """Seconds after which a mask is old; longer if max_fps, which the status frames tells, asks for few."""
        return patience(max((max_fps_in(each.message) for each in self._statuses), default=0.0))

    def _rate(self) -> float:
        if len(self._masks) < 2:
            return 0.0
        span = self._masks[-1][0] - self._masks[0][0]
        return round((len(self._masks) - 1) / max(span, 1e-9), 2)

    def _why_gone(self, now: float) -> str:
        """How the node that was there has gone; "" if it has not."""
        if self._was_present and not self._present:
            return "has gone: it has ended, or the connection to it is lost"
        if self._last_statuses is None:
            return ""
        silence = now - max(self._last_statuses, self._last_mask or self._last_statuses)
        if silence <= STATUS_TIMEOUT:
            return ""
        return f"has gone or hangs: it has published nothing, not even on /diagnostics, for {silence:.0f} s"

    def _current_statuses(self, now: float, gone: str) -> list[Status]:
        age = 0.0 if self._last_statuses is None else now - self._last_statuses
        if not gone and age <= STATUS_TIMEOUT:
            return self._statuses
        why = f"the node {gone.partition(':')[0]}" if gone else f"no update on /diagnostics for {age:.0f} s"
        return [Status(status.subject, STALE, f"{why}; last message: {status.message}") for status in self._statuses]

    def _notice(self, gone: str) -> str:
        if gone:
            return f"The node {self._node} {gone}."
        if self._cameras and self._camera not in self._cameras:
            has = ", ".join(self._cameras) or "only one, which has no name"
            return f"The node {self._node} has no camera {self._camera}; it has {has}."
        if not self._present and self._last_mask is None:
            return f"Waiting for the node {self._node}: no node of this name is running. road_seg doctor can tell why."
        if any(status.message == RESTS[PAUSED] for status in self._statuses):
            return f"The node {self._node} is {RESTS[PAUSED]}."
        waiting = f"Waiting for {self.source}/mask"
        fact = waiting if self._last_mask is None else f"The masks on {self.source}/mask have stopped"
        return f"{fact}. Is the node active, and is its camera running? road_seg doctor can tell."
