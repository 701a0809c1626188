"""Pages: where a position is, how keys and values get there, and how they come out again."""

import numpy as np
import pytest
from helpers import place_of, pools, put, quiet, rounded

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.paged import CacheWrite, Paged, PagedAttention

F4 = np.float32
DTYPES = ("float32", "float16", "int8")

# ---------------------------------------------------------------- place


@exercise("Paged.place")
@pytest.mark.parametrize("sinks", [0, 1, 4, 9])
def test_while_nothing_is_dropped_a_place_is_a_position(sinks):
    position = np.arange(20)
    expect.equal("Paged(sinks).place(position, 0, 4)", np.arange(20))


@exercise("Paged.place")
@pytest.mark.parametrize(("dropped", "page"), [(4, 4), (12, 4), (64, 64), (3, 1)])
def test_without_sinks_all_move_up(dropped, page):
    position = np.arange(dropped, dropped + 10)
    expect.equal("Paged(0).place(position, dropped, page)", np.arange(10))


@exercise("Paged.place")
@pytest.mark.parametrize(
    ("sinks", "page", "kept"), [(1, 4, 4), (3, 4, 4), (4, 4, 4), (5, 4, 8), (1, 1, 1), (7, 3, 9)]
)
def test_pages_of_sinks_stay_where_they_are(sinks, page, kept):
    dropped = 2 * page
    first = np.arange(kept)
    expect.equal("Paged(sinks).place(first, dropped, page)", first)
    behind = np.arange(kept + dropped, kept + dropped + 7)
    expect.equal("Paged(sinks).place(behind, dropped, page)", np.arange(kept, kept + 7))


@exercise("Paged.place")
@pytest.mark.parametrize(("sinks", "kept"), [(0, 0), (2, 4), (6, 8)])
def test_what_is_gone_comes_before_what_moved_up(sinks, kept):
    gone = np.arange(kept, kept + 12)
    expect.true(
        f"(Paged(sinks).place(gone, 12, 4) < {kept}).all()",
        f"positions that were dropped have places below {kept}, where none of those behind the sinks is",
    )


@exercise("Paged.place")
def test_positions_in_any_order_and_shape(rng):
    position = rng.permutation(np.r_[0:4, 12:20]).reshape(3, 4)
    want = np.array([[place_of(int(p), 8, 2, 4) for p in row] for row in position])
    before = position.copy()
    expect.equal("Paged(2).place(position, 8, 4)", want)
    expect.equal("position", before)
    dropped = np.array([8, 0, 4])
    expect.equal("Paged(2).place(position, dropped[0], 4)", want)


# ---------------------------------------------------------------- CacheWrite.forward

CASES = [  # sinks, page, table, starts, dropped, t
    (0, 4, [[0, 1, 2]], [0], [0], 1),
    (0, 4, [[3, 0, 5]], [2], [0], 1),
    (0, 4, [[3, 0, 5]], [3], [0], 7),
    (0, 3, [[5, 2, 1], [4, 0, 3]], [7, 0], [0, 0], 2),
    (0, 4, [[3, 0, 5], [1, 2, 4]], [9, 22], [4, 16], 3),
    (3, 4, [[3, 0, 5], [1, 2, 4]], [13, 9], [8, 4], 2),
    (2, 2, [[3, 0, 5, 1]], [0], [0], 8),
]


@exercise("CacheWrite.forward")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("sinks", "page", "table", "starts", "dropped", "t"), CASES)
def test_each_position_gets_what_is_its_own(rng, dtype, sinks, page, table, starts, dropped, t):
    table, starts, dropped = map(np.array, (table, starts, dropped))
    pool = pools(rng, 2, 6, 8, page, dtype)
    k, v = rng.normal(size=(2, len(table), 2, t, 8)).astype(F4)
    v *= 3
    want = [array.copy() for array in pool]
    for b, row in enumerate(table):
        put(want, row, int(dropped[b]), sinks, starts[b] + np.arange(t), k[b], v[b])
    keys, values, *scales = pool
    op = CacheWrite(sinks, dtype == "int8")
    expect.equal("op.forward(keys, values, k, v, table, starts, dropped, *scales)", want[0], op=op)
    expect.equal("keys", want[0])
    expect.equal("values", want[1])
    for which, scale in enumerate(scales):
        expect.equal("scale", want[2 + which], scale=scale)


@exercise("CacheWrite.forward")
def test_the_pool_itself_comes_back(rng):
    keys, values = pools(rng, 2, 3, 4, 4)
    k, v = rng.normal(size=(2, 1, 2, 1, 4)).astype(F4)
    table, none = np.array([[2, 0, 1]]), np.array([0])
    out = expect.value("CacheWrite().forward(keys, values, k, v, table, none, none)")
    expect.true("out is keys", "what comes back is the array of keys that was given", out=out)


