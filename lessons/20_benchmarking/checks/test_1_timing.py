"""Percentiles with intervals, ratios of rounds, and turns."""

import numpy as np
import pytest
from helpers import clock, lane
from scipy.stats import binom

from tinytorch.benchmarking.race import LEAST, race
from tinytorch.errors import ProfilingError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.profiling.significance import paired_ratio
from tinytorch.profiling.statistics import Estimate, inflation, quantile

__all__ = ["clock"]

# ---------------------------------------------------------------- quantile


def enclosing(size, q, confidence=0.95):
    """Ranks, from 1, of the two samples that enclose the quantile."""
    tail = (1 - confidence) / 2
    below = binom.cdf(np.arange(size + 1), size, q)
    return int((below < tail).sum()), int((below < 1 - tail).sum()) + 1


def mixed(n, q=0.5):
    """0 to n - 1 in an order in which neighbours say nothing of each other's side of the quantile."""
    orders = (np.random.default_rng(seed).permutation(n).astype(float) for seed in range(100))
    return next(order.tolist() for order in orders if inflation(order <= np.quantile(order, q)) == 1.0)


@exercise("quantile")
@pytest.mark.parametrize("q", [0.5, 0.9, 0.25])
@pytest.mark.parametrize("n", [101, 202, 399])
def test_two_samples_enclose_it(n, q):
    times = mixed(n, q)
    first, last = enclosing(n, q)
    want = Estimate(float(np.quantile(times, q)), float(first - 1), float(last - 1))
    expect.equal("quantile(times, q)", want)


@exercise("quantile")
def test_confidence_is_asked_for():
    times = mixed(202)
    first, last = enclosing(202, 0.5, 0.5)
    want = Estimate(100.5, float(first - 1), float(last - 1))
    expect.equal("quantile(times, 0.5, confidence=0.5)", want)


@exercise("quantile")
@pytest.mark.parametrize(
    ("n", "q", "low", "high"), [(40, 0.99, True, False), (40, 0.01, False, True), (4, 0.5, False, False)]
)
def test_an_end_that_no_sample_bounds_is_none(n, q, low, high):
    times = mixed(n, q)
    found = expect.value("quantile(times, q)")
    expect.true(
        "(found.low is not None) == low",
        f"the lower end is {'a sample' if low else 'None'}",
        found=found,
        low=low,
    )
    expect.true(
        "(found.high is not None) == high",
        f"the upper end is {'a sample' if high else 'None'}",
        found=found,
        high=high,
    )


@exercise("quantile")
def test_samples_that_are_alike_count_less():
    times = np.repeat(mixed(400), 10).tolist()
    found = expect.value("quantile(times, 0.5)")
    alone = expect.value("quantile(one_by_one, 0.5)", one_by_one=times[::10])
    what = "each time is there ten times in a row, so that 4,000 say as much as 400 do"
    width, usual = found.high - found.low, alone.high - alone.low
    expect.true("0.6 * usual < width < 1.6 * usual", what, width=width, usual=usual)
    expect.true("found.low <= found.value <= found.high", "the estimate lies inside", found=found)


@exercise("quantile")
def test_upside_down_the_ends_change_places():
    times = np.repeat(mixed(40), 10) + np.tile(np.arange(10) / 16, 40)
    found = expect.value("quantile(times, 0.5)")
    turned = expect.value("quantile(-times, 0.5)", times=times)
    expect.equal("(turned.low, turned.high)", (-found.high, -found.low), turned=turned, found=found)


@exercise("quantile")
def test_one_sample_has_no_interval():
    for q in (0.01, 0.5, 0.9):
        expect.equal("quantile([3.0], q)", Estimate(3.0, None, None), q=q)


@exercise("quantile")
def test_two_samples_may_have_one_end():
    expect.equal("quantile([1.0, 2.0], 0.9)", Estimate(1.9, 1.0, None))


@exercise("quantile")
@pytest.mark.parametrize("q", [0.0, 1.0, -0.5, 95.0])
def test_a_share_is_between_0_and_1(q):
    expect.raises("quantile([1.0, 2.0], q)", ProfilingError)


@exercise("quantile")
def test_the_estimate_is_never_outside():
    for n in (5, 6, 7, 12, 30):
        times = mixed(n)
        for q in (0.1, 0.5, 0.8):
            found = expect.value("quantile(times, q)", q=q)
            low = -np.inf if found.low is None else found.low
            high = np.inf if found.high is None else found.high
            expect.true(
                "low <= found.value <= high", "the estimate lies inside", found=found, low=low, high=high
            )


@exercise("quantile")
def test_it_holds_as_often_as_it_says(rng):
    held = 0
    for _ in range(300):
        times = rng.exponential(size=60)
        found = expect.value("quantile(times, 0.5)")
        held += found.low <= np.log(2) <= found.high
    expect.true("held >= 0.9 * 300", "the true median lies inside in 95 of 100 cases or more", held=held)


# ---------------------------------------------------------------- paired_ratio


@exercise("paired_ratio")
def test_drift_that_both_share_cancels(rng):
    drift = np.exp(rng.normal(0, 0.5, 200))
    a, b = 3 * drift, 2 * drift
    found = expect.value("paired_ratio(a, b)")
    expect.close("found.log_ratio", np.log(1.5), 1e-9, 1e-9, found=found)
    expect.close("found.error", 0.0, 0, 1e-9, found=found)


