"""The roofline: what this machine can do at most, measured, and where a module stands under it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np

from tinytorch.errors import CheckpointError, ProfilingError
from tinytorch.ops.spec import Array
from tinytorch.profiling.hardware import kernels, machine
from tinytorch.profiling.profile import Roof

MEMORY = "memory"
NOTE_NUMPY = (
    "llvmlite is not installed: the peak is that of BLAS's best product, and bandwidths are those of NumPy's "
    "sums of arrays, both below the machine's own"
)
AGREE = 1.1
_ROUNDS = 12
_TRIES = 3
_SECONDS = 2e-3  # the least length of a reading
_MOST_MEMORY = 512 * 2**20
_PAGE = 4096


@dataclass(frozen=True)
class Placement:
    """Where work stands: the share of its roof that it reached, what bounds it, and the roof it was held to.

    `share`: the time that the roof allows over the time taken. `bound`: "compute", "memory" or "overhead".
    Both are None where the work is not known. `level`: where in memory its data were taken to be.
    """

    share: float | None
    bound: str | None
    level: str | None


def place(
    flops: int | None,
    moved: int,
    seconds: float,
    kernel_seconds: float,
    roof: Roof,
    calls: float = 1,
    working_set: int | None = None,
) -> Placement:
    """Place `flops` and `moved` bytes, done in `seconds`, under the roof.

    The time a roof allows is the larger of FLOPs / peak and bytes / bandwidth: Williams, Waterman, Patterson,
    "Roofline: an insightful visual performance model for multicore architectures", 2009. Bytes are those of
    the algorithm, every tensor in and out once, and so may lie in a cache: the bandwidth is that of the
    nearest level that holds `working_set` (the bytes moved, if not given).

    Work is overhead-bound if less than half of its time went by in kernels (the rest is Python), or if the
    roof allows less than `calls` calls of any kernel cost by themselves. Otherwise it is compute-bound or
    memory-bound, whichever of the two takes longer.

    >>> roof = Roof(100e9, {"L1": 200e9, "memory": 10e9}, 1, sizes={"L1": 32768}, call=5e-7)
    >>> place(2 * 512**3, 12 * 512**2, 0.004, 0.0039, roof)
    Placement(share=0.671..., bound='compute', level='memory')
    """
    if seconds <= 0:
        return Placement(None, None, None)
    in_python = kernel_seconds < seconds / 2
    if flops is None or not (flops or moved):
        return Placement(None, "overhead" if in_python else None, None)
    level = level_of(roof, moved if working_set is None else working_set)
    computing, moving = flops / roof.flops, moved / roof.bandwidths[level]
    allowed = max(computing, moving)
    if in_python or allowed < calls * roof.call:
        bound = "overhead"
    else:
        bound = "compute" if computing >= moving else "memory"
    return Placement(allowed / seconds, bound, level)


def level_of(roof: Roof, working_set: float) -> str:
    """The nearest level of memory that holds so many bytes; the last one, if none does.

    >>> level_of(Roof(1e9, {"L1": 2e9, "memory": 1e9}, 1, sizes={"L1": 32768}), 40_000)
    'memory'
    """
    levels = list(roof.bandwidths)
    return next((name for name in levels if working_set <= roof.sizes.get(name, 0)), levels[-1])


# ---------------------------------------------------------------- measured once, then kept


def measure_roof(threads: int = 1, refresh: bool = False) -> Roof:
    """The roofs of this machine for a number of threads, or all its cores; about a second, then kept.

    The peak comes from independent multiply-adds in registers; the bandwidth of a level from reading it and
    from triads (a = b + s * c, 12 bytes an element), the better of the two. Each is the best of several
    readings, as a roof is a maximum. Kept in the user's cache folder by processor, threads, versions and the
    code that measures; a file that is damaged is measured again. Other work on the machine can spoil a whole
    measurement, so it is repeated at the next calls, the better figures kept, until two agree.
    Raises ProfilingError for threads below 1.
    """
    if threads < 1:
        raise ProfilingError(f"measure_roof: {threads} threads; expected 1 or more")
    threads = min(threads, machine.cores())
    key = machine.key_of(threads, (Path(__file__), Path(kernels.__file__)))
    figures = None if refresh else machine.read_kept("roof", key)
    found = None if figures is None else _sound(figures)
    if found is not None and found.confirmed:
        return found
    roof = _measure(threads) if found is None else better(found, _measure(threads))
    try:
        machine.keep("roof", key, asdict(roof))
    except CheckpointError as error:
        return replace(roof, notes=(*roof.notes, f"measured, but not kept: {error}"))
    return roof


def better(kept: Roof, again: Roof) -> Roof:
    """The better of two measurements, figure by figure; confirmed if none differs by more than `AGREE`.

    >>> slow, fast = Roof(50e9, {"memory": 9e9}, 1), Roof(99e9, {"memory": 8.9e9}, 1)
    >>> found = better(slow, fast)
    >>> found.flops, found.bandwidths, found.confirmed, better(found, fast).confirmed
    (99000000000.0, {'memory': 9000000000.0}, False, True)
    """
    pairs = [(kept.flops, again.flops), *((kept.bandwidths[x], again.bandwidths[x]) for x in kept.bandwidths)]
    return replace(
        kept if kept.flops > again.flops else again,
        flops=max(kept.flops, again.flops),
        bandwidths={level: max(rate, again.bandwidths[level]) for level, rate in kept.bandwidths.items()},
        call=min(kept.call, again.call),
        confirmed=all(max(pair) <= AGREE * min(pair) for pair in pairs),
    )


def _sound(figures: dict[str, Any]) -> Roof | None:
    """The roof that a file holds; None where a figure is missing or cannot be."""
    import msgspec

    try:
        roof = msgspec.convert(figures, Roof)
    except msgspec.ValidationError:
        return None
    numbers = [roof.flops, *roof.bandwidths.values(), *roof.sizes.values(), roof.call]
    levels_fit = [*roof.sizes, MEMORY] == list(roof.bandwidths)
    return roof if levels_fit and all(0 < number < math.inf for number in numbers) else None


# ---------------------------------------------------------------- readings


@dataclass(frozen=True)
class Probe:
    """A loop to time: `run(thread, turns)` does `turns * work` FLOPs or bytes in a thread, on `data`."""

    what: str
    work: float
    run: Callable[[int, int], object]
    data: object = None


def _measure(threads: int) -> Roof:
    """Readings of all probes in turns, so that a disturbance does not fall on one of them alone."""
    levels = machine.caches()
    sizes = {c.level: c.size * -(-threads // c.sharers) for c in levels}
    sets = {c.level: _working_set(levels, i) // min(threads, c.sharers) for i, c in enumerate(levels)}
    sets[MEMORY] = min(max(4 * levels[-1].size, 64 * 2**20), _MOST_MEMORY) // threads
    compiles = machine.can_compile()
    probes = _compiled_probes(threads, sets) if compiles else _numpy_probes(threads, sets)
    rates: list[list[float]] = [[] for _ in probes]
    with ThreadPoolExecutor(threads) as pool:
        turns = [_turns(probe, threads, pool) for probe in probes]
        for _ in range(_ROUNDS):
            for probe, count, found in zip(probes, turns, rates, strict=True):
                found.append(probe.work * count * threads / _timed(probe, count, threads, pool))
    figures, spread = _best([probe.what for probe in probes], rates)
    for outer, inner in pairwise([MEMORY, *reversed(sizes)]):
        figures[inner] = max(figures[inner], figures[outer])  # what is nearer cannot be slower
    peak = figures.pop("flops")
    notes = () if compiles else (NOTE_NUMPY,)
    return Roof(peak, figures, threads, sizes=sizes, spread=spread, call=_cheapest_call(), notes=notes)


def _best(whats: Sequence[str], rates: Sequence[list[float]]) -> tuple[dict[str, float], dict[str, float]]:
    """The best reading of each thing that was measured, and how far the median of its probe is below."""
    best: dict[str, list[float]] = {}
    for what, found in zip(whats, rates, strict=True):
        best[what] = max(best.get(what, [0.0]), found, key=max)
    figures = {what: max(found) for what, found in best.items()}
    return figures, {what: 1 - float(np.median(found)) / max(found) for what, found in best.items()}


def _working_set(levels: tuple[machine.Cache, ...], index: int) -> int:
    """Bytes that one level holds and the one before does not: half of it, a quarter of a large shared one."""
    size = levels[index].size
    inner = levels[index - 1].size if index else size
    return size // 4 if levels[index].sharers > 1 and size >= 16 * inner else size // 2


def _compiled_probes(threads: int, sets: Mapping[str, int]) -> list[Probe]:
    loops = [kernels.compiled(width) for width in kernels.widths()]
    probes = [_peak_probe(loop) for loop in loops]
    memory = [_pages(max(sets.values())) for _ in range(threads)]
    starts = [array.ctypes.data for array in memory]
    for level, size in sets.items():
        probes += _memory_probes(loops[0], level, size, starts, memory)
    return probes


def _peak_probe(loops: kernels.Kernels) -> Probe:
    def multiply_add(thread: int, turns: int) -> object:
        return loops.peak(turns, 0.999, 1e-3)

    return Probe("flops", 2.0 * loops.chains * loops.width, multiply_add)


def _memory_probes(
    loops: kernels.Kernels, level: str, size: int, starts: list[int], memory: list[Array]
) -> list[Probe]:
    # A third of a power of two is no multiple of 4096: the arrays of a triad do not alias in the cache.
    whole, third = (part - part % loops.stride for part in (size, size // 3))

    def read(thread: int, turns: int) -> object:
        return loops.read(starts[thread], whole, turns)

    def triad(thread: int, turns: int) -> None:
        a = starts[thread]
        loops.triad(a, a + third, a + 2 * third, 0.5, third, turns)

    return [Probe(level, float(whole), read, memory), Probe(level, 3.0 * third, triad, memory)]


def _numpy_probes(threads: int, sets: Mapping[str, int]) -> list[Probe]:
    """What stands in where nothing can be compiled: a product, and sums of two arrays into a third."""
    size = 512
    matrix, out = (
        np.ones((size, size), np.float32),
        [np.empty((size, size), np.float32) for _ in range(threads)],
    )

    def product(thread: int, turns: int) -> None:
        for _ in range(turns):
            np.matmul(matrix, matrix, out=out[thread])

    return [
        Probe("flops", 2.0 * size**3, product),
        *(_sum_probe(threads, level, size // 12) for level, size in sets.items()),
    ]


def _sum_probe(threads: int, level: str, elements: int) -> Probe:
    parts = [np.ones((3, elements), np.float32) for _ in range(threads)]

    def add(thread: int, turns: int) -> None:
        a, b, c = parts[thread]
        for _ in range(turns):
            np.add(a, b, out=c)

    return Probe(level, 12.0 * elements, add)


def _pages(size: int) -> Array:
    """Floats of 1 in at least `size` bytes, from the start of a page on: written, so that memory is there."""
    room = np.ones((size + _PAGE) // 4, np.float32)
    return room[-room.ctypes.data % _PAGE // 4 :]


def _turns(probe: Probe, threads: int, pool: ThreadPoolExecutor) -> int:
    """How many turns take long enough to be timed; finding out warms processor and caches up.

    The shortest of some readings counts: one that was interrupted takes long with any number of turns.
    """
    turns = 1
    while (seconds := min(_timed(probe, turns, threads, pool) for _ in range(_TRIES))) < _SECONDS:
        turns = max(2 * turns, int(turns * min(100.0, 1.1 * _SECONDS / max(seconds, 1e-7))))
    return turns


def _timed(probe: Probe, turns: int, threads: int, pool: ThreadPoolExecutor) -> float:
    """Seconds from the moment the first thread begins to that in which the last one ends."""
    if threads == 1:
        start = time.perf_counter()
        probe.run(0, turns)
        return time.perf_counter() - start
    gate = Barrier(threads)

    def one(thread: int) -> tuple[float, float]:
        gate.wait()
        start = time.perf_counter()
        probe.run(thread, turns)
        return start, time.perf_counter()

    spans = list(pool.map(one, range(threads)))
    return max(end for _, end in spans) - min(start for start, _ in spans)


def _cheapest_call() -> float:
    """Seconds of NumPy's sum of two numbers, called from Python: no kernel costs less."""
    a, out = np.ones(1, np.float32), np.empty(1, np.float32)
    readings = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        for _ in range(500):
            np.add(a, a, out=out)
        readings.append((time.perf_counter() - start) / 500)
    return min(readings)


def product_rate(size: int = 1024, rounds: int = 8) -> float:
    """FLOP/s of BLAS's best of several float32 products of `size`: no more than the peak, if that is right.

    It runs on as many threads as `set_num_threads` said.

    >>> product_rate(64, rounds=1) > 0
    True
    """
    matrix = np.random.default_rng(0).random((size, size), np.float32)
    out = np.empty_like(matrix)
    readings = []
    for _ in range(rounds):
        start = time.perf_counter()
        np.matmul(matrix, matrix, out=out)
        readings.append(time.perf_counter() - start)
    return 2 * size**3 / min(readings)
