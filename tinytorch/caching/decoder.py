"""Decoder: a model with its cache and its compiled passes, fed with tokens as they come."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.caching.kv_cache import KVCache
from tinytorch.caching.prefix import PrefixCache
from tinytorch.caching.resident import give_back
from tinytorch.caching.traced import Pass
from tinytorch.errors import CacheError, GenerationError, ProgramError
from tinytorch.nn.module import Module
from tinytorch.ops.context import context, grad_mode, rules
from tinytorch.ops.spec import Array
from tinytorch.tensor import from_numpy
from tinytorch.training.metrics import evaluating

SIZES = (1, 8, 64, 512)
"""Tokens of a pass: a prompt is cut into such pieces, the last one filled up."""
FILLED = 4
"""How many times its tokens a piece may be filled up to."""


def heads_of(model: Module) -> tuple[int, int, int]:
    """Layers, heads of keys and their width in a model; raises GenerationError for no language model."""
    try:
        layers, heads, width = model.layers, model.heads, model.width  # type: ignore[attr-defined]
    except AttributeError as error:
        raise GenerationError(
            f"{type(model).__name__}: no language model: it has no {error.name}. GPT and Llama can be decoded"
        ) from None
    if "cache" not in inspect.signature(model.forward).parameters:
        raise GenerationError(
            f"{type(model).__name__}: no language model: it takes no cache. GPT and Llama can be decoded"
        )
    kv_heads = model.kv_heads if "kv_heads" in vars(model) else heads  # type: ignore[attr-defined]
    return layers, kv_heads, width // heads


class Decoder:
    """Feeds tokens to a model, each once; what came before is in `cache`.

    `capacity`: positions of each of `batch` sequences, by default all that the model has. `dtype`, `window`,
    `sinks`: as for `KVCache`. `compiled`: passes run as programs, made when first needed; else op by op.
    `fixed`: in an order of sums that no measurement of this machine decides. `prefixes`: how many earlier
    prompts to remember, so that one that begins alike starts there.

    >>> from tinytorch.models import GPT
    >>> decoder = Decoder(GPT(vocab_size=10, context=8, width=16, layers=1, heads=2), compiled=False)
    >>> decoder.feed([[1, 2, 3]]).shape, decoder.cache.length
    ((1, 10), 3)
    """

    def __init__(
        self,
        model: Module,
        capacity: int | None = None,
        dtype: Any = "float32",
        *,
        batch: int = 1,
        window: int | None = None,
        sinks: int = 0,
        compiled: bool = True,
        fixed: bool = False,
        prefixes: int = 0,
        page: int = 64,
    ) -> None:
        layers, kv_heads, head_dim = heads_of(model)
        self.model, self.context = model, int(model.context)  # type: ignore[attr-defined]
        self.compiled, self.fixed, self.prefixes = compiled, fixed, PrefixCache(prefixes)
        size = self.context if capacity is None else capacity
        self.cache = KVCache(
            layers,
            kv_heads,
            head_dim,
            size,
            dtype,
            window,
            sinks,
            batch=batch,
            page=page,
            forks=max(1, prefixes),
        )
        self.reused = 0
        """Positions of the last prompt that were there already."""
        self.why_eager = ""
        """Why passes do not run compiled though that was asked for."""
        self._passes: dict[tuple[int, bool], Pass] = {}

    @property
    def room(self) -> int:
        """How many more tokens can be fed."""
        left = self.context - self.cache.length
        return left if self.cache.window else min(left, self.cache.room)

    @property
    def most(self) -> int:
        """The most tokens of a pass behind which the cache can still go back to where it was before."""
        cache = self.cache
        return max(1, cache.capacity - cache.sinks - cache.window) if cache.window else cache.capacity

    # ------------------------------------------------------------ feeding

    def feed(
        self, ids: Sequence[Sequence[int]] | Array, lengths: Sequence[int] | None = None, every: bool = False
    ) -> Array:
        """Logits of the last token of each sequence, (batch, vocab), or of `every` token, (batch, t, vocab).

        ids: (batch, t); of sequence b only the first `lengths[b]` tokens are meant, the rest fills it up, and
        the cache forgets it again. Raises CacheError where there is no room, and GenerationError for ids
        without a row and lengths that do not fit, before anything is computed.
        """
        tokens = np.asarray(ids, np.int64)
        if tokens.ndim != 2 or tokens.shape[0] != self.cache.batch or tokens.shape[1] == 0:
            raise GenerationError(
                f"feed: ids {tokens.shape}; expected ({self.cache.batch}, t) with a token each"
            )
        self._require_rows(tokens, "feed")
        t = tokens.shape[1]
        counts = np.full(len(tokens), t) if lengths is None else np.asarray(lengths, np.int64)
        if lengths is not None and (counts.shape != tokens.shape[:1] or counts.min() < 1 or counts.max() > t):
            raise GenerationError(
                f"feed: lengths {lengths} of ids {tokens.shape}; expected 1 to {t} for each"
            )
        if t > self.room:
            raise CacheError(
                f"feed: {t} tokens behind {self.cache.length}: the cache holds {self.cache.capacity}, "
                f"the model {self.context}. Shorten the prompt, or make the decoder with a larger capacity"
            )
        before = self.cache.lengths.copy()
        parts, begin, sizes = list[Array](), 0, self._sizes(t)
        for size in sizes:
            piece = tokens[:, begin : begin + size]
            parts.append(self._pass(piece, size, counts - begin, every))
            begin += size
            if begin > t or lengths is not None:  # now, for what fills up must push nothing out of a window
                self.cache.truncate((before + np.minimum(counts, begin)).tolist())
        if every:
            return (parts[0] if len(parts) == 1 else np.concatenate(parts, 1))[:, :t]
        return _picked(parts, sizes, counts - 1)

    def check(self, ids: Sequence[int]) -> Array:
        """Logits of each of a few tokens of the only sequence, (t, vocab), in a pass of just that size."""
        program = self.program(len(ids), every=True)
        if program is None:
            return self.feed([ids], every=True)[0]  # type: ignore[no-any-return]
        return program.run(self.cache, np.array([ids], np.int64))[0]  # type: ignore[no-any-return]

    def _sizes(self, t: int) -> list[int]:
        """The passes for t tokens: the largest that fit, and one that is filled up where there is room."""
        found, left, room, most = list[int](), t, self.room, self.most
        if not self._runs_compiled():
            return [min(most, t - begin) for begin in range(0, t, most)]
        sizes = [s for s in SIZES if s <= most or s == 1]
        while left > 0:
            up = min((s for s in sizes if s >= left), default=0)
            fills = 1 < left <= up <= min(room, FILLED * left)
            found.append(up if fills else max(s for s in sizes if s <= left))
            left, room = left - found[-1], room - found[-1]
        return found

    def _pass(self, piece: Array, size: int, counts: Array, every: bool) -> Array:
        last = np.minimum(np.maximum(counts - 1, 0), size - 1)
        program = self.program(size, every)
        if program is None:
            return self._eager(piece, last, every)
        if piece.shape[1] < size:
            piece = np.pad(piece, ((0, 0), (0, size - piece.shape[1])))
        return program.run(self.cache, np.ascontiguousarray(piece), last)

    def _eager(self, piece: Array, last: Array, every: bool) -> Array:
        """A pass op by op, in evaluation mode."""
        try:
            with evaluating(self.model), grad_mode(False):
                logits = self.model(from_numpy(piece), self.cache)._array
        except BaseException:
            self.cache.truncate(self.cache.lengths.tolist())  # what some layers hold already is forgotten
            raise
        return logits if every else logits[np.arange(len(piece)), np.minimum(last, piece.shape[1] - 1)]  # type: ignore[no-any-return]

    def program(self, t: int, every: bool = False) -> Pass | None:
        """The compiled pass for t tokens, made when first needed; None where passes run eagerly."""
        if not self._runs_compiled():
            return None
        if (t, every) not in self._passes:
            try:
                with evaluating(self.model):
                    self._passes[t, every] = Pass(self.model, self.cache, t, every, self.fixed)
            except ProgramError as error:
                self.why_eager = str(error)
                return None
            give_back()
        return self._passes[t, every]

    def _runs_compiled(self) -> bool:
        """Whether passes run as programs: not where a learner wrote a rule, or something else stands in."""
        here = context.state
        return self.compiled and not self.why_eager and here.backend in ("numpy", "compiled") and not rules

    # ------------------------------------------------------------ prompts

    def start(self, prompts: Sequence[Sequence[int]]) -> Array:
        """Forget what was before, feed a prompt to each sequence, and return the logits of the next tokens.

        A prompt whose beginning is remembered starts behind that. Raises GenerationError for empty prompts,
        ids without a row and prompts that are longer than the cache.
        """
        self._check(prompts)
        ids = np.zeros((len(prompts), max(map(len, prompts))), np.int64)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt)] = prompt
        self.reused = 0
        self.cache.reset()
        if len(prompts) > 1:
            return self.feed(ids, [len(p) for p in prompts])
        known, self.reused = self.prefixes.find(prompts[0])
        if known is not None:
            self.cache = known.fork()
            self.cache.truncate(self.reused)
        return self.feed(ids[:, self.reused :])

    def remember(self, ids: Sequence[int]) -> None:
        """Keep what the cache holds, of the tokens `ids`, for prompts that begin with them."""
        self.prefixes.keep(ids[: self.cache.length], self.cache)

    def _require_rows(self, ids: Array, where: str) -> None:
        """Raise GenerationError for ids that the model has no row for."""
        size = int(self.model.vocab_size)  # type: ignore[attr-defined]
        wrong = ids[(ids < 0) | (ids >= size)]
        if wrong.size:
            raise GenerationError(f"{where}: id {wrong[0]}; the model has ids 0 to {size - 1}")

    def _check(self, prompts: Sequence[Sequence[int]]) -> None:
        if len(prompts) != self.cache.batch or not all(map(len, prompts)):
            raise GenerationError(
                f"generate: prompts of {[len(p) for p in prompts]} tokens for {self.cache.batch} sequences; "
                "each needs at least one"
            )
        for prompt in prompts:
            self._require_rows(np.asarray(prompt), "generate")
        longest, most = max(map(len, prompts)), min(self.context, self.cache.capacity)
        if longest > (self.context if self.cache.window else most):
            raise GenerationError(
                f"generate: a prompt of {longest} tokens, and the cache holds {most}. Shorten it, or make "
                "the decoder with a larger capacity"
            )


def _picked(parts: Sequence[Array], sizes: Sequence[int], last: Array) -> Array:
    """The logits of token `last[b]` of each sequence, out of those of each piece."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum(sizes)
    which = np.searchsorted(ends, last, side="right")
    return np.stack([parts[piece][b] for b, piece in enumerate(which)])
