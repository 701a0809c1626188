"""Estimates with intervals from samples in the order they were measured, neighbours alike or not."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.errors import ProfilingError
from tinytorch.ops.spec import Array

CONFIDENCE = 0.95
_FEWEST = 8  # samples from which an autocorrelation is estimated


@dataclass(frozen=True)
class Estimate:
    """A value with a confidence interval; an end of None is one that the sample is too small to bound."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Outliers:
    """How many samples lie beyond Tukey's fences: 1.5 (mild) and 3 (severe) interquartile ranges out."""

    mild: int
    severe: int


def as_samples(samples: Sequence[float] | Array, what: str) -> Array:
    """The samples as float64 (n,); raises ProfilingError where there is none or one is not finite.

    >>> as_samples([1, 2], "mean")
    array([1., 2.])
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ProfilingError(f"{what}: samples of shape {values.shape}; expected a list of one or more")
    if not np.isfinite(values).all():
        bad = values[~np.isfinite(values)][0]
        raise ProfilingError(f"{what}: {bad} among {values.size} samples; expected finite numbers")
    return values


def inflation(samples: Sequence[float] | Array) -> float:
    """By how much autocorrelation inflates the variance of a mean: 1 for independent samples, or more.

    The integrated autocorrelation time, with lags cut where Geyer's initial monotone sequence ends: Geyer,
    "Practical Markov chain Monte Carlo", 1992. The sample's own mean makes autocovariances too small by about
    the variance of that mean, which is put back (once).

    >>> inflation([1.0, 2.0] * 50), inflation([1.0] * 50 + [2.0] * 50) > 10
    (1.0, True)
    """
    values = as_samples(samples, "autocorrelation")
    n = values.size
    centred = values - values.mean()
    scale = float(np.abs(centred).max())
    if n < _FEWEST or scale <= 1e-12 * float(np.abs(values).max()):
        return 1.0
    covariances = _autocovariances(centred / scale)
    time = _integrated(covariances / covariances[0])
    correction = covariances[0] * max(time, 0.0) / n
    return min(max(1.0, _integrated((covariances + correction) / (covariances[0] + correction))), n / 2)


def effective_size(samples: Sequence[float] | Array) -> float:
    """How many independent samples would say as much about the mean as these.

    >>> effective_size([1.0, 2.0] * 50)
    100.0
    """
    return len(samples) / inflation(samples)


def mean(samples: Sequence[float] | Array, confidence: float = CONFIDENCE) -> Estimate:
    """The mean with a t interval for the effective number of samples, corrected for skewness.

    Times are skewed to the right, which makes the plain t interval miss too often on the upper side. The
    correction is the cubic one of Hall, "On the removal of skewness by transformation", 1992. One sample
    has no interval.

    >>> mean([1.0, 2.0, 3.0])
    Estimate(value=2.0, low=-0.48..., high=4.48...)
    >>> mean([1.0])
    Estimate(value=1.0, low=None, high=None)
    """
    values = as_samples(samples, "mean")
    centre = float(values.mean())
    if values.size == 1:
        return Estimate(centre, None, None)
    size = max(effective_size(values), 2.0)
    deviation = float(values.std(ddof=1))
    if deviation <= 1e-15 * abs(centre):
        return Estimate(centre, centre, centre)
    skewness = float((((values - centre) / deviation) ** 3).mean())
    bound = _student(confidence, size - 1)
    error = deviation / math.sqrt(size)
    return Estimate(
        centre,
        centre - error * _unskewed(bound, skewness, size),
        centre - error * _unskewed(-bound, skewness, size),
    )


def mean_time(samples: Sequence[float] | Array, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of times, as `mean` has it; no end of its interval is below 0.

    >>> mean_time([0.1, 5.0, 0.1]).low
    0.0
    """
    found = mean(samples, confidence)
    return Estimate(found.value, None if found.low is None else max(found.low, 0.0), found.high)


def quantile(samples: Sequence[float] | Array, q: float, confidence: float = CONFIDENCE) -> Estimate:
    """The q-quantile with an interval between two order statistics, free of any distribution.

    The number of samples below the true quantile is binomial(n, q), so two order statistics enclose it with
    at least the stated confidence if the samples are independent: Hahn and Meeker, "Statistical intervals",
    1991, section 5.2. Where "below or above" is autocorrelated, n is the effective number of samples and the
    ranks are spread accordingly. The estimate is NumPy's (linear between order statistics). One sample has
    no interval.

    >>> quantile([37 * i % 101 for i in range(1, 101)], 0.99)
    Estimate(value=99.01, low=97.0, high=None)
    """
    if not 0 < q < 1:
        raise ProfilingError(f"quantile: q is {q}; expected a number between 0 and 1, as 0.95 for p95")
    values = as_samples(samples, "quantile")
    n = values.size
    value = float(np.quantile(values, q))
    if n == 1:
        return Estimate(value, None, None)
    size = max(1, int(n / inflation(values <= value) + 1e-9))
    first, last = order_ranks(size, q, confidence)
    ordered = np.sort(values)
    low = min(value, float(ordered[_spread(first, size, n) - 1])) if first >= 1 else None
    high = max(value, float(ordered[n - _spread(size + 1 - last, size, n)])) if last <= size else None
    return Estimate(value, low, high)


