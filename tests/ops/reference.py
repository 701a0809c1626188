"""What each op computes, written a second time: element by element in float64, or by another formula."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinytorch.ops.base import Sample
from tinytorch.ops.index import Gather, GatherGrad, Slice, Take
from tinytorch.ops.pool import MaxPool2d
from tinytorch.ops.reduce import ArgMax, Max, Mean, Min, Sum
from tinytorch.ops.shape import Concat, Pad, Permute, Reshape

Array = np.ndarray[Any, Any]
Reference = Callable[..., Any]

REFERENCES: dict[str, Reference] = {}
"""Name of an op -> function of the op and its inputs (float64), changed in place where the op does so."""

EMPTY_IDS = np.zeros((3, 0), np.int64)
EXTRA_SAMPLES: dict[str, list[Any]] = {
    "Linear": [((3, 0), (5, 0), (5,)), ((2, 3), (0, 3), (0,))],
    "Take": [Sample(Take(), (3, 0), np.array([1, 1]))],
    "Gather": [Sample(Gather(1), (3, 4), EMPTY_IDS), Sample(Gather(0), (3,), np.array([2, 2, -3]))],
    "GatherGrad": [Sample(GatherGrad(1, 4), (3, 0), EMPTY_IDS)],
    "Slice": [Sample(Slice((2,)), (4,)), Sample(Slice((slice(0, 0),)), (4, 2)), Sample(Slice((None,)), ())],
    "Sum": [
        Sample(Sum((0,)), np.array([[100], [100]], np.int8)),
        Sample(Sum((1,)), (2, 0, 3)),
        Sample(Sum((0, 1, 2), True), (2, 1, 3)),
    ],
    "Mean": [Sample(Mean((0, 2)), (2, 3, 2)), Sample(Mean((1,), True), (0, 3))],
    "Max": [Sample(Max((0, 1)), np.array([[1.0, 3.0, 3.0], [3.0, 2.0, 0.0]]), differentiable=False)],
    "Min": [Sample(Min((1,)), (0, 3))],
    "ArgMax": [Sample(ArgMax((0,)), np.array([1.0, 5.0, 5.0]))],
    "Reshape": [Sample(Reshape(()), (1, 1))],
    "Permute": [Sample(Permute((1, 0)), (0, 3))],
    "Concat": [Sample(Concat(0), (2,)), Sample(Concat(2), (1, 2, 1), (1, 2, 3), (1, 2, 0))],
    "MaxPool2d": [Sample(MaxPool2d((2, 2), (1, 1)), np.ones((1, 1, 3, 3)), differentiable=False)],
    "Pad": [Sample(Pad(()), ()), Sample(Pad(((0, 0), (2, 1))), (2, 3))],
}
"""Edges that are tested beyond an op's own samples."""


def reference(*names: str) -> Callable[[Reference], Reference]:
    """Decorator: enter a function into the table, under the names of the ops it belongs to."""

    def add(function: Reference) -> Reference:
        for name in names:
            assert name not in REFERENCES, f"two references for {name}"
            REFERENCES[name] = function
        return function

    return add


def each(function: Callable[..., Any]) -> Reference:
    """A reference that computes one element at a time, on Python numbers."""

    def compute(op: Any, *arrays: Array) -> Array:
        spread = np.broadcast_arrays(*arrays)
        values = [function(op, *(a[at].item() for a in spread)) for at in np.ndindex(spread[0].shape)]
        return np.array(values).reshape(spread[0].shape)

    return compute


def _larger(op: Any, a: float, b: float) -> float:
    return a if a >= b else b


def _smaller(op: Any, a: float, b: float) -> float:
    return b if a >= b else a


