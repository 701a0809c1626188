"""Attention to pages: who sees whom, and what comes of it."""

import numpy as np
import pytest
from helpers import attend, place_of, pools, put, quiet, rounded, sees

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.paged import PagedAttention

F4 = np.float32

# ---------------------------------------------------------------- visible_keys

SETTINGS = [(0, 0), (1, 0), (3, 0), (3, 1), (2, 4), (5, 3), (50, 2), (0, 2)]  # window, sinks


def pairs(queries, keys, window, sinks):
    """Who sees whom, pair by pair."""
    return np.array([[sees(int(i), int(j), window, sinks) for j in keys] for i in queries])


@exercise("PagedAttention.visible_keys")
@pytest.mark.parametrize(("window", "sinks"), SETTINGS)
def test_a_text_from_its_beginning(window, sinks):
    queries = keys = np.arange(7)
    op = PagedAttention(sinks, 1.0, window)
    expect.equal("op.visible_keys(queries, keys)", pairs(queries, keys, window, sinks), op=op)


@exercise("PagedAttention.visible_keys")
@pytest.mark.parametrize(("window", "sinks"), SETTINGS)
def test_a_few_queries_at_the_end(window, sinks):
    queries, keys = np.arange(6, 9), np.arange(9)
    op = PagedAttention(sinks, 1.0, window)
    expect.equal("op.visible_keys(queries, keys)", pairs(queries, keys, window, sinks), op=op)
    one = np.array([8])
    expect.equal("op.visible_keys(one, keys)", pairs(one, keys, window, sinks), op=op)


@exercise("PagedAttention.visible_keys")
def test_keys_of_which_some_are_gone():
    queries, keys = np.array([20, 21, 22, 23]), np.r_[0:4, 16:24]
    op = PagedAttention(3, 1.0, 4)
    expect.equal("op.visible_keys(queries, keys)", pairs(queries, keys, 4, 3), op=op)


@exercise("PagedAttention.visible_keys")
def test_the_first_token_sees_itself():
    first, keys = np.array([0]), np.arange(3)
    expect.equal("PagedAttention().visible_keys(first, keys)", np.array([[True, False, False]]))
    expect.equal("PagedAttention(0, 1.0, 1).visible_keys(first, keys)", np.array([[True, False, False]]))


@exercise("PagedAttention.visible_keys")
def test_sinks_are_not_seen_before_they_are_there():
    queries, keys = np.array([1, 2]), np.arange(5)
    want = np.array([[True, True, False, False, False], [True, True, True, False, False]])
    expect.equal("PagedAttention(4, 1.0, 1).visible_keys(queries, keys)", want)


# ---------------------------------------------------------------- PagedAttention.forward

CASES = [  # sinks, window, page, table, starts, dropped, t
    (0, 0, 4, [[3, 0, 5]], [0], [0], 1),
    (0, 0, 4, [[3, 0, 5]], [6], [0], 1),
    (0, 0, 4, [[3, 0, 5]], [0], [0], 9),
    (0, 0, 4, [[3, 0, 5], [1, 2, 4]], [7, 1], [0, 0], 4),
    (0, 3, 4, [[3, 0, 5], [1, 2, 4]], [5, 0], [0, 0], 3),
    (0, 4, 2, [[3, 0, 5, 1]], [11], [8], 2),
    (3, 5, 4, [[3, 0, 5], [1, 2, 4]], [13, 9], [8, 4], 2),
]


def filled(rng, heads, d, dtype, case):
    """A pool with what the sequences of a case hold, and q with the attention of its queries, in float64."""
    sinks, window, page, table, starts, dropped, t = case
    pool, want = pools(rng, heads, 6, d, page, dtype), []
    q = rng.normal(size=(len(table), 3 * heads, t, d)).astype(F4)
    for b, row in enumerate(table):
        length = starts[b] + t
        k, v = rng.normal(size=(2, heads, length, d)).astype(F4)
        put(pool, row, dropped[b], sinks, range(length), k, v)
        there = [p for p in range(length) if place_of(p, dropped[b], sinks, page) is not None]
        seen = pairs(range(starts[b], length), there, window, sinks)
        want.append(attend(q[b], rounded(k, dtype)[:, there], rounded(v, dtype)[:, there], 0.4, seen))
    return pool, q, np.array(want), [np.array(x) for x in (table, starts, dropped)]


