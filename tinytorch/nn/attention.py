"""Multi-head self-attention, and what a cache of keys and values must offer.

The mask convention, here and everywhere: a mask is boolean, and True means *may attend*. It broadcasts to
(batch, heads, queries, keys). `causal=True` needs no mask: query i of t sees the keys up to i + s - t of s,
so that the last query sees all keys, those of a cache included.
"""

from __future__ import annotations

from typing import Protocol

from tinytorch.errors import ShapeError
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module
from tinytorch.ops.attention import attention
from tinytorch.random import Generator
from tinytorch.tensor import Tensor


class KVCacheLike(Protocol):
    """Keeps the keys and values of earlier positions, so that a model computes only the new ones."""

    @property
    def length(self) -> int:
        """Positions that every layer holds; a model reads it before the first layer of a pass attends."""

    def positions(self, t: int) -> Tensor:
        """The positions of the next t tokens: int64 (batch, t), or (1, t) where all sequences are as long."""

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = True
    ) -> Tensor:
        """Store k and v: (batch, heads, t, d), and return `attention` of q to all that the layer holds."""


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """x: (batch, t, embed_dim) seen as num_heads parts of its features: (batch, heads, t, head_dim).

    Head h has the features h * head_dim up to (h + 1) * head_dim of each position.

    >>> split_heads(Tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]]), 2)
    Tensor([[[[1, 2],
              [5, 6]],
    <BLANKLINE>
             [[3, 4],
              [7, 8]]]])
    """
    batch, t, dim = x.shape
    return x.reshape(batch, t, num_heads, dim // num_heads).permute(0, 2, 1, 3)


def merge_heads(x: Tensor) -> Tensor:
    """x: (batch, heads, t, head_dim) with the heads beside each other again: (batch, t, heads * head_dim).

    It undoes `split_heads`.

    >>> merge_heads(split_heads(Tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]]), 2))
    Tensor([[[1, 2, 3, 4],
             [5, 6, 7, 8]]])
    """
    batch, heads, t, head_dim = x.shape
    return x.permute(0, 2, 1, 3).reshape(batch, t, heads * head_dim)


class MultiHeadAttention(Module):
    """Self-attention in num_heads parts of the features; x: (batch, t, embed_dim), result the same shape.

    `layer` is the number under which a cache files this module's keys and values.
    Vaswani et al., "Attention is all you need", 2017. Raises ShapeError unless num_heads divides embed_dim.

    >>> from tinytorch.tensor import ones
    >>> MultiHeadAttention(embed_dim=8, num_heads=2)(ones(1, 3, 8), causal=True).shape
    (1, 3, 8)
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        bias: bool = True,
        *,
        layer: int = 0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ShapeError(f"MultiHeadAttention: {num_heads} heads do not divide embed_dim {embed_dim}")
        self.embed_dim, self.num_heads, self.layer = embed_dim, num_heads, layer
        self.q_proj = Linear(embed_dim, embed_dim, bias, generator=generator)
        self.k_proj = Linear(embed_dim, embed_dim, bias, generator=generator)
        self.v_proj = Linear(embed_dim, embed_dim, bias, generator=generator)
        self.out_proj = Linear(embed_dim, embed_dim, bias, generator=generator)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        cache: KVCacheLike | None = None,
    ) -> Tensor:
        """Attend within x, and to what the cache holds; x and result: (batch, t, embed_dim).

        Queries, keys and values are `q_proj`, `k_proj`, `v_proj` of x, each split into `num_heads` heads;
        what `attention` makes of them, the heads merged, goes through `out_proj`. `mask`: bool, True = may
        attend; `causal`: no position sees a later one. With a cache it is the cache that attends, to the keys
        and values of before and to these: `cache.attend(self.layer, q, k, v, mask, causal)`. Raises
        ShapeError unless x has three axes.
        """
        if x.ndim != 3:
            raise ShapeError(f"MultiHeadAttention: input {x.shape}, expected (batch, t, {self.embed_dim})")
        q, k, v = (split_heads(p(x), self.num_heads) for p in (self.q_proj, self.k_proj, self.v_proj))
        if cache is None:
            attended = attention(q, k, v, mask, causal)
        else:
            attended = cache.attend(self.layer, q, k, v, mask, causal)
        return self.out_proj(merge_heads(attended))  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}"


def grouped_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """`attention` in which several query heads share one head of k and v; result as q.

    q: (batch, heads, t, d), k and v: (batch, kv_heads, s, d): query head i has key head i // (heads /
    kv_heads). Ainslie et al., "GQA: training generalized multi-query transformer models", 2023. Raises
    ShapeError unless kv_heads divides heads.

    >>> from tinytorch.tensor import ones
    >>> grouped_attention(ones(1, 6, 3, 4), ones(1, 2, 5, 4), ones(1, 2, 5, 4)).shape
    (1, 6, 3, 4)
    """
    if not q.ndim == k.ndim == 4 or q.shape[1] == k.shape[1]:
        return attention(q, k, v, mask, causal)
    (batch, heads, t, d), (_, kv_heads, s, _) = q.shape, k.shape
    if kv_heads < 1 or heads % kv_heads:
        raise ShapeError(f"grouped_attention: {kv_heads} heads of keys do not divide {heads} of queries")
    if not k.shape == v.shape == (batch, kv_heads, s, d):
        raise ShapeError(
            f"grouped_attention: q {q.shape}, k {k.shape}, v {v.shape}: batches or widths differ"
        )
    group = heads // kv_heads
    k, v = (x.reshape(batch * kv_heads, 1, s, d).expand(batch * kv_heads, group, s, d) for x in (k, v))
    if mask is not None:
        mask = mask.expand(batch, heads, t, s).reshape(batch * kv_heads, group, t, s)
    out = attention(q.reshape(batch * kv_heads, group, t, d), k, v, mask, causal)
    return out.reshape(batch, heads, t, d)
