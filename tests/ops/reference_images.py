"""References of the ops on images: convolution, pooling, batch normalisation; one window at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.ops.reference import Array, reference


def _framed(x: Array, padding: tuple[int, int], value: float = 0.0) -> Array:
    return np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)), constant_values=value)


def _conv(op: Any, x: Array, w: Array) -> Array:
    """One output channel and position at a time: the sum of a dilated window times its filter."""
    framed, (dh, dw), (sh, sw) = _framed(x, op.padding), op.dilation, op.stride
    o, c, kh, kw = w.shape
    reach = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
    oh, ow = ((n - r) // s + 1 for n, r, s in zip(framed.shape[2:], reach, op.stride, strict=True))
    out = np.zeros((len(x), o, oh, ow))
    for channel, i, j in np.ndindex(o, oh, ow):
        first = channel // (o // op.groups) * c
        window = framed[
            :, first : first + c, i * sh : i * sh + reach[0] : dh, j * sw : j * sw + reach[1] : dw
        ]
        out[:, channel, i, j] = np.einsum("nchw,chw->n", window, w[channel])
    return out


@reference("Conv2d")
def conv2d(op: Any, x: Array, w: Array, b: Array | None = None) -> Array:
    return _conv(op, x, w) + (0 if b is None else b[:, None, None])


def _by_basis(shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Each index of an array of this shape, with the array that is 1 there and 0 elsewhere."""
    for at in np.ndindex(shape):
        unit = np.zeros(shape)
        unit[at] = 1
        yield at, unit


@reference("Conv2dInputGrad")
def conv2d_input_grad(op: Any, g: Array, w: Array) -> Array:
    """The transpose of a linear map: what each element of the image adds to the output, times g."""
    c = w.shape[1] * op.groups
    out = np.zeros((len(g), c, *op.size))
    for at, unit in _by_basis((1, c, *op.size)):
        out[(slice(None), *at[1:])] = np.einsum("nohw,ohw->n", g, _conv(op, unit, w)[0])
    return out


@reference("Conv2dWeightGrad")
def conv2d_weight_grad(op: Any, g: Array, x: Array) -> Array:
    o, c = g.shape[1], x.shape[1] // op.groups
    rows = np.zeros((o, c, *op.kernel))
    for at, unit in _by_basis(rows.shape):
        rows[at] = (g * _conv(op, x, unit)).sum()
    flat = rows.reshape(o, -1)
    return np.concatenate([flat, g.sum((0, 2, 3))[:, None]], 1) if op.bias else flat


# ---------------------------------------------------------------- pooling


def _windows(op: Any, shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], list[tuple[int, int]]]]:
    """Each output position of pooling images of this size, with the pixels of its window, row by row."""
    (kh, kw), (sh, sw), (ph, pw) = op.kernel, op.stride, op.padding
    h, w = shape[-2:]
    for i, j in np.ndindex((h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1):
        yield (i, j), [(i * sh - ph + a, j * sw - pw + b) for a, b in itertools.product(range(kh), range(kw))]


def _inside(pixel: tuple[int, int], shape: tuple[int, ...]) -> bool:
    return 0 <= pixel[0] < shape[-2] and 0 <= pixel[1] < shape[-1]


def _counts(op: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    rows, columns = zip(*(at for at, _ in _windows(op, shape)), strict=True)
    return max(rows) + 1, max(columns) + 1


@reference("MaxPool2d")
def max_pool2d(op: Any, x: Array) -> tuple[Array, Array]:
    out = np.zeros((*x.shape[:2], *_counts(op, x.shape)))
    index = np.zeros(out.shape, int)
    for n, c in np.ndindex(x.shape[:2]):
        for at, pixels in _windows(op, x.shape):
            found = {k: x[(n, c, *p)] for k, p in enumerate(pixels) if _inside(p, x.shape)}
            index[(n, c, *at)] = max(found, key=found.__getitem__)
            out[(n, c, *at)] = max(found.values())
    return out, index


@reference("MaxPool2dGrad")
def max_pool2d_grad(op: Any, g: Array, index: Array) -> Array:
    out = np.zeros((*g.shape[:2], *op.size))
    for n, c in np.ndindex(g.shape[:2]):
        for at, pixels in _windows(op, out.shape):
            out[(n, c, *pixels[index[(n, c, *at)]])] += g[(n, c, *at)]
    return out


@reference("MaxPool2dPick")
def max_pool2d_pick(op: Any, x: Array, index: Array) -> Array:
    out = np.zeros(index.shape)
    for n, c in np.ndindex(x.shape[:2]):
        for at, pixels in _windows(op, x.shape):
            out[(n, c, *at)] = x[(n, c, *pixels[index[(n, c, *at)]])]
    return out


@reference("AvgPool2d")
def avg_pool2d(op: Any, x: Array) -> Array:
    out = np.zeros((*x.shape[:2], *_counts(op, x.shape)))
    for at, pixels in _windows(op, x.shape):
        seen = [x[(..., *p)] for p in pixels if _inside(p, x.shape)]
        out[(..., *at)] = np.sum(seen, 0) / len(pixels)
    return out


@reference("AvgPool2dGrad")
def avg_pool2d_grad(op: Any, g: Array) -> Array:
    out = np.zeros((*g.shape[:2], *op.size))
    for at, pixels in _windows(op, out.shape):
        for p in pixels:
            if _inside(p, out.shape):
                out[(..., *p)] += g[(..., *at)] / len(pixels)
    return out


# ---------------------------------------------------------------- batch normalisation


def _channels(x: Array) -> Array:
    """x: (n, c, ...) as (c, values of the channel)."""
    return np.moveaxis(x, 1, 0).reshape(x.shape[1], -1 if x.size else 0)


def _images(rows: Array, like: Array) -> Array:
    return np.moveaxis(rows.reshape(like.shape[1], len(like), *like.shape[2:]), 0, 1)


@reference("BatchNorm")
def batch_norm(op: Any, x: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array]:
    rows = _channels(x)
    average, variance = (np.array([f(row) for row in rows]) for f in (np.mean, np.var))
    out = [
        (row - row.mean()) / np.sqrt(row.var() + op.eps) * w + b
        for row, w, b in zip(rows, weight, bias, strict=True)
    ]
    return _images(np.array(out), x), average, variance


@reference("BatchNormGrad")
def batch_norm_grad(
    op: Any, g: Array, x: Array, weight: Array, average: Array, variance: Array
) -> tuple[Array, Array, Array]:
    dx, dweight, dbias = [], [], []
    for row, cotangent, w, m, v in zip(_channels(x), _channels(g), weight, average, variance, strict=True):
        n, xhat = len(row), (row - m) / np.sqrt(v + op.eps)
        jacobian = (np.eye(n) - 1 / n - np.outer(xhat, xhat) / n) * w / np.sqrt(v + op.eps)
        dx.append(cotangent @ jacobian)
        dweight.append(cotangent @ xhat)
        dbias.append(cotangent.sum())
    return _images(np.array(dx), x), np.array(dweight), np.array(dbias)
