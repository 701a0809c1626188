"""Drafts: what proposes the next few tokens of a text, a small model or the counts of an n-gram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tinytorch.caching.decoder import Decoder
from tinytorch.caching.sampling import Sampling, likeliest, pick
from tinytorch.errors import GenerationError
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.text.ngram import VOCABULARY, NGram


class Draft(Protocol):
    """Proposes tokens, and is told what became of them."""

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""

    def start(self, prompt: Sequence[int], token: int) -> None:
        """Begin with a prompt; `token` is the one that follows it."""

    def propose(
        self, ahead: int, sampling: Sampling, rng: np.random.Generator
    ) -> tuple[list[int], list[Array]]:
        """Up to `ahead` tokens, and the probabilities that each was drawn from; none of these if greedy."""

    def settle(self, proposed: Sequence[int], count: int, following: int) -> None:
        """The first `count` of the proposed tokens stayed, and `following` comes behind them."""


class ModelDraft:
    """A small model; raises GenerationError for batches and for one with a window."""

    def __init__(self, decoder: Decoder) -> None:
        if decoder.cache.batch != 1:
            raise GenerationError(
                f"speculative decoding: a draft of {decoder.cache.batch} sequences; it has one"
            )
        if decoder.cache.window:  # it goes back by several tokens, which may be to what was dropped
            raise GenerationError("speculative decoding: a draft has no window")
        self.decoder = decoder

    @property
    def vocab_size(self) -> int:
        return int(self.decoder.model.vocab_size)  # type: ignore[attr-defined]

    def start(self, prompt: Sequence[int], token: int) -> None:
        self.decoder.start([prompt])
        self._waiting = [token]
        """Tokens that the model has not read yet."""

    def propose(
        self, ahead: int, sampling: Sampling, rng: np.random.Generator
    ) -> tuple[list[int], list[Array]]:
        proposed: list[int] = []
        drafts: list[Array] = []
        waiting = self._waiting
        for _ in range(min(ahead, self.decoder.room - len(waiting))):
            logits = self.decoder.check(waiting)[-1]
            if not sampling.greedy:
                drafts.append(sampling.probabilities(logits))
            proposed.append(likeliest(logits) if sampling.greedy else pick(drafts[-1], rng.random()))
            waiting = proposed[-1:]
        return proposed, drafts

    def settle(self, proposed: Sequence[int], count: int, following: int) -> None:
        if not proposed:
            self._waiting.append(following)
        elif count < len(proposed):
            self.decoder.cache.truncate(self.decoder.cache.length - (len(proposed) - 1 - count))
            self._waiting = [following]
        else:
            self._waiting = [proposed[-1], following]


class NGramDraft:
    """The byte that followed most often: nothing is drawn, so that each proposal has probability 1."""

    vocab_size = VOCABULARY

    def __init__(self, ngram: NGram) -> None:
        self.ngram = ngram
        ngram.likeliest(b"")  # has its tables made, before any text is timed

    def start(self, prompt: Sequence[int], token: int) -> None:
        self._end = bytes([*prompt, token])
        """As much of the text so far as the n-gram looks at, or more."""

    def propose(
        self, ahead: int, sampling: Sampling, rng: np.random.Generator
    ) -> tuple[list[int], list[Array]]:
        text = self._end
        for _ in range(ahead):
            text += bytes([self.ngram.likeliest(text)])
        proposed = list(text[len(self._end) :])
        if sampling.greedy:
            return proposed, []
        certain = np.zeros((len(proposed), VOCABULARY))
        certain[np.arange(len(proposed)), proposed] = 1
        return proposed, list(certain)

    def settle(self, proposed: Sequence[int], count: int, following: int) -> None:
        self._end = (self._end + bytes([*proposed[:count], following]))[-self.ngram.order :]


def as_draft(draft: Module | Decoder | NGram) -> Draft:
    """A model, its decoder or an n-gram as what proposes tokens."""
    if isinstance(draft, NGram):
        return NGramDraft(draft)
    return ModelDraft(draft if isinstance(draft, Decoder) else Decoder(draft))
