"""A transformer in NumPy and float64, a cache that remembers arrays, and a model that counts upward."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import erf

from tinytorch.models.gpt import GPT
from tinytorch.nn.module import Module
from tinytorch.ops.attention import attention
from tinytorch.ops.context import state
from tinytorch.tensor import Tensor

Array = Any


def gelu(x: Array, approximate: str) -> Array:
    """GELU by its definition, or by the tanh that GPT-2 uses."""
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def linear(part: Any, x: Array) -> Array:
    out = x @ part.weight.numpy().T
    return out if part.bias is None else out + part.bias.numpy()


def norm(part: Any, x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * part.weight.numpy() + part.bias.numpy()


def feed_forward(part: Any, x: Array, approximate: str = "tanh") -> Array:
    return linear(part.fc2, gelu(linear(part.fc1, x), approximate))


def attend(part: Any, x: Array, causal: bool, mask: Array | None = None) -> Array:
    """Multi-head self-attention, head by head."""
    batch, t, width = x.shape
    size = width // part.num_heads
    q, k, v = (linear(p, x) for p in (part.q_proj, part.k_proj, part.v_proj))
    keep = np.tri(t, dtype=bool) if causal else np.ones((t, t), bool)
    keep = keep if mask is None else keep & mask.reshape(t, t)
    found = []
    for h in range(part.num_heads):
        columns = slice(h * size, (h + 1) * size)
        scores = np.einsum("btd,bsd->bts", q[..., columns], k[..., columns]) / math.sqrt(size)
        parts = np.exp(scores) * keep
        found.append(parts / parts.sum(-1, keepdims=True) @ v[..., columns])
    return linear(part.out_proj, np.concatenate(found, axis=-1))


def block_of(block: Any, x: Array, causal: bool, mask: Array | None = None, factor: float = 1.0) -> Array:
    """A pre-norm block; `factor`: what stands in the place of dropout."""
    x = x + factor * attend(block.attn, norm(block.norm1, x), causal, mask)
    return x + factor * feed_forward(block.mlp, norm(block.norm2, x))


def logits_of(model: GPT, ids: Array, factor: float = 1.0) -> Array:
    """A GPT's logits."""
    x = (model.wte.weight.numpy()[ids] + model.wpe.weight.numpy()[: ids.shape[1]]) * factor
    for block in model.blocks:
        x = block_of(block, x, causal=True)
    return norm(model.norm, x) @ model.head.weight.numpy().T


def shaken(model: Module, rng: np.random.Generator, size: float = 0.4) -> Module:
    """The model in float64, in evaluation mode, with random values in every parameter."""
    model.to("float64").eval()
    for parameter in model.parameters():
        parameter.assign_(rng.normal(size=parameter.shape) * size)
    return model


class Times(Module):
    """Stands in the place of dropout and multiplies, so that where it acts can be seen."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Cache:
    """Keys and values by layer; `length` is what every one of `layers` layers holds."""

    def __init__(self, layers: int) -> None:
        self.held: dict[int, tuple[Array, Array]] = {}
        self.layers = layers

    @property
    def length(self) -> int:
        lengths = [k.shape[2] for k, _ in self.held.values()]
        return min(lengths) if len(lengths) == self.layers else 0

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        new = k.numpy(), v.numpy()
        if layer in self.held:
            new = tuple(np.concatenate(both, axis=2) for both in zip(self.held[layer], new, strict=True))
        self.held[layer] = new
        return Tensor(new[0]), Tensor(new[1])

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = True
    ) -> Tensor:
        return attention(q, *self.append(layer, k, v), mask, causal)

    def positions(self, t: int) -> Tensor:
        return Tensor(np.arange(self.length, self.length + t)[None])


class Counting(Module):
    """A model whose likeliest next token is the last one plus 1; it notes how it was called."""

    def __init__(self, vocab_size: int = 10, context: int = 4, breaks_at: int = 10**9) -> None:
        super().__init__()
        self.vocab_size, self.context, self.breaks_at = vocab_size, context, breaks_at
        self.seen: list[list[int]] = []
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, ids: Tensor) -> Tensor:
        rows = ids.tolist()
        if len(self.seen) == self.breaks_at:
            raise OSError("no such luck")
        self.seen += rows
        self.modes.append((self.training, state().grad))
        logits = np.zeros((1, len(rows[0]), self.vocab_size), np.float32)
        for i, token in enumerate(rows[0]):
            logits[0, i, (token + 1) % self.vocab_size] = 5.0
        return Tensor(logits)