@exercise("paired_ratio")
def test_it_is_a_over_b():
    expect.close("paired_ratio([2.0, 2.2, 2.1], [1.0, 1.1, 1.05]).log_ratio", np.log(2), 1e-9, 1e-9)
    expect.close("paired_ratio([1.0, 1.1, 1.05], [2.0, 2.2, 2.1]).log_ratio", -np.log(2), 1e-9, 1e-9)


@exercise("paired_ratio")
def test_a_single_interruption_counts_little(rng):
    a, b = np.exp(rng.normal(0, 0.01, 50)), np.exp(rng.normal(0, 0.01, 50))
    a[7] = 400.0
    expect.close("paired_ratio(a, b).log_ratio", 0.0, 0, 0.02)
    expect.true("paired_ratio(a, b).error < 0.02", "one outlier makes no error bar", a=a)


@exercise("paired_ratio")
def test_the_error_is_that_of_the_differences(rng):
    x, y = rng.normal(0, 0.1, 400), rng.normal(0, 0.1, 400)
    a, b = np.exp(x), np.exp(y)
    found = expect.value("paired_ratio(a, b)")
    expect.close("found.error", np.std(x - y) / 20, 0.25, 0, found=found)
    expect.true("found.freedom > 100", "it has many degrees of freedom", found=found)


@exercise("paired_ratio")
def test_rounds_have_one_time_of_each():
    expect.raises("paired_ratio([1.0, 2.0], [1.0])", ProfilingError)
    expect.raises("paired_ratio([1.0, 0.0], [1.0, 1.0])", ProfilingError)


# ---------------------------------------------------------------- race

QUERIES = 3_000_000


@exercise("race")
@pytest.mark.parametrize("swap", [False, True])
def test_turns(clock, swap):
    said = []
    a, b = lane(clock, [QUERIES], said, "a"), lane(clock, [QUERIES], said, "b")
    expect.value("race(a, b, 3, 'classify', 0, swap)")
    behind = said[2 * 2 :]  # what burst_size asks for
    turns = "".join(behind[::LEAST])
    begin = "baab" if swap else "abba"
    other = "abba" if swap else "baab"
    expect.equal("turns[4:]", begin + other + begin, turns=turns)
    expect.true(
        "sorted(turns[:4]) == ['a', 'a', 'b', 'b']",
        "each has two turns before that do not count",
        turns=turns,
    )
    expect.equal("len(said)", 4 + LEAST * 16, said=said)


@exercise("race")
def test_the_first_begins_unless_swapped(clock):
    said = []
    a, b = lane(clock, [QUERIES], said, "a"), lane(clock, [QUERIES], said, "b")
    expect.value("race(a, b, 1, 'classify', 0)")
    expect.equal("''.join(said[-4 * LEAST :: LEAST])", "abba", said=said, LEAST=LEAST)


@exercise("race")
def test_a_round_is_the_median_of_its_queries(clock):
    costs = [4_000_000, 9_000_000, 5_000_000, 90_000_000]
    a, b = lane(clock, costs), lane(clock, [6_000_000])
    found = expect.value("race(a, b, 4, 'offline', 7)")
    want = [sorted(costs)[1:3] for _ in range(4)]
    expect.close("list(found.first)", [np.mean(pair) * 1e-9 for pair in want], 1e-9, 0, found=found)
    expect.close("list(found.second)", [6e-3] * 4, 1e-9, 0, found=found)
    expect.equal("(found.part, found.process)", ("offline", 7), found=found)


@exercise("race")
def test_both_get_as_many_queries_in_a_turn(clock):
    a, b = lane(clock, [100_000]), lane(clock, [1_000_000])
    expect.value("race(a, b, 5, 'classify', 0)")
    expect.equal("(len(a.queries), len(b.queries))", (200, 200), a=a, b=b)
    expect.equal("set(a.queries)", {100_000}, a=a)
    expect.equal("len(a.rounds)", 5, a=a)


@exercise("race")
def test_the_queries_that_are_reported_are_its_own(clock):
    a, b = lane(clock, [3_000_000]), lane(clock, [5_000_000])
    found = expect.value("race(a, b, 2, 'classify', 1)")
    expect.close("list(found.first_queries)", [3e-3] * 8, 1e-9, 0, found=found)
    expect.close("list(found.second_queries)", [5e-3] * 8, 1e-9, 0, found=found)


@exercise("race")
def test_what_drifts_drifts_for_both(clock):
    slow = [1.0]

    def drifting(cost):
        made = lane(clock, [cost])
        query = made.query

        def later(x):
            clock.now += int(slow[0] * cost) - cost
            slow[0] += 0.01
            return query(x)

        made.query = later
        return made

    a, b = drifting(4_000_000), drifting(2_000_000)
    found = expect.value("race(a, b, 12, 'classify', 0)")
    ratio = float(np.mean(np.array(found.first) / np.array(found.second)))
    expect.close("ratio", 2.0, 0.02, 0, ratio=ratio)


# ---------------------------------------------------------------- what checks need


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield
