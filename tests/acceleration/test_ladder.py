"""The ladders' kernels: each against a float64 reference, at odd sizes and on extreme inputs."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tinytorch.acceleration.compiling import compiled, has_numba
from tinytorch.acceleration.ladder import convolution, im2col, matmul, softmax
from tinytorch.acceleration.ladder.kinds import KINDS
from tinytorch.errors import ShapeError
from tinytorch.ops.spec import Array

needs_numba = pytest.mark.skipif(not has_numba(), reason="numba is not to be had here")
if has_numba():
    from tinytorch.acceleration.ladder import tiles

sizes = st.integers(1, 21)
seeds = st.integers(0, 2**32 - 1)


def random(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def close(found: Any, expected: Array) -> None:
    """As near as sums of float32 can be; the sums here have less than a thousand terms."""
    largest = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=2e-5 * largest)


def sums(a: Array, b: Array) -> Array:
    """The matrix product by its definition, in float64, without BLAS."""
    return np.einsum("ik,kj->ij", a.astype(np.float64), b.astype(np.float64), optimize=False)


# ---------------------------------------------------------------- matmul


def added(kernel: Callable[..., None]) -> Callable[[Array, Array], Array]:
    def call(a: Array, b: Array) -> Array:
        out = np.zeros((len(a), b.shape[1]), np.float32)
        kernel(a, b, out)
        return out

    return call


@given(sizes, sizes, sizes, seeds)
def test_products_in_python_and_numpy(n: int, k: int, m: int, seed: int) -> None:
    a, b = random(seed, (n, k), (k, m))
    expected = sums(a, b)
    for function in (matmul.loops, matmul.reordered):
        found = function(a.tolist(), b.tolist())
        assert all(type(number) is float for row in found for number in row)
        close(found, expected)
    close(added(matmul.multiply)(a, b), expected)
    for tile in (1, 5, 8, 64):
        found = matmul.blocked(a, b, tile)
        assert found.dtype == np.float32
        close(found, expected)


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_a_blocked_product_of_nothing(shape: tuple[int, int, int]) -> None:
    n, k, m = shape
    np.testing.assert_array_equal(matmul.blocked(np.ones((n, k)), np.ones((k, m))), np.zeros((n, m)))


def test_a_blocked_product_takes_tiles() -> None:
    shapes = []

    class Seen(np.ndarray[Any, Any]):
        def __matmul__(self, other: Any) -> Any:
            shapes.append((self.shape, other.shape))
            return np.asarray(self) @ np.asarray(other)

    a, b = random(0, (10, 9), (9, 7))
    close(matmul.blocked(a.view(Seen), b, 4), sums(a, b))
    assert len(shapes) == 3 * 3 * 2
    assert {side for pair in shapes for shape in pair for side in shape} <= {1, 2, 3, 4}


@needs_numba
@given(st.integers(0, 120), st.integers(0, 40), st.integers(0, 50), seeds)
def test_products_compiled(n: int, k: int, m: int, seed: int) -> None:
    a, b = random(seed, (n, k), (k, m))
    close(added(compiled(matmul.multiply))(a, b), sums(a, b))
    close(tiles.matmul(a, b), sums(a, b))
    close(tiles.matmul(np.asfortranarray(a), b[:, ::-1]), sums(a, b[:, ::-1]))


@needs_numba
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_register_tiles_over_more_than_one_block(more: int) -> None:
    n, k, m = 2 * tiles.HEIGHT + more, 2 * tiles.DEPTH + more, 3 * tiles.COLUMNS + more
    a, b = random(0, (n, k), (k, m))
    close(tiles.matmul(a, b), sums(a, b))


@needs_numba
def test_nothing_of_a_tile_that_sticks_out_is_read() -> None:
    a, b = random(0, (7, 9), (9, 17))
    a[6], b[:, 16] = np.nan, np.inf
    found = tiles.matmul(a, b)
    close(found[:6, :16], sums(a[:6], b[:, :16]))
    assert np.isnan(found[6]).all()


WIDTHS = """
import numpy as np
from tinytorch.profiling.hardware import kernels
kernels.widths = lambda: ({width},)
from tinytorch.acceleration.ladder import simd, tiles
assert simd.WIDTH == {width} and tiles.COLUMNS == 2 * {width}
rng = np.random.default_rng(0)
a, b = rng.standard_normal((6, 11), np.float32), rng.standard_normal((11, tiles.COLUMNS), np.float32)
out = np.ones((6, tiles.COLUMNS), np.float32)
panel = np.ascontiguousarray(a.T).reshape(-1)
tiles._tile(panel, 0, b.reshape(-1), 0, 11, out.reshape(-1), 0, tiles.COLUMNS)
assert np.allclose(out, a @ b + 1, atol=1e-5)
"""


@needs_numba
@pytest.mark.parametrize("width", [4, 16])
def test_tiles_of_other_widths_are_right_too(width: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", WIDTHS.format(width=width)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


@needs_numba
def test_the_sums_of_a_tile_stay_in_registers() -> None:
    a, b = random(0, (6, 4), (4, tiles.COLUMNS))
    tiles.matmul(a, b)
    blocks = re.split(r"^\.\w+:", next(iter(tiles._tile.inspect_asm().values())), flags=re.MULTILINE)
    loops = [block for block in blocks if block.count("vfmadd") >= 2 * tiles.ROWS]
    if tiles.WIDTH == 8 and not loops:
        pytest.fail("no loop of 12 multiply-adds")
    for loop in loops:
        assert loop.count("vfmadd") % (2 * tiles.ROWS) == 0
        assert "%rsp" not in loop.split("vfmadd", 1)[1].rsplit("vfmadd", 1)[0]


# ---------------------------------------------------------------- convolution


def windows(
    x: Array, kernel: Any, stride: Any = (1, 1), padding: Any = (0, 0), dilation: Any = (1, 1)
) -> Array:
    """im2col by its definition: a number at a time, looked up in the unpadded image."""
    n, c, h, w = x.shape
    kh, kw = kernel
    oh = (h + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (w + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((n, c * kh * kw, oh * ow), x.dtype)
    for i, channel, u, v, y, z in np.ndindex(n, c, kh, kw, oh, ow):
        row = y * stride[0] + u * dilation[0] - padding[0]
        column = z * stride[1] + v * dilation[1] - padding[1]
        if 0 <= row < h and 0 <= column < w:
            out[i, (channel * kh + u) * kw + v, y * ow + z] = x[i, channel, row, column]
    return out


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(
    st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(5, 8), st.integers(5, 9)),
    pairs,
    pairs,
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    seeds,
)
def test_im2col_is_its_definition(
    shape: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, seed: int
) -> None:
    x = np.random.default_rng(seed).standard_normal(shape)
    found = im2col(x, kernel, stride, padding, dilation)
    np.testing.assert_array_equal(found, windows(x, kernel, stride, padding, dilation))
    strided = np.asfortranarray(x)
    np.testing.assert_array_equal(im2col(strided, kernel, stride, padding, dilation), found)
    assert not np.shares_memory(found, x)


def test_im2col_of_a_kernel_that_does_not_fit() -> None:
    with pytest.raises(ShapeError, match="im2col: a kernel of 4x2"):
        im2col(np.ones((1, 1, 3, 3)), (4, 2))


def correlated(x: Array, w: Array, padding: int) -> Array:
    """The convolution of one image, in float64, from the definition of its columns."""
    (o, _, kh, kw), rows = w.shape, x.shape[1] + 2 * padding - w.shape[2] + 1
    columns = windows(x[None].astype(np.float64), (kh, kw), padding=(padding, padding))[0]
    return sums(w.reshape(o, -1), columns).reshape(o, rows, -1)


layers = (
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(3, 8),
    st.integers(3, 9),
    pairs,
    st.integers(0, 2),
)


@given(*layers, seeds)
def test_convolutions_in_python_and_numpy(
    o: int, c: int, h: int, w: int, kernel: Any, padding: int, seed: int
) -> None:
    x, filters = random(seed, (c, h, w), (o, c, *kernel))
    expected = correlated(x, filters, padding)
    close(convolution.loops(x.tolist(), filters.tolist(), padding), expected)
    close(convolution.multiplied(x, filters, padding), expected)
    close(directly(convolution.direct)(x, filters, padding), expected)


def directly(kernel: Callable[..., None]) -> Callable[..., Array]:
    def call(x: Array, w: Array, padding: int) -> Array:
        framed = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
        rows, columns = framed.shape[1] - w.shape[2] + 1, framed.shape[2] - w.shape[3] + 1
        out = np.zeros((len(w), rows, columns), np.float32)
        kernel(framed, w, out)
        return out

    return call


@needs_numba
@given(st.integers(1, 37), *layers[1:], seeds)
def test_convolutions_compiled(o: int, c: int, h: int, w: int, kernel: Any, padding: int, seed: int) -> None:
    x, filters = random(seed, (c, h, w), (o, c, *kernel))
    expected = correlated(x, filters, padding)
    close(directly(compiled(convolution.direct))(x, filters, padding), expected)
    found = tiles.convolve(x, filters, padding)
    assert found.shape == expected.shape
    close(found, expected)


# ---------------------------------------------------------------- softmax

ROWS = (softmax.three_passes, softmax.fused, softmax.online)


def shares(x: Array) -> Array:
    """Softmax in float64; a row of nothing but -inf gives zeros."""
    wide = x.astype(np.float64)
    top = wide.max(1, keepdims=True)
    powers = np.exp(wide - np.where(np.isneginf(top), 0, top))
    total = powers.sum(1, keepdims=True)
    return powers / np.where(total == 0, 1, total)


def rows_of(function: Any, x: Array) -> Array:
    out = np.full_like(x, 7)
    function(x, out)
    return out


@needs_numba
@pytest.mark.parametrize("function", ROWS, ids=lambda function: function.__name__)
@given(
    x=npst.arrays(
        np.float32,
        npst.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(-60, 60, width=32) | st.sampled_from([-np.inf, 1e4, -1e4, 3e38, -3e38]),
    )
)
def test_softmax_compiled(function: Any, x: Array) -> None:
    found = rows_of(compiled(function), x)
    np.testing.assert_allclose(found, shares(x), rtol=0, atol=1e-6)
    assert (found[np.isneginf(x)] == 0).all()


@pytest.mark.parametrize("function", ROWS, ids=lambda function: function.__name__)
@given(
    x=npst.arrays(
        np.float32, (2, 5), elements=st.floats(-60, 60, width=32) | st.sampled_from([-np.inf, 1e4, -1e4])
    )
)
@settings(max_examples=30)
def test_softmax_in_python_is_the_same(function: Any, x: Array) -> None:
    np.testing.assert_allclose(rows_of(function, x), shares(x), rtol=0, atol=1e-6)


@needs_numba
@pytest.mark.parametrize("function", ROWS, ids=lambda function: function.__name__)
def test_softmax_of_long_and_of_special_rows(function: Any) -> None:
    jitted = compiled(function)
    x = np.random.default_rng(0).standard_normal((3, 5 * softmax.BLOCK + 3)).astype(np.float32) * 30
    np.testing.assert_allclose(rows_of(jitted, x), shares(x), rtol=2e-5, atol=1e-30)
    rising = np.arange(4 * softmax.BLOCK, dtype=np.float32)[None]  # the largest number grows in each block
    np.testing.assert_allclose(rows_of(jitted, rising), shares(rising), rtol=2e-5, atol=1e-30)
    np.testing.assert_allclose(
        rows_of(jitted, rising[:, ::-1].copy()), shares(rising[:, ::-1]), rtol=2e-5, atol=1e-30
    )
    one = np.array([[-1e4], [0.0], [1e4]], np.float32)
    np.testing.assert_array_equal(rows_of(jitted, one), np.ones((3, 1)))
    special = np.array([[np.nan, 0.0], [0.0, np.nan], [np.inf, 0.0]], np.float32)
    assert np.isnan(rows_of(jitted, special)).all(1).tolist()[:2] == [True, True]
    assert np.isnan(rows_of(jitted, special)[2, 0])


@given(st.floats(-87, 88, width=32))
def test_the_exponential_of_one_number(x: float) -> None:
    found = softmax.exp(np.float32(x))
    assert type(found) is np.float32
    assert math.isclose(found, math.exp(np.float32(x)), rel_tol=3e-7)


@needs_numba
def test_the_exponential_compiled() -> None:
    x = np.linspace(-87, 88, 100_001).astype(np.float32)
    jitted = compiled(softmax.exp)
    found = np.array([jitted(number) for number in x])
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=3e-7)
    assert jitted(np.float32(-np.inf)) == jitted(np.float32(-90)) == 0
    assert math.isnan(jitted(np.float32(np.nan)))
    assert jitted(np.float32(np.inf)) > 1e38


# ---------------------------------------------------------------- what the ladders compare with


def test_references_are_right() -> None:
    for name, expected in (("matmul", sums), ("conv", lambda x, w: correlated(x, w, 1)), ("softmax", shares)):
        inputs = KINDS[name].inputs(6)
        found = KINDS[name].reference(*inputs)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected(*inputs), rtol=0, atol=1e-12)
