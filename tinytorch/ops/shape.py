"""Shapes changed without touching values: reshape, permute, expand; and tensors put together: concat, pad."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.base import Gradient, Op, Sample
from tinytorch.ops.spec import Array, Shape, Spec, broadcast, normalize_axis

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor


class Layout(Op):
    """Base of the ops that only look at the same values in another way."""

    keeps: ClassVar[Any] = ()
    is_view: ClassVar[bool] = True

    def flops(self, out: Spec, *inputs: Spec) -> int:
        return 0


@dataclass
class Reshape(Layout):
    """out = a in another shape, in row-major order.   da = g in that of a"""

    shape: Shape
    numpy_checks: ClassVar[bool] = True

    def infer(self, a: Spec) -> Spec:
        if math.prod(self.shape) != a.size:
            raise ShapeError(
                f"reshape: {a.shape} has {a.size} elements, {self.shape} {math.prod(self.shape)}"
            )
        return Spec(self.shape, a.dtype)

    def forward(self, a: Array) -> Any:
        return a.reshape(self.shape)

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        return (Reshape(a.shape)(g),)


@dataclass
class Permute(Layout):
    """out = a with its axes in another order.   da = g with them put back"""

    order: tuple[int, ...]
    numpy_checks: ClassVar[bool] = True

    def infer(self, a: Spec) -> Spec:
        if sorted(self.order) != list(range(a.ndim)):
            raise ShapeError(f"permute: {self.order} does not name each of the {a.ndim} axes once")
        return Spec(tuple(a.shape[i] for i in self.order), a.dtype)

    def forward(self, a: Array) -> Any:
        return a.transpose(self.order)

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        inverse = tuple(sorted(range(len(self.order)), key=self.order.__getitem__))
        return (Permute(inverse)(g),)


@dataclass
class Expand(Layout):
    """out = a repeated along new axes and axes of size 1.   da = g summed over them (autograd does it)"""

    shape: Shape
    numpy_checks: ClassVar[bool] = True

    def infer(self, a: Spec) -> Spec:
        if min(self.shape, default=0) < 0 or broadcast("expand", a.shape, self.shape) != self.shape:
            raise ShapeError(f"expand: {a.shape} does not stretch to {self.shape}; only axes of size 1 do")
        return Spec(self.shape, a.dtype)

    def forward(self, a: Array) -> Any:
        """a stretched to `self.shape` as a view, which takes no memory: strides along stretched axes are 0.

        Raises ValueError for a shape that does not fit (NumPy's will do: `infer` then explains it).
        """
        return np.broadcast_to(a, self.shape)

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        return (g,)


@dataclass
class Concat(Op):
    """out = the inputs one after the other along an axis.   Each gets its part of g"""

    axis: int
    keeps: ClassVar[Any] = ()

    def infer(self, *inputs: Spec) -> Spec:
        first = inputs[0]
        axis = self.axis
        if first.ndim == 0:
            raise ShapeError("concat: tensors without axes have none to join along. Use stack().")
        for spec in inputs[1:]:
            if spec.dtype != first.dtype:
                raise DTypeError(f"concat: dtypes {first.dtype} and {spec.dtype} differ. Cast with .to().")
            if spec.ndim != first.ndim or (
                spec.shape[:axis] + spec.shape[axis + 1 :] != first.shape[:axis] + first.shape[axis + 1 :]
            ):
                raise ShapeError(f"concat: shapes {first.shape} and {spec.shape} differ besides axis {axis}")
        total = sum(spec.shape[axis] for spec in inputs)
        return Spec((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype)

    def forward(self, *arrays: Array) -> Any:
        return np.concatenate(arrays, self.axis)

    def vjp(self, g: Tensor, out: Spec, *inputs: Spec) -> tuple[Gradient, ...]:
        ends = np.cumsum([spec.shape[self.axis] for spec in inputs]).tolist()
        lead = (slice(None),) * self.axis
        return tuple(g[(*lead, slice(e - s.shape[self.axis], e))] for e, s in zip(ends, inputs, strict=True))

    def flops(self, out: Spec, *inputs: Spec) -> int:
        return 0


@dataclass
class Pad(Op):
    """out = a framed by a constant, (before, after) for each axis.   da = the inside of g"""

    widths: tuple[tuple[int, int], ...]
    value: float = 0.0
    keeps: ClassVar[Any] = ()

    def infer(self, a: Spec) -> Spec:
        if len(self.widths) != a.ndim or any(w < 0 for pair in self.widths for w in pair):
            raise ShapeError(
                f"pad: {self.widths} is not a non-negative (before, after) for each of {a.ndim} axes"
            )
        return Spec(tuple(n + b + c for n, (b, c) in zip(a.shape, self.widths, strict=True)), a.dtype)

    def forward(self, a: Array) -> Any:
        return np.pad(a, self.widths or 0, constant_values=a.dtype.type(self.value))

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        return (g[tuple(slice(b, b + n) for n, (b, _) in zip(a.shape, self.widths, strict=True))],)

    def flops(self, out: Spec, a: Spec) -> int:
        return 0


class Contiguous(Layout):
    """out = a, laid out in row-major order.   da = g"""

    samples: ClassVar[Any] = [((3, 4),)]

    def infer(self, a: Spec) -> Spec:
        return Spec(a.shape, a.dtype)

    def forward(self, a: Array) -> Any:
        return np.ascontiguousarray(a).reshape(a.shape)

    def bytes(self, out: Spec, a: Spec) -> int:
        return a.nbytes + out.nbytes

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        return (g,)


Reshape.samples = [
    Sample(Reshape((4, 3)), (3, 4)),
    Sample(Reshape((1,)), ()),
    Sample(Reshape((0, 2)), (2, 0)),
]
Permute.samples = [Sample(Permute((2, 0, 1)), (2, 3, 4)), Sample(Permute(()), ())]
Expand.samples = [Sample(Expand((2, 3, 4)), (3, 1)), Sample(Expand((2,)), ()), Sample(Expand((0, 4)), (1, 4))]
Concat.samples = [Sample(Concat(1), (3, 4), (3, 2)), Sample(Concat(0), (2, 3), (0, 3), (1, 3))]
Pad.samples = [Sample(Pad(((1, 0), (0, 2)), 0.5), (3, 4)), Sample(Pad(((1, 1),)), (0,))]


# ---------------------------------------------------------------- the functions people call


def reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """x in another shape with as many elements, in row-major order; x itself if that is its shape already.

    `shape`: any sequence of sizes, of which one may be -1 and is worked out from the others. The op
    `Reshape(shape)`, called with x, does the work and refuses sizes that do not fit. Raises ShapeError, which
    names both shapes, for more than one -1, and for a -1 that the others leave no whole size (or, as one of
    them is 0, any size).

    >>> reshape(tt.arange(6), (2, -1))
    Tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    shape = tuple(shape)
    if -1 in shape:
        known = -math.prod(shape)
        if shape.count(-1) > 1 or known <= 0 or x.size % known:
            raise ShapeError(f"reshape: {x.shape} has {x.size} elements, which {shape} cannot hold")
        shape = tuple(x.size // known if size == -1 else size for size in shape)
    return x if shape == x.shape else Reshape(shape)(x)


def permute(x: Tensor, order: Sequence[int]) -> Tensor:
    """x with its axes in the order given.

    >>> permute(tt.zeros(2, 3, 4), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return Permute(tuple(normalize_axis("permute", i, x.ndim) for i in order))(x)


def transpose(x: Tensor, axis0: int, axis1: int) -> Tensor:
    """x with two axes swapped, as a view; `axis0` and `axis1` may count from the end and may be the same.

    The op `Permute(order)` does the work: axis i of its result is axis order[i] of x, for each of the axes.
    A tensor without axes takes 0 and -1 and stays as it is. Raises ShapeError through `normalize_axis`.

    >>> transpose(tt.zeros(2, 3, 4), 0, 2).shape
    (4, 3, 2)
    """
    order = list(range(x.ndim)) or [0]
    i, j = normalize_axis("transpose", axis0, x.ndim), normalize_axis("transpose", axis1, x.ndim)
    order[i], order[j] = order[j], order[i]
    return Permute(tuple(order[: x.ndim]))(x)


def expand(x: Tensor, shape: Sequence[int]) -> Tensor:
    """x stretched to `shape` without copying; -1 keeps a size.

    >>> expand(tt.Tensor([[1.0], [2.0]]), (2, 3))
    Tensor([[1., 1., 1.],
            [2., 2., 2.]])
    """
    offset = len(shape) - x.ndim
    if offset < 0:
        raise ShapeError(f"expand: {tuple(shape)} has fewer axes than {x.shape}")
    full = tuple(x.shape[i - offset] if n == -1 and i >= offset else n for i, n in enumerate(shape))
    return x if full == x.shape else Expand(full)(x)


def squeeze(x: Tensor, axis: int | Sequence[int] | None = None) -> Tensor:
    """x without its axes of size 1, or without those named; raises ShapeError if one is larger.

    >>> squeeze(tt.zeros(1, 3, 1)).shape
    (3,)
    """
    if axis is None:
        return Reshape(tuple(n for n in x.shape if n != 1))(x)
    named = {normalize_axis("squeeze", i, x.ndim) for i in ((axis,) if isinstance(axis, int) else axis)}
    for i in named:
        if x.ndim and x.shape[i] != 1:
            raise ShapeError(f"squeeze: axis {i} of {x.shape} has size {x.shape[i]}, not 1")
    return Reshape(tuple(n for i, n in enumerate(x.shape) if i not in named))(x)


def unsqueeze(x: Tensor, axis: int) -> Tensor:
    """x with a new axis of size 1 at `axis`.

    >>> unsqueeze(tt.zeros(2, 3), 1).shape
    (2, 1, 3)
    """
    at = normalize_axis("unsqueeze", axis, x.ndim + 1)
    return Reshape((*x.shape[:at], 1, *x.shape[at:]))(x)


def flatten(x: Tensor, start: int = 0, end: int = -1) -> Tensor:
    """x with the axes from `start` to `end` made into one.

    >>> flatten(tt.zeros(2, 3, 4), start=1).shape
    (2, 12)
    """
    if x.ndim == 0:
        return Reshape((1,))(x)
    i, j = normalize_axis("flatten", start, x.ndim), normalize_axis("flatten", end, x.ndim)
    if i > j:
        raise ShapeError(f"flatten: start axis {start} lies after end axis {end}")
    return Reshape((*x.shape[:i], math.prod(x.shape[i : j + 1]), *x.shape[j + 1 :]))(x)


def concat(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors one after the other along an axis they have; raises ShapeError for none at all.

    >>> concat([tt.Tensor([1.0]), tt.Tensor([2.0, 3.0])])
    Tensor([1., 2., 3.])
    """
    if not tensors:
        raise ShapeError("concat: needs at least one tensor")
    return Concat(normalize_axis("concat", axis, tensors[0].ndim))(*tensors)


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors side by side along a new axis.

    >>> stack([tt.Tensor([1.0, 2.0]), tt.Tensor([3.0, 4.0])])
    Tensor([[1., 2.],
            [3., 4.]])
    """
    if len({t.shape for t in tensors}) > 1:
        raise ShapeError(f"stack: shapes differ: {', '.join(str(t.shape) for t in tensors)}")
    return concat([unsqueeze(t, axis) for t in tensors], axis)


def split(x: Tensor, size: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """x cut along an axis into pieces of `size` (the last may be smaller), or of the sizes given.

    >>> split(tt.arange(5), 2)
    (Tensor([0, 1]), Tensor([2, 3]), Tensor([4]))
    """
    axis = normalize_axis("split", axis, x.ndim)
    total = x.shape[axis]
    if isinstance(size, int):
        if size < 1:
            raise ShapeError(f"split: pieces of size {size}; expected 1 or more")
        size = [min(size, total - start) for start in range(0, total, size)] or [0]
    if sum(size) != total or min(size, default=0) < 0:
        raise ShapeError(
            f"split: sizes {list(size)} sum to {sum(size)}, axis {axis} of {x.shape} has {total}"
        )
    lead, pieces, start = (slice(None),) * axis, [], 0
    for n in size:
        pieces.append(x[(*lead, slice(start, start + n))])
        start += n
    return tuple(pieces)


def pad(x: Tensor, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """x framed by `value`: (before, after) for each axis, the first axis first.

    >>> pad(tt.Tensor([1.0, 2.0]), [(1, 2)])
    Tensor([0., 1., 2., 0., 0.])
    """
    return Pad(tuple((int(b), int(a)) for b, a in widths), value)(x)


def contiguous(x: Tensor) -> Tensor:
    """x laid out in row-major order; x itself if it is.

    >>> contiguous(tt.zeros(2, 3).T).shape
    (3, 2)
    """
    return x if x._array.flags.c_contiguous else Contiguous()(x)
