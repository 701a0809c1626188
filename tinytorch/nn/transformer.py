"""The transformer block: attention and a small MLP, each on a normalised input and added to it."""

from __future__ import annotations

from tinytorch.nn.activations import GELU
from tinytorch.nn.attention import KVCacheLike, MultiHeadAttention
from tinytorch.nn.layers import Dropout, LayerNorm, Linear
from tinytorch.nn.module import Module
from tinytorch.random import Generator
from tinytorch.tensor import Tensor


class FeedForward(Module):
    """fc2(gelu(fc1(x))), the same for each position; x: (..., embed_dim), result the same shape.

    `approximate`: which GELU, as in nn.GELU.

    >>> from tinytorch.tensor import ones
    >>> FeedForward(4, 16)(ones(2, 4)).shape
    (2, 4)
    """

    def __init__(
        self, embed_dim: int, hidden: int, approximate: str = "tanh", *, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.fc1 = Linear(embed_dim, hidden, generator=generator)
        self.act = GELU(approximate)
        self.fc2 = Linear(hidden, embed_dim, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., embed_dim) through `fc1`, the activation `act`, and `fc2`, each position by itself."""
        return self.fc2(self.act(self.fc1(x)))  # type: ignore[no-any-return]


class TransformerBlock(Module):
    """x + attn(norm1(x)), then x + mlp(norm2(x)); x: (batch, t, embed_dim), result the same shape.

    The norm comes first: Xiong et al., "On layer normalization in the transformer architecture", 2020.
    Dropout acts on what each part adds. `layer`: the number under which a cache files keys and values.

    >>> from tinytorch.tensor import ones
    >>> TransformerBlock(embed_dim=8, num_heads=2)(ones(1, 3, 8)).shape
    (1, 3, 8)
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        mlp_ratio: float = 4,
        dropout: float = 0.0,
        causal: bool = True,
        *,
        layer: int = 0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.norm1 = LayerNorm(embed_dim)
        self.attn = MultiHeadAttention(embed_dim, num_heads, layer=layer, generator=generator)
        self.norm2 = LayerNorm(embed_dim)
        self.mlp = FeedForward(embed_dim, int(embed_dim * mlp_ratio), generator=generator)
        self.drop = Dropout(dropout, generator=generator)

    def forward(self, x: Tensor, mask: Tensor | None = None, cache: KVCacheLike | None = None) -> Tensor:
        """x: (batch, t, embed_dim) plus what attention adds to it, plus what the MLP adds to that.

        Each part, `attn` and `mlp`, reads its input normalised, by `norm1` and `norm2`, and what it gives
        goes through `drop` before it is added to what was not normalised. Attention is causal as
        `self.causal` says, and takes `mask` (bool, True = may attend) and `cache` (keys and values from
        before x).
        """
        x = x + self.drop(self.attn(self.norm1(x), mask, self.causal, cache))
        return x + self.drop(self.mlp(self.norm2(x)))  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"causal={self.causal}"
