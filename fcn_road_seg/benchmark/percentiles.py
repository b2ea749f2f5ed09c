"""Percentiles of durations, and how far those of several cameras are apart."""

from collections.abc import Iterable, Sequence

import numpy as np

PERCENTILES = {"p50": 50, "p90": 90, "p99": 99}
FAIR = 2.0
"""Largest `spread` of the p50s of cameras that share a node fairly."""


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """{"p50", "p90", "p99"} of seconds, in milliseconds."""
    return {name: round(1000 * float(np.percentile(seconds, p)), 3) for name, p in PERCENTILES.items()}


def spread(durations: Iterable[float | None]) -> float | None:
    """The largest duration divided by the smallest; None if one is unknown."""
    durations = list(durations)
    known = [duration for duration in durations if duration is not None]
    return round(max(known) / min(known), 2) if len(known) == len(durations) else None
