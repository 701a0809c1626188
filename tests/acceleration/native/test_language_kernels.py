"""Kernels of language models against the ops they stand for: pages, blocks, rotary positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch import Tensor, no_grad
from tinytorch.acceleration.native.kernels import blocks as block_kernels
from tinytorch.acceleration.native.kernels import paged as page_kernels
from tinytorch.acceleration.native.kernels.blocks import BlockGemm, BlockRows, QuantizeEachBlock
from tinytorch.acceleration.native.kernels.bytes import Dots, InOne, Turned, Waiting, Wide, has_vnni
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.kernels.paged import AttendPages, WritePages
from tinytorch.acceleration.native.kernels.products import has_avx2
from tinytorch.acceleration.native.kernels.rotary import TurnPairs
from tinytorch.acceleration.native.lower import Fallback, lower
from tinytorch.acceleration.native.program import Program
from tinytorch.acceleration.native.source import ops_of, render, run_source, states_of
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.trace import trace
from tinytorch.errors import ShapeError
from tinytorch.ops.base import clock
from tinytorch.ops.blocks import BlockLinear, BlockLookup, Format, QuantizeBlocks
from tinytorch.ops.paged import CacheWrite, PagedAttention, from_codes, to_codes
from tinytorch.ops.rotary import Rotary, angles
from tinytorch.tensor import from_numpy

Array = np.ndarray[Any, Any]
DTYPES = ("float32", "float16", "int8")


def program_of(
    function: Callable[..., Any], arrays: Sequence[Array], kernels: Sequence[type[Kernel]], threads: int = 1
) -> Program:
    """A program, none of which is left to NumPy, that has these kernels."""
    with no_grad():
        traced = trace(function, [from_numpy(a) for a in arrays])
    assert not traced.refusal
    lowered = lower(optimise(traced.graph))
    assert not any(isinstance(step, Fallback) for step in lowered.steps), "a call was left to NumPy"
    made = {type(step) for step in lowered.steps}
    assert made >= set(kernels), made
    return Program(lowered, False, threads)


def run(program: Program, *arrays: Array) -> list[Array]:
    return program.run(list(arrays), clock.now)


def close(found: Array, expected: Array, tolerance: float = 2e-6) -> None:
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    worst = np.abs(found - expected).max(initial=0)
    assert worst <= tolerance * max(1.0, float(np.abs(expected).max(initial=0))), worst


def source_gives(
    program: Program, arrays: Sequence[Array], expected: Sequence[Array], tolerance: float
) -> Any:
    """The program's text runs and gives this; returns the states that it leaves, copies of the real ones."""
    states = {name: array.copy() for name, array in states_of(program).items()}
    for found, wanted in zip(
        run_source(render(program), arrays, states, ops_of(program)), expected, strict=True
    ):
        np.testing.assert_allclose(found, wanted, tolerance, tolerance)
    return states


# ---------------------------------------------------------------- pages


