"""KVCache: pages taken, shared, copied on write and dropped; and going back."""

import numpy as np
import pytest
from helpers import books, cache_of, causal, contents, quiet, read

from tinytorch.autograd import no_grad
from tinytorch.caching.kv_cache import KVCache
from tinytorch.errors import CacheError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.models import GPT
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

F4 = np.float32


def pages_of(cache):
    """How many pages each sequence has."""
    return [len(row) for row in cache._rows]


def consistent(cache):
    """Table and rows say the same, no page is in two places of one cache, and each has its user."""
    for b, row in enumerate(cache._rows):
        got = cache.table[b, : len(row)].tolist()
        expect.equal("got", list(row), got=got)
    numbers = [int(number) for row in cache._rows for number in row]
    expect.true("len(set(numbers)) == len(numbers)", "no page is at two places of a cache", numbers=numbers)
    used = int((cache.pool.users > 0).sum())
    expect.equal("used", cache.pool.pages - cache.pool.free, used=used)


# ---------------------------------------------------------------- reserve


@exercise("KVCache.reserve")
@pytest.mark.parametrize(("t", "pages"), [(1, 1), (3, 1), (4, 1), (5, 2), (12, 3)])
def test_as_many_pages_as_the_positions_need(t, pages):
    cache = KVCache(1, 2, 4, 12, page=4, batch=2)
    free = cache.pool.free
    expect.value("cache.reserve(t)", cache=cache)
    got = pages_of(cache)
    expect.equal("got", [pages, pages], got=got)
    left = cache.pool.free
    expect.equal("left", free - 2 * pages, left=left)
    consistent(cache)
    lengths = cache.lengths.tolist()
    expect.equal("lengths", [0, 0], lengths=lengths)


@exercise("KVCache.reserve")
def test_a_page_is_filled_before_another_is_taken():
    cache = KVCache(1, 2, 4, 20, page=4)
    for length, t, pages in ((0, 3, 1), (3, 1, 1), (4, 1, 2), (5, 2, 2), (7, 6, 4), (13, 0, 4)):
        cache.lengths[:] = length
        before = list(cache._rows[0])
        expect.value("cache.reserve(t)", cache=cache, t=t)
        got = list(cache._rows[0])
        expect.true(f"len(got) == {pages}", f"{length} positions and {t} more need {pages} pages", got=got)
        expect.equal("got[: len(before)]", before, got=got)
        consistent(cache)


@exercise("KVCache.reserve")
def test_what_is_reserved_already_is_not_reserved_again():
    cache = KVCache(1, 2, 4, 20, page=4)
    expect.value("cache.reserve(6)", cache=cache)
    before = books(cache)
    for t in (6, 2, 0, 8):
        expect.value("cache.reserve(t)", cache=cache, t=t)
        got = books(cache)
        expect.equal("got", before, got=got)


@exercise("KVCache.reserve")
def test_sequences_of_different_lengths():
    cache = KVCache(1, 2, 4, 20, page=4, batch=3)
    expect.value("cache.reserve(9)", cache=cache)
    cache.lengths[:] = 9, 4, 0
    expect.value("cache.reserve(5)", cache=cache)
    got = pages_of(cache)
    expect.equal("got", [4, 3, 3], got=got)
    consistent(cache)


@exercise("KVCache.reserve")
@pytest.mark.parametrize(("capacity", "length"), [(10, 9), (8, 0), (8, 7), (8, 8)])
def test_a_full_cache_takes_no_more_and_stays_as_it_was(capacity, length):
    cache = KVCache(1, 2, 4, capacity, page=4, batch=2)
    expect.value("cache.reserve(length)", cache=cache)
    cache.lengths[:] = 2, length
    room = capacity - max(length, 2)
    before = books(cache), cache.table.tolist()
    more = room + 1
    expect.raises("cache.reserve(more)", CacheError, cache=cache)
    got = books(cache), cache.table.tolist()
    expect.equal("got", before, got=got)
    expect.value("cache.reserve(room)", cache=cache)


@exercise("KVCache.reserve")
def test_without_a_page_left_in_the_pool():
    first = KVCache(1, 2, 4, 16, page=4, forks=0, batch=2)
    second = first.fork()
    expect.value("first.reserve(9)", first=first)
    before = books(second), second.table.tolist()
    for t in (5, 16):
        expect.raises("second.reserve(t)", CacheError, second=second, t=t)
        got = books(second), second.table.tolist()
        expect.equal("got", before, got=got)
    expect.value("second.reserve(4)", second=second)


