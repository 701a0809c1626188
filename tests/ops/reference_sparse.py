"""What layers with sparse weights compute, written a second time: one stored weight at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops.reference import Array, reference


@reference("LinearCSR")
def linear_csr(op: Any, x: Array, values: Array, columns: Array, starts: Array, bias: Any = 0.0) -> Array:
    out = np.zeros((*x.shape[:-1], len(starts) - 1))
    for row in range(len(starts) - 1):
        for at in range(starts[row], starts[row + 1]):
            out[..., row] += values[at] * x[..., columns[at]]
    return out + bias


@reference("LinearBlocked")
def linear_blocked(op: Any, x: Array, values: Array, columns: Array, starts: Array, bias: Any = 0.0) -> Array:
    out = np.zeros((*x.shape[:-1], op.n))
    for row in range(op.n):
        for at in range(starts[row // 8], starts[row // 8 + 1]):
            out[..., row] += values[at, row % 8] * x[..., columns[at]]
    return out + bias
