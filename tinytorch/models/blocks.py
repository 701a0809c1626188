"""Layers whose weights stay in the blocks of a model file: linear, and an embedding with a tied head."""

from __future__ import annotations

import numpy as np

from tinytorch.nn.module import Module
from tinytorch.ops.blocks import BlockLinear, BlockLookup, Format, block_linear
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor, from_numpy


class Blocks(Module):
    """Base: `n` outputs in panels of codes, scales and minima (`tinytorch.ops.blocks.Format`)."""

    panels: Tensor

    def __init__(self, n: int, form: Format, panels: Array) -> None:
        super().__init__()
        self.n, self.format = n, form
        self.register_buffer("panels", from_numpy(panels))

    @property
    def weight(self) -> Tensor:
        """What the blocks stand for, float32 (n, k), for who reads a layer's weight itself."""
        return BlockLookup(self.n, self.format.bits, self.format.minimum)(
            self.panels, from_numpy(np.arange(self.n))
        )

    def logits(self, x: Tensor) -> Tensor:
        """Dot products of x: (..., k) with the weights of all outputs: (..., n)."""
        return block_linear(x, BlockLinear(self.n, self.format.bits, self.format.minimum), self.panels)

    def extra_repr(self) -> str:
        return f"{self.n}, {self.format.bits} bits{' with minima' * self.format.minimum}"


class BlockLinearLayer(Blocks):
    """A linear layer without bias, x: (..., k), result (..., n); x becomes codes of eight bits on the way."""

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)


class BlockEmbedding(Blocks):
    """A vector for each of n ids; ids: (...), result (..., k). `logits` is the tied output layer."""

    def forward(self, ids: Tensor) -> Tensor:
        return BlockLookup(self.n, self.format.bits, self.format.minimum)(self.panels, ids)