def median(samples: Sequence[float] | Array, confidence: float = CONFIDENCE) -> Estimate:
    """The median with its order-statistic interval.

    >>> median([37 * i % 101 for i in range(1, 101)])
    Estimate(value=50.5, low=39.0, high=62.0)
    """
    return quantile(samples, 0.5, confidence)


def deviation(samples: Sequence[float] | Array) -> float:
    """The standard deviation of the samples (n - 1 in the divisor); 0 for one sample.

    >>> deviation([1.0, 3.0]), deviation([1.0])
    (1.414..., 0.0)
    """
    values = as_samples(samples, "deviation")
    return float(values.std(ddof=1)) if values.size > 1 else 0.0


def runs_needed(q: float, inflation: float = 1.0, confidence: float = CONFIDENCE) -> int:
    """The fewest runs with which the interval of the q-quantile has both ends; more where they are alike.

    >>> runs_needed(0.99), runs_needed(0.95), runs_needed(0.99, inflation=3.0)
    (368, 72, 1104)
    """
    tail = (1 - confidence) / 2
    return math.ceil(math.ceil(math.log(tail) / math.log(max(q, 1 - q))) * max(inflation, 1.0))


def outliers(samples: Sequence[float] | Array) -> Outliers:
    """Count samples beyond Tukey's fences ("Exploratory data analysis", 1977); none is ever dropped.

    >>> outliers([1.0, 1.1, 1.2, 1.3, 1.4, 1.8, 9.0])
    Outliers(mild=0, severe=1)
    """
    values = as_samples(samples, "outliers")
    lower, upper = np.quantile(values, (0.25, 0.75))
    beyond = np.maximum(lower - values, values - upper)
    severe = int((beyond > 3 * (upper - lower)).sum())
    return Outliers(int((beyond > 1.5 * (upper - lower)).sum()) - severe, severe)


def slope(values: Sequence[float] | Array, confidence: float = CONFIDENCE) -> Estimate:
    """The linear trend per step of a series, with an interval that allows for autocorrelated residuals.

    >>> slope([1.0, 3.0, 5.0, 7.0])
    Estimate(value=2.0, low=2.0, high=2.0)
    """
    series = as_samples(values, "slope")
    return _line(np.arange(series.size, dtype=np.float64), series, confidence)


def drift(samples: Sequence[float] | Array, confidence: float = 0.99) -> Estimate:
    """By what part of the median the samples change from the first to the last, were the trend a line.

    Samples beyond Tukey's inner fences are drawn in to them, so that one outlier makes no trend.

    >>> round(drift([1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 9.0]).value, 2)
    0.1
    """
    values = as_samples(samples, "drift")
    lower, middle, upper = np.quantile(values, (0.25, 0.5, 0.75))
    reach = 1.5 * (upper - lower)
    steps = values.size - 1
    if steps < 2 or middle <= 0:
        return Estimate(0.0, None, None)
    found = slope(np.clip(values, lower - reach, upper + reach) / middle, confidence)
    ends = (None if end is None else end * steps for end in (found.low, found.high))
    return Estimate(found.value * steps, *ends)


def fit_exponent(
    x: Sequence[float] | Array, y: Sequence[float] | Array, confidence: float = CONFIDENCE
) -> Estimate:
    """The exponent p of y ~ x**p: the slope of log y on log x with a t interval.

    Raises ProfilingError for fewer than two different x, and for what is not above 0.

    >>> round(fit_exponent([1, 2, 4, 8], [3, 12, 48, 192]).value, 6)
    2.0
    """
    xs, ys = as_samples(x, "fit_exponent"), as_samples(y, "fit_exponent")
    if xs.size != ys.size or np.unique(xs).size < 2 or min(xs.min(), ys.min()) <= 0:
        raise ProfilingError(
            f"fit_exponent: {xs.size} x and {ys.size} y; expected as many, all above 0, and two different x"
        )
    return _line(np.log(xs), np.log(ys), confidence, ordered=False)


