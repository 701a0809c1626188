"""Stats: the samples of one timed function, what they say, and what makes them doubtful."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from tinytorch.errors import ProfilingError
from tinytorch.profiling import statistics, words
from tinytorch.profiling.environment import Environment
from tinytorch.profiling.statistics import CONFIDENCE, Estimate, Outliers

PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)")
SHOWN = ("p50", "p95", "p99")
LEAST = 100  # times the clock's resolution that a run should take
ALIKE = 2.0  # inflation from which runs are said to resemble their neighbours
WAITING = 0.9  # share of the time with CPU time, below which a function is said to wait
STOLEN = 0.01  # share of the time that a hypervisor took, from which it is said
COLUMNS = 100


class Interval(NamedTuple):
    """The ends of a confidence interval; None for one that the runs cannot bound."""

    low: float | None
    high: float | None


@dataclass(frozen=True)
class Conditions:
    """How the samples came about. Seconds; `cost`: what an empty call takes; `stolen`: by a hypervisor.

    `inner`: calls that one sample is the mean of; `crowded`: whether another measurement ran meanwhile.
    """

    warmup: int
    inner: int
    collector: str
    resolution: float
    cost: float = 0.0
    stolen: float = 0.0
    crowded: bool = False


@dataclass(frozen=True, repr=False)
class Stats:
    """What a timer found. All in seconds for one call; `cpu` is CPU time of all threads of the process.

    `samples` are in the order they were measured; none is ever dropped. `warnings`: what is doubtful.

    >>> from tinytorch.profiling.environment import describe
    >>> stats = Stats("f", (1.0, 2.0, 3.0), 2.0, Conditions(0, 1, "off", 1e-7), describe())
    >>> stats.mean, stats.p50, stats["p95"], stats.ci("p95"), stats.ci("mean").low
    (2.0, 2.0, 2.9, Interval(low=2.0, high=None), 0.0)
    """

    name: str
    samples: tuple[float, ...]
    cpu: float
    conditions: Conditions
    environment: Environment

    @property
    def mean(self) -> float:
        """The mean."""
        return self["mean"]

    @property
    def std(self) -> float:
        """The standard deviation; 0 for one run."""
        return self["std"]

    @property
    def min(self) -> float:
        """The shortest run."""
        return self["min"]

    @property
    def max(self) -> float:
        """The longest run."""
        return self["max"]

    @property
    def p50(self) -> float:
        """The median."""
        return self["p50"]

    @property
    def p95(self) -> float:
        """The time within which 95 % of the runs end."""
        return self["p95"]

    @property
    def p99(self) -> float:
        """The time within which 99 % of the runs end."""
        return self["p99"]

    @property
    def warmup(self) -> int:
        """Calls before the first run that is counted."""
        return self.conditions.warmup

    @property
    def inner(self) -> int:
        """Calls in a run: its sample is their mean."""
        return self.conditions.inner

    @property
    def effective_size(self) -> float:
        """How many independent runs would say as much about the mean."""
        return statistics.effective_size(self.samples)

    @property
    def outliers(self) -> Outliers:
        """How many runs are mild and severe outliers, by Tukey's fences."""
        return statistics.outliers(self.samples)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes these figures doubtful, a sentence each."""
        return (*doubts(self), *self.environment.warnings)

    def __getitem__(self, key: str) -> float:
        """A figure by name: "mean", "std", "min", "max", "median" or a percentile such as "p95", "p99.9"."""
        if key == "std":
            return statistics.deviation(self.samples)
        if key in ("min", "max"):
            return (min if key == "min" else max)(self.samples)
        return self.estimate(key).value

    def ci(self, key: str, confidence: float = CONFIDENCE) -> Interval:
        """The interval of the mean or a percentile, `low, high`; None for an end that nothing bounds."""
        found = self.estimate(key, confidence)
        return Interval(found.low, found.high)

    def estimate(self, key: str, confidence: float = CONFIDENCE) -> Estimate:
        """The mean or a percentile with its interval.

        Raises ProfilingError for another name, and for a confidence that is not between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise ProfilingError(f"confidence {confidence}; expected a number between 0 and 1, as 0.95")
        if key == "mean":
            return statistics.mean_time(self.samples, confidence)
        return statistics.quantile(self.samples, _share(key), confidence)

    def runs_needed(self, key: str) -> int:
        """The runs, as alike as these, that give both ends to the interval of a percentile.

        >>> from tinytorch.profiling.environment import describe
        >>> Stats("f", (1.0, 2.0) * 50, 1.5, Conditions(0, 1, "off", 1e-7), describe()).runs_needed("p99")
        368
        """
        q = _share(key)
        value = self[key]
        return statistics.runs_needed(q, statistics.inflation([s <= value for s in self.samples]))

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data that JSON can hold."""
        return {
            "name": self.name,
            "estimates": {key: asdict(self.estimate(key)) for key in ("mean", *SHOWN)},
            "std": self.std,
            "min": self.min,
            "max": self.max,
            "cpu": self.cpu,
            "effective_size": self.effective_size,
            "outliers": asdict(self.outliers),
            "conditions": asdict(self.conditions),
            "environment": self.environment.as_dict(),
            "warnings": list(self.warnings),
            "samples": list(self.samples),
        }

    def __repr__(self) -> str:
        """The figures with their intervals, how they were measured, and what is doubtful."""
        lines = [self._heading(), *self._figures(), f"  where  {where(self.environment)}"]
        lines += [f"  note   {text}" for text in self.warnings]
        return "\n".join(part for line in lines for part in wrapped(line, 9))

    def _heading(self) -> str:
        runs = f"{len(self.samples):,} run{'s' if len(self.samples) != 1 else ''}"
        calls = f" of {self.inner:,} calls each" if self.inner > 1 else ""
        intervals = ", 95 % intervals" if len(self.samples) > 1 else ""
        return f"{self.name}: {runs}{calls} after {self.warmup:,} to warm up{intervals}"

    def _figures(self) -> list[str]:
        if len(self.samples) == 1:
            return [f"  time   {words.seconds(self.mean)}, CPU {words.seconds(self.cpu)}"]
        odd = self.outliers
        plural = "s" if odd.mild + odd.severe != 1 else ""
        return [
            *(f"  {key:5}  {words.timed(self.estimate(key))}" for key in SHOWN),
            f"  mean   {words.timed(self.estimate('mean'))}, std {words.seconds(self.std)}, "
            f"CPU {words.seconds(self.cpu)}",
            f"  range  {words.seconds(self.min)} to {words.seconds(self.max)}, "
            f"{odd.mild + odd.severe} outlier{plural} ({odd.severe} severe), none dropped",
            f"  worth  {words.figure(self.effective_size)} independent runs; "
            f"collector {self.conditions.collector}",
        ]


def where(surroundings: Environment) -> str:
    """The machine and its state in a line."""
    e = surroundings
    return (
        f"{e.processor}, {e.cores} core{'s' if e.cores != 1 else ''} ({e.affinity}), governor {e.governor}, "
        f"turbo {e.turbo}, load {e.load}, BLAS {e.blas} with {e.blas_threads} threads, "
        f"Python {e.python}, NumPy {e.numpy}"
    )


def doubts(stats: Stats) -> list[str]:
    """What in the samples themselves is doubtful, a sentence each."""
    found = _about_clock(stats) + _about_interference(stats)
    if len(stats.samples) == 1:
        return [*found, "one run: no intervals, and no way to tell how much it varies"]
    return found + _about_order(stats) + _about_number(stats)


def _about_clock(stats: Stats) -> list[str]:
    how, found = stats.conditions, []
    shortest = stats.min * stats.inner
    if shortest < 0.5 * LEAST * how.resolution:
        found.append(
            f"a run takes {words.seconds(shortest)}, only {words.figure(shortest / how.resolution)} times "
            f"the clock's resolution of {words.seconds(how.resolution)}: let inner= calls share a run"
        )
    if 0 < stats.min < 10 * how.cost:
        found.append(f"of each call, about {words.seconds(how.cost)} are for calling, whatever is called")
    if stats.inner > 1:
        found.append(
            f"a run is the mean of {stats.inner:,} calls: percentiles, std and outliers are of such means"
        )
    return found


def _about_interference(stats: Stats) -> list[str]:
    found, wall = [], stats.mean * len(stats.samples) * stats.inner
    if stats.conditions.crowded:
        found.append("another measurement ran in this process at the same time: each measured the other")
    if stats.cpu < WAITING * stats.mean and wall > 0.01:
        found.append(
            f"CPU time is {words.percent(stats.cpu / stats.mean)} of the time: "
            "the function waits, or others had the core"
        )
    if wall and stats.conditions.stolen > STOLEN * wall:
        found.append(
            f"the host of this virtual machine took {words.seconds(stats.conditions.stolen)} of its "
            f"processors' time while {words.seconds(wall)} were measured"
        )
    return found


def _about_order(stats: Stats) -> list[str]:
    """Whether runs resemble their neighbours, or grow longer or shorter from first to last."""
    found, n = [], len(stats.samples)
    drift = statistics.drift(stats.samples)
    if drift.low is not None and drift.high is not None and drift.low * drift.high > 0:
        way = "longer" if drift.value > 0 else "shorter"
        low, high = sorted((abs(drift.low), abs(drift.high)))
        by = words.shared(Estimate(abs(drift.value), low, high))
        found.append(
            f"drift: the last runs are {by} {way} than the first; warm up for longer, or wait until the "
            "machine is calm"
        )
    if statistics.inflation(stats.samples) >= ALIKE:
        found.append(
            f"runs resemble their neighbours: {n:,} say as much as {words.figure(stats.effective_size)} "
            "independent ones; the intervals allow for that"
        )
    return found


def _about_number(stats: Stats) -> list[str]:
    found = []
    for key in SHOWN:
        end = stats.estimate(key)
        if end.high is not None and end.low is not None:
            continue
        independent, needed = statistics.runs_needed(_share(key)), stats.runs_needed(key)
        more = f", or {needed:,} as alike as these" if needed > independent else ""
        side = "upper end" if end.high is None else "lower end"
        found.append(f"{key} has no {side}: that takes {independent:,} independent runs{more}")
    return found


def _share(key: str) -> float:
    """The share of samples below a percentile that is named p50, p95, p99.9, or median."""
    found = PERCENTILE.fullmatch("p50" if key == "median" else key)
    if found is None or not 0 < float(found[1]) < 100:
        raise ProfilingError(
            f"no figure {key!r} with an interval: mean, median, or a percentile such as p95 or p99.9 "
            "(and, without one, std, min, max)"
        )
    return round(float(found[1]) / 100, 12)


def wrapped(line: str, indent: int) -> list[str]:
    """A line in lines that fit, all but the first indented."""
    import textwrap

    return textwrap.wrap(line, COLUMNS, subsequent_indent=" " * indent, break_on_hyphens=False)
