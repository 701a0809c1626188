"""Ratios and their errors, against simulation and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tinytorch.benchmarking.ratio import (
    EXACT,
    HIGHEST,
    LOWEST,
    Ratio,
    exact,
    geometric_mean,
    held,
    of_samples,
)
from tinytorch.errors import BenchmarkError


def test_an_interval_is_students() -> None:
    found = Ratio(0.2, 0.05, 4.0).estimate(0.9)
    half = stats.t.ppf(0.95, 4) * 0.05
    assert (found.low, found.high) == (
        pytest.approx(math.exp(0.2 - half)),
        pytest.approx(math.exp(0.2 + half)),
    )
    assert Ratio(0.2, 0.05, 4.0).p_value == pytest.approx(2 * stats.t.sf(4.0, 4))


def test_a_geometric_mean_is_a_root_of_a_product() -> None:
    found = geometric_mean([exact(2, 1), exact(16, 1), Ratio(0.0, 0.3, 6.0)])
    assert found.value == pytest.approx((2 * 16) ** (1 / 3))
    assert found.error == pytest.approx(0.1)
    assert found.freedom == pytest.approx(6.0), "what is exact adds no uncertainty"


def test_its_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        parts = []
        for spread, n in ((0.1, 6), (0.02, 12)):
            values = rng.normal(0.0, spread, n)
            parts.append(Ratio(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n), n - 1.0))
        found = geometric_mean(parts).estimate()
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 1 <= found.high
    assert 0.93 < covered / 2000 < 0.97


def test_means_of_the_same_samples_are_compared_in_pairs() -> None:
    rng = np.random.default_rng(1)
    covered, errors = 0, []
    for _ in range(1000):
        hard = rng.random(2000)
        base, own = (hard < 0.9).astype(float), (hard + rng.normal(0, 0.01, 2000) < 0.9).astype(float)
        found = of_samples(own, base)
        errors.append(found.error)
        ends = found.estimate()
        assert ends.low is not None
        assert ends.high is not None
        covered += ends.low <= 1.0 <= ends.high
    assert 0.93 < covered / 1000 < 0.98
    apart = math.sqrt(2 * 0.9 * 0.1 / 2000) / 0.9
    assert np.mean(errors) < apart / 3, "far narrower than of two means apart"


def test_no_ratio_counts_more_than_its_bounds() -> None:
    assert held(exact(10**6, 1)).value == pytest.approx(HIGHEST)
    assert held(exact(1, 10**6)).value == pytest.approx(LOWEST)
    assert held(exact(3, 1)) == exact(3, 1)


def test_what_is_no_ratio_is_refused() -> None:
    for bad in (lambda: exact(0, 1), lambda: geometric_mean([]), lambda: of_samples(np.zeros(3), np.ones(3))):
        with pytest.raises(BenchmarkError, match="ratio|mean"):
            bad()
    assert exact(2, 1).freedom == EXACT
