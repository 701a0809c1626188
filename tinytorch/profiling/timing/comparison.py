"""Comparison: arms that were timed in turns, a verdict on each, and what differs from process to process."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

import numpy as np

from tinytorch.profiling import statistics, words
from tinytorch.profiling.significance import RatioTest, holm, paired_ratio, ratio_of_runs
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.timing.interleave import Readings
from tinytorch.profiling.timing.stats import Stats, where, wrapped

FASTER, SLOWER, SAME = "faster", "slower", "no difference shown"
LAYOUT = 0.1  # how far from 1 a ratio may be that memory layout alone can make
RANGE, BOUND = 1.349, 1.960  # interquartile range and 97.5th percentile of a normal distribution


@dataclass(frozen=True)
class Verdict:
    """Whether an arm is faster than the first. `ratio` is the first's time over its own: above 1 is faster.

    `level` is what Holm's correction leaves to this arm, and 1 - `level` the confidence of the interval, so
    that it leaves out 1 just where a difference is shown.
    """

    name: str
    versus: str
    ratio: Estimate
    p_value: float
    level: float

    @property
    def word(self) -> str:
        """One of "faster", "slower", "no difference shown"."""
        if not self.p_value < self.level:
            return SAME
        return FASTER if self.ratio.value > 1 else SLOWER

    def __str__(self) -> str:
        """The verdict with its ratio.

        >>> print(Verdict("b", "a", Estimate(1.43, 1.39, 1.47), 0.0, 0.05))
        faster by 1.43x [1.39, 1.47]
        """
        if self.word == SAME:
            return f"{SAME}: {factor(self.ratio)}"
        return f"{self.word} by {factor(self.ratio if self.word == FASTER else inverse(self.ratio))}"


@dataclass(frozen=True)
class Spread:
    """How an arm differs from process to process beside how it differs from run to run, as parts of its time.

    `between`: standard deviation of the processes' medians. `within`: that of the runs of one process, from
    their interquartile range, which outliers leave alone. `chance`: about what `between` would be, were
    processes alike: the error of one median, from its interval. `inside` of `pairs`: how often the median of
    one process fell inside the 95 % interval of the median that another found, over all ordered pairs;
    `expected`: the share of pairs for which it would, were processes alike (not 95 %: both have an error).
    Fewer say that one process does not tell what the next will show.
    """

    between: float
    within: float
    chance: float
    inside: int
    pairs: int
    expected: float


@dataclass(frozen=True, repr=False)
class Comparison:
    """Arms timed in turns. `stats` and `medians` one for each arm, `verdicts` for each but the first.

    `processes` holds what each process measured; with more than one, medians and ratios count each process
    as one sample, and `spreads` has one entry for each arm.
    """

    names: tuple[str, ...]
    processes: tuple[Readings, ...]
    stats: tuple[Stats, ...]
    medians: tuple[Estimate, ...]
    verdicts: tuple[Verdict, ...]
    spreads: tuple[Spread, ...]
    seed: int

    @property
    def verdict(self) -> str:
        """All verdicts in words, as "b: faster by 1.43x [1.39, 1.47]"."""
        return "; ".join(f"{verdict.name}: {verdict}" for verdict in self.verdicts)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the method, and what is doubtful."""
        return (*_method(self), *_doubts(self), *self.stats[0].environment.warnings)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data that JSON can hold."""
        return {
            "seed": self.seed,
            "arms": [
                {"name": name, "median": asdict(median), "inner": [p.inner[i] for p in self.processes]}
                for i, (name, median) in enumerate(zip(self.names, self.medians, strict=True))
            ],
            "verdicts": [asdict(v) | {"word": v.word, "text": str(v)} for v in self.verdicts],
            "spreads": [asdict(spread) for spread in self.spreads],
            "samples": [[list(samples) for samples in process.samples] for process in self.processes],
            "environment": self.stats[0].environment.as_dict(),
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        """The verdict first, then the arms, the spread between processes, and what is doubtful."""
        verdicts = [wrapped(f"{v.name} beside {v.versus}: {v}", 2) for v in self.verdicts]
        lines = [f"spread {text}" for text in _spreads(self)]
        lines += [f"where  {where(self.stats[0].environment)}"]
        lines += [f"note   {text}" for text in self.notes]
        parts = (*verdicts, ["", *_table(self), ""], *(wrapped(line, 7) for line in lines))
        return "\n".join(line for part in parts for line in part).lstrip()


def judged(names: Sequence[str], processes: Sequence[Readings]) -> tuple[Verdict, ...]:
    """A verdict on each arm but the first, all together wrong in at most 5 % of cases (Holm's correction)."""
    tests = [
        ratio_of_runs([paired_ratio(p.samples[0], p.samples[i]) for p in processes])
        for i in range(1, len(names))
    ]
    levels = holm([test.p_value for test in tests])
    return tuple(
        Verdict(name, names[0], test.estimate(1 - level), test.p_value, level)
        for name, test, level in zip(names[1:], tests, levels, strict=True)
    )


def median_of(samples: Sequence[Sequence[float]]) -> Estimate:
    """The median time of an arm: of one process with its order-statistic interval; else over processes.

    >>> median_of([[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]])
    Estimate(value=2.0, low=2.0, high=2.0)
    """
    if len(samples) == 1:
        return statistics.median(samples[0])
    logs = [math.log(float(np.median(values))) for values in samples]
    return ratio_of_runs([RatioTest(log, 0.0, 0.0) for log in logs]).estimate()


def spread_of(samples: Sequence[Sequence[float]]) -> Spread:
    """How the processes' medians of one arm differ, beside its runs; see `Spread`. Two processes or more.

    >>> spread_of([[1.0, 1.1, 0.9] * 9, [2.0, 2.2, 1.8] * 9]).inside
    0
    """
    found = [statistics.median(values) for values in samples]
    medians = np.array([estimate.value for estimate in found])
    centre = float(medians.mean())
    ranges = [float(np.subtract(*np.quantile(values, (0.75, 0.25)))) for values in samples]
    within = float(np.mean(ranges)) / RANGE
    widths = [e.high - e.low for e in found if e.low is not None and e.high is not None]
    chance = math.sqrt(float(np.mean(np.square(widths)))) / (2 * BOUND) if widths else math.nan
    return Spread(
        statistics.deviation(medians) / centre,
        within / centre,
        chance / centre,
        _inside(found),
        len(found) * (len(found) - 1),
        alike_inside(min(map(len, samples))),
    )


@functools.lru_cache(maxsize=64)
def alike_inside(runs: int) -> float:
    """How often the median of `runs` samples falls inside the interval that as many others give.

    By simulation of samples of one distribution, which one does not matter; to two digits.

    >>> 0.8 < alike_inside(30) < 1
    True
    """
    groups = np.random.default_rng(0).random((30, 10, runs))
    return float(np.mean([_inside([statistics.median(row) for row in group]) for group in groups])) / 90


def _inside(found: Sequence[Estimate]) -> int:
    """Of all ordered pairs, those in which the second estimate lies inside the interval of the first."""
    return sum(_holds(interval, other.value) for interval, other in permutations(found, 2))


def inverse(ratio: Estimate) -> Estimate:
    """The ratio the other way round.

    >>> inverse(Estimate(2.0, 1.0, 4.0))
    Estimate(value=0.5, low=0.25, high=1.0)
    """
    low, high = (None if end is None else 1 / end for end in (ratio.high, ratio.low))
    return Estimate(1 / ratio.value, low, high)


def factor(ratio: Estimate) -> str:
    """A ratio with its interval, with more decimals the nearer it is to 1.

    >>> factor(Estimate(1.43, 1.39, 1.47)), factor(Estimate(1.0012, 1.0008, 1.0016))
    ('1.43x [1.39, 1.47]', '1.0012x [1.0008, 1.0016]')
    """
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2f}x"
    width = ratio.high - ratio.low
    decimals = 2
    if width > 0 and ratio.value < 2:
        decimals = min(5, max(2, -math.floor(math.log10(width / 2))))
    return f"{ratio.value:.{decimals}f}x [{ratio.low:.{decimals}f}, {ratio.high:.{decimals}f}]"


