"""Measuring one model: percentiles with intervals, latency, and where the time goes, op by op."""

from __future__ import annotations

import contextlib
import gc
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.ops.base import OpEvent, observe, state
from tinytorch.tensor import Tensor

CONFIDENCE = 0.95
Work = Callable[[], object]


@dataclass(frozen=True)
class Percentile:
    """A percentile in seconds; `low` or `high` is None where the sample is too small to bound it."""

    q: float
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Latency:
    """Times of single calls, in seconds."""

    runs: int
    warmup: int
    p50: Percentile
    p95: Percentile


@dataclass(frozen=True)
class Row:
    """Time under one heading: seconds and calls in one pass, and the share of the time in all ops."""

    name: str
    seconds: float
    backward: float  # of the seconds, those spent in gradients
    calls: float
    share: float


@dataclass(frozen=True)
class Breakdown:
    """Where one pass spends its time. Seconds are medians over `runs` passes.

    `wall` is the time of a pass that nobody watches, `overhead` that of a watched one over it, taken in
    turns. `ops` is the time inside ops, and `inside` its share of a watched pass; the rest is Python.
    """

    runs: int
    wall: float
    ops: float
    inside: float
    overhead: float
    modules: tuple[Row, ...]
    kinds: tuple[Row, ...]


def percentile(times: Sequence[float], q: float, confidence: float = CONFIDENCE) -> Percentile:
    """The q-quantile of `times` with a confidence interval by order statistics, free of any distribution.

    The number of samples below the true quantile is binomial(n, q), so two order statistics enclose it with
    at least the stated confidence if the samples are independent: Hahn and Meeker, "Statistical intervals",
    1991, section 5.2. The estimate is NumPy's (linear between order statistics).

    >>> found = percentile(list(range(1, 101)), 0.5)
    >>> found.value, found.low, found.high
    (50.5, 40.0, 61.0)
    >>> percentile([1.0, 2.0, 3.0], 0.95).high is None
    True
    """
    from scipy.stats import binom

    ordered = np.sort(np.asarray(times, dtype=np.float64))
    n = len(ordered)
    tail = (1 - confidence) / 2
    first = int(binom.ppf(tail, n, q))
    last = int(binom.ppf(1 - tail, n, q)) + 1
    return Percentile(
        q,
        float(np.quantile(ordered, q)),
        float(ordered[first - 1]) if first >= 1 else None,
        float(ordered[last - 1]) if last <= n else None,
    )


def latency(work: Work, runs: int, warmup: int = 10, tick: Callable[[int], None] | None = None) -> Latency:
    """Time single calls of `work`; `tick(done)` is told of each, outside the timed part."""
    for _ in range(warmup):
        work()
    times = []
    with collector_off():
        for done in range(1, runs + 1):
            times.append(_timed(work))
            if tick is not None:
                tick(done)
    return Latency(runs, warmup, percentile(times, 0.5), percentile(times, 0.95))


class OpTimes:
    """An observer that adds up time and calls by module path, kind of op and direction."""

    def __init__(self) -> None:
        self.passes: list[dict[tuple[str, str, bool], int]] = []
        self.calls: defaultdict[tuple[str, str, bool], int] = defaultdict(int)

    def start(self) -> None:
        """What follows belongs to the next pass."""
        self.passes.append(defaultdict(int))

    def on_op(self, event: OpEvent) -> None:
        """File one op."""
        key = (event.path, event.op.name, event.backward)
        self.passes[-1][key] += event.end - event.start
        self.calls[key] += 1

    def on_exit(self, tensor: Tensor, how: str) -> None:
        """Values may leave; that is no op."""


def breakdown(work: Work, runs: int, seed: int = 0, tick: Callable[[int], None] | None = None) -> Breakdown:
    """Watch the ops of `work` in `runs` passes, between as many unwatched ones in random order.

    The order of watched and unwatched is drawn for each pair from `seed`.
    """
    watched: list[float] = []
    unwatched: list[float] = []
    times = OpTimes()

    def observed() -> None:
        times.start()
        with observe(times):
            watched.append(_timed(work))

    rng = np.random.default_rng(seed)
    work()
    with collector_off():
        for done in range(1, runs + 1):
            if rng.random() < 0.5:
                observed()
                unwatched.append(_timed(work))
            else:
                unwatched.append(_timed(work))
                observed()
            if tick is not None:
                tick(done)
    wall = float(np.median(unwatched))
    modules = _rows(times, lambda path, kind: path)
    kinds = _rows(times, lambda path, kind: kind)
    total = sum(row.seconds for row in modules)
    inside = [sum(one.values()) * 1e-9 / whole for one, whole in zip(times.passes, watched, strict=True)]
    overhead = float(np.median(watched)) / wall
    return Breakdown(runs, wall, total, float(np.median(inside)), overhead, modules, kinds)


def _rows(times: OpTimes, heading: Callable[[str, str], str]) -> tuple[Row, ...]:
    """Medians over the passes of the time of each (path, kind, direction), added up under headings."""
    seconds: defaultdict[str, float] = defaultdict(float)
    backward: defaultdict[str, float] = defaultdict(float)
    calls: defaultdict[str, float] = defaultdict(float)
    for key, count in times.calls.items():
        path, kind, is_backward = key
        median = float(np.median([one.get(key, 0) for one in times.passes])) * 1e-9
        name = heading(path, kind)
        seconds[name] += median
        backward[name] += median if is_backward else 0.0
        calls[name] += count / len(times.passes)
    total = sum(seconds.values()) or 1.0
    names = sorted(seconds, key=lambda name: -seconds[name])
    return tuple(Row(n, seconds[n], backward[n], calls[n], seconds[n] / total) for n in names)


@contextlib.contextmanager
def filed_under(path: str) -> Iterator[None]:
    """Ops in the block, and their gradients later on, are filed under `path`, as in a module of that name."""
    here = state()
    outer, here.path = here.path, path
    try:
        yield
    finally:
        here.path = outer


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """Garbage is collected before the block and not within it."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _timed(work: Work) -> float:
    start = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start) * 1e-9
