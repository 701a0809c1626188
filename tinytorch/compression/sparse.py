"""Sparse weights: stored by rows or in blocks, there and back, and layers that multiply with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinytorch.errors import CompressionError
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module
from tinytorch.ops.shape import permute
from tinytorch.ops.sparse import BLOCK, linear_blocked, linear_csr
from tinytorch.ops.spec import Array
from tinytorch.profiling import words
from tinytorch.tensor import Tensor, from_numpy

# ---------------------------------------------------------------- formats


@dataclass(frozen=True)
class CSR:
    """A weight (n, k) by rows: row i has values[starts[i] : starts[i + 1]] at these columns, rising."""

    values: Array
    """float32 (stored,)"""
    columns: Array
    """int32 (stored,)"""
    starts: Array
    """int32 (n + 1,)"""
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes of all three arrays."""
        return self.values.nbytes + self.columns.nbytes + self.starts.nbytes


@dataclass(frozen=True)
class Blocked:
    """A weight (n, k) in blocks of 8 outputs x 1 input; rows 8 i to 8 i + 7 have those from starts[i] on."""

    values: Array
    """float32 (blocks, 8); rows beyond n are zeros"""
    columns: Array
    """int32 (blocks,)"""
    starts: Array
    """int32 (n / 8 rounded up, + 1,)"""
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes of all three arrays."""
        return self.values.nbytes + self.columns.nbytes + self.starts.nbytes


def to_csr(w: Array) -> CSR:
    """The weights of w: (n, k) that are not 0, row after row, each with its column; NaN is not 0, -0.0 is.

    Values become float32, columns and starts int32; within a row columns rise. starts: (n + 1,), starts[i]
    is where row i begins: starts[0] is 0, starts[n] the number of values, and a row of zeros starts where
    the next one does. Raises CompressionError unless w has two axes.

    >>> csr = to_csr(np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 0.0], [4.0, 0.0, 0.0]]))
    >>> csr.values.tolist(), csr.columns.tolist(), csr.starts.tolist()
    ([2.0, 3.0, 4.0], [1, 2, 0], [0, 2, 2, 3])
    """
    if w.ndim != 2:
        raise CompressionError(f"to_csr: a weight of shape {w.shape}; expected (n, k)")
    rows, columns = np.nonzero(w)
    starts = np.searchsorted(rows, np.arange(len(w) + 1))
    n, k = w.shape
    return CSR(w[rows, columns].astype(np.float32), columns.astype(np.int32), starts.astype(np.int32), (n, k))


def csr_to_dense(csr: CSR) -> Array:
    """The weight (n, k) in float32, zeros where nothing is stored.

    >>> csr_to_dense(to_csr(np.array([[0.0, 2.0], [3.0, 0.0]]))).tolist()
    [[0.0, 2.0], [3.0, 0.0]]
    """
    w = np.zeros(csr.shape, np.float32)
    rows = np.repeat(np.arange(csr.shape[0]), np.diff(csr.starts))
    w[rows, csr.columns] = csr.values
    return w


def csr_matvec(csr: CSR, x: Array) -> Array:
    """w @ x for a vector x: (k,); result (n,), float32. Only what is stored is multiplied, row by row.

    So an infinity or NaN in x reaches no output that has no weight for it. Raises CompressionError for an x
    of another shape.

    >>> csr_matvec(to_csr(np.array([[0.0, 2.0], [3.0, 4.0]])), np.float32([10.0, 1.0])).tolist()
    [2.0, 34.0]
    """
    n, k = csr.shape
    if x.shape != (k,):
        raise CompressionError(f"csr_matvec: x is {x.shape} for a weight of {csr.shape}; expected ({k},)")
    out = np.zeros(n, np.float32)
    for row in range(n):
        mine = slice(csr.starts[row], csr.starts[row + 1])
        out[row] = csr.values[mine] @ x[csr.columns[mine]]
    return out


def to_blocked(w: Array) -> Blocked:
    """The blocks of w: (n, k) that are not all 0: 8 rows at a time, from the first column to the last.

    Where n is no multiple of 8, rows of zeros fill the last blocks up. Raises CompressionError unless w has
    two axes.

    >>> blocked = to_blocked(np.array([[0.0, 2.0, 0.0], [0.0, 3.0, 0.0]]))
    >>> blocked.values.tolist(), blocked.columns.tolist(), blocked.starts.tolist()
    ([[2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]], [1], [0, 1])
    """
    if w.ndim != 2:
        raise CompressionError(f"to_blocked: a weight of shape {w.shape}; expected (n, k)")
    n, k = w.shape
    groups = -(-n // BLOCK)
    full = np.zeros((groups * BLOCK, k), np.float32)
    full[:n] = w
    blocks = full.reshape(groups, BLOCK, k).transpose(0, 2, 1)
    which, columns = np.nonzero((blocks != 0).any(2))
    starts = np.searchsorted(which, np.arange(groups + 1))
    return Blocked(blocks[which, columns], columns.astype(np.int32), starts.astype(np.int32), (n, k))


def blocked_to_dense(blocked: Blocked) -> Array:
    """The weight (n, k) in float32, zeros where nothing is stored.

    >>> blocked_to_dense(to_blocked(np.array([[0.0, 2.0], [3.0, 0.0]]))).tolist()
    [[0.0, 2.0], [3.0, 0.0]]
    """
    n, k = blocked.shape
    groups = len(blocked.starts) - 1
    blocks = np.zeros((groups, k, BLOCK), np.float32)
    blocks[np.repeat(np.arange(groups), np.diff(blocked.starts)), blocked.columns] = blocked.values
    return np.ascontiguousarray(blocks.transpose(0, 2, 1).reshape(groups * BLOCK, k)[:n])


def zero_blocks(w: Array) -> float:
    """The share of the blocks of 8 outputs x 1 input that are all 0.

    >>> zero_blocks(np.array([[0.0, 2.0], [0.0, 0.0]]))
    0.5
    """
    stored = to_blocked(w)
    blocks = (len(stored.starts) - 1) * w.shape[1]
    return 1 - len(stored.columns) / blocks if blocks else 0.0


# ---------------------------------------------------------------- layers


class Stored(Module):
    """Base of Linear layers that hold what is stored of their weight; x: (..., k), result (..., n).

    values, columns, starts and, where the layer had one, bias are buffers: these layers do not train.
    """

    values: Tensor
    columns: Tensor
    starts: Tensor

    def __init__(self, weight: CSR | Blocked, bias: Tensor | None = None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        for name in ("values", "columns", "starts"):
            self.register_buffer(name, from_numpy(getattr(weight, name).copy()))
        self.bias = None
        if bias is not None:
            self.register_buffer("bias", bias.detach().clone())

    @property
    def weight(self) -> Tensor:
        """The dense weight (out, in), for who reads a layer's weight itself."""
        return permute(self._product(from_numpy(np.eye(self.in_features, dtype=np.float32)), None), (1, 0))

    def forward(self, x: Tensor) -> Tensor:
        return self._product(x, self.bias)

    def _product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        dense = self.in_features * self.out_features
        return f"{self.in_features}, {self.out_features}, {words.percent(self.values.size / dense)} stored"


class SparseLinear(Stored):
    """A Linear layer whose weight is stored by rows (CSR).

    >>> layer = SparseLinear.of(Linear(4, 3))
    >>> layer.in_features, layer.out_features, layer(Tensor(np.ones((2, 4), np.float32))).shape
    (4, 3, (2, 3))
    """

    @classmethod
    def of(cls, layer: Linear) -> SparseLinear:
        """The same layer without its zeros."""
        return cls(to_csr(layer.weight.data), layer.bias)

    def _product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        return linear_csr(x, self.values, self.columns, self.starts, bias)


class BlockedLinear(Stored):
    """A Linear layer whose weight is stored in blocks of 8 outputs x 1 input.

    >>> layer = BlockedLinear.of(Linear(4, 3))
    >>> layer.in_features, layer.out_features, layer(Tensor(np.ones((2, 4), np.float32))).shape
    (4, 3, (2, 3))
    """

    @classmethod
    def of(cls, layer: Linear) -> BlockedLinear:
        """The same layer without the blocks that are all zeros."""
        return cls(to_blocked(layer.weight.data), layer.bias)

    def _product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        return linear_blocked(x, self.out_features, self.values, self.columns, self.starts, bias)
