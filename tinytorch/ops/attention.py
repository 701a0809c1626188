"""Scaled dot-product attention as one op, forward and backward."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops import softmax
from tinytorch.ops.base import Gradient, Op, Sample, lift
from tinytorch.ops.compare import where
from tinytorch.ops.spec import Array, Spec, bool_, broadcast, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor


@functools.lru_cache(maxsize=16)
def _causal(queries: int, keys: int) -> Array:
    """bool (queries, keys): the last query sees all keys, each earlier one a key less."""
    return np.tri(queries, keys, keys - queries, dtype=bool)


@functools.lru_cache(maxsize=16)
def _causal_bias(queries: int, keys: int, dtype: str) -> Array:
    return np.where(_causal(queries, keys), 0, -np.inf).astype(dtype)


def _visible(causal: bool, queries: int, keys: int) -> tuple[int, int]:
    """Pairs in which query i of t may attend to a key up to i + s - t, and all pairs."""
    rows = min(queries, keys)  # earlier queries, where there are more than keys, see none
    left_out = rows * (rows - 1) // 2 + (queries - rows) * keys if causal else 0
    return queries * keys - left_out, queries * keys


def _heads_inside(shape: tuple[int, ...], dtype: Any) -> Array:
    """An empty (batch, heads, t, d) laid out as (batch, t, heads, d): joining the heads is no copy."""
    batch, heads, t, d = shape
    return np.empty((batch, t, heads, d), dtype).transpose(0, 2, 1, 3)


@dataclass
class Attention(Op):
    """out = softmax(q k^T * scale, where the mask allows) v.   Keeps the weights p

    dv = p^T g,  ds = p * (dp - sum of dp * p) with dp = g v^T,  dq = ds k * scale,  dk = ds^T q * scale
    A query that may attend to nothing gives zeros. Vaswani et al., "Attention is all you need", 2017.
    """

    causal: bool
    scale: float
    outputs: ClassVar[int] = 2
    higher_order: ClassVar[str] = "composite"

    def infer(self, q: Spec, k: Spec, v: Spec, mask: Spec | None = None) -> tuple[Spec, Spec]:
        require_float("attention", q, k, v)
        if not (q.ndim == k.ndim == v.ndim == 4) or k.shape[:3] != v.shape[:3] or q.shape[:2] != k.shape[:2]:
            raise ShapeError(
                f"attention: q {q.shape}, k {k.shape}, v {v.shape}: expected (batch, heads, t, d), "
                "(batch, heads, s, d), (batch, heads, s, d)"
            )
        if q.shape[3] != k.shape[3]:
            raise ShapeError(f"attention: queries have {q.shape[3]} features, keys {k.shape[3]}")
        weights = (*q.shape[:3], k.shape[2])
        if mask is not None:
            if mask.dtype != bool_:
                raise DTypeError(f"attention: the mask is bool (True: may attend), not {mask.dtype}")
            if broadcast("attention", mask.shape, weights) != weights:
                raise ShapeError(f"attention: mask {mask.shape} does not broadcast to {weights}")
        return Spec((*q.shape[:3], v.shape[3]), q.dtype), Spec(weights, q.dtype)

    def forward(self, q: Array, k: Array, v: Array, mask: Array | None = None) -> Any:
        p = np.matmul(q * q.dtype.type(self.scale), k.swapaxes(-1, -2), order="C")
        is_moderate = softmax.moderate(p)
        if self.causal:
            p += _causal_bias(q.shape[2], k.shape[2], q.dtype.name)
        if mask is not None:
            np.copyto(p, -np.inf, where=~mask)
        if p.size:
            softmax.softmax_rows(p, is_moderate)
        out = _heads_inside((*q.shape[:3], v.shape[3]), q.dtype)
        return np.matmul(p, v, out=out), p

    def vjp(self, g: Tensor, out: Any, *inputs: Tensor) -> tuple[Gradient, ...]:
        q, k, v = inputs[:3]
        return (*AttentionGrad(self.scale, self.causal).all(g, q, k, v, out[1]), *(None for _ in inputs[3:]))

    def composite(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        scores = q @ k.mT * self.scale
        if self.causal:
            scores = where(lift(_causal(q.shape[2], k.shape[2])), scores, -np.inf)
        if mask is not None:
            scores = where(mask, scores, -np.inf)
        return softmax.softmax(scores) @ v

    def matmul_flops(self, out: Any, q: Spec, k: Spec, v: Spec, mask: Spec | None = None) -> int:
        return int(out[1].size) * (2 * q.shape[3] + 2 * v.shape[3])

    def flops(self, out: Any, q: Spec, k: Spec, v: Spec, mask: Spec | None = None) -> int:
        return self.matmul_flops(out, q, k, v) + int(out[1].size) * (softmax.COST + 1)

    def visible(self, out: Any, q: Spec, k: Spec, v: Spec, mask: Spec | None = None) -> tuple[int, int]:
        return _visible(self.causal, q.shape[2], k.shape[2])


@dataclass
class AttentionGrad(Op):
    """dq, dk, dv of attention from its kept weights"""

    scale: float
    causal: bool = False
    outputs: ClassVar[int] = 3

    numpy_checks: ClassVar[bool] = True

    def infer(self, g: Spec, q: Spec, k: Spec, v: Spec, p: Spec) -> tuple[Spec, Spec, Spec]:
        return Spec(q.shape, q.dtype), Spec(k.shape, q.dtype), Spec(v.shape, q.dtype)

    def forward(self, g: Array, q: Array, k: Array, v: Array, p: Array) -> Any:
        dv = np.matmul(p.swapaxes(-1, -2), g, out=_heads_inside(v.shape, v.dtype))
        ds = np.matmul(g, v.swapaxes(-1, -2))
        ds -= np.einsum("bhts,bhts->bht", ds, p)[..., None]
        ds *= p
        ds *= q.dtype.type(self.scale)
        dq = np.matmul(ds, k, out=_heads_inside(q.shape, q.dtype))
        dk = np.matmul(ds.swapaxes(-1, -2), q, out=_heads_inside(k.shape, k.dtype))
        return dq, dk, dv

    def matmul_flops(self, out: Any, g: Spec, q: Spec, k: Spec, v: Spec, p: Spec) -> int:
        return p.size * (4 * q.shape[3] + 4 * v.shape[3])

    def flops(self, out: Any, g: Spec, q: Spec, k: Spec, v: Spec, p: Spec) -> int:
        return self.matmul_flops(out, g, q, k, v, p) + 5 * p.size

    def visible(self, out: Any, g: Spec, q: Spec, k: Spec, v: Spec, p: Spec) -> tuple[int, int]:
        return _visible(self.causal, q.shape[2], k.shape[2])


_Q, _K, _V = (2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 2)
_MASK = np.random.default_rng(0).random((2, 1, 3, 5)) < 0.7
Attention.samples = [
    Sample(Attention(False, 0.5), _Q, _K, _V),
    Sample(Attention(True, 0.5), _Q, _K, _V),
    Sample(Attention(False, 0.7), _Q, _K, _V, _MASK),
    Sample(Attention(True, 1.0), (0, 2, 3, 4), (0, 2, 3, 4), (0, 2, 3, 4)),
]
AttentionGrad.samples = [
    Sample(AttentionGrad(0.5), (2, 2, 3, 2), _Q, _K, _V, (2, 2, 3, 5), differentiable=False)
]


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(q k^T * scale) v; q: (batch, heads, t, d), k and v: (batch, heads, s, d), scale 1/sqrt(d).

    `mask`: bool, True = may attend, broadcast to (batch, heads, t, s).
    `causal`: query i sees keys up to i + s - t.

    >>> attention(tt.zeros(1, 2, 3, 4), tt.zeros(1, 2, 5, 4), tt.ones(1, 2, 5, 4)).shape
    (1, 2, 3, 4)
    """
    op = Attention(causal, q.shape[-1] ** -0.5 if scale is None else scale)
    return op(q, k, v) if mask is None else op(q, k, v, mask)
