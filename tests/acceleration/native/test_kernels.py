"""Kernels against float64 NumPy, for shapes, layouts and options that samples of ops do not reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch.acceleration.native.kernels.tiles import row_tiles
from tinytorch.acceleration.native.lower import Fallback, lower
from tinytorch.acceleration.native.program import Program
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.trace import trace
from tinytorch.nn import functional
from tinytorch.ops.base import clock
from tinytorch.ops.spec import Array

few = settings(max_examples=15)
rng = np.random.default_rng(5)


def compiled(function: Any, *arrays: Array) -> tuple[Program, list[Array]]:
    """A function's program, all of it native, and its outputs."""
    with tt.no_grad():
        traced = trace(function, [tt.from_numpy(a) for a in arrays])
    assert not traced.refusal
    program = Program(lower(optimise(traced.graph)))
    assert not [s for s in program.lowered.steps if isinstance(s, Fallback)], "a call was left to NumPy"
    return program, program.run([np.ascontiguousarray(a) for a in arrays], clock.now)


def normal(*shape: int, dtype: str = "float32") -> Array:
    return rng.standard_normal(shape).astype(dtype)


def assert_close(found: Array, expected: Array, rtol: float = 2e-6) -> None:
    assert found.shape == expected.shape
    scale = np.abs(expected).max() if expected.size else 0.0
    assert np.abs(found - expected).max() <= rtol * max(scale, 1e-30) * 4


# ---------------------------------------------------------------- products


@few
@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 50), st.sampled_from(["nn", "nt", "tn", "tt"]))
def test_products_of_any_size_and_layout(m: int, k: int, n: int, kind: str) -> None:
    a = normal(m, k) if kind[0] == "n" else normal(k, m)
    b = normal(k, n) if kind[1] == "n" else normal(n, k)
    left = (lambda x: x) if kind[0] == "n" else (lambda x: x.mT)
    right = (lambda x: x) if kind[1] == "n" else (lambda x: x.mT)
    _, (found,) = compiled(lambda x, y: left(x) @ right(y), a, b)
    wide = [
        x.astype(np.float64)
        for x in (left(a) if kind[0] == "n" else a.T, right(b) if kind[1] == "n" else b.T)
    ]
    assert_close(found, wide[0] @ wide[1])


