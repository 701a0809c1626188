"""Pooling of images: the largest or the mean of each window, and the gradients."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import ShapeError
from tinytorch.ops.arithmetic import maximum
from tinytorch.ops.base import Gradient, Op, Sample
from tinytorch.ops.shape import pad
from tinytorch.ops.spec import Array, DType, Spec, int8, int32, require_float
from tinytorch.ops.window import Pair, count_windows, frame, pair, require_images, unframe, views

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor


@dataclass
class Pooling(Op):
    """Base of the pooling ops: their windows."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    keeps: ClassVar[Any] = ()

    def _fields(self) -> tuple[Pair, Pair, Pair]:
        return self.kernel, self.stride, self.padding

    def _pooled(self, x: Spec) -> Spec:
        """What pooling makes of x; raises ShapeError, DTypeError."""
        require_float(self.name, x)
        require_images(self.name, x)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise ShapeError(
                f"{self.name}: padding {self.padding} is more than half of the kernel {self.kernel}, "
                "so that windows could lie outside of the image. Use less padding."
            )
        counts = count_windows(self.name, x.shape[2:], self.kernel, self.stride, self.padding)
        return Spec((*x.shape[:2], *counts), x.dtype)

    def _views(self, framed: Any, pooled: Spec | Array | Tensor) -> Iterator[Any]:
        """What lies under each position of the kernel in all windows."""
        return views(framed, (pooled.shape[2], pooled.shape[3]), self.kernel, self.stride)

    def _empty_frame(self, like: Array, dtype: DType, size: Pair) -> Array:
        """A frame for a gradient, in the memory order of `like`; zeros unless windows tile it."""
        (h, w), (ph, pw), (oh, ow) = size, self.padding, like.shape[2:]
        shape = (*like.shape[:2], h + 2 * ph, w + 2 * pw)
        tiled = self.stride == self.kernel and shape[2:] == (oh * self.kernel[0], ow * self.kernel[1])
        return np.empty_like(like, dtype, shape=shape) if tiled else np.zeros_like(like, dtype, shape=shape)


@dataclass
class MaxPool2d(Pooling):
    """out = largest of each window, NaN if one is.   da = g at the largest, the first of equal ones

    A second output tells which position of its window each came from, counted row by row: position
    (i, j) of the kernel is i * kernel width + j.
    """

    outputs: ClassVar[int] = 2

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        out = self._pooled(x)
        return out, Spec(out.shape, self._index_dtype())

    def _index_dtype(self) -> DType:
        return int8 if math.prod(self.kernel) <= 128 else int32

    def forward(self, x: Array) -> Any:
        """The largest of each window, (n, c, oh, ow), and its position, as `_index_dtype()` of that shape.

        The first of equal ones counts, and never one in the padding, not even where all are -inf; a window
        that holds NaN gives NaN, and the position of one.
        """
        out, index = self.infer(Spec(x.shape, x.dtype))
        windows = self._views(frame(x, self.padding, -np.inf), out)
        best = next(windows).copy(order="K")
        where = np.zeros_like(best, index.dtype)
        for position, window in enumerate(windows, 1):
            # a later position has a larger number, so that the maximum of numbers is the last improvement
            np.maximum(where, (window > best).view(int8) * where.dtype.type(position), out=where)
            np.maximum(best, window, out=best)
        if best.size and not best.min() > -np.inf:
            where = self._careful_index(x, out)
        return best, where

    def _careful_index(self, x: Array, out: Spec) -> Array:
        """Positions where windows hold NaN (its last) or nothing above -inf (the first inside the image)."""
        where = np.full_like(x, -1, self._index_dtype(), shape=out.shape)
        best = np.full_like(x, -np.inf, shape=out.shape)
        inside = self._views(frame(np.ones((1, 1, *x.shape[2:]), bool), self.padding, False), out)
        windows = self._views(frame(x, self.padding, -np.inf), out)
        for position, (window, real) in enumerate(zip(windows, inside, strict=True)):
            better = real & ((where < 0) | (window > best) | np.isnan(window))
            where, best = np.where(better, where.dtype.type(position), where), np.where(better, window, best)
        return where

    def vjp(self, g: Tensor, out: Any, x: Spec) -> tuple[Gradient, ...]:
        return (MaxPool2dGrad(*self._fields(), (x.shape[2], x.shape[3]))(g, out[1]),)

    def composite(self, x: Tensor) -> Tensor:
        """Only for images without equal numbers: `maximum` shares the gradient among them."""
        framed = _pad(x, self.padding, -math.inf)
        windows: Iterator[Tensor] = self._views(framed, self._pooled(Spec(x.shape, x.dtype)))
        return functools.reduce(maximum, windows)

    def flops(self, out: Any, x: Spec) -> int:
        return int(out[0].size) * math.prod(self.kernel)


