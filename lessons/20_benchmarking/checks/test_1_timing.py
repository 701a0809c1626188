"""Percentiles with intervals, ratios of rounds, and turns."""

import numpy as np
import pytest
from helpers import clock, lane
from scipy.stats import binom

from tinytorch.benchmarking.events import event
from tinytorch.benchmarking.race import LEAST, race
from tinytorch.benchmarking.result import Interval, Rounds
from tinytorch.benchmarking.score import latencies
from tinytorch.errors import ProfilingError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.profiling.significance import paired_ratio
from tinytorch.profiling.statistics import inflation

__all__ = ["clock"]
SPRINT, DECATHLON = event("mlp_sprint"), event("transformer_decathlon")

# ---------------------------------------------------------------- latencies

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def enclosing(size, q):
    """Ranks, from 1, of the two samples that enclose the quantile in 95 of 100 cases."""
    below = binom.cdf(np.arange(size + 1), size, q)
    return int((below < 0.025).sum()), int((below < 0.975).sum()) + 1


def mixed(n, q=0.5):
    """0 to n - 1 in an order in which neighbours say nothing of each other's side of the quantile."""
    orders = (np.random.default_rng(seed).permutation(n).astype(float) for seed in range(100))
    return next(order for order in orders if inflation(order <= np.quantile(order, q)) == 1.0)


def rounds_of(part, *processes, other=(9e9,)):
    """Rounds of a part: by process, the queries of the second program, beside `other` ones of the first."""
    medians = (1e7,) * 5, (2e7,) * 5
    return [Rounds(part, i, *medians, tuple(other), tuple(queries)) for i, queries in enumerate(processes)]


@exercise("latencies")
@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("n", [160, 399])
def test_two_queries_enclose_a_percentile(name, n):
    q = SHARES[name]
    rounds = rounds_of("classify", mixed(n, q))
    first, last = enclosing(n, q)
    high = float(last - 1) if last <= n else None
    want = Interval(float(np.quantile(np.arange(n), q)), float(first - 1), high)
    expect.equal(
        "latencies(event, rounds, True)[key]", want, event=SPRINT, rounds=rounds, key=f"classify {name}"
    )


@exercise("latencies")
def test_an_end_that_no_query_bounds_is_none():
    rounds = rounds_of("classify", mixed(40, 0.99))
    found = expect.value("latencies(event, rounds, True)", event=SPRINT, rounds=rounds)
    at = found["classify p99"]
    expect.true("at.low is not None and at.high is None", "40 queries bound no p99 from above", at=at)
    alone = rounds_of("classify", [3.0])
    found = expect.value("latencies(event, rounds, True)", event=SPRINT, rounds=alone)
    expect.equal("set(found.values())", {Interval(3.0, None, None)}, found=found)


@exercise("latencies")
@pytest.mark.parametrize("second", [False, True])
def test_each_program_has_its_own(second):
    mine, other = mixed(101), mixed(101) + 1000
    rounds = rounds_of("classify", mine, other=other)
    found = expect.value("latencies(event, rounds, second)", event=SPRINT, rounds=rounds, second=second)
    expect.close("found['classify p50'].value", 50.0 if second else 1050.0, 1e-12, 0, found=found)


@exercise("latencies")
def test_each_part_has_its_own(rng):
    score, generate = rng.permutation(200) + 1.0, rng.permutation(100) + 5000.0
    rounds = rounds_of("score", score) + rounds_of("generate", generate)
    rounds += rounds_of("offline", score + 1e5) + rounds_of("control score", score + 1e5)
    rounds = [rounds[i] for i in rng.permutation(len(rounds))]
    found = expect.value("latencies(event, rounds, True)", event=DECATHLON, rounds=rounds)
    expect.equal(
        "sorted(found)", sorted(f"{p} {n}" for p in ("score", "generate") for n in SHARES), found=found
    )
    for part, times in (("score", score), ("generate", generate)):
        for name, q in SHARES.items():
            key = f"{part} {name}"
            expect.close("found[key].value", np.quantile(times, q), 1e-12, 0, found=found, key=key)


@exercise("latencies")
def test_queries_of_all_processes_count():
    times = mixed(303)
    rounds = rounds_of("classify", times[:100], times[100:150], times[150:])
    first, last = enclosing(303, 0.5)
    want = Interval(151.0, float(first - 1), float(last - 1))
    expect.equal("latencies(event, rounds, True)['classify p50']", want, event=SPRINT, rounds=rounds)


@exercise("latencies")
def test_a_slow_process_widens_the_interval():
    quick, slow = mixed(100), mixed(100) + 1000
    apart = rounds_of("classify", quick, quick, slow, slow)
    together = rounds_of("classify", np.stack([quick, slow, quick, slow], 1).ravel())
    found = expect.value("latencies(event, rounds, True)", event=SPRINT, rounds=apart)["classify p90"]
    among = expect.value("latencies(event, rounds, True)", event=SPRINT, rounds=together)["classify p90"]
    what = "queries of one process are alike: 200 of a slow one say less than 200 among quick ones"
    expect.true(
        "found.high is None or found.high - found.low > among.high - among.low",
        what,
        found=found,
        among=among,
    )


@exercise("latencies")
def test_queries_that_are_alike_count_less():
    times = np.repeat(mixed(200), 10)
    found = expect.value("latencies(event, rounds, True)", event=SPRINT, rounds=rounds_of("classify", times))
    alone = expect.value(
        "latencies(event, rounds, True)", event=SPRINT, rounds=rounds_of("classify", times[::10])
    )
    width, usual = (at["classify p50"].high - at["classify p50"].low for at in (found, alone))
    what = "each time is there ten times in a row, so that 2,000 say as much as 200 do"
    expect.true("0.6 * usual < width < 1.6 * usual", what, width=width, usual=usual)


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
