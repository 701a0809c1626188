"""analyze_cache: what a cache costs in memory and saves in time, at each length of context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.caching.decoder import Decoder, heads_of
from tinytorch.caching.traced import Whole
from tinytorch.errors import GenerationError
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array, as_dtype, int8
from tinytorch.profiling import words
from tinytorch.profiling.advice.scaling import in_turns
from tinytorch.profiling.statistics import Estimate, fit_exponent, median

LENGTHS = (4096, 32768, 131072)
"""Positions whose memory is told, whether or not the model has as many."""
DTYPES = ("float32", "float16", "int8")


@dataclass(frozen=True)
class At:
    """A context of so many tokens: bytes of its cache, and seconds of the next token, both ways."""

    context: int
    nbytes: int
    cached: Estimate
    uncached: Estimate | None


@dataclass(frozen=True)
class CacheAnalysis:
    """What `analyze_cache` found.

    `position_bytes`: bytes of a position, by dtype. The exponents are those of time per token in the context;
    `break_even`: from what context on the next token is faster with a cache, None where it never was.
    """

    rows: tuple[At, ...]
    position_bytes: dict[str, int]
    dtype: str
    cached_exponent: Estimate
    uncached_exponent: Estimate | None
    break_even: int | None

    def needs(self, positions: int, dtype: str | None = None) -> int:
        """Bytes of the keys and values of so many positions.

        >>> CacheAnalysis((), {"float32": 10}, "float32", Estimate(1, 1, 1), None, None).needs(4096)
        40960
        """
        return positions * self.position_bytes[dtype or self.dtype]

    def __repr__(self) -> str:
        head = ["context", "cache", "cached", "without", "gain"]
        rows = [head]
        for at in self.rows:
            other = "-" if at.uncached is None else words.seconds(at.uncached.value)
            gain = "-" if at.uncached is None else f"{at.uncached.value / at.cached.value:.1f}x"
            rows.append([str(at.context), words.size(at.nbytes), words.seconds(at.cached.value), other, gain])
        first, *rest = words.columns(rows, left=())
        ends = [f"time per token grows with context ** {self.cached_exponent.value:.2f} with a cache"]
        if self.uncached_exponent is not None:
            ends[0] += f", ** {self.uncached_exponent.value:.2f} without"
        if self.break_even is not None:
            ends.append(f"a cache is faster from a context of {self.break_even} on")
        for dtype in self.position_bytes:
            sizes = (f"{n // 1024}k tokens {words.size(self.needs(n, dtype))}" for n in LENGTHS)
            ends.append(f"{dtype}: {words.size(self.position_bytes[dtype])} a token; {', '.join(sizes)}")
        return "\n".join([f"cache in {self.dtype}, time of the next token", first, *rest, "", *ends])


def position_bytes(model: Module) -> dict[str, int]:
    """Bytes that a position takes in all layers, by the dtype that keys and values are kept in.

    2 * layers * heads * width of a head, times the bytes of a number; int8 has one more for each vector.

    >>> from tinytorch.models import GPT
    >>> position_bytes(GPT(vocab_size=10, context=8, width=16, layers=1, heads=2))
    {'float32': 128, 'float16': 64, 'int8': 36}
    """
    layers, heads, dim = heads_of(model)
    return {
        name: 2 * layers * heads * (dim * as_dtype(name).itemsize + (as_dtype(name) == int8))
        for name in DTYPES
    }


def analyze_cache(
    model: Module,
    contexts: Sequence[int] | None = None,
    dtype: Any = "float32",
    rounds: int = 20,
    seed: int = 0,
) -> CacheAnalysis:
    """Time the next token at each context, with a cache and without, in turns, and count the cache's bytes.

    Both ways run compiled; without a cache all tokens before go through the model again. `contexts`: by
    default powers of two up to what the model has room for. Raises GenerationError for those that do not fit.
    """
    most = int(model.context)  # type: ignore[attr-defined]
    found = tuple(contexts) if contexts is not None else _powers(most)
    if len(found) < 2 or not all(1 <= n < most for n in found) or len(set(found)) != len(found):
        raise GenerationError(f"analyze_cache: contexts {found}; two or more, each from 1 to {most - 1}")
    decoder = Decoder(model, dtype=dtype, prefixes=len(found))
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, int(model.vocab_size), most)  # type: ignore[attr-defined]
    calls = [_cached(decoder, ids, n) for n in found]
    calls += [_uncached(Whole(model, n + 1), ids[None, : n + 1]) for n in found]
    times = in_turns(calls, rounds, "analyze_cache")
    pool = decoder.cache.pool
    rows = [
        At(n, pool.pages_for(n) * pool.page_bytes, median(times[i]), median(times[len(found) + i]))
        for i, n in enumerate(found)
    ]
    exponents = [fit_exponent(found, [one.value for one in way]) for way in _ways(rows)]
    wins = [at.context for at in rows if at.uncached is not None and at.uncached.value > at.cached.value]
    losses = [at.context for at in rows if at.context not in wins]
    first = [n for n in wins if n > max(losses, default=0)]
    return CacheAnalysis(
        tuple(rows),
        position_bytes(model),
        str(as_dtype(dtype)),
        exponents[0],
        exponents[1],
        min(first, default=None),
    )


def _powers(context: int) -> tuple[int, ...]:
    """Powers of two below the context, from 16 or the two largest."""
    powers = [1 << n for n in range(context.bit_length()) if 1 << n < context]
    return tuple([n for n in powers if n >= 16][-6:] or powers[-2:]) if len(powers) > 1 else (1, context - 1)


def _ways(rows: Sequence[At]) -> tuple[list[Estimate], list[Estimate]]:
    return [at.cached for at in rows], [at.uncached for at in rows if at.uncached is not None]


def _cached(decoder: Decoder, ids: Array, n: int) -> Any:
    """The pass of one token behind n others; the cache is as before when it is done."""
    decoder.cache.reset()
    decoder.feed(ids[None, :n])
    cache = decoder.cache.fork()
    program = decoder.program(1)

    def step() -> None:
        if program is None:
            decoder.cache = cache
            decoder.feed(ids[None, n : n + 1])
        else:
            program.run(cache, ids[None, n : n + 1])
        cache.truncate(n)

    return step


def _uncached(whole: Whole, ids: Array) -> Any:
    return lambda: whole.run(ids)
