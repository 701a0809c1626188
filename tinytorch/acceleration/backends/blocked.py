"""The backend `blocked`: products and softmax in tiles that a cache holds, each tile done by NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytorch.acceleration.ladder.convolution import im2col
from tinytorch.acceleration.ladder.matmul import blocked
from tinytorch.ops.base import Op
from tinytorch.ops.context import register_kernel
from tinytorch.ops.conv import Conv2d
from tinytorch.ops.matmul import Linear, LinearInputGrad, LinearWeightGrad, MatMul
from tinytorch.ops.softmax import Softmax, moderate, softmax_rows
from tinytorch.ops.spec import Array, Spec

NAME = "blocked"
BLOCK = 2**18
"""Bytes of rows that a softmax does at a time: half of a common second cache."""


def _spec(op: Op, *arrays: Array) -> Any:
    """What `infer` says of the result; it raises what the op raises for shapes that do not fit."""
    return op.infer(*(Spec(array.shape, array.dtype) for array in arrays))


def _rows(x: Array) -> Array:
    """All leading axes as rows."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


@register_kernel(NAME, MatMul)
def _matmul(op: MatMul, a: Array, b: Array) -> Array:
    spec = _spec(op, a, b)
    out: Array = np.empty(spec.shape, spec.dtype)
    left = np.broadcast_to(a, (*spec.shape[:-2], *a.shape[-2:]))
    right = np.broadcast_to(b, (*spec.shape[:-2], *b.shape[-2:]))
    for at in np.ndindex(spec.shape[:-2]):
        out[at] = blocked(left[at], right[at])
    return out


@register_kernel(NAME, Linear)
def _linear(op: Linear, x: Array, w: Array, b: Array) -> Array:
    spec = _spec(op, x, w, b)
    out = blocked(_rows(x), w.T)
    out += b
    return out.reshape(spec.shape)


@register_kernel(NAME, LinearInputGrad)
def _linear_input_grad(op: LinearInputGrad, g: Array, w: Array) -> Array:
    return blocked(_rows(g), w).reshape(*g.shape[:-1], w.shape[1])


@register_kernel(NAME, LinearWeightGrad)
def _linear_weight_grad(op: LinearWeightGrad, g: Array, x: Array) -> tuple[Array, Array]:
    rows = _rows(g)
    return blocked(rows.T, _rows(x)), rows.sum(0)


@register_kernel(NAME, Conv2d)
def _conv2d(op: Conv2d, x: Array, w: Array, b: Array | None = None) -> Array:
    """im2col, then for each image and group the filters times its columns."""
    spec = _spec(op, x, w) if b is None else _spec(op, x, w, b)
    columns = im2col(x, (w.shape[2], w.shape[3]), op.stride, op.padding, op.dilation)
    n, k, windows = columns.shape
    per_group = columns.reshape(n, op.groups, k // op.groups, windows)
    filters = w.reshape(op.groups, w.shape[0] // op.groups, math.prod(w.shape[1:]))
    out: Array = np.empty((n, *filters.shape[:2], windows), spec.dtype)
    for image in range(n):
        for group in range(op.groups):
            out[image, group] = blocked(filters[group], per_group[image, group])
    out = out.reshape(spec.shape)
    return out if b is None else out + b[:, None, None]


@register_kernel(NAME, Softmax)
def _softmax(op: Softmax, a: Array) -> Array:
    """Blocks of rows, so that the passes after the first find theirs in the cache."""
    last = np.moveaxis(a, op.axis, -1).copy()
    rows = last.reshape(-1, last.shape[-1])
    step = max(1, BLOCK // (rows.shape[1] * rows.itemsize))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        softmax_rows(block, moderate(block))
    return np.moveaxis(last, -1, op.axis)
