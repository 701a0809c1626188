"""The timer: what it calls and how often, the collector, what its figures are, and what it refuses."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from tinytorch import nn
from tinytorch.errors import ProfilingError
from tinytorch.models import MLP
from tinytorch.profiling import statistics
from tinytorch.profiling.environment import describe
from tinytorch.profiling.timing.arms import call_loop
from tinytorch.profiling.timing.stats import COLUMNS, Conditions, Interval, Stats
from tinytorch.profiling.timing.timer import (
    Stopwatch,
    Timer,
    collector_off,
    cost_of,
    resolution,
    timing_of,
    warm_up,
    whole,
)

GOLDEN = (5**0.5 - 1) / 2


def busy(seconds: float) -> None:
    """Use the processor for so long, and be at it at least as long by the wall clock."""
    end, used = time.perf_counter() + seconds, time.process_time() + seconds
    while time.perf_counter() < end or time.process_time() < used:
        pass


class Counted:
    """A function that counts its calls, and whether the collector was on in them."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.calls: list[bool] = []
        self.seconds = seconds

    def __call__(self) -> None:
        self.calls.append(gc.isenabled())
        busy(self.seconds)


def stats_of(samples: list[float], cpu: float | None = None, **conditions: object) -> Stats:
    """Stats of given samples, in calm surroundings."""
    how = replace(Conditions(3, 1, "off", 1e-7, 1e-8), **conditions)  # type: ignore[arg-type]
    mean = float(np.mean(samples))
    return Stats("f", tuple(samples), mean if cpu is None else cpu, how, replace(describe(), warnings=()))


def strewn(n: int) -> list[float]:
    """1 to n milliseconds in an order in which neighbours differ."""
    return ((np.argsort(np.argsort(np.arange(n) * GOLDEN % 1)) + 1) / 1000).tolist()


@pytest.fixture(params=[True, False], ids=["collector on", "collector off"])
def before(request: pytest.FixtureRequest) -> Iterator[bool]:
    """The collector's state before a measurement, each of both."""
    (gc.enable if request.param else gc.disable)()
    yield request.param
    gc.enable()


# ---------------------------------------------------------------- what is called


def test_a_call_that_takes_long_beside_the_clock_is_a_run() -> None:
    function = Counted(0.002)
    found = Timer().measure(function, warmup=2, runs=5)
    assert len(function.calls) == 7
    assert (len(found.samples), found.warmup, found.inner) == (5, 2, 1)
    assert 0.002 <= found.min <= found.mean <= found.max
    assert found.name == "Counted"


def test_short_calls_share_a_run_and_the_figures_are_of_one() -> None:
    function = Counted()
    found = Timer().measure(function, warmup=3, runs=20)
    assert found.inner > 1
    assert found.p50 * found.inner >= 5 * resolution()
    assert len(function.calls) >= 3 + 20 * found.inner
    assert found.p50 < 1e-4
    assert any(f"mean of {found.inner:,} calls" in text for text in found.warnings)


def test_the_number_of_calls_in_a_run_can_be_given() -> None:
    function = Counted()
    found = Timer().measure(function, warmup=3, runs=4, inner=5)
    assert len(function.calls) == 3 + 4 * 5
    assert found.inner == 5
    slow = Timer().measure(Counted(0.002), warmup=0, runs=5, inner=10)
    assert 0.002 <= slow.min < 0.02  # of a call, not of the ten in a run
    assert 0.0018 < slow.cpu < 0.02


def test_one_run_without_warm_up_calls_once() -> None:
    function = Counted()
    found = Timer().measure(function, warmup=0, runs=1)
    assert len(function.calls) == 1
    assert found.ci("mean") == found.ci("p99") == Interval(None, None)
    assert found.std == 0
    assert found.mean == found.p50 == found.min == found.samples[0]
    assert any("one run: no intervals" in text for text in found.warnings)
    assert "time" in repr(found)


