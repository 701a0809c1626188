"""Ranges against sorted values and brute force, and what each makes of outliers and of nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.quantization.ranges import (
    BINS,
    LEVELS,
    RANGES,
    entropy_range,
    minmax_range,
    mse_range,
    percentile_range,
)

Array = np.ndarray[Any, Any]
every_range = pytest.mark.parametrize("name", RANGES)


def sample(name: str, seed: int = 0, n: int = 4000) -> Array:
    rng = np.random.default_rng(seed)
    made = {
        "uniform": lambda: rng.uniform(-1, 2, n),
        "normal": lambda: rng.standard_normal(n),
        "relu": lambda: np.maximum(rng.standard_normal(n), 0),
        "heavy": lambda: rng.laplace(size=n),
        "heavy, one side": lambda: rng.exponential(size=n),
        "outliers": lambda: rng.standard_t(2, n),
        "pixels": lambda: np.rint(255 * rng.beta(1, 6, n)) / 255,
    }
    return made[name]().astype(np.float32)


def ends(x: Array) -> tuple[float, float]:
    return float(x.min()), float(x.max())


def test_minmax_cuts_nothing_off() -> None:
    assert minmax_range(np.array([0.5, 1.0], np.float32), -3.0, 7.0) == (-3.0, 7.0)


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60),
    st.sampled_from([50.0, 90.0, 99.0, 99.99, 100.0]),
)
def test_percentiles_lie_between_sorted_values(values: list[float], percent: float) -> None:
    low, high = percentile_range(np.array(values, np.float32), -math.inf, math.inf, percent)
    ordered = sorted(values)

    def quantile(share: float) -> float:
        at = share * (len(ordered) - 1)
        below = math.floor(at)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (at - below) * (ordered[above] - ordered[below])

    rest = (1 - percent / 100) / 2
    slack = 1e-5 * max(abs(v) for v in values) + 1e-12
    assert low == pytest.approx(quantile(rest), abs=slack)
    assert high == pytest.approx(quantile(1 - rest), abs=slack)


def test_the_percentile_keeps_all_but_the_rarest() -> None:
    x = np.append(np.linspace(-1, 1, 100_000), [1e6] * 3).astype(np.float32)
    low, high = percentile_range(x, *ends(x))
    assert -1 <= low < -0.9998
    assert 0.9998 < high <= 1
    assert ((low <= x) & (x <= high)).mean() == pytest.approx(0.9999, abs=1e-4)


# ---------------------------------------------------------------- least squares


def loss_of(x: Array, low: float, high: float) -> float:
    """Mean squared error in float64 of 256 codes for low .. high, widened to hold 0 as one of them."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / 255
    if step < 2.0**-100 / 255:
        return float(np.mean(np.square(x.astype(np.float64))))
    zero = round(-low / step)
    codes = np.clip(np.round(x.astype(np.float64) / step) + zero, 0, 255)
    return float(np.mean(np.square((codes - zero) * step - x)))


