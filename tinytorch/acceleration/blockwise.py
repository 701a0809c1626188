"""Element-wise work on NumPy block by block: what a call makes is in the cache when the next reads it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tinytorch.ops.spec import Array

BLOCK = 32768
"""Elements: 128 KiB of float32, of which a common second cache holds a few."""


def in_blocks(
    kernel: Callable[..., Sequence[Array]],
    inputs: Sequence[Array],
    outputs: Sequence[Array],
    block: int = BLOCK,
) -> None:
    """Fill `outputs` with what `kernel` makes of `inputs`, as many rows at a time as `block` elements hold.

    kernel: takes an array in the place of each input, and gives one for each output; what it makes at a place
    depends on the inputs at that place alone. outputs: arrays of one shape, of one axis or more; inputs:
    arrays that broadcast to it. A row is what lies at one index of the outputs' first axis. A block has
    `block` elements of each output or fewer, in whole rows, but one row at least; the last block is what is
    left. Of an input with as many axes and rows as the outputs the kernel gets the rows of the block; any
    other (a bias, a number, a single row) it gets whole, and broadcasts it.

    >>> import numpy as np
    >>> x, out = np.arange(6.0).reshape(3, 2), np.empty((3, 2))
    >>> in_blocks(lambda x, bias: [np.exp(x * 0.0) + bias], [x, np.array([1.0, 2.0])], [out], block=4)
    >>> out
    array([[2., 3.],
           [2., 3.],
           [2., 3.]])
    """
    shape = outputs[0].shape
    step = max(1, block // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        rows = slice(start, start + step)
        pieces = [a[rows] if a.ndim == len(shape) and len(a) == shape[0] else a for a in inputs]
        for out, piece in zip(outputs, kernel(*pieces), strict=True):
            out[rows] = piece