@exercise("PagedAttention.forward")
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("case", CASES)
def test_attention_to_what_pages_hold(rng, dtype, case):
    (keys, values, *scales), q, want, (table, starts, dropped) = filled(rng, 2, 8, dtype, case)
    before = q.copy()
    op = PagedAttention(case[0], 0.4, case[1])
    call = "op.forward(q, keys, values, table, starts, dropped, *scales)"
    expect.close(call, want, 1e-4, 1e-5, F4, op=op, scales=scales)
    expect.equal("q", before)


@exercise("PagedAttention.forward")
@pytest.mark.parametrize(("heads", "group"), [(1, 1), (1, 4), (3, 1), (2, 2), (3, 3)])
def test_heads_of_queries_that_share_heads_of_keys(rng, heads, group):
    k, v = rng.normal(size=(2, heads, 5, 4)).astype(F4)
    keys, values = pools(rng, heads, 2, 4, 4)
    put([keys, values], [1, 0], 0, 0, range(5), k, v)
    q = rng.normal(size=(1, heads * group, 2, 4)).astype(F4)
    want = attend(q[0], k, v, 0.5, pairs([3, 4], range(5), 0, 0))[None]
    table, starts, dropped = np.array([[1, 0]]), np.array([3]), np.array([0])
    op = PagedAttention(0, 0.5)
    expect.close("op.forward(q, keys, values, table, starts, dropped)", want, 1e-4, 1e-5, op=op)


@exercise("PagedAttention.forward")
def test_in_the_dtype_of_the_queries(rng):
    (keys, values), q, want, (table, starts, dropped) = filled(rng, 2, 4, "float16", CASES[3])
    q = q.astype(np.float64)
    op = PagedAttention(0, 0.4)
    call = "op.forward(q, keys, values, table, starts, dropped)"
    expect.close(call, want, 1e-9, 1e-10, np.float64, op=op)


@exercise("PagedAttention.forward")
def test_scores_of_any_size(rng):
    (keys, values), q, _, (table, starts, dropped) = filled(rng, 2, 4, "float32", CASES[2])
    keys *= F4(200)
    op = PagedAttention(0, 1.0)
    out = expect.value("op.forward(q, keys, values, table, starts, dropped)", op=op)
    expect.true("np.isfinite(out).all()", "scores of some hundreds give finite numbers", out=out)


@exercise("PagedAttention.forward")
def test_the_newest_token_alone_is_attention_to_itself(rng):
    keys, values = pools(rng, 2, 2, 4, 4)
    k, v = rng.normal(size=(2, 2, 1, 4)).astype(F4)
    put([keys, values], [1, 0], 0, 0, [0], k, v)
    q = rng.normal(size=(1, 2, 1, 4)).astype(F4)
    table, none = np.array([[1, 0]]), np.array([0])
    expect.close("PagedAttention().forward(q, keys, values, table, none, none)", v[None], 1e-5, 1e-6)


@exercise("PagedAttention.forward")
def test_pages_and_inputs_stay(rng):
    pool, q, _, (table, starts, dropped) = filled(rng, 2, 4, "float32", CASES[6])
    given = [q, *pool, table, starts, dropped]
    before = [array.copy() for array in given]
    expect.value("PagedAttention(3, 0.4, 5).forward(*given)", given=given)
    expect.equal("given", before, given=given)


@exercise("PagedAttention.forward")
def test_no_sequences_and_no_queries(rng):
    keys, values = pools(rng, 2, 3, 4, 4)
    for batch, t in ((0, 2), (2, 0)):
        q = np.zeros((batch, 4, t, 4), F4)
        table, starts, dropped = np.zeros((batch, 3), int), np.full(batch, 2), np.zeros(batch, int)
        call = "PagedAttention().forward(q, keys, values, table, starts, dropped)"
        expect.close(call, np.zeros(q.shape), 0, 0, F4, q=q, table=table, starts=starts, dropped=dropped)
