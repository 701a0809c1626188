"""Time to compile a GPT training step, cold and from disk, in fresh processes with a cache of their own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

NAME = "gpt-8x64-step"
CALLS = 2
"""The first two calls may trace, compile and choose; later ones are steady."""
FOLDER = "TINYTORCH_CACHE"


@dataclass
class Startup:
    """Seconds of the first calls beyond those of as many steady ones, with an empty and with a full cache."""

    cold: float
    disk: float


def measure(pairs: int = 3) -> Startup:
    """Medians over pairs of fresh processes with a new folder: the first fills it, the second reads it."""
    cold, disk = [], []
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(_ask(folder))
            disk.append(_ask(folder))
    return Startup(statistics.median(cold), statistics.median(disk))


def _ask(folder: str) -> float:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.compiled.startup"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, FOLDER: folder},
    )
    return float(json.loads(run.stdout))


def main() -> None:
    """Compile in this process, and print the seconds that it took as JSON."""
    import tinytorch as tt
    from benchmarks.compiled import ours
    from benchmarks.compiled.workloads import workload

    tt.set_num_threads(1)
    work = workload(NAME)
    model, x = work.build()
    assert work.optimizer is not None
    y = work.labels(model, x)
    eager = ours.step(model, work.optimizer, x, y)
    eager.run()  # libraries of eager mode are loaded now
    start = time.perf_counter()
    run = ours.step(model, work.optimizer, x, y, tt.compile).run
    for _ in range(CALLS):
        run()
    first = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(CALLS):
        run()
    print(json.dumps(first - (time.perf_counter() - start)))


if __name__ == "__main__":
    main()
