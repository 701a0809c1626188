"""From measurements to ratios: quality that must be kept, what counts as memory, and what all comes to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinytorch.benchmarking.events import Event
from tinytorch.benchmarking.ratio import Ratio, exact, geometric_mean, held, measured, of_samples
from tinytorch.benchmarking.result import Figures, Interval, Ratios, Rounds
from tinytorch.ops.spec import Array
from tinytorch.profiling import statistics
from tinytorch.profiling.significance import paired_ratio, ratio_of_runs
from tinytorch.quantization.score import hits

LEFT_BEHIND = 8 * 2**20
"""Bytes by which a process may grow beyond what a program plans: what compiling and reading it leave."""
GAP, GAP_SURE = 0.05, 0.02
"""By how much more than the baseline an entry may lose under small changes of the data: as a share of its
quality, found, and at least with 97.5 % confidence. An answer table loses nearly all; int8 codes 0.002."""
FEW = 3
"""Processes of which an interval can be made."""
STEADY = 0.03
"""How far from 1 a program may seem to be beside a copy of itself where a result is published."""


def passes_gate(event: Event, quality: float, baseline: float) -> bool:
    """Whether enough of the baseline's quality is left.

    Of images (`event.kind` is "images") that is at least `event.gate` times the baseline's accuracy; of text
    at most `event.gate` times its bits per byte, of which fewer are better. NaN passes no gate.

    >>> from tinytorch.benchmarking.events import event
    >>> passes_gate(event("mlp_sprint"), 0.886, 0.8942), passes_gate(event("mlp_sprint"), 0.885, 0.8942)
    (True, False)
    """
    if event.kind == "images":
        return quality >= event.gate * baseline
    return quality <= event.gate * baseline


def qualities(event: Event, outputs: Array, labels: Array) -> Array:
    """For each sample 1 for a right answer and 0 for others, or the bits of a byte of text in the mean."""
    if event.kind == "images":
        return hits(outputs, labels)
    bits: Array = np.asarray(outputs, np.float64).mean(1) / np.log(2)
    return bits


def accuracy_ratio(event: Event, entry: Array, baseline: Array) -> Ratio:
    """How many times better the entry's quality is, over the same samples."""
    if event.kind == "images":
        return of_samples(entry, baseline)
    return of_samples(baseline, entry)


def transform_gap(event: Event, entry: tuple[Array, Array], baseline: tuple[Array, Array]) -> Ratio:
    """By how much more an entry gains from plain data than the baseline does, as a ratio above 1.

    entry, baseline: qualities of samples, plain and under small changes. How much each gains is
    `accuracy_ratio(event, plain, changed)`; in logarithms the gap is the difference of both. Their errors
    add up in squares, and it has the fewer degrees of freedom of the two.
    """
    own = accuracy_ratio(event, *entry)
    usual = accuracy_ratio(event, *baseline)
    error = float(np.hypot(own.error, usual.error))
    return Ratio(own.log - usual.log, error, min(own.freedom, usual.freedom))


def knows_by_heart(gap: Ratio) -> bool:
    """Whether a gap is beyond what honest entries show.

    Its logarithm must be above GAP, and that of the lower end of its interval above GAP_SURE: a large gap
    that chance may have made proves nothing, nor does a small one that is certain.

    >>> knows_by_heart(Ratio(0.5, 0.01, 100.0)), knows_by_heart(Ratio(0.01, 0.005, 100.0))
    (True, False)
    """
    low = gap.estimate().low
    return gap.log > GAP and low is not None and math.log(low) > GAP_SURE


def counted_memory(arena: int, resident: int, grown: int) -> int:
    """The bytes that count: what the program plans, or what the process grew by less what any leaves behind.

    >>> counted_memory(100, 200, 1000), counted_memory(100, 200, 2**24)
    (300, 8388608)
    """
    return max(arena + resident, grown - LEFT_BEHIND)


def times_faster(rounds: Sequence[Rounds], part: str) -> Ratio:
    """How many times faster the second is than the first in a part, each process counting as one sample.

    Within a process it is the trimmed mean over its rounds. Where there are fewer than FEW processes each
    round counts by itself, which says nothing of what differs from one process to the next.
    """
    by_process: dict[int, list[Rounds]] = {}
    mine = [one for one in rounds if one.part == part]
    few = len({one.process for one in mine}) < FEW
    for one in mine:
        by_process.setdefault(0 if few else one.process, []).append(one)
    tests = []
    for runs in by_process.values():
        first = [t for run in runs for t in run.first]
        second = [t for run in runs for t in run.second]
        tests.append(paired_ratio(first, second))
    return measured(ratio_of_runs(tests))


def ratios(event: Event, rounds: Sequence[Rounds], entry: Figures, base: Figures, accuracy: Ratio) -> Ratios:
    """All ratios of an entry to the baseline.

    speed: the geometric mean of both scenarios, single queries (of text: scoring and writing) and offline;
    overall: that of speed, memory, size and accuracy, each held between 0.1 and 100.
    """
    single = geometric_mean([times_faster(rounds, part) for part in event.parts])
    offline = times_faster(rounds, "offline")
    speed = geometric_mean([single, offline])
    memory, size = exact(base.memory, entry.memory), exact(base.file, entry.file)
    overall = geometric_mean([held(one) for one in (speed, memory, size, accuracy)])
    return Ratios(single, offline, speed, memory, size, accuracy, overall)


def control(event: Event, rounds: Sequence[Rounds]) -> Ratio:
    """How many times faster a copy of the baseline seems than the baseline: 1, but for noise."""
    return geometric_mean([times_faster(rounds, f"control {part}") for part in (*event.parts, "offline")])


def is_steady(ratio: Ratio) -> bool:
    """Whether a machine measures well enough to publish: a copy is as fast as its original, narrowly.

    >>> [is_steady(Ratio(log, error, 5.0)) for log, error in ((0.01, 0.005), (0.01, 0.05), (0.1, 0.01))]
    [True, False, False]
    """
    found = ratio.estimate()
    assert found.low is not None, "it comes from several samples"
    assert found.high is not None, "it comes from several samples"
    return abs(ratio.log) <= STEADY and float(np.log(found.high / found.low)) / 2 <= 2 * STEADY


def latencies(event: Event, rounds: Sequence[Rounds], second: bool) -> dict[str, Interval]:
    """The p50, p90 and p99 of single queries of one program, with their intervals, by "part percentile".

    They are those of the event's parts, of all processes, one after the other: `statistics.quantile` sees in
    their order how alike they are. Neither rounds, which are medians, nor the control's queries count.
    """
    found = {}
    for part in event.parts:
        runs = [one for one in rounds if one.part == part]
        times = [t for run in runs for t in (run.second_queries if second else run.first_queries)]
        for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
            at = statistics.quantile(times, q)
            found[f"{part} {name}"] = Interval(at.value, at.low, at.high)
    return found


def throughput(event: Event, rounds: Sequence[Rounds], second: bool) -> Interval:
    """Samples a second, offline, with the interval of the median over processes' rounds."""
    runs = [one for one in rounds if one.part == "offline"]
    times = [t for run in runs for t in (run.second if second else run.first)]
    at = statistics.median(times)
    ends = [None if end is None else event.batch / end for end in (at.high, at.low)]
    return Interval(event.batch / at.value, *ends)
