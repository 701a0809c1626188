"""Rounding in turn against the algorithm it stands for, step by step, and against rounding to the nearest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.quantization.gptq import (
    DAMP,
    STEPS,
    inverse_factor,
    least_squares_scales,
    rounded_in_turn,
    stored,
)
from tinytorch.quantization.grid import channel_scales, group_codes, group_scales

Array = np.ndarray[Any, Any]


def correlated(seed: int, rows: int, k: int, rank: int = 4) -> Array:
    """Inputs of which a few directions make up most, each column of another size."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, k)) + 0.1 * rng.standard_normal(
        (rows, k)
    )
    found: Array = x * rng.uniform(0.2, 3, k)
    return found


def loss(x: Array, w: Array, codes: Array, scales: Array) -> float:
    """Squared error of x @ w^T."""
    each = np.repeat(scales.astype(np.float64), w.shape[1] // scales.shape[1], 1)
    return float(np.square(x @ (w - codes * each).T).sum())


@pytest.mark.parametrize("k", [1, 5, 16])
def test_the_factor_is_one_of_the_damped_inverse(k: int) -> None:
    x = correlated(k, 30, k)
    gram = x.T @ x
    factor = inverse_factor(gram)
    np.testing.assert_array_equal(factor, np.triu(factor))
    damped = gram + DAMP * np.trace(gram) / k * np.eye(k)
    np.testing.assert_allclose(factor.T @ factor @ damped, np.eye(k), atol=1e-8)


def step_by_step(w: Array, gram: Array, scales: Array, most: int) -> Array:
    """Optimal brain quantization: round an input, spread its error by the inverse of what is left, go on."""
    k = len(gram)
    damped = gram + DAMP * np.trace(gram) / k * np.eye(k)
    left = sorted(range(k), key=lambda column: -gram[column, column])
    work, codes, size = w.astype(np.float64).copy(), np.zeros(w.shape), k // scales.shape[1]
    while left:
        column = left[0]
        inverse = np.linalg.inv(damped[np.ix_(left, left)])
        scale = scales[:, column // size].astype(np.float64)
        codes[:, column] = np.clip(np.round(work[:, column] / scale), -most, most)
        error = work[:, column] - codes[:, column] * scale
        work[:, left] -= np.outer(error, inverse[0]) / inverse[0, 0]
        left.pop(0)
    return codes


@pytest.mark.parametrize(("bits", "size"), [(8, 24), (4, 8), (4, 24)])
@pytest.mark.parametrize("seed", range(3))
def test_rounding_in_turn_is_the_algorithm_step_by_step(bits: int, size: int, seed: int) -> None:
    w, x = np.random.default_rng(seed).standard_normal((5, 24)), correlated(seed, 100, 24)
    gram, scales = x.T @ x, group_scales(w, size, bits)
    found = rounded_in_turn(w, gram, scales, bits)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, step_by_step(w, gram, scales, 2 ** (bits - 1) - 1))


@pytest.mark.parametrize(("bits", "least"), [(4, 0.8), (8, 0.8)])
@pytest.mark.parametrize("seed", range(4))
def test_it_loses_less_than_the_nearest_on_correlated_inputs(bits: int, least: float, seed: int) -> None:
    w, x = np.random.default_rng(seed).standard_normal((12, 32)), correlated(seed, 200, 32)
    scales = channel_scales(w, bits).reshape(-1, 1)
    nearest = group_codes(w, scales, bits)
    turned = rounded_in_turn(w, x.T @ x, scales, bits)
    assert loss(x, w, turned, scales) < least * loss(x, w, nearest, scales)
    assert np.abs(turned).max() <= 2 ** (bits - 1) - 1


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 8]))
def test_it_is_the_nearest_where_inputs_have_nothing_in_common(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    w, gram = rng.standard_normal((3, 16)), np.diag(rng.uniform(0, 10, 16))
    scales = group_scales(w, 8, bits)
    np.testing.assert_array_equal(rounded_in_turn(w, gram, scales, bits), group_codes(w, scales, bits))


@pytest.mark.parametrize("gram", [np.zeros((8, 8)), np.ones((8, 8)), np.full((8, 8), 1e12)])
def test_inputs_that_were_never_seen_or_are_all_one(gram: Array) -> None:
    w = np.random.default_rng(0).standard_normal((4, 8))
    scales = group_scales(w, 8)
    codes = rounded_in_turn(w, gram, scales, 4)
    assert np.abs(codes).max() <= 7
    if not gram.any():
        np.testing.assert_array_equal(codes, group_codes(w, scales))
    else:
        lost = np.abs((w - codes * scales).sum(1))
        assert (lost <= np.abs((w - group_codes(w, scales) * scales).sum(1)) + 1e-9).all()


def test_errors_never_push_a_code_beyond_the_largest() -> None:
    x = np.random.default_rng(1).standard_normal((50, 1)) * np.ones((1, 16)) + 1e-3
    w = np.full((2, 16), 1.0)
    for bits in (4, 8):
        most = 2 ** (bits - 1) - 1
        scales = np.full((2, 1), 0.9 / most, np.float32)
        assert np.abs(rounded_in_turn(w, x.T @ x, scales, bits)).max() == most


# ---------------------------------------------------------------- scales


def squares(w: Array, scales: Array, size: int) -> Array:
    """Squared error of each group, code by code."""
    lost = np.zeros(scales.shape)
    for i, j in np.ndindex(w.shape):
        scale = float(scales[i, j // size])
        lost[i, j // size] += (w[i, j] - min(max(round(w[i, j] / scale), -7), 7) * scale) ** 2
    return lost


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("seed", range(3))
def test_least_squares_scales_are_the_best_that_are_tried(size: int, seed: int) -> None:
    w = np.random.default_rng(seed).standard_t(3, (4, 32))
    w[0, :8] = 0.0
    found, whole = least_squares_scales(w, size), group_scales(w, size)
    assert found.dtype == np.float32
    assert (found > 0).all()
    np.testing.assert_array_equal(found, found.astype(np.float16))
    ways = np.stack([squares(w, stored(whole * s), size) for s in np.linspace(0.5, 1, STEPS)])
    np.testing.assert_allclose(squares(w, found, size), ways.min(0), rtol=1e-6, atol=1e-12)
    assert squares(w, found, size).sum() < squares(w, stored(whole), size).sum()


@given(st.integers(0, 2**32 - 1), st.floats(-6, 4))
def test_least_squares_scales_never_lose_more_than_the_largest_numbers_scales(
    seed: int, power: float
) -> None:
    w = np.random.default_rng(seed).standard_normal((2, 16)) * 10.0**power
    best, whole = squares(w, least_squares_scales(w, 8), 8), squares(w, stored(group_scales(w, 8)), 8)
    assert (best <= whole * (1 + 1e-9)).all()


@given(st.lists(st.floats(0, 2.0**126, width=32), min_size=1, max_size=20))
def test_stored_scales_are_positive_float16(scales: list[float]) -> None:
    found = stored(np.array(scales, np.float32))
    assert found.dtype == np.float32
    assert (found > 0).all()
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, found.astype(np.float16))
    for scale, one in zip(scales, found.tolist(), strict=True):
        if 2.0**-14 <= scale <= 65504:
            assert one == pytest.approx(scale, rel=2**-11)
        elif scale < 2.0**-14:
            assert one == pytest.approx(scale, abs=2.0**-24)
        else:
            assert one == 65504
