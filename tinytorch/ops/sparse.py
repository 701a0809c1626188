"""Linear layers whose weight is sparse: only the weights that are stored are read, and multiplied.

Two ways to store w: (n, k). In rows (CSR, compressed sparse rows): the values of all rows behind each other,
with the column of each, and where each row starts. In blocks of 8 outputs x 1 input: blocks behind each
other, 8 rows at a time, with the column of each, and where each 8 rows start; a vector of the processor is
as wide. These ops have no gradient: training multiplies a dense weight by a mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import ShapeError
from tinytorch.ops.base import Op, Sample
from tinytorch.ops.quantize import require_dtype
from tinytorch.ops.spec import Array, Spec, int32, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

BLOCK = 8
"""Outputs of a block."""
TERMS = 2**22
"""Products that `forward` holds at a time, about; those of one row of x at least."""


def check_starts(op: str, starts: Array, stored: int) -> Array:
    """`starts` if they are such: from 0 to the number of what is stored, none below the one before it.

    starts: integers (rows + 1,). Raises ShapeError, which names `op` and what is wrong.

    >>> check_starts("linear_csr", np.int32([0, 2, 2, 3]), 3).tolist()
    [0, 2, 2, 3]
    """
    first, last = int(starts[0]), int(starts[-1])
    if (first, last) != (0, stored):
        raise ShapeError(f"{op}: starts go from {first} to {last}; expected 0 to {stored}, what is stored")
    back = np.flatnonzero(starts[1:] < starts[:-1])
    if back.size:
        row = int(back[0])
        raise ShapeError(
            f"{op}: starts[{row + 1}] is {starts[row + 1]}, below starts[{row}] = {starts[row]}: "
            "each must be at least the one before it"
        )
    return starts


def check_columns(op: str, columns: Array, k: int) -> Array:
    """`columns` if all lie within 0 .. k - 1. Raises ShapeError, which names `op` and the worst of them.

    >>> check_columns("linear_csr", np.int32([0, 2]), 3).tolist()
    [0, 2]
    """
    if columns.size:
        low, high = int(columns.min()), int(columns.max())
        if low < 0 or high >= k:
            worst = low if low < 0 else high
            raise ShapeError(f"{op}: column {worst} is out of range for {k} inputs (0 to {k - 1})")
    return columns


def sum_runs(terms: Array, starts: Array) -> Array:
    """Sums of runs of rows: out[i] = terms[starts[i] : starts[i + 1]].sum(0), zeros for an empty run.

    terms: (stored, ...), starts: integers (rows + 1,) from 0 to stored, in order; result (rows, ...).

    >>> sum_runs(np.float32([1, 2, 4]), np.int32([0, 2, 2, 3])).tolist()
    [3.0, 0.0, 4.0]
    """
    out = np.zeros((len(starts) - 1, *terms.shape[1:]), terms.dtype)
    filled = starts[1:] > starts[:-1]
    if filled.any():  # where an empty run is left out, the next one starts where the one before it ends
        out[filled] = np.add.reduceat(terms, starts[:-1][filled], axis=0)
    return out


class Sparse(Op):
    """Base of both: x: (..., k), values, columns: int32 (stored,), starts: int32 (runs + 1,), bias: (n,)."""

    keeps: ClassVar[Any] = ()

    def _outputs(self, starts: Spec) -> int:
        """How many outputs there are."""
        raise NotImplementedError

    def _check(self, x: Spec, values: Spec, columns: Spec, starts: Spec, *bias: Spec) -> Spec:
        """The result's spec, if all but the shape of `values` is right."""
        require_float(self.name, x, values, *bias)
        require_dtype(self.name, "columns", columns, int32)
        require_dtype(self.name, "starts", starts, int32)
        if x.ndim == 0:
            raise ShapeError(f"{self.name}: x has no axes; expected (..., k)")
        if columns.ndim != 1 or columns.shape != values.shape[:1]:
            raise ShapeError(
                f"{self.name}: values {values.shape} and columns {columns.shape}; expected a column for each"
            )
        if starts.ndim != 1 or starts.size == 0:
            raise ShapeError(f"{self.name}: starts are {starts.shape}; expected one more than there are rows")
        n = self._outputs(starts)
        if bias and bias[0].shape != (n,):
            raise ShapeError(f"{self.name}: the bias is {bias[0].shape}; expected ({n},), one an output")
        return Spec((*x.shape[:-1], n), x.dtype)

    def _sums(self, terms: Array, starts: Array) -> Array:
        """(n, rows): the sums of what `_terms` makes."""
        raise NotImplementedError

    def _terms(self, x: Array, values: Array) -> Array:
        """Products of each value with what x, (stored, rows), has at its column."""
        raise NotImplementedError

    def forward(self, x: Array, values: Array, columns: Array, starts: Array, *bias: Array) -> Any:
        """(..., n): products of what is stored with the inputs at its columns, summed by output; the bias.

        Raises ShapeError for a column that x does not have, and for starts that are none.
        """
        k = x.shape[-1]
        check_columns(self.name, columns, k)
        check_starts(self.name, starts, len(values))
        rows = x.reshape(-1, k) if x.size else np.zeros((int(np.prod(x.shape[:-1])), k), x.dtype)
        out = np.zeros((len(rows), self._outputs(Spec(starts.shape, starts.dtype))), x.dtype)
        step = max(1, TERMS // max(values.size, 1))
        for first in range(0, len(rows), step):
            part = np.ascontiguousarray(rows[first : first + step].T)[columns]
            out[first : first + step] = self._sums(self._terms(part, values), starts).T
        if bias:
            out += bias[0]
        return out.reshape(*x.shape[:-1], out.shape[1])

    def matmul_flops(self, out: Spec, x: Spec, values: Spec, *rest: Spec) -> int:
        return 2 * values.size * (out.size // max(out.shape[-1], 1))

    def flops(self, out: Spec, x: Spec, values: Spec, columns: Spec, starts: Spec, *bias: Spec) -> int:
        return self.matmul_flops(out, x, values) + (out.size if bias else 0)


class LinearCSR(Sparse):
    """out[..., i] = the sum of values[j] * x[..., columns[j]], j from starts[i] to starts[i + 1], + bias[i]

    x: (..., k), values: (stored,), columns: int32 (stored,), starts: int32 (n + 1,), bias: (n,) or left out;
    out: (..., n). A column may come twice in a row.
    """

    def _outputs(self, starts: Spec) -> int:
        return starts.size - 1

    def infer(self, x: Spec, values: Spec, columns: Spec, starts: Spec, *bias: Spec) -> Spec:
        if values.ndim != 1:
            raise ShapeError(f"{self.name}: values are {values.shape}; expected one axis, (stored,)")
        return self._check(x, values, columns, starts, *bias)

    def _terms(self, x: Array, values: Array) -> Array:
        return x * values[:, None]

    def _sums(self, terms: Array, starts: Array) -> Array:
        return sum_runs(terms, starts)


@dataclass
class LinearBlocked(Sparse):
    """out[..., 8 i + l] = the sum of values[j, l] * x[..., columns[j]] for j from starts[i] to starts[i + 1],
    + bias[8 i + l]

    x: (..., k), values: (blocks, 8), columns: int32 (blocks,), starts: int32 (n / 8 + 1,), bias: (n,) or left
    out; out: (..., n). n need not be whole eights: what a block has beyond counts for nothing.
    """

    n: int

    def _outputs(self, starts: Spec) -> int:
        return self.n

    def infer(self, x: Spec, values: Spec, columns: Spec, starts: Spec, *bias: Spec) -> Spec:
        if values.ndim != 2 or values.shape[1] != BLOCK:
            raise ShapeError(f"{self.name}: values are {values.shape}; expected (blocks, {BLOCK})")
        if self.n < 0:
            raise ShapeError(f"{self.name}: {self.n} outputs")
        out = self._check(x, values, columns, starts, *bias)
        if starts.size - 1 != -(-self.n // BLOCK):
            raise ShapeError(
                f"{self.name}: starts are {starts.shape}; {self.n} outputs in blocks of {BLOCK} have "
                f"({-(-self.n // BLOCK) + 1},)"
            )
        return out

    def _terms(self, x: Array, values: Array) -> Array:
        return x[:, None] * values[:, :, None]

    def _sums(self, terms: Array, starts: Array) -> Array:
        sums = sum_runs(terms, starts)
        return sums.reshape(-1, sums.shape[-1])[: self.n]


_COLUMNS = np.array([0, 2, 1, 2, 2], np.int32)
LinearCSR.samples = [
    Sample(None, (2, 3), (5,), _COLUMNS, np.array([0, 2, 2, 5], np.int32), differentiable=False),
    Sample(None, (2, 2, 3), (5,), _COLUMNS, np.array([0, 0, 1, 5, 5], np.int32), (4,), differentiable=False),
    Sample(None, (3, 4), (0,), np.zeros(0, np.int32), np.zeros(3, np.int32), (2,), differentiable=False),
    Sample(None, (0, 3), (5,), _COLUMNS, np.array([0, 5], np.int32), differentiable=False),
]
LinearBlocked.samples = [
    Sample(
        LinearBlocked(16), (2, 3), (5, BLOCK), _COLUMNS, np.array([0, 2, 5], np.int32), differentiable=False
    ),
    Sample(
        LinearBlocked(19),
        (2, 2, 3),
        (5, BLOCK),
        _COLUMNS,
        np.array([0, 4, 4, 5], np.int32),
        (19,),
        differentiable=False,
    ),
    Sample(
        LinearBlocked(3), (4,), (0, BLOCK), np.zeros(0, np.int32), np.zeros(2, np.int32), differentiable=False
    ),
]


# ---------------------------------------------------------------- the functions people call

_linear_csr = LinearCSR()


def linear_csr(
    x: Tensor, values: Tensor, columns: Tensor, starts: Tensor, bias: Tensor | None = None
) -> Tensor:
    """x @ w^T + bias for a w: (n, k) stored by rows; x: (..., k), result (..., n).

    values: (stored,), columns: int32 (stored,) within 0 .. k - 1, starts: int32 (n + 1,), so that row i of w
    has values[starts[i] : starts[i + 1]] at those columns. Raises DTypeError and ShapeError.

    >>> rows = [tt.Tensor([0, 2, 1], dtype="int32"), tt.Tensor([0, 2, 3], dtype="int32")]
    >>> linear_csr(tt.Tensor([[1.0, 10.0, 100.0]]), tt.Tensor([1.0, 2.0, 3.0]), *rows)
    Tensor([[201.,  30.]])
    """
    return _linear_csr(x, values, columns, starts, *(() if bias is None else (bias,)))


def linear_blocked(
    x: Tensor, n: int, values: Tensor, columns: Tensor, starts: Tensor, bias: Tensor | None = None
) -> Tensor:
    """x @ w^T + bias for a w: (n, k) stored in blocks of 8 x 1; x: (..., k), result (..., n).

    values: (blocks, 8), columns: int32 (blocks,), starts: int32 (n / 8 rounded up, + 1,): rows 8 i to 8 i + 7
    of w have the blocks from starts[i] to starts[i + 1], each a column of those rows.

    >>> values = tt.Tensor([[1.0, 2, 3, 4, 5, 6, 7, 8]])
    >>> ids = [tt.Tensor([1], dtype="int32"), tt.Tensor([0, 1], dtype="int32")]
    >>> linear_blocked(tt.Tensor([[1.0, 10.0]]), 3, values, *ids)
    Tensor([[10., 20., 30.]])
    """
    return LinearBlocked(n)(x, values, columns, starts, *(() if bias is None else (bias,)))
