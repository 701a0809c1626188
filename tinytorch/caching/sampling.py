"""Sampling: from logits to the probabilities that a text goes on with, and a token drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinytorch.errors import GenerationError
from tinytorch.ops.spec import Array

SORTED = 1024
"""Likeliest tokens that are looked at first: they nearly always hold what `top_p` asks for."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn: all of them, or the likeliest by number (`top_k`) or by probability (`top_p`).

    `temperature` divides the logits; at 0 the likeliest token is taken, and nothing is drawn. Raises
    GenerationError for a temperature below 0 or not finite, top_k below 1 and top_p outside of (0, 1].

    >>> Sampling(temperature=0).probabilities(np.array([1.0, 3.0, 2.0]))
    array([0., 1., 0.])
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise GenerationError(f"temperature {self.temperature}: a number from 0 (the likeliest token) up")
        if self.top_k is not None and self.top_k < 1:
            raise GenerationError(
                f"top_k {self.top_k}: how many of the likeliest tokens to draw from, 1 or more"
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise GenerationError(f"top_p {self.top_p}: the probability to draw from, above 0 and at most 1")

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.temperature == 0 or self.top_k == 1

    def probabilities(self, logits: Array) -> Array:
        """The probability of each token, float64 (vocab,), for logits: (vocab,); those left out have 0.

        softmax(logits / temperature), of the top_k largest, then of the fewest that together have top_p.
        """
        if self.greedy:
            one = np.zeros(len(logits))
            one[likeliest(logits)] = 1
            return one
        p = softmax(logits, self.temperature)
        if self.top_k is not None and self.top_k < len(p):
            p = kept(p, np.argpartition(-p, self.top_k)[: self.top_k])
        if self.top_p is not None and self.top_p < 1:
            p = kept(p, nucleus(p, self.top_p))
        return p

    def draw(self, logits: Array, rng: np.random.Generator) -> int:
        """A token by its probability: one number of `rng`, none where it is greedy."""
        return likeliest(logits) if self.greedy else pick(self.probabilities(logits), rng.random())


def likeliest(logits: Array) -> int:
    """The token of the largest logit; raises GenerationError where that is no number: NaN, or infinite."""
    token = int(np.argmax(logits))  # the first NaN, if there is any
    if not np.isfinite(logits[token]):
        raise GenerationError(f"generate: the largest of the logits is {logits[token]}: no token follows")
    return token


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """softmax(logits / temperature) in float64, (vocab,); the largest is subtracted, so that none overflows.

    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    below = logits.astype(np.float64) - float(logits[likeliest(logits)])
    with np.errstate(over="ignore"):  # to minus infinity, at temperatures near 0
        powers = np.exp(below / temperature)
    out: Array = powers / powers.sum()
    return out


def kept(p: Array, tokens: Array) -> Array:
    """Probabilities of these tokens alone, summing to 1; the others have 0.

    >>> kept(np.array([0.5, 0.25, 0.25]), np.array([0, 1])).round(4).tolist()
    [0.6667, 0.3333, 0.0]
    """
    out = np.zeros_like(p)
    out[tokens] = p[tokens]
    out /= out.sum()
    return out


def nucleus(p: Array, top_p: float) -> Array:
    """The fewest tokens, likeliest first, whose probabilities sum to `top_p` or more; at least one.

    p: (vocab,), summing to 1; the result: their numbers, int64 (count,). Where the sum of all falls short of
    `top_p`, by rounding, it is all of them. Of equal probabilities either may come first. Holtzman et al.,
    "The curious case of neural text degeneration", 2020.

    >>> nucleus(np.array([0.2, 0.5, 0.3]), 0.6).tolist()
    [1, 2]
    """
    tokens = np.argpartition(-p, SORTED)[:SORTED] if len(p) > SORTED else np.arange(len(p))
    if p[tokens].sum() < top_p:
        tokens = np.arange(len(p))
    tokens = tokens[np.argsort(-p[tokens], kind="stable")]
    count = int(np.searchsorted(np.cumsum(p[tokens]), top_p)) + 1
    return tokens[:count]


def pick(p: Array, u: float) -> int:
    """The token in whose part of 0 .. 1 the number u lies: parts as large as p says, one after the other.

    p: (vocab,), none below 0, not all 0; u from 0 to 1. Where the sum of p is not 1, parts are as large as p
    says compared with the sum. A part begins at its lower end, and has not its upper one. A token of
    probability 0 is never picked; at u = 1, behind all parts, it is the last of the others.

    >>> pick(np.array([0.25, 0.0, 0.75]), 0.2), pick(np.array([0.25, 0.0, 0.75]), 0.3)
    (0, 2)
    """
    ends = np.cumsum(p)
    return int(min(np.searchsorted(ends, u * ends[-1], side="right"), np.flatnonzero(p)[-1]))


def log_probability(logits: Array, token: int) -> float:
    """The logarithm of a token's probability at temperature 1, from logits: (vocab,)."""
    wide = logits.astype(np.float64)
    top = wide.max()
    return float(wide[token] - top - np.log(np.exp(wide - top).sum()))
