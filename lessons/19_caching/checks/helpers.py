"""Pages, attention and texts worked out one position after the other, in float64 and plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinytorch import console
from tinytorch.tensor import Tensor


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    """Spare the learner's cache what is compiled here."""
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path))
    console.set_quiet(True)
    yield
    console.set_quiet(False)


# ---------------------------------------------------------------- pages


def place_of(position: int, dropped: int, sinks: int, page: int) -> int | None:
    """Where a position is in its row of pages; None where it is gone."""
    kept = math.ceil(sinks / page) * page
    if position < kept:
        return position
    return position - dropped if position - dropped >= kept else None


def coded(vector: Any) -> tuple[list[int], int]:
    """The int8 codes of a vector, and the exponent of its scale with 127 added, by trying."""
    exponent = 1
    while max(abs(float(x)) for x in vector) > 127 * 2.0 ** (exponent - 127):
        exponent += 1
    return [round(float(x) / 2.0 ** (exponent - 127)) for x in vector], exponent


def pools(rng: Any, heads: int, pages: int, d: int, page: int, dtype: str = "float32") -> list[Any]:
    """Keys and values, and in int8 their exponents, full of numbers that nobody may look at."""
    shapes = (heads, pages, d, page), (heads, pages, page, d)
    if dtype != "int8":
        return [(50 * rng.normal(size=shape)).astype(dtype) for shape in shapes]
    codes = [rng.integers(-127, 128, size=shape).astype(np.int8) for shape in shapes]
    return [*codes, *(rng.integers(120, 127, size=(heads, pages, page)).astype(np.int8) for _ in range(2))]