def _holds(interval: Estimate, value: float) -> bool:
    above = interval.low is None or interval.low <= value
    return above and (interval.high is None or value <= interval.high)


# ---------------------------------------------------------------- as a person reads it


def _table(comparison: Comparison) -> list[str]:
    """A line for each arm: name, median, p95, CPU time."""
    rows = [["arm", "median", "p95", "CPU"]] + [
        [name, words.timed(median), words.timed(stats.estimate("p95")), words.seconds(stats.cpu)]
        for name, median, stats in zip(comparison.names, comparison.medians, comparison.stats, strict=True)
    ]
    return words.columns(rows, left=range(4))


def _spreads(comparison: Comparison) -> list[str]:
    return [
        f"{name}: between processes {words.percent(s.between)} (chance alone {words.percent(s.chance)}), "
        f"within one {words.percent(s.within)}; a fresh run's median fell inside another's interval in "
        f"{s.inside} of {s.pairs} cases ({s.expected * 100:.0f} % were processes alike)"
        for name, s in zip(comparison.names, comparison.spreads, strict=bool(comparison.spreads))
    ]


def _method(comparison: Comparison) -> list[str]:
    """How the figures came about."""
    rounds = sum(len(process.samples[0]) for process in comparison.processes)
    how = comparison.stats[0].conditions
    count = len(comparison.processes)
    each = f" in {count} fresh processes, each of which counts as one sample" if count > 1 else ""
    inner = [stats.inner for stats in comparison.stats]
    calls = f", runs of {', '.join(f'{n:,}' for n in inner)} calls" if max(inner) > 1 else ""
    found = [
        f"{rounds:,} round{'s' if rounds != 1 else ''}{each}, arms in random order (seed {comparison.seed})"
        f"{calls}, after {how.warmup} to warm up, collector {how.collector}; 95 % intervals"
    ]
    if len(comparison.verdicts) > 1:
        found.append(
            "intervals of the ratios are wider (Holm), so that all verdicts together are wrong in at most 5 %"
        )
    return found


def _doubts(comparison: Comparison) -> list[str]:
    """What makes the comparison doubtful."""
    found = []
    if comparison.verdicts and any(v.ratio.low is None for v in comparison.verdicts):
        found.append("one run shows no difference, whatever it is: ratios need two runs or more")
    close = [v for v in comparison.verdicts if v.word != SAME and abs(math.log(v.ratio.value)) < LAYOUT]
    if len(comparison.processes) == 1 and close:
        found.append(
            "in one process, where code and data happen to lie in memory can alone make a difference of some "
            "percent; repeat with processes=5 to see whether this one stays"
        )
    if 1 < len(comparison.processes) < 4:
        found.append(f"{len(comparison.processes)} processes make wide intervals; 5 or more are better")
    for stats in comparison.stats:
        if stats.min < 10 * stats.conditions.cost:
            found.append(
                f"of each {stats.name}, about {words.seconds(stats.conditions.cost)} are for looping and "
                "calling, whatever is called: the ratio of the work alone is farther from 1"
            )
    if any(process.crowded for process in comparison.processes):
        found.append("another measurement ran in this process at the same time: each measured the other")
    return found
