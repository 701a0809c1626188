"""Convolution against nested loops, finite differences, its composite form, and its errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.autograd import grad, gradcheck
from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops import conv
from tinytorch.ops.context import OpEvent, observe
from tinytorch.ops.conv import Conv2d, Conv2dInputGrad, Conv2dWeightGrad, conv2d
from tinytorch.ops.spec import Spec
from tinytorch.tensor import Tensor, from_numpy

Array = np.ndarray[Any, Any]


def numbers(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Normal numbers, the same whenever asked for."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def loops(x: Array, w: Array, b: Array | None, op: Conv2d) -> Array:
    """The definition, one output element at a time, in float64."""
    (sh, sw), (ph, pw), (dh, dw) = op.stride, op.padding, op.dilation
    n, c, h, width = x.shape
    o, _, kh, kw = w.shape
    oh = (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    ow = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((n, o, oh, ow))
    for image, filt, row, column in np.ndindex(n, o, oh, ow):
        first = filt // (o // op.groups) * (c // op.groups)
        total = 0.0 if b is None else float(b[filt])
        for channel, i, j in np.ndindex(*w.shape[1:]):
            y, z = row * sh - ph + i * dh, column * sw - pw + j * dw
            if 0 <= y < h and 0 <= z < width:
                total += float(x[image, first + channel, y, z]) * float(w[filt, channel, i, j])
        out[image, filt, row, column] = total
    return out


@st.composite
def problems(draw: st.DrawFn) -> tuple[Conv2d, tuple[int, ...], tuple[int, ...], bool]:
    """A convolution with shapes of x and w that fit it, and whether it has a bias."""
    small, one_up = st.integers(1, 3), st.integers(1, 2)
    pairs = st.tuples(one_up, one_up)
    op = Conv2d(
        draw(st.tuples(small, small)), draw(st.tuples(*[st.integers(0, 2)] * 2)), draw(pairs), draw(small)
    )
    kernel = draw(st.tuples(small, small))
    reach = [d * (k - 1) + 1 for d, k in zip(op.dilation, kernel, strict=True)]
    size = [max(1, r - 2 * p) + draw(st.integers(0, 3)) for r, p in zip(reach, op.padding, strict=True)]
    c, o = draw(one_up), draw(one_up)
    n = draw(st.integers(0, 3))
    return op, (n, c * op.groups, *size), (o * op.groups, c, *kernel), draw(st.booleans())


def tensors(*shapes: tuple[int, ...], dtype: str = "float64") -> list[Tensor]:
    return [Tensor(numbers(shape, i), dtype, requires_grad=True) for i, shape in enumerate(shapes)]


def arguments(x: tuple[int, ...], w: tuple[int, ...], bias: bool) -> list[tuple[int, ...]]:
    return [x, w, (w[0],)] if bias else [x, w]


@given(problems(), st.sampled_from([1, 2**19]))
def test_values_equal_nested_loops_whatever_the_block(problem: Any, block: int) -> None:
    op, x_shape, w_shape, bias = problem
    inputs = tensors(*arguments(x_shape, w_shape, bias))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv, "_BLOCK", block)
        out = op(*inputs)
    x, w, *b = (t.numpy() for t in inputs)
    expected = loops(x, w, b[0] if b else None, op)
    np.testing.assert_allclose(out.data, expected, rtol=1e-12, atol=1e-12)
    assert Spec(out.shape, out.dtype) == op.infer(*(Spec(t.shape, t.dtype) for t in inputs))


@given(problems(), st.sampled_from([1, 2**19]))
def test_fused_equals_composite_in_values_and_gradients(problem: Any, block: int) -> None:
    op, x_shape, w_shape, bias = problem
    inputs = tensors(*arguments(x_shape, w_shape, bias))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv, "_BLOCK", block)
        patch.setattr(conv, "_WIDE_BLOCK", block)
        fused, composed = op(*inputs), op.composite(*inputs)
        np.testing.assert_allclose(fused.data, composed.data, rtol=1e-12, atol=1e-12)
        g = Tensor(numbers(fused.shape, 1))
        for a, b in zip(grad(fused, inputs, g), grad(composed, inputs, g), strict=True):
            assert a is not None
            assert b is not None
            np.testing.assert_allclose(a.data, b.data, rtol=1e-11, atol=1e-12)


CASES = [
    (Conv2d(padding=(1, 1)), (2, 2, 4, 3), (3, 2, 3, 3)),
    (Conv2d((2, 1), (0, 1), (1, 2)), (2, 2, 5, 4), (2, 2, 2, 2)),
    (Conv2d((1, 2), (1, 1), (2, 1), 2), (1, 4, 4, 5), (4, 2, 2, 3)),
    (Conv2d(padding=(1, 1), groups=3), (2, 3, 3, 3), (3, 1, 3, 3)),
    (Conv2d(), (2, 3, 2, 2), (2, 3, 1, 1)),
]


@pytest.mark.parametrize(("op", "x", "w"), CASES)
def test_gradients_of_first_and_second_order_equal_differences(op: Conv2d, x: Any, w: Any) -> None:
    inputs = tensors(x, w, (w[0],))
    assert gradcheck(op, inputs)

    def slopes(x: Tensor, w: Tensor, b: Tensor, g: Tensor) -> Tensor:
        parts = grad(op(x, w, b) * g, [x, w, b], Tensor(np.ones(g.shape)), create_graph=True)
        return sum((p * p).sum() for p in parts if p is not None)  # type: ignore[return-value]

    assert gradcheck(slopes, [*inputs, Tensor(numbers(op(*inputs).shape, 1))], rtol=1e-4)


def test_third_order_exists() -> None:
    x, w = tensors((1, 1, 3, 3), (1, 1, 2, 2))

    def twice(x: Tensor, w: Tensor) -> Tensor:
        (dx,) = grad((conv2d(x, w) ** 3).sum(), [x], create_graph=True)
        (dw,) = grad((dx * dx).sum(), [w], create_graph=True)  # type: ignore[operator]
        return dw  # type: ignore[return-value]

    assert gradcheck(twice, [x, w], rtol=1e-4)


def test_hand_computed() -> None:
    x = Tensor(np.arange(9.0).reshape(1, 1, 3, 3))
    w = Tensor([[[[1.0, 0.0], [0.0, -1.0]]]], "float64")
    assert conv2d(x, w, Tensor([10.0], "float64")).tolist() == [[[[6.0, 6.0], [6.0, 6.0]]]]


@pytest.mark.parametrize("layout", ["transposed", "flipped", "stepped", "expanded"])
def test_inputs_that_are_not_contiguous(layout: str) -> None:
    base = numbers((2, 6, 5, 4))
    strided = {
        "transposed": base.transpose(0, 3, 2, 1),
        "flipped": base[:, :4, ::-1, ::-1],
        "stepped": np.repeat(base, 2, axis=3)[:, :4, :, ::2],
        "expanded": np.broadcast_to(base[:1, :4], (3, 4, 5, 4)),
    }[layout]
    w = Tensor(numbers((2, 3, 3, 4)).transpose(0, 3, 1, 2))
    out = conv2d(from_numpy(strided), w, padding=1)
    np.testing.assert_allclose(out.data, loops(strided, w.numpy(), None, Conv2d(padding=(1, 1))), atol=1e-12)


def test_inputs_stay_as_they_are() -> None:
    inputs = tensors((2, 3, 4, 4), (4, 3, 1, 1), (4,))
    before = [t.numpy() for t in inputs]
    out = conv2d(*inputs)
    grad(out, inputs, Tensor(numbers(out.shape, 1)))
    for t, kept in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(t.data, kept)


def test_empty_batch_has_gradients_of_zero() -> None:
    x, w, b = tensors((0, 3, 4, 4), (2, 3, 3, 3), (2,))
    out = conv2d(x, w, b, padding=1)
    assert out.shape == (0, 2, 4, 4)
    dx, dw, db = grad(out, [x, w, b], Tensor(np.zeros(out.shape)))
    assert dx is not None
    assert dx.shape == x.shape
    assert dw is not None
    assert not dw.data.any()
    assert db is not None
    assert not db.data.any()


class Events:
    """Notes every op."""

    def __init__(self) -> None:
        self.ops: list[OpEvent] = []

    def on_op(self, event: OpEvent) -> None:
        self.ops.append(event)

    def on_exit(self, tensor: Tensor, how: str) -> None:
        """Nothing to note."""


def test_unwanted_gradients_are_not_computed() -> None:
    x, w, b = tensors((2, 3, 4, 4), (2, 3, 3, 3), (2,))
    x.requires_grad_(False)
    events = Events()
    with observe(events):
        conv2d(x, w, b).sum().backward()
    kinds = [type(e.op) for e in events.ops]
    assert Conv2dInputGrad not in kinds
    assert kinds.count(Conv2dWeightGrad) == 1, "weight and bias share one product"


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_flops_counts_each_multiplication_and_addition(groups: int) -> None:
    x, w, b = tensors((2, 4, 5, 5), (8, 4 // groups, 3, 3), (8,))
    events = Events()
    with observe(events):
        conv2d(x, w, b, groups=groups).sum().backward()
    work: dict[Any, Any] = {}
    for e in events.ops:
        specs = [Spec(t.shape, t.dtype) for t in (*e.outputs[:1], *e.inputs)]
        work[type(e.op)] = e.op.flops(*specs)
    products = 2 * 2 * 8 * 3 * 3 * (4 // groups) * 9
    sums = 2 * 8 * 3 * 3
    assert work[Conv2d] == products + sums
    assert work[Conv2dInputGrad] == products
    assert work[Conv2dWeightGrad] == products + sums


def test_float32_stays_float32_and_integers_are_refused() -> None:
    x, w = tensors((1, 1, 3, 3), (1, 1, 2, 2), dtype="float32")
    assert conv2d(x, w).dtype == np.float32
    with pytest.raises(DTypeError, match="int64"):
        conv2d(Tensor(np.ones((1, 1, 3, 3), np.int64)), w)
    with pytest.raises(DTypeError, match="differ"):
        conv2d(x, w.to("float64"))


@pytest.mark.parametrize(
    ("x", "w", "b", "options", "message"),
    [
        ((2, 3, 4, 4), (2, 4, 3, 3), None, {}, "3 channels.*takes 4"),
        ((2, 5, 6, 3), (2, 3, 3, 3), None, {}, r"permute\(0, 3, 1, 2\)"),
        ((3, 4, 4), (2, 3, 3, 3), None, {}, r"unsqueeze\(0\)"),
        ((2, 3, 4, 4), (2, 27), None, {}, "weight"),
        ((2, 3, 4, 4), (2, 3, 5, 5), None, {}, "5x5.*4x4.*padding"),
        ((2, 3, 4, 4), (2, 3, 3, 3), None, {"dilation": 2}, "dilation"),
        ((2, 3, 4, 4), (2, 3, 0, 3), None, {}, "0x3"),
        ((2, 3, 4, 4), (2, 3, 3, 3), None, {"groups": 2}, "2 groups do not divide 3"),
        ((2, 4, 4, 4), (3, 2, 3, 3), None, {"groups": 2}, "do not divide"),
        ((2, 3, 4, 4), (2, 3, 3, 3), (3,), {}, "bias"),
        ((2, 3, 4, 4), (2, 3, 3, 3), None, {"stride": 0}, "stride"),
        ((2, 3, 4, 4), (2, 3, 3, 3), None, {"padding": (1, -1)}, "padding"),
        ((2, 3, 4, 4), (2, 3, 3, 3), None, {"stride": (1, 1, 1)}, "stride"),
        ((2, 3, 4, 4), (2, 3, 3, 3), None, {"groups": 0}, "groups"),
    ],
)
def test_shapes_that_do_not_fit(x: Any, w: Any, b: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        conv2d(*tensors(*(shape for shape in (x, w, b) if shape is not None)), **options)


def test_options_that_are_not_ints() -> None:
    x, w = tensors((1, 1, 3, 3), (1, 1, 2, 2))
    with pytest.raises(DTypeError, match="stride"):
        conv2d(x, w, stride=1.5)  # type: ignore[arg-type]