def test_without_warm_up_no_call_goes_uncounted() -> None:
    function = Counted()
    Timer().measure(function, warmup=0, runs=6)
    assert len(function.calls) == 6


def test_warm_up_finds_the_calls_a_run_needs() -> None:
    function = Counted()
    assert warm_up(call_loop(function), 2, calibrated=False)[0] == 1
    assert len(function.calls) == 2
    inner, seconds = warm_up(call_loop(function), 2)
    assert inner * seconds >= 100 * resolution() * 0.99
    assert warm_up(call_loop(Counted(0.001)), 1)[0] == 1


def test_arguments_and_models() -> None:
    given: list[object] = []
    Timer().measure(lambda *a, **k: given.append((a, k)), 0, 2, args=(1, 2), kwargs={"x": 3})
    assert given == [((1, 2), {"x": 3})] * 2
    model = MLP((6, 3))
    for function in (model, model.forward):
        found = Timer().measure(function, warmup=1, runs=3)
        assert found.name == "MLP"
    assert Timer().measure(model.forward, 1, 3, name="mine").name == "mine"
    with pytest.raises(ProfilingError, match="example_input"):
        Timer().measure(nn.Linear(2, 3))


def test_the_cpu_time_of_a_call() -> None:
    used = Timer().measure(Counted(0.004), warmup=0, runs=6)
    assert 0.0036 < used.cpu < 1.1 * used.mean
    waited = Timer().measure(threading.Event().wait, 0, 6, args=(0.005,))
    assert waited.cpu < 0.5 * waited.mean
    assert any("the function waits" in text for text in waited.warnings)


# ---------------------------------------------------------------- the garbage collector


@pytest.mark.parametrize(("policy", "within"), [("off", False), ("collect", False), ("on", None)])
def test_what_the_collector_does_in_the_runs(policy: str, within: bool | None, before: bool) -> None:
    function = Counted()
    found = Timer(policy).measure(function, warmup=1, runs=4)
    assert set(function.calls) == {before if within is None else within}
    assert gc.isenabled() == before
    assert found.conditions.collector == policy


def test_collect_collects_before_each_run() -> None:
    def collections() -> int:
        return gc.get_stats()[2]["collections"]

    seen: list[int] = []
    Timer("collect").measure(lambda: seen.append(collections()), warmup=0, runs=5, inner=1)
    assert np.diff(seen).tolist() == [1] * 4
    seen.clear()
    Timer("off").measure(lambda: seen.append(collections()), warmup=0, runs=5, inner=1)
    assert np.diff(seen).tolist() == [0] * 4


def test_an_error_passes_through_and_the_collector_is_as_it_was(before: bool) -> None:
    def fails() -> None:
        raise LookupError("mine")

    for policy in ("off", "collect", "on"):
        with pytest.raises(LookupError, match="mine"):
            Timer(policy).measure(fails)
        assert gc.isenabled() == before


def test_blocks_that_nest_and_overlap(before: bool) -> None:
    first, second = collector_off(), collector_off()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()  # the second still needs it off
    second.__exit__(None, None, None)
    assert gc.isenabled() == before


# ---------------------------------------------------------------- threads


def test_another_thread_can_measure() -> None:
    found: list[Stats] = []
    thread = threading.Thread(target=lambda: found.append(Timer().measure(Counted(0.001), 1, 5)))
    thread.start()
    thread.join()
    assert len(found[0].samples) == 5
    assert not found[0].conditions.crowded
    assert gc.isenabled()