@dataclass
class MaxPool2dGrad(Pooling):
    """out = each element of g at its position in an image, added where windows overlap.   dg = those there"""

    size: Pair = (1, 1)
    keeps: ClassVar[Any] = (1,)

    def infer(self, g: Spec, index: Spec) -> Spec:
        return Spec((*g.shape[:2], *self.size), g.dtype)

    def forward(self, g: Array, index: Array) -> Any:
        """The gradient of the images, (n, c, *size), for the gradient g of what was pooled out of them.

        Each element of g goes to the pixel that its window took, and is added to what other windows sent
        there; all other pixels get 0. g and index: (n, c, oh, ow).
        """
        framed = self._empty_frame(index, g.dtype, self.size)
        bits, part = _bits(_arranged(g, index)), np.empty_like(index, _bits(g).dtype)
        apart = all(s >= k for s, k in zip(self.stride, self.kernel, strict=True))
        for position, window in enumerate(self._views(framed, g)):
            # times 0 or 1 on the bits: exact, also for infinite numbers
            part[...] = index == position
            if apart:
                np.multiply(bits, part, out=_bits(window))
            else:
                np.multiply(bits, part, out=part)
                np.add(window, part.view(g.dtype), out=window)
        return unframe(framed, self.padding, self.size)

    def vjp(self, g: Tensor, out: Spec, dy: Spec, index: Tensor) -> tuple[Gradient, ...]:
        return MaxPool2dPick(*self._fields())(g, index), None

    def flops(self, out: Spec, g: Spec, index: Spec) -> int:
        return g.size


@dataclass
class MaxPool2dPick(Pooling):
    """out = the element of each window at the position given.   da = g at those positions"""

    keeps: ClassVar[Any] = (1,)

    def infer(self, x: Spec, index: Spec) -> Spec:
        return Spec(index.shape, x.dtype)

    def forward(self, x: Array, index: Array) -> Any:
        framed = frame(x, self.padding, 0.0)
        bits, part = np.zeros_like(index, _bits(x).dtype), np.empty_like(index, _bits(x).dtype)
        for position, window in enumerate(self._views(framed, index)):
            part[...] = index == position
            np.multiply(_bits(window), part, out=part)
            np.bitwise_or(bits, part, out=bits)
        return bits.view(x.dtype)

    def vjp(self, g: Tensor, out: Spec, x: Spec, index: Tensor) -> tuple[Gradient, ...]:
        return MaxPool2dGrad(*self._fields(), (x.shape[2], x.shape[3]))(g, index), None

    def flops(self, out: Spec, x: Spec, index: Spec) -> int:
        return 0

    def bytes(self, out: Spec, x: Spec, index: Spec) -> int:
        return index.nbytes + 2 * out.nbytes


@dataclass
class AvgPool2d(Pooling):
    """out = mean of each window, padding counted as zeros.   da = g / (kh * kw) over each window"""

    fuses: ClassVar[tuple[str, ...]] = ("Add", "Mul")

    def infer(self, x: Spec) -> Spec:
        return self._pooled(x)

    def forward(self, x: Array) -> Any:
        """The mean of each window, (n, c, oh, ow), in the dtype of x; padding takes part as zeros."""
        windows = self._views(frame(x, self.padding, 0.0), self._pooled(Spec(x.shape, x.dtype)))
        total = next(windows).copy(order="K")
        for window in windows:
            total += window
        total *= x.dtype.type(1 / math.prod(self.kernel))
        return total

    def vjp(self, g: Tensor, out: Spec, x: Spec) -> tuple[Gradient, ...]:
        return (AvgPool2dGrad(*self._fields(), (x.shape[2], x.shape[3]))(g),)

    def composite(self, x: Tensor) -> Tensor:
        framed = _pad(x, self.padding, 0.0)
        windows: Iterator[Tensor] = self._views(framed, self._pooled(Spec(x.shape, x.dtype)))
        total: Tensor = functools.reduce(operator.add, windows)
        return total * (1 / math.prod(self.kernel))

    def flops(self, out: Spec, x: Spec) -> int:
        return out.size * math.prod(self.kernel)


