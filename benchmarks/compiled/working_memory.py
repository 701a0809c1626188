"""Peak memory of a GPT forward pass and training step, eager and compiled, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinytorch as tt
from benchmarks.compiled import ours
from benchmarks.compiled.workloads import workload
from tinytorch import models
from tinytorch.ops.allocations import DOMAIN, allocations
from tinytorch.profiling.memory.meter import resident, settle

WARM = 3
"""Calls before those that are measured: the first ones trace, compile and choose."""
LIMITS = {"gpt-1x64": 0.5, "gpt-8x64-step": 0.8}
"""What the compiled peak may be, of the eager one, by workload."""


@dataclass
class Use:
    """Bytes over those of model and input.

    `held`: arrays that stay from call to call (packed weights, arena, gradients); `peak`: the most during a
    call, `held` included; `named`: what is held of announced blocks, by owner; `resident`: by how much the
    process has grown in RAM at the peak of a call, all that compiling left behind included.
    """

    peak: int
    held: int
    named: dict[str, int]
    resident: int


def measure(name: str, compiled: bool) -> Use:
    """Memory of a workload; in fresh processes, one of which traces and one of which does not."""
    traced, untraced = (_ask(name, compiled, traced) for traced in (True, False))
    return Use(**(traced | untraced))


def _ask(name: str, compiled: bool, traced: bool) -> dict[str, Any]:
    words = [name, "compiled" if compiled else "eager", "traced" if traced else "resident"]
    command = [sys.executable, "-m", "benchmarks.compiled.working_memory", *words]
    found: dict[str, Any] = json.loads(
        subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    )
    return found


# ---------------------------------------------------------------- in the process that is measured


def main(name: str, who: str, how: str) -> None:
    """Measure in this process, and print the figures as JSON."""
    tt.set_num_threads(1)
    work = workload(name)
    compile_: ours.Compile | None = tt.compile if who == "compiled" else None
    gradients = contextlib.nullcontext() if work.optimizer else tt.no_grad()
    with gradients:
        _load_libraries(work.optimizer, compile_)
        model, x = work.build()

        def make() -> Callable[[], object]:
            if work.optimizer is None:
                return ours.forward(model, x, compile_).run
            return ours.step(model, work.optimizer, x, work.labels(model, x), compile_).run

        print(json.dumps(_traced(make) if how == "traced" else _untraced(make)))


def _load_libraries(optimizer: str | None, compile_: ours.Compile | None) -> None:
    """Run something tiny of the same kind, so that what is loaded once is not charged to the model."""
    model, x = models.GPT(width=16, layers=1, heads=2), np.zeros((1, 4), np.int64)
    if optimizer is None:
        run = ours.forward(model, x, compile_).run
    else:
        run = ours.step(model, optimizer, x, np.zeros(4, np.int64), compile_).run
    for _ in range(WARM):
        run()


def _traced(make: Callable[[], Callable[[], object]]) -> dict[str, object]:
    """Peak and held bytes of arrays and announced blocks."""
    before = allocations.by_owner()
    tracemalloc.start()
    run = make()
    for _ in range(WARM):
        run()
    settle()
    held = _arrays()
    tracemalloc.reset_peak()
    now = tracemalloc.get_traced_memory()[0]
    run()
    most = tracemalloc.get_traced_memory()[1]
    after = allocations.by_owner()
    grown = {owner: size - before.get(owner, 0) for owner, size in after.items()}
    return {"peak": held + most - now, "held": held, "named": {o: n for o, n in grown.items() if n}}


def _arrays() -> int:
    """Live bytes that NumPy, or the owner of an announced block, has taken since tracing began."""
    kinds = [tracemalloc.DomainFilter(True, domain) for domain in (np.lib.tracemalloc_domain, DOMAIN)]
    snapshot = tracemalloc.take_snapshot().filter_traces(kinds)
    return sum(trace.size for trace in snapshot.traces)


def _untraced(make: Callable[[], Callable[[], object]]) -> dict[str, object]:
    """Growth of the resident size to the peak of a call; 0 where the system does not tell."""
    settle()
    before, _ = resident(lambda: None)
    run = make()
    for _ in range(WARM):
        run()
    settle()
    _, most = resident(run)
    return {"resident": most - before if most is not None and before is not None else 0}


if __name__ == "__main__":
    main(*sys.argv[1:])
