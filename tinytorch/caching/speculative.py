"""Speculative decoding: a draft proposes some tokens, and the model checks them in one pass.

Leviathan, Kalman, Matias, "Fast inference from transformers via speculative decoding", 2023; Chen et al.,
"Accelerating large language model decoding with speculative sampling", 2023.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinytorch.caching.decoder import Decoder
from tinytorch.caching.drafts import Draft
from tinytorch.caching.sampling import Sampling, pick
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
    """A draft, which was started, beside a decoder: each round proposes `ahead` tokens and has them checked.

    A window leaves room for fewer in a tight cache, or for none. Both must have the same vocabulary; raises
    GenerationError for others and for batches.
    """

    def __init__(self, decoder: Decoder, draft: Draft, ahead: int = 4) -> None:
        size = int(decoder.model.vocab_size)  # type: ignore[attr-defined]
        if size != draft.vocab_size:
            raise GenerationError(f"speculative decoding: vocabularies of {size} and {draft.vocab_size} ids")
        if decoder.cache.batch != 1 or ahead < 1:
            raise GenerationError(
                "speculative decoding: one sequence at a time, and at least one token ahead"
            )
        self.decoder, self.draft, self.ahead = decoder, draft, ahead
        self.proposed = self.accepted = 0
        """Tokens so far."""

    def round(self, token: int, sampling: Sampling, rng: np.random.Generator) -> tuple[list[int], Array]:
        """The tokens that follow `token`, which the model has not read yet, and the logits of each."""
        ahead = min(self.ahead, self.decoder.room - 1, self.decoder.most - 1)
        proposed, drafts = self.draft.propose(ahead, sampling, rng)
        held = self.decoder.cache.length
        logits = self.decoder.check([token, *proposed])
        count, following = accept(proposed, drafts, logits, sampling, rng)
        self.proposed += len(proposed)
        self.accepted += count
        if count < len(proposed):
            self.decoder.cache.truncate(held + 1 + count)
        self.draft.settle(proposed, count, following)
        return [*proposed[:count], following], logits[: count + 1]

    @property
    def rate(self) -> float:
        """The share of the proposed tokens that stayed."""
        return self.accepted / self.proposed if self.proposed else 0.0
