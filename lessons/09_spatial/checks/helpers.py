"""Convolution and pooling of images one output at a time, in float64, to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.ops.spec import Spec

Pair = tuple[int, int]


def spec(*shape: int, dtype: Any = np.float32) -> Spec:
    """A shape with a dtype."""
    return Spec(shape, np.dtype(dtype))


def starts(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> list[int]:
    """Where windows begin along one axis, counted from the first pixel of the image."""
    found, at = [], -padding
    while at + dilation * (kernel - 1) < size + padding:
        found.append(at)
        at += stride
    return found


def seen(
    shape: Sequence[int], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)
) -> list[tuple[Pair, int, Pair, Pair]]:
    """What meets what: (output, position number, (u, v), pixel) for each pixel inside of the image."""
    rows, columns = (starts(shape[i], kernel[i], stride[i], padding[i], dilation[i]) for i in (0, 1))
    return [
        ((y, x), u * kernel[1] + v, (u, v), (top + u * dilation[0], left + v * dilation[1]))
        for y, top in enumerate(rows)
        for x, left in enumerate(columns)
        for u in range(kernel[0])
        for v in range(kernel[1])
        if 0 <= top + u * dilation[0] < shape[0] and 0 <= left + v * dilation[1] < shape[1]
    ]


def counts(shape: Sequence[int], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)) -> Pair:
    """Windows below and beside each other."""
    found = [len(starts(shape[i], kernel[i], stride[i], padding[i], dilation[i])) for i in (0, 1)]
    return found[0], found[1]


class Correlation:
    """A convolution as the list of products that it adds up, forward and both ways back."""

    def __init__(self, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> None:
        self.geometry = stride, padding, dilation
        self.groups = groups

    def _whole(self, w: Any) -> Any:
        """The filters with a zero for each channel of other groups: (o, c, kh, kw)."""
        o, c, kh, kw = w.shape
        whole = np.zeros((o, c * self.groups, kh, kw))
        for q in range(o):
            first = q // (o // self.groups) * c
            whole[q, first : first + c] = w[q]
        return whole

    def forward(self, x: Any, w: Any, b: Any = None) -> Any:
        size, kernel, whole = x.shape[2:], w.shape[2:], self._whole(w)
        out = np.zeros((len(x), len(w), *counts(size, kernel, *self.geometry)))
        for (y, z), _, (u, v), (r, s) in seen(size, kernel, *self.geometry):
            out[:, :, y, z] += x[:, :, r, s].astype(np.float64) @ whole[:, :, u, v].T
        return out if b is None else out + b[:, None, None]

    def input_grad(self, g: Any, w: Any, size: Pair) -> Any:
        whole = self._whole(w)
        dx = np.zeros((len(g), whole.shape[1], *size))
        for (y, z), _, (u, v), (r, s) in seen(size, w.shape[2:], *self.geometry):
            dx[:, :, r, s] += g[:, :, y, z] @ whole[:, :, u, v]
        return dx

    def weight_grad(self, g: Any, x: Any, kernel: Pair) -> Any:
        o, c = g.shape[1], x.shape[1]
        whole = np.zeros((o, c, *kernel))
        for (y, z), _, (u, v), (r, s) in seen(x.shape[2:], kernel, *self.geometry):
            whole[:, :, u, v] += g[:, :, y, z].T.astype(np.float64) @ x[:, :, r, s]
        each, filters = c // self.groups, o // self.groups
        own = [whole[q, q // filters * each : (q // filters + 1) * each] for q in range(o)]
        return np.array(own).reshape(o, -1)


def pooled(x: Any, kernel: Pair, stride: Pair, padding: Pair) -> tuple[Any, Any, Any]:
    """Of each window: the largest, the number of its position, and the mean with zeros for padding."""
    shape = (*x.shape[:2], *counts(x.shape[2:], kernel, stride, padding))
    best, where, total = np.full(shape, -np.inf), np.full(shape, -1), np.zeros(shape)
    for (y, z), number, _, (r, s) in seen(x.shape[2:], kernel, stride, padding):
        pixel = x[:, :, r, s].astype(np.float64)
        wins = (where[:, :, y, z] < 0) | (pixel > best[:, :, y, z])
        best[:, :, y, z] = np.where(wins, pixel, best[:, :, y, z])
        where[:, :, y, z] = np.where(wins, number, where[:, :, y, z])
        total[:, :, y, z] += pixel
    return best, where, total / (kernel[0] * kernel[1])


def scattered(g: Any, index: Any, size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Any:
    """The gradient of images for that of their largest pixels."""
    dx = np.zeros((*g.shape[:2], *size))
    for (y, z), number, _, (r, s) in seen(size, kernel, stride, padding):
        dx[:, :, r, s] += np.where(index[:, :, y, z] == number, g[:, :, y, z], 0)
    return dx
