"""Kernels whose sums stay in registers: a matrix product and a convolution in tiles of 6 x 2 vectors.

A multiply-add that takes its numbers from memory waits for them. A tile of 6 rows by 2 vectors takes 8 values
(2 vectors of one factor, 6 numbers of the other) for 12 multiply-adds, and its sums fill 12 of 16 registers.
Goto, van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tinytorch.acceleration.ladder.simd import WIDTH, add, load, multiply_add, prefetch, spread, store, zero
from tinytorch.ops.spec import Array

ROWS, COLUMNS = 6, 2 * WIDTH
DEPTH = 384
"""Steps of the inner sum at a time: COLUMNS * DEPTH floats of b, 24 KiB, stay in the nearest cache."""
HEIGHT = 96
"""Rows of a at a time: HEIGHT * DEPTH floats of a stay in the second cache, 144 KiB."""

kernel: Callable[[Callable[..., Any]], Any] = numba.njit(error_model="numpy")


@kernel
def _row(x: Any, b0: Any, b1: Any, c0: Any, c1: Any) -> Any:
    """One row of a tile: a number in all lanes, times two vectors, added to two sums."""
    return multiply_add(x, b0, c0), multiply_add(x, b1, c1)


@kernel
def _put(out: Any, at: int, c0: Any, c1: Any) -> None:
    """Add two sums to what is in memory."""
    store(out, at, add(load(out, at), c0))
    store(out, at + WIDTH, add(load(out, at + WIDTH), c1))


@kernel
def _tile(a: Any, i: int, b: Any, j: int, depth: int, out: Any, at: int, stride: int) -> None:
    """Add the product of a panel of a, from a[i], and one of b, from b[j], to a tile of out, from out[at].

    Panels are what `_pack_rows` and `_pack_columns` make; rows of the tile lie `stride` apart. The tile's
    own memory is asked for at once and needed at the end, when it has come.
    """
    for row in range(ROWS):
        prefetch(out, at + row * stride)
        prefetch(out, at + row * stride + COLUMNS - 1)
    c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = c40 = c41 = c50 = c51 = zero()
    for k in range(depth):
        p, q = i + ROWS * k, j + COLUMNS * k
        b0, b1 = load(b, q), load(b, q + WIDTH)
        c00, c01 = _row(spread(a, p), b0, b1, c00, c01)
        c10, c11 = _row(spread(a, p + 1), b0, b1, c10, c11)
        c20, c21 = _row(spread(a, p + 2), b0, b1, c20, c21)
        c30, c31 = _row(spread(a, p + 3), b0, b1, c30, c31)
        c40, c41 = _row(spread(a, p + 4), b0, b1, c40, c41)
        c50, c51 = _row(spread(a, p + 5), b0, b1, c50, c51)
    _put(out, at, c00, c01)
    _put(out, at + stride, c10, c11)
    _put(out, at + 2 * stride, c20, c21)
    _put(out, at + 3 * stride, c30, c31)
    _put(out, at + 4 * stride, c40, c41)
    _put(out, at + 5 * stride, c50, c51)


@kernel
def _pack_rows(a: Array, panels: Array) -> None:
    """Panels of 6 rows of a, (rows, depth): 6 numbers of one column lie together, then those of the next."""
    rows, depth = a.shape
    for top in range(0, rows, ROWS):
        for row in range(top, min(top + ROWS, rows)):
            at = top * depth + row - top
            for k in range(depth):
                panels[at + ROWS * k] = a[row, k]


@kernel
def _pack_columns(b: Array, panels: Array) -> None:
    """Panels of 2 vectors of columns of b, (depth, columns): what a tile reads in turn lies in a row."""
    depth, columns = b.shape
    flat = b.reshape(-1)
    for k in range(depth):
        for left in range(0, columns, COLUMNS):
            at, place = left * depth + COLUMNS * k, k * columns + left
            if left + COLUMNS <= columns:
                store(panels, at, load(flat, place))
                store(panels, at + WIDTH, load(flat, place + WIDTH))
            else:
                for column in range(columns - left):
                    panels[at + column] = flat[place + column]


@kernel
def _add_block(a: Array, a_rows: int, b: Array, depth: int, out: Array, top: int, scratch: Array) -> None:
    """Add a packed block of a, times packed columns of b, to rows of out from `top` on.

    A tile that sticks out goes to `scratch` first, and from there what is inside.
    """
    columns = out.shape[1]
    flat = out.reshape(-1)
    for left in range(0, columns, COLUMNS):
        for row in range(0, a_rows, ROWS):
            high, wide = min(ROWS, a_rows - row), min(COLUMNS, columns - left)
            if high == ROWS and wide == COLUMNS:
                at = (top + row) * columns + left
                _tile(a, row * depth, b, left * depth, depth, flat, at, columns)
            else:
                scratch[:] = 0
                _tile(a, row * depth, b, left * depth, depth, scratch, 0, COLUMNS)
                for y in range(high):
                    for x in range(wide):
                        out[top + row + y, left + x] += scratch[y * COLUMNS + x]


@kernel
def _multiply(a: Array, b: Array, out: Array) -> None:
    rows, whole_depth = a.shape
    columns = -(-b.shape[1] // COLUMNS) * COLUMNS
    # room that no panel fills is zeros or what was there before: it meets only sums that nobody reads
    a_panels = np.zeros(HEIGHT * DEPTH, np.float32)
    b_panels = np.zeros(columns * DEPTH, np.float32)
    scratch = np.zeros(ROWS * COLUMNS, np.float32)
    for first in range(0, whole_depth, DEPTH):
        last = min(first + DEPTH, whole_depth)
        _pack_columns(b[first:last], b_panels)
        for top in range(0, rows, HEIGHT):
            end = min(top + HEIGHT, rows)
            _pack_rows(a[top:end, first:last], a_panels)
            _add_block(a_panels, end - top, b_panels, last - first, out, top, scratch)


def matmul(a: Array, b: Array) -> Array:
    """a @ b in register tiles; a: (n, k), b: (k, m), both float32; result (n, m), on one thread."""
    out = np.zeros((a.shape[0], b.shape[1]), np.float32)
    _multiply(np.ascontiguousarray(a), np.ascontiguousarray(b), out)
    return out


# ---------------------------------------------------------------- convolution


@kernel
def _pixels(image: Any, p: int, filters: Any, q: int, offsets: Any, out: Any, at: int, stride: int) -> None:
    """Six pixels that lie side by side, from image[p], times two vectors of filters: added to out[at].

    A step of the sum is one element of the window; offsets[k] is how far it lies from the window's corner.
    Pixels lie `stride` apart in out.
    """
    c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = c40 = c41 = c50 = c51 = zero()
    for k in range(offsets.size):
        corner, f = p + offsets[k], q + COLUMNS * k
        f0, f1 = load(filters, f), load(filters, f + WIDTH)
        c00, c01 = _row(spread(image, corner), f0, f1, c00, c01)
        c10, c11 = _row(spread(image, corner + 1), f0, f1, c10, c11)
        c20, c21 = _row(spread(image, corner + 2), f0, f1, c20, c21)
        c30, c31 = _row(spread(image, corner + 3), f0, f1, c30, c31)
        c40, c41 = _row(spread(image, corner + 4), f0, f1, c40, c41)
        c50, c51 = _row(spread(image, corner + 5), f0, f1, c50, c51)
    _put(out, at, c00, c01)
    _put(out, at + stride, c10, c11)
    _put(out, at + 2 * stride, c20, c21)
    _put(out, at + 3 * stride, c30, c31)
    _put(out, at + 4 * stride, c40, c41)
    _put(out, at + 5 * stride, c50, c51)


@kernel
def _convolve(image: Array, width: int, panels: Array, offsets: Array, out: Array) -> None:
    """Add to out, (rows, columns in sixes, filters in blocks of COLUMNS); image: framed and flat."""
    rows, columns, filters = out.shape
    flat = out.reshape(-1)
    for first in range(0, filters, COLUMNS):
        for y in range(rows):
            for x in range(0, columns, ROWS):
                at = (y * columns + x) * filters + first
                _pixels(image, y * width + x, panels, first * offsets.size, offsets, flat, at, filters)


def _panels(w: Array) -> Array:
    """Filters in blocks of COLUMNS, those of a block side by side for each element of the window."""
    blocks = -(-len(w) // COLUMNS)
    whole = np.zeros((blocks * COLUMNS, w[0].size), np.float32)
    whole[: len(w)] = w.reshape(len(w), -1)
    return whole.reshape(blocks, COLUMNS, -1).swapaxes(1, 2).reshape(-1)


def convolve(x: Array, w: Array, padding: int = 0) -> Array:
    """The convolution of one image, directly, in tiles of 6 pixels by 2 vectors of filters; one thread.

    x: (in, height, width), w: (out, in, kernel height, kernel width), both float32, stride 1; result
    (out, rows, columns), a view whose filters lie together in memory. No columns are written down: the tile
    reads the pixels where they are, each for all filters of its block.
    """
    (c, height, width), (o, _, kh, kw) = x.shape, w.shape
    rows, columns = height + 2 * padding - kh + 1, width + 2 * padding - kw + 1
    sixes, filters = -(-columns // ROWS) * ROWS, -(-o // COLUMNS) * COLUMNS
    framed = np.zeros((c, height + 2 * padding, sixes + kw - 1), np.float32)  # as wide as whole sixes read
    framed[:, padding : padding + height, padding : padding + width] = x
    plane, line = framed[0].size, framed.shape[2]
    offsets = plane * np.arange(c)[:, None, None] + line * np.arange(kh)[:, None] + np.arange(kw)
    out = np.zeros((rows, sixes, filters), np.float32)
    _convolve(framed.reshape(-1), line, _panels(w), offsets.reshape(-1), out)
    return out[:, :columns, :o].transpose(2, 0, 1)
