"""Windows that slide over images: their sizes, their positions, and the frame of padding around an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.spec import Array, Spec

Pair: TypeAlias = tuple[int, int]


def pair(op: str, what: str, value: int | Sequence[int], least: int = 1) -> Pair:
    """(rows, columns) from one int or two; raises ShapeError below `least`, DTypeError for what is no int.

    >>> pair("conv2d", "stride", 2)
    (2, 2)
    """
    if type(value) is int and value >= least:
        return value, value
    both = (value, value) if isinstance(value, int | np.integer) else value
    if not isinstance(both, Sequence) or not all(isinstance(v, int | np.integer) for v in both):
        raise DTypeError(f"{op}: {what} is an int or a pair of ints, not {value!r}")
    if len(both) != 2 or min(both) < least:
        raise ShapeError(f"{op}: {what} is {value}; expected one int or two, each at least {least}")
    return int(both[0]), int(both[1])


def require_images(op: str, x: Spec) -> None:
    """Raises ShapeError unless x is (batch, channels, height, width)."""
    if x.ndim != 4:
        cure = " x.unsqueeze(0) adds a batch of one." if x.ndim == 3 else ""
        raise ShapeError(f"{op}: input {x.shape} is not (batch, channels, height, width).{cure}")


def count_windows(
    op: str, image: Sequence[int], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)
) -> Pair:
    """How many windows fit below and beside each other, as (rows, columns).

    image: (height, width) without its padding, which lies on both sides. Neighbouring windows start `stride`
    apart, neighbouring elements of a window lie `dilation` apart, so that k of them reach over
    dilation * (k - 1) + 1 pixels; a window that would stick out does not count.
    Raises ShapeError, which names kernel and image, where no window fits or the kernel is less than 1.

    >>> count_windows("conv2d", (28, 28), (3, 3), (2, 2), (1, 1))
    (14, 14)
    """
    counts = []
    for n, k, s, p, d in zip(image, kernel, stride, padding, dilation, strict=True):
        reach = d * (k - 1) + 1
        if k < 1 or reach > n + 2 * p:
            raise ShapeError(
                f"{op}: a kernel of {kernel[0]}x{kernel[1]} (dilation {dilation}) does not fit an image of "
                f"{image[0]}x{image[1]} with padding {padding}. Use a smaller kernel or more padding."
            )
        counts.append((n + 2 * p - reach) // s + 1)
    return counts[0], counts[1]


def frame(x: Array, padding: Pair, value: float) -> Array:
    """x: (n, c, h, w) with `padding` rows and columns of `value` on each side, in the memory order of x.

    Without padding it is x itself, not a copy.
    """
    rows, columns = padding
    if not rows and not columns:
        return x
    n, c, h, w = x.shape
    framed = np.full_like(x, value, shape=(n, c, h + 2 * rows, w + 2 * columns))
    framed[:, :, rows : rows + h, columns : columns + w] = x
    return framed


def unframe(framed: Array, padding: Pair, size: Pair) -> Array:
    """The image inside of a frame."""
    rows, columns = padding
    return framed[:, :, rows : rows + size[0], columns : columns + size[1]]


def views(framed: Any, counts: Pair, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Iterator[Any]:
    """For each position in the kernel, row by row: what lies under it in all windows, (n, c, *counts).

    framed: (n, c, height, width), its padding included; counts: windows as `count_windows` gives them.
    What is yielded for position (i, j) of the kernel is a slice of `framed`, not a copy: its element
    [:, :, y, x] is framed[:, :, y * stride + i * dilation, x * stride + j * dilation], for rows and columns
    each with its own stride and dilation. Works for arrays and for Tensors.

    >>> image = np.arange(9).reshape(1, 1, 3, 3)
    >>> [view.ravel().tolist() for view in views(image, (2, 2), (1, 2), (1, 1))]
    [[0, 1, 3, 4], [1, 2, 4, 5]]
    """
    (oh, ow), (sh, sw), (dh, dw) = counts, stride, dilation
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dh, j * dw
            yield framed[:, :, top : top + sh * (oh - 1) + 1 : sh, left : left + sw * (ow - 1) + 1 : sw]