REFERENCES |= {
    "Add": each(lambda op, a, b: math.fsum((a, b))),
    "Sub": each(lambda op, a, b: math.fsum((a, -b))),
    "Mul": each(lambda op, a, b: a * b),
    "Div": each(lambda op, a, b: a / b),
    "Pow": each(lambda op, a, b: math.exp(b * math.log(a))),
    "Maximum": each(_larger),
    "Minimum": each(_smaller),
    "Neg": each(lambda op, a: 0.0 - a),
    "Copy": each(lambda op, a: a),
    "Abs": each(lambda op, a: math.sqrt(a * a)),
    "Sign": each(lambda op, a: (a > 0) - (a < 0)),
    "Exp": each(lambda op, a: math.exp(a)),
    "Log": each(lambda op, a: math.log(a)),
    "Sqrt": each(lambda op, a: math.sqrt(a)),
    "Tanh": each(lambda op, a: (math.exp(a) - math.exp(-a)) / (math.exp(a) + math.exp(-a))),
    "Sigmoid": each(lambda op, a: math.exp(a) / (math.exp(a) + 1)),
    "Sin": each(lambda op, a: math.sin(a)),
    "Cos": each(lambda op, a: math.cos(a)),
    "Erf": each(lambda op, a: math.erf(a)),
    "Relu": each(lambda op, a: a if a > 0 else 0.0),
    "ReluGrad": each(lambda op, g, b: g if b > 0 else 0.0),
    "Clip": each(lambda op, a: op.low if a < op.low else op.high if a > op.high else a),
    "Equal": each(lambda op, a, b: a == b),
    "NotEqual": each(lambda op, a, b: a != b),
    "Less": each(lambda op, a, b: a < b),
    "LessEqual": each(lambda op, a, b: a <= b),
    "Greater": each(lambda op, a, b: a > b),
    "GreaterEqual": each(lambda op, a, b: a >= b),
    "And": each(lambda op, a, b: a and b),
    "Or": each(lambda op, a, b: a or b),
    "Not": each(lambda op, a: not a),
    "Where": each(lambda op, condition, a, b: a if condition else b),
}


@reference("Cast")
def cast(op: Any, a: Array) -> Array:
    kind = {"b": bool, "i": int, "f": float}[op.dtype.kind]
    values = np.array([kind(x) for x in a.reshape(-1).tolist()]).reshape(a.shape)
    return values.astype(op.dtype)  # the rounding to fewer bits is NumPy's


# ---------------------------------------------------------------- products and reductions


@reference("MatMul")
def matmul(op: Any, a: Array, b: Array) -> Array:
    return np.einsum("...ik,...kj->...ij", a, b)


@reference("Linear")
def linear(op: Any, x: Array, w: Array, b: Array) -> Array:
    return np.einsum("...i,oi->...o", x, w) + b


@reference("LinearInputGrad")
def linear_input_grad(op: Any, g: Array, w: Array) -> Array:
    return np.einsum("...o,oi->...i", g, w)


@reference("LinearWeightGrad")
def linear_weight_grad(op: Any, g: Array, x: Array) -> tuple[Array, Array]:
    lead = list(range(g.ndim - 1))
    return np.tensordot(g, x, (lead, lead)), np.apply_over_axes(np.sum, g, lead).reshape(-1)


def _reduce(op: Any, a: Array, function: Callable[[list[Any]], Any]) -> Array:
    """One output element at a time: the elements of `a` whose other indices agree, as a list."""
    kept = [i for i in range(a.ndim) if i not in op.axis]
    groups: dict[tuple[int, ...], list[Any]] = {at: [] for at in np.ndindex(*(a.shape[i] for i in kept))}
    for at in np.ndindex(a.shape):
        groups[tuple(at[i] for i in kept)].append(a[at].item())
    out = np.array([function(group) for group in groups.values()]).reshape([a.shape[i] for i in kept])
    return np.expand_dims(out, op.axis) if op.keepdims else out


@reference("Sum")
def sum_(op: Any, a: Array) -> Array:
    return _reduce(op, a, math.fsum)


@reference("Mean")
def mean(op: Any, a: Array) -> Array:
    return _reduce(op, a, lambda group: math.fsum(group) / len(group))


@reference("Max")
def max_(op: Any, a: Array) -> Array:
    return _reduce(op, a, lambda group: sorted(group)[-1])


@reference("Min")
def min_(op: Any, a: Array) -> Array:
    return _reduce(op, a, lambda group: sorted(group)[0])


@reference("ArgMax")
def argmax(op: Any, a: Array) -> Array:
    return _reduce(op, a, lambda group: group.index(sorted(group)[-1])).astype(np.int64)


# ---------------------------------------------------------------- layout


@reference("Reshape")
def reshape(op: Any, a: Array) -> Array:
    return np.fromiter((a[at] for at in np.ndindex(a.shape)), a.dtype, a.size).reshape(op.shape)


@reference("Permute")
def permute(op: Any, a: Array) -> Array:
    letters = "abcdefgh"[: a.ndim]
    return np.einsum(f"{letters}->{''.join(letters[i] for i in op.order)}", a)


@reference("Expand")
def expand(op: Any, a: Array) -> Array:
    return np.multiply(a, np.ones(op.shape))


