"""Llama: a decoder with RMS norms, rotary positions, grouped-query attention and gated MLPs."""

from __future__ import annotations

from typing import Any

from tinytorch.errors import ShapeError
from tinytorch.nn import init
from tinytorch.nn.attention import KVCacheLike, grouped_attention, merge_heads, split_heads
from tinytorch.nn.containers import ModuleList
from tinytorch.nn.embedding import Embedding
from tinytorch.nn.layers import Linear, RMSNorm
from tinytorch.nn.module import Module
from tinytorch.ops.activation import silu
from tinytorch.ops.rotary import angles, rotary
from tinytorch.random import Generator
from tinytorch.tensor import Tensor, arange, from_numpy


class Angles:
    """Cosines and sines of the angles of all positions, one table for all layers; no part of the weights."""

    def __init__(self, positions: int, dim: int, base: float) -> None:
        self.cos, self.sin = map(from_numpy, angles(positions, dim, base))

    def turn(self, x: Tensor, positions: Tensor) -> Tensor:
        """x: (batch, heads, t, dim) turned by the angles of positions: (batch, t) or (1, t)."""
        return rotary(x, self.cos.to(x.dtype), self.sin.to(x.dtype), positions)


class LlamaAttention(Module):
    """Causal self-attention with rotary positions; x: (batch, t, width), result the same shape.

    `kv_heads` heads of keys and values serve `heads` of queries. Keys are turned before they are cached.

    >>> from tinytorch.tensor import ones
    >>> LlamaAttention(16, 4, 2, Angles(8, 4, 10000.0))(ones(1, 3, 16), arange(3).reshape(1, -1)).shape
    (1, 3, 16)
    """

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int,
        angles: Angles,
        *,
        layer: int = 0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.layer, self.angles = heads, kv_heads, layer, angles
        self.head_dim = width // heads
        sizes = (heads, kv_heads, kv_heads)
        self.q_proj, self.k_proj, self.v_proj = (
            Linear(width, n * self.head_dim, bias=False, generator=generator) for n in sizes
        )
        self.out_proj = Linear(heads * self.head_dim, width, bias=False, generator=generator)

    def forward(self, x: Tensor, positions: Tensor, cache: KVCacheLike | None = None) -> Tensor:
        """Attention of x: (batch, t, width) to itself and what the cache holds; the result has x's shape.

        Of x, `q_proj` makes `heads` heads of queries, `k_proj` and `v_proj` `kv_heads` of keys and of values.
        Queries and keys, not values, are turned (`self.angles.turn`) by the angles of `positions`: those of
        x, int64 (batch, t) or (1, t). Without a cache, `grouped_attention` is causal. With one it is the
        cache that attends, `cache.attend(self.layer, q, k, v)`, to what it has and to these: it gets keys
        that are turned, and `kv_heads` heads of them. The heads of the result, merged, go through `out_proj`.
        """
        q, k, v = (
            split_heads(p(x), n)
            for p, n in (
                (self.q_proj, self.heads),
                (self.k_proj, self.kv_heads),
                (self.v_proj, self.kv_heads),
            )
        )
        q, k = self.angles.turn(q, positions), self.angles.turn(k, positions)
        if cache is None:
            attended = grouped_attention(q, k, v, causal=True)
        else:
            attended = cache.attend(self.layer, q, k, v)
        return self.out_proj(merge_heads(attended))  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"heads={self.heads}, kv_heads={self.kv_heads}"