@pytest.mark.parametrize("kind", ["fixed", "nn", "nt", "tn"])
@pytest.mark.parametrize("size", [(130, 1100, 70), (25, 1600, 17), (300, 64, 48), (7, 3, 130)])
def test_products_that_are_cut_into_blocks(size: tuple[int, int, int], kind: str) -> None:
    m, k, n = size
    a, b = normal(m, k), normal(k, n)
    if kind == "fixed":
        weight = tt.Tensor(b)
        _, (found,) = compiled(lambda x: (x @ weight).relu() + x[:, :1], a)
        expected = np.maximum(a.astype(float) @ b, 0) + a[:, :1]
    else:
        given_a, given_b = (a.T.copy() if kind == "tn" else a), (b.T.copy() if kind == "nt" else b)
        _, (found,) = compiled(
            lambda x, y: ((x.mT if kind == "tn" else x) @ (y.mT if kind == "nt" else y)).relu(),
            given_a,
            given_b,
        )
        expected = np.maximum(a.astype(float) @ b, 0)
    assert_close(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches_of_products_with_an_epilogue_of_several_results(dtype: str) -> None:
    a, b, c = normal(3, 2, 5, 9, dtype=dtype), normal(2, 9, 11, dtype=dtype), normal(5, 1, dtype=dtype)

    def function(x: Any, y: Any, z: Any) -> Any:
        product = x @ y
        return product, (product * z).tanh()

    program, (first, second) = compiled(function, a, b, c)
    expected = a.astype(float) @ b
    assert len(program.lowered.steps) == 1
    assert_close(first, expected, 1e-6)
    assert_close(second, np.tanh(expected * c), 1e-6)


@given(st.integers(1, 400), st.integers(1, 12))
def test_tiles_cover_all_rows_once_and_none_is_larger_than_allowed(m: int, most: int) -> None:
    rows = [
        first + i * size + r
        for first, size, count in row_tiles(m, most)
        for i in range(count)
        for r in range(size)
    ]
    assert rows == list(range(m))
    assert max(size for _, size, _ in row_tiles(m, most)) <= most


# ---------------------------------------------------------------- element by element, and sums


@few
@given(st.lists(st.integers(1, 9), min_size=0, max_size=4), st.data())
def test_chains_that_broadcast_over_permuted_operands(shape: list[int], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    a = normal(*shape)
    b = normal(*[n if data.draw(st.booleans()) else 1 for n in shape])
    c = normal(*[shape[i] for i in order])
    back = np.argsort(order).tolist()

    def function(x: Any, y: Any, z: Any) -> Any:
        z = z.permute(*back) if shape else z
        return (x * y + z).tanh() * 2.0 - x

    _, (found,) = compiled(function, a, b, c)
    expected = np.tanh(a.astype(float) * b + c.transpose(back)) * 2 - a
    assert_close(found, expected)


@few
@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.data())
def test_reductions_over_any_axes_of_any_layout(shape: list[int], data: st.DataObject) -> None:
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1))
    order = data.draw(st.permutations(range(len(shape))))
    name = data.draw(st.sampled_from(["sum", "mean", "max", "min"]))
    keep = data.draw(st.booleans())
    a = normal(*shape)
    _, (found,) = compiled(lambda x: getattr(x.permute(*order) * 2.0, name)(axes, keep), a)
    wide = a.astype(float).transpose(order) * 2
    expected = np.asarray(getattr(wide, name)(tuple(axes), keepdims=keep))
    assert found.shape == expected.shape
    # a sum may cancel: what rounding costs goes with the magnitudes that are added
    magnitude = (
        np.abs(expected) if name in ("max", "min") else getattr(abs(wide), name)(tuple(axes), keepdims=keep)
    )
    assert (np.abs(found - expected) <= 1e-6 * magnitude).all()


def test_reductions_keep_nan() -> None:
    a = normal(3, 40)
    a[1, 37] = np.nan
    _, (largest, total) = compiled(lambda x: (x.max(1), x.sum(1)), a)
    assert np.isnan(largest).tolist() == np.isnan(total).tolist() == [False, True, False]


def test_integers_bools_and_choices() -> None:
    a, b = rng.integers(-5, 5, (3, 17)), rng.integers(-5, 5, (17,))

    def function(x: Any, y: Any) -> Any:
        chosen = (x > y) & ~(y == 0)
        return tt.where(chosen, x * 2 - y, abs(y)), chosen, chosen.to("float32") + 0.5

    _, found = compiled(function, a, b)
    chosen = (a > b) & ~(b == 0)
    for got, want in zip(
        found, (np.where(chosen, a * 2 - b, np.abs(b)), chosen, chosen + np.float32(0.5)), strict=True
    ):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


# ---------------------------------------------------------------- rows


@few
@given(st.integers(1, 5), st.integers(1, 70), st.sampled_from([0.1, 30.0, 1e4]))
def test_softmax_of_rows_small_and_huge(rows: int, n: int, scale: float) -> None:
    a = normal(rows, n) * np.float32(scale)
    a[0, 0] = -np.inf
    _, (soft, logs) = compiled(lambda x: (tt.softmax(x), tt.log_softmax(x + 0.0)), a)
    wide = a.astype(float)
    top = wide.max(1, keepdims=True)
    powers = np.exp(wide - np.where(np.isinf(top), 0, top))
    total = powers.sum(1, keepdims=True)
    np.testing.assert_allclose(soft, powers / np.where(total == 0, 1, total), rtol=1e-5, atol=1e-7)
    if n > 1:
        expected = wide - top - np.log(total)
        np.testing.assert_allclose(logs, expected, rtol=1e-5, atol=scale * 1e-5)


