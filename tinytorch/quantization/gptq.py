"""Rounding that makes up for itself: what a weight loses by rounding, those after it in its row make good."""

from __future__ import annotations

import numpy as np

from tinytorch.ops.spec import Array
from tinytorch.quantization.grid import group_scales, largest_code

DAMP = 0.01
"""Of the mean of the diagonal, added to it, so that inputs that were never seen do no harm."""
STEPS = 26
"""Scales that are tried for a group."""


def inverse_factor(gram: Array) -> Array:
    """U, upper triangular, with U^T U = (gram + damping)^-1, the damping DAMP of the mean of its diagonal.

    gram: (k, k), the sum of x^T x over the inputs x of a layer.
    """
    damped = gram + np.diag(np.full(len(gram), DAMP * max(float(np.mean(np.diag(gram))), 1e-12)))
    inverse = np.linalg.inv(damped)
    return np.linalg.cholesky((inverse + inverse.T) / 2).T


def rounded_in_turn(w: Array, gram: Array, scales: Array, bits: int = 8) -> Array:
    """int8 codes of w: (n, k), column by column, each error passed on to the columns not yet rounded.

    gram: (k, k), the sum of x^T x; scales: (n, groups), one for each run of k / groups columns. The columns
    whose inputs are largest come first, while others are left to make good what they lose.
    Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ: accurate post-training quantization for generative
    pre-trained transformers", 2022.
    """
    order = np.argsort(-np.diag(gram), kind="stable")
    factor = inverse_factor(gram[np.ix_(order, order)])
    work, codes = w.astype(np.float64)[:, order], np.zeros(w.shape, np.int8)
    size, most = w.shape[1] // scales.shape[1], largest_code(bits)
    for at, column in enumerate(order):
        scale = scales[:, column // size].astype(np.float64)
        code = np.clip(np.rint(work[:, at] / scale), -most, most)
        codes[:, column] = code
        error = (work[:, at] - code * scale) / factor[at, at]
        work[:, at:] -= np.outer(error, factor[at, at:])
    return codes


def least_squares_scales(w: Array, size: int, bits: int = 4) -> Array:
    """Scales of runs of `size` inputs of w: (n, k), at which codes lose least of it in the squares.

    From the scale that the largest number of a group asks for down to half of it: with few codes it is better
    to cut off one number than to round all others coarsely. float32 (n, k / size), as float16 holds it.
    """
    n, k = w.shape
    grouped = w.reshape(n, k // size, size).astype(np.float64)
    whole = group_scales(w, size, bits)
    best, least = stored(whole), np.full(whole.shape, np.inf)
    most = largest_code(bits)
    for share in np.linspace(1.0, 0.5, STEPS):
        scales = stored(whole * np.float32(share))
        codes = np.clip(np.rint(grouped / scales[:, :, None]), -most, most)
        loss = np.square(grouped - codes * scales[:, :, None]).sum(2)
        best, least = np.where(loss < least, scales, best), np.minimum(loss, least)
    return best


def stored(scales: Array) -> Array:
    """Scales as float16 holds them, above 0: the smallest it has if they would become 0.

    >>> stored(np.array([1e-9, 0.1], np.float32))
    array([5.9604645e-08, 9.9975586e-02], dtype=float32)
    """
    least = np.finfo(np.float16).smallest_subnormal
    most = np.finfo(np.float16).max
    return np.clip(scales, least, most).astype(np.float16).astype(np.float32)
