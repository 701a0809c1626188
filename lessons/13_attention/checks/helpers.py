"""Attention computed the slow way: one query at a time, in float64, with nothing of TinyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any


def may_see(causal: bool, mask: Array | None, shape: tuple[int, int, int, int]) -> Array:
    """bool (batch, heads, t, s): what each query may attend to."""
    _, _, t, s = shape
    allowed = np.ones(shape, bool) if mask is None else np.broadcast_to(mask, shape).copy()
    for i in range(t):
        for j in range(s):
            if causal and j > i + s - t:
                allowed[:, :, i, j] = False
    return allowed


def weights_of(q: Array, k: Array, scale: float, causal: bool = False, mask: Array | None = None) -> Array:
    """The attention weights, row by row; a row that sees nothing is zero."""
    q, k = np.asarray(q, np.float64), np.asarray(k, np.float64)
    b, h, t, _ = q.shape
    s = k.shape[2]
    allowed = may_see(causal, mask, (b, h, t, s))
    out = np.zeros((b, h, t, s))
    for n, m, i in np.ndindex(b, h, t):
        seen = [j for j in range(s) if allowed[n, m, i, j]]
        scores = [float(q[n, m, i] @ k[n, m, j]) * scale for j in seen]
        top = max(scores, default=0.0)
        parts = [math.exp(score - top) for score in scores]
        for j, part in zip(seen, parts, strict=True):
            out[n, m, i, j] = part / math.fsum(parts)
    return out


def attend(
    q: Array, k: Array, v: Array, scale: float, causal: bool = False, mask: Array | None = None
) -> Array:
    """Each query's weighted sum of values, float64."""
    return weights_of(q, k, scale, causal, mask) @ np.asarray(v, np.float64)


def differences(function: Any, arrays: list[Array], cotangent: Array, step: float = 1e-6) -> list[Array]:
    """Central differences of sum(cotangent * function(*arrays)) in every element of every array."""
    found = []
    for number, array in enumerate(arrays):
        slope = np.zeros_like(array)
        for at in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                moved[number][at] += sign * step
                ends.append(float((function(*moved) * cotangent).sum()))
            slope[at] = (ends[0] - ends[1]) / (2 * step)
        found.append(slope)
    return found
