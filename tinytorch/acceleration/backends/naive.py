"""The backend `naive`: ops as loops over Python's numbers, as a textbook writes them.

NumPy holds the numbers and moves them (shapes, copies), but adds and multiplies none. Python's floats are
float64, so that a result is rounded to the dtype of the op only once.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinytorch.acceleration.ladder import matmul as ladder
from tinytorch.ops.arithmetic import Add, Div, Maximum, Minimum, Mul, Neg, Sub
from tinytorch.ops.base import Op
from tinytorch.ops.context import register_kernel
from tinytorch.ops.conv import Conv2d, Conv2dInputGrad, Conv2dWeightGrad, Convolution
from tinytorch.ops.elementwise import Exp, Log, Relu, ReluGrad, Sigmoid, Sqrt, Tanh
from tinytorch.ops.matmul import Linear, LinearInputGrad, LinearWeightGrad, MatMul
from tinytorch.ops.norm import LayerNorm
from tinytorch.ops.pool import AvgPool2d, MaxPool2d, Pooling
from tinytorch.ops.reduce import Max, Mean, Min, Reduction, Sum
from tinytorch.ops.softmax import LogSoftmax, Softmax
from tinytorch.ops.spec import Array, DType, Shape, Spec

NAME = "naive"
Number: TypeAlias = Any  # float, int or bool, whichever the dtype holds
Rows: TypeAlias = list[list[Number]]


def _specs(op: Op, arrays: Sequence[Array]) -> Any:
    """What `infer` says of the result; it raises what the op raises for shapes that do not fit."""
    return op.infer(*(Spec(array.shape, array.dtype) for array in arrays))


def _array(numbers: Any, shape: Shape, dtype: DType) -> Array:
    """Numbers, flat or nested, as an array; integers that do not fit wrap around, as NumPy's do."""
    if dtype.kind == "i":
        span = 2 ** (8 * dtype.itemsize)
        numbers = [(number + span // 2) % span - span // 2 for number in numbers]
    with np.errstate(over="ignore"):
        return np.array(numbers, dtype).reshape(shape)


# ---------------------------------------------------------------- element by element


def _divide(x: float, y: float) -> float:
    if y:
        return x / y
    return math.nan if x == 0 or x != x else math.copysign(math.inf, x) * math.copysign(1.0, y)


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _log(x: float) -> float:
    if x > 0 or x != x:
        return math.log(x)
    return -math.inf if x == 0 else math.nan


def _sqrt(x: float) -> float:
    return math.nan if x < 0 else math.sqrt(x)


def _sigmoid(x: float) -> float:
    return 1 / (1 + _exp(-x))


def _larger(x: Number, y: Number) -> Number:
    return x if x > y or x != x else y  # NaN, which differs from itself, wins


def _smaller(x: Number, y: Number) -> Number:
    return x if x < y or x != x else y


_ELEMENTWISE: dict[type[Op], Callable[..., Number]] = {
    Add: operator.add,
    Sub: operator.sub,
    Mul: operator.mul,
    Div: _divide,
    Neg: operator.neg,
    Maximum: _larger,
    Minimum: _smaller,
    Exp: _exp,
    Log: _log,
    Sqrt: _sqrt,
    Tanh: math.tanh,
    Sigmoid: _sigmoid,
    Relu: lambda x: _larger(x, 0),
    ReluGrad: lambda g, out: g if out > 0 else 0.0,
}


def _elementwise(function: Callable[..., Number]) -> Callable[..., Array]:
    """A kernel that calls a function of numbers for each element, inputs stretched to a common shape."""

    def kernel(op: Op, *arrays: Array) -> Array:
        spec = _specs(op, arrays)
        stretched = [np.broadcast_to(array, spec.shape).ravel().tolist() for array in arrays]
        return _array(
            [function(*numbers) for numbers in zip(*stretched, strict=True)], spec.shape, spec.dtype
        )

    return kernel


for _op, _function in _ELEMENTWISE.items():
    register_kernel(NAME, _op)(_elementwise(_function))


# ---------------------------------------------------------------- along an axis


def _total(numbers: Sequence[Number]) -> Number:
    total = 0
    for number in numbers:
        total += number
    return total


def _fold(choose: Callable[[Number, Number], Number]) -> Callable[[Sequence[Number]], Number]:
    def best(numbers: Sequence[Number]) -> Number:
        found = numbers[0]
        for number in numbers:
            found = choose(found, number)
        return found

    return best


def _mean(numbers: Sequence[Number]) -> Number:
    return _divide(_total(numbers), len(numbers))


_REDUCTIONS = {Sum: _total, Mean: _mean, Max: _fold(_larger), Min: _fold(_smaller)}


def _reduction(function: Callable[[Sequence[Number]], Number]) -> Callable[..., Array]:
    """A kernel that takes the elements along the reduced axes as one row, and calls a function of it."""

    def kernel(op: Reduction, a: Array) -> Array:
        spec = _specs(op, (a,))
        count = math.prod(a.shape[axis] for axis in op.axis)
        rows = (
            np.moveaxis(a, op.axis, range(a.ndim - len(op.axis), a.ndim)).reshape(spec.size, count).tolist()
        )
        return _array([function(row) for row in rows], spec.shape, spec.dtype)

    return kernel


for _op, _function in _REDUCTIONS.items():
    register_kernel(NAME, _op)(_reduction(_function))


def _powers(row: Sequence[float]) -> tuple[list[float], float]:
    """e ** (x - largest) for each x of a row, and the largest; a row of only -inf has 0 taken away."""
    largest = _fold(_larger)(row)
    largest = 0.0 if largest == -math.inf else largest
    return [_exp(x - largest) for x in row], largest


def _softmax_row(row: Sequence[float]) -> list[float]:
    powers, _ = _powers(row)
    total = _total(powers)
    return [power / total if total else 0.0 for power in powers]


def _log_softmax_row(row: Sequence[float]) -> list[float]:
    powers, largest = _powers(row)
    if not _total(powers):
        return [math.nan] * len(row)
    log_total = _log(_total(powers))
    return [x - largest - log_total for x in row]


def _softmax(function: Callable[[Sequence[float]], list[float]]) -> Callable[..., Array]:
    def kernel(op: Softmax, a: Array) -> Array:
        last = np.moveaxis(a, op.axis, -1)
        rows = last.reshape(-1, last.shape[-1]).tolist()
        out = _array([function(row) for row in rows], last.shape, a.dtype)
        return np.moveaxis(out, -1, op.axis)

    return kernel


register_kernel(NAME, Softmax)(_softmax(_softmax_row))
register_kernel(NAME, LogSoftmax)(_softmax(_log_softmax_row))


@register_kernel(NAME, LayerNorm)
def _layer_norm(op: LayerNorm, x: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array]:
    scale, shift = weight.ravel().tolist(), bias.ravel().tolist()
    out, means, rstds = [], [], []
    for row in x.reshape(-1, weight.size).tolist():
        mean = _mean(row)
        rstd = _divide(1.0, math.sqrt(_mean([(v - mean) * (v - mean) for v in row]) + op.eps))
        out.append([(v - mean) * rstd * w + b for v, w, b in zip(row, scale, shift, strict=True)])
        means.append(mean)
        rstds.append(rstd)
    rows = (len(means), 1)
    return _array(out, x.shape, x.dtype), _array(means, rows, x.dtype), _array(rstds, rows, x.dtype)


# ---------------------------------------------------------------- products


def _rows(x: Array) -> Array:
    """All leading axes as rows."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _product(a: Array, b: Array) -> Array:
    """The product of two matrices, by the first rung of the ladder."""
    if not a.size or not b.size:
        return np.zeros((a.shape[0], b.shape[1]), a.dtype)
    return _array(ladder.loops(a.tolist(), b.tolist()), (a.shape[0], b.shape[1]), a.dtype)


@register_kernel(NAME, MatMul)
def _matmul(op: MatMul, a: Array, b: Array) -> Array:
    spec = _specs(op, (a, b))
    out: Array = np.empty(spec.shape, spec.dtype)
    left = np.broadcast_to(a, (*spec.shape[:-2], *a.shape[-2:]))
    right = np.broadcast_to(b, (*spec.shape[:-2], *b.shape[-2:]))
    for at in np.ndindex(spec.shape[:-2]):
        out[at] = _product(left[at], right[at])
    return out


@register_kernel(NAME, Linear)
def _linear(op: Linear, x: Array, w: Array, b: Array) -> Array:
    spec = _specs(op, (x, w, b))
    shift = b.tolist()
    rows = [
        [_total([*map(operator.mul, row, filter_)]) + s for filter_, s in zip(w.tolist(), shift, strict=True)]
        for row in _rows(x).tolist()
    ]
    return _array(rows, spec.shape, spec.dtype)


@register_kernel(NAME, LinearInputGrad)
def _linear_input_grad(op: LinearInputGrad, g: Array, w: Array) -> Array:
    return _product(_rows(g), w).reshape(*g.shape[:-1], w.shape[1])


@register_kernel(NAME, LinearWeightGrad)
def _linear_weight_grad(op: LinearWeightGrad, g: Array, x: Array) -> tuple[Array, Array]:
    columns = _rows(g).T
    sums = [_total(column) for column in columns.tolist()]
    return _product(columns, _rows(x)), _array(sums, g.shape[-1:], g.dtype)


# ---------------------------------------------------------------- images


def _taps(op: Convolution, x: Shape, w: Shape, out: Shape) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every multiply-add of a convolution: the places of the pixel, of the weight and of the output.

    x, w, out: shapes (n, c, h, w), (o, c / groups, kh, kw) and (n, o, oh, ow). Forward and both gradients are
    the same multiply-adds, with another of the three to be summed. What falls on the padding is left out.
    """
    (sh, sw), (ph, pw), (dh, dw) = op.stride, op.padding, op.dilation
    for n, q, y, z in np.ndindex(out):
        first = q // (w[0] // op.groups) * w[1]  # channel of the filter's group
        for c, u, v in np.ndindex(w[1:]):
            row, column = y * sh + u * dh - ph, z * sw + v * dw - pw
            if 0 <= row < x[2] and 0 <= column < x[3]:
                yield (n, first + c, row, column), (q, c, u, v), (n, q, y, z)


def _flat(shape: Shape, place: Sequence[int]) -> int:
    """Where an element lies among all of them in a row."""
    at = 0
    for size, index in zip(shape, place, strict=True):
        at = at * size + index
    return at


@register_kernel(NAME, Conv2d)
def _conv2d(op: Conv2d, x: Array, w: Array, b: Array | None = None) -> Array:
    spec = _specs(op, (x, w) if b is None else (x, w, b))
    pixels, weights = x.ravel().tolist(), w.ravel().tolist()
    shift = [0.0] * w.shape[0] if b is None else b.tolist()
    out = [shift[q] for _, q, _, _ in np.ndindex(spec.shape)]
    for pixel, weight, place in _taps(op, x.shape, w.shape, spec.shape):
        out[_flat(spec.shape, place)] += pixels[_flat(x.shape, pixel)] * weights[_flat(w.shape, weight)]
    return _array(out, spec.shape, spec.dtype)


@register_kernel(NAME, Conv2dInputGrad)
def _conv2d_input_grad(op: Conv2dInputGrad, g: Array, w: Array) -> Array:
    spec = _specs(op, (g, w))
    gradient, weights, out = g.ravel().tolist(), w.ravel().tolist(), [0.0] * spec.size
    for pixel, weight, place in _taps(op, spec.shape, w.shape, g.shape):
        out[_flat(spec.shape, pixel)] += gradient[_flat(g.shape, place)] * weights[_flat(w.shape, weight)]
    return _array(out, spec.shape, spec.dtype)


@register_kernel(NAME, Conv2dWeightGrad)
def _conv2d_weight_grad(op: Conv2dWeightGrad, g: Array, x: Array) -> Array:
    spec = _specs(op, (g, x))
    w = (g.shape[1], x.shape[1] // op.groups, *op.kernel)
    gradient, pixels = g.ravel().tolist(), x.ravel().tolist()
    out = [[0.0] * spec.shape[1] for _ in range(w[0])]
    for pixel, weight, place in _taps(op, x.shape, w, g.shape):
        out[weight[0]][_flat(w[1:], weight[1:])] += (
            gradient[_flat(g.shape, place)] * pixels[_flat(x.shape, pixel)]
        )
    if op.bias:
        for (_, q, _, _), number in zip(np.ndindex(g.shape), gradient, strict=True):
            out[q][-1] += number
    return _array(out, spec.shape, spec.dtype)


def _window(op: Pooling, x: Shape, place: Sequence[int]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The pixels under a window, each with its position in the kernel; the padding is left out."""
    n, c, y, z = place
    for position, (u, v) in enumerate(np.ndindex(op.kernel)):
        row, column = y * op.stride[0] + u - op.padding[0], z * op.stride[1] + v - op.padding[1]
        if 0 <= row < x[2] and 0 <= column < x[3]:
            yield position, (n, c, row, column)


@register_kernel(NAME, MaxPool2d)
def _max_pool2d(op: MaxPool2d, x: Array) -> tuple[Array, Array]:
    spec, index = _specs(op, (x,))
    pixels, out, positions = x.ravel().tolist(), [], []
    for place in np.ndindex(spec.shape):
        best, at = -math.inf, -1
        for position, pixel in _window(op, x.shape, place):
            value = pixels[_flat(x.shape, pixel)]
            if at < 0 or value > best or value != value:
                best, at = value, position
        out.append(best)
        positions.append(at)
    return _array(out, spec.shape, spec.dtype), _array(positions, index.shape, index.dtype)


@register_kernel(NAME, AvgPool2d)
def _avg_pool2d(op: AvgPool2d, x: Array) -> Array:
    spec = _specs(op, (x,))
    pixels = x.ravel().tolist()
    sums = [
        _total([pixels[_flat(x.shape, pixel)] for _, pixel in _window(op, x.shape, place)])
        for place in np.ndindex(spec.shape)
    ]
    return _array([total / math.prod(op.kernel) for total in sums], spec.shape, spec.dtype)