@pytest.mark.parametrize("name", ["uniform", "normal", "relu", "heavy", "heavy, one side", "outliers"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_least_squares_range_against_brute_force(name: str, seed: int) -> None:
    x = sample(name, seed)
    whole = ends(x)
    low, high = mse_range(x, *whole)
    shares = [step / 80 for step in range(1, 81)]
    assert min(abs(share - high / whole[1]) for share in shares) < 1e-9
    assert low == pytest.approx(whole[0] * (high / whole[1]))
    least = min(loss_of(x, whole[0] * share, whole[1] * share) for share in shares)
    assert loss_of(x, low, high) <= least * 1.001


@pytest.mark.parametrize("name", ["heavy", "heavy, one side"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_on_heavy_tails_least_squares_beat_all_that_was_seen(name: str, seed: int) -> None:
    x = sample(name, seed, n=50_000)
    found = mse_range(x, *ends(x))
    assert found[1] < ends(x)[1]
    assert loss_of(x, *found) < 0.95 * loss_of(x, *ends(x))


@pytest.mark.parametrize("high", [5.0, 30.0, 200.0])
def test_a_largest_number_that_the_sample_missed_has_little_say(high: float) -> None:
    x = sample("relu")
    found = mse_range(x, 0.0, high)
    least = min(loss_of(x, 0.0, high * step / 80) for step in range(1, 81))
    assert loss_of(x, *found) <= least * 1.001
    assert found[0] == 0.0
    assert found[1] <= max(4.5, high / 40)


def test_of_equal_losses_the_wider_range_is_taken() -> None:
    assert mse_range(np.zeros(10, np.float32), -1.0, 4.0) == (-1.0, 4.0)


# ---------------------------------------------------------------- entropy


def divergence(counts: list[int], end: int) -> float:
    """Of a histogram cut off at a bin from the same in LEVELS steps, as TensorRT counts it."""
    outside = sum(counts[end:])
    p = [*counts[: end - 1], counts[end - 1] + outside]
    q = [0.0] * end
    for level in range(LEVELS):
        members = range(-(-level * end // LEVELS), -(-(level + 1) * end // LEVELS))
        assert all(i * LEVELS // end == level for i in members[:: max(1, len(members) - 1)])
        filled = [i for i in members if counts[i]]
        mean = sum(counts[i] for i in filled) / max(len(filled), 1)
        for i in filled:
            q[i] = mean
    whole, kept = sum(p), sum(q)
    total = 0.0
    for a, b in zip(p, q, strict=True):
        if a and not b:
            return math.inf
        total += a / whole * math.log(a / whole / (b / kept)) if a else 0.0
    return total


@pytest.mark.parametrize("name", ["normal", "relu", "heavy", "pixels"])
def test_the_entropy_range_against_brute_force(name: str) -> None:
    x = sample(name, n=20_000)
    low, high = ends(x)
    largest = max(-low, high)
    width = largest / BINS
    counts = np.histogram(np.abs(x[x != 0]), BINS, (0, largest))[0].tolist()
    ways = {end: divergence(counts, end) for end in range(LEVELS, BINS + 1, 8)}
    cut = max(abs(v) for v in entropy_range(x, low, high))
    end = round(cut / width) if cut < largest else BINS
    assert ways[end] <= min(ways.values()) * (1 + 1e-6)


@pytest.mark.parametrize("outlier", [20.0, 30.0, 1000.0])
def test_the_entropy_range_cuts_an_outlier(outlier: float) -> None:
    x = np.append(sample("normal", n=20_000), np.float32(outlier))
    low, high = entropy_range(x, *ends(x))
    assert low < -3
    assert 3 < high <= max(4.1, outlier / 16)


@pytest.mark.parametrize("outlier", [1e4, 1e6, 1e20])
def test_an_outlier_far_away_does_not_hide_the_others_in_one_bin(outlier: float) -> None:
    x = np.append(sample("normal", n=20_000), np.float32(outlier))
    for values in (x, np.append(x, np.zeros(100_000, np.float32))):
        low, high = entropy_range(values, *ends(values))
        assert -5 < low < -2
        assert 2 < high < 5


def test_of_few_values_above_many_zeros_none_is_cut_off() -> None:
    x = np.append(np.zeros(100_000), np.full(10, 3.0)).astype(np.float32)
    assert entropy_range(x, *ends(x)) == (0.0, 3.0)


def test_the_smallest_numbers_there_are_have_an_entropy_range() -> None:
    x = np.array([1e-45, -3e-45], np.float32)
    assert entropy_range(x, *ends(x)) == ends(x)


def test_the_entropy_range_keeps_a_uniform_distribution_nearly_whole() -> None:
    x = sample("uniform", n=50_000)
    low, high = entropy_range(x, *ends(x))
    assert low == ends(x)[0]
    assert high > 0.95 * ends(x)[1]


# ---------------------------------------------------------------- whatever was seen


@every_range
@pytest.mark.parametrize("constant", [0.0, 5.0, -5.0, 1e-35, 1e10, -3e-20])
def test_constant_values(name: str, constant: float) -> None:
    x = np.full(100, constant, np.float32)
    low, high = RANGES[name](x, *ends(x))
    assert min(0.0, ends(x)[0]) <= low <= high <= max(0.0, ends(x)[1])
    if name != "mse":
        assert (low, high) == ends(x)


@every_range
@given(
    st.lists(st.floats(-1e10, 1e10, width=32), min_size=1, max_size=200),
    st.sampled_from([1.0, 1e-30, 1e5]),
    st.integers(0, 3),
)
@settings(max_examples=25)
def test_a_range_lies_within_what_was_seen(name: str, values: list[float], factor: float, more: int) -> None:
    """Widened to hold 0, as every grid is."""
    x = np.append(np.array(values), np.zeros(more)) * factor
    x = np.where(np.abs(x) < 1e-30, 0, x).astype(np.float32)
    low, high = ends(x)
    found = RANGES[name](x, low, high)
    assert min(0.0, low) <= found[0] <= found[1] <= max(0.0, high)


@every_range
def test_one_outlier_leaves_most_of_what_was_seen_in_range(name: str) -> None:
    x = np.append(sample("normal"), np.float32(1e6))
    low, high = RANGES[name](x, *ends(x))
    assert ((x >= low) & (x <= high)).mean() > 0.999
