"""Pooling against nested loops, finite differences, their composite forms, and their errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.autograd import grad, gradcheck
from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.pool import AvgPool2d, MaxPool2d, Pooling, avg_pool2d, max_pool2d
from tinytorch.ops.spec import Spec
from tinytorch.tensor import Tensor, from_numpy

Array = np.ndarray[Any, Any]


def numbers(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Normal numbers, the same whenever asked for."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def windows(op: Pooling, shape: tuple[int, ...]) -> Any:
    """Each output position with the positions in the image that its window covers."""
    (kh, kw), (sh, sw), (ph, pw) = op.kernel, op.stride, op.padding
    n, c, h, w = shape
    for at in np.ndindex(n, c, (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1):
        corner = at[2] * sh - ph, at[3] * sw - pw
        covered = [(corner[0] + i, corner[1] + j) for i in range(kh) for j in range(kw)]
        yield at, [(*at[:2], y, x) for y, x in covered if 0 <= y < h and 0 <= x < w]


def loops(op: Pooling, x: Array, g: Array) -> tuple[Array, Array]:
    """Pooled images and the gradient of x for g; the first of equal numbers is the largest."""
    out, dx, area = np.zeros(g.shape), np.zeros(x.shape), op.kernel[0] * op.kernel[1]
    for at, covered in windows(op, x.shape):
        values = [x[p] for p in covered]
        if isinstance(op, MaxPool2d):
            out[at] = max(values)
            dx[covered[values.index(out[at])]] += g[at]
        else:
            out[at] = sum(values) / area
            for p in covered:
                dx[p] += g[at] / area
    return out, dx


@st.composite
def problems(draw: st.DrawFn) -> tuple[Pooling, tuple[int, ...]]:
    kind = draw(st.sampled_from([MaxPool2d, AvgPool2d]))
    kernel, stride = (draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(2))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = [max(1, k - 2 * p) + draw(st.integers(0, 4)) for k, p in zip(kernel, padding, strict=True)]
    op: Pooling = kind(kernel, stride, padding)
    return op, (draw(st.integers(0, 3)), draw(st.integers(1, 2)), *size)


def arranged(x: Array, order: str) -> Array:
    """The same numbers in another memory order, such as the one that a convolution leaves."""
    if order == "batch last":
        return np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    return np.repeat(x, 2, axis=3)[..., ::2] if order == "stepped" else x


@given(problems(), st.sampled_from(["rows", "batch last", "stepped"]), st.booleans(), st.booleans())
def test_values_and_gradients_equal_nested_loops(problem: Any, order: str, ties: bool, mixed: bool) -> None:
    op, shape = problem
    x = numbers(shape).round() if ties else numbers(shape)
    leaf = from_numpy(arranged(x, order)).requires_grad_()
    out = op(leaf)
    g = numbers(out.shape, 1)
    (dx,) = grad(out, [leaf], from_numpy(arranged(g, "rows" if mixed else order)))
    expected, slope = loops(op, x, g)
    np.testing.assert_allclose(out.data, expected, rtol=1e-12, atol=1e-12)
    assert dx is not None
    np.testing.assert_allclose(dx.data, slope, rtol=1e-12, atol=1e-12)
    inferred: Any = op.infer(Spec(shape, leaf.dtype))
    specs = tuple(Spec(t.shape, t.dtype) for t in op.all(leaf))
    assert specs == (inferred if isinstance(inferred, tuple) else (inferred,))


@given(problems())
def test_fused_equals_composite_in_values_and_gradients(problem: Any) -> None:
    op, shape = problem
    x = Tensor(numbers(shape), requires_grad=True)
    fused, composed = op(x), op.composite(x)
    np.testing.assert_allclose(fused.data, composed.data, rtol=1e-12, atol=1e-12)
    g = Tensor(numbers(fused.shape, 1))
    (a,), (b,) = grad(fused, [x], g), grad(composed, [x], g)
    assert a is not None
    assert b is not None
    np.testing.assert_allclose(a.data, b.data, rtol=1e-12, atol=1e-12)


CASES = [
    ((2, 2), (2, 2), (0, 0)),
    ((3, 3), (2, 2), (1, 1)),
    ((3, 2), (1, 3), (1, 0)),
    ((2, 1), (3, 2), (1, 0)),
]


@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
@pytest.mark.parametrize("fields", CASES)
def test_gradients_of_all_orders_equal_differences(kind: Any, fields: Any) -> None:
    op, x = kind(*fields), Tensor(np.random.default_rng(0).permutation(80).reshape(2, 2, 5, 4) / 40)
    assert gradcheck(op, [x])

    def slope(x: Tensor, g: Tensor) -> Tensor:
        (dx,) = grad((op(x) ** 3) * g, [x], Tensor(np.ones(g.shape)), create_graph=True)
        return dx  # type: ignore[return-value]

    g = Tensor(numbers(op(x).shape, 1))
    assert gradcheck(slope, [x, g])

    def curvature(x: Tensor, g: Tensor) -> Tensor:
        (ddx,) = grad((slope(x, g) ** 2).sum(), [x], create_graph=True)
        return ddx  # type: ignore[return-value]

    assert gradcheck(curvature, [x, g], rtol=1e-4, atol=1e-5)


def test_largest_that_is_nan_or_nowhere_above_minus_infinity() -> None:
    inf, nan = np.inf, np.nan
    x = Tensor([[[[1.0, nan, -inf, -inf], [nan, 3.0, -inf, -inf]]]], requires_grad=True)
    out = max_pool2d(x, 2)
    np.testing.assert_array_equal(out.data, [[[[nan, -inf]]]])
    out.backward(Tensor([[[[5.0, 7.0]]]]))
    assert x.grad is not None
    assert x.grad.tolist() == [[[[0.0, 0.0, 7.0, 0.0], [5.0, 0.0, 0.0, 0.0]]]]


def test_padding_never_gets_the_gradient() -> None:
    x = Tensor(np.full((1, 1, 2, 2), -np.inf), requires_grad=True)
    out = max_pool2d(x, 3, padding=1)
    out.backward(Tensor(np.ones(out.shape)))
    assert x.grad is not None
    assert x.grad.tolist() == [[[[1.0, 0.0], [0.0, 0.0]]]]


def test_infinite_gradients_stay_at_their_place() -> None:
    x = Tensor([[[[1.0, 2.0], [3.0, 4.0]]]], requires_grad=True)
    max_pool2d(x, 2).backward(Tensor([[[[np.inf]]]]))
    assert x.grad is not None
    assert x.grad.tolist() == [[[[0.0, 0.0], [0.0, np.inf]]]]


def test_a_kernel_of_more_positions_than_int8_counts() -> None:
    x = Tensor(numbers((1, 1, 13, 12)), requires_grad=True)
    out = max_pool2d(x, (13, 12))
    out.backward(Tensor([[[[2.0]]]], "float64"))
    assert x.grad is not None
    assert np.flatnonzero(x.grad.data).tolist() == [int(x.data.argmax())]


def test_empty_batch() -> None:
    for pool in (max_pool2d, avg_pool2d):
        x = Tensor(np.zeros((0, 2, 4, 4)), requires_grad=True)
        out = pool(x, 2)
        assert out.shape == (0, 2, 2, 2)
        out.sum().backward()
        assert x.grad is not None
        assert x.grad.shape == x.shape


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_dtypes_stay(dtype: str) -> None:
    x = Tensor(np.arange(16.0).reshape(1, 1, 4, 4), dtype, requires_grad=True)
    for pool, expected in ((max_pool2d, [5, 7, 13, 15]), (avg_pool2d, [2.5, 4.5, 10.5, 12.5])):
        out = pool(x, 2)
        assert out.dtype == dtype
        assert out.data.ravel().tolist() == expected


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 3, 3), {"kernel_size": 2}, r"unsqueeze\(0\)"),
        ((1, 1, 3, 3), {"kernel_size": 4}, "4x4.*3x3"),
        ((1, 1, 3, 3), {"kernel_size": 0}, "kernel_size"),
        ((1, 1, 3, 3), {"kernel_size": 2, "stride": 0}, "stride"),
        ((1, 1, 3, 3), {"kernel_size": 2, "padding": 2}, "half"),
        ((1, 1, 3, 3), {"kernel_size": (2, 2, 2)}, "kernel_size"),
    ],
)
@pytest.mark.parametrize("pool", [max_pool2d, avg_pool2d])
def test_pools_that_do_not_fit(pool: Any, shape: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        pool(Tensor(np.zeros(shape)), **options)


def test_pooling_takes_floats() -> None:
    with pytest.raises(DTypeError, match="int64"):
        max_pool2d(Tensor(np.zeros((1, 1, 2, 2), np.int64)), 2)
