"""The same convolution three ways: loops over lists, im2col and a matrix product, loops for a compiler."""

from __future__ import annotations

import math

import numpy as np

from tinytorch.ops.spec import Array
from tinytorch.ops.window import Pair, count_windows, frame, views

Image = list[list[list[float]]]


def loops(image: Image, filters: list[Image], padding: int = 0) -> Image:
    """The convolution of one image, number by number, with stride 1.

    image: lists [channel][row][column]; filters: lists [filter][channel][row][column]; result lists
    [filter][row][column] of height + 2 * padding - kernel height + 1 rows, and columns likewise. What lies
    in the padding is 0, and so is skipped.

    >>> loops([[[1.0, 2.0], [3.0, 4.0]]], [[[[1.0, 0.0], [0.0, 1.0]]]])
    [[[5.0]]]
    """
    height, width = len(image[0]), len(image[0][0])
    kh, kw = len(filters[0][0]), len(filters[0][0][0])
    rows, columns = height + 2 * padding - kh + 1, width + 2 * padding - kw + 1
    out = [[[0.0] * columns for _ in range(rows)] for _ in filters]
    for q, window in enumerate(filters):
        for y in range(rows):
            for x in range(columns):
                total = 0.0
                for c, channel in enumerate(image):
                    for u in range(max(0, padding - y), min(kh, height + padding - y)):
                        for v in range(max(0, padding - x), min(kw, width + padding - x)):
                            total += channel[y + u - padding][x + v - padding] * window[c][u][v]
                out[q][y][x] = total
    return out


def im2col(
    x: Array, kernel: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1)
) -> Array:
    """Each window of the images as a column, so that a convolution becomes one matrix product.

    x: (n, c, height, width); result (n, c * kh * kw, oh * ow) in the dtype of x, where (kh, kw) is the kernel
    and (oh, ow) how many windows there are (`count_windows("im2col", ...)`). Windows go row by row: column
    y * ow + z is the window whose corner lies at row y * stride, column z * stride of the padded image.
    Row (channel * kh + u) * kw + v holds what lies at position (u, v) of all windows of that channel:
    u * dilation rows below the corner, and columns likewise. Padding is zeros. `views(frame(x, padding, 0.0),
    ...)` yields what lies at one position (u, v) of all windows after the other.
    Raises ShapeError where no window fits.

    >>> im2col(np.arange(9.0).reshape(1, 1, 3, 3), (2, 2))
    array([[[0., 1., 3., 4.],
            [1., 2., 4., 5.],
            [3., 4., 6., 7.],
            [4., 5., 7., 8.]]])
    """
    n, c, height, width = x.shape
    counts = count_windows("im2col", (height, width), kernel, stride, padding, dilation)
    positions = math.prod(kernel)
    columns = np.empty((n, c, positions, *counts), x.dtype)
    seen = views(frame(x, padding, 0.0), counts, kernel, stride, dilation)
    for position, view in enumerate(seen):
        columns[:, :, position] = view
    return columns.reshape(n, c * positions, math.prod(counts))


def multiplied(x: Array, w: Array, padding: int = 0) -> Array:
    """The convolution of one image as a matrix product: filters as rows, times windows as columns.

    x: (in, height, width), w: (out, in, kernel height, kernel width), stride 1; result (out, rows, columns).

    >>> multiplied(np.ones((1, 2, 2)), np.ones((1, 1, 3, 3)), padding=1)
    array([[[4., 4.],
            [4., 4.]]])
    """
    o, _, kh, kw = w.shape
    columns = im2col(x[None], (kh, kw), padding=(padding, padding))[0]
    rows = x.shape[1] + 2 * padding - kh + 1
    out: Array = (w.reshape(o, -1) @ columns).reshape(o, rows, -1)
    return out


def direct(framed: Array, w: Array, out: Array) -> None:
    """Add the convolution of one image to `out`, for a compiler: nothing but loops over arrays.

    framed: (in, height, width), its padding included; w: (out, in, kernel height, kernel width); out: (out,
    rows, columns). Compiled, the innermost loop takes several pixels of a row at a time (SIMD).

    >>> out = np.zeros((1, 1, 1), np.float32)
    >>> direct(np.ones((1, 2, 2), np.float32), np.ones((1, 1, 2, 2), np.float32), out)
    >>> out
    array([[[4.]]], dtype=float32)
    """
    filters, channels, kh, kw = w.shape
    _, rows, columns = out.shape
    for q in range(filters):
        for y in range(rows):
            for c in range(channels):
                for u in range(kh):
                    for v in range(kw):
                        factor = w[q, c, u, v]
                        for x in range(columns):
                            out[q, y, x] += factor * framed[c, y + u, x + v]