@exercise("CacheWrite.forward")
def test_what_is_given_stays(rng):
    keys, values = pools(rng, 2, 3, 4, 4)
    given = [
        *rng.normal(size=(2, 1, 2, 3, 4)).astype(F4),
        np.array([[2, 0, 1]]),
        np.array([2]),
        np.array([0]),
    ]
    before = [array.copy() for array in given]
    expect.value("CacheWrite().forward(keys, values, *given)", given=given)
    expect.equal("given", before, given=given)


@exercise("CacheWrite.forward")
def test_nothing_to_write(rng):
    keys, values = pools(rng, 2, 3, 4, 4)
    before = keys.copy(), values.copy()
    k = v = np.zeros((1, 2, 0, 4), F4)
    table, starts, dropped = np.array([[2, 0, 1]]), np.array([5]), np.array([0])
    expect.equal("CacheWrite().forward(keys, values, k, v, table, starts, dropped)", before[0])
    expect.equal("values", before[1])


@exercise("CacheWrite.forward")
def test_one_vector_one_scale(rng):
    keys, values, *scales = pools(rng, 2, 2, 4, 4, "int8")
    k = np.ones((1, 2, 2, 4), F4) * F4([[[[1], [1000]], [[0.01], [127]]]])
    v = -2 * k
    table, none = np.array([[1, 0]]), np.array([0])
    call = "CacheWrite(0, True).forward(keys, values, k, v, table, none, none, *scales)"
    expect.value(call, scales=scales)
    got = scales[0][:, 1, :2].view(np.uint8).astype(int) - 127
    expect.equal("got", np.array([[-6, 3], [-13, 0]]), got=got)
    got = scales[1][:, 1, :2].view(np.uint8).astype(int) - 127
    expect.equal("got", np.array([[-5, 4], [-12, 1]]), got=got)


# ---------------------------------------------------------------- PagedAttention.held

HELD = [  # sinks, page, rows of the table, dropped, length
    (0, 4, [[3, 0, 5]], [0], 12),
    (0, 4, [[3, 0, 5], [1, 2, 4]], [0, 0], 6),
    (0, 4, [[3, 0, 5], [1, 2, 4]], [0, 0], 1),
    (0, 4, [[3, 0, 5], [1, 2, 4]], [4, 16], 22),
    (3, 4, [[3, 0, 5], [1, 2, 4]], [4, 8], 14),
    (5, 4, [[3, 0, 5, 1]], [12], 25),
    (4, 4, [[3, 0, 5]], [4], 9),
    (1, 1, [[3, 0, 5, 1, 2]], [7], 11),
]


@exercise("PagedAttention.held")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("sinks", "page", "table", "dropped", "length"), HELD)
def test_what_a_sequence_holds_in_order(rng, dtype, sinks, page, table, dropped, length):
    table, dropped = np.array(table), np.array(dropped)
    b = len(table) - 1
    pool = pools(rng, 2, 6, 8, page, dtype)
    k, v = rng.normal(size=(2, 2, length, 8)).astype(F4)
    there = [p for p in range(length) if place_of(p, int(dropped[b]), sinks, page) is not None]
    put(pool, table[b], int(dropped[b]), sinks, range(length), k, v)
    keys, values, *scales = pool
    before = [array.copy() for array in pool]
    op = PagedAttention(sinks)
    call = "op.held(b, length, keys, values, table, dropped, *scales)"
    kind = "float32" if dtype == "int8" else dtype
    expect.equal(f"{call}[2]", np.array(there), op=op, scales=scales)
    expect.close(f"{call}[0]", rounded(k[:, there], dtype), 1e-6, 0, kind, op=op, scales=scales)
    expect.close(f"{call}[1]", rounded(v[:, there], dtype), 1e-6, 0, kind, op=op, scales=scales)
    expect.equal("pool", before, pool=pool)


@exercise("PagedAttention.held")
def test_a_sequence_without_positions(rng):
    keys, values = pools(rng, 2, 3, 5, 4)
    table, dropped = np.array([[2, 0, 1]]), np.array([0])
    found = expect.value("PagedAttention().held(0, 0, keys, values, table, dropped)")
    shapes = [np.shape(part) for part in found]
    expect.equal("shapes", [(2, 0, 5), (2, 0, 5), (0,)], shapes=shapes)


@exercise("PagedAttention.held")
def test_the_longest_that_a_table_holds(rng):
    keys, values = pools(rng, 1, 4, 2, 2)
    table, dropped = np.array([[2, 0, 1]]), np.array([4])
    got = expect.value("PagedAttention(2).held(0, 10, keys, values, table, dropped)[2]")
    expect.equal("got", np.array([0, 1, 6, 7, 8, 9]), got=got)
