"""Generation: a prompt in one pass, then a token a step, until a length, a stop, or the end of the text."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from tinytorch.caching.decoder import Decoder, heads_of
from tinytorch.caching.drafts import Draft, as_draft
from tinytorch.caching.sampling import Sampling, log_probability
from tinytorch.caching.speculative import Speculation
from tinytorch.caching.stopping import TextSoFar
from tinytorch.errors import GenerationError
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.text.ngram import NGram

Prompt: TypeAlias = "str | bytes | Sequence[int]"


class Tokenizer(Protocol):
    """What a text needs to become tokens, and tokens text."""

    def encode(self, data: str | bytes, specials: bool = False) -> Any:
        """The ids of a text."""

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of ids."""


class Bytes:
    """A tokenizer for models whose ids are bytes."""

    def encode(self, data: str | bytes, specials: bool = False) -> Array:
        raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        return np.frombuffer(raw, np.uint8).astype(np.int32)

    def decode(self, ids: Sequence[int]) -> bytes:
        return bytes(ids)


@dataclass
class Generation:
    """What a model went on with, and what that took."""

    prompt_ids: list[int]
    ids: list[int] = field(default_factory=list)
    """The new tokens, without one that ended the text."""
    text: str = ""
    """What they say, up to a stop string."""
    finish: str = "length"
    """Why it ended: "length", "stop" for a stop string, or "end" for a token that ends a text,
    "interrupted" for Ctrl-C."""
    logprobs: list[float] | None = None
    """The logarithm of each token's probability at temperature 1, where asked for."""
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    reused: int = 0
    """Tokens of the prompt that were in the cache already."""
    accepted: float | None = None
    """The share of a draft's tokens that stayed, in speculative decoding."""

    @property
    def tokens_per_second(self) -> float:
        """New tokens a second behind the first, which the prompt's pass gives; 0 where there are no more."""
        return (len(self.ids) - 1) / self.decode_seconds if self.decode_seconds and len(self.ids) > 1 else 0.0


def generate(
    model: Module | Decoder,
    prompt: Prompt | Sequence[Prompt],
    max_new_tokens: int = 128,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] = (),
    stream: Callable[[str], None] | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    ends: Sequence[int] = (),
    draft: Module | Decoder | NGram | None = None,
    ahead: int = 4,
    logprobs: bool = False,
    interruptible: bool = False,
) -> Any:
    """A Generation for a prompt, or a list of them for a list of prompts, which run as one batch.

    `prompt`: text, bytes, or ids. `max_new_tokens`: at most so many, and no more than the cache has room for.
    `seed`: of the random numbers, by default a fresh one; sequence b of a batch draws from seed + b, so that
    it gets what it would alone. `stop`: strings at which the text ends, wherever tokens have their borders.
    `stream`: called with each piece of text once it is sure. `ends`: ids that end a text. `draft`: a small
    model of the same vocabulary, or an n-gram where ids are bytes, that proposes `ahead` tokens at a time;
    the text is that of the model alone. `interruptible`: Ctrl-C ends the text, which is returned as far as it
    came. A Decoder in place of the model keeps cache and programs for the next call. Raises GenerationError
    for empty or too long prompts and settings out of range.

    >>> from tinytorch.models import GPT
    >>> model = GPT(vocab_size=256, context=32, width=16, layers=1, heads=2)
    >>> len(generate(model, b"ab", 5, temperature=0).ids)
    5
    """
    sampling = Sampling(temperature, top_k, top_p)
    stops = [stop] if isinstance(stop, str) else list(stop)
    if max_new_tokens < 0 or (seed or 0) < 0 or any(not one for one in stops):
        raise GenerationError(
            f"generate: max_new_tokens {max_new_tokens}, seed {seed}, stop {stops}: not below 0, none empty"
        )
    single = isinstance(prompt, str | bytes) or not len(prompt) or isinstance(prompt[0], int | np.integer)
    tokenizer = tokenizer or _tokenizer_of(model)
    given: list[Any] = [prompt] if single else list(prompt)
    prompts = [_ids_of(one, tokenizer) for one in given]
    decoder = model if isinstance(model, Decoder) else Decoder(model, batch=len(prompts))
    if stream is not None and len(prompts) > 1:
        raise GenerationError("generate: a batch has no one text to stream")
    run = Run(decoder, prompts, max_new_tokens, sampling, seed, stops, stream, tokenizer, ends, logprobs)
    try:
        if draft is None:
            run.plain()
        else:
            run.speculate(as_draft(draft), ahead)
        run.flush()
    except KeyboardInterrupt:
        if not interruptible:
            raise
        run.interrupt()
    found = run.finished()
    return found[0] if single else found


def _tokenizer_of(model: Module | Decoder) -> Tokenizer:
    if not isinstance(model, Decoder):
        heads_of(model)  # raises for what is no language model
    size = (model.model if isinstance(model, Decoder) else model).vocab_size  # type: ignore[attr-defined]
    if size != 256:
        raise GenerationError(f"generate: a model of {size} ids needs its tokenizer")
    return Bytes()