def put(pool: list[Any], row: Any, dropped: int, sinks: int, positions: Any, k: Any, v: Any) -> None:
    """Write k and v, (heads, t, d), of such positions into the pages of a row, number by number."""
    keys, values, *scales = pool
    page = keys.shape[3]
    for i, position in enumerate(positions):
        place = place_of(int(position), dropped, sinks, page)
        if place is None:
            continue
        number, column = int(row[place // page]), place % page
        for head in range(len(keys)):
            vectors: list[Any] = [k[head, i], v[head, i]]
            for which, scale in enumerate(scales):
                vectors[which], exponent = coded(vectors[which])
                scale[head, number, column] = exponent - 256 if exponent > 127 else exponent
            keys[head, number, :, column], values[head, number, column] = vectors


def rounded(x: Any, dtype: str) -> Any:
    """What is left of vectors (..., d) that were kept in a dtype, in float64."""
    if dtype != "int8":
        return x.astype(dtype).astype(float)
    out = np.zeros(x.shape)
    for at in np.ndindex(x.shape[:-1]):
        codes, exponent = coded(x[at])
        out[at] = np.array(codes) * 2.0 ** (exponent - 127)
    return out


def contents(cache: Any, layer: int, b: int, positions: Any) -> list[Any]:
    """Keys and values, (heads, d) each, of such positions of a sequence, read out of a cache's pages."""
    keys, values = (t.numpy() for t in cache.pool.tensors(layer))
    page, found = cache.page, []
    for position in positions:
        place = place_of(position, int(cache.dropped[b]), cache.sinks, page)
        number = int(cache.table[b, place // page])
        found.append((keys[:, number, :, place % page], values[:, number, place % page]))
    return found


# ---------------------------------------------------------------- attention


def sees(query: int, key: int, window: int = 0, sinks: int = 0) -> bool:
    """Whether the query at one position may look at the key at another."""
    if key > query:
        return False
    return not window or query - key < window or key < sinks


def attend(q: Any, k: Any, v: Any, scale: float, seen: Any) -> Any:
    """q: (query heads, t, d) to k and v: (heads, held, d), where seen: (t, held) says so; float64."""
    q, k, v = (np.asarray(a, np.float64) for a in (q, k, v))
    out, group = np.zeros(q.shape), len(q) // len(k)
    for head, i in np.ndindex(q.shape[:2]):
        there = [j for j in range(k.shape[1]) if seen[i][j]]
        scores = [scale * float(q[head, i] @ k[head // group, j]) for j in there]
        powers = [math.exp(score - max(scores)) for score in scores]
        for power, j in zip(powers, there, strict=True):
            out[head, i] += power / math.fsum(powers) * v[head // group, j]
    return out


def causal(q: Any, k: Any, v: Any, window: int = 0, sinks: int = 0, first: int = 0) -> Any:
    """Attention without a cache: query i, at position first + i, to the positions of k and v from 0 on."""
    seen = [[sees(first + i, j, window, sinks) for j in range(k.shape[1])] for i in range(q.shape[1])]
    return attend(q, k, v, q.shape[2] ** -0.5, seen)


def turned(x: Any, positions: Any, base: float) -> Any:
    """x: (heads, t, d), each pair of neighbours turned, as a complex number, by the angle of its position."""
    d = x.shape[-1]
    angle = np.outer(positions, base ** (-np.arange(0, d, 2) / d))
    pairs = (x[..., ::2] + 1j * x[..., 1::2]) * np.exp(1j * angle)
    out = np.empty(x.shape)
    out[..., ::2], out[..., 1::2] = pairs.real, pairs.imag
    return out


# ---------------------------------------------------------------- caches and texts


def cache_of(rng: Any, lengths: list[int], **settings: Any) -> tuple[Any, Any, Any]:
    """A cache that has read random keys and values one position at a time, and those: (batch, 2, t, 4)."""
    from tinytorch.caching.kv_cache import KVCache

    batch, most = len(lengths), max(lengths)
    k, v = rng.normal(size=(2, batch, 2, most + 40, 4)).astype(np.float32)
    cache = KVCache(2, 2, 4, **{"capacity": 40, "page": 4, "batch": batch, **settings})
    for i in range(most):
        read(cache, k, v, i, 1)
    return cache, k, v


def read(cache: Any, k: Any, v: Any, begin: int, t: int) -> None:
    """Have both layers of a cache store t positions of k and v, the second one the other way round."""
    part = (slice(None), slice(None), slice(begin, begin + t))
    cache.append(0, Tensor(k[part]), Tensor(v[part]))
    cache.append(1, Tensor(v[part]), Tensor(k[part]))


def books(cache: Any) -> tuple[Any, ...]:
    """All that a cache knows of its sequences: lengths, dropped, pages of each, and who uses which."""
    pool = cache.pool
    rows = [list(row) for row in cache._rows]
    return cache.lengths.tolist(), cache.dropped.tolist(), rows, pool.users.tolist(), pool.free


class Script:
    """Stands in for a decoder: logits depend on all tokens of a text. It notes what it is fed."""

    reused = 0

    def __init__(self, vocab: int, capacity: int = 1000, seed: int = 0) -> None:
        self.vocab, self.capacity, self.seed = vocab, capacity, seed
        self.texts: list[list[int]] = []
        self.fed: list[list[list[int]]] = []

    def logits(self, text: Any) -> Any:
        """What follows a text: (vocab,)."""
        return 2 * np.random.default_rng([self.seed, *map(int, text)]).normal(size=self.vocab)

    @property
    def room(self) -> int:
        """How many more tokens can be fed."""
        return self.capacity - max(map(len, self.texts))

    def start(self, prompts: Any) -> Any:
        """The logits behind the prompts: (batch, vocab)."""
        self.texts = [list(map(int, prompt)) for prompt in prompts]
        return np.array([self.logits(text) for text in self.texts])

    def feed(self, ids: Any) -> Any:
        """The logits behind ids, (batch, t), as well."""
        tokens = np.asarray(ids)
        assert tokens.shape == (len(self.texts), 1), f"a token of each sequence is fed, not {tokens.shape}"
        assert self.room > 0, "there is no room for another token"
        self.fed.append(tokens.tolist())
        for text, row in zip(self.texts, tokens, strict=True):
            text += map(int, row)
        return np.array([self.logits(text) for text in self.texts])

    def remember(self, ids: Any) -> None:
        """Nothing is remembered."""


def as_often(counts: Any, chances: Any) -> bool:
    """Whether tokens came as often as they should: within six deviations of the binomial distribution."""
    draws = int(np.sum(counts))
    spread = np.sqrt(draws * np.asarray(chances) * (1 - np.asarray(chances)))
    return bool((np.abs(np.asarray(counts) - draws * np.asarray(chances)) <= 6 * spread + 1e-9).all())


def shares(logits: Any, temperature: float = 1.0) -> Any:
    """softmax(logits / temperature), in float64."""
    powers = np.exp((np.asarray(logits, np.float64) - np.max(logits)) / temperature)
    return powers / powers.sum()
