"""Ratios to a baseline, with what is known of their error; all others of TinyMLPerf are made of these."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from tinytorch.errors import BenchmarkError
from tinytorch.ops.spec import Array
from tinytorch.profiling.significance import RatioTest
from tinytorch.profiling.statistics import CONFIDENCE, Estimate

EXACT = 1e9
"""Degrees of freedom of what is counted rather than measured."""
LOWEST, HIGHEST = 0.1, 100.0
"""What a ratio counts as at least and at most: no single figure may decide alone."""


class Ratio(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many times better than a baseline: its logarithm, the standard error of that, degrees of freedom.

    >>> Ratio(0.0, 0.0, EXACT).estimate()
    Estimate(value=1.0, low=1.0, high=1.0)
    """

    log: float
    error: float
    freedom: float

    @property
    def value(self) -> float:
        """The ratio itself."""
        return math.exp(self.log)

    def estimate(self, confidence: float = CONFIDENCE) -> Estimate:
        """The ratio with its t interval."""
        return self._test().estimate(confidence)

    @property
    def p_value(self) -> float:
        """How often chance alone gives a ratio at least as far from 1; what is exact differs or does not."""
        return self._test().p_value

    def _test(self) -> RatioTest:
        return RatioTest(self.log, self.error, self.freedom)

    def inverse(self) -> Ratio:
        """The baseline against this one.

        >>> Ratio(0.5, 0.1, 4.0).inverse().log
        -0.5
        """
        return Ratio(-self.log, self.error, self.freedom)


def exact(better: float, baseline: float) -> Ratio:
    """better / baseline of two counts; raises BenchmarkError unless both are above 0.

    >>> round(exact(6, 3).value, 9)
    2.0
    """
    if not (better > 0 and baseline > 0):
        raise BenchmarkError(f"ratio: {better:g} beside {baseline:g}; expected counts above 0")
    return Ratio(math.log(better) - math.log(baseline), 0.0, EXACT)


def measured(test: RatioTest) -> Ratio:
    """The ratio of times as a Ratio; without an error, that of a single run, it has one degree of freedom."""
    return Ratio(test.log_ratio, test.error, max(test.freedom, 1.0))


def held(ratio: Ratio) -> Ratio:
    """The ratio, but at least LOWEST and at most HIGHEST.

    >>> round(held(Ratio(9.0, 0.1, 5.0)).value, 6)
    100.0
    """
    return Ratio(min(max(ratio.log, math.log(LOWEST)), math.log(HIGHEST)), ratio.error, ratio.freedom)


def geometric_mean(ratios: Sequence[Ratio]) -> Ratio:
    """The n-th root of the product of n ratios, with the error that they have together.

    In logarithms it is the mean. The ratios are measured apart, so that errors add up in squares, with Welch
    and Satterthwaite's degrees of freedom: Satterthwaite, "An approximate distribution of estimates of
    variance components", 1946. Raises BenchmarkError for none.

    >>> round(geometric_mean([exact(8, 1), exact(2, 1)]).value, 6)
    4.0
    """
    if not ratios:
        raise BenchmarkError("geometric mean: no ratios; expected one or more")
    n = len(ratios)
    errors = [ratio.error / n for ratio in ratios]
    error = math.sqrt(math.fsum(e * e for e in errors))
    parts = math.fsum(e**4 / r.freedom for e, r in zip(errors, ratios, strict=True))
    freedom = error**4 / parts if parts else EXACT
    return Ratio(math.fsum(r.log for r in ratios) / n, error, freedom)


def of_samples(better: Array, baseline: Array) -> Ratio:
    """The ratio of two means over the same samples, with an error by their differences in pairs.

    better, baseline: (samples,), none below 0 and not all 0. As most samples come out alike for both, the
    error is much smaller than that of either mean. The error is that of the logarithm, to first order.

    >>> found = of_samples(np.array([1.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 1.0]))
    >>> round(found.value, 3), found.error > 0
    (1.5, True)
    """
    a, b = np.asarray(better, np.float64), np.asarray(baseline, np.float64)
    means = float(a.mean()), float(b.mean())
    if min(means) <= 0 or len(a) < 2:
        raise BenchmarkError(f"ratio: means of {means[0]:g} and {means[1]:g} over {len(a)} samples")
    error = float((a / means[0] - b / means[1]).std(ddof=1)) / math.sqrt(len(a))
    return Ratio(math.log(means[0] / means[1]), error, float(len(a) - 1))