def amdahl(share: Estimate, factor: float) -> Estimate:
    """The speed-up of the whole where a part with this share of the time runs `factor` times as fast.

    With a share s, 1 / (1 - s (1 - 1 / factor)), for the value and for both ends of the interval, the lower
    one first; an end of None stays None. A share below 0 counts as 0, one above 1 as 1. `factor` may be
    infinite; where nothing of the time is left (1e-12 of it or less) the speed-up is infinite, and an upper
    end that is infinite becomes None. Raises ProfilingError for a factor that is not above 0.
    Amdahl, "Validity of the single processor approach to achieving large scale computing capabilities", 1967.

    >>> amdahl(Estimate(0.5, 0.4, 0.6), 2.0)
    Estimate(value=1.333..., low=1.25, high=1.428...)
    """
    if not factor > 0:
        raise ProfilingError(f"amdahl: a part cannot run {factor} times as fast; expected a number above 0")

    def whole(part: float | None) -> float | None:
        if part is None:
            return None
        rest = 1 - min(max(part, 0.0), 1.0) * (1 - 1 / factor)
        return 1 / rest if rest > 1e-12 else math.inf

    ends = (share.low, share.high) if factor >= 1 else (share.high, share.low)
    low, high, value = whole(ends[0]), whole(ends[1]), whole(share.value)
    assert value is not None
    return Estimate(value, low, None if high == math.inf else high)


def ceiling(share: Estimate) -> Estimate:
    """The speed-up of the whole that no speed-up of this part can exceed: 1 / (1 - share).

    >>> ceiling(Estimate(0.5, 0.2, 0.75))
    Estimate(value=2.0, low=1.25, high=4.0)
    """
    return amdahl(share, math.inf)


def _autocovariances(centred: Array) -> Array:
    """All lags at once by the Fourier transform, divided by n as Geyer does."""
    n = centred.size
    length = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centred, length)
    lags: Array = np.fft.irfft(spectrum * spectrum.conj(), length)[:n] / n
    return lags


def _integrated(correlations: Array) -> float:
    """1 + 2 x the sum of correlations, over pairs of lags that stay positive and do not rise again."""
    even = correlations.size // 2 * 2
    pairs = correlations[:even:2] + correlations[1:even:2]
    negative = np.flatnonzero(pairs <= 0)
    kept = pairs[: negative[0]] if negative.size else pairs
    return 2 * float(np.minimum.accumulate(kept).sum()) - 1 if kept.size else 1.0


def _unskewed(t: float, skewness: float, size: float) -> float:
    """The inverse of Hall's cubic transformation of a t value; t itself where nothing is skewed."""
    root = math.sqrt(size)
    if abs(skewness) < 1e-6:
        return t
    inner = 1 + skewness * (t / root - skewness / (6 * size))
    return 3 * root / skewness * (float(np.cbrt(inner)) - 1)


@functools.lru_cache(maxsize=1024)
def order_ranks(size: int, q: float, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """Which two of `size` sorted samples enclose the true q-quantile with at least this confidence.

    Ranks count from 1; a lower rank of 0 and an upper one of size + 1 mean that no sample bounds that side.
    The number of samples up to the true quantile is binomial(size, q). With tail = (1 - confidence) / 2, the
    lower rank is the smallest k for which that number is k or less with probability tail or more, the upper
    rank one above the smallest k for which it is so with probability 1 - tail or more.

    >>> order_ranks(100, 0.5), order_ranks(367, 0.99), order_ranks(368, 0.99)
    ((40, 61), (359, 368), (360, 368))
    """
    from scipy.stats import binom

    tail = (1 - confidence) / 2
    return int(binom.ppf(tail, size, q)), int(binom.ppf(1 - tail, size, q)) + 1


def _spread(rank: int, size: int, n: int) -> int:
    """A rank among `size` samples as one among n."""
    return max(1, int(rank * n / size))


def _student(confidence: float, freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, freedom))


def _line(x: Array, y: Array, confidence: float, ordered: bool = True) -> Estimate:
    """The slope of y on x; without an interval where two points leave nothing to judge it by."""
    from scipy.stats import linregress

    if x.size < 2:
        raise ProfilingError(f"slope: {x.size} value; expected two or more")
    found = linregress(x, y)
    if x.size == 2:
        return Estimate(float(found.slope), None, None)
    residuals = y - found.intercept - found.slope * x
    factor = inflation(residuals) if ordered else 1.0
    error = float(found.stderr) * math.sqrt(factor)
    half = error * _student(confidence, max((x.size - 2) / factor, 1.0)) if error else 0.0
    return Estimate(float(found.slope), float(found.slope) - half, float(found.slope) + half)
