"""Energy, where the processor counts it and the system lets us read that; nowhere else is there a figure."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

COUNTERS = Path("/sys/class/powercap")
SECONDS = 1.0
"""That a function runs for at least: counters move in steps of some milliseconds."""


def joules(folder: Path = COUNTERS) -> float | None:
    """Joules that all packages have used since some moment; None where that cannot be read.

    The counters are those of Intel's and AMD's "running average power limit" as Linux shows them. They begin
    anew when they are full.

    >>> joules(Path("no such folder")) is None
    True
    """
    try:
        files = sorted(folder.glob("intel-rapl:[0-9]*/energy_uj"))
        found = [int(file.read_text()) for file in files if file.parent.name.count(":") == 1]
    except (OSError, ValueError):
        return None
    return sum(found) * 1e-6 if found else None


def energy_of(run: Callable[[], object], folder: Path = COUNTERS) -> float | None:
    """Joules of one call, in the mean over SECONDS of calls; everything that the machine did then is in it.

    None where it cannot be measured: where there is no counter, or it began anew.
    """
    before, begun, count = joules(folder), time.perf_counter(), 0
    if before is None:
        return None
    while time.perf_counter() - begun < SECONDS:
        run()
        count += 1
    after = joules(folder)
    return (after - before) / count if after is not None and after > before else None
