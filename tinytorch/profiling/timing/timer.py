"""Timer: how long a call takes, with intervals; and the stopwatch that every measurement here uses."""

from __future__ import annotations

import functools
import gc
import math
import operator
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import repeat
from time import perf_counter_ns, process_time_ns
from typing import Any, SupportsIndex, TypeVar

from tinytorch.errors import ProfilingError
from tinytorch.ops.context import state
from tinytorch.profiling import environment, statistics
from tinytorch.profiling.profile import Timing
from tinytorch.profiling.timing.arms import Arm, Loop, call_arm
from tinytorch.profiling.timing.stats import LEAST, Conditions, Stats

NS = 1e-9
POLICIES = ("off", "collect", "on")
_LOCK = threading.Lock()
_holders = 0  # blocks that hold the collector off, in any thread
_was_on = False  # before the first of them

T = TypeVar("T")


# ---------------------------------------------------------------- the garbage collector


@contextmanager
def collector_off() -> Iterator[None]:
    """Garbage is collected before the block and not within it; afterwards the collector is as it was.

    Blocks may nest, and overlap in several threads: the last one to end sets the collector back.

    >>> import gc
    >>> with collector_off():
    ...     gc.isenabled()
    False
    """
    global _holders, _was_on
    gc.collect()
    with _LOCK:
        if _holders == 0:
            _was_on = gc.isenabled()
        _holders += 1
        gc.disable()
    try:
        yield
    finally:
        with _LOCK:
            _holders -= 1
            if _holders == 0 and _was_on:
                gc.enable()


def collector_policy(policy: str) -> AbstractContextManager[None]:
    """The block that a policy asks for; raises ProfilingError for one that is not in `POLICIES`."""
    if policy not in POLICIES:
        raise ProfilingError(f"collector={policy!r}; expected one of {', '.join(map(repr, POLICIES))}")
    return nullcontext() if policy == "on" else collector_off()


# ---------------------------------------------------------------- the clock


