"""Ratios against scipy's Yuen and t tests, Holm by hand, and verdicts by simulation of whole comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.statistics_coverage import Noise, autoregressive, claims, times, verdicts
from tinytorch.errors import ProfilingError
from tinytorch.ops.spec import Array
from tinytorch.profiling.significance import RatioTest, holm, paired_ratio, ratio, ratio_of_runs
from tinytorch.profiling.statistics import Estimate, inflation
from tinytorch.profiling.timing.interleave import schedule

GOLDEN = (math.sqrt(5) - 1) / 2


def strewn(n: int, start: float = 0.0) -> Array:
    """Standard normal scores in an order in which neighbours differ, a little skewed."""
    z = stats.norm.ppf((np.argsort(np.argsort((np.arange(n) + start) * GOLDEN % 1)) + 0.5) / n)
    return z + 0.1 * z**2


NOISES = {"plain": Noise(), "alike": Noise(phi=0.8), "interrupted": Noise(spikes=0.05)}


# ---------------------------------------------------------------- verdicts, by simulation


@pytest.mark.parametrize(
    "noise", [Noise(), Noise(phi=0.8), Noise(spikes=0.05)], ids=["plain", "alike", "spikes"]
)
def test_arms_that_are_the_same_are_seldom_said_to_differ(noise: Noise) -> None:
    assert claims(verdicts((1.0, 1.0), 60, 1000, noise)) <= 0.07


@pytest.mark.parametrize(
    "noise", [Noise(), Noise(phi=0.8), Noise(spikes=0.05)], ids=["plain", "alike", "spikes"]
)
def test_a_difference_of_3_percent_is_found(noise: Noise) -> None:
    found = verdicts((1.0, 1.03), 60, 300, noise)
    assert claims(found, "slower") >= 0.9
    assert claims(found, "faster") == 0
    assert np.mean([v.ratio.low <= 1 / 1.03 <= v.ratio.high for (v,) in found]) >= 0.92  # type: ignore[operator]


def test_of_four_arms_that_are_the_same_seldom_any_is_said_to_differ() -> None:
    found = verdicts((1.0,) * 4, 60, 1000, Noise(), seed=5000)
    assert claims(found) <= 0.07
    uncorrected = np.mean([any(v.p_value < 0.05 for v in trial) for trial in found])
    assert uncorrected > claims(found)


def test_two_lists_measured_apart() -> None:
    rng = np.random.default_rng(2)
    wrong = [ratio(rng.lognormal(0, 0.1, 40), rng.lognormal(0, 0.05, 60)).p_value < 0.05 for _ in range(1000)]
    assert np.mean(wrong) <= 0.07


def test_ratios_of_series_that_are_alike() -> None:
    a, b = np.exp(0.02 * autoregressive(np.random.default_rng(3), 1000, 200, 0.5)).reshape(2, 500, 200)
    assert np.mean([paired_ratio(x, y).p_value < 0.05 for x, y in zip(a, b, strict=True)]) <= 0.08
    assert np.mean([ratio(x, y).p_value < 0.05 for x, y in zip(a, b, strict=True)]) <= 0.08


def test_simulated_times_come_in_the_order_of_the_schedule() -> None:
    found = times((1.0, 2.0), 50, Noise(drift=1.0, size=0.0), seed=7)
    order = schedule(2, 50, 7)
    for r in range(50):
        for place, arm in enumerate(order[r].tolist()):
            assert found.samples[arm][r] == pytest.approx((arm + 1) * (1 + (2 * r + place) / 100))


# ---------------------------------------------------------------- against scipy


@pytest.mark.parametrize(("n", "m"), [(40, 40), (50, 35), (11, 30)])
def test_the_ratio_is_yuens_test_of_the_logarithms(n: int, m: int) -> None:
    a, b = 0.05 * strewn(n), 0.02 + 0.03 * strewn(m, 0.37)
    assert inflation(np.clip(a, *np.quantile(a, (0.2, 0.8)))) == 1
    assert inflation(np.clip(b, *np.quantile(b, (0.2, 0.8)))) == 1
    ours, theirs = ratio(np.exp(a), np.exp(b)), stats.ttest_ind(a, b, equal_var=False, trim=0.2)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.freedom == pytest.approx(theirs.df)
    interval = ours.estimate()
    expected = np.exp(
        stats.trim_mean(a, 0.2)
        - stats.trim_mean(b, 0.2)
        + np.array([-1, 1]) * stats.t.ppf(0.975, theirs.df) * ours.error
    )
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_paired_times_are_judged_by_their_rounds() -> None:
    common = np.exp(np.cumsum(0.1 * strewn(40)))  # a drift that is far larger than the difference
    a, b = common * np.exp(0.01 * strewn(40, 0.4)), 1.02 * common
    found = paired_ratio(a, b)
    assert found.estimate().high is not None
    assert found.log_ratio == pytest.approx(stats.trim_mean(np.log(a / b), 0.2))
    logs = np.log(a / b)
    winsorized = stats.mstats.winsorize(logs, (0.2, 0.2))
    error = math.sqrt(float(np.var(winsorized, ddof=1)) * 39 / (24 * 23))
    assert found.error == pytest.approx(error * math.sqrt(inflation(np.asarray(winsorized))))
    assert found.freedom == pytest.approx(24 / inflation(np.asarray(winsorized)) - 1)
    assert found.p_value < 1e-4
    assert ratio(a, b).p_value > 0.2


def test_a_few_pairs_are_a_plain_t_test() -> None:
    a, b = np.array([2.0, 2.2, 2.1, 1.9]), np.array([1.0, 1.1, 1.0, 1.0])
    found, expected = paired_ratio(a, b), stats.ttest_1samp(np.log(a / b), 0)
    assert found.p_value == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    estimate = found.estimate()
    assert (estimate.low, estimate.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_processes_count_as_one_sample_each() -> None:
    logs = [0.1, 0.12, 0.07, 0.11, 0.2]
    found = ratio_of_runs([RatioTest(log, 0.001, 99.0) for log in logs])
    expected = stats.ttest_1samp(logs, 0)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.freedom == 4
    assert ratio_of_runs([RatioTest(0.1, 0.02, 9.0)]) == RatioTest(0.1, 0.02, 9.0)
    with pytest.raises(ProfilingError, match="no processes"):
        ratio_of_runs([])


# ---------------------------------------------------------------- without error, without interval


def test_ratios_of_one_sample_have_no_interval() -> None:
    for found in (paired_ratio([2.0], [1.0]), ratio([2.0], [1.0, 1.1])):
        assert found.p_value == 1
        assert found.estimate().low is found.estimate().high is None
    assert paired_ratio([2.0], [1.0]).estimate() == Estimate(pytest.approx(2.0), None, None)


def test_ratios_without_noise_are_certain() -> None:
    assert paired_ratio([2.0] * 9, [1.0] * 9).p_value == 0
    assert paired_ratio([2.0] * 9, [1.0] * 9).estimate().low == pytest.approx(2.0)
    assert ratio([1.0] * 9, [1.0] * 5).p_value == 1


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        ([1.0, 2.0], [1.0], "one of each"),
        ([1.0, 0.0], [1.0, 1.0], "times above 0"),
        ([1.0, 1.0], [1.0, -1.0], "times above 0"),
        ([], [], "expected"),
        ([math.nan], [1.0], "finite"),
    ],
)
def test_times_that_cannot_be_compared(a: list[float], b: list[float], word: str) -> None:
    with pytest.raises(ProfilingError, match=word):
        paired_ratio(a, b)


# ---------------------------------------------------------------- Holm


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.05 / 3, 0.025, 0.025, 0.05 / 4])
    assert holm([0.04]) == pytest.approx([0.05])
    assert holm([]) == []
    assert holm([0.2, 0.001], level=0.1) == pytest.approx([0.1, 0.05])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_adjusted_p_values_reject(p_values: list[float]) -> None:
    order = np.argsort(p_values, kind="stable")
    m, running, adjusted = len(p_values), 0.0, [0.0] * len(p_values)
    for place, i in enumerate(order.tolist()):
        running = max(running, min(1.0, (m - place) * p_values[i]))
        adjusted[i] = running
    levels = holm(p_values)
    for p, level, holms in zip(p_values, levels, adjusted, strict=True):
        if abs(holms - 0.05) > 1e-12:
            assert (p < level) == (holms < 0.05)


@given(st.floats(-0.2, 0.2), st.floats(0.001, 0.1), st.floats(1, 50), st.floats(0.005, 0.2))
def test_an_interval_leaves_out_1_just_where_the_p_value_is_below_the_level(
    log: float, error: float, freedom: float, level: float
) -> None:
    test = RatioTest(log, error, freedom)
    found = test.estimate(1 - level)
    assert found.low is not None
    assert found.high is not None
    if abs(test.p_value - level) > 1e-9:
        assert (test.p_value < level) == (not found.low <= 1 <= found.high)
