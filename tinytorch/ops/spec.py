"""Shapes and dtypes, and the rules by which they combine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tinytorch.errors import DTypeError, ShapeError

Array: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = "np.dtype[Any]"
Shape: TypeAlias = tuple[int, ...]


class Spec:
    """The shape and dtype of a tensor, without its data.

    >>> Spec((2, 3), np.dtype("float32")).nbytes
    24
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: Sequence[int], dtype: DType) -> None:
        self.shape: Shape = tuple(shape)
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements: the product of the sizes of all axes, 1 where there are none.

        >>> Spec((2, 3), float32).size, Spec((5, 0), float32).size, Spec((), float32).size
        (6, 0, 1)
        """
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Memory in bytes: that of one element (`dtype.itemsize`) for each of them.

        >>> Spec((2, 3), float32).nbytes, Spec((2, 3), int8).nbytes
        (24, 6)
        """
        return self.size * self.dtype.itemsize

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __repr__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


float16: DType = np.dtype(np.float16)
float32: DType = np.dtype(np.float32)
float64: DType = np.dtype(np.float64)
int8: DType = np.dtype(np.int8)
int32: DType = np.dtype(np.int32)
int64: DType = np.dtype(np.int64)
bool_: DType = np.dtype(np.bool_)
DTYPES: tuple[DType, ...] = (bool_, int8, int32, int64, float16, float32, float64)


RANK = {"b": 0, "i": 1, "f": 2}


def as_dtype(dtype: Any) -> DType:
    """One of TinyTorch's dtypes from its name or NumPy's; raises DTypeError.

    >>> as_dtype("float64")
    dtype('float64')
    """
    try:
        found: DType = np.dtype(dtype)
    except TypeError:
        raise DTypeError(f"{dtype!r} is not a dtype; there are: {', '.join(map(str, DTYPES))}") from None
    if found not in DTYPES:
        raise DTypeError(f"dtype {found} is not supported; there are: {', '.join(map(str, DTYPES))}")
    return DTYPES[DTYPES.index(found)]  # the one instance NumPy itself uses, so that `is` compares dtypes


def result_type(*dtypes: DType) -> DType:
    """The dtype that an operation on one or more dtypes gives: the widest of the highest kind.

    `RANK` orders the kinds (`dtype.kind`): bool < int < float. The width is `dtype.itemsize`; a lower kind
    has no say in it, however wide it is.

    >>> result_type(int64, float32), result_type(int8, int32, bool_)
    (dtype('float32'), dtype('int32'))
    """
    top = max(RANK[d.kind] for d in dtypes)
    return max((d for d in dtypes if RANK[d.kind] == top), key=lambda d: d.itemsize)


def broadcast(op: str, *shapes: Shape) -> Shape:
    """The common shape that arrays of these shapes are stretched to, by NumPy's rules.

    Shapes are lined up at their last axis, and an axis that a shape lacks counts as size 1. Along each axis
    the sizes must be equal or 1, and the result has the one that is not 1 (0 beside 1 gives 0). Any number
    of shapes; none at all gives (). Raises ShapeError, which names `op`, all the shapes, and the axis that
    does not fit, counted from the end: "axis -2".

    >>> broadcast("add", (3, 1), (4,))
    (3, 4)
    """
    ndim = max(map(len, shapes), default=0)
    out = []
    for axis in range(-ndim, 0):
        sizes = {s[axis] for s in shapes if len(s) >= -axis} - {1}
        if len(sizes) > 1:
            text = " and ".join(map(str, shapes))
            raise ShapeError(
                f"{op}: shapes {text} do not broadcast: axis {axis} has sizes {sorted(sizes)}. "
                "Sizes must be equal or 1; unsqueeze() adds an axis of size 1."
            )
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)


def normalize_axis(op: str, axis: int, ndim: int) -> int:
    """The axis counted from the front: of `ndim` axes, -1 is the last and -ndim the first.

    A tensor without axes takes 0 and -1, as if it had one, and both give 0. Raises ShapeError where there is
    no such axis; it names `op`, the axis and `ndim`.

    >>> normalize_axis("sum", -1, 3), normalize_axis("sum", 1, 3)
    (2, 1)
    """
    if not -max(ndim, 1) <= axis < max(ndim, 1):
        raise ShapeError(f"{op}: axis {axis} is out of range for {ndim} dimensions")
    return axis % ndim if ndim else 0


def require_float(op: str, *specs: Spec) -> None:
    """Raise DTypeError unless all specs, one or more, have the same dtype and that is a floating one.

    The error names `op` and the dtype that is not floating (`dtype.kind` is "f" where it is), or the two
    that differ. Returns nothing.

    >>> require_float("linear", Spec((2,), float32), Spec((3,), float32))
    """
    first = specs[0].dtype
    for spec in specs:
        dtype = spec.dtype
        if dtype.kind != "f":
            raise DTypeError(f"{op}: takes floating dtypes, not {dtype}. Cast with .to('float32').")
        if dtype != first:
            raise DTypeError(f"{op}: dtypes {first} and {dtype} differ. Cast one with .to().")
