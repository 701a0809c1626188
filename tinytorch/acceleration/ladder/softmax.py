"""The same softmax in three passes over memory, fused into one, and online: loops for a compiler.

Without one they run in Python, and give the same, some thousand times slower.
"""

from __future__ import annotations

import numpy as np

from tinytorch.ops.spec import Array

BLOCK = 256
"""Numbers of a row that `online` reads twice: the second time they are in the nearest cache."""

# numbers in float32, so that no step of a loop is done in float64
_LOWEST = np.finfo(np.float32).min
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_SMALLEST, _LARGEST = np.float32(-87.3), np.float32(88.3)
_PER_LOG2 = np.float32(1.44269504)
_LOG2_HIGH, _LOG2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_C2, _C3, _C4 = np.float32(0.5), np.float32(1.6666665459e-1), np.float32(4.1665795894e-2)
_C5, _C6, _C7 = np.float32(8.3334519073e-3), np.float32(1.3981999507e-3), np.float32(1.9875691500e-4)
_BIAS, _MANTISSA = np.int32(127), np.int32(23)


def exp(x: np.float32) -> np.float32:
    """e ** x in float32, to some 1e-7 of its value; 0 below -87.3, e ** 88.3 above that, NaN for NaN.

    x = k * log 2 + r with |r| <= log(2) / 2: a polynomial gives e ** r, and 2 ** k is written into the bits
    of the exponent. There is no call and no branch in it, so that a compiler does several at a time.
    The coefficients are those of Moshier's Cephes library, 1992.

    >>> float(exp(np.float32(1.0))), float(exp(np.float32(-100.0)))
    (2.71828..., 0.0)
    """
    held = min(max(x, _SMALLEST), _LARGEST)
    k = np.floor(held * _PER_LOG2 + _HALF)
    r = held - k * _LOG2_HIGH - k * _LOG2_LOW
    tail = ((((_C7 * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _C2
    power = (tail * r * r + r + _ONE) * np.int32((np.int32(k) + _BIAS) << _MANTISSA).view(np.float32)
    return _ZERO if x < _SMALLEST else power


def three_passes(x: Array, out: Array) -> None:
    """Softmax of each row of x, in passes over the whole matrix: maxima, then powers and sums, then shares.

    x, out: (rows, columns), float32. x is read twice, out is written, read and written again; a matrix that
    no cache holds comes from memory each time. A row of nothing but -inf gives zeros, one with NaN all NaN.

    >>> out = np.empty((1, 2), np.float32)
    >>> three_passes(np.zeros((1, 2), np.float32), out)
    >>> out
    array([[0.5, 0.5]], dtype=float32)
    """
    rows, columns = x.shape
    tops = np.full(rows, _LOWEST, np.float32)
    totals = np.zeros(rows, np.float32)
    for i in range(rows):
        top = _LOWEST
        for j in range(columns):
            top = max(top, x[i, j])
        tops[i] = top
    for i in range(rows):
        top, total = tops[i], _ZERO
        for j in range(columns):
            power = exp(x[i, j] - top)
            out[i, j] = power
            total += power
        totals[i] = total
    for i in range(rows):
        share = _ZERO if totals[i] == _ZERO else _ONE / totals[i]
        for j in range(columns):
            out[i, j] *= share


def fused(x: Array, out: Array) -> None:
    """Softmax of each row of x, one row at a time: its maximum, its powers and their sum, its shares.

    x, out: (rows, columns), float32. The same steps as `three_passes`, all three for a row while it is in
    the cache: memory is read once and written once. The maximum starts at the lowest finite number, so that
    -inf minus it is -inf; where the sum is 0 the row stays zeros. Powers are those of `exp`.

    >>> out = np.empty((1, 2), np.float32)
    >>> fused(np.array([[-np.inf, 1e4]], np.float32), out)
    >>> out
    array([[0., 1.]], dtype=float32)
    """
    rows, columns = x.shape
    for i in range(rows):
        top, total = _LOWEST, _ZERO
        for j in range(columns):
            top = max(top, x[i, j])
        for j in range(columns):
            power = exp(x[i, j] - top)
            out[i, j] = power
            total += power
        share = _ZERO if total == _ZERO else _ONE / total
        for j in range(columns):
            out[i, j] *= share


def online(x: Array, out: Array) -> None:
    """Softmax of each row of x with maximum and sum in one pass, whatever the row's length.

    x, out: (rows, columns), float32. Block by block the largest number so far is kept, and the sum of powers
    relative to it; a larger one scales that sum down. A second pass writes the shares: nothing of a row need
    stay in the cache, but each power is taken twice.
    Milakov, Gimelshein, "Online normalizer calculation for softmax", 2018.

    >>> out = np.empty((1, 2), np.float32)
    >>> online(np.array([[-np.inf, 1e4]], np.float32), out)
    >>> out
    array([[0., 1.]], dtype=float32)
    """
    rows, columns = x.shape
    for i in range(rows):
        top, total = _LOWEST, _ZERO
        for start in range(0, columns, BLOCK):
            end = min(start + BLOCK, columns)
            before, part = top, _ZERO
            for j in range(start, end):
                top = max(top, x[i, j])
            for j in range(start, end):
                part += exp(x[i, j] - top)
            total = total * exp(before - top) + part
        share = _ZERO if total == _ZERO else _ONE / total
        for j in range(columns):
            out[i, j] = exp(x[i, j] - top) * share


def whole(x: Array) -> Array:
    """Softmax of each row of x in plain NumPy: each step a pass over the whole matrix, into new memory.

    >>> whole(np.zeros((1, 2)))
    array([[0.5, 0.5]])
    """
    powers = np.exp(x - x.max(1, keepdims=True))
    out: Array = powers / powers.sum(1, keepdims=True)
    return out
