"""The same matrix product four ways: loops over lists, in two orders, tiles, and loops for a compiler."""

from __future__ import annotations

import numpy as np

from tinytorch.ops.spec import Array

TILE = 64
"""Rows and columns of a tile: three tiles of float32 are 48 KiB, which the second cache holds with ease."""

Rows = list[list[float]]


def loops(a: Rows, b: Rows) -> Rows:
    """a @ b number by number; a: n lists of k numbers, b: k lists of m, result n lists of m.

    Each number of the result is a sum of its own, which takes a row of a and a column of b: the column's
    numbers lie in k different lists.

    >>> loops([[1.0, 2.0]], [[3.0], [4.0]])
    [[11.0]]
    """
    rows, depth, columns = len(a), len(b), len(b[0]) if b else 0
    out = [[0.0] * columns for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            total = 0.0
            for k in range(depth):
                total += a[i][k] * b[k][j]
            out[i][j] = total
    return out


def reordered(a: Rows, b: Rows) -> Rows:
    """a @ b with the loops in the order i, k, j; lists as in `loops`.

    A number of a is taken once and multiplies a whole row of b, which is added to a row of the result: both
    rows are read from left to right, as they lie in memory.

    >>> reordered([[1.0, 2.0]], [[3.0], [4.0]])
    [[11.0]]
    """
    rows, depth, columns = len(a), len(b), len(b[0]) if b else 0
    out = [[0.0] * columns for _ in range(rows)]
    for i in range(rows):
        total = out[i]
        for k in range(depth):
            factor, row = a[i][k], b[k]
            for j in range(columns):
                total[j] += factor * row[j]
    return out


def blocked(a: Array, b: Array, tile: int = TILE) -> Array:
    """a @ b tile by tile; a: (n, k), b: (k, m), result (n, m) in the dtype of both.

    All three sizes are cut into pieces of `tile`, the last piece of each being what is left. A tile of the
    result is the sum, over the pieces of k, of a tile of a times the tile of b that belongs to it; three
    tiles at a time lie in the cache, and each number in them is used `tile` times before it leaves. NumPy
    multiplies two tiles; sizes may be 0.

    >>> blocked(np.ones((3, 5)), np.ones((5, 2)), tile=2)
    array([[5., 5.],
           [5., 5.],
           [5., 5.]])
    """
    (n, depth), m = a.shape, b.shape[1]
    out = np.zeros((n, m), a.dtype)
    for i in range(0, n, tile):
        for j in range(0, m, tile):
            block = out[i : i + tile, j : j + tile]
            for k in range(0, depth, tile):
                block += a[i : i + tile, k : k + tile] @ b[k : k + tile, j : j + tile]
    return out


def multiply(a: Array, b: Array, out: Array) -> None:
    """Add a @ b to `out`, in the order of `reordered`, for a compiler: nothing but loops over arrays.

    a: (n, k), b: (k, m), out: (n, m). Compiled, the innermost loop takes several numbers at a time (SIMD),
    and reads and writes `out` in memory at each step.

    >>> out = np.zeros((1, 1), np.float32)
    >>> multiply(np.ones((1, 2), np.float32), np.ones((2, 1), np.float32), out)
    >>> out
    array([[2.]], dtype=float32)
    """
    rows, depth = a.shape
    columns = b.shape[1]
    for i in range(rows):
        for k in range(depth):
            factor = a[i, k]
            for j in range(columns):
                out[i, j] += factor * b[k, j]
