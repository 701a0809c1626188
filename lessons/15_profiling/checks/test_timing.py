"""The timer: a stopwatch, enough calls in a run, warm-up and runs, and how sure a percentile is."""

import gc
import math
from itertools import accumulate, pairwise

import pytest
from helpers import Calls, Clocks, collections_noted, quick_collector

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.profiling import Timer
from tinytorch.profiling.statistics import order_ranks
from tinytorch.profiling.timing.stats import LEAST
from tinytorch.profiling.timing.timer import Stopwatch, calls_needed, resolution, timed_runs

# ---------------------------------------------------------------- the stopwatch


@exercise("Stopwatch.time")
def test_a_call_is_timed_between_two_readings():
    clocks = Clocks()
    watch = Stopwatch(clocks.wall, clocks.cpu)
    expect.equal("watch.time(lambda: clocks.work(1500, 400))", "1500 ns of work")
    expect.close("watch.samples", [1507e-9], 1e-9, 0)  # 1500, and one reading of the clock
    expect.close("watch.cpu", [400e-9], 1e-9, 0)


@exercise("Stopwatch.time")
def test_samples_stand_in_order():
    clocks = Clocks()
    watch = Stopwatch(clocks.wall, clocks.cpu)
    for wall, cpu in ((3_000_000, 1000), (20, 0), (700, 650)):
        expect.value("watch.time(lambda: clocks.work(wall, cpu))")
    expect.close("watch.samples", [3.000007e-3, 27e-9, 707e-9], 1e-9, 0)
    expect.close("watch.cpu", [1000e-9, 0.0, 650e-9], 1e-9, 0)


@exercise("Stopwatch.time")
def test_a_call_that_raises_leaves_no_sample():
    clocks = Clocks()
    watch = Stopwatch(clocks.wall, clocks.cpu)
    expect.value("watch.time(lambda: clocks.work(10, 1))")
    expect.raises("watch.time(lambda: 1 // 0)", ZeroDivisionError)
    expect.equal("len(watch.samples), len(watch.cpu)", (1, 1))


@exercise("Stopwatch.time")
def test_the_call_is_made_once():
    made = []
    watch = Stopwatch()
    expect.value("watch.time(lambda: made.append(1))")
    expect.equal("made", [1])


# ---------------------------------------------------------------- calls in a run


@exercise("calls_needed")
@pytest.mark.parametrize("cost", [3, 50, 999, 12_345])
def test_a_run_is_long_enough_and_no_longer_than_need_be(cost):
    loop = Calls(cost)
    inner, seconds = expect.value("calls_needed(loop, 1e-4)")
    expect.true(
        "inner * cost >= 100_000 - 1", "a run of that many calls takes 100 us", inner=inner, cost=cost
    )
    most = math.ceil(100_000 / cost) + 1
    expect.true(
        "inner <= most", "a run has as many calls as the reading asks for, not more", inner=inner, most=most
    )
    expect.close("seconds", cost * 1e-9, 1e-6, 0, seconds=seconds)


@exercise("calls_needed")
def test_one_call_that_is_long_enough_stays_alone():
    loop = Calls(200_000)
    inner, seconds = expect.value("calls_needed(loop, 1e-4)")
    expect.equal("inner", 1, inner=inner)
    expect.close("seconds", 2e-4, 1e-9, 0, seconds=seconds)
    expect.equal("loop.asked", [1, 1, 1])


@exercise("calls_needed")
def test_the_shortest_of_three_readings_counts():
    loop = Calls(1_000, late=(10**9, 0, 10**9))
    inner, _ = expect.value("calls_needed(loop, 1e-4)")
    expect.true("inner >= 100", "readings that something disturbed do not count", inner=inner)
    loop = Calls(1_000, late=(10**9, 10**9, 0))
    inner, _ = expect.value("calls_needed(loop, 1e-4)")
    expect.true("inner >= 100", "readings that something disturbed do not count", inner=inner)
    loop = Calls(1_000)
    expect.value("calls_needed(loop, 1e-4)")
    expect.true("len(loop.asked) % 3 == 0", "each number of calls is tried three times")


@exercise("calls_needed")
def test_at_most_ten_times_as_many_calls_are_tried_next():
    loop = Calls(2, step=100)  # 0 until fifty calls are made
    expect.value("calls_needed(loop, 1e-4)")
    tried = loop.asked[::3]
    grown = all(a < b <= 10 * a for a, b in pairwise(tried))
    expect.true("grown", f"each number tried is larger, at most ten times: {tried}", grown=grown)


@exercise("calls_needed")
def test_a_reading_of_nothing_is_no_division_by_zero():
    loop = Calls(1, step=1_000)
    inner, seconds = expect.value("calls_needed(loop, 2e-5)")
    expect.true("inner >= 20_000", "a run takes 20 us", inner=inner)
    expect.true("0 < seconds < 1e-6", "a call takes some time, and little", seconds=seconds)


# ---------------------------------------------------------------- runs


@exercise("timed_runs")
def test_warm_up_does_not_count():
    loop = Calls(40, late=(10**6, 10**6))
    watch, inner = expect.value("timed_runs(loop, 2, 3, 5)")
    expect.equal("loop.asked", [1, 1, 5, 5, 5])
    expect.equal("inner", 5, inner=inner)
    expect.close("watch.samples", [40e-9] * 3, 1e-6, 0, watch=watch)
    expect.equal("len(watch.cpu)", 3, watch=watch)


