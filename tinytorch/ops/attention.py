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


def causal_mask(queries: int, keys: int) -> Array:
    """Which key each query may see when none may look ahead: bool (queries, keys), True = may attend.

    Query i sees the keys up to number i + keys - queries: the last query sees all keys, each earlier one a
    key less. Queries before the first key, where there are more queries than keys, see none.

    >>> causal_mask(2, 3)
    array([[ True,  True, False],
           [ True,  True,  True]])
    """
    return np.tri(queries, keys, keys - queries, dtype=bool)


@functools.lru_cache(maxsize=16)
def _causal_bias(queries: int, keys: int, dtype: str) -> Array:
    return np.where(causal_mask(queries, keys), 0, -np.inf).astype(dtype)


def scaled_scores(q: Array, k: Array, scale: float) -> Array:
    """q k^T * scale: how well each query fits each key, as a new array of q's dtype.

    q: (batch, heads, t, d), k: (batch, heads, s, d), result (batch, heads, t, s): element (.., i, j) is the
    dot product of query i and key j, times scale.

    >>> scaled_scores(np.ones((1, 1, 2, 4)), np.ones((1, 1, 3, 4)), 0.5)[0, 0]
    array([[2., 2., 2.],
           [2., 2., 2.]])
    """
    scores: Array = np.matmul(q * q.dtype.type(scale), k.swapaxes(-1, -2), order="C")
    return scores


def attention_weights(
    q: Array, k: Array, scale: float, causal: bool = False, mask: Array | None = None
) -> Array:
    """What each query takes of each key: softmax over the keys of `scaled_scores`; (batch, heads, t, s).

    q: (batch, heads, t, d), k: (batch, heads, s, d). `causal`: a query sees what `causal_mask` allows.
    `mask`: bool, True = may attend, of a shape that broadcasts to the result. Where both are given, both must
    allow it. What a query may not see has weight 0 and no part in the sum; the rest of its row adds up to 1.
    A query that may see nothing has a row of zeros. No score, however large, gives NaN, and without keys or
    queries the result is empty.

    >>> attention_weights(np.zeros((1, 1, 2, 4)), np.zeros((1, 1, 2, 4)), 0.5, causal=True)[0, 0]
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    p = np.ascontiguousarray(scaled_scores(q, k, scale))
    is_moderate = softmax.moderate(p)
    if causal:
        p += _causal_bias(q.shape[2], k.shape[2], q.dtype.name)
    if mask is not None:
        np.copyto(p, -np.inf, where=~mask)
    return softmax.softmax_rows(p, is_moderate) if p.size else p


def visible_pairs(causal: bool, queries: int, keys: int) -> tuple[int, int]:
    """Pairs of a query and a key that it may see, and all pairs; not causal, those are the same.

    >>> visible_pairs(True, 4, 4), visible_pairs(True, 1, 4), visible_pairs(False, 2, 3)
    ((10, 16), (4, 4), (6, 6))
    """
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

    fuses: ClassVar[tuple[str, ...]] = ("MatMul", "Mul", "Softmax")
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
        """The result (batch, heads, t, e), each row the keys' values v weighted by p, and the weights p.

        q: (batch, heads, t, d), k: (batch, heads, s, d), v: (batch, heads, s, e); p are
        `attention_weights` with this op's `scale` and `causal`, and the mask, if there is one.
        """
        p = attention_weights(q, k, self.scale, self.causal, mask)
        out = _heads_inside((*q.shape[:3], v.shape[3]), q.dtype)
        return np.matmul(p, v, out=out), p

    def vjp(self, g: Tensor, out: Any, *inputs: Tensor) -> tuple[Gradient, ...]:
        q, k, v = inputs[:3]
        return (*AttentionGrad(self.scale, self.causal).all(g, q, k, v, out[1]), *(None for _ in inputs[3:]))

    def composite(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        scores = q @ k.mT * self.scale
        if self.causal:
            scores = where(lift(causal_mask(q.shape[2], k.shape[2])), scores, -np.inf)
        if mask is not None:
            scores = where(mask, scores, -np.inf)
        return softmax.softmax(scores) @ v

    def matmul_flops(self, out: Any, q: Spec, k: Spec, v: Spec, mask: Spec | None = None) -> int:
        """FLOPs of q k^T and of p v, a multiply-add as 2, for all pairs of query and key, masked or not.

        From specs: q (batch, heads, t, d), v (batch, heads, s, e), and `out`, the pair of the specs of the
        result (batch, heads, t, e) and of the weights (batch, heads, t, s). A spec has `.shape` and `.size`.
        """
        return int(out[1].size) * (2 * q.shape[3] + 2 * v.shape[3])

    def flops(self, out: Any, q: Spec, k: Spec, v: Spec, mask: Spec | None = None) -> int:
        return self.matmul_flops(out, q, k, v) + int(out[1].size) * (softmax.COST + 1)

    def visible(self, out: Any, q: Spec, k: Spec, v: Spec, mask: Spec | None = None) -> tuple[int, int]:
        return visible_pairs(self.causal, q.shape[2], k.shape[2])


@dataclass
class AttentionGrad(Op):
    """dq, dk, dv of attention from its kept weights: see Attention"""

    scale: float
    causal: bool = False
    outputs: ClassVar[int] = 3

    numpy_checks: ClassVar[bool] = True

    def infer(self, g: Spec, q: Spec, k: Spec, v: Spec, p: Spec) -> tuple[Spec, Spec, Spec]:
        return Spec(q.shape, q.dtype), Spec(k.shape, q.dtype), Spec(v.shape, q.dtype)

    def forward(self, g: Array, q: Array, k: Array, v: Array, p: Array) -> Any:
        """Gradients (dq, dk, dv) from g, that of the result, and the weights p that forward kept.

        g: (batch, heads, t, e), q: (batch, heads, t, d), k: (batch, heads, s, d), v: (batch, heads, s, e),
        p: (batch, heads, t, s). Each gradient has the shape of its input; nothing given may change.
        dv = p^T g. With dp = g v^T, the gradient of the scaled scores is ds = p * (dp - the sum over keys of
        dp * p); then dq = ds k * scale and dk = ds^T q * scale.
        """
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
        return visible_pairs(self.causal, q.shape[2], k.shape[2])


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
