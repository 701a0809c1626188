"""Whether one thing is faster than another: ratios with intervals, and Holm's correction for several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.errors import ProfilingError
from tinytorch.ops.spec import Array
from tinytorch.profiling.statistics import CONFIDENCE, Estimate, as_samples, inflation

TRIM = 0.2  # of the samples at each end, as Yuen has it


@dataclass(frozen=True)
class RatioTest:
    """The logarithm of a ratio with its standard error and degrees of freedom (0: no error is known)."""

    log_ratio: float
    error: float
    freedom: float

    def estimate(self, confidence: float = CONFIDENCE) -> Estimate:
        """The ratio with its t interval; without one where a single sample leaves nothing to judge it by.

        >>> RatioTest(0.0, 0.0, 10.0).estimate()
        Estimate(value=1.0, low=1.0, high=1.0)
        """
        from scipy.special import stdtrit

        value = math.exp(self.log_ratio)
        if self.freedom <= 0:
            return Estimate(value, None, None)
        half = float(stdtrit(self.freedom, (1 + confidence) / 2)) * self.error if self.error else 0.0
        return Estimate(value, math.exp(self.log_ratio - half), math.exp(self.log_ratio + half))

    @property
    def p_value(self) -> float:
        """How often chance alone gives a ratio at least as far from 1, two-sided.

        >>> RatioTest(0.0, 0.0, 10.0).p_value, RatioTest(0.1, 0.0, 10.0).p_value
        (1.0, 0.0)
        """
        from scipy.special import stdtr

        if self.freedom <= 0 or self.log_ratio == 0:
            return 1.0
        return 2 * float(stdtr(self.freedom, -abs(self.log_ratio) / self.error)) if self.error else 0.0


def paired_ratio(a: Sequence[float] | Array, b: Sequence[float] | Array) -> RatioTest:
    """The ratio a / b of times that were measured in turns: a[i] and b[i] belong to the same round.

    The 20 % trimmed mean of log(a[i] / b[i]), so that drift common to both cancels and single interruptions
    count little, with the standard error of Yuen, "The two-sample trimmed t for unequal population
    variances", 1974, widened for autocorrelation. Raises ProfilingError for lists of different lengths and
    for times that are not above 0.

    >>> found = paired_ratio([2.0, 2.2, 2.1, 1.9], [1.0, 1.1, 1.0, 1.0]).estimate()
    >>> round(found.value, 2), found.low > 1.8, found.high < 2.2
    (2.0, True, True)
    """
    times, others = _logs(a, "ratio"), _logs(b, "ratio")
    if times.size != others.size:
        raise ProfilingError(
            f"ratio: {times.size} times beside {others.size}; paired times come in rounds, one of each"
        )
    return RatioTest(*_trimmed(times - others))


def ratio(a: Sequence[float] | Array, b: Sequence[float] | Array) -> RatioTest:
    """The ratio a / b of times that were measured apart from each other, each list in its own order.

    Trimmed means of the logarithms as in `paired_ratio`, with Welch's degrees of freedom. Drift between the
    two cannot be told from a difference: where it can be had, measure in turns.

    >>> round(ratio([2.0, 2.2, 2.1, 1.9], [1.0, 1.1, 1.0]).estimate().value, 2)
    1.98
    """
    centre, error, freedom = _trimmed(_logs(a, "ratio"))
    other, other_error, other_freedom = _trimmed(_logs(b, "ratio"))
    if min(freedom, other_freedom) <= 0:
        return RatioTest(centre - other, 0.0, 0.0)
    both = math.hypot(error, other_error)
    parts = error**4 / freedom + other_error**4 / other_freedom
    return RatioTest(centre - other, both, both**4 / parts if parts else freedom + other_freedom)


def ratio_of_runs(tests: Sequence[RatioTest]) -> RatioTest:
    """One ratio from the ratios that several fresh processes found, each process counting as one sample.

    >>> tests = [RatioTest(0.1, 0.001, 50.0), RatioTest(0.2, 0.001, 50.0)]
    >>> round(ratio_of_runs(tests).log_ratio, 3), ratio_of_runs(tests).freedom
    (0.15, 1.0)
    """
    if not tests:
        raise ProfilingError("ratio: no processes; expected the ratios of one or more")
    if len(tests) == 1:
        return tests[0]
    values = np.array([test.log_ratio for test in tests])
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    return RatioTest(float(values.mean()), error, float(values.size - 1))


def holm(p_values: Sequence[float], level: float = 1 - CONFIDENCE) -> list[float]:
    """The level each hypothesis is judged at, so that all verdicts together are wrong at most that often.

    Holm, "A simple sequentially rejective multiple test procedure", 1979: the smallest p value at level / m,
    the next at level / (m - 1), until one is not below its level; all larger ones are judged at that level,
    at which they stand as well. An interval of confidence 1 - level leaves out 1 just where Holm rejects.

    >>> [round(level, 4) for level in holm([0.001, 0.5, 0.03])]
    [0.0167, 0.025, 0.025]
    """
    levels = [level] * len(p_values)
    stopped = None
    for place, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        levels[i] = level / (len(p_values) - place) if stopped is None else stopped
        if stopped is None and p_values[i] >= levels[i]:
            stopped = levels[i]
    return levels


def _logs(times: Sequence[float] | Array, what: str) -> Array:
    values = as_samples(times, what)
    if values.min() <= 0:
        raise ProfilingError(f"{what}: a time of {values.min():g} of {values.size}; expected times above 0")
    logs: Array = np.log(values)
    return logs


def _trimmed(values: Array) -> tuple[float, float, float]:
    """The trimmed mean, its standard error and degrees of freedom; those of a plain mean below five."""
    n = values.size
    cut = int(TRIM * n)
    ordered = np.sort(values)
    centre = float(ordered[cut : n - cut].mean())
    if n == 1:
        return centre, 0.0, 0.0
    winsorized = np.clip(values, ordered[cut], ordered[n - cut - 1])
    factor = inflation(winsorized)
    kept = n - 2 * cut
    variance = float(winsorized.var(ddof=1)) * (n - 1) / (kept * (kept - 1))
    return centre, math.sqrt(variance * factor), max(kept / factor - 1, 1.0)