def test_two_at_the_same_time_are_told_that_they_were() -> None:
    both = threading.Barrier(2, timeout=30)
    found: list[Stats] = []

    def measure() -> None:
        found.append(Timer().measure(lambda: both.wait() and None, warmup=0, runs=3))

    threads = [threading.Thread(target=measure) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [stats.conditions.crowded for stats in found] == [True, True]
    assert any("at the same time" in text for text in found[0].warnings)
    assert gc.isenabled()


def test_a_measurement_within_another() -> None:
    inner: list[Stats] = []
    outer = Timer().measure(lambda: inner.append(Timer().measure(Counted(), 0, 2)), warmup=0, runs=2)
    assert len(inner) == 2
    assert not outer.conditions.crowded
    assert outer.min > inner[0].min


# ---------------------------------------------------------------- stopwatch and timing


def test_a_stopwatch_returns_results_and_keeps_no_sample_of_an_error() -> None:
    clock = Stopwatch()
    assert clock.time(lambda: busy(0.003) or "done") == "done"
    with pytest.raises(ZeroDivisionError):
        clock.time(lambda: 1 / 0)
    assert len(clock.samples) == len(clock.cpu) == 1
    assert clock.samples[0] >= 0.003


def test_the_timing_of_a_stopwatch() -> None:
    clock = Stopwatch()
    clock.samples, clock.cpu = strewn(100), [0.25] * 99 + [0.75]
    found = timing_of(clock, warmup=4)
    assert found.samples == tuple(clock.samples)
    assert (found.warmup, found.min, found.max) == (4, 0.001, 0.1)
    assert found.cpu == pytest.approx(0.255)
    assert found.p95 == statistics.quantile(clock.samples, 0.95)
    assert found.mean == statistics.mean(clock.samples)
    assert found.std == pytest.approx(np.std(clock.samples, ddof=1))
    assert (found.mild_outliers, found.severe_outliers) == (0, 0)
    with pytest.raises(ProfilingError, match="timing"):
        timing_of(Stopwatch(), 0)


def test_the_cost_of_calling_and_the_clock() -> None:
    assert 0 < cost_of(call_loop(lambda: None)) < 1e-3
    assert 0 < resolution() < 1e-2


# ---------------------------------------------------------------- what the figures are


def test_figures_by_name() -> None:
    found = stats_of(strewn(100))
    assert found["mean"] == found.mean == pytest.approx(0.0505)
    assert found["median"] == found.p50 == pytest.approx(0.0505)
    assert (found["min"], found["max"]) == (0.001, 0.1)
    assert found["std"] == found.std == pytest.approx(np.std(found.samples, ddof=1))
    assert (found.p95, found.p99) == pytest.approx((0.09505, 0.09901))
    assert found["p99.9"] == pytest.approx(np.quantile(found.samples, 0.999))
    assert found.ci("p95") == (0.09, 0.1)
    assert found.ci("median") == found.ci("p50") == (0.04, 0.061)
    low, high = found.ci("mean")
    estimate = statistics.mean(found.samples)
    assert (low, high) == (estimate.low, estimate.high)
    wider = found.ci("p50", confidence=0.99)
    assert wider.low is not None
    assert wider.low < 0.04


def test_p99_of_a_hundred_runs_has_no_upper_end() -> None:
    found = stats_of(strewn(100))
    assert found.ci("p99") == (0.097, None)
    assert found.runs_needed("p99") == 368
    assert "p99 has no upper end: that takes 368 independent runs" in found.warnings
    assert "[97.0, -]" in repr(found)
    more = stats_of(strewn(400))
    assert more.ci("p99").high is not None
    assert not any("upper end" in text for text in more.warnings)


def test_runs_that_are_alike_need_more() -> None:
    samples = np.repeat(np.array(strewn(100)), 3).tolist()
    found = stats_of(samples)
    assert found.effective_size < 150
    needed = found.runs_needed("p99")
    assert needed > 368
    text = " ".join(found.warnings)
    assert f"368 independent runs, or {needed:,} as alike as these" in text
    assert "resemble their neighbours" in text


def test_a_low_percentile_lacks_its_lower_end() -> None:
    found = stats_of(strewn(100))
    assert found.ci("p1").low is None
    assert found.ci("p1").high is not None


def test_outliers_are_counted_and_kept() -> None:
    found = stats_of([*strewn(40), 5.0])
    assert (found.outliers.mild, found.outliers.severe) == (0, 1)
    assert found.max == 5.0
    assert len(found.samples) == 41
    assert "1 outlier (1 severe), none dropped" in repr(found)


def test_drift_is_said() -> None:
    samples = (np.array(strewn(80)) * 0.1 + np.linspace(0.1, 0.12, 80)).tolist()
    assert any("drift: the last runs are" in text and "longer" in text for text in stats_of(samples).warnings)
    assert any("shorter" in text for text in stats_of(samples[::-1]).warnings)
    assert not any("drift" in text for text in stats_of(strewn(80)).warnings)


@pytest.mark.parametrize(
    ("conditions", "word"),
    [
        ({"resolution": 1e-3}, "the clock's resolution of 1.00 ms"),
        ({"cost": 0.01}, "about 10.0 ms are for calling"),
        ({"stolen": 0.5}, "took 500 ms of its processors"),
        ({"crowded": True}, "another measurement"),
        ({"inner": 7}, "mean of 7 calls"),
    ],
)
def test_what_is_doubtful(conditions: dict[str, object], word: str) -> None:
    text = " ".join(" ".join(stats_of(strewn(100), **conditions).warnings).split())
    assert word in text
    assert word not in " ".join(stats_of(strewn(100)).warnings)


def test_a_person_can_read_it() -> None:
    found = stats_of(strewn(100), inner=7)
    lines = repr(found).splitlines()
    assert lines[0] == "f: 100 runs of 7 calls each after 3 to warm up, 95 % intervals"
    assert lines[1].split() == ["p50", "50.5", "ms", "[40.0,", "61.0]"]
    assert max(map(len, lines)) <= COLUMNS
    assert found.environment.numpy in repr(found)


def test_figures_go_through_json() -> None:
    found = stats_of(strewn(100))
    read = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert read["samples"] == list(found.samples)
    assert read["estimates"]["p99"] == {"value": found.p99, "low": 0.097, "high": None}
    assert read["environment"] == found.environment.as_dict()
    assert read["conditions"]["resolution"] == 1e-7


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"runs": 0}, "runs=0"),
        ({"runs": -1}, "runs=-1"),
        ({"runs": 2.5}, "runs=2.5"),
        ({"runs": True}, "runs=True"),
        ({"warmup": -1}, "warmup=-1"),
        ({"warmup": "3"}, "warmup='3'"),
        ({"inner": 0}, "inner=0"),
        ({"args": (1,)}, "too many"),
    ],
)
def test_numbers_and_arguments_that_do_not_fit(settings: dict[str, object], word: str) -> None:
    calls: list[int] = []

    def function() -> None:
        calls.append(1)

    with pytest.raises(ProfilingError, match=word):
        Timer().measure(function, **settings)  # type: ignore[arg-type]
    assert not calls
    assert whole("runs", np.int64(3), 1) == 3


@pytest.mark.parametrize("function", [None, 3, "pass", [print]])
def test_what_cannot_be_called(function: Callable[[], object]) -> None:
    with pytest.raises(ProfilingError, match="cannot be called"):
        Timer().measure(function)


def test_policies_and_figures_that_are_none() -> None:
    with pytest.raises(ProfilingError, match="'off', 'collect', 'on'"):
        Timer("sometimes")
    found = stats_of(strewn(20))
    for key in ("p100", "p0", "p", "variance", "p-5", "95", ""):
        with pytest.raises(ProfilingError, match="no figure"):
            found[key]
    for key in ("std", "min", "max"):
        with pytest.raises(ProfilingError, match="no figure"):
            found.ci(key)
    for confidence in (0.0, 1.0, 95.0):
        with pytest.raises(ProfilingError, match="confidence"):
            found.ci("mean", confidence)