@dataclass
class AvgPool2dGrad(Pooling):
    """out = images of `size`: g / (kh * kw) added over each window.   dg = the mean of each window"""

    size: Pair = (1, 1)

    def infer(self, g: Spec) -> Spec:
        return Spec((*g.shape[:2], *self.size), g.dtype)

    def forward(self, g: Array) -> Any:
        share = g * g.dtype.type(1 / math.prod(self.kernel))
        framed = self._empty_frame(share, g.dtype, self.size)
        apart = all(s >= k for s, k in zip(self.stride, self.kernel, strict=True))
        for window in self._views(framed, g):
            if apart:
                window[...] = share
            else:
                np.add(window, share, out=window)
        return unframe(framed, self.padding, self.size)

    def vjp(self, g: Tensor, out: Spec, dy: Spec) -> tuple[Gradient, ...]:
        return (AvgPool2d(*self._fields())(g),)

    def flops(self, out: Spec, g: Spec) -> int:
        return g.size * math.prod(self.kernel)


def _bits(x: Array) -> Array:
    """The same memory, read as integers."""
    return x.view(f"i{x.itemsize}")


def _arranged(g: Array, like: Array) -> Array:
    """g in the memory order of `like`, so that kernels run along memory."""
    arranged = np.empty_like(like, g.dtype)
    if arranged.strides == g.strides:
        return g
    arranged[...] = g
    return arranged


def _pad(x: Tensor, padding: Pair, value: float) -> Tensor:
    return pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)), value) if any(padding) else x


_HALF, _OVERLAP, _UNEVEN = ((2, 2), (2, 2)), ((3, 3), (2, 2), (1, 1)), ((3, 2), (1, 3), (0, 1))
_SHAPES = [
    (_HALF, (2, 3, 4, 6)),
    (_OVERLAP, (2, 2, 5, 6)),
    (_UNEVEN, (1, 2, 5, 7)),
    (_HALF, (2, 1, 5, 3)),
    (_HALF, (0, 2, 4, 4)),
]
MaxPool2d.samples = [Sample(MaxPool2d(*fields), shape) for fields, shape in _SHAPES]
AvgPool2d.samples = [Sample(AvgPool2d(*fields), shape) for fields, shape in _SHAPES]
_INDEX = np.array([[[[0, 3], [4, 8]]]], np.int8)
MaxPool2dGrad.samples = [
    Sample(MaxPool2dGrad((3, 3), (2, 2), (0, 0), (5, 6)), (1, 1, 2, 2), _INDEX),
    Sample(MaxPool2dGrad(*_HALF, (0, 0), (5, 4)), (1, 1, 2, 2), _INDEX // 3),
]
MaxPool2dPick.samples = [Sample(MaxPool2dPick((3, 3), (2, 2)), (1, 1, 5, 6), _INDEX)]
AvgPool2dGrad.samples = [
    Sample(AvgPool2dGrad(*_HALF, (0, 0), (4, 5)), (2, 3, 2, 2)),
    Sample(AvgPool2dGrad(*_OVERLAP, (5, 6)), (1, 2, 3, 3)),
]


def max_pool2d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
) -> Tensor:
    """The largest of each window; x: (n, c, h, w), result (n, c, rows, columns).

    rows = (h + 2 * padding - kernel) // stride + 1; stride is the kernel size when None; padding never wins.
    Raises ShapeError, DTypeError.

    >>> from tinytorch.tensor import arange
    >>> max_pool2d(arange(16.0).reshape(1, 1, 4, 4), 2)
    Tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """
    return MaxPool2d(*_windows("max_pool2d", kernel_size, stride, padding))(x)


def avg_pool2d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
) -> Tensor:
    """The mean of each window, padding counted as zeros; shapes as in `max_pool2d`.

    >>> from tinytorch.tensor import arange
    >>> avg_pool2d(arange(16.0).reshape(1, 1, 4, 4), 2)
    Tensor([[[[ 2.5,  4.5],
              [10.5, 12.5]]]])
    """
    return AvgPool2d(*_windows("avg_pool2d", kernel_size, stride, padding))(x)


def _windows(op: str, kernel: Any, stride: Any, padding: Any) -> tuple[Pair, Pair, Pair]:
    size = pair(op, "kernel_size", kernel)
    return size, size if stride is None else pair(op, "stride", stride), pair(op, "padding", padding, 0)
