"""Convolution of images: im2col and one matrix product for a block of rows, forward and both ways back.

Inside, images lie in memory as (channels, height, width, batch): a row of a window is then one long run over
columns and batch, the product needs no transposes, and the result is a view with the axes (n, c, h, w).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinytorch.errors import ShapeError
from tinytorch.ops.base import Gradient, Op, Sample
from tinytorch.ops.shape import pad, permute, reshape
from tinytorch.ops.spec import Array, Spec, require_float
from tinytorch.ops.window import Pair, count_windows, pair, require_images, views

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

_BLOCK, _WIDE_BLOCK = 2**19, 2**22
"""Bytes of columns at a time: what a core's cache holds; more where each block is added to the result."""


@dataclass
class Convolution(Op):
    """Base of the convolution and its gradients: the geometry, and the columns that windows become."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def _frame(self, x: Array) -> Array:
        """x: (n, c, h, w) as (groups, c / groups, h, w, n) with its padding."""
        n, c, h, w = x.shape
        (ph, pw), inner = self.padding, x.transpose(1, 2, 3, 0)
        if ph or pw:
            framed = np.zeros((c, h + 2 * ph, w + 2 * pw, n), x.dtype)
            framed[:, ph : ph + h, pw : pw + w] = inner
        else:
            framed = np.ascontiguousarray(inner)
        return framed.reshape(self.groups, c // self.groups, h + 2 * ph, w + 2 * pw, n)

    def _windows(self, framed: Array, kernel: Pair, counts: Pair) -> Array:
        """A view of a frame as (groups, c / groups, kh, kw, oh, ow, n), without copying."""
        g, c, h, w, n = framed.strides
        (sh, sw), (dh, dw) = self.stride, self.dilation
        shape = (*framed.shape[:2], *kernel, *counts, framed.shape[4])
        return as_strided(framed, shape, (g, c, h * dh, w * dw, h * sh, w * sw, n))

    def _blocks(self, windows: Array, limit: int, extra: int = 0) -> Iterator[tuple[slice, slice, Array]]:
        """Blocks of output rows: the rows, their elements in a flat output, and room for their columns.

        The columns are (groups, K + extra, elements), K = c / groups * kh * kw.
        """
        groups, c, kh, kw, oh, ow, n = windows.shape
        k, row = c * kh * kw + extra, ow * n
        step = min(oh, max(1, limit // max(1, groups * k * row * windows.itemsize)))
        room = np.empty((groups, k, step * row), windows.dtype)
        for top in range(0, oh, step):
            end = min(top + step, oh)
            yield slice(top, end), slice(top * row, end * row), room[:, :, : (end - top) * row]

    def _columns(self, windows: Array, ones: bool) -> Iterator[tuple[slice, Array]]:
        """Blocks of im2col; a last row of ones lets a bias take part in the product."""
        k = math.prod(windows.shape[1:4])
        for rows, elements, columns in self._blocks(windows, _BLOCK, int(ones)):
            seen = windows[:, :, :, :, rows]
            columns[:, :k].reshape(seen.shape)[...] = seen
            columns[:, k:] = 1
            yield elements, columns

    def _flat(self, g: Array) -> Array:
        """g: (n, o, oh, ow) as (groups, o / groups, oh * ow * n)."""
        n, o, oh, ow = g.shape
        inner = np.ascontiguousarray(g.transpose(1, 2, 3, 0))
        return inner.reshape(self.groups, o // self.groups, oh * ow * n)

    def _geometry(self) -> tuple[Pair, Pair, Pair, int]:
        return self.stride, self.padding, self.dilation, self.groups


@dataclass
class Conv2d(Convolution):
    """out = x correlated with each filter of w, + b.   dx = g spread by w, dw = g correlated with x, db = sum

    x: (n, c, h, w), w: (o, c / groups, kh, kw), b: (o,) or left out; out: (n, o, oh, ow).
    """

    fuses: ClassVar[tuple[str, ...]] = ("Add", "MatMul")
    keeps: ClassVar[Any] = (0, 1)

    def infer(self, x: Spec, w: Spec, b: Spec | None = None) -> Spec:
        require_float("conv2d", x, w, *(() if b is None else (b,)))
        require_images("conv2d", x)
        if w.ndim != 4:
            raise ShapeError(
                f"conv2d: weight {w.shape} is not (out, in / groups, kernel height, kernel width)"
            )
        o, c = w.shape[:2]
        if x.shape[1] % self.groups or o % self.groups:
            raise ShapeError(
                f"conv2d: {self.groups} groups do not divide {x.shape[1]} channels in and {o} out. "
                "Choose groups that divide both."
            )
        if x.shape[1] != c * self.groups:
            raise ShapeError(
                f"conv2d: input {x.shape} has {x.shape[1]} channels, "
                f"weight {w.shape} with groups={self.groups} takes {c * self.groups}."
                + (" Did you mean x.permute(0, 3, 1, 2)?" if x.shape[3] == c * self.groups else "")
            )
        if b is not None and b.shape != (o,):
            raise ShapeError(f"conv2d: bias {b.shape} for {o} output channels; expected ({o},)")
        counts = count_windows("conv2d", x.shape[2:], _tail(w), self.stride, self.padding, self.dilation)
        return Spec((x.shape[0], o, *counts), x.dtype)

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Any:
        """out: (n, o, oh, ow), in the dtype of x.

        out[i, q, y, z] = b[q] + the sum over channels c and kernel positions (u, v) of w[q, c, u, v] times
        channel c of the padded image i at row y * stride + u * dilation, and column likewise. With groups,
        filter q sees the channels of its own group only: w's channel c is c channels after the group's first.
        """
        n, o, oh, ow = self.infer(Spec(x.shape, x.dtype), Spec(w.shape, w.dtype)).shape
        filters = w.reshape(self.groups, o // self.groups, math.prod(w.shape[1:]))
        if b is not None:
            filters = np.concatenate([filters, b.reshape(self.groups, -1, 1)], axis=2)
        windows = self._windows(self._frame(x), _tail(w), (oh, ow))
        out = np.empty((self.groups, o // self.groups, oh * ow * n), x.dtype)
        for elements, columns in self._columns(windows, b is not None):
            np.matmul(filters, columns, out=out[:, :, elements])
        return out.reshape(o, oh, ow, n).transpose(3, 0, 1, 2)

    def vjp(self, g: Tensor, out: Spec, x: Tensor, w: Tensor, b: Spec | None = None) -> tuple[Gradient, ...]:
        geometry = self._geometry()
        rows = functools.cache(lambda: Conv2dWeightGrad(*geometry, _tail(w), b is not None)(g, x))
        k = math.prod(w.shape[1:])
        dx: Gradient = lambda: Conv2dInputGrad(*geometry, _tail(x))(g, w)  # noqa: E731
        dw: Gradient = lambda: reshape(rows()[:, :k], w.shape)  # noqa: E731
        return (dx, dw) if b is None else (dx, dw, lambda: rows()[:, k])

    def composite(self, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        (n, o, oh, ow), groups = self.infer(Spec(x.shape, x.dtype), Spec(w.shape, w.dtype)).shape, self.groups
        framed = pad(x, ((0, 0), (0, 0), *((p, p) for p in self.padding)))
        total: Any = 0.0 if b is None else reshape(b, (groups, o // groups, 1))
        filters = permute(w, (2, 3, 0, 1)).reshape(-1, groups, o // groups, w.shape[1])
        for i, view in enumerate(views(framed, (oh, ow), _tail(w), self.stride, self.dilation)):
            total = filters[i] @ reshape(view, (n, groups, w.shape[1], oh * ow)) + total
        return reshape(total, (n, o, oh, ow))

    def matmul_flops(self, out: Spec, x: Spec, w: Spec, b: Spec | None = None) -> int:
        """Those of `flops` that are not the bias."""
        return self.flops(out, x, w)

    def flops(self, out: Spec, x: Spec, w: Spec, b: Spec | None = None) -> int:
        """For each output, a multiply-add (2 FLOPs) for each element of its filter; a bias adds 1 to each."""
        return 2 * out.size * math.prod(w.shape[1:]) + (0 if b is None else out.size)


@dataclass
class Conv2dInputGrad(Convolution):
    """dx = each element of g, times the filter it came from, added over its window (transposed convolution)

    g: (n, o, oh, ow), w: (o, c / groups, kh, kw); out: (n, c, *size).
    """

    size: Pair = (1, 1)
    keeps: ClassVar[Any] = (0, 1)

    def infer(self, g: Spec, w: Spec) -> Spec:
        return Spec((g.shape[0], w.shape[1] * self.groups, *self.size), g.dtype)

    def forward(self, g: Array, w: Array) -> Any:
        """dx: (n, c, *size), in the dtype of g: the gradient of Conv2d's input for that of its output, g.

        Wherever Conv2d multiplied a pixel by w[q, c, u, v] for output (y, z), g[:, q, y, z] * w[q, c, u, v]
        is added to the gradient of that pixel. What falls on the padding is dropped; a pixel that no window
        covers has gradient 0.
        """
        (n, _, oh, ow), (o, c, kh, kw), (h, wd), (ph, pw) = g.shape, w.shape, self.size, self.padding
        # the product is fastest where neither factor is a transposed view
        filters = np.ascontiguousarray(w.reshape(self.groups, o // self.groups, c * kh * kw).swapaxes(1, 2))
        flat = self._flat(g)
        framed = np.zeros((self.groups, c, h + 2 * ph, wd + 2 * pw, n), g.dtype)
        windows = self._windows(framed, (kh, kw), (oh, ow))
        for rows, elements, columns in self._blocks(windows, _WIDE_BLOCK):
            np.matmul(filters, flat[:, :, elements], out=columns)
            parts = columns.reshape(windows[:, :, :, :, rows].shape)
            for i in range(kh):  # windows overlap: one position of the kernel at a time
                for j in range(kw):
                    target = windows[:, :, i, j, rows]
                    np.add(target, parts[:, :, i, j], out=target)
        inner = framed[:, :, ph : ph + h, pw : pw + wd].reshape(self.groups * c, h, wd, n)
        return inner.transpose(3, 0, 1, 2)

    def vjp(self, g: Tensor, out: Spec, dy: Tensor, w: Tensor) -> tuple[Gradient, ...]:
        geometry = self._geometry()
        return (
            lambda: Conv2d(*geometry)(g, w),
            lambda: reshape(Conv2dWeightGrad(*geometry, _tail(w))(dy, g), w.shape),
        )

    def matmul_flops(self, out: Spec, g: Spec, w: Spec) -> int:
        return 2 * g.size * math.prod(w.shape[1:])

    def flops(self, out: Spec, g: Spec, w: Spec) -> int:
        return self.matmul_flops(out, g, w)


@dataclass
class Conv2dWeightGrad(Convolution):
    """dw = g correlated with x: a row of K = c / groups * kh * kw for each filter, and the sum of g if `bias`

    g: (n, o, oh, ow), x: (n, c, h, w); out: (o, K) or (o, K + 1).
    """

    kernel: Pair = (1, 1)
    bias: bool = False
    keeps: ClassVar[Any] = (0, 1)

    def infer(self, g: Spec, x: Spec) -> Spec:
        return Spec((g.shape[1], self._row(x) + self.bias), g.dtype)

    def _row(self, x: Spec | Array | Tensor) -> int:
        return x.shape[1] // self.groups * math.prod(self.kernel)

    def forward(self, g: Array, x: Array) -> Any:
        """dw as rows, (o, K), in the dtype of g: the gradient of Conv2d's weight for that of its output, g.

        Row q holds dw[q, c, u, v], the last index running fastest: the sum over images and outputs (y, z) of
        g[:, q, y, z] times the pixel that w[q, c, u, v] met there. With `bias`, one more column holds db[q],
        the sum of all g[:, q].
        """
        o, flat = g.shape[1], self._flat(g)
        windows = self._windows(self._frame(x), self.kernel, _tail(g))
        total = np.zeros((self.groups, self._row(x) + self.bias, o // self.groups), g.dtype)
        for elements, columns in self._columns(windows, self.bias):
            total += columns @ flat[:, :, elements].swapaxes(1, 2)
        return np.ascontiguousarray(total.swapaxes(1, 2)).reshape(o, -1)

    def vjp(self, g: Tensor, out: Spec, dy: Tensor, x: Tensor) -> tuple[Gradient, ...]:
        geometry, k = self._geometry(), self._row(x)
        w = reshape(g[:, :k], (dy.shape[1], x.shape[1] // self.groups, *self.kernel))
        b = (g[:, k],) if self.bias else ()
        return lambda: Conv2d(*geometry)(x, w, *b), lambda: Conv2dInputGrad(*geometry, _tail(x))(dy, w)

    def matmul_flops(self, out: Spec, g: Spec, x: Spec) -> int:
        return 2 * g.size * self._row(x)

    def flops(self, out: Spec, g: Spec, x: Spec) -> int:
        return self.matmul_flops(out, g, x) + (g.size if self.bias else 0)


def _tail(x: Spec | Array | Tensor) -> Pair:
    """Height and width."""
    return x.shape[2], x.shape[3]


_ODD = ((2, 1), (1, 2), (1, 2), 2)
Conv2d.samples = [
    Sample(Conv2d(padding=(1, 1)), (2, 3, 5, 4), (4, 3, 3, 3), (4,)),
    Sample(Conv2d((2, 3), (1, 0)), (2, 2, 7, 6), (3, 2, 3, 2), (3,)),
    Sample(Conv2d(dilation=(2, 1)), (1, 2, 6, 5), (2, 2, 3, 3)),
    Sample(Conv2d(*_ODD), (2, 4, 6, 7), (6, 2, 2, 3), (6,)),
    Sample(Conv2d(padding=(1, 1), groups=3), (2, 3, 4, 4), (6, 1, 3, 3), (6,)),
    Sample(Conv2d(), (2, 3, 4, 5), (2, 3, 1, 1), (2,)),
    Sample(Conv2d((2, 2)), (2, 3, 3, 3), (2, 3, 1, 1)),
    Sample(Conv2d(padding=(1, 1)), (0, 3, 4, 4), (2, 3, 3, 3), (2,)),
]
Conv2dInputGrad.samples = [
    Sample(Conv2dInputGrad(padding=(1, 1), size=(5, 4)), (2, 4, 5, 4), (4, 3, 3, 3)),
    Sample(Conv2dInputGrad(*_ODD, (6, 7)), (2, 6, 4, 7), (6, 2, 2, 3)),
    Sample(Conv2dInputGrad((2, 2), size=(4, 4)), (0, 2, 2, 2), (2, 3, 1, 1)),
]
Conv2dWeightGrad.samples = [
    Sample(Conv2dWeightGrad(padding=(1, 1), kernel=(3, 3), bias=True), (2, 4, 5, 4), (2, 3, 5, 4)),
    Sample(Conv2dWeightGrad(*_ODD, (2, 3)), (2, 6, 4, 7), (2, 4, 6, 7)),
    Sample(Conv2dWeightGrad(kernel=(2, 2), bias=True), (0, 2, 3, 3), (0, 3, 4, 4)),
]


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Slide each filter over the images: out[n, o, y, x] = sum of window times filter o, + bias[o].

    x: (batch, in, height, width), weight: (out, in / groups, kernel height, kernel width), bias: (out,);
    result (batch, out, rows, columns) with rows = (height + 2 * padding - reach) // stride + 1,
    reach = dilation * (kernel height - 1) + 1, and columns likewise.
    Raises ShapeError, DTypeError.
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998.

    >>> from tinytorch.tensor import ones
    >>> conv2d(ones(1, 1, 2, 2), ones(1, 1, 3, 3), padding=1)
    Tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise ShapeError(f"conv2d: groups is {groups!r}; expected an int of 1 or more")
    op = Conv2d(
        pair("conv2d", "stride", stride),
        pair("conv2d", "padding", padding, 0),
        pair("conv2d", "dilation", dilation),
        groups,
    )
    return op(x, weight) if bias is None else op(x, weight, bias)
