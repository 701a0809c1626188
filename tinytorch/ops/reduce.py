"""Reductions over any axes: sum, mean, max, min, var, argmax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.base import Gradient, Op, Sample
from tinytorch.ops.shape import expand, reshape
from tinytorch.ops.spec import Array, Shape, Spec, int64, normalize_axis

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

Axes: TypeAlias = int | Sequence[int] | None


def _axes(op: str, axis: Axes, ndim: int) -> tuple[int, ...]:
    """All axes named, as sorted non-negative numbers; raises ShapeError for one named twice."""
    if axis is None:
        return tuple(range(ndim))
    named = (axis,) if isinstance(axis, int) else tuple(axis)
    found = tuple(sorted(normalize_axis(op, a, ndim) for a in named))
    if len(set(found)) != len(found):
        raise ShapeError(f"{op}: axes {named} name an axis twice")
    return found if ndim else ()


@dataclass
class Reduction(Op):
    """Base of the reductions: which axes, and whether they stay as size 1."""

    axis: tuple[int, ...]
    keepdims: bool = False
    allows_empty: ClassVar[bool] = True

    def infer(self, a: Spec) -> Spec:
        if not self.allows_empty and any(a.shape[i] == 0 for i in self.axis):
            raise ShapeError(
                f"{self.name}: {a.shape} has no elements along axis {self.axis}, so none is largest"
            )
        return Spec(self.reduced_shape(a.shape, self.keepdims), self._dtype(a))

    def _dtype(self, a: Spec) -> Any:
        return a.dtype

    def reduced_shape(self, shape: Shape, keepdims: bool) -> Shape:
        """What is left of `shape` once the axes in `self.axis` (not negative) are reduced.

        They are gone, or, with `keepdims`, stay with size 1.

        >>> Sum((0, 2)).reduced_shape((2, 3, 4), keepdims=True)
        (1, 3, 1)
        """
        if keepdims:
            return tuple(1 if i in self.axis else size for i, size in enumerate(shape))
        return tuple(size for i, size in enumerate(shape) if i not in self.axis)

    def spread(self, g: Tensor, a: Spec | Tensor) -> Tensor:
        """A reduced tensor stretched back over the shape of `a`."""
        return expand(reshape(g, self.reduced_shape(a.shape, True)), a.shape)

    def flops(self, out: Spec, a: Spec) -> int:
        return a.size


@dataclass
class Sum(Reduction):
    """out = sum of a over the axes.   da = g, spread"""

    keeps: ClassVar[Any] = ()

    def _dtype(self, a: Spec) -> Any:
        return a.dtype if a.dtype.kind == "f" else int64

    def forward(self, a: Array) -> Any:
        return a.sum(self.axis, self._dtype(Spec(a.shape, a.dtype)), keepdims=self.keepdims)

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        return (self.spread(g, a),)


@dataclass
class Mean(Sum):
    """out = mean of a over the axes, NaN over none.   da = g / n, spread"""

    def _dtype(self, a: Spec) -> Any:
        if a.dtype.kind != "f":
            raise DTypeError(f"mean: takes floating dtypes, not {a.dtype}. Cast with .to('float32').")
        return a.dtype

    def forward(self, a: Array) -> Any:
        """The mean over the axes `self.axis`, which stay with size 1 if `self.keepdims`, in the dtype of a.

        NaN where the axes hold no elements; the mean over no axes at all is a itself.
        """
        total = a.sum(self.axis, keepdims=self.keepdims)
        count = math.prod(a.shape[i] for i in self.axis)
        return total * a.dtype.type(1 / count if count else np.nan)

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        """The gradient of a, alone in a tuple and of its shape, from g, that of the mean over `self.axis`.

        `self.axis` is a tuple of non-negative axes, perhaps none. `self.spread(g, a)` stretches a reduced
        tensor over a's shape, whether the axes were kept (`self.keepdims`) or not. Where the mean was
        over no elements at all the gradient has none either, and nothing is divided by 0.
        (In this file `sum`, `max` and `min` are those of tensors.)
        """
        count = math.prod(a.shape[i] for i in self.axis)
        return (self.spread(g * (1 / (count or 1)), a),)


@dataclass
class Max(Reduction):
    """out = largest over the axes, NaN if one is.   da = g at the largest; equal ones share it"""

    keeps_output: ClassVar[bool] = True
    allows_empty: ClassVar[bool] = False

    def forward(self, a: Array) -> Any:
        return a.max(self.axis, keepdims=self.keepdims)

    def vjp(self, g: Tensor, out: Tensor, a: Tensor) -> tuple[Gradient, ...]:
        hit = (a == self.spread(out.detach(), a)).to(a.dtype)
        share = hit / Sum(self.axis, True)(hit)
        return (self.spread(g, a) * share,)


@dataclass
class Min(Max):
    """out = smallest over the axes, NaN if one is.   da = g at the smallest; equal ones share it"""

    def forward(self, a: Array) -> Any:
        return a.min(self.axis, keepdims=self.keepdims)


@dataclass
class ArgMax(Reduction):
    """out = index of the first largest along one axis; no gradient flows"""

    keeps: ClassVar[Any] = ()
    allows_empty: ClassVar[bool] = False

    def _dtype(self, a: Spec) -> Any:
        return int64

    def forward(self, a: Array) -> Any:
        return np.argmax(a, self.axis[0], keepdims=self.keepdims)


for _op in (Sum, Mean, Max, Min):
    _op.samples = [
        Sample(_op((0, 1)), (3, 4)),
        Sample(_op((1,), True), (3, 4)),
        Sample(_op((0, 2)), (2, 3, 4)),
        Sample(_op(()), ()),
        Sample(_op((0,)), (3, 0)),
    ]
ArgMax.samples = [Sample(ArgMax((1,)), (3, 4)), Sample(ArgMax((0,), True), (3, 4))]


def sum(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis` (all axes when None); integers and bools are summed in int64.

    >>> sum(tt.Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    Tensor([4., 6.])
    """
    return Sum(_axes("sum", axis, x.ndim), keepdims)(x)


