"""Products of codes in machine code: every bit as int64 has it, over the whole range, on AVX2 and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch import Tensor, no_grad
from tinytorch.acceleration.native.kernels import products
from tinytorch.acceleration.native.kernels.convolution_codes import ConvolveCodes
from tinytorch.acceleration.native.kernels.integer import GroupGemm, IntGemm
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.lower import Fallback, lower
from tinytorch.acceleration.native.program import Program
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.trace import trace
from tinytorch.ops.base import clock
from tinytorch.ops.integer import GroupMatMul, IntConv2d, int_matmul, pack_nibbles
from tinytorch.ops.quantize import quantize, quantize_rows
from tinytorch.tensor import from_numpy

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(20261130)
BOTH = pytest.mark.parametrize("avx2", [True, False], ids=["avx2", "portable"])
SHAPES = [(1, 1, 1), (1, 784, 128), (1, 33, 70), (2, 16, 40), (3, 7, 33), (6, 64, 16), (13, 130, 50)]
SHAPES += [(64, 128, 17), (100, 2050, 5), (5, 1024, 66)]


@pytest.fixture(autouse=True)
def _path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "avx2" in request.fixturenames and not request.getfixturevalue("avx2"):
        monkeypatch.setattr(products, "has_avx2", lambda: False)


def compiled(function: Callable[[Tensor], Tensor], x: Array) -> tuple[Array, list[Kernel]]:
    """What a program gives for a function, and its kernels, none of which is left to NumPy."""
    with no_grad():
        graph = optimise(trace(function, [from_numpy(x)]).graph)
    lowered = lower(graph)
    assert not any(isinstance(step, Fallback) for step in lowered.steps)
    found = Program(lowered, use_cache=False).run([x], clock.now)[0]
    return found, [step for step in lowered.steps if isinstance(step, Kernel)]


def extremes(rng: np.random.Generator, rows: int, k: int, low: int, high: int) -> Array:
    """Random codes, with rows of the largest, of the smallest, of both in turn, and of zeros."""
    codes = rng.integers(low, high + 1, (rows, k)).astype(np.int8)
    for row, pattern in enumerate(([high], [low], [low, high], [high, low], [0])):
        if row < rows:
            codes[row] = np.resize(pattern, k)
    return codes


def exact(x: Array, w: Array) -> Array:
    return x.astype(np.int64) @ w.astype(np.int64).T


@BOTH
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_pairs_are_exact_for_all_codes(m: int, k: int, n: int, avx2: bool) -> None:
    x, w = extremes(RNG, m, k, -128, 127), extremes(RNG, n, k, -128, 127)
    weights = from_numpy(w)
    found, kernels = compiled(lambda t: int_matmul(t, weights), x)
    (kernel,) = kernels
    assert isinstance(kernel, IntGemm)
    assert kernel.codes.signature() == ("Pairs", avx2)
    np.testing.assert_array_equal(found, exact(x, w))
    assert found.dtype == np.int32


@BOTH
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_quads_are_exact_for_codes_from_0_to_127(m: int, k: int, n: int, avx2: bool) -> None:
    codes, w = extremes(RNG, m, k, 0, 127), extremes(RNG, n, k, -128, 127)
    weights, one = from_numpy(w), Tensor(np.float32(1))
    found, kernels = compiled(
        lambda t: int_matmul(quantize(t, one, None, 0, 127), weights), codes.astype(np.float32)
    )
    assert isinstance(kernels[-1], IntGemm)
    assert kernels[-1].codes.signature() == ("Quads", avx2)
    np.testing.assert_array_equal(found, exact(codes, w))


@BOTH
@pytest.mark.parametrize(
    ("m", "n", "size", "groups"), [(1, 9, 8, 1), (4, 70, 32, 3), (7, 33, 128, 2), (2, 5, 16, 5)]
)
def test_nibbles_are_exact_in_each_group(m: int, n: int, size: int, groups: int, avx2: bool) -> None:
    k = size * groups
    x, w = extremes(RNG, m, k, -128, 127), extremes(RNG, n, k, -8, 7)
    scale = 2.0 ** RNG.integers(-3, 4, (n, groups)).astype(np.float32)  # powers of 2: sums stay exact
    weights, scales, op = from_numpy(pack_nibbles(w)), from_numpy(scale), GroupMatMul()
    found, kernels = compiled(lambda t: op(t, weights, scales), x)
    (kernel,) = kernels
    assert isinstance(kernel, GroupGemm)
    assert kernel.codes.avx2 == avx2
    parts = [slice(g * size, (g + 1) * size) for g in range(groups)]
    expected = sum(exact(x[:, p], w[:, p]) * scale[:, g] for g, p in enumerate(parts))
    np.testing.assert_array_equal(found, expected)


CONVOLUTIONS = [
    (IntConv2d((1, 1), (1, 1)), (2, 3, 7, 9), (5, 3, 3, 3)),
    (IntConv2d((2, 1), (0, 2), (1, 2)), (1, 16, 8, 9), (17, 16, 3, 2)),
    (IntConv2d((1, 1), (1, 0), (1, 1), 2), (2, 6, 6, 5), (4, 3, 2, 3)),
    (IntConv2d(), (1, 1, 12, 12), (16, 1, 5, 5)),
    (IntConv2d(), (2, 8, 4, 4), (3, 8, 1, 1)),
]


@BOTH
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize(("op", "x", "w"), CONVOLUTIONS)
def test_convolutions_are_exact(op: IntConv2d, x: Any, w: Any, positive: bool, avx2: bool) -> None:
    low = 0 if positive else -128
    codes = extremes(RNG, x[0] * x[1], x[2] * x[3], low, 127).reshape(x)
    filters = extremes(RNG, w[0], int(np.prod(w[1:])), -128, 127).reshape(w)
    weights, one = from_numpy(filters), Tensor(np.float32(1))
    found, kernels = compiled(
        lambda t: op(quantize(t, one, None, low, 127), weights), codes.astype(np.float32)
    )
    (kernel,) = [k for k in kernels if isinstance(k, ConvolveCodes)]
    assert kernel.codes.signature() == ("Quads" if positive else "Pairs", avx2)
    np.testing.assert_array_equal(found, op.forward(codes, filters))


@given(st.integers(1, 20), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_any_shape(m: int, k: int, n: int, seed: int, transposed: bool) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.integers(-128, 128, (m, k)).astype(np.int8), rng.integers(-128, 128, (n, k)).astype(np.int8)
    weights = from_numpy(w)
    if transposed:
        found, _ = compiled(lambda t: int_matmul(t.permute(1, 0), weights), np.ascontiguousarray(x.T))
    else:
        found, _ = compiled(lambda t: int_matmul(t, weights), x)
    np.testing.assert_array_equal(found, exact(x, w))


ROWS = np.array(
    [
        [0.0, 0.0, 0.0, 0.0],
        [1.0, -2.0, 0.5, 127.0],
        [1e-38, 0.0, -1e-39, 0.0],
        [3e38, -3e38, 1.0, 0.0],
        [np.nan, 1.0, 2.0, 3.0],
        [1.0, np.inf, 2.0, -np.inf],
        [0.5, 1.5, 2.5, 127.0],
    ],
    np.float32,
)


@pytest.mark.parametrize("repeat", [1, 2, 9, 33])
def test_rows_get_the_codes_and_scales_that_numpy_gives_them(repeat: int) -> None:
    x = np.ascontiguousarray(np.tile(ROWS, (1, repeat))[:, : 4 * repeat - repeat % 3])
    with no_grad():
        codes, scales = quantize_rows(from_numpy(x))
        found, _ = compiled(lambda t: quantize_rows(t)[0], x)
        steps, kernels = compiled(lambda t: quantize_rows(t)[1], x)
    np.testing.assert_array_equal(found, codes.data)
    np.testing.assert_array_equal(steps, scales.data)
    assert len(kernels) == 1
    assert np.isnan(steps[4:6]).all()
    assert not found[[0, 2, 4, 5]].any()


def test_products_that_cannot_be_laid_out_once_are_left_to_numpy() -> None:
    x, w = RNG.integers(-128, 128, (2, 3, 8)).astype(np.int8)
    with no_grad():
        graph = optimise(trace(lambda a, b: int_matmul(a, b), [from_numpy(x), from_numpy(w)]).graph)
    lowered = lower(graph)
    assert [type(step) for step in lowered.steps] == [Fallback]
    found = Program(lowered, use_cache=False).run([x, w], clock.now)[0]
    np.testing.assert_array_equal(found, exact(x, w))


def test_weights_that_change_are_laid_out_anew() -> None:
    import tinytorch as tt

    weights = from_numpy(RNG.integers(-128, 128, (9, 20)).astype(np.int8))
    x = from_numpy(RNG.integers(-128, 128, (4, 20)).astype(np.int8))
    fast = tt.compile(lambda t: int_matmul(t, weights))
    with no_grad():
        for _ in range(3):
            np.testing.assert_array_equal(fast(x).data, exact(x.data, weights.data))
            weights.assign_(from_numpy(RNG.integers(-128, 128, (9, 20)).astype(np.int8)))