class Cached:
    """Pages of a few sequences in any order, with nothing but NaN where no position is held."""

    def __init__(
        self,
        dtype: str,
        *,
        batch: int = 1,
        heads: int = 2,
        d: int = 8,
        page: int = 8,
        held: Sequence[int] = (11,),
        t: int = 1,
        sinks: int = 0,
        window: int = 0,
        dropped: Sequence[int] = (0,),
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.dtype, self.t, self.sinks, self.window = dtype, t, sinks, window
        self.starts = np.resize(held, batch).astype(np.int64)
        self.dropped = np.resize(dropped, batch).astype(np.int64)
        slots = int(-(-(self.starts - self.dropped + t).max() // page)) + 1
        pages = slots * batch + 2
        self.table = rng.permutation(pages)[: batch * slots].reshape(batch, slots).astype(np.int64)
        k, v = (rng.standard_normal((2, heads, pages, page, d)) * 1.5).astype(np.float32)
        self.scales: tuple[Array, ...] = ()
        if dtype == "int8":
            (k, first), (v, second) = to_codes(k), to_codes(v)
            self.scales = first, second
        self.keys, self.values = np.ascontiguousarray(k.swapaxes(2, 3)).astype(dtype), v.astype(dtype)
        unused = np.ones((pages, page), bool)
        op = PagedAttention(sinks)
        for b in range(batch):
            length, kept = int(self.starts[b]) + t, -(-sinks // page) * page
            place = op.place(np.arange(length), self.dropped[b], page)
            place = place[(np.arange(length) < kept) | (place >= kept)]
            unused[self.table[b, place // page], place % page] = False
        self.unused = unused
        if dtype == "int8":
            for scale in self.scales:
                scale[:, unused] = -1  # the exponent of NaN
        else:
            self.keys.swapaxes(2, 3)[:, unused] = np.nan
            self.values[:, unused] = np.nan

    @property
    def pools(self) -> tuple[Array, ...]:
        return self.keys, self.values, *self.scales

    @property
    def numbers(self) -> tuple[Array, ...]:
        return self.table, self.starts, self.dropped

    def attention(self) -> PagedAttention:
        return PagedAttention(self.sinks, self.keys.shape[2] ** -0.5, self.window)


def attend(cached: Cached, q: Array, threads: int = 1) -> tuple[Array, Program]:
    op, pools = cached.attention(), [from_numpy(a) for a in cached.pools]

    def function(q: Tensor, *numbers: Tensor) -> Tensor:
        return op(q, *pools[:2], *numbers, *pools[2:])

    program = program_of(function, [q, *cached.numbers], [AttendPages], threads)
    return run(program, q, *cached.numbers)[0], program


def expected_attention(cached: Cached, q: Array) -> Array:
    """What the op itself gives, in float64."""
    found = cached.attention().forward(
        q.astype(np.float64), *cached.pools[:2], *cached.numbers, *cached.scales
    )
    return np.asarray(found)


def queries(cached: Cached, group: int, seed: int = 1) -> Array:
    heads, d = cached.keys.shape[0], cached.keys.shape[2]
    shape = (len(cached.table), heads * group, cached.t, d)
    return (np.random.default_rng(seed).standard_normal(shape) * 1.5).astype(np.float32)


CASES: dict[str, tuple[dict[str, Any], int]] = {
    "one query": ({"held": [0]}, 1),
    "a group of three": ({"held": [30], "t": 5}, 3),
    "heads of 4": ({"d": 4, "page": 4, "held": [9], "t": 7}, 2),
    "heads of 6": ({"d": 6, "page": 4, "held": [9], "t": 2}, 1),
    "heads of 5": ({"d": 5, "page": 16, "held": [40], "t": 3}, 1),
    "heads of 24": ({"d": 24, "page": 16, "held": [33], "t": 6}, 2),
    "heads of 36": ({"d": 36, "page": 8, "held": [12], "t": 1}, 1),
    "heads of 64": ({"d": 64, "page": 64, "held": [130], "t": 1}, 3),
    "heads of 96": ({"d": 96, "page": 32, "held": [70], "t": 2}, 1),
    "heads of 128": ({"d": 128, "page": 64, "held": [65], "t": 1}, 1),
    "pages of 3": ({"page": 3, "held": [10], "t": 4}, 2),
    "pages of 12": ({"page": 12, "held": [25], "t": 4}, 1),
    "many queries": ({"held": [3], "t": 64, "page": 16}, 1),
    "lengths": ({"batch": 3, "held": [0, 20, 7], "t": 4}, 2),
    "a window": ({"held": [21], "t": 9, "window": 5}, 2),
    "a window of one": ({"batch": 2, "held": [21, 3], "t": 2, "window": 1}, 1),
    "sinks": ({"batch": 2, "held": [40, 9], "t": 6, "window": 7, "sinks": 3}, 2),
    "dropped": (
        {"batch": 2, "held": [60, 70], "t": 5, "window": 9, "sinks": 3, "dropped": [40, 48], "page": 8},
        2,
    ),
    "dropped up to what is seen": (
        {"held": [56], "t": 1, "window": 9, "sinks": 3, "dropped": [40], "page": 8},
        1,
    ),
    "dropped without sinks": ({"held": [61], "t": 3, "window": 9, "dropped": [48], "page": 16}, 1),
    "sinks of several pages": (
        {"held": [60], "t": 3, "window": 6, "sinks": 9, "dropped": [40], "page": 4, "d": 16},
        1,
    ),
}


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, DTYPES[(i + j) % 3]) for i, name in enumerate(CASES) for j in range(2)]
)
def test_attention_to_pages(name: str, dtype: str) -> None:
    sizes, group = CASES[name]
    cached = Cached(dtype, **sizes)
    q = queries(cached, group)
    found, _ = attend(cached, q)
    close(found, expected_attention(cached, q))


@given(
    st.sampled_from(DTYPES),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(1, 9),
    st.lists(st.integers(0, 40), min_size=3, max_size=3),
    st.sampled_from([(0, 0), (4, 0), (7, 5), (30, 2)]),
    st.integers(0, 99),
)
@settings(max_examples=8)
def test_attention_to_pages_of_any_size(
    dtype: str,
    batch: int,
    heads: int,
    group: int,
    d: int,
    page: int,
    t: int,
    held: list[int],
    sight: tuple[int, int],
    seed: int,
) -> None:
    window, sinks = sight
    kept = -(-sinks // page) * page
    gone = [max(0, n - window + 1 - kept) // page * page if window else 0 for n in held]
    cached = Cached(
        dtype,
        batch=batch,
        heads=heads,
        d=d,
        page=page,
        held=held,
        t=t,
        window=window,
        sinks=sinks,
        dropped=gone,
        seed=seed,
    )
    q = queries(cached, group)
    close(attend(cached, q)[0], expected_attention(cached, q))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("many", [True, False])
def test_either_number_of_registers(many: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_kernels, "many_registers", lambda: many)
    assert page_kernels.lanes_for(64) == (16 if many else 8)
    assert page_kernels.vectors_for(6, 64) == (4 if many else 2)
    cached = Cached(dtype, d=64, page=64, held=[100], t=7)
    q = queries(cached, 3)
    close(attend(cached, q)[0], expected_attention(cached, q))
    k, v = np.random.default_rng(9).standard_normal((2, 1, 2, 7, 64)).astype(np.float32)
    expected = [a.copy() for a in cached.pools]
    CacheWrite(0, dtype == "int8").forward(*expected[:2], k, v, *cached.numbers, *expected[2:])
    for found, wanted in zip(written(cached, k, v)[0], expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_is_the_same_bits_whatever_else_there_is_and_on_any_number_of_threads(dtype: str) -> None:
    cached = Cached(dtype, batch=3, heads=3, held=[30, 11, 4], t=9, window=12)
    q = queries(cached, 2)
    expected, _ = attend(cached, q)
    np.testing.assert_array_equal(attend(cached, q, 3)[0], expected)
    pools = [from_numpy(a) for a in cached.pools]
    op = cached.attention()
    program = program_of(
        lambda q, *n: op(q, *pools[:2], *n, *pools[2:]),
        [q[:1, :, :1], *(n[:1] for n in cached.numbers)],
        [AttendPages],
    )
    for b in range(3):
        for i in range(9):
            where = cached.table[b : b + 1], cached.starts[b : b + 1] + i, cached.dropped[b : b + 1]
            one = run(program, np.ascontiguousarray(q[b : b + 1, :, i : i + 1]), *where)[0]
            np.testing.assert_array_equal(one[0, :, 0], expected[b, :, i])


@pytest.mark.parametrize("size", [1e-30, 60.0, 1e4])
def test_scores_of_any_size(size: float) -> None:
    cached = Cached("float32", held=[20], t=3)
    q = queries(cached, 1) * np.float32(size)
    close(attend(cached, q)[0], expected_attention(cached, q), 2e-5)


def test_queries_as_heads_of_a_projection() -> None:
    cached = Cached("float32", batch=2, heads=2, d=8, held=[5, 12], t=3)
    op, pools = cached.attention(), [from_numpy(a) for a in cached.pools]
    x = np.random.default_rng(0).standard_normal((2, 3, 4 * 8)).astype(np.float32)

    def function(x: Tensor, *numbers: Tensor) -> Tensor:
        q = x.reshape(2, 3, 4, 8).permute(0, 2, 1, 3)
        return op(q, *pools, *numbers).permute(0, 2, 1, 3).reshape(2, 3, 32)

    found = run(program_of(function, [x, *cached.numbers], [AttendPages]), x, *cached.numbers)[0]
    q = x.reshape(2, 3, 4, 8).transpose(0, 2, 1, 3)
    close(found, expected_attention(cached, q).transpose(0, 2, 1, 3).reshape(2, 3, 32))


def written(cached: Cached, k: Array, v: Array, threads: int = 1) -> tuple[list[Array], Program]:
    """The pools after a program wrote k and v into them."""
    op, pools = CacheWrite(cached.sinks, cached.dtype == "int8"), [from_numpy(a.copy()) for a in cached.pools]

    def function(k: Tensor, v: Tensor, *numbers: Tensor) -> Tensor:
        op(*pools[:2], k, v, *numbers, *pools[2:])
        return k[:, :, 0] * 2.0

    program = program_of(function, [k, v, *cached.numbers], [WritePages], threads)
    run(program, k, v, *cached.numbers)
    return [pool.numpy() for pool in pools], program


WRITES: dict[str, dict[str, Any]] = {
    "one": {"held": [0]},
    "over pages": {"held": [5], "t": 20},
    "heads of 5": {"d": 5, "held": [7], "t": 3},
    "heads of 6": {"d": 6, "held": [7], "t": 3},
    "heads of 64": {"d": 64, "page": 64, "held": [62], "t": 4},
    "lengths": {"batch": 3, "held": [0, 13, 6], "t": 5},
    "dropped": {"batch": 2, "held": [60, 70], "t": 5, "window": 9, "sinks": 3, "dropped": [40, 48]},
    "into the sinks": {"held": [2], "t": 3, "window": 9, "sinks": 5},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WRITES)
def test_writing_into_pages(name: str, dtype: str) -> None:
    cached = Cached(dtype, **WRITES[name])
    heads, d = cached.keys.shape[0], cached.keys.shape[2]
    rng = np.random.default_rng(9)
    shape = (len(cached.table), heads, cached.t, d)
    size = 2.0 ** rng.integers(-20, 12, (*shape[:-1], 1))
    k, v = (rng.standard_normal((2, *shape)) * size).astype(np.float32)
    k[0, 0, 0, :] = 0
    expected = [a.copy() for a in cached.pools]
    CacheWrite(cached.sinks, dtype == "int8").forward(*expected[:2], k, v, *cached.numbers, *expected[2:])
    for threads in (1, 3):
        for found, wanted, before in zip(
            written(cached, k, v, threads)[0], expected, cached.pools, strict=True
        ):
            np.testing.assert_array_equal(found, wanted)
            assert found.tobytes() != before.tobytes()


@pytest.mark.parametrize("d", [4, 8, 6])
def test_vectors_that_are_no_numbers_or_hardly_any_as_codes(d: int) -> None:
    rows = [[0.0], [1e-45, 0], [2e-38, -1e-38], [3e38, -3e38], [127.0, 1], [127.5], [254, 3], [np.nan, 1]]
    rows += [[1, np.inf], [-np.inf, 2], [0.0, -0.0], [1e-39]]
    k = np.array([np.resize(row, d) for row in rows], np.float32)[None, None]
    cached = Cached("int8", heads=1, d=d, page=4, held=[0], t=len(rows))
    expected = [a.copy() for a in cached.pools]
    with np.errstate(all="ignore"):
        CacheWrite(0, True).forward(*expected[:2], k, -k, *cached.numbers, *expected[2:])
    for found, wanted in zip(written(cached, k, -k)[0], expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_source_of_pages_runs_and_gives_the_same(dtype: str) -> None:
    cached = Cached(dtype, batch=2, d=4, page=4, held=[20, 9], t=3, window=5, sinks=2, dropped=[8, 0], seed=3)
    q, rng = queries(cached, 2), np.random.default_rng(2)
    source_gives(attend(cached, q)[1], [q, *cached.numbers], [expected_attention(cached, q)], 1e-5)
    k, v = rng.standard_normal((2, 2, 2, 3, 4)).astype(np.float32)
    pools, program = written(cached, k, v)
    states = source_gives(program, [k, v, *cached.numbers], [k[:, :, 0] * 2], 1e-6)
    for pool in pools:
        assert any(
            a.shape == pool.shape and np.array_equal(a, pool, equal_nan=pool.dtype.kind == "f")
            for a in states.values()
        )


# ---------------------------------------------------------------- weights in blocks

FORMS = [Format(4, True), Format(4, False), Format(8, False), Format(8, True)]
WAYS = {
    "vnni": InOne,
    "waiting": lambda: Waiting(True),
    "waiting, portable": lambda: Waiting(False),
    "turned": Turned,
    "wide": Wide,
}
SHAPES = [(1, 64, 35, True), (5, 32, 16, False), (6, 96, 9, True), (7, 128, 33, False), (64, 32, 20, True)]


def packed(form: Format, n: int, k: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Weights in panels, and what they stand for in float64; extremes of codes among them, scales 1 and 2."""
    top = (1 << form.bits) - 1
    codes = rng.integers(0, top + 1, (n, k)).astype(np.uint8)
    for row, pattern in enumerate(([top], [0], [0, top], [top, 0])):
        if row < n:
            codes[row] = np.resize(pattern, k)
    scale = 2.0 ** rng.integers(0, 2, (n, k // 32))
    least = rng.integers(-3, 4, (n, k // 32)) if form.minimum else scale * -form.middle
    beside = scale.astype(np.float16), least.astype(np.float16) if form.minimum else None
    wide = codes.astype(np.float64).reshape(n, -1, 32) * scale[..., None] + least[..., None]
    return form.pack(form.join(codes), *beside), wide.reshape(n, k)


def codes_of(m: int, k: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Codes of x from -127 to 127, as quantizing gives them, with scales that are powers of 2, and sums."""
    codes = rng.integers(-127, 128, (m, k)).astype(np.int8)
    for row, pattern in enumerate(([127], [-127], [127, -127])):
        if row < m:
            codes[-1 - row] = np.resize(pattern, k)
    scale = 2.0 ** rng.integers(0, 2, (m, k // 32)).astype(np.float32)
    sums = codes.reshape(m, -1, 32).sum(-1, dtype=np.int32).astype(np.float32) * scale
    return codes, scale, sums


def exact(codes: Array, scale: Array, w: Array) -> Array:
    """The product, with no rounding at all."""
    x = codes.astype(np.float64).reshape(len(codes), -1, 32) * scale[..., None]
    return np.asarray(x.reshape(codes.shape) @ w.T)


@pytest.fixture
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Dots:
    """One way of adding products of bytes, which all kernels take."""
    made: Dots = WAYS[request.param]()
    if isinstance(made, InOne) and not has_vnni():
        pytest.skip("this CPU has no VNNI")
    if (isinstance(made, Turned) or getattr(made, "avx2", False)) and not has_avx2():
        pytest.skip("this CPU has no AVX2")
    monkeypatch.setattr(block_kernels, "dots_for", lambda *_: made)
    return made


WAYS_OF_FORMS = [(form, way) for form in FORMS for way in WAYS if form.bits == 4 or "waiting" not in way]


@pytest.mark.parametrize(
    ("form", "way", "shape"),
    [(*one, SHAPES[(i + j) % 5]) for i, one in enumerate(WAYS_OF_FORMS) for j in (0, 2)],
    ids=str,
    indirect=["way"],
)
def test_products_of_blocks_are_exact(
    form: Format, way: Dots, shape: tuple[int, int, int, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    m, k, n, many = shape
    monkeypatch.setattr(block_kernels, "many_registers", lambda: many)
    rng = np.random.default_rng([m, k, n])
    panels, wide = packed(form, n, k, rng)
    x, w, op = codes_of(m, k, rng), from_numpy(panels), BlockLinear(n, form.bits, form.minimum)
    program = program_of(lambda *parts: op(*parts, w), x, [BlockGemm])
    (kernel,) = (step for step in program.lowered.steps if isinstance(step, BlockGemm))
    assert kernel.dots is way
    np.testing.assert_array_equal(run(program, *x)[0], exact(*x[:2], wide))
    np.testing.assert_array_equal(op.forward(*x, panels), exact(*x[:2], wide))


@pytest.mark.parametrize(("vnni", "avx2"), [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_each_cpu_gets_a_way_that_fits_the_codes(
    vnni: bool, avx2: bool, form: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinytorch.acceleration.native.kernels import bytes as byte_kernels

    monkeypatch.setattr(byte_kernels, "has_vnni", lambda: vnni)
    monkeypatch.setattr(byte_kernels, "has_avx2", lambda: avx2)
    if (vnni and not has_vnni()) or (avx2 and not has_avx2()):
        pytest.skip("this CPU has no such instructions")
    rng = np.random.default_rng(5)
    panels, wide = packed(form, 17, 64, rng)
    x, w, op = codes_of(3, 64, rng), from_numpy(panels), BlockLinear(17, form.bits, form.minimum)
    program = program_of(lambda *parts: op(*parts, w), x, [BlockGemm])
    np.testing.assert_array_equal(run(program, *x)[0], exact(*x[:2], wide))


def test_weights_far_larger_than_a_cache_and_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_kernels, "FAR", 0)
    rng, form = np.random.default_rng(0), Format(4, True)
    panels, wide = packed(form, 133, 64, rng)
    w, op = from_numpy(panels), BlockLinear(133)
    for m in (1, 3):
        x = codes_of(m, 64, rng)
        for threads in (1, 3):
            program = program_of(lambda *parts: op(*parts, w), x, [BlockGemm], threads)
            np.testing.assert_array_equal(run(program, *x)[0], exact(*x[:2], wide))


def test_rows_are_the_same_bits_in_any_company_and_on_any_number_of_threads() -> None:
    rng, form = np.random.default_rng(0), Format(4, True)
    beside = rng.normal(size=(2, 50, 8)).astype(np.float16)
    w = from_numpy(form.pack(form.join(rng.integers(0, 16, (50, 256)).astype(np.uint8)), *beside))
    x, op = rng.standard_normal((64, 256)).astype(np.float32), BlockLinear(50)

    def function(x: Tensor) -> Tensor:
        return op(*QuantizeBlocks().all(x), w)

    expected = run(program_of(function, [x], [BlockGemm, QuantizeEachBlock]), x)[0]
    np.testing.assert_array_equal(run(program_of(function, [x], [BlockGemm], 3), x)[0], expected)
    for count in (1, 5, 6, 7):
        program = program_of(function, [x[:count]], [BlockGemm])
        for begin in (0, 20, 57):
            np.testing.assert_array_equal(
                run(program, np.ascontiguousarray(x[begin : begin + count]))[0],
                expected[begin : begin + count],
            )
    close(expected, x.astype(np.float64) @ form.dequantize(w.numpy(), 50).astype(np.float64).T, 0.02)


def test_what_follows_a_product_is_computed_with_it() -> None:
    rng, form = np.random.default_rng(1), Format(8, False)
    panels, wide = packed(form, 20, 64, rng)
    x, w, op = codes_of(6, 64, rng), from_numpy(panels), BlockLinear(20, 8, False)
    other = rng.integers(-5, 5, (6, 20)).astype(np.float32)
    program = program_of(lambda c, s, t, y: (op(c, s, t, w) * y + 1.0).relu(), [*x, other], [BlockGemm])
    assert len(program.lowered.steps) == 1
    np.testing.assert_array_equal(
        run(program, *x, other)[0], np.maximum(exact(*x[:2], wide) * other + 1, 0).astype(np.float32)
    )


@pytest.mark.parametrize("shape", [(1, 32), (5, 96), (2, 3, 64), (64, 32)])
def test_blocks_get_the_codes_scales_and_sums_that_numpy_gives_them(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(4)
    x = (rng.standard_normal(shape) * 2.0 ** rng.integers(-60, 60, (*shape[:-1], 1))).astype(np.float32)
    rows = x.reshape(-1, 32)
    special = (
        [0.0],
        [np.nan, 1],
        [1, -np.inf],
        [1e-38, -1e-39],
        [3e38, -3e38],
        [127, 0.5, 1.5, 2.5],
        [np.inf],
    )
    for row, pattern in zip(range(len(rows) - 1), special, strict=False):
        rows[row] = np.resize(np.array(pattern, np.float32), 32)
    with np.errstate(all="ignore"):
        expected = QuantizeBlocks().forward(x)
    found = run(program_of(lambda x: QuantizeBlocks().all(x), [x], [QuantizeEachBlock]), x)
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, wanted)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_rows_of_a_table_in_blocks(form: Format) -> None:
    rng = np.random.default_rng(2)
    panels, wide = packed(form, 35, 64, rng)
    w, op = from_numpy(panels), BlockLookup(35, form.bits, form.minimum)
    ids = np.array([[0, 34, 16], [15, 1, 34]])
    program = program_of(lambda i: op(w, i), [ids], [BlockRows])
    np.testing.assert_array_equal(run(program, ids)[0], wide[ids])
    np.testing.assert_array_equal(op.forward(panels, ids), wide[ids])
    for wrong in (35, -1):
        with pytest.raises(ShapeError, match=f"id {wrong} is out of range for 35 rows"):
            run(program, np.array([[0, wrong, 1], [0, 0, 0]]))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_source_of_blocks_runs_and_gives_the_same(form: Format) -> None:
    rng = np.random.default_rng(3)
    panels, wide = packed(form, 18, 64, rng)
    w, op, table = (
        from_numpy(panels),
        BlockLinear(18, form.bits, form.minimum),
        BlockLookup(18, form.bits, form.minimum),
    )
    x, ids = rng.standard_normal((2, 64)).astype(np.float32), np.array([17, 3])

    def function(x: Tensor, ids: Tensor) -> Any:
        return op(*QuantizeBlocks().all(x), w) * 2.0, table(w, ids)

    program = program_of(function, [x, ids], [BlockGemm, QuantizeEachBlock, BlockRows])
    found = run(program, x, ids)
    np.testing.assert_array_equal(found[1], wide[ids])
    source_gives(program, [x, ids], found, 1e-5)


# ---------------------------------------------------------------- rotary positions


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("d", [2, 4, 6, 8, 10, 12, 24, 64, 128])
def test_pairs_are_turned(d: int, back: bool) -> None:
    rng, op = np.random.default_rng(d), Rotary(back)
    cos, sin = angles(50, d, 100.0)
    tables = [from_numpy(cos), from_numpy(sin)]
    x = rng.standard_normal((2, 7, 3, d)).astype(np.float32)
    for rows in (2, 1):
        positions = rng.integers(0, 50, (rows, 7))

        def function(x: Tensor, positions: Tensor) -> Tensor:
            return op(x.permute(0, 2, 1, 3), *tables, positions)

        program = program_of(function, [x, positions], [TurnPairs])
        expected = op.forward(x.transpose(0, 2, 1, 3).astype(np.float64), cos, sin, positions)
        close(run(program, x, positions)[0], expected, 5e-7)
        np.testing.assert_array_equal(
            Program(program.lowered, False, 3).run([x, positions], clock.now)[0],
            run(program, x, positions)[0],
        )
        with pytest.raises(ShapeError, match="there are angles for 50"):
            run(program, x, positions + 50)


def test_turning_there_and_back_again_in_the_same_memory() -> None:
    rng = np.random.default_rng(0)
    tables = [from_numpy(a) for a in angles(20, 8)]
    x, positions = rng.standard_normal((2, 3, 5, 8)).astype(np.float32), rng.integers(0, 20, (2, 5))

    def function(x: Tensor, positions: Tensor) -> Tensor:
        y = x * 2.0
        return Rotary(True)(Rotary()(y, *tables, positions), *tables, positions) + 1.0

    close(run(program_of(function, [x, positions], [TurnPairs]), x, positions)[0], 2.0 * x + 1, 1e-6)


@pytest.mark.parametrize("back", [False, True])
def test_source_of_turning_runs_and_gives_the_same(back: bool) -> None:
    rng, op = np.random.default_rng(0), Rotary(back)
    tables = [from_numpy(a) for a in angles(20, 6)]
    x, positions = rng.standard_normal((2, 3, 4, 6)).astype(np.float32), rng.integers(0, 20, (1, 4))
    program = program_of(lambda x, p: op(x, *tables, p), [x, positions], [TurnPairs])
    source_gives(program, [x, positions], run(program, x, positions), 1e-6)


# ---------------------------------------------------------------- codes themselves


@given(st.integers(1, 70), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_codes_are_within_half_a_step_of_the_smallest_power_of_two(d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((3, d)) * 2.0 ** rng.integers(-100, 100, (3, 1))).astype(np.float32)
    codes, exponents = to_codes(x)
    step = 2.0 ** (exponents.view(np.uint8).astype(np.float64) - 127)[:, None]
    largest = np.abs(x.astype(np.float64)).max(-1, keepdims=True)
    assert (np.abs(codes * step - x) <= step / 2).all()
    assert (largest <= 127 * step).all()
    assert (largest > 127 * step / 2).all()
    np.testing.assert_array_equal(from_codes(codes, exponents), codes * step)
