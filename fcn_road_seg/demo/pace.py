"""What this machine can do: the weights and the rate of the demo."""

import time
from collections.abc import Callable

import numpy as np

RATES = 10.0, 5.0, 2.0, 1.0, 0.5
"""Frames per second to choose from."""
CALLS = 7
SHARE = 0.5
"""Share of the time between two frames that segmenting may take: messages, ground outputs and recording take more."""


def seconds_per_frame(segment: Callable[[np.ndarray], np.ndarray], frame: np.ndarray) -> float:
    """Median time in seconds to segment a frame, uint8 H x W x 3 RGB, without the first call, which may compile."""
    times = []
    for _ in range(CALLS + 1):
        start = time.perf_counter()
        segment(frame)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def sustained_rate(seconds: float) -> float:
    """The highest of `RATES` that the node keeps up with, if a frame of each camera takes `seconds`, or the lowest."""
    return next((rate for rate in RATES if seconds * rate <= SHARE), RATES[-1])
