"""Percentiles of durations."""

from collections.abc import Sequence

import numpy as np

PERCENTILES = {"p50": 50, "p90": 90, "p99": 99}


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """{"p50", "p90", "p99"} of seconds, in milliseconds."""
    return {name: round(1000 * float(np.percentile(seconds, p)), 3) for name, p in PERCENTILES.items()}
