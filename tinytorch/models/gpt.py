"""GPT: a decoder-only transformer that predicts the next token, and sampling from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.errors import DataError, ShapeError
from tinytorch.nn import init
from tinytorch.nn.attention import KVCacheLike
from tinytorch.nn.containers import ModuleList
from tinytorch.nn.embedding import Embedding
from tinytorch.nn.layers import Dropout, LayerNorm, Linear
from tinytorch.nn.module import Module
from tinytorch.nn.transformer import TransformerBlock
from tinytorch.ops.compare import where
from tinytorch.ops.context import grad_mode
from tinytorch.random import Generator, default_generator
from tinytorch.tensor import Tensor


class GPT(Module):
    """Logits of the next token at each position; ids: (batch, t) int64, result (batch, t, vocab_size).

    Pre-norm, learned positions, and a head whose weight is the token embedding itself. First values as in
    Radford et al., "Language models are unsupervised multitask learners", 2019: weights from N(0, 0.02),
    those that write to the residual stream divided by sqrt(2 * layers), biases 0. The default vocabulary is
    that of bytes.

    >>> model = GPT(vocab_size=10, context=8, width=16, layers=1, heads=2)
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
        dropout: float = 0.0,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.vocab_size, self.context, self.width = vocab_size, context, width
        self.layers, self.heads, self.dropout = layers, heads, dropout
        self.wte = Embedding(vocab_size, width, generator=generator)
        self.wpe = Embedding(context, width, generator=generator)
        self.drop = Dropout(dropout, generator=generator)
        self.blocks = ModuleList(
            TransformerBlock(width, heads, dropout=dropout, layer=i, generator=generator)
            for i in range(layers)
        )
        self.norm = LayerNorm(width)
        self.head = Linear(width, vocab_size, bias=False, generator=generator)
        self.head.weight = self.wte.weight
        self.initialise(generator)
        self.example_input = Generator(0).randint(0, vocab_size, (1, context))

    def initialise(self, generator: Generator | None = None) -> None:
        """Give all parameters their first values, in place (`assign_`).

        Those with two axes (weights and embeddings) come from a normal distribution of mean 0 and standard
        deviation 0.02, but those by which a block writes to the residual stream, `attn.out_proj.weight` and
        `mlp.fc2.weight`, from one of 0.02 / sqrt(2 * layers): so many of them add up. Biases become 0; the
        weights of norms stay 1. Both kinds are told by the ends of their names in `named_parameters()`;
        `init.normal(shape, std, generator)` makes the values.
        """
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_residual = name.endswith(("attn.out_proj.weight", "mlp.fc2.weight"))
                std = 0.02 / math.sqrt(2 * self.layers) if into_residual else 0.02
                parameter.assign_(init.normal(parameter.shape, std, generator))
            elif name.endswith("bias"):
                parameter.assign_(0.0)

    def forward(self, ids: Tensor, cache: KVCacheLike | None = None) -> Tensor:
        """Logits (batch, t, vocab_size) for ids: (batch, t).

        Each id's row of the token embedding `wte`, and to it the row of `wpe` of its position: 0 to t - 1, or
        with a cache, which holds `cache.length` positions already, those that follow, `cache.positions(t)`.
        Then `drop`, all `blocks` in order, called as block(x, None, cache), `norm`, and `head`. Raises
        ShapeError, which shows the shape of ids, if they do not have two axes, and for positions beyond
        `context`.
        """
        start = 0 if cache is None else cache.length
        if ids.ndim != 2 or start + ids.shape[1] > self.context:
            raise ShapeError(
                f"GPT: ids {ids.shape} after {start} cached positions; "
                f"expected (batch, t) with at most {self.context} positions in all"
            )
        t = ids.shape[1]
        places = self.wpe.weight[:t] if cache is None else self.wpe(cache.positions(t))
        x = self.drop(self.wte(ids) + places)
        for block in self.blocks:
            x = block(x, None, cache)
        return self.head(self.norm(x))  # type: ignore[no-any-return]

    def config(self) -> dict[str, Any]:
        """The arguments that make a model of this architecture."""
        names = ("vocab_size", "context", "width", "layers", "heads", "dropout")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.config().items())


def generate(
    model: GPT,
    prompt_ids: Sequence[int],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: Generator | None = None,
) -> list[int]:
    """The prompt and the tokens that the model goes on with, each sampled from the last `context` before it.

    Each token is a `sample` of the logits at the last position, with `generator`, or the default one. Nothing
    is recorded for backward, the model is in evaluation mode meanwhile, and afterwards in the mode in which
    it was, also after an error. Raises DataError for an empty prompt, `max_new_tokens` or `temperature` below
    0 and `top_k` below 1, and ShapeError for ids beyond the vocabulary.

    >>> len(generate(GPT(vocab_size=10, context=8, width=16, layers=1, heads=2), [1, 2], 3))
    5
    """
    if not len(prompt_ids) or max_new_tokens < 0 or temperature < 0 or (top_k is not None and top_k < 1):
        raise DataError(
            f"generate: prompt of {len(prompt_ids)} ids, max_new_tokens {max_new_tokens}, "
            f"temperature {temperature}, top_k {top_k}; expected a prompt, and no negative numbers"
        )
    ids = [int(i) for i in prompt_ids]
    was_training = model.training
    model.eval()
    try:
        with grad_mode(False):
            for _ in range(max_new_tokens):
                logits = model(Tensor([ids[-model.context :]]))[0, -1]
                ids.append(sample(logits, temperature, top_k, generator))
    finally:
        model.train(was_training)
    return ids


def likeliest(logits: Tensor, k: int) -> Tensor:
    """The logits with all but the k largest at -inf, so that softmax gives the others probability 0.

    logits: (vocabulary,); with k of that size or more, all stay. Those equal to the k-th largest all stay.

    >>> likeliest(Tensor([1.0, 3.0, 2.0]), 2)
    Tensor([-inf,   3.,   2.])
    """
    if k >= logits.size:
        return logits
    least = float(np.partition(logits.data, -k)[-k])
    return where(logits >= least, logits, -math.inf)


def sample(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, generator: Generator | None = None
) -> int:
    """An id drawn from softmax(logits / temperature), among the `top_k` likeliest if that is given.

    logits: (vocabulary,). Temperature 0 takes the likeliest id, and draws nothing. Otherwise all randomness
    is from `generator`, or the default one, so that equal states give equal ids. The id is that of the
    largest logit / temperature after Gumbel noise, -log(-log(u)) with u uniform, was added to each: Gumbel,
    "Statistical theory of extreme values", 1954. Any other way to draw from that distribution is as good.

    >>> sample(Tensor([1.0, 3.0, 2.0]), temperature=0), sample(Tensor([1.0, 3.0, 2.0]), top_k=1)
    (1, 1)
    """
    if temperature == 0:
        return int(logits.argmax().item())
    if top_k is not None:
        logits = likeliest(logits, top_k)
    noise = -(-(generator or default_generator).rand(*logits.shape).log()).log()
    return int((logits / temperature + noise).argmax().item())