def mean(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The mean over `axis` (all axes when None).

    >>> mean(tt.Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1, keepdims=True)
    Tensor([[1.5],
            [3.5]])
    """
    return Mean(_axes("mean", axis, x.ndim), keepdims)(x)


def max(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest over `axis` (all axes when None); raises ShapeError over no elements.

    >>> max(tt.Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    Tensor([2., 4.])
    """
    return Max(_axes("max", axis, x.ndim), keepdims)(x)


def min(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest over `axis` (all axes when None); raises ShapeError over no elements.

    >>> min(tt.Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor(1.)
    """
    return Min(_axes("min", axis, x.ndim), keepdims)(x)


def var(x: Tensor, axis: Axes = None, keepdims: bool = False, correction: int = 1) -> Tensor:
    """The variance over `axis`: squared distances from the mean, summed and divided by n - `correction`.

    n is the number of elements along the axes (all axes when None); a correction of 1 makes it unbiased, as
    in PyTorch. NaN unless n - correction is positive. `_axes("var", axis, x.ndim)` gives the axes as sorted
    numbers. A large mean must cost no digits, so take it away before squaring.

    >>> var(tt.Tensor([1.0, 2.0, 3.0]))
    Tensor(1.)
    """
    axes = _axes("var", axis, x.ndim)
    centred = x - mean(x, axes, keepdims=True)
    count = math.prod(x.shape[i] for i in axes) - correction
    return sum(centred * centred, axes, keepdims) * (1 / count if count > 0 else np.nan)


def argmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index (int64) of the first largest along `axis`, or in the flattened tensor when None.

    >>> argmax(tt.Tensor([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    Tensor([1, 0])
    """
    if axis is None or x.ndim == 0:
        normalize_axis("argmax", axis or 0, x.ndim)
        found = ArgMax((0,))(reshape(x, (-1,)))
        return reshape(found, (1,) * x.ndim) if keepdims else found
    return ArgMax((normalize_axis("argmax", axis, x.ndim),), keepdims)(x)
