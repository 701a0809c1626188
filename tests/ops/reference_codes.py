"""What ops on codes compute, written a second time: one number at a time, in Python's own numbers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from tests.ops.reference import Array, reference

TINY = 2.0**-100


def _code(op: Any, x: float, scale: float, zero: int) -> int:
    if math.isnan(x):
        return zero
    return min(max(round(x / scale) + zero, op.low), op.high)  # round() takes halves to even numbers


@reference("Quantize")
def quantize(op: Any, x: Array, scale: Array, zero: Array | int = 0) -> Array:
    x, scale, zero = np.broadcast_arrays(x, scale, zero)
    codes = [_code(op, x[at].item(), scale[at].item(), zero[at].item()) for at in np.ndindex(x.shape)]
    return np.array(codes, np.int8).reshape(x.shape)


@reference("FakeQuantize")
def fake_quantize(op: Any, x: Array, scale: Array, zero: Array) -> Array:
    codes = quantize(op, x, scale, zero).astype(float)
    return (codes - zero) * scale


@reference("QuantizeRows")
def quantize_rows(op: Any, x: Array) -> tuple[Array, Array]:
    codes, scales = np.zeros(x.shape, np.int8), np.zeros((*x.shape[:-1], 1))
    for at in np.ndindex(x.shape[:-1]):
        largest = max(abs(v) for v in x[at].tolist())
        if not math.isfinite(largest):
            scales[at] = math.nan
            continue
        scales[at] = scale = largest / 127 if largest >= TINY else 1.0
        codes[at] = [round(v / scale) for v in x[at].tolist()]
    return codes, scales


@reference("IntMatMul")
def int_matmul(op: Any, x: Array, w: Array) -> Array:
    out = np.zeros((*x.shape[:-1], len(w)), np.int32)
    for *at, j in np.ndindex(out.shape):
        out[(*at, j)] = sum(a * b for a, b in zip(x[tuple(at)].tolist(), w[j].tolist(), strict=True))
    return out


@reference("IntConv2d")
def int_conv2d(op: Any, x: Array, w: Array) -> Array:
    return _correlate(op, x.tolist(), w, x.shape, 0)


def _correlate(op: Any, x: Any, w: Array, shape: tuple[int, ...], zero: int) -> Array:
    """Sums of (code - zero) * w over the pixels of a window that lie in the image."""
    (n, _, height, width), (o, c, kh, kw) = shape, w.shape
    (sh, sw), (ph, pw), (dh, dw) = op.stride, op.padding, op.dilation
    oh = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    ow = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((n, o, oh, ow), np.int32)
    for b, q, y, z in np.ndindex(out.shape):
        first = q // (o // op.groups) * c
        for k, i, j in itertools.product(range(c), range(kh), range(kw)):
            row, column = y * sh - ph + i * dh, z * sw - pw + j * dw
            if 0 <= row < height and 0 <= column < width:
                out[b, q, y, z] += (x[b][first + k][row][column] - zero) * int(w[q, k, i, j])
    return out


@reference("LinearInt8")
def linear_int8(op: Any, x: Array, x_scale: Array, w: Array, w_scale: Array, zero: Array | int = 0) -> Array:
    return (x.astype(float) - zero) * x_scale @ (w.astype(float).T * w_scale)


@reference("Conv2dInt8")
def conv2d_int8(op: Any, x: Array, x_scale: Array, w: Array, w_scale: Array, zero: Array | int = 0) -> Array:
    return _correlate(op, x.tolist(), w, x.shape, int(zero)) * x_scale * np.reshape(w_scale, (-1, 1, 1))


def nibbles(packed: Array) -> Array:
    """Signed four-bit codes, the low half of each byte first."""
    values = [v for byte in packed.view(np.uint8).reshape(-1).tolist() for v in (byte % 16, byte // 16)]
    signed = [v - 16 if v > 7 else v for v in values]
    return np.array(signed).reshape(*packed.shape[:-1], 2 * packed.shape[-1])


def _weights(packed: Array, scale: Array) -> Array:
    codes = nibbles(packed)
    return codes * np.repeat(scale, codes.shape[1] // scale.shape[1], 1)


@reference("GroupMatMul")
def group_matmul(op: Any, x: Array, w: Array, scale: Array) -> Array:
    return x.astype(float) @ _weights(w, scale).T


@reference("LinearInt4")
def linear_int4(op: Any, x: Array, x_scale: Array, w: Array, w_scale: Array) -> Array:
    return x * x_scale @ _weights(w, w_scale).T


@reference("LookupInt8")
def lookup_int8(op: Any, codes: Array, scale: Array, ids: Array) -> Array:
    return (codes * scale)[ids]


@reference("LookupInt4")
def lookup_int4(op: Any, codes: Array, scale: Array, ids: Array) -> Array:
    return _weights(codes, scale)[ids]
