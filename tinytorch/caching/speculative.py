"""Speculative decoding: a small model proposes some tokens, and the large one checks them in one pass.

Leviathan, Kalman, Matias, "Fast inference from transformers via speculative decoding", 2023; Chen et al.,
"Accelerating large language model decoding with speculative sampling", 2023.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinytorch.caching.decoder import Decoder
from tinytorch.caching.sampling import Sampling, likeliest, pick
from tinytorch.errors import GenerationError
from tinytorch.ops.spec import Array


def accept(
    proposed: Sequence[int],
    drafts: Sequence[Array],
    logits: Array,
    sampling: Sampling,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """How many of the proposed tokens stay, and the token that follows them.

    proposed: k tokens; drafts[i]: the probabilities, (vocab,), from which the draft drew token i; logits: (k
    + 1, vocab) of the large model, row i for token i, the last for one behind all of them. Token i stays
    with probability min(1, p / q), p and q its probabilities in the large model and in the draft, as long as
    all before it stay. The first that does not is replaced by a draw from max(p - q, 0), scaled to sum to 1;
    behind k that stay follows a draw from the last row. What comes out has the distribution of the large
    model alone; where `sampling` is greedy it is its likeliest token each time, `drafts` may be empty,
    and nothing is drawn. p is what `sampling` makes of logits. Numbers of `rng` may be used in any way.
    """
    for i, token in enumerate(proposed):
        if sampling.greedy:
            best = int(np.argmax(logits[i]))
            if best != token:
                return i, best
            continue
        p, q = sampling.probabilities(logits[i]), drafts[i]
        if rng.random() * q[token] >= p[token]:
            rest = np.maximum(p - q, 0)
            return i, pick(rest if rest.any() else p, rng.random())
    return len(proposed), sampling.draw(logits[len(proposed)], rng)


class Speculation:
    """A draft beside a decoder: each round proposes `ahead` tokens and has them checked.

    Both models must have the same vocabulary, and the draft no window; raises GenerationError for others and
    for batches.
    """

    def __init__(self, decoder: Decoder, draft: Decoder, ahead: int = 4) -> None:
        sizes = [int(d.model.vocab_size) for d in (decoder, draft)]  # type: ignore[attr-defined]
        if sizes[0] != sizes[1]:
            raise GenerationError(f"speculative decoding: vocabularies of {sizes[0]} and {sizes[1]} ids")
        if decoder.cache.batch != 1 or draft.cache.batch != 1 or ahead < 1:
            raise GenerationError(
                "speculative decoding: one sequence at a time, and at least one token ahead"
            )
        if draft.cache.window:  # it goes back by several tokens, which may be to what was dropped
            raise GenerationError("speculative decoding: a draft has no window")
        self.decoder, self.draft, self.ahead = decoder, draft, ahead
        self.proposed = self.accepted = 0
        """Tokens so far."""

    def start(self, prompt: Sequence[int], token: int) -> None:
        """Have the draft read a prompt; `token` is the one that follows it."""
        self.draft.start([prompt])
        self._waiting = [token]
        """Tokens that the draft has not read yet."""

    def round(self, token: int, sampling: Sampling, rng: np.random.Generator) -> tuple[list[int], Array]:
        """The tokens that follow `token`, which the model has not read yet, and the logits of each."""
        ahead = min(self.ahead, self.decoder.room - 1, self.draft.room - len(self._waiting))
        proposed, drafts = self._propose(max(ahead, 0), sampling, rng)
        held = self.decoder.cache.length
        logits = self.decoder.check([token, *proposed])
        count, following = accept(proposed, drafts, logits, sampling, rng)
        self.proposed += len(proposed)
        self.accepted += count
        self.decoder.cache.truncate(held + 1 + count)
        if not proposed:
            self._waiting.append(following)
        elif count < len(proposed):
            self.draft.cache.truncate(self.draft.cache.length - (len(proposed) - 1 - count))
            self._waiting = [following]
        else:
            self._waiting = [proposed[-1], following]
        return [*proposed[:count], following], logits[: count + 1]

    def _propose(
        self, ahead: int, sampling: Sampling, rng: np.random.Generator
    ) -> tuple[list[int], list[Array]]:
        proposed: list[int] = []
        drafts: list[Array] = []
        waiting = self._waiting
        for _ in range(ahead):
            logits = self.draft.check(waiting)[-1]
            if not sampling.greedy:
                drafts.append(sampling.probabilities(logits))
            proposed.append(likeliest(logits) if sampling.greedy else pick(drafts[-1], rng.random()))
            waiting = proposed[-1:]
        return proposed, drafts

    @property
    def rate(self) -> float:
        """The share of the proposed tokens that stayed."""
        return self.accepted / self.proposed if self.proposed else 0.0
