"""The cache against lists of vectors: what it holds, what queries see, and what refused calls leave alone."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.caching.small import close, gpt, logits_of, state_of, text
from tinytorch import no_grad
from tinytorch.caching import KVCache
from tinytorch.caching.pool import PagePool
from tinytorch.errors import CacheError, ShapeError
from tinytorch.nn.attention import grouped_attention
from tinytorch.ops.spec import Array
from tinytorch.tensor import from_numpy

HEADS, D, PAGE = 2, 4, 4
DTYPES = ("float32", "float16", "int8")


def vectors(rng: np.random.Generator, *shape: int) -> Array:
    """Normal numbers of many sizes."""
    return (rng.standard_normal(shape) * 2.0 ** rng.integers(-4, 5, (*shape[:-1], 1))).astype(np.float32)


def kept_as(x: Array, dtype: str) -> Array:
    """What a cache keeps of vectors, by definition: int8 with the least power of two that holds them all."""
    if dtype == "int8":
        with np.errstate(divide="ignore"):
            exponent = np.ceil(np.log2(np.abs(x).max(-1, keepdims=True).astype(np.float64) / 127))
        step = 2.0 ** np.maximum(exponent, -126)
        return np.asarray(np.rint(x / step) * step)
    return x.astype(dtype).astype(np.float64)


@dataclass
class Known:
    """What one sequence of a cache should hold: a vector of keys and of values for each position."""

    keys: list[Array] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)
    dropped: int = 0

    def copy(self) -> Known:
        return Known(list(self.keys), list(self.values), self.dropped)


def attention(q: Array, known: Known, window: int | None, sinks: int, dtype: str) -> Array:
    """Attention in float64 of the last queries, (heads, t, d), each head of keys serving several of them."""
    heads, t, d = q.shape
    out = np.zeros(q.shape)
    for h in range(heads):
        kv = h // (heads // HEADS)
        k, v = (kept_as(np.stack(rows)[:, kv], dtype) for rows in (known.keys, known.values))
        for i in range(t):
            position = len(known.keys) - t + i
            back = position - np.arange(len(k))
            seen = back >= 0
            if window is not None:
                seen &= (back < window) | (np.arange(len(k)) < sinks)
            score = k @ q[h, i].astype(np.float64) / np.sqrt(d)
            p = np.where(seen, np.exp(score - score[seen].max()), 0)
            out[h, i] = (p / p.sum()) @ v
    return out


def append(cache: KVCache, known: list[Known], t: int, rng: np.random.Generator) -> list[Array]:
    """Have every layer hold t more vectors, the same in all layers; the attention of random queries."""
    k, v = vectors(rng, 2, cache.batch, HEADS, t, D)
    q = rng.standard_normal((cache.batch, 2 * HEADS, t, D)).astype(np.float32)
    found = [cache.attend(layer, *map(from_numpy, (q, k, v))).numpy() for layer in range(cache.pool.layers)]
    for b, one in enumerate(known):
        one.keys += list(k[b].swapaxes(0, 1))
        one.values += list(v[b].swapaxes(0, 1))
    expected = [
        attention(q[b], one, cache.window, cache.sinks, str(cache.dtype)) for b, one in enumerate(known)
    ]
    for layer in found:
        close(layer, np.stack(expected), 2e-6)
    return found


def check(cache: KVCache, known: list[Known]) -> None:
    """The cache holds exactly what is known, but for what its window dropped, and counts it right."""
    assert cache.lengths.tolist() == [len(one.keys) for one in known]
    held = [
        [i for i in range(len(one.keys)) if i < cache.kept or i >= cache.kept + cache.dropped[b]]
        for b, one in enumerate(known)
    ]
    for layer in range(cache.pool.layers):
        k, v = (x.numpy() for x in cache.view(layer))
        assert k.shape == v.shape == (cache.batch, HEADS, max(map(len, held)), D)
        for b, one in enumerate(known):
            for found, rows in ((k, one.keys), (v, one.values)):
                expected = [kept_as(rows[i], str(cache.dtype)) for i in held[b]]
                if expected:
                    np.testing.assert_array_equal(found[b, :, : len(held[b])].swapaxes(0, 1), expected)
                assert not found[b, :, len(held[b]) :].any()
    pages = sum(map(len, cache._rows))
    assert cache.nbytes == pages * cache.pool.page_bytes
    assert cache.utilization == (sum(map(len, held)) / (pages * PAGE) if pages else 1.0)
    if cache.window is not None:
        for b, one in enumerate(known):
            seen = len(one.keys) - cache.window + 1
            assert all(i in held[b] for i in range(max(seen, 0), len(one.keys)))


def small(**settings: Any) -> KVCache:
    sizes = {"layers": 1, "kv_heads": HEADS, "head_dim": D, "capacity": 24, "page": PAGE}
    return KVCache(**{**sizes, **settings})


def fed(cache: KVCache, *counts: int, seed: int = 0) -> list[Known]:
    """The cache with so many vectors, piece by piece, and what it should hold."""
    rng, known = np.random.default_rng(seed), [Known() for _ in range(cache.batch)]
    for count in counts:
        append(cache, known, count, rng)
    return known


# ---------------------------------------------------------------- any course of events


def audit(pool: PagePool, live: list[tuple[KVCache, list[Known]]]) -> None:
    """Each page has as many users as rows that name it, and each cache holds what it should."""
    used = [row for cache, _ in live for row in cache._rows]
    assert pool.users.tolist() == [sum(n in row for row in used) for n in range(pool.pages)]
    assert pool.free == int((pool.users == 0).sum())
    for cache, known in live:
        check(cache, known)


STEPS = st.lists(
    st.tuples(st.sampled_from(["append"] * 4 + ["truncate", "fork", "drop", "reset"]), st.integers(0, 2**30)),
    max_size=14,
)


@given(
    STEPS,
    st.sampled_from(DTYPES),
    st.sampled_from([(None, 0), (None, 0), (5, 0), (4, 3), (1, 0), (9, 5)]),
    st.integers(1, 2),
    st.integers(1, 2),
)
@settings(max_examples=60)
def test_caches_and_their_forks_hold_what_lists_hold(
    steps: list[tuple[str, int]], dtype: str, sight: tuple[int | None, int], batch: int, layers: int
) -> None:
    window, sinks = sight
    cache = small(layers=layers, dtype=dtype, window=window, sinks=sinks, batch=batch, forks=2, capacity=18)
    pool, live = cache.pool, [(cache, [Known() for _ in range(batch)])]
    del cache
    for what, number in steps:
        rng = np.random.default_rng(number)
        cache, known = live[number % len(live)]
        longest = max(len(one.keys) for one in known)
        if what == "append":
            room = 4 if window else min(7, 18 - longest)
            if room:
                append(cache, known, int(rng.integers(1, room + 1)), rng)
        elif what == "truncate":
            wanted = [int(rng.integers(0, len(one.keys) + 1)) for one in known]
            needed = [n - (window or 0) + 1 for n in wanted]
            lost = [d and cache.kept + d > n for d, n in zip(cache.dropped, needed, strict=True)]
            if any(lost):
                before = state_of(cache)
                with pytest.raises(CacheError, match="dropped"):
                    cache.truncate(wanted)
                assert state_of(cache) == before
            else:
                cache.truncate(wanted)
                for one, n in zip(known, wanted, strict=True):
                    del one.keys[n:], one.values[n:]
        elif what == "fork" and len(live) < 3:
            live.append((cache.fork(), [one.copy() for one in known]))
        elif what == "drop" and len(live) > 1:
            live.remove((cache, known))
        elif what == "reset":
            cache.reset()
            live[number % len(live)] = cache, [Known() for _ in range(batch)]
        del cache  # so that a cache which was dropped is gone
        audit(pool, live)


# ---------------------------------------------------------------- what it holds


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_view_is_what_was_appended(dtype: str) -> None:
    cache, rng = small(dtype=dtype, batch=2, layers=2), np.random.default_rng(3)
    k, v = vectors(rng, 2, 2, HEADS, 11, D)
    for begin, end in ((0, 3), (3, 4), (4, 11)):
        for layer, scale in ((0, 1.0), (1, -2.0)):
            part = from_numpy(k[:, :, begin:end] * np.float32(scale)), from_numpy(v[:, :, begin:end])
            found = cache.append(layer, *part)
            for one, all_of in zip(found, (k * np.float32(scale), v), strict=True):
                given = all_of[:, :, :end]
                step = {"float32": 0, "float16": 2**-11}.get(dtype, 1 / 127)
                worst = np.abs(given).max(-1, keepdims=True) if dtype == "int8" else np.abs(given)
                assert (np.abs(one.numpy() - given) <= step * worst).all()
    assert cache.length == 11


@pytest.mark.parametrize("d", [32, 64])
def test_int8_takes_half_of_float16(d: int) -> None:
    sizes = [small(head_dim=d, dtype=dtype) for dtype in ("float16", "int8")]
    for cache in sizes:
        rows = from_numpy(np.ones((1, HEADS, 5, d), np.float32))
        cache.append(0, rows, rows)
    assert sizes[0].nbytes >= 1.9 * sizes[1].nbytes


def test_positions_go_on_where_each_sequence_ends() -> None:
    cache = small(batch=2)
    fed(cache, 5)
    cache.truncate([2, 5])
    np.testing.assert_array_equal(cache.positions(3).numpy(), [[2, 3, 4], [5, 6, 7]])
    assert (cache.length, cache.room) == (5, 19)


def test_with_a_mask_it_is_attention_to_the_view() -> None:
    cache, rng = small(), np.random.default_rng(0)
    fed(cache, 5)
    q, k, v = (from_numpy(rng.standard_normal((1, n, 3, D)).astype(np.float32)) for n in (4, 2, 2))
    mask = from_numpy(rng.random((1, 1, 3, 8)) > 0.4)
    masked = cache.fork().attend(0, q, k, v, mask, causal=True)
    everything = cache.fork().attend(0, q, k, v, causal=False)
    view = cache.append(0, k, v)
    close(masked.numpy(), grouped_attention(q, *view, mask, True).numpy())
    close(everything.numpy(), grouped_attention(q, *view, None, False).numpy())
    assert np.abs(masked.numpy() - everything.numpy()).max() > 1e-3


def test_nothing_is_recorded_for_backward() -> None:
    cache = small()
    rows = from_numpy(np.ones((1, HEADS, 2, D), np.float32))
    rows.requires_grad_()
    cache.append(0, rows, rows)
    assert all(t._node is None for t in (*cache.pool.tensors(0), *cache.view(0)))


def test_a_layer_that_is_ahead_of_others_is_no_position_until_they_follow() -> None:
    cache = small(layers=2)
    rows = from_numpy(np.ones((1, HEADS, 2, D), np.float32))
    cache.append(0, rows, rows)
    assert (cache.length, cache.view(0)[0].shape[2], cache.view(1)[0].shape[2]) == (0, 2, 0)
    cache.append(1, rows, rows)
    assert (cache.length, cache.view(0)[0].shape[2], cache.view(1)[0].shape[2]) == (2, 2, 2)
    cache.append(0, rows, rows)
    cache.truncate(2)
    assert cache.view(0)[0].shape[2] == 2


# ---------------------------------------------------------------- pages and forks


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_fork_shares_pages_and_copies_the_one_it_writes_to(dtype: str, batch: int) -> None:
    cache = small(dtype=dtype, batch=batch)
    known = fed(cache, 10)
    twin = cache.fork()
    used, pool = 3 * batch, cache.pool
    assert (pool.users[pool.users > 0] == 2).all()
    assert pool.free == pool.pages - used
    theirs = [one.copy() for one in known]
    append(twin, theirs, 1, np.random.default_rng(1))
    assert pool.free == pool.pages - used - batch  # one page of each sequence was copied, none was added
    assert sorted(pool.users.tolist(), reverse=True)[: used + batch] == [2] * (2 * batch) + [1] * (2 * batch)
    append(cache, known, 2, np.random.default_rng(2))
    assert pool.free == pool.pages - used - batch  # whose twin has left it, it writes to its own
    check(cache, known)
    check(twin, theirs)
    assert twin.nbytes == cache.nbytes == used * pool.page_bytes


def test_pages_of_a_fork_that_is_gone_are_free() -> None:
    cache = small()
    fed(cache, 10)
    twin = cache.fork()
    k = from_numpy(np.ones((1, HEADS, 9, D), np.float32))
    twin.append(0, k, k)
    before = cache.pool.free
    del twin
    gc.collect()
    assert cache.pool.free == before + 3
    assert cache.pool.users.max() == 1


def test_pages_of_a_cache_that_is_gone_stay_with_its_fork() -> None:
    cache = small()
    known = fed(cache, 10)
    twin, pool = cache.fork(), cache.pool
    del cache
    gc.collect()
    assert (pool.free, pool.users.max()) == (pool.pages - 3, 1)
    check(twin, known)


def test_there_is_room_for_as_many_whole_forks_as_were_asked_for() -> None:
    cache = small(forks=2)
    others = [cache.fork(), cache.fork()]
    for i, one in enumerate([cache, *others]):
        fed(one, 24, seed=i)
    assert cache.pool.free == 0


def test_reset_gives_pages_back() -> None:
    cache = small(window=5, sinks=1)
    fed(cache, 9, 9)
    cache.reset()
    assert (cache.length, cache.nbytes, cache.utilization, cache.pool.free) == (0, 0, 1.0, cache.pool.pages)
    assert cache.dropped.tolist() == [0]
    check(cache, fed(cache, 7))


def test_a_pool_may_be_given() -> None:
    pool = PagePool(1, HEADS, D, 2, PAGE)
    cache = small(pool=pool)
    fed(cache, 8)
    assert pool.free == 0


# ---------------------------------------------------------------- full, and refused


def appended(cache: KVCache, t: int) -> None:
    rows = from_numpy(np.full((cache.batch, HEADS, t, D), 7, np.float32))
    for layer in range(cache.pool.layers):
        cache.append(layer, rows, rows)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_full_cache_refuses_before_anything_changed(dtype: str) -> None:
    cache = small(dtype=dtype, capacity=10)
    fed(cache, 6, 3)
    before = state_of(cache)
    for t in (2, 100):
        with pytest.raises(
            CacheError, match=f"full: 9 positions held, {t} more do not fit into 10. Truncate"
        ):
            appended(cache, t)
        assert state_of(cache) == before
    appended(cache, 1)
    with pytest.raises(CacheError, match="full"):
        appended(cache, 1)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_pool_that_forks_have_used_up_refuses_before_anything_changed(batch: int) -> None:
    cache = small(batch=batch, forks=0, capacity=16)
    known = fed(cache, 10)
    twin = cache.fork()
    before = state_of(cache), state_of(twin)
    # a page of each sequence is left: enough for copies, not for the pages behind them
    with pytest.raises(CacheError, match="in use"):
        appended(twin, 5)
    assert (state_of(cache), state_of(twin)) == before
    append(twin, [one.copy() for one in known], 2, np.random.default_rng(1))
    check(cache, known)


def test_a_window_that_slides_in_a_used_up_pool_refuses_before_anything_changed() -> None:
    cache = small(window=4, capacity=8, forks=0)
    known = fed(cache, 4, 4, 4)
    twins = [cache.fork() for _ in range(2)]
    appended(twins[0], 4)
    before = [state_of(one) for one in (cache, *twins)]
    with pytest.raises(CacheError, match="in use"):
        appended(twins[1], 8)
    assert [state_of(one) for one in (cache, *twins)] == before
    check(cache, known)


@pytest.mark.parametrize(
    ("wanted", "batch"), [(11, 1), (-1, 1), ([3, 11], 2), ([11, 3], 2), ([-1, 3], 2), ([1, 2, 3], 2)]
)
def test_truncate_refuses_lengths_that_no_sequence_has(wanted: Any, batch: int) -> None:
    cache = small(batch=batch)
    fed(cache, 10)
    before = state_of(cache)
    with pytest.raises(CacheError, match="truncate"):
        cache.truncate(wanted)
    assert state_of(cache) == before


@pytest.mark.parametrize(
    ("layer", "k", "v"),
    [
        (1, (1, 2, 3, 4), (1, 2, 3, 4)),
        (-1, (1, 2, 3, 4), (1, 2, 3, 4)),
        (0, (2, 2, 3, 4), (2, 2, 3, 4)),
        (0, (1, 3, 3, 4), (1, 3, 3, 4)),
        (0, (1, 2, 3, 5), (1, 2, 3, 5)),
        (0, (1, 2, 3, 4), (1, 2, 2, 4)),
        (0, (2, 3, 4), (2, 3, 4)),
    ],
)
def test_other_shapes_are_refused_before_anything_changed(layer: int, k: Any, v: Any) -> None:
    cache = small()
    fed(cache, 3)
    before = state_of(cache)
    with pytest.raises(ShapeError, match=r"expected \(1, 2, t, 4\) and a layer below 1"):
        cache.append(layer, from_numpy(np.ones(k, np.float32)), from_numpy(np.ones(v, np.float32)))
    assert state_of(cache) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"capacity": 0},
        {"batch": 0},
        {"page": 0},
        {"forks": -1},
        {"sinks": -1},
        {"window": 0},
        {"window": 25},
        {"window": 24, "sinks": 1},
        {"dtype": "float64"},
        {"layers": 0},
    ],
)
def test_sizes_that_make_no_cache_are_refused(wrong: Any) -> None:
    with pytest.raises(CacheError, match="cache"):
        small(**wrong)


def test_it_says_what_it_is() -> None:
    cache = small(batch=2, dtype="int8")
    fed(cache, 3)
    assert repr(cache) == "KVCache(1 layers, 2 x 4, int8, [3, 3] of 24 positions, 160 bytes)"


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("window", "sinks"), [(5, 0), (8, 2), (1, 4), (6, 5)])
def test_memory_of_a_window_is_bounded_over_a_long_text(window: int, sinks: int, dtype: str) -> None:
    cache = small(window=window, sinks=sinks, capacity=16, dtype=dtype, forks=0)
    known, rng, most = [Known()], np.random.default_rng(0), 0
    for t in rng.integers(1, 4, 80):
        append(cache, known, int(t), rng)
        most = max(most, cache.nbytes)
    assert cache.length > 140
    pages = -(-sinks // PAGE) + -(-(window + 3) // PAGE) + 1
    assert most <= pages * cache.pool.page_bytes
    check(cache, known)


def test_a_window_that_is_never_left_is_none() -> None:
    one, other = small(window=24), small()
    assert [a.tobytes() for a in _outputs(one)] == [a.tobytes() for a in _outputs(other)]


def _outputs(cache: KVCache) -> list[Array]:
    rng, known = np.random.default_rng(5), [Known()]
    return [append(cache, known, t, rng)[0] for t in (7, 1, 9, 7)]


def test_what_a_window_dropped_cannot_be_gone_back_to() -> None:
    cache = small(window=6, sinks=3)
    known = fed(cache, 8, 8, 4)
    assert (cache.kept, cache.dropped.tolist()) == (4, [4])
    before = state_of(cache)
    for n in (0, 3, 4, 8, 12):  # at 12, position 7 would be seen, which is gone
        with pytest.raises(CacheError, match="dropped"):
            cache.truncate(n)
        assert state_of(cache) == before
    cache.truncate(13)
    for one in known:
        del one.keys[13:], one.values[13:]
    append(cache, known, 5, np.random.default_rng(9))
    check(cache, known)


def test_pieces_that_do_not_fit_behind_a_window_are_refused_before_anything_changed() -> None:
    cache = small(window=5, capacity=8)
    fed(cache, 8, 4)
    before = state_of(cache)
    with pytest.raises(CacheError, match="Feed fewer at a time"):
        appended(cache, 20)
    assert state_of(cache) == before


@pytest.mark.parametrize("window", [3, 7])
def test_a_model_with_a_window_sees_what_a_masked_one_sees(window: int) -> None:
    model, ids = gpt(layers=1), text(3, 30)
    cache = KVCache(1, 2, 8, 20, window=window, page=PAGE)
    with no_grad():
        found = np.concatenate(
            [model(from_numpy(np.array([ids[i : i + 2]])), cache).numpy()[0] for i in range(0, 30, 2)]
        )
    for i in (0, 5, 16, 29):
        # with one layer, the last token depends on nothing but what its window shows
        begin = max(0, i - window + 1)
        close(found[i], _from(model, ids[begin : i + 1], begin))


def _from(model: Any, ids: list[int], begin: int) -> Array:
    """Logits of the last token of a text that begins at a position."""
    places = model.wpe.weight.numpy()
    moved = gpt(layers=1)
    moved.wpe.weight.assign_(np.roll(places, -begin, 0))
    return logits_of(moved, ids)[-1]