@reference("Contiguous")
def contiguous(op: Any, a: Array) -> Array:
    return np.array(a.tolist()).reshape(a.shape)


@reference("Concat")
def concat(op: Any, *arrays: Array) -> Array:
    lead = [np.moveaxis(a, op.axis, 0) for a in arrays]
    rows = list(itertools.chain.from_iterable(lead))
    return np.moveaxis(np.array(rows), 0, op.axis)


@reference("Pad")
def pad(op: Any, a: Array) -> Array:
    out = np.full(
        [n + before + after for n, (before, after) in zip(a.shape, op.widths, strict=True)], op.value
    )
    for at in np.ndindex(a.shape):
        out[tuple(i + before for i, (before, _) in zip(at, op.widths, strict=True))] = a[at]
    return out


# ---------------------------------------------------------------- indexing


def _positions(op: Any, shape: tuple[int, ...]) -> Array:
    """Row-major positions in an array of this shape that the op's key picks."""
    return np.array(np.arange(math.prod(shape)).reshape(shape)[op.key])


@reference("Slice")
def slice_(op: Any, a: Array) -> Array:
    flat = a.reshape(-1)
    return np.array([flat[i] for i in _positions(op, a.shape).reshape(-1)]).reshape(
        _positions(op, a.shape).shape
    )


@reference("SliceGrad")
def slice_grad(op: Any, g: Array) -> Array:
    out = np.zeros(math.prod(op.shape))
    np.add.at(out, _positions(op, op.shape), g)
    return out.reshape(op.shape)


@reference("Take", "Lookup")
def take(op: Any, a: Array, ids: Array) -> Array:
    one_hot = (ids[..., None] % len(a) == np.arange(len(a))).astype(float)
    return np.tensordot(one_hot, a, 1)


@reference("TakeGrad")
def take_grad(op: Any, g: Array, ids: Array) -> Array:
    one_hot = (ids[..., None] % op.rows == np.arange(op.rows)).astype(float)
    return np.tensordot(np.moveaxis(one_hot, -1, 0), g, ids.ndim)


@reference("Gather")
def gather(op: Any, a: Array, ids: Array) -> Array:
    out = np.zeros(ids.shape)
    for at in np.ndindex(ids.shape):
        out[at] = a[(*at[: op.axis], ids[at], *at[op.axis + 1 :])]
    return out


@reference("GatherGrad")
def gather_grad(op: Any, g: Array, ids: Array) -> Array:
    out = np.zeros((*g.shape[: op.axis], op.size, *g.shape[op.axis + 1 :]))
    for at in np.ndindex(ids.shape):
        out[(*at[: op.axis], ids[at], *at[op.axis + 1 :])] += g[at]
    return out


@reference("Assign")
def assign(op: Any, a: Array, value: Array) -> Array:
    whole = (...,) if op.key is None else op.key
    places = np.arange(a.size).reshape(a.shape)[whole]
    for place, x in zip(places.reshape(-1), np.broadcast_to(value, places.shape).reshape(-1), strict=True):
        a[np.unravel_index(place, a.shape)] = x
    return a


# ---------------------------------------------------------------- random numbers


def philox(counter: int, key: int) -> list[int]:
    """Four 64-bit words of Philox-4x64-10 (Salmon et al., 2011, section 4), on Python integers."""
    mask = 2**64 - 1
    words = [(counter >> 64 * i) & mask for i in range(4)]
    keys = [key, 0]
    for _ in range(10):
        low, high = 0xD2E7470EE14C6C93 * words[0], 0xCA5A826395121157 * words[2]
        words = [(high >> 64) ^ words[1] ^ keys[0], high & mask, (low >> 64) ^ words[3] ^ keys[1], low & mask]
        keys = [(keys[0] + 0x9E3779B97F4A7C15) & mask, (keys[1] + 0xBB67AE8584CAA73B) & mask]
    return words


@reference("Uniform")
def uniform(op: Any, state: Array) -> Array:
    key, counter = (int(word) for word in state)
    size = math.prod(op.shape)
    each_block = 4 if op.dtype == np.float64 else 8
    blocks = -(-size // each_block)
    words = [word for block in range(blocks) for word in philox(counter + 1 + block, key)]
    if op.dtype == np.float64:
        values = [(word >> 11) / 2**53 for word in words]
    else:
        halves = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
        values = [(half >> 8) / 2**24 for half in halves]
    state[1] += blocks
    return np.array(values[:size]).reshape(op.shape)
