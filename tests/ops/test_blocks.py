"""Weights in blocks: packing and unpacking for any number of rows, and what the ops refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch import Tensor
from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.blocks import BlockLinear, BlockLookup, Format, QuantizeBlocks, block_linear

FORMATS = [Format(bits, minimum) for bits in (4, 8) for minimum in (False, True)]


def blocks(form: Format, n: int, k: int, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    scale, low = rng.normal(size=(2, n, k // 32)).astype(np.float16)
    return rng.integers(0, 1 << form.bits, (n, k), np.uint8), scale, low if form.minimum else None


@given(st.sampled_from(FORMATS), st.integers(1, 50), st.integers(1, 4), st.integers(0, 99))
def test_what_is_packed_is_unpacked(form: Format, n: int, count: int, seed: int) -> None:
    codes, scale, low = blocks(form, n, 32 * count, seed)
    packed = form.pack(form.join(codes), scale, low)
    assert (packed.shape, packed.dtype) == (form.shape(n, 32 * count), np.int8)
    found, scales, minima = form.unpack(packed, n)
    assert np.array_equal(found, codes)
    assert np.array_equal(scales, scale.astype(np.float32))
    expected = -form.middle * scales if low is None else low.astype(np.float32)
    assert np.array_equal(minima, expected)
    wide = codes.reshape(n, count, 32) * scales[..., None] + minima[..., None]
    assert np.allclose(form.dequantize(packed, n), wide.reshape(n, -1), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_a_block_takes_its_codes_and_two_bytes_each_for_scale_and_minimum(form: Format) -> None:
    size = 16 * (32 * form.bits // 8 + 2 + 2 * form.minimum)
    assert form.shape(16, 64) == (1, 2, size)
    assert form.shape(17, 64) == (2, 2, size)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_a_product_is_that_of_what_both_sides_stand_for(form: Format) -> None:
    n, k = 21, 96
    codes, scale, low = blocks(form, n, k)
    packed = form.pack(form.join(codes), scale, low)
    x = np.random.default_rng(1).normal(size=(2, 3, k)).astype(np.float32)
    x_codes, x_scale, _ = QuantizeBlocks().forward(x)
    stands = x_codes.astype(np.float64) * np.repeat(x_scale, 32, -1)
    assert np.abs(stands - x).max() <= 0.51 * np.abs(x).max() / 127
    expected = stands @ form.dequantize(packed, n).astype(np.float64).T
    op = BlockLinear(n, form.bits, form.minimum)
    found = block_linear(Tensor(x), op, Tensor(packed))
    assert np.allclose(found.data, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert found.dtype == np.float32
    wide = block_linear(Tensor(x.astype(np.float64)), op, Tensor(packed))
    assert wide.dtype == np.float64
    assert np.allclose(wide.data, found.data, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_what_is_no_number_stays_none() -> None:
    """One row with NaN or infinity spoils no other, and its own blocks show it."""
    form = Format(4, minimum=True)
    codes, scale, low = blocks(form, 3, 64)
    packed = Tensor(form.pack(form.join(codes), scale, low))
    x = np.ones((3, 64), np.float32)
    x[0, 5], x[2, 40] = np.nan, np.inf
    found = block_linear(Tensor(x), BlockLinear(3), packed).data
    assert np.isnan(found).all(-1).tolist() == [True, False, True]
    assert np.isfinite(found[1]).all()


def test_what_does_not_fit_is_named() -> None:
    form = Format(4, minimum=True)
    packed = Tensor(form.pack(form.join(np.ones((20, 64), np.uint8)), *np.ones((2, 20, 2), np.float16)))
    x = Tensor(np.ones((2, 64), np.float32))
    for wrong, op, weights, reason in (
        (
            Tensor(np.ones((2, 32), np.float32)),
            BlockLinear(20),
            packed,
            r"x \(2, 32\) and weights of 64 inputs",
        ),
        (Tensor(np.ones((2, 48), np.float32)), BlockLinear(20), packed, r"x \(2, 48\); rows are cut"),
        (Tensor(np.ones((2, 0), np.float32)), BlockLinear(20), packed, r"x \(2, 0\); rows are cut"),
        (Tensor(np.float32(1)), BlockLinear(20), packed, r"x \(\); rows are cut"),
        (
            x,
            BlockLinear(40),
            packed,
            r"blocks \(2, 2, 320\) of 40 outputs with 4 bits; expected \(3, blocks, 320",
        ),
        (x, BlockLinear(20, 8), packed, r"of 20 outputs with 8 bits; expected \(2, blocks, 576\)"),
        (x, BlockLinear(20, 4, minimum=False), packed, r"expected \(2, blocks, 288\)"),
        (x, BlockLinear(20), packed[0], r"blocks \(2, 320\)"),
    ):
        with pytest.raises(ShapeError, match=reason):
            block_linear(wrong, op, weights)
    with pytest.raises(DTypeError, match="x is int64; float32 is needed"):
        block_linear(Tensor(np.ones((2, 64), np.int64)), BlockLinear(20), packed)
    with pytest.raises(DTypeError, match="block_linear"):
        block_linear(x, BlockLinear(20), Tensor(packed.data.astype(np.int32)))
    lookup = BlockLookup(20, 4, minimum=True)
    for ids, wrong_id in (([0, 20], 20), ([-1, 3], -1)):
        with pytest.raises(ShapeError, match=rf"id {wrong_id} is out of range for 20 rows \(0 to 19\)"):
            lookup(packed, Tensor(ids))
    with pytest.raises(DTypeError, match="ids are integers, not float32"):
        lookup(packed, Tensor([0.0]))
