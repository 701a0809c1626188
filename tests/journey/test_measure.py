"""Percentiles against NumPy and exact binomial sums; latency and breakdowns of work whose ops are known."""

import gc
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch import Tensor, no_grad
from tinytorch.journey.measure import Row, breakdown, filed_under, latency, percentile
from tinytorch.journey.profile import together
from tinytorch.nn import Linear, ReLU, Sequential

TIMES = st.lists(st.floats(0, 1e3), min_size=40, max_size=200)


def at_most(k: int, n: int, q: float) -> float:
    """P(X <= k) for X binomial(n, q), term by term."""
    return math.fsum(math.comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(k + 1))


@given(TIMES, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_estimate_is_numpys_and_lies_within_its_interval(times: list[float], q: float) -> None:
    found = percentile(times, q)
    assert found.value == np.percentile(times, 100 * q)
    assert found.low is None or found.low <= found.value
    assert found.high is None or found.value <= found.high


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("n", [5, 20, 72, 100, 368, 400])
def test_each_tail_of_the_interval_is_at_most_a_fortieth_and_not_smaller_than_needed(
    n: int, q: float
) -> None:
    ranks = percentile(list(range(1, n + 1)), q)  # the k-th smallest is k
    low = int(ranks.low or 0)
    high = int(ranks.high or n + 1)
    assert at_most(low - 1, n, q) <= 0.025  # fewer than `low` samples lie below the quantile
    assert 1 - at_most(high - 1, n, q) <= 0.025
    assert at_most(low, n, q) > 0.025
    assert high == 1 or 1 - at_most(high - 2, n, q) > 0.025


def test_how_many_runs_an_upper_bound_takes() -> None:
    assert percentile(range(71), 0.95).high is None
    assert percentile(range(72), 0.95).high == 71
    assert percentile(range(367), 0.99).high is None
    assert percentile(range(368), 0.99).high == 367


def test_latency_counts_its_runs_and_leaves_the_collector_as_it_was() -> None:
    calls: list[bool] = []
    ticks: list[int] = []
    found = latency(lambda: calls.append(gc.isenabled()), runs=7, warmup=3, tick=ticks.append)
    assert len(calls) == 10
    assert calls[:3] == [True] * 3
    assert calls[3:] == [False] * 7
    assert ticks == [1, 2, 3, 4, 5, 6, 7]
    assert gc.isenabled()
    assert (found.runs, found.warmup) == (7, 3)
    assert 0 < found.p50.value <= found.p95.value


def test_latency_sees_the_slow_call_in_p95_and_not_in_p50() -> None:
    durations = iter([0] * 10 + [0] * 90 + [300_000] * 10)
    found = latency(lambda: sum(range(next(durations))), runs=100)
    assert found.p95.value > 20 * found.p50.value


def test_a_breakdown_files_each_op_under_its_module() -> None:
    model = Sequential(Linear(8, 16), ReLU(), Linear(16, 2))
    x = Tensor(np.ones((4, 8), np.float32))
    with no_grad():
        found = breakdown(lambda: model(x), runs=5)
    assert {row.name: row.calls for row in found.modules} == {"0": 1, "1": 1, "2": 1}
    assert {row.name: row.calls for row in found.kinds} == {"linear": 2, "relu": 1}
    assert all(row.backward == 0 for row in found.modules)
    assert found.runs == 5
    assert found.wall > 0
    assert 0 < found.inside < 1
    assert found.overhead > 0


def test_shares_add_up_and_rows_come_largest_first() -> None:
    model = Sequential(Linear(8, 16), ReLU(), Linear(16, 2))
    x = Tensor(np.ones((4, 8), np.float32))

    def step() -> None:
        out = model(x)
        with filed_under("loss"):
            loss = (out * out).sum()
        loss.backward()

    found = breakdown(step, runs=4)
    for rows in (found.modules, found.kinds):
        assert math.isclose(sum(row.share for row in rows), 1)
        assert math.isclose(sum(row.seconds for row in rows), found.ops)
        assert [row.seconds for row in rows] == sorted((row.seconds for row in rows), reverse=True)
        assert all(row.seconds >= row.backward >= 0 for row in rows)
        assert math.isclose(
            sum(row.backward for row in rows), sum(row.backward for row in found.kinds), rel_tol=1e-9
        )
    names = {row.name: row for row in found.modules}
    assert set(names) >= {"0", "1", "2", "loss"}
    assert 0 < names["loss"].backward < names["loss"].seconds
    assert names["0"].backward > 0


def test_blocks_are_put_together_and_numbered_layers_are_not() -> None:
    names = [
        "blocks.0.attn",
        "blocks.1.attn",
        "blocks.0",
        "blocks.1",
        "blocks.0.mlp.fc1",
        "layers.0",
        "layers.2",
    ]
    rows = tuple(Row(name, 2.0**i, 1.0, 3.0, 2.0**i / 127) for i, name in enumerate(names))
    merged = {row.name: row for row in together(rows)}
    assert list(merged) == ["layers.2", "layers.0", "blocks.*.mlp.fc1", "blocks.*", "blocks.*.attn"]
    assert merged["blocks.*.attn"] == Row("blocks.*.attn", 3.0, 2.0, 6.0, 3 / 127)
    assert math.isclose(sum(row.share for row in merged.values()), 1)
