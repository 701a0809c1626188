"""Reading parts of a tensor (slices, integer arrays, gather), their gradients, and writing in place."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.base import Gradient, Op, Sample, lift, registry
from tinytorch.ops.context import leave
from tinytorch.ops.spec import Array, Shape, Spec, bool_, broadcast, normalize_axis

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

Key: TypeAlias = tuple[int | slice | EllipsisType | None, ...]


def sum_rows(ids: Array, rows: Array, count: int) -> Array:
    """Sums of the rows that share an id; ids: (n,) in 0 .. count - 1, rows: (n, ...), result (count, ...).

    Row i of the result is the sum of rows[j] over all j with ids[j] == i, zeros where there is none; it has
    the dtype of rows.
    """
    out = np.zeros((count, *rows.shape[1:]), rows.dtype)
    if ids.size:
        order = np.argsort(ids, kind="stable")
        ordered = ids[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        out[ordered[starts]] = np.add.reduceat(rows[order], starts, axis=0)
    return out


def _require_integers(op: str, ids: Spec | Tensor) -> None:
    if ids.dtype.kind != "i":
        raise DTypeError(f"{op}: indices are integers, not {ids.dtype}. Cast with .to('int64').")


def _out_of_range(op: str, ids: Array, size: int, axis: int) -> ShapeError:
    low, high = (int(ids.min()), int(ids.max())) if ids.size else (0, 0)
    return ShapeError(f"{op}: indices from {low} to {high} do not fit axis {axis} of size {size}")


@dataclass
class Slice(Op):
    """out = a[key] for ints, slices, None and Ellipsis.   da = g at key, 0 elsewhere"""

    key: Key
    keeps: ClassVar[Any] = ()
    is_view: ClassVar[bool] = True
    numpy_checks: ClassVar[bool] = True

    def infer(self, a: Spec) -> Spec:
        try:
            return Spec(np.broadcast_to(np.empty((), bool), a.shape)[self.key].shape, a.dtype)
        except IndexError as error:
            raise ShapeError(f"index: {a.shape}[{_show(self.key)}]: {error}") from None

    def forward(self, a: Array) -> Any:
        return a[self.key]

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        return (SliceGrad(self.key, a.shape)(g),)

    def flops(self, out: Spec, a: Spec) -> int:
        return 0


@dataclass
class SliceGrad(Op):
    """out = zeros of `shape` with g at key.   dg = the gradient at key"""

    key: Key
    shape: Shape
    keeps: ClassVar[Any] = ()

    def infer(self, g: Spec) -> Spec:
        return Spec(self.shape, g.dtype)

    def forward(self, g: Array) -> Any:
        out = np.zeros(self.shape, g.dtype)
        out[self.key] = g
        return out

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        return (Slice(self.key)(g),)

    def flops(self, out: Spec, g: Spec) -> int:
        return 0


class Take(Op):
    """out = a[ids], rows picked by integers: a row for each id.   da = rows of g summed by id"""

    keeps = (1,)
    samples: ClassVar[Any] = [
        Sample(None, (4, 3), np.array([[0, 2, 2], [3, -1, 0]])),
        Sample(None, (4,), np.array(2)),
        Sample(None, (4, 3), np.zeros((0,), np.int64)),
    ]

    def infer(self, a: Spec, ids: Spec) -> Spec:
        _require_integers("take", ids)
        if a.ndim == 0:
            raise ShapeError("take: a tensor without axes has no rows")
        return Spec(ids.shape + a.shape[1:], a.dtype)

    def forward(self, a: Array, ids: Array) -> Any:
        try:
            return a[ids]
        except IndexError:
            raise _out_of_range("take", ids, a.shape[0], 0) from None

    def vjp(self, g: Tensor, out: Spec, a: Spec, ids: Tensor) -> tuple[Gradient, ...]:
        return TakeGrad(a.shape[0])(g, ids), None

    def flops(self, out: Spec, a: Spec, ids: Spec) -> int:
        return 0

    def bytes(self, out: Spec, a: Spec, ids: Spec) -> int:
        return ids.nbytes + 2 * out.nbytes  # what is picked, not all there is to pick from


@dataclass
class TakeGrad(Op):
    """out = (rows, ...), the rows of g summed by id.   dg = rows of the gradient picked by id"""

    rows: int
    keeps: ClassVar[Any] = (1,)

    def infer(self, g: Spec, ids: Spec) -> Spec:
        return Spec((self.rows, *g.shape[ids.ndim :]), g.dtype)

    def forward(self, g: Array, ids: Array) -> Any:
        """The gradient of a table of `rows` rows for that of the rows picked out of it.

        ids: integers of any shape, g: (*ids.shape, ...), result (rows, ...) in the dtype of g. The row that
        several ids name gets the sum of theirs, one that none names gets 0. An id below 0 counts from the
        end.
        """
        row_shape = g.shape[ids.ndim :]
        return sum_rows(ids.reshape(-1) % max(self.rows, 1), g.reshape(ids.size, *row_shape), self.rows)

    def vjp(self, g: Tensor, out: Spec, a: Spec, ids: Tensor) -> tuple[Gradient, ...]:
        return _take(g, ids), None

    def flops(self, out: Spec, g: Spec, ids: Spec) -> int:
        return g.size


@dataclass
class Gather(Op):
    """out[..., i, ...] = a[..., ids[..., i, ...], ...] along an axis.   da = g summed where it came from"""

    axis: int
    keeps: ClassVar[Any] = (1,)

    def infer(self, a: Spec, ids: Spec) -> Spec:
        _require_integers("gather", ids)
        i = self.axis
        if (
            a.ndim == 0
            or a.ndim != ids.ndim
            or a.shape[:i] + a.shape[i + 1 :] != ids.shape[:i] + ids.shape[i + 1 :]
        ):
            raise ShapeError(f"gather: input {a.shape} and indices {ids.shape} differ besides axis {i}")
        return Spec(ids.shape, a.dtype)

    def forward(self, a: Array, ids: Array) -> Any:
        """For each element of `ids`, one of a: the axis `self.axis` says ids, the other axes agree.

        For a matrix and axis 1, out[i, j] = a[i, ids[i, j]]; for axis 0, out[i, j] = a[ids[i, j], j]. The
        result has the shape of ids; negative ids count from the end. Where one does not fit the axis, raises
        the ShapeError that `_out_of_range("gather", ids, a.shape[axis], axis)` makes.
        """
        try:
            return np.take_along_axis(a, ids, self.axis)
        except IndexError:
            raise _out_of_range("gather", ids, a.shape[self.axis], self.axis) from None

    def vjp(self, g: Tensor, out: Spec, a: Spec, ids: Tensor) -> tuple[Gradient, ...]:
        return GatherGrad(self.axis, a.shape[self.axis])(g, ids), None

    def flops(self, out: Spec, a: Spec, ids: Spec) -> int:
        return 0

    def bytes(self, out: Spec, a: Spec, ids: Spec) -> int:
        return ids.nbytes + 2 * out.nbytes  # what is picked, not all there is to pick from


@dataclass
class GatherGrad(Op):
    """out = g summed at ids along an axis of `size`.   dg = the gradient gathered at ids"""

    axis: int
    size: int
    keeps: ClassVar[Any] = (1,)

    def infer(self, g: Spec, ids: Spec) -> Spec:
        return Spec((*g.shape[: self.axis], self.size, *g.shape[self.axis + 1 :]), g.dtype)

    def forward(self, g: Array, ids: Array) -> Any:
        moved, columns = np.moveaxis(g, self.axis, -1), np.moveaxis(ids, self.axis, -1) % max(self.size, 1)
        lead = moved.shape[:-1]
        rows = np.arange(int(np.prod(lead)))[:, None] * self.size
        flat = (rows + columns.reshape(len(rows), columns.shape[-1])).reshape(-1)
        out = sum_rows(flat, moved.reshape(-1), int(np.prod(lead)) * self.size)
        return np.ascontiguousarray(np.moveaxis(out.reshape(*lead, self.size), -1, self.axis))

    def vjp(self, g: Tensor, out: Spec, a: Spec, ids: Tensor) -> tuple[Gradient, ...]:
        return Gather(self.axis)(g, ids), None

    def flops(self, out: Spec, g: Spec, ids: Spec) -> int:
        return g.size


@dataclass
class Assign(Op):
    """a[key] = value in place, key None for all of it; the one way to change a tensor"""

    key: Key | None = None
    mutates: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, a: Spec, value: Spec) -> Spec:
        target = a if self.key is None else Slice(self.key).infer(a)
        if broadcast("assign_", target.shape, value.shape) != target.shape:
            raise ShapeError(f"assign_: a value of shape {value.shape} does not fit {target.shape}")
        return Spec(a.shape, a.dtype)

    def forward(self, a: Array, value: Array) -> Any:
        a[... if self.key is None else self.key] = value
        return a

    def flops(self, out: Spec, a: Spec, value: Spec) -> int:
        return 0

    def bytes(self, out: Spec, a: Spec, value: Spec) -> int:
        target = out if self.key is None else Slice(self.key).infer(a)
        return value.nbytes + target.nbytes


_KEY = (slice(1, 3), None, 0)
Assign.samples = [
    Sample(Assign(), (3, 4), (4,), differentiable=False),
    Sample(Assign((slice(None, None, 2), 1)), (3, 4), (2,), differentiable=False),
]
Slice.samples = [Sample(Slice(_KEY), (4, 3)), Sample(Slice((..., slice(None, None, -2))), (2, 5))]
SliceGrad.samples = [Sample(SliceGrad(_KEY, (4, 3)), (2, 1))]
TakeGrad.samples = [Sample(TakeGrad(4), (2, 3), np.array([1, 1]))]
Gather.samples = [
    Sample(Gather(1), (3, 4), np.array([[0, 0], [1, 3], [2, -1]])),
    Sample(Gather(0), (3, 2), np.array([[0, 2]])),
]
GatherGrad.samples = [Sample(GatherGrad(1, 4), (2, 2), np.array([[0, 0], [1, 3]]))]

_take = Take()


# ---------------------------------------------------------------- the functions people call


def _show(key: Any) -> str:
    def one(k: Any) -> str:
        if isinstance(k, slice):
            parts = [k.start, k.stop] + ([k.step] if k.step is not None else [])
            return ":".join("" if p is None else str(p) for p in parts)
        return "..." if k is Ellipsis else str(k)

    return ", ".join(map(one, key))


def take(x: Tensor, ids: Tensor) -> Tensor:
    """Rows of x: (rows, ...) picked by ids of any shape; result ids.shape + (...).

    >>> take(tt.Tensor([[1.0, 2.0], [3.0, 4.0]]), tt.Tensor([1, 1, 0]))
    Tensor([[3., 4.],
            [3., 4.],
            [1., 2.]])
    """
    return _take(x, lift(ids))


def gather(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """One element of x for each element of `index`, along an axis; the other axes agree.

    >>> gather(tt.Tensor([[1.0, 2.0], [3.0, 4.0]]), 1, tt.Tensor([[1], [0]]))
    Tensor([[2.],
            [3.]])
    """
    return Gather(normalize_axis("gather", axis, x.ndim))(x, lift(index))


def get(x: Tensor, key: Any) -> Tensor:
    """x[key]: ints, slices, None, Ellipsis; integer arrays; a bool mask. Raises ShapeError outside of x.

    >>> tt.arange(10)[2:8:3]
    Tensor([2, 5])
    """
    parts = key if isinstance(key, tuple) else (key,)
    if all(part is None or isinstance(part, int | slice | EllipsisType) for part in parts):
        return Slice(parts)(x)
    return _get_by_arrays(x, tuple(_index_part(part) for part in parts))


def _index_part(part: Any) -> Any:
    if isinstance(part, registry.tensor | np.ndarray | list):
        ids = lift(np.asarray(part, np.int64) if isinstance(part, list) and not part else part)
        if ids.dtype == bool_:
            return leave(ids, "bool index")
        _require_integers("index", ids)
        return ids
    if part is None or isinstance(part, slice | EllipsisType):
        return part
    try:
        return operator.index(part)
    except TypeError:
        raise DTypeError(
            f"index: {part!r} is not an int, slice, None, Ellipsis, integer array or mask"
        ) from None


def _get_by_arrays(x: Tensor, parts: tuple[Any, ...]) -> Tensor:
    """Any other key picks rows of the flattened tensor, at the positions that NumPy finds for the key."""
    if len(parts) == 1 and isinstance(parts[0], registry.tensor):
        return _take(x, parts[0])
    arrays = tuple(leave(p, "index") if isinstance(p, registry.tensor) else p for p in parts)
    try:
        positions = np.arange(x.size).reshape(x.shape)[arrays]
    except IndexError as error:
        raise ShapeError(f"index: {x.shape}: {error}") from None
    return _take(x.reshape(-1), registry.make(np.asarray(positions)))