@exercise("KVCache.reserve")
@pytest.mark.parametrize(("length", "t", "shared"), [(6, 1, 1), (8, 1, 2), (7, 5, 1), (3, 9, 0)])
def test_a_page_that_others_use_is_copied_before_it_is_written(rng, length, t, shared):
    cache, k, v = cache_of(rng, [length])
    twin = cache.fork()
    mine = list(cache._rows[0])
    before = contents(cache, 1, 0, range(length))
    expect.value("twin.reserve(t)", twin=twin)
    theirs = list(twin._rows[0])
    same = [a == b for a, b in zip(mine, theirs, strict=False)]
    want = [i < shared for i in range(len(mine))]
    expect.equal("same", want, same=same)
    expect.equal("mine", list(cache._rows[0]))
    got = contents(twin, 1, 0, range(length))
    expect.close("got", before, 0, 0, got=got)
    users = cache.pool.users[mine].tolist()
    expect.equal("users", [2 if i < shared else 1 for i in range(len(mine))], users=users)
    consistent(twin)
    consistent(cache)


@exercise("KVCache.reserve")
def test_pages_that_were_reserved_before_it_was_forked():
    cache = KVCache(1, 2, 4, 20, page=4)
    expect.value("cache.reserve(14)", cache=cache)
    cache.lengths[:] = 2
    twin = cache.fork()
    expect.value("twin.reserve(8)", twin=twin)
    apart = [a != b for a, b in zip(cache._rows[0], twin._rows[0], strict=True)]
    expect.equal("apart", [True, True, True, False], apart=apart)
    consistent(twin)


@exercise("KVCache.reserve")
def test_two_that_begin_alike_go_on_by_themselves(rng):
    cache, k, v = cache_of(rng, [6])
    other = rng.normal(size=k.shape).astype(F4)
    twin = expect.value("cache.fork()", cache=cache)
    for i in range(6, 11):
        read(cache, k, v, i, 1)
        read(twin, other, other, i, 1)
    got = [a for a, _ in contents(cache, 0, 0, range(11))]
    expect.equal("got", list(k[0].swapaxes(0, 1)[:11]), got=got)
    got = [b for _, b in contents(twin, 0, 0, range(11))]
    expect.equal("got", [*v[0].swapaxes(0, 1)[:6], *other[0].swapaxes(0, 1)[6:11]], got=got)


@exercise("KVCache.reserve")
@pytest.mark.parametrize("b", [0, 1])
def test_pages_are_copied_of_each_sequence(rng, b):
    cache, k, v = cache_of(rng, [5, 5])
    twin = cache.fork()
    expect.value("cache.reserve(1)", cache=cache)
    apart = [x != y for x, y in zip(cache._rows[b], twin._rows[b], strict=True)]
    expect.equal("apart", [False, True], apart=apart)
    consistent(cache)


