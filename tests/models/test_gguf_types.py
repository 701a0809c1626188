"""Elements of GGUF tensors, read one by one out of their bytes, and in panels as layers multiply them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models import gguf_files as files
from tinytorch.models.gguf_types import TYPES, Blocked, unread

Array = np.ndarray[Any, Any]
BY_NAME = {kind.name: kind for kind in TYPES.values()}
BLOCKED = [kind.name for kind in TYPES.values() if isinstance(kind, Blocked)]

# ---------------------------------------------------------------- one element at a time


def half(raw: bytes, at: int) -> float:
    return float(struct.unpack_from("<e", raw, at)[0])


def rounded(number: float) -> float:
    """As a float16, infinite where it is too large."""
    with np.errstate(over="ignore"):
        return float(np.float16(number))


def element(kind: str, raw: bytes, i: int) -> float:
    """Element i of a block, from the format's definition."""
    if kind == "Q4_0":
        return half(raw, 0) * ((raw[2 + i % 16] >> (4 if i >= 16 else 0) & 15) - 8)
    if kind == "Q4_1":
        return half(raw, 0) * (raw[4 + i % 16] >> (4 if i >= 16 else 0) & 15) + half(raw, 2)
    if kind == "Q8_0":
        return half(raw, 0) * int(struct.unpack_from("<b", raw, 2 + i)[0])
    j, six = i // 32, raw[4:16]
    if j < 4:
        scale, least = six[j] & 63, six[j + 4] & 63
    else:
        scale = six[j + 4] & 15 | six[j - 4] >> 6 << 4
        least = six[j + 4] >> 4 | six[j] >> 6 << 4
    code = raw[16 + i // 64 * 32 + i % 32] >> (4 if i // 32 % 2 else 0) & 15
    return rounded(half(raw, 0) * scale) * code - rounded(half(raw, 2) * least)


def elements(kind: str, raw: Array) -> Array:
    size, block = BY_NAME[kind].size, BY_NAME[kind].block
    rows = [row.tobytes() for row in raw]
    found = [
        [
            element(kind, row[begin : begin + size], i)
            for begin in range(0, len(row), size)
            for i in range(block)
        ]
        for row in rows
    ]
    return np.array(found)


def random_blocks(kind: str, rows: int, count: int, seed: int) -> Array:
    """Random bytes with scales and minima of usual size."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, (rows, count, BY_NAME[kind].size), np.uint8)
    halves = 1 if kind in ("Q4_0", "Q8_0") else 2
    scales = rng.normal(size=(rows, count, halves)).astype(np.float16)
    raw[..., : 2 * halves] = scales.view(np.uint8)
    return raw.reshape(rows, -1)


@pytest.mark.parametrize("kind", BLOCKED)
@pytest.mark.parametrize(("rows", "count"), [(1, 1), (3, 2), (16, 1), (17, 3), (40, 2)])
def test_blocks_against_a_reading_one_by_one(kind: str, rows: int, count: int) -> None:
    form, raw = BY_NAME[kind], random_blocks(kind, rows, count, rows)
    expected = elements(kind, raw)
    found = form.dequantize(raw)
    assert (found.shape, found.dtype) == ((rows, count * form.block), np.float32)
    assert form.nbytes(found.size) == raw.size
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-6)
    packed = form.packed(raw)
    assert packed.shape == form.format.shape(rows, count * form.block)
    assert np.array_equal(form.format.dequantize(packed, rows), found)
    assert packed.nbytes <= raw.nbytes * (-(-rows // 16) * 16 / rows) * 10 / 9  # Q4_K: four bits more a block


@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_floats_are_themselves(kind: str) -> None:
    numbers = np.array([[0.0, -0.0, 1.5, -65504.0, 6e-8, np.inf, np.nan, 0.1]])
    raw = np.frombuffer(files.stored(kind, numbers), np.uint8).reshape(1, -1)
    found = BY_NAME[kind].dequantize(raw)
    expected = numbers.astype("f4" if kind == "F32" else "f2").astype("f4")
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))
    assert BY_NAME[kind].nbytes(8) == raw.size


@pytest.mark.parametrize("kind", BLOCKED)
def test_numbers_survive_up_to_half_a_step(kind: str) -> None:
    """What the quantizers of the tests write is read as what they were given."""
    rng = np.random.default_rng(4)
    block = BY_NAME[kind].block
    numbers = rng.normal(size=(6, block)) * 10.0 ** np.arange(-2, 4)[:, None]
    numbers[0] = 0
    raw = np.frombuffer(files.stored(kind, numbers), np.uint8).reshape(6, -1)
    parts = numbers.reshape(6, -1, 32)
    spread = np.maximum(parts.max(-1), 0) - np.minimum(parts.min(-1), 0)
    step = {"Q4_0": 1 / 7, "Q4_1": 1 / 15, "Q8_0": 1 / 127, "Q4_K": 1 / 12}[kind] * spread
    error = np.abs(BY_NAME[kind].dequantize(raw) - numbers).reshape(parts.shape).max(-1)
    assert (error <= 0.51 * step + 0.02 * spread.max(-1, keepdims=True) * (kind == "Q4_K")).all()


@pytest.mark.parametrize("kind", BLOCKED)
def test_every_bit_of_a_block_counts(kind: str) -> None:
    raw = random_blocks(kind, 1, 1, 7)
    before = BY_NAME[kind].dequantize(raw)
    for bit in range(raw.size * 8):
        changed = raw.copy()
        changed[0, bit // 8] ^= 1 << bit % 8
        found, expected = BY_NAME[kind].dequantize(changed), elements(kind, changed)
        assert not np.array_equal(found, before, equal_nan=True), bit
        assert np.allclose(found, expected, rtol=1e-6, atol=1e-5, equal_nan=True), bit
    assert np.isfinite(before).all()


@given(st.sampled_from(BLOCKED), st.integers(1, 18), st.data())
def test_any_bytes_are_the_same_numbers_in_panels(kind: str, rows: int, data: st.DataObject) -> None:
    """NaN, infinite and subnormal scales among them."""
    form = BY_NAME[kind]
    assert isinstance(form, Blocked)
    one = data.draw(st.binary(min_size=form.size, max_size=form.size))
    raw = np.frombuffer(one * rows, np.uint8).reshape(rows, -1)
    with np.errstate(all="ignore"):
        found, again = form.dequantize(raw), form.format.dequantize(form.packed(raw), rows)
        expected = elements(kind, raw[:1])
    assert np.array_equal(found, again, equal_nan=True)
    assert np.allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-5, atol=1e-3, equal_nan=True)


def test_types_that_are_not_read_are_named() -> None:
    there = "(F32, F16, Q4_0, Q4_1, Q8_0, Q4_K can be read)"
    assert unread(6) == f"Q5_0 {there}"
    assert unread(12345) == f"type 12345 {there}"
    assert {number: kind.name for number, kind in TYPES.items()} == {v: k for k, v in files.TYPES.items()}
