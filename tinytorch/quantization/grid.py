"""Grids: the numbers that codes stand for, set by a largest value, a range, a channel or a group."""

from __future__ import annotations

import numpy as np

from tinytorch.errors import QuantizationError
from tinytorch.ops.quantize import TINY
from tinytorch.ops.spec import Array


def largest_code(bits: int) -> int:
    """The largest code of a symmetric grid: 2 ** (bits - 1) - 1, so that codes of x and -x are opposite.

    >>> largest_code(8), largest_code(4)
    (127, 7)
    """
    return int(2 ** (bits - 1) - 1)


def symmetric_scale(largest: Array, bits: int = 8) -> Array:
    """The scale at which the largest code stands for `largest`, which is 0 or more; float32, of its shape.

    Each is by itself: scale = largest / largest_code(bits). Where `largest` is below TINY, as in a channel of
    zeros, the scale is 1: then all codes are 0, and nothing is divided by 0.

    >>> symmetric_scale(np.array([12.7, 0.0]))
    array([0.1, 1. ], dtype=float32)
    """
    largest = np.asarray(largest, np.float32)
    return np.where(largest < TINY, np.float32(1), largest / np.float32(largest_code(bits)))


def affine_grid(low: float, high: float, bits: int = 8) -> tuple[Array, Array]:
    """(scale, zero point) at which codes from -2 ** (bits - 1) up stand for low .. high, widened to hold 0.

    scale = (high - low) / (2 ** bits - 1), float32. zero, int32, is the code of 0: low then has the lowest
    code. It is a code itself, within -2 ** (bits - 1) .. 2 ** (bits - 1) - 1, so that 0 is exact: padding and
    what ReLU cut off stay what they are. A range narrower than TINY, as 0 .. 0 is, gives scale 1, zero 0.

    >>> affine_grid(0.0, 25.5)
    (array(0.1, dtype=float32), array(-128, dtype=int32))
    """
    low, high = min(low, 0.0), max(high, 0.0)
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if high - low < TINY:
        return np.array(1, np.float32), np.array(0, np.int32)
    scale = (high - low) / (most - least)
    zero = min(max(round(least - low / scale), least), most)
    return np.array(scale, np.float32), np.array(zero, np.int32)


def codes_of(x: Array, scale: Array, bits: int = 8) -> Array:
    """int8 codes of x on a symmetric grid; scale broadcasts to x. Halves go to even codes.

    code = rint(x / scale), within -largest_code(bits) .. largest_code(bits).

    >>> codes_of(np.array([0.26, -9.0]), np.array(0.1), bits=4)
    array([ 3, -7], dtype=int8)
    """
    most = largest_code(bits)
    return np.clip(np.rint(x / scale), -most, most).astype(np.int8)


def numbers_of(codes: Array, scale: Array, zero: Array | int = 0) -> Array:
    """What codes stand for: (code - zero) * scale, float32. Codes are int8, and code - zero may be none.

    scale and zero broadcast to the codes.

    >>> numbers_of(np.array([3, -128], np.int8), np.array(0.5), 100)
    array([ -48.5, -114. ], dtype=float32)
    """
    return ((codes.astype(np.int32) - zero) * scale).astype(np.float32)


def channel_scales(w: Array, bits: int = 8) -> Array:
    """A symmetric scale for each output of a weight (outputs, ...): float32 (outputs,).

    Outputs may differ by orders of magnitude; with one scale for all, the small ones would become 0.

    >>> channel_scales(np.array([[1.27, -0.1], [0.0, -12.7]]))
    array([0.01, 0.1 ], dtype=float32)
    """
    return symmetric_scale(np.abs(w.reshape(len(w), -1)).max(1), bits)


def group_size(k: int, most: int) -> int:
    """The largest length of groups, a multiple of 8 and at most `most`, that divides k.

    Raises QuantizationError, which names k, where there is none: eight codes of four bits make an element.

    >>> group_size(784, 128), group_size(256, 32)
    (112, 32)
    """
    sizes = [size for size in range(8, min(most, k) + 1, 8) if k % size == 0]
    if not sizes:
        raise QuantizationError(f"int4: rows of {k} cannot be cut into groups of a multiple of 8. Use int8.")
    return sizes[-1]


def group_scales(w: Array, size: int, bits: int = 4) -> Array:
    """A symmetric scale for each run of `size` inputs of each output: w (n, k), result float32 (n, k / size).

    >>> group_scales(np.array([[7.0, 1.0, -0.7, 0.1]]), 2)
    array([[1. , 0.1]], dtype=float32)
    """
    n, k = w.shape
    return symmetric_scale(np.abs(w.reshape(n, k // size, size)).max(2), bits)


def group_codes(w: Array, scales: Array, bits: int = 4) -> Array:
    """int8 codes of w: (n, k), of its shape; scales: (n, groups), one for each run of k / groups inputs.

    Each is what `codes_of` gives for the number and the scale of its run.

    >>> group_codes(np.array([[7.0, 1.0, -0.7, 0.14]]), np.array([[1.0, 0.1]]))
    array([[ 7,  1, -7,  1]], dtype=int8)
    """
    n, k = w.shape
    grouped = w.reshape(n, scales.shape[1], k // scales.shape[1])
    return codes_of(grouped, scales[:, :, None], bits).reshape(n, k)