@exercise("KVCache.reserve")
def test_a_window_lets_go_of_what_is_out_of_sight():
    cache = KVCache(1, 2, 4, 12, window=5, page=4)
    gone = []
    for _ in range(30):
        expect.value("cache.reserve(1)", cache=cache)
        gone.append(int(cache.dropped[0]))
        cache.lengths += 1
    want = [max(n - 5 + 1, 0) // 4 * 4 for n in range(30)]
    expect.equal("gone", want, gone=gone)
    consistent(cache)
    pages = pages_of(cache)
    expect.equal("pages", [-(-(30 - gone[-1]) // 4)], pages=pages)


@exercise("KVCache.reserve")
def test_sinks_stay_when_a_window_slides(rng):
    cache = KVCache(1, 2, 4, 16, window=5, sinks=3, page=4)
    expect.value("cache.reserve(4)", cache=cache)
    first = int(cache._rows[0][0])
    for _ in range(30):
        expect.value("cache.reserve(1)", cache=cache)
        cache.lengths += 1
    front, dropped = int(cache._rows[0][0]), int(cache.dropped[0])
    expect.equal("front", first, front=front)
    expect.equal("dropped", (29 - 5 + 1 - 4) // 4 * 4, dropped=dropped)
    consistent(cache)


@exercise("KVCache.reserve")
def test_sequences_slide_by_themselves():
    cache = KVCache(1, 2, 4, 16, window=4, page=4, batch=2)
    expect.value("cache.reserve(14)", cache=cache)
    cache.lengths[:] = 14, 2
    expect.value("cache.reserve(3)", cache=cache)
    dropped = cache.dropped.tolist()
    expect.equal("dropped", [8, 0], dropped=dropped)
    consistent(cache)


@exercise("KVCache.reserve")
def test_what_is_dropped_makes_room():
    cache = KVCache(1, 2, 4, 8, window=8, page=4)  # 4 pages at a time
    expect.value("cache.reserve(13)", cache=cache)
    cache.lengths[:] = 13
    before = books(cache)
    expect.raises("cache.reserve(8)", CacheError, cache=cache)
    got = books(cache)
    expect.equal("got", before, got=got)
    expect.value("cache.reserve(7)", cache=cache)
    dropped = cache.dropped.tolist()
    expect.equal("dropped", [4], dropped=dropped)
    pages = pages_of(cache)
    expect.equal("pages", [4], pages=pages)


@exercise("KVCache.reserve")
@pytest.mark.parametrize(("window", "sinks"), [(None, 0), (5, 0), (6, 3), (1, 0)])
@pytest.mark.parametrize("pieces", [[1] * 20, [7, 1, 1, 5, 6], [4, 4, 4, 4, 4]])
def test_attention_in_pieces_is_attention_to_all(rng, window, sinks, pieces):
    k, v, q = rng.normal(size=(3, 2, 2, 20, 4)).astype(F4)
    cache = KVCache(1, 2, 4, 20, window=window, sinks=sinks, page=4, batch=2)
    begin = 0
    for t in pieces:
        ks, vs, qs = (Tensor(a[:, :, begin : begin + t]) for a in (k, v, q))
        part = q[:, :, begin : begin + t]
        want = [causal(part[b], k[b], v[b], window or 0, sinks, begin) for b in (0, 1)]
        expect.close(
            "cache.attend(0, qs, ks, vs)", np.array(want), 1e-4, 1e-5, cache=cache, qs=qs, ks=ks, vs=vs
        )
        begin += t


@exercise("KVCache.reserve")
def test_a_model_says_the_same_with_a_cache(rng):
    model = GPT(vocab_size=20, context=24, width=16, layers=2, heads=2, generator=Generator(0)).eval()
    ids = rng.integers(0, 20, size=(2, 20))
    with no_grad():
        want = model(Tensor(ids)).numpy()
        cache, begin = KVCache(2, 2, 8, 24, page=4, batch=2), 0
        for t in (5, 1, 1, 8, 1, 4):
            piece = Tensor(ids[:, begin : begin + t])
            expect.close(
                "model(piece, cache)",
                want[:, begin : begin + t],
                1e-3,
                1e-5,
                model=model,
                cache=cache,
                piece=piece,
            )
            begin += t


# ---------------------------------------------------------------- truncate


@exercise("KVCache.truncate")
@pytest.mark.parametrize(("n", "pages"), [(11, 3), (9, 3), (8, 2), (5, 2), (4, 1), (1, 1), (0, 0)])
def test_pages_behind_the_end_are_given_back(rng, n, pages):
    cache, k, v = cache_of(rng, [11])
    before, total = list(cache._rows[0]), cache.pool.pages
    expect.value("cache.truncate(n)", cache=cache)
    lengths, rows, free = cache.lengths.tolist(), list(cache._rows[0]), cache.pool.free
    expect.equal("lengths", [n], lengths=lengths)
    expect.equal("rows", before[:pages], rows=rows)
    expect.equal("free", total - pages, free=free)


@exercise("KVCache.truncate")
def test_each_sequence_by_itself(rng):
    cache, k, v = cache_of(rng, [11, 11, 11])
    expect.value("cache.truncate([3, 11, 8])", cache=cache)
    lengths, pages = cache.lengths.tolist(), pages_of(cache)
    expect.equal("lengths", [3, 11, 8], lengths=lengths)
    expect.equal("pages", [1, 3, 2], pages=pages)
    expect.value("cache.truncate(3)", cache=cache)
    lengths, pages = cache.lengths.tolist(), pages_of(cache)
    expect.equal("lengths", [3, 3, 3], lengths=lengths)
    expect.equal("pages", [1, 1, 1], pages=pages)


@exercise("KVCache.truncate")
@pytest.mark.parametrize("n", [8, -1, [7, 8], [-1, 3], [3, 8], [8, 8], [3], [1, 2, 3], [[1, 2]]])
def test_what_is_not_there_cannot_be_kept(rng, n):
    cache, k, v = cache_of(rng, [7, 7])
    before = books(cache)
    expect.raises("cache.truncate(n)", CacheError, cache=cache)
    got = books(cache)
    expect.equal("got", before, got=got)


@exercise("KVCache.truncate")
def test_a_sequence_that_is_shorter_has_no_more(rng):
    cache, k, v = cache_of(rng, [9, 9])
    expect.value("cache.truncate([9, 4])", cache=cache)
    expect.raises("cache.truncate(5)", CacheError, cache=cache)
    expect.value("cache.truncate(4)", cache=cache)


@exercise("KVCache.truncate")
def test_the_text_goes_on_as_if_nothing_had_been_behind(rng):
    cache, k, v = cache_of(rng, [10, 10])
    other, q = rng.normal(size=(2, *k.shape)).astype(F4)
    expect.value("cache.truncate([6, 3])", cache=cache)
    for step in range(4):
        one = [Tensor(a[:, :, step : step + 1]) for a in (q, other, other)]
        want = []
        for b, kept in enumerate((6, 3)):
            ks, vs = (np.concatenate([a[b, :, :kept], other[b, :, : step + 1]], 1) for a in (k, v))
            want.append(causal(q[b, :, step : step + 1], ks, vs, first=kept + step))
        expect.close("cache.attend(0, *one)", np.array(want), 1e-4, 1e-5, cache=cache, one=one)
        cache.attend(1, *one)


@exercise("KVCache.truncate")
def test_what_a_layer_is_ahead_is_forgotten(rng):
    cache, k, v = cache_of(rng, [5])
    cache.append(0, *[Tensor(a[:, :, 5:8]) for a in (k, v)])
    expect.value("cache.truncate(5)", cache=cache)
    shape = cache.view(0)[0].shape
    expect.equal("shape", (1, 2, 5, 4), shape=shape)
    read(cache, k, v, 5, 1)
    lengths = cache.lengths.tolist()
    expect.equal("lengths", [6], lengths=lengths)


@exercise("KVCache.truncate")
def test_what_others_share_stays_theirs(rng):
    cache, k, v = cache_of(rng, [10])
    twin = cache.fork()
    expect.value("cache.truncate(3)", cache=cache)
    users = [int(cache.pool.users[number]) for number in twin._rows[0]]
    expect.equal("users", [2, 1, 1], users=users)
    free = cache.pool.free
    expect.equal("free", cache.pool.pages - 3, free=free)
    read(cache, v, k, 3, 1)
    got = [a for a, _ in contents(twin, 0, 0, range(10))]
    expect.equal("got", list(k[0].swapaxes(0, 1)[:10]), got=got)


@exercise("KVCache.truncate")
def test_what_was_given_is_not_held_on_to(rng):
    cache, k, v = cache_of(rng, [7, 7])
    n = np.array([5, 6])
    expect.value("cache.truncate(n)", cache=cache, n=n)
    n[:] = 0
    read(cache, k, v, 5, 1)
    lengths = cache.lengths.tolist()
    expect.equal("lengths", [6, 7], lengths=lengths)
    expect.equal("n", np.zeros(2, int), n=n)


@exercise("KVCache.truncate")
@pytest.mark.parametrize(("window", "sinks"), [(4, 0), (5, 0), (4, 3), (1, 0)])
def test_a_window_goes_back_as_far_as_it_can_see(rng, window, sinks):
    cache, k, v = cache_of(rng, [21], window=window, sinks=sinks)
    first = int(cache.dropped[0]) + (4 if sinks else 0)  # that is held, behind the sinks
    n = first + window - 1
    before = books(cache)
    expect.raises("cache.truncate(n - 1)", CacheError, cache=cache)
    expect.raises("cache.truncate(2)", CacheError, cache=cache)
    got = books(cache)
    expect.equal("got", before, got=got)
    expect.value("cache.truncate(n)", cache=cache)
    pages, dropped = pages_of(cache), cache.dropped.tolist()
    expect.equal("pages", [-(-(n - dropped[0]) // 4)], pages=pages)
    expect.equal("dropped", before[1], dropped=dropped)
    q = rng.normal(size=(1, 2, 1, 4)).astype(F4)
    one = [Tensor(q), Tensor(k[:, :, n : n + 1]), Tensor(v[:, :, n : n + 1])]
    want = causal(q[0], k[0, :, : n + 1], v[0, :, : n + 1], window, sinks, n)[None]
    expect.close("cache.attend(0, *one)", want, 1e-4, 1e-5, cache=cache, one=one)


@exercise("KVCache.truncate")
def test_one_position_is_gone(rng):
    cache, k, v = cache_of(rng, [5], window=4, page=1)
    dropped = cache.dropped.tolist()
    expect.equal("dropped", [1], dropped=dropped)
    expect.raises("cache.truncate(3)", CacheError, cache=cache)
    expect.value("cache.truncate(4)", cache=cache)


@exercise("KVCache.truncate")
def test_a_window_that_has_dropped_nothing_yet(rng):
    cache, k, v = cache_of(rng, [5], window=6, sinks=2)
    expect.value("cache.truncate(1)", cache=cache)
    lengths = cache.lengths.tolist()
    expect.equal("lengths", [1], lengths=lengths)


@exercise("KVCache.truncate")
def test_one_that_dropped_and_one_that_did_not(rng):
    cache, k, v = cache_of(rng, [4, 4], window=4)
    cache.truncate([4, 1])
    for i in range(4, 16):
        read(cache, k, v, i, 1)
        cache.truncate([i + 1, 1])  # the second one stays where it is
    dropped = cache.dropped.tolist()
    expect.equal("dropped", [12, 0], dropped=dropped)
    expect.value("cache.truncate([15, 0])", cache=cache)
    lengths = cache.lengths.tolist()
    expect.equal("lengths", [15, 0], lengths=lengths)
    expect.raises("cache.truncate([4, 0])", CacheError, cache=cache)