@pytest.mark.parametrize("n", [1, 5, 8, 33, 128])
def test_layer_norm_of_a_large_mean(n: int) -> None:
    x, weight, bias = normal(6, n) + np.float32(100), normal(n), normal(n)
    _, (found,) = compiled(lambda a, b, c: functional.layer_norm(a, b, c), x, weight, bias)
    wide = x.astype(float)
    centred = wide - wide.mean(1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * weight + bias
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-4)


# ---------------------------------------------------------------- images


def direct(x: Array, w: Array, stride: Any, padding: Any, dilation: Any, groups: int) -> Array:
    """The convolution by its definition, in float64."""
    n, _, h, width = x.shape
    o, per, kh, kw = w.shape
    framed = np.pad(x.astype(float), ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    oh = (h + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (width + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((n, o, oh, ow))
    for q in range(o):
        first = q // (o // groups) * per
        for i in range(kh):
            for j in range(kw):
                rows = slice(i * dilation[0], i * dilation[0] + stride[0] * (oh - 1) + 1, stride[0])
                columns = slice(j * dilation[1], j * dilation[1] + stride[1] * (ow - 1) + 1, stride[1])
                seen = framed[:, first : first + per, rows, columns]
                out[:, q] += np.einsum("nchw,c->nhw", seen, w[q, :, i, j].astype(float))
    return out


@few
@given(st.data())
def test_convolutions_of_any_geometry(data: st.DataObject) -> None:
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = data.draw(pair), data.draw(pair), data.draw(pair)
    padding = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    groups = data.draw(st.sampled_from([1, 1, 2, 3]))
    c, o = groups * data.draw(st.integers(1, 4)), groups * data.draw(st.integers(1, 11))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    h, w = (data.draw(st.integers(max(1, r - 2 * p), 9)) for r, p in zip(reach, padding, strict=True))
    x, weight = normal(2, c, h, w), normal(o, c // groups, *kernel)
    fixed = tt.Tensor(weight)
    expected = direct(x, weight, stride, padding, dilation, groups)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    for found in (
        compiled(lambda a: functional.conv2d(a, fixed, **options), x)[1][0],
        compiled(lambda a, b: functional.conv2d(a, b, **options), x, weight)[1][0],
    ):
        assert_close(found, expected)


@pytest.mark.parametrize("size", [(12, 12), (9, 13), (14, 7), (6, 6)])
@pytest.mark.parametrize("channels", [(8, 16), (11, 21), (16, 40)])
@pytest.mark.parametrize("pooled", [False, True])
def test_winograd_with_and_without_a_pool(
    size: tuple[int, int], channels: tuple[int, int], pooled: bool
) -> None:
    x, weight, bias = (
        normal(2, channels[0], *size),
        normal(channels[1], channels[0], 3, 3),
        normal(channels[1]),
    )
    w, b = tt.Tensor(weight), tt.Tensor(bias)

    def function(a: Any) -> Any:
        out = functional.conv2d(a, w, b, padding=1).relu()
        return functional.max_pool2d(out, 2) if pooled else out

    program, (found,) = compiled(function, x)
    assert type(program.lowered.steps[0]).__name__ == "Winograd"
    expected = np.maximum(direct(x, weight, (1, 1), (1, 1), (1, 1), 1) + bias[:, None, None], 0)
    if pooled:
        h, width = (n // 2 * 2 for n in size)
        parts = expected[:, :, :h, :width].reshape(2, channels[1], h // 2, 2, width // 2, 2)
        expected = parts.max((3, 5))
    assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("channels", [3, 8, 20])
def test_pools_of_windows_that_overlap_or_reach_beyond(channels: int) -> None:
    x = normal(2, channels, 9, 11)
    _, (largest, mean) = compiled(
        lambda a: (functional.max_pool2d(a, 3, 2, 1), functional.avg_pool2d(a, (2, 3), (1, 2), (1, 0))), x
    )
    framed = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(framed, (3, 3), (2, 3))[:, :, ::2, ::2]
    assert_close(largest, windows.max((4, 5)))
    framed = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(framed, (2, 3), (2, 3))[:, :, :, ::2]
    assert_close(mean, windows.mean((4, 5)))


# ---------------------------------------------------------------- attention, tables, random numbers


@few
@given(st.integers(1, 20), st.integers(1, 40), st.integers(1, 20), st.booleans(), st.booleans())
def test_attention_of_any_length(t: int, s: int, d: int, causal: bool, masked: bool) -> None:
    q, k, v = normal(2, 3, t, d), normal(2, 3, s, d), normal(2, 3, s, 5)
    mask = rng.random((2, 1, t, s)) < 0.7
    _, (found,) = compiled(
        lambda a, b, c, m: functional.attention(a, b, c, m if masked else None, causal=causal), q, k, v, mask
    )
    scores = q.astype(float) @ k.astype(float).swapaxes(-1, -2) / np.sqrt(d)
    sees = np.ones((2, 3, t, s), bool)
    if causal:
        sees &= np.tri(t, s, s - t, dtype=bool)
    if masked:
        sees &= mask
    powers = np.where(sees, np.exp(scores - scores.max(-1, keepdims=True)), 0)
    total = powers.sum(-1, keepdims=True)
    assert_close(found, powers / np.where(total == 0, 1, total) @ v, 1e-5)


def test_ids_out_of_range_are_refused_as_eagerly_and_change_nothing() -> None:
    table = tt.Tensor(normal(5, 3))
    moved = tt.Tensor(np.zeros(3, np.float32))

    def function(ids: Any) -> Any:
        moved.assign_(moved + 1.0)
        return functional.embedding(ids, table)

    program, _ = compiled(function, np.array([0, 4]))
    before = moved.numpy()
    with pytest.raises(tt.errors.ShapeError, match="id 5 is out of range"):
        program.run([np.array([0, 5])], clock.now)
    np.testing.assert_array_equal(moved.numpy(), before)
    (found,) = program.run([np.array([2, 0])], clock.now)
    np.testing.assert_array_equal(found, table.numpy()[[2, 0]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3,), (8,), (5, 7), (64, 3)])
def test_random_numbers_are_those_of_numpy(shape: tuple[int, ...], dtype: str) -> None:
    state = tt.Tensor(np.array([-7, 123456789012]))
    from tinytorch.ops.random import Uniform

    op = Uniform(shape, np.dtype(dtype))
    program, _ = compiled(lambda x: op(state) + x * 0, np.zeros(1, dtype))
    for _ in range(3):
        stream = np.random.Generator(np.random.Philox(key=-7 % 2**64, counter=int(state.numpy()[1])))
        (found,) = program.run([np.zeros(1, dtype)], clock.now)
        np.testing.assert_array_equal(found, stream.random(shape, dtype))


# ---------------------------------------------------------------- calls that are left to NumPy


def test_a_call_of_numpys_sees_a_weight_through_its_transpose() -> None:
    weight = tt.Tensor(rng.uniform(1, 2, (3, 3)).astype("float32"))
    exponent = rng.uniform(0, 3, (3, 3)).astype("float32")
    with tt.no_grad():
        traced = trace(lambda x: weight.T**x, [tt.from_numpy(exponent)])
    program = Program(lower(optimise(traced.graph)), use_cache=False)
    assert [type(step) for step in program.lowered.steps] == [Fallback]
    (found,) = program.run([exponent], clock.now)
    np.testing.assert_allclose(found, weight.numpy().T ** exponent, rtol=1e-6)
