"""Ranks are shared by what is the same, and records are not set by luck."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tinytorch.benchmarking.ranking import allowance, is_record, ranks, told_apart
from tinytorch.benchmarking.ratio import Ratio
from tinytorch.errors import BenchmarkError


def measured(rng: np.random.Generator, log: float, error: float = 0.003, freedom: int = 5) -> Ratio:
    """What a re-run of two programs shows whose true ratio is exp(log)."""
    spread = error * math.sqrt(rng.chisquare(freedom) / freedom)
    return Ratio(log + rng.normal(0.0, error), spread, float(freedom))


def test_copies_share_a_rank_and_what_differs_does_not() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        pairs = {(f"copy {n}", "base"): measured(rng, 0.0) for n in range(50)}
        wrong += bool(told_apart(pairs))
        pairs["good", "base"] = measured(rng, 0.2)
        assert ("good", "base") in told_apart(pairs)
    assert wrong / 400 <= 0.05 + 0.03, "Holm: of all pairs together one is wrong in 5 % of boards"


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=15))
def test_ranks_follow_the_order(pairs: list[tuple[int, int]]) -> None:
    order = [str(n) for n in range(10)]
    found = ranks(order, {(str(a), str(b)) for a, b in pairs})
    assert found == sorted(found)
    assert found[0] == 1
    for a, b in pairs:
        if a < b:
            assert found[b] > a, "it is behind all down to the one that is better"
    assert all(rank <= place + 1 for place, rank in enumerate(found))


def test_without_comparisons_all_share() -> None:
    assert ranks(["a", "b", "c"], set()) == [1, 1, 1]
    assert ranks([], set()) == []


def false_records(levels: list[float], teams: int = 1000) -> float:
    """The share of teams that set a record with honest copies of it, one attempt for each level."""
    rng = np.random.default_rng(4)
    t = rng.standard_t(5, (teams, len(levels)))
    p = 2 * stats.t.sf(np.abs(t), 5)
    return float(((t > 0) & (p < np.array(levels))).any(1).mean())


def test_a_thousand_teams_of_twenty_copies_set_hardly_a_record() -> None:
    assert false_records([allowance(n) for n in range(1, 21)]) <= 0.01
    assert false_records([0.01] * 20) > 0.05, "without the allowance luck would set them"


def test_records_by_the_function_that_boards_use() -> None:
    rng = np.random.default_rng(8)
    lucky = sum(any(is_record(measured(rng, 0.0), n) for n in range(1, 21)) for _ in range(1000))
    assert lucky <= 10
    assert all(is_record(measured(rng, 0.1), n) for n in range(1, 21))


def test_attempts_are_counted_from_one() -> None:
    assert sum(allowance(n) for n in range(1, 10_000)) < 0.01
    with pytest.raises(BenchmarkError, match="from 1"):
        allowance(0)
