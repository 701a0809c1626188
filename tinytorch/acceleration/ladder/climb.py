"""Climb a ladder: each rung checked against a float64 reference, then timed, up to the last."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tinytorch import console
from tinytorch.acceleration.compiling import has_numba, said_when_slow
from tinytorch.acceleration.ladder.kinds import KINDS, Call, Inputs, Kind, Rung
from tinytorch.acceleration.ladder.report import Report, Step
from tinytorch.errors import ProfilingError
from tinytorch.ops.spec import Array
from tinytorch.profiling import words
from tinytorch.profiling.hardware.machine import cores
from tinytorch.profiling.hardware.roofline import measure_roof
from tinytorch.profiling.timing.stats import Stats
from tinytorch.profiling.timing.timer import Timer
from tinytorch.threads import get_num_threads, set_num_threads

SECONDS, PATIENCE = 1.0, 60.0
_MOST_RUNS = 100
_WITHOUT_NUMBA = "numba is not to be had here: the rungs that it compiles are left out."


def measure(
    kind: str, size: int | None = None, *, seconds: float = SECONDS, patience: float = PATIENCE
) -> Report:
    """Time every rung of a ladder: "matmul", "conv" or "softmax"; `size` as its title says, None: the usual.

    A rung is run for about `seconds` of time, at least once; a loop in Python that would take more than
    `patience` seconds for one run is left out, and the report says so. Raises ProfilingError for another
    kind, a size below 1 or above what the ladder takes, and times that are not positive.

    >>> measure("matmul", 0)
    Traceback (most recent call last):
    tinytorch.errors.ProfilingError: ladder matmul: size 0; expected a whole number from 1 to 4096
    """
    found = _kind(kind)
    size = _size(found, size)
    for name, value in (("seconds", seconds), ("patience", patience)):
        if not (0 < value < math.inf):
            raise ProfilingError(f"ladder: {name} is {value}; expected a positive number of seconds")
    inputs, flops = found.inputs(size), found.flops(size)
    reference = found.reference(*inputs)
    rungs, notes = _chosen(found, size, patience)
    steps = []
    with _threads_kept(), console.progress(len(rungs), f"{kind} ladder", "rungs") as bar:
        for done, rung in enumerate(rungs):
            bar.update(done, rung=rung.name)
            threads = cores() if rung.all_cores else 1
            set_num_threads(threads)
            stats, result = _climbed(rung, inputs, seconds)
            peak = measure_roof(threads).flops
            steps.append(Step(rung.name, rung.lesson, stats, flops, threads, peak, _error(result, reference)))
        bar.update(len(rungs))
    return Report(kind, size, found.title(size), found.plain, tuple(steps), tuple(notes))


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise ProfilingError(f"ladder {name!r} does not exist; there are: {', '.join(KINDS)}")
    return KINDS[name]


def _size(kind: Kind, size: int | None) -> int:
    usual, most = kind.sizes
    if size is None:
        return usual
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= most:
        raise ProfilingError(f"ladder {kind.name}: size {size}; expected a whole number from 1 to {most}")
    return size


def _chosen(kind: Kind, size: int, patience: float) -> tuple[list[Rung], list[str]]:
    """The rungs that can be climbed here in acceptable time, and a line for what is left out."""
    rungs, notes = [], []
    if not has_numba():
        notes.append(_WITHOUT_NUMBA)
    for rung in kind.rungs:
        if rung.needs_numba and not has_numba():
            continue
        expected = _expected(kind, rung, size) if rung.in_python else 0.0
        if expected > patience:
            notes.append(
                f"{rung.name} is left out: a run would take about {words.seconds(expected)}, more than the "
                f"patience of {words.seconds(patience)}."
            )
        else:
            rungs.append(rung)
    return rungs, notes


def _expected(kind: Kind, rung: Rung, size: int) -> float:
    """Seconds of a run at this size, in proportion to its work, from a small trial."""
    call = rung.prepare(*kind.inputs(kind.trial))
    trial = Timer().measure(call, warmup=1, runs=3, inner=1)
    return trial.min * kind.flops(size) / kind.flops(kind.trial)


def _climbed(rung: Rung, inputs: Inputs, seconds: float) -> tuple[Stats, Array]:
    """The times of a rung, and its result: a run that takes all the time there is is the only one."""
    call = rung.prepare(*inputs)
    if rung.needs_numba:
        with said_when_slow(f"{rung.name}: numba compiles"):
            call()
    results: list[Array] = []
    stats = _timed(lambda: results.append(call()), rung, 0, 1)
    runs = min(_MOST_RUNS, int(seconds / stats.mean))
    if runs > 1:
        stats = _timed(call, rung, 1, runs)
    return stats, np.asarray(results[0])


def _timed(call: Call, rung: Rung, warmup: int, runs: int) -> Stats:
    return Timer().measure(call, warmup=warmup, runs=runs, name=rung.name)


def _error(found: Array, reference: Array) -> float:
    """The largest distance from the reference, over the largest number in that."""
    return float(np.abs(found - reference).max() / np.abs(reference).max())


@contextmanager
def _threads_kept() -> Iterator[None]:
    """A block after which the number of threads is what it was."""
    before = get_num_threads()
    try:
        yield
    finally:
        set_num_threads(before)
