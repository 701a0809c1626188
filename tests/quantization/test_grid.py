"""Grids against their definitions: 0 is a code, nothing is off by more than half a step, loops for groups."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinytorch.errors import QuantizationError
from tinytorch.quantization.grid import (
    affine_grid,
    channel_scales,
    codes_of,
    group_codes,
    group_scales,
    group_size,
    largest_code,
    numbers_of,
    symmetric_scale,
)

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(20261207)
sizes = st.one_of(st.just(0.0), st.integers(-120, 100).map(lambda e: 2.0**e), st.floats(1e-30, 1e30))
ends = st.tuples(sizes, st.sampled_from([-1.0, 1.0])).map(lambda pair: pair[0] * pair[1])
bits = st.sampled_from([2, 4, 8])
HALF = 0.5 + 1e-4
"""Of a step, and what float32 adds to it."""


@given(largest=sizes, bits=bits)
@example(0.0, 8)
@example(1e-38, 8)
@example(3e38, 4)
def test_a_symmetric_scale_gives_the_largest_code_to_the_largest_number(largest: float, bits: int) -> None:
    scale = symmetric_scale(np.array(largest), bits)
    assert scale.dtype == np.float32
    assert scale > 0
    assert np.isfinite(scale)
    most = 2 ** (bits - 1) - 1
    assert most == largest_code(bits)
    if largest < 2.0**-100:
        assert scale == 1
        return
    assert float(scale) == pytest.approx(largest / most, rel=1e-6)
    x = np.float32(largest) * np.linspace(-1, 1, 41).astype(np.float32)
    codes = codes_of(x, scale, bits)
    assert codes.dtype == np.int8
    assert codes[0] == -most
    assert codes[-1] == most
    assert codes[20] == 0
    np.testing.assert_array_equal(codes, -codes_of(-x, scale, bits))
    error = np.abs(numbers_of(codes, scale).astype(np.float64) - x)
    assert error.max() <= HALF * float(scale)


@given(a=ends, b=ends, bits=bits)
@example(0.0, 0.0, 8)
@example(5.0, 5.0, 8)
@example(-5.0, -5.0, 8)
@example(1e-31, -1e-31, 8)
@example(3e38, -3e38, 8)
@example(1e-30, 2e-30, 4)
@example(-1e-6, 1e6, 8)
def test_an_affine_grid_holds_zero_and_its_range(a: float, b: float, bits: int) -> None:
    low, high = min(a, b), max(a, b)
    scale, zero = affine_grid(low, high, bits)
    assert (scale.dtype, zero.dtype, scale.shape, zero.shape) == (np.float32, np.int32, (), ())
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    assert np.isfinite(scale)
    assert scale > 0
    assert least <= zero <= most
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 2.0**-100:
        assert (scale, zero) == (1, 0)
        return
    step = float(scale)
    assert step == pytest.approx((high - low) / (2**bits - 1), rel=1e-6)
    assert zero == least or low < 0
    assert zero == most or high > 0
    x = np.append(np.linspace(low, high, 101), 0.0)
    codes = np.clip(np.rint(x / step) + int(zero), least, most)
    found = numbers_of(codes.astype(np.int8), scale, zero)
    assert found.dtype == np.float32
    assert found[-1] == 0.0
    assert np.abs(found.astype(np.float64) - x).max() <= HALF * step


def test_codes_of_halves_are_even_and_cut_off_at_both_ends() -> None:
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, 1e9, -1e9])
    assert codes_of(x, np.array(1.0)).tolist() == [0, 2, 2, 0, -2, 126, 127, 127, -127]
    assert codes_of(x, np.array(1.0), 4).tolist() == [0, 2, 2, 0, -2, 7, 7, 7, -7]


def test_numbers_of_codes_far_from_the_zero_point() -> None:
    codes = np.arange(-128, 128).astype(np.int8)
    for zero in (-128, 0, 127):
        expected = [(code - zero) * 0.25 for code in range(-128, 128)]
        assert numbers_of(codes, np.array(0.25), zero).tolist() == expected
        assert numbers_of(codes, np.array(0.25), np.array(zero, np.int32)).tolist() == expected


@pytest.mark.parametrize("shape", [(5, 7), (3, 2, 3, 3), (1, 1)])
@pytest.mark.parametrize("width", [4, 8])
def test_channel_scales_against_a_loop(shape: tuple[int, ...], width: int) -> None:
    w = RNG.standard_normal(shape) * np.logspace(-5, 5, shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
    w[0] = 0.0
    found = channel_scales(w, width)
    assert found.shape == shape[:1]
    assert found[0] == 1.0
    for row, scale in zip(w[1:], found[1:], strict=True):
        largest = max(abs(v) for v in row.reshape(-1).tolist())
        assert float(scale) == pytest.approx(largest / (2 ** (width - 1) - 1), rel=1e-6)


@pytest.mark.parametrize("size", [1, 2, 8, 24])
def test_group_scales_and_codes_against_loops(size: int) -> None:
    w = RNG.standard_normal((3, 24))
    w[1, :8] = 0.0
    scales = group_scales(w, size)
    codes = group_codes(w, scales)
    assert scales.shape == (3, 24 // size)
    assert codes.shape == w.shape
    assert codes.dtype == np.int8
    for i, j in np.ndindex(w.shape):
        begin = j // size * size
        largest = max(abs(v) for v in w[i, begin : begin + size].tolist())
        scale = float(scales[i, j // size])
        assert scale == pytest.approx(largest / 7 if largest else 1.0, rel=1e-6)
        assert codes[i, j] == min(max(round(w[i, j] / scale), -7), 7)


@given(k=st.integers(1, 2000), most=st.integers(1, 300))
def test_group_size_is_the_longest_that_fits(k: int, most: int) -> None:
    fitting = [size for size in range(1, k + 1) if k % size == 0 and size % 8 == 0 and size <= most]
    if fitting:
        assert group_size(k, most) == max(fitting)
    else:
        with pytest.raises(QuantizationError, match=rf"rows of {k} cannot be cut .* Use int8"):
            group_size(k, most)


@pytest.mark.parametrize("largest", [2.0**-100, math.nextafter(2.0**-100, 0)])
def test_what_counts_as_zero_begins_below_tiny(largest: float) -> None:
    scale = symmetric_scale(np.array(largest, np.float64))
    affine, zero = affine_grid(0.0, largest)
    if largest >= 2.0**-100:
        assert scale < 1e-30
        assert affine < 1e-30
        assert zero == -128
    else:
        assert (affine, zero) == (1, 0)
