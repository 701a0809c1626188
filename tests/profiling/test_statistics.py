"""Estimates against scipy.stats, exact binomial sums and closed forms; intervals by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import lfilter

from benchmarks.statistics_coverage import SERIES, autoregressive, coverage
from tinytorch.errors import ProfilingError
from tinytorch.ops.spec import Array
from tinytorch.profiling.statistics import (
    Estimate,
    Outliers,
    amdahl,
    as_samples,
    ceiling,
    deviation,
    drift,
    effective_size,
    fit_exponent,
    inflation,
    mean,
    median,
    outliers,
    quantile,
    runs_needed,
    slope,
)

GOLDEN = (math.sqrt(5) - 1) / 2
TIMES = st.lists(st.floats(1e-9, 1e3), min_size=2, max_size=120)


def strewn(n: int) -> Array:
    """The numbers 1 to n in an order in which neighbours differ."""
    return np.argsort(np.argsort(np.arange(n) * GOLDEN % 1)) + 1.0


def at_most(k: int, n: int, q: float) -> float:
    """P(X <= k) for X binomial(n, q), term by term."""
    return math.fsum(math.comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(k + 1))


# ---------------------------------------------------------------- intervals hold the truth


@pytest.mark.parametrize("key", ["mean", "p50", "p95"])
@pytest.mark.parametrize(
    ("kind", "n", "least"),
    [
        ("normal", 100, 0.92),
        ("normal", 300, 0.92),
        ("log-normal", 100, 0.92),
        ("log-normal", 300, 0.92),
        ("AR(1) 0.5", 300, 0.92),
        ("AR(1) 0.8", 300, 0.85),
        ("AR(1) 0.8", 100, 0.85),
    ],
)
def test_intervals_hold_the_truth(kind: str, n: int, least: float, key: str) -> None:
    found = coverage(kind, key, n, trials=1000)
    assert found.held >= least
    if kind != "AR(1) 0.8" and n == 300:
        assert found.open <= 0.02  # an interval without ends would hold anything


@pytest.mark.parametrize("key", ["mean", "p50", "p95"])
def test_intervals_are_no_wider_than_they_have_to_be(key: str) -> None:
    assert coverage("normal", key, 300, trials=1000).held <= 0.99


def test_series_of_the_simulation_are_as_alike_as_they_say() -> None:
    x = autoregressive(np.random.default_rng(0), 200, 500, 0.8)
    assert np.mean(x[:, 1:] * x[:, :-1]) == pytest.approx(0.8, abs=0.03)
    assert x.std() == pytest.approx(1, abs=0.03)
    assert SERIES["log-normal"].truth("mean") == pytest.approx(math.exp(0.5))
    assert SERIES["normal"].truth("p95") == pytest.approx(10 + 1.6448536)


# ---------------------------------------------------------------- quantiles


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("n", [72, 100, 200, 368, 400])
def test_quantile_intervals_are_scipys(n: int, q: float) -> None:
    samples = strewn(n)
    ours, theirs = quantile(samples, q), stats.quantile_test(samples, p=q).confidence_interval(0.95)
    assert ours.low == theirs.low
    assert ours.high == (None if math.isnan(theirs.high) else theirs.high)
    assert ours.value == np.percentile(samples, 100 * q)


@pytest.mark.parametrize("q", [0.05, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [40, 72, 200])
def test_each_tail_is_at_most_a_fortieth_and_not_smaller_than_needed(n: int, q: float) -> None:
    found = quantile(strewn(n), q)  # the k-th smallest is k
    low, high = int(found.low or 0), int(found.high or n + 1)
    assert int(n / inflation(strewn(n) <= found.value)) == n
    assert at_most(low - 1, n, q) <= 0.025
    assert 1 - at_most(high - 1, n, q) <= 0.025
    assert at_most(low, n, q) > 0.025
    assert high == 1 or 1 - at_most(high - 2, n, q) > 0.025


@given(TIMES, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_estimate_is_numpys_and_lies_within_its_interval(times: list[float], q: float) -> None:
    found = quantile(times, q)
    assert found.value == np.quantile(times, q)
    assert found.low is None or found.low <= found.value
    assert found.high is None or found.value <= found.high


def test_how_many_runs_an_upper_end_takes() -> None:
    assert runs_needed(0.99) == 368
    assert runs_needed(0.95) == 72
    assert runs_needed(0.5) == 6
    assert runs_needed(0.01) == 368  # a low percentile lacks its lower end instead
    for q, n in ((0.99, 368), (0.95, 72), (0.5, 6)):
        assert quantile(strewn(n), q).high is not None
        assert quantile(strewn(n - 1), q).high is None
    assert runs_needed(0.99, inflation=2.5) == 920
    assert runs_needed(0.99, inflation=0.1) == 368
    assert runs_needed(0.99, confidence=0.99) == math.ceil(math.log(0.005) / math.log(0.99))


def test_runs_that_come_in_equal_pairs_count_half() -> None:
    rng = np.random.default_rng(8)
    widths = []
    for each in (2, 1):
        found = [quantile(np.repeat(rng.permutation(800 // each), each), 0.5) for _ in range(200)]
        ends = [(e.low, e.high) for e in found]
        widths.append(each * np.mean([high - low for low, high in ends]))  # type: ignore[operator]
    assert widths[0] / widths[1] == pytest.approx(math.sqrt(2), rel=0.05)


def test_an_estimate_between_two_samples_lies_within_its_interval() -> None:
    assert quantile([1.0, 2.0], 0.99) == Estimate(pytest.approx(1.99), pytest.approx(1.99), None)


def test_median_is_the_half_quantile() -> None:
    assert median(strewn(31)) == quantile(strewn(31), 0.5)


# ---------------------------------------------------------------- means, neighbours, outliers


def test_the_mean_interval_of_symmetric_samples_is_students() -> None:
    samples = strewn(40)
    found = mean(samples)
    low, high = stats.t.interval(0.95, 39, samples.mean(), stats.sem(samples))
    assert inflation(samples) == 1
    assert found == Estimate(samples.mean(), pytest.approx(low), pytest.approx(high))
    wider = mean(samples, 0.99)
    assert wider.low == pytest.approx(stats.t.interval(0.99, 39, samples.mean(), stats.sem(samples))[0])


def test_ends_of_skewed_samples_are_where_halls_transform_takes_the_students_ends() -> None:
    samples = np.exp(strewn(60) / 20)
    n, centre = 60, samples.mean()
    skewness = float(((samples - centre) ** 3).mean() / samples.std(ddof=1) ** 3)
    found, bound = mean(samples), float(stats.t.ppf(0.975, n - 1))
    for end, expected in ((found.low, bound), (found.high, -bound)):
        assert end is not None
        t = (centre - end) / stats.sem(samples)
        transformed = t + skewness * t**2 / (3 * math.sqrt(n)) + skewness**2 * t**3 / (27 * n)
        assert transformed + skewness / (6 * math.sqrt(n)) == pytest.approx(expected)


@pytest.mark.parametrize(("phi", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.8, 9.0)])
def test_inflation_is_that_of_the_series(phi: float, expected: float) -> None:
    series = autoregressive(np.random.default_rng(3), 20, 5000, phi)
    assert np.mean([inflation(row) for row in series]) == pytest.approx(expected, rel=0.1)
    assert np.mean([effective_size(row) for row in series]) == pytest.approx(5000 / expected, rel=0.1)


def test_inflation_of_series_that_tell_nothing() -> None:
    assert inflation([3.0] * 50) == 1
    assert inflation([1.0, 2.0, 3.0]) == 1  # too few to tell
    assert inflation([1.0, 2.0] * 50) == 1  # neighbours that differ are not worth more
    assert inflation(np.arange(100.0)) == pytest.approx(50, rel=0.5)
    assert inflation([0.1] * 49 + [0.1 + 1e-17]) == 1


@given(st.floats(1e-9, 1e9), st.floats(0, 1e3))
def test_inflation_does_not_depend_on_units(scale: float, shift: float) -> None:
    series = autoregressive(np.random.default_rng(4), 1, 60, 0.6)[0]
    assert inflation(scale * (series + shift)) == pytest.approx(inflation(series), rel=1e-6)


def test_one_sample_and_equal_samples() -> None:
    assert mean([2.0]) == Estimate(2.0, None, None)
    assert quantile([2.0], 0.5) == Estimate(2.0, None, None)
    assert mean([2.0] * 20) == Estimate(2.0, 2.0, 2.0)
    assert median([2.0] * 20) == Estimate(2.0, 2.0, 2.0)
    assert deviation([2.0]) == 0
    assert deviation([1.0, 2.0, 4.0]) == pytest.approx(np.std([1, 2, 4], ddof=1))


def test_outliers_are_counted_by_tukeys_fences() -> None:
    assert outliers(range(1, 10)) == Outliers(0, 0)
    assert outliers([*range(1, 10), 100.0, -100.0]) == Outliers(0, 2)
    assert outliers([*range(1, 10), 16.0, -7.0]) == Outliers(2, 0)
    assert outliers([5.0]) == Outliers(0, 0)
    lower, upper = np.quantile([*range(1, 10), 13.0], (0.25, 0.75))
    assert (lower, upper) == (3.25, 7.75)  # fences at 14.5 and 21.25, whatever the last one is
    for last, counts in ((14.4, (0, 0)), (14.6, (1, 0)), (21.2, (1, 0)), (21.3, (0, 1))):
        assert outliers([*range(1, 10), last]) == Outliers(*counts)


# ---------------------------------------------------------------- trends


def test_slope_of_independent_residuals_is_scipys() -> None:
    y = 0.3 * np.arange(50) + strewn(50) / 10
    found, line = slope(y), stats.linregress(np.arange(50), y)
    half = stats.t.ppf(0.975, 48) * line.stderr
    assert inflation(y - line.intercept - line.slope * np.arange(50)) == 1
    assert found == Estimate(
        pytest.approx(line.slope), pytest.approx(line.slope - half), pytest.approx(line.slope + half)
    )


def test_slopes_of_series_that_are_alike_hold_the_truth() -> None:
    series = autoregressive(np.random.default_rng(5), 500, 200, 0.5) + 0.01 * np.arange(200)
    found = [slope(row) for row in series]
    held = [e.low <= 0.01 <= e.high for e in found if e.low is not None and e.high is not None]
    assert len(held) == 500
    assert np.mean(held) >= 0.9


def test_slope_of_two_points_has_no_interval_and_of_one_is_none() -> None:
    assert slope([1.0, 3.0]) == Estimate(2.0, None, None)
    with pytest.raises(ProfilingError, match="1 value"):
        slope([1.0])


def test_drift_is_found_and_seldom_where_none_is() -> None:
    rng = np.random.default_rng(6)
    for phi, most in ((0.0, 0.03), (0.5, 0.06)):
        flat = [drift(np.exp(0.02 * row)) for row in autoregressive(rng, 500, 100, phi)]
        assert (
            np.mean([e.low is not None and e.high is not None and e.low * e.high > 0 for e in flat]) <= most
        )
    rising = drift(np.exp(0.01 * autoregressive(rng, 1, 200, 0.0)[0]) * np.linspace(1.0, 1.05, 200))
    assert rising.value == pytest.approx(0.05, abs=0.01)
    assert rising.low is not None
    assert rising.low > 0


def test_an_outlier_makes_no_drift() -> None:
    samples = 1 + 0.001 * strewn(50)
    samples[-1] = 50.0
    found = drift(samples)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert abs(found.value) < 0.05
    assert drift([1.0, 2.0]) == Estimate(0.0, None, None)
    assert drift([0.0, 0.0, 0.0]) == Estimate(0.0, None, None)


def test_exponents() -> None:
    x = np.array([16.0, 32, 64, 128, 256])
    y = 3 * x**1.7 * np.array([1.01, 0.99, 1.0, 1.02, 0.98])
    found, line = fit_exponent(x, y), stats.linregress(np.log(x), np.log(y))
    half = stats.t.ppf(0.975, 3) * line.stderr
    assert found == Estimate(
        pytest.approx(line.slope), pytest.approx(line.slope - half), pytest.approx(line.slope + half)
    )
    assert fit_exponent([1, 2, 4], [5, 5, 5]).value == pytest.approx(0, abs=1e-12)
    assert fit_exponent([1, 2], [5, 20]) == Estimate(pytest.approx(2.0), None, None)


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2], [1]), ([2, 2], [1, 2]), ([0, 1], [1, 2]), ([1, 2], [1, -2]), ([1], [1])]
)
def test_exponents_that_cannot_be_fitted(x: list[float], y: list[float]) -> None:
    with pytest.raises(ProfilingError, match="fit_exponent"):
        fit_exponent(x, y)


# ---------------------------------------------------------------- Amdahl


def test_amdahl_by_hand() -> None:
    share = Estimate(0.73, 0.70, 0.76)
    found = amdahl(share, 2.0)
    assert found.value == pytest.approx(1 / (0.27 + 0.365))
    assert found.low == pytest.approx(1 / 0.65)
    assert found.high == pytest.approx(1 / 0.62)
    most = ceiling(share)
    assert (most.value, most.low, most.high) == pytest.approx((1 / 0.27, 1 / 0.30, 1 / 0.24))
    slower = amdahl(share, 0.5)
    assert slower.value == pytest.approx(1 / 1.73)
    assert slower.low is not None
    assert slower.high is not None
    assert slower.low < slower.value < slower.high


def test_amdahl_where_ends_are_open_or_all_is_one_part() -> None:
    assert ceiling(Estimate(0.5, None, 0.6)) == Estimate(2.0, None, pytest.approx(2.5))
    assert ceiling(Estimate(0.9, 0.8, 1.0)) == Estimate(pytest.approx(10.0), pytest.approx(5.0), None)
    assert amdahl(Estimate(0.5, -0.1, 1.2), 4.0) == Estimate(1 / 0.625, 1.0, 4.0)
    with pytest.raises(ProfilingError, match="0 times as fast"):
        amdahl(Estimate(0.5, 0.4, 0.6), 0)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("samples", [[], [[1.0, 2.0]], [1.0, math.nan], [math.inf], 3.0])
def test_samples_that_are_none(samples: list[float]) -> None:
    for estimate in (mean, median, inflation, outliers, slope, deviation, drift):
        with pytest.raises(ProfilingError, match="expected"):
            estimate(samples)


@pytest.mark.parametrize("q", [0.0, 1.0, 95, -0.1, math.nan])
def test_quantiles_that_are_none(q: float) -> None:
    with pytest.raises(ProfilingError, match="as 0.95 for p95"):
        quantile([1.0, 2.0], q)


def test_samples_become_float64() -> None:
    assert as_samples(np.array([1, 2], np.int32), "x").dtype == np.float64
    assert lfilter([1.0], [1.0, -0.5], [1.0, 0.0]).tolist() == [1.0, 0.5]  # what the simulation rests on
