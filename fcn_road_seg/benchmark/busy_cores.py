"""How busy other processes keep the machine before a measurement."""

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
SECOND = 1.0
MOST = 0.1
"""Share of the cores that may be busy without an effect on the times."""


def busy_cores(seconds: float = SECOND, stat: Path = STAT) -> float | None:
    """Watch the cores that this process may use while it sleeps.

    Args:
        seconds: how long.
        stat: see proc_stat(5).

    Returns:
        The average number of busy cores; None if the system does not tell.
    """
    before = _ticks(stat)
    time.sleep(seconds)
    after = _ticks(stat)
    busy = 0.0
    for core in before.keys() & after.keys():
        worked, all_ticks = (late - early for early, late in zip(before[core], after[core], strict=True))
        busy += worked / all_ticks if all_ticks > 0 else 0.0
    return busy if after else None


def _ticks(stat: Path) -> dict[int, tuple[int, int]]:
    """Ticks of each core since the start of the system: busy ones, and all."""
    try:
        lines = [line.split() for line in stat.read_text().splitlines()]
    except OSError:
        return {}
    cores = os.sched_getaffinity(0)
    ticks = {}
    for name, *numbers in lines:
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in cores:
            user, nice, system, idle, io_wait, *others = map(int, numbers[:8])  # the rest is a part of user
            worked = user + nice + system + sum(others)
            ticks[int(name[3:])] = worked, worked + idle + io_wait
    return ticks