def _ids_of(prompt: Prompt, tokenizer: Tokenizer) -> list[int]:
    if isinstance(prompt, str | bytes):
        return [int(i) for i in tokenizer.encode(prompt, specials=True)]
    ids = np.asarray(prompt)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise GenerationError(f"generate: a prompt is text, bytes or a list of ids, not {str(prompt)[:60]}")
    return ids.astype(np.int64).tolist()  # type: ignore[no-any-return]


class Run:
    """One call of `generate` while it runs."""

    def __init__(
        self,
        decoder: Decoder,
        prompts: list[list[int]],
        limit: int,
        sampling: Sampling,
        seed: int | None,
        stops: Sequence[str],
        stream: Callable[[str], None] | None,
        tokenizer: Tokenizer,
        ends: Sequence[int],
        logprobs: bool,
    ) -> None:
        self.decoder, self.prompts, self.limit, self.sampling = decoder, prompts, limit, sampling
        self.stream, self.ends = stream, frozenset(ends)
        first = secrets.randbits(63) if seed is None else seed
        self.rngs = [np.random.default_rng(first + b) for b in range(len(prompts))]
        self.found = [Generation(prompt, logprobs=[] if logprobs else None) for prompt in prompts]
        self.texts = [TextSoFar(tokenizer.decode, stops) for _ in prompts]
        self.going = [limit > 0] * len(prompts)
        self.begun = time.perf_counter()
        self.read = False
        """Whether the cache holds the prompts, and not what was before."""

    def plain(self) -> None:
        """Token by token, all sequences at a time.

        `_prefill()` reads the prompts, and gives the logits of the tokens that follow: (batch, vocab). While
        `going[b]`, `self.sampling.draw(logits[b], self.rngs[b])` is the next token of sequence b, and
        `_take(b, token, logits[b])` adds it and sees whether the sequence ends. All that were drawn are
        fed at once, (batch, 1), to `decoder.feed`, which gives the next logits; sequences that have ended go
        along with any token, nothing is drawn or taken for them. It ends where none is going or the decoder
        has no `room`; a token behind which nothing is drawn is not fed.
        """
        logits = self._prefill()
        last = [0] * len(self.prompts)
        while any(self.going):
            for b, going in enumerate(self.going):
                if going:  # those that have ended go on with the token they had, which nobody reads
                    last[b] = self.sampling.draw(logits[b], self.rngs[b])
                    self._take(b, last[b], logits[b])
            if not any(self.going) or self.decoder.room < 1:
                break
            logits = self.decoder.feed(np.array(last)[:, None])

    def speculate(self, draft: Draft, ahead: int) -> None:
        """As `plain`, with a draft that proposes tokens."""
        speculation = Speculation(self.decoder, draft, ahead)
        logits = self._prefill()
        token = self.sampling.draw(logits[0], self.rngs[0])
        draft.start(self.prompts[0], token)
        self.begun = time.perf_counter()
        if self.going[0]:
            self._take(0, token, logits[0])
        while self.going[0] and self.decoder.room > 0:
            tokens, rows = speculation.round(token, self.sampling, self.rngs[0])
            for token, row in zip(tokens, rows, strict=True):
                if self.going[0]:
                    self._take(0, token, row)
            self.found[0].accepted = speculation.rate

    def _prefill(self) -> Array:
        start = time.perf_counter()
        logits = self.decoder.start(self.prompts)
        for found in self.found:
            found.prefill_seconds = time.perf_counter() - start
            found.reused = self.decoder.reused
        self.begun, self.read = time.perf_counter(), True
        return logits

    def _take(self, b: int, token: int, logits: Array) -> None:
        """Add a token to a sequence, and see whether it ends there."""
        found, text = self.found[b], self.texts[b]
        if token in self.ends:
            found.finish, self.going[b] = "end", False
            return
        found.ids.append(token)
        if found.logprobs is not None:
            found.logprobs.append(log_probability(logits, token))
        piece = text.add(token)
        if self.stream is not None and piece:
            self.stream(piece)
        if text.stopped:
            found.finish, self.going[b] = "stop", False
        elif len(found.ids) >= self.limit:
            self.going[b] = False

    def interrupt(self) -> None:
        """End all sequences where they are."""
        for b, found in enumerate(self.found):
            if self.going[b]:
                found.finish, self.going[b] = "interrupted", False

    def flush(self) -> None:
        """Have the text that was still held back."""
        for text in self.texts:
            piece = text.end()
            if self.stream is not None and piece:
                self.stream(piece)

    def finished(self) -> list[Generation]:
        """What was found; a decoder remembers it."""
        seconds = time.perf_counter() - self.begun
        self.flush()
        for found, text in zip(self.found, self.texts, strict=True):
            found.decode_seconds, found.text = seconds, text.text
        if len(self.found) == 1 and self.read:
            self.decoder.remember([*self.prompts[0], *self.found[0].ids])
        return self.found