@exercise("timed_runs")
def test_short_calls_share_a_run():
    loop = Calls(1)
    watch, inner = expect.value("timed_runs(loop, 1, 4)")
    expect.true(
        "inner * 1e-9 >= least * 0.999", "a run is long enough", inner=inner, least=LEAST * resolution()
    )
    expect.equal("loop.asked[-4:]", [inner] * 4)
    expect.equal("len(watch.samples)", 4, watch=watch)


@exercise("timed_runs")
def test_two_runs_are_enough_to_share_calls():
    loop = Calls(1)
    _, inner = expect.value("timed_runs(loop, 1, 2)")
    expect.true("inner > 1", "short calls share a run where there are two runs or more", inner=inner)


@exercise("timed_runs")
def test_without_warm_up_or_for_one_run_nothing_else_is_called():
    for warmup, runs in ((0, 1), (0, 3), (2, 1)):
        loop = Calls(1)
        _, inner = expect.value("timed_runs(loop, warmup, runs)")
        expect.equal("inner, loop.asked", (1, [1] * (warmup + runs)), inner=inner)


@exercise("timed_runs")
@pytest.mark.parametrize(("policy", "on"), [("off", False), ("collect", False), ("on", True)])
def test_the_collector_rests_unless_told(policy, on):
    loop = Calls(10)
    expect.value("timed_runs(loop, 1, 3, 2, policy)")
    expect.equal("loop.collector_ran", [on] * 4)
    expect.true("gc.isenabled()", "afterwards the collector is on again", gc=gc)


@exercise("timed_runs")
def test_by_default_the_collector_rests():
    loop = Calls(10)
    expect.value("timed_runs(loop, 0, 2, 1)")
    expect.equal("loop.collector_ran", [False, False])


@exercise("timed_runs")
@pytest.mark.parametrize(("policy", "collections"), [("collect", 4), ("off", 1), ("on", 0)])
def test_collections_come_before_the_runs(policy, collections):
    loop = Calls(10)
    with collections_noted(loop.events):
        expect.value("timed_runs(loop, 0, 3, 2, policy)")
    between = ["collection"] if policy == "collect" else []
    first = ["collection"] * (collections - 3 * len(between))
    wanted = first + ([*between, "run"]) * 3
    expect.equal("loop.events", wanted)


@exercise("timed_runs")
def test_an_error_passes_through_and_the_collector_is_as_before():
    def broken(times):
        raise OSError("no such luck")

    expect.raises("timed_runs(broken, 1, 3)", OSError, "no such luck", broken=broken)
    expect.true("gc.isenabled()", "afterwards the collector is on again", gc=gc)


@exercise("timed_runs", "order_ranks")
def test_a_timer_runs_a_function_as_often_as_it_says():
    made = []
    stats = expect.value("Timer().measure(made.append, warmup=2, runs=5, args=(1,), inner=3)")
    expect.equal("len(made), len(stats.samples)", (2 + 5 * 3, 5), stats=stats)


# ---------------------------------------------------------------- order statistics


def ranks(size, q, confidence):
    """The two ranks, by adding up binomial probabilities."""
    chances = [math.comb(size, k) * q**k * (1 - q) ** (size - k) for k in range(size + 1)]
    below = list(accumulate(chances))
    tail = (1 - confidence) / 2
    lower = next(k for k in range(size + 1) if below[k] >= tail)
    upper = next((k for k in range(size + 1) if below[k] >= 1 - tail), size)
    return lower, upper + 1


@exercise("order_ranks")
@pytest.mark.parametrize("size", [1, 2, 7, 10, 36, 100, 367, 368])
@pytest.mark.parametrize("q", [0.5, 0.25, 0.9, 0.99])
def test_ranks_enclose_a_quantile(size, q):
    expect.equal("order_ranks(size, q, 0.95)", ranks(size, q, 0.95))
    expect.equal("order_ranks(size, q, 0.8)", ranks(size, q, 0.8))


@exercise("order_ranks")
def test_ranks_in_tables():
    expect.equal("order_ranks(10, 0.5)", (2, 9))  # P = 0.979: Conover, "Practical nonparametric statistics"
    expect.equal("order_ranks(5, 0.5)", (0, 6))  # five samples bound no median at 95 %
    expect.equal("order_ranks(368, 0.99)[1] <= 368, order_ranks(367, 0.99)[1] <= 367", (True, False))


@exercise("order_ranks")
def test_more_confidence_takes_a_wider_interval():
    expect.true("order_ranks(50, 0.5, 0.99)[0] < order_ranks(50, 0.5, 0.8)[0]", "the lower rank is lower")
    expect.true("order_ranks(50, 0.5, 0.99)[1] > order_ranks(50, 0.5, 0.8)[1]", "the upper rank is higher")


@exercise("order_ranks")
def test_ranks_serve_an_interval(rng):
    from tinytorch.profiling.statistics import quantile

    samples = [float(i) for i in rng.permutation(101)]
    low, high = ranks(101, 0.5, 0.95)
    found = expect.value("quantile(samples, 0.5)")
    wide = found.low <= low - 1 + 1e-9 and found.high >= high - 1 - 1e-9
    expect.true("wide", "the interval of the median reaches at least from rank to rank", wide=wide)
