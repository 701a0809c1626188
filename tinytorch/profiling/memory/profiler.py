"""MemoryProfiler: what a call needs at its peak, what it leaves behind, and whether that grows."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinytorch.errors import ProfilingError
from tinytorch.nn.module import Module
from tinytorch.ops.allocations import DOMAIN, track
from tinytorch.ops.base import allocations
from tinytorch.ops.context import state
from tinytorch.ops.spec import Array
from tinytorch.optim.optimizer import Optimizer
from tinytorch.profiling.memory.meter import require_tracing, resident, settle
from tinytorch.profiling.memory.modules import (
    Holdings,
    MemoryWatcher,
    WatchedMemory,
    arrays_in,
    by_path,
    distinct,
)
from tinytorch.profiling.memory.pattern import LONG, grows, pattern_of, trend
from tinytorch.profiling.memory.sites import FRAMES, PeakFinder, PeakViewer
from tinytorch.profiling.profile import MemoryPoint, MemorySite, MemoryUse
from tinytorch.profiling.subject import Subject, subject_of

MORE_SECONDS = 3.0
"""How long more calls than asked for may take, to see whether what stays grows."""
_ONE_AT_A_TIME = threading.Lock()


class MemoryProfiler:
    """Measures the memory of a call in passes of its own, none of which is timed.

    Traced bytes are those of Python objects and NumPy arrays, by tracemalloc, and of blocks that
    `tinytorch.ops.base.allocations` was told of (compiled buffers). The resident size is that of the process
    in RAM: it holds the interpreter, libraries and memory that allocators keep for later, too, and leaves
    out pages that were never touched, so the two differ. All threads are traced, those that the function
    starts and others; ops, and with them modules, are followed in the calling thread alone.

    `baseline` is what tracing knows of as a call begins: parameters, gradients, buffers, optimizer state and
    arguments of the subject, announced blocks, and what earlier calls left. If tracemalloc runs already, it
    runs on with all it knows (its peak mark is set back), and the baseline is all of that. On Linux the
    process's own high-water mark, VmHWM, is set back as well.

    The pattern: "growing" where what stays grows (a leak, or a cache that is not full yet), its slope over
    the calls above 0 by a 95 % interval; "spiky" where most of the peak is given back before the call ends;
    otherwise "steady"; "unknown" after one call. `memory_pattern` has the thresholds. Growth of less than
    4 KiB a call takes 64 calls to tell; where there was no time for them, a note says so. In a call of
    thousands of ops, pools of free tuples fill that CPython keeps until a collection, some 100 KB at most
    for each length: they count as live.
    """

    def profile(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        repeats: int = 5,
        *,
        model: Module | None = None,
        optimizer: Optimizer | None = None,
    ) -> MemoryUse:
        """Measure `function(*args, **kwargs)`, which runs `repeats` + 8 times, or more if it seems to grow.

        `repeats=1` runs it once, for functions with side effects; growth and sites are then unknown. `model`
        and `optimizer` say whose parameters, gradients and state to tell apart where the function is a
        training step. An error of the function passes through, with tracing as it was. Raises
        ProfilingError for `repeats` below 1, for what cannot be called, under `meta()`, and inside of another
        measurement.

        >>> use = MemoryProfiler().profile(lambda: bytearray(1_000_000).count(0))
        >>> use.pattern, round(use.allocated / 1e6, 2), use.retained
        ('spiky', 1.0, 0)
        """
        subject = subject_of(function, args, kwargs)
        return measure_memory(subject if model is None else replace(subject, model=model), repeats, optimizer)


def measure_memory(subject: Subject, repeats: int = 5, optimizer: Optimizer | None = None) -> MemoryUse:
    """Memory of a call, as `MemoryProfiler.profile` measures it.

    >>> from tinytorch.models import MLP
    >>> use = measure_memory(subject_of(MLP((4, 8, 3))))
    >>> use.parameters, use.activations  # 8 + 8 x 4, 3 + 3 x 8 floats; the hidden layer's 8
    (268, 32)
    """
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise ProfilingError(f"memory: repeats={repeats}; expected 1 or more")
    if state().meta:
        raise ProfilingError("memory: under meta() tensors have no data. Leave the block to measure memory.")
    with memory_at_rest():
        holdings = Holdings(subject.model, optimizer)
        return _once(subject, holdings) if repeats == 1 else _take(subject, holdings, repeats)


@contextmanager
def memory_at_rest() -> Iterator[None]:
    """Only the block itself measures memory meanwhile; raises ProfilingError where that goes on already."""
    if not _ONE_AT_A_TIME.acquire(blocking=False):
        raise ProfilingError(
            "memory: another measurement runs in this process (in another thread, or around this one). "
            "Each would measure the other: take them one after the other."
        )
    try:
        yield
    finally:
        _ONE_AT_A_TIME.release()


# ---------------------------------------------------------------- passes


@dataclass(frozen=True)
class _Calls:
    """Traced bytes of several calls: before, at the peak, as each ended, and once its result was dropped."""

    before: Array
    peak: Array
    end: Array
    after: Array

    @classmethod
    def read(cls, table: array[int], calls: int) -> _Calls:
        """The first calls of a table of four numbers each."""
        return cls(*np.array(table[: 4 * calls]).reshape(calls, 4).T)

    @property
    def needs(self) -> Array:
        """Bytes over the baseline at the peak of each call."""
        return self.peak - self.before

    @property
    def levels(self) -> Array:
        """What is live before the first call and after each, as if nothing happened in between."""
        left = np.cumsum(self.after - self.before)
        levels: Array = self.before[0] + np.concatenate([np.zeros(1, np.int64), left])
        return levels


def _take(subject: Subject, holdings: Holdings, repeats: int) -> MemoryUse:
    """All passes: resident size without tracing, then calls that nobody watches, a watched one, sites."""
    with _only_new_objects_collected():
        subject.call()
        settle()
        in_ram = resident(subject.call)
        with _tracing(subject, holdings):
            calls = _calls(subject, repeats)
            settle()
            watcher = MemoryWatcher(holdings)
            watcher.run(subject.call)
            require_tracing(subject.name)
            watched = watcher.found()
        sites, lines, notes = _sites(subject, holdings, int(calls.needs.max()))
    found = _put_together(subject, holdings, calls, watched, in_ram)
    if grows(calls.levels) is None:
        notes = (*notes, f"growth: {len(calls.before)} calls left too little to tell a leak from caches")
    return replace(found, timeline=found.timeline if watched.ops else lines, sites=sites, notes=notes)


def _once(subject: Subject, holdings: Holdings) -> MemoryUse:
    """A single call, watched and traced, with the resident size beside."""
    watcher = MemoryWatcher(holdings)
    with _tracing(subject, holdings):
        settle()
        before = tracemalloc.get_traced_memory()[0]
        level = [0]

        def call() -> None:
            watcher.run(subject.call)
            settle()
            level[0] = tracemalloc.get_traced_memory()[0]

        in_ram = resident(call)
        require_tracing(subject.name)
        watched = watcher.found()
    ended = level[0] - watcher.own
    one = (before, before + watched.peak, ended, ended)
    calls = _Calls(*(np.array([value]) for value in one))
    note = "one call: what stays includes caches; whether that grows, and where it lies, is unknown"
    return replace(_put_together(subject, holdings, calls, watched, in_ram), notes=(note,))


@contextmanager
def _tracing(subject: Subject, holdings: Holdings, frames: int = 1) -> Iterator[None]:
    """Have tracemalloc run, and know of what the subject owns; it runs on only if it ran before."""
    if tracemalloc.is_tracing():
        yield
        return
    tracemalloc.start(frames)
    try:
        _renew_pools()
        _announce(subject, holdings)
        yield
    finally:
        tracemalloc.stop()


def _renew_pools() -> None:
    """Have NumPy's pools of small blocks for shapes hold blocks that tracemalloc has seen.

    Else those from before would be replaced by traced ones over some calls, which looks like growth.
    """
    old, new = ([np.empty((0,) * axes) for axes in range(1, 10) for _ in range(8)] for _ in range(2))
    new.clear()
    old.clear()


def _announce(subject: Subject, holdings: Holdings) -> None:
    """Have tracemalloc count what was allocated before it ran: when NumPy frees it, that is seen, too."""
    owned = [tensor for _, tensor in (*holdings.parameters(), *holdings.gradients())]
    everything = [*owned, *holdings.state(), *holdings.buffers(), subject.args, subject.kwargs]
    for held in distinct(arrays_in(everything)).values():
        domain = np.lib.tracemalloc_domain if held.flags.owndata else DOMAIN
        track(held.__array_interface__["data"][0], held.nbytes, domain)
    allocations.track_all()


def _calls(subject: Subject, repeats: int) -> _Calls:
    """Call until it is clear whether what stays grows; the first call, which fills caches, is not counted."""
    most = max(repeats, LONG)
    looks = {repeats, *(2**power for power in range(3, 6) if 2**power > repeats)}
    table = array("q", bytes(4 * 8 * most))  # taken beforehand: what is noted must not count
    began = 0.0
    measure_call(subject.call, table)
    require_tracing(subject.name)
    for number in range(most):
        if number == repeats:
            began = time.perf_counter()
        if number in looks and grows(_Calls.read(table, number).levels) is not None:
            return _Calls.read(table, number)
        if number > repeats and time.perf_counter() - began > MORE_SECONDS:
            return _Calls.read(table, number)
        measure_call(subject.call, table, 4 * number)
        require_tracing(subject.name)
    return _Calls.read(table, most)


def measure_call(call: Callable[[], Any], table: array[int], at: int = 0) -> None:
    """Make a call and write four levels of traced bytes into the table, from `at` on.

    The bytes live before the call, the most while it ran, those live as it ended with its result still held,
    and those that are left once the result was dropped. `tracemalloc` is running: `get_traced_memory()` gives
    (live, peak), and `reset_peak()` lets the peak start over. Garbage must not count, so `settle()`, which
    collects it, comes before the first reading and before the last. Nothing else may be kept meanwhile: it
    would be counted.
    """
    settle()
    table[at] = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    result = call()
    table[at + 2], table[at + 1] = tracemalloc.get_traced_memory()
    del result
    settle()
    table[at + 3] = tracemalloc.get_traced_memory()[0]


@contextmanager
def _only_new_objects_collected() -> Iterator[None]:
    """Spare the collector the objects from before, so that many collections are quick."""
    if gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _sites(
    subject: Subject, holdings: Holdings, need: int
) -> tuple[tuple[MemorySite, ...], tuple[MemoryPoint, ...], tuple[str, ...]]:
    """Where the peak's memory was allocated, a timeline by lines, and a note where the peak was not found."""
    with _tracing(subject, holdings, FRAMES):
        PeakFinder().run(subject.call)  # code that is followed for the first time gets tables for its lines
        settle()
        finder = PeakFinder()
        finder.run(subject.call)
        require_tracing(subject.name)
        for slack in (0, 10 + finder.index // 100):
            settle()
            viewer = PeakViewer(finder, slack)
            viewer.run(subject.call)
            require_tracing(subject.name)
            if viewer.is_right:
                break
        sites = viewer.sites()
    if finder.peak < 0.9 * need and not finder.is_whole:
        note = f"sites: following lines ended after {finder.events:,} of them, before the peak came"
        return (), finder.timeline(), (note,)
    if not sites and need:
        return (), finder.timeline(), ("sites: the moment of the peak did not come back in another call",)
    return sites, finder.timeline(), ()


# ---------------------------------------------------------------- what the figures say


def _put_together(
    subject: Subject,
    holdings: Holdings,
    calls: _Calls,
    watched: WatchedMemory,
    in_ram: tuple[int | None, int | None],
) -> MemoryUse:
    worst = int(calls.needs.argmax())
    levels = calls.levels
    held = int(calls.end[worst] - calls.before[worst])
    is_one = len(calls.before) == 1
    return MemoryUse(
        baseline=int(calls.before[worst]),
        peak=int(calls.peak[worst]),
        allocated=int(calls.needs[worst]),
        retained=int(np.median(calls.after - calls.before)),
        resident_baseline=in_ram[0],
        resident_peak=in_ram[1],
        pattern="unknown" if is_one else pattern_of(levels, int(calls.needs[worst]), held),
        repeats=len(calls.before),
        slope=None if is_one else trend(levels),
        parameters=sum(by_path(holdings.parameters()).values()),
        gradients=watched.gradients,
        optimizer=sum(array.nbytes for array in distinct(arrays_in(holdings.state())).values()),
        activations=watched.activations,
        temporaries=watched.temporaries,
        modules=watched.modules,
        timeline=watched.timeline,
        buffers=sum(array.nbytes for array in distinct(arrays_in(holdings.buffers())).values()),
    )