class GatedFeedForward(Module):
    """down(silu(gate(x)) * up(x)); x: (..., width). Shazeer, "GLU variants improve transformer", 2020.

    >>> from tinytorch.tensor import ones
    >>> GatedFeedForward(4, 16)(ones(2, 4)).shape
    (2, 4)
    """

    def __init__(self, width: int, hidden: int, *, generator: Generator | None = None) -> None:
        super().__init__()
        self.gate, self.up = (Linear(width, hidden, bias=False, generator=generator) for _ in range(2))
        self.down = Linear(hidden, width, bias=False, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(silu(self.gate(x)) * self.up(x))  # type: ignore[no-any-return]


class LlamaBlock(Module):
    """x + attn(norm1(x)), then x + mlp(norm2(x)); x: (batch, t, width), result the same shape."""

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int,
        hidden: int,
        angles: Angles,
        eps: float = 1e-5,
        *,
        layer: int = 0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.attn = LlamaAttention(width, heads, kv_heads, angles, layer=layer, generator=generator)
        self.mlp = GatedFeedForward(width, hidden, generator=generator)

    def forward(self, x: Tensor, positions: Tensor, cache: KVCacheLike | None = None) -> Tensor:
        """`positions` and `cache` as for `LlamaAttention`."""
        x = x + self.attn(self.norm1(x), positions, cache)
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class Llama(Module):
    """Logits of the next token at each position; ids: (batch, t) int64, result (batch, t, vocab_size).

    Touvron et al., "LLaMA: open and efficient foundation language models", 2023. The head is the embedding
    itself unless `tied` is False. First values: weights from N(0, 0.02). Raises ShapeError unless kv_heads
    divides heads, heads divides width, and the width of a head is even.

    >>> model = Llama(vocab_size=10, context=8, width=16, layers=1, heads=4, kv_heads=2, hidden=24)
    >>> model(Tensor([[1, 2, 3]])).shape
    (1, 3, 10)
    """

    def __init__(
        self,
        vocab_size: int = 256,
        context: int = 128,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        kv_heads: int | None = None,
        hidden: int | None = None,
        base: float = 10000.0,
        eps: float = 1e-5,
        tied: bool = True,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        kv_heads, hidden = kv_heads or heads, hidden or 4 * width
        if min(heads, kv_heads) < 1 or heads % kv_heads or width % heads or width // heads % 2:
            raise ShapeError(
                f"Llama: {kv_heads} heads of keys, {heads} of queries, width {width}: each must divide the "
                "next, and a head have an even number of features"
            )
        self.vocab_size, self.context, self.width, self.layers = vocab_size, context, width, layers
        self.heads, self.kv_heads, self.hidden = heads, kv_heads, hidden
        self.base, self.eps, self.tied = base, eps, tied
        turns = Angles(context, width // heads, base)
        self.embed = Embedding(vocab_size, width, generator=generator)
        self.blocks = ModuleList(
            LlamaBlock(width, heads, kv_heads, hidden, turns, eps, layer=i, generator=generator)
            for i in range(layers)
        )
        self.norm = RMSNorm(width, eps)
        self.head = None if tied else Linear(width, vocab_size, bias=False, generator=generator)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                parameter.assign_(init.normal(parameter.shape, 0.02, generator))
        self.example_input = Generator(0).randint(0, vocab_size, (1, min(context, 128)))

    def forward(self, ids: Tensor, cache: KVCacheLike | None = None) -> Tensor:
        """Logits (batch, t, vocab_size) for ids: (batch, t), from position 0 or what `cache` holds on.

        Raises ShapeError unless ids have two axes and all positions are within `context`.
        """
        start = 0 if cache is None else cache.length
        if ids.ndim != 2 or start + ids.shape[1] > self.context:
            raise ShapeError(
                f"Llama: ids {ids.shape} after {start} cached positions; "
                f"expected (batch, t) with at most {self.context} positions in all"
            )
        positions = arange(ids.shape[1]).reshape(1, -1) if cache is None else cache.positions(ids.shape[1])
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, positions, cache)
        x = self.norm(x)
        return self.embed.logits(x) if self.head is None else self.head(x)

    def config(self) -> dict[str, Any]:
        """The arguments that make a model of this architecture."""
        names = "vocab_size context width layers heads kv_heads hidden base eps tied"
        return {name: getattr(self, name) for name in names.split()}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.config().items())