@functools.cache
def resolution() -> float:
    """The smallest step of time, in seconds, that two readings of the clock can tell apart, as measured.

    >>> 0 < resolution() < 0.1
    True
    """
    steps = []
    for _ in range(200):
        start = end = perf_counter_ns()
        while end == start:
            end = perf_counter_ns()
        steps.append(end - start)
    return sorted(steps)[len(steps) // 2] * NS


class Stopwatch:
    """Times calls one by one, by the clock of the wall and by that of this process's CPU time.

    `samples` and `cpu` hold seconds, one for every call; `wall_clock()` and `cpu_clock()` give nanoseconds.

    >>> clock = Stopwatch()
    >>> clock.time(lambda: 3), len(clock.samples), len(clock.cpu)
    (3, 1, 1)
    """

    def __init__(
        self,
        wall_clock: Callable[[], int] = perf_counter_ns,
        cpu_clock: Callable[[], int] = process_time_ns,
    ) -> None:
        self.samples: list[float] = []
        self.cpu: list[float] = []
        self.wall_clock, self.cpu_clock = wall_clock, cpu_clock

    def time(self, call: Callable[[], T]) -> T:
        """Make the call and return its result, its seconds added to `samples` and its CPU seconds to `cpu`.

        Both clocks, `self.wall_clock()` and `self.cpu_clock()`, are read before and after; the wall clock is
        read nearest to the call, so that reading the other one is no part of the sample. A call that raises
        leaves no sample.
        """
        clock = self.wall_clock
        cpu = self.cpu_clock()
        start = clock()
        result = call()
        end = clock()
        self.cpu.append((self.cpu_clock() - cpu) * NS)
        self.samples.append((end - start) * NS)
        return result

    def loop(self, loop: Loop, inner: int) -> None:
        """One sample of `inner` turns of a loop that reads the clock itself: the seconds of one turn."""
        cpu = self.cpu_clock()
        spent = loop(repeat(None, inner))
        self.cpu.append((self.cpu_clock() - cpu) * NS / inner)
        self.samples.append(spent * NS / inner)


def timing_of(stopwatch: Stopwatch, warmup: int) -> Timing:
    """The samples of a stopwatch with their estimates; `cpu` is the mean CPU time of a call.

    Raises ProfilingError for a stopwatch that has timed nothing.
    """
    samples = statistics.as_samples(stopwatch.samples, "timing")
    odd = statistics.outliers(samples)
    return Timing(
        samples=tuple(stopwatch.samples),
        warmup=warmup,
        mean=statistics.mean_time(samples),
        p50=statistics.quantile(samples, 0.5),
        p95=statistics.quantile(samples, 0.95),
        p99=statistics.quantile(samples, 0.99),
        std=statistics.deviation(samples),
        min=float(samples.min()),
        max=float(samples.max()),
        cpu=math.fsum(stopwatch.cpu) / len(stopwatch.cpu),
        mild_outliers=odd.mild,
        severe_outliers=odd.severe,
    )


# ---------------------------------------------------------------- the timer


class Timer:
    """Times a function call by call. `collector` is what Python's garbage collector does meanwhile.

    "off": it collects before the first run and then rests. "collect": it also collects before each run,
    outside the time. "on": it is left as it is, so its pauses are part of the times. Raises ProfilingError
    for another policy.

    >>> stats = Timer().measure(sorted, warmup=1, runs=5, args=([3, 1, 2],))
    >>> len(stats.samples), stats.warmup, stats.min <= stats.p50 <= stats.max
    (5, 1, True)
    """

    def __init__(self, collector: str = "off") -> None:
        collector_policy(collector)
        self.collector = collector

    def measure(
        self,
        function: Callable[..., Any],
        warmup: int = 3,
        runs: int = 100,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        inner: int | None = None,
        name: str = "",
    ) -> Stats:
        """Time `function(*args, **kwargs)` in `runs` runs, after `warmup` calls that do not count.

        A model, or its `forward`, without arguments takes its `example_input`. A function that takes less
        than 100 times the clock's resolution is called `inner` times in a run; None: as often as that takes,
        found by further calls after the warm-up. Without warm-up, or for `runs=1`, inner is 1, so that
        `warmup=0, runs=1` calls once. Raises ProfilingError for what cannot be called, arguments that do not
        fit, `runs` or `inner` below 1 and `warmup` below 0; an error of the function passes through.
        """
        if state().meta:
            raise ProfilingError("Timer: under meta() nothing is computed. Leave the block to time a call.")
        arm = call_arm(function, args, kwargs)
        return measure_arm(replace(arm, name=name or arm.name), warmup, runs, inner, self.collector)


def measure_arm(arm: Arm, warmup: int, runs: int, inner: int | None = None, collector: str = "off") -> Stats:
    """Time one arm; see `Timer.measure`."""
    runs, warmup = whole("runs", runs, 1), whole("warmup", warmup, 0)
    given = None if inner is None else whole("inner", inner, 1)
    with alone() as crowd:
        before = environment.stolen()
        clock, calls = timed_runs(arm.loop, warmup, runs, given, collector)
        after = environment.stolen()
    stolen = after - before if before is not None and after is not None else 0.0
    how = Conditions(warmup, calls, collector, resolution(), cost_of(arm.bare), stolen, crowd.met)
    cpu = math.fsum(clock.cpu) / runs
    return Stats(arm.name, tuple(clock.samples), cpu, how, environment.describe())


def timed_runs(
    loop: Loop, warmup: int, runs: int, inner: int | None = None, collector: str = "off"
) -> tuple[Stopwatch, int]:
    """Warm up, then time `runs` runs: the stopwatch with their samples, and how many calls each run made.

    First come `warmup` calls that do not count, one by one. A run makes `inner` calls; with None as many as
    `warm_up` finds, but without a warm-up or for a single run 1, and then nothing else is called. A run is
    one `Stopwatch.loop`. `collector`: the whole goes by in the block that `collector_policy` gives for it,
    and with "collect" garbage is collected before each run, outside its time.
    """
    clock = Stopwatch()
    with collector_policy(collector):
        calls, _ = warm_up(loop, warmup, inner is None and runs > 1)
        calls = inner or calls
        for _ in range(runs):
            if collector == "collect":
                gc.collect()
            clock.loop(loop, calls)
    return clock, calls


def warm_up(loop: Loop, warmup: int, calibrated: bool = True) -> tuple[int, float]:
    """Make the calls that do not count; how many calls a run needs, and the seconds of one as far as known.

    A run needs to be `LEAST` times as long as the clock's resolution. Without a warm-up, or where
    `calibrated` is false, it gets one call, and nothing more is called.
    """
    clock = Stopwatch()
    for _ in range(warmup):
        clock.loop(loop, 1)
    shortest = min(clock.samples, default=math.inf)
    least = LEAST * resolution()
    if not calibrated or shortest > 10 * least:
        return 1, shortest
    return calls_needed(loop, least)


def calls_needed(loop: Loop, least: float) -> tuple[int, float]:
    """How many calls must share a run so that it takes `least` seconds, and the seconds of one call.

    `loop(repeat(None, n))` makes n calls and returns the nanoseconds that they took. One call is tried first.
    Of three readings the shortest counts, since whatever interferes makes a reading longer. Where that is
    less than `least`, more calls are tried: as many as the reading asks for, but at least one more, and at
    most ten times as many, since a reading of next to nothing says little. The seconds of a call are never 0:
    a reading of n calls counts as the clock's `resolution()` at least.

    >>> calls_needed(lambda times: 50 * len(list(times)), 1e-6)[0]  # each call takes 50 ns
    20
    """
    inner = 1
    while True:
        shortest = min(loop(repeat(None, inner)) for _ in range(3)) * NS / inner
        shortest = max(shortest, resolution() / inner)
        if shortest * inner >= least:
            return inner, shortest
        inner = max(inner + 1, min(10 * inner, math.ceil(least / shortest)))


def cost_of(bare: Loop) -> float:
    """The seconds that one turn of a loop takes that does nothing: what is in each figure beside the work."""
    clock = Stopwatch()
    for _ in range(20):
        clock.loop(bare, 200)
    return statistics.median(clock.samples).value


def whole(name: str, value: object, least: int) -> int:
    """The value as an int; raises ProfilingError where it is none, or below the least that makes sense.

    >>> whole("runs", 3, 1)
    3
    """
    if isinstance(value, bool) or not isinstance(value, SupportsIndex) or operator.index(value) < least:
        raise ProfilingError(f"{name}={value!r}; expected a whole number of {least} or more")
    return operator.index(value)


@dataclass
class _Crowd:
    """A measurement under way, and whether it met one of another thread."""

    thread: int
    met: bool = False


_crowd: list[_Crowd] = []


@contextmanager
def alone() -> Iterator[_Crowd]:
    """A block that notices, on both sides, measurements that other threads make at the same time."""
    mine = _Crowd(threading.get_ident())
    with _LOCK:
        for other in _crowd:
            if other.thread != mine.thread:
                other.met = mine.met = True
        _crowd.append(mine)
    try:
        yield mine
    finally:
        with _LOCK:
            _crowd.remove(mine)
