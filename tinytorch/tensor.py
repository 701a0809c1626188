"""Tensor: an array, its gradient and the op that made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch.errors import DTypeError, GradientError, ShapeError
from tinytorch.ops import arithmetic, base, compare, elementwise, index, reduce
from tinytorch.ops import shape as layout
from tinytorch.ops.arithmetic import Cast, add_op, copy_op, mul_op, sub_op
from tinytorch.ops.base import Node, registry
from tinytorch.ops.context import grad_mode, leave, state
from tinytorch.ops.matmul import matmul
from tinytorch.ops.meta import blank
from tinytorch.ops.spec import Array, DType, Spec, as_dtype, bool_, float32, int64


class Tensor:
    """An n-dimensional array that ops compute with and gradients flow through.

    `data`: an array (its dtype stays), or Python numbers in lists (float32, int64 or bool); it is copied.
    Raises DTypeError for what is not numbers, ShapeError for ragged lists.

    >>> x = Tensor([[1.0, 2.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([[2., 4.]])
    """

    __slots__ = ("__weakref__", "_array", "_base", "_epoch", "_node", "grad", "requires_grad")
    __array_ufunc__ = None

    _array: Array
    _base: Tensor | None
    _node: Node | None
    _epoch: int
    grad: Tensor | None
    requires_grad: bool

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = False) -> None:
        array = to_array(data, None if dtype is None else as_dtype(dtype))
        self._array = blank(Spec(array.shape, array.dtype)) if state().meta else array
        self._base = self._node = self.grad = None
        self._epoch = 0
        self.requires_grad = False
        if requires_grad:
            self.requires_grad_()

    # ------------------------------------------------------------ what it is

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self._array.shape

    @property
    def dtype(self) -> DType:
        """Type of the elements."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._array.size

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self._array.nbytes

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made it: a parameter, an input, a constant."""
        return self._node is None

    def __repr__(self) -> str:
        text = np.array2string(
            leave(self, "repr"), prefix="Tensor(", separator=", ", threshold=100, precision=4
        )
        dtype = "" if self.dtype in (float32, int64, bool_) else f", dtype={self.dtype}"
        made = ""
        if self._node is not None:
            made = f", made by {self._node.op.name}"
        elif self.requires_grad:
            made = ", requires_grad=True"
        return f"Tensor({text}{dtype}{made})"

    # ------------------------------------------------------------ exits to Python

    @property
    def data(self) -> Array:
        """The values as a read-only NumPy view."""
        view = leave(self, "data").view()
        view.flags.writeable = False
        return view

    def numpy(self) -> Array:
        """The values as a NumPy array of their own."""
        return leave(self, "numpy").copy()

    def item(self) -> Any:
        """The one element as a Python number; raises ShapeError if there are more."""
        if self.size != 1:
            raise ShapeError(f"item: {self.shape} has {self.size} elements, not one")
        return leave(self, "item").item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return leave(self, "tolist").tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = leave(self, "__array__")
        if copy or dtype is not None:
            return np.array(array, dtype)
        view = array.view()
        view.flags.writeable = False
        return view

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(
                f"bool: the truth of {self.size} elements is unclear. Use .data.any() or .data.all()."
            )
        return bool(leave(self, "bool").item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind != "i":
            raise DTypeError(f"index: only integer tensors are indices, not {self.dtype}")
        return int(self.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise ShapeError("len: a tensor without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    __hash__ = object.__hash__

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise GradientError("deepcopy: only leaf tensors are copied. Use detach() first.")
        twin = Tensor(self._array.copy(), requires_grad=self.requires_grad)
        memo[id(self)] = twin
        return twin

    # ------------------------------------------------------------ gradients and change

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient in `.grad` after backward; raises DTypeError for integers."""
        if requires_grad and self.dtype.kind != "f":
            raise DTypeError(f"requires_grad: gradients need a floating dtype, not {self.dtype}")
        if self._node is not None and not requires_grad:
            raise GradientError("requires_grad_: this tensor was made by an op. Use detach() instead.")
        self.requires_grad = requires_grad
        return self

    def detach(self) -> Tensor:
        """The same values, cut off from the graph; shares memory."""
        out = registry.make(self._array)
        out._base = base.owner(self)
        return out

    def backward(
        self, gradient: Tensor | None = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add d(self)/d(leaf) to `.grad` of each leaf; `gradient` is needed unless self has one element.

        The graph is freed unless `retain_graph`; `create_graph` makes the gradients differentiable in turn.
        Raises GradientError.
        """
        registry.backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph)

    def assign_(self, value: Any, at: Any = None) -> Tensor:
        """Overwrite the values, or those at a basic index, in place: `x.assign_(0.0, at=(slice(0, 2),))`.

        Raises GradientError for a view or a tensor that an op recorded, ShapeError, DTypeError.
        """
        if self._node is not None or self._base is not None:
            raise GradientError(
                "assign_: this tensor is a view or was made by an op. Assign to the original, with at=."
            )
        source = base.lift(value, self)
        if source.dtype != self.dtype:
            source = source.to(self.dtype)
        key = at if at is None or isinstance(at, tuple) else (at,)
        with grad_mode(False):
            index.Assign(key)(self, source.detach() if source.requires_grad else source)
        return self

    def clone(self) -> Tensor:
        """The same values in memory of their own; gradients flow through."""
        return copy_op(self)

    def to(self, dtype: Any) -> Tensor:
        """The values in another dtype; self if it has that one already."""
        found = as_dtype(dtype)
        return self if found == self.dtype else Cast(found)(self)

    # ------------------------------------------------------------ arithmetic

    def __add__(self, other: Any) -> Tensor:
        if type(other) is Tensor and other._array.dtype is self._array.dtype:
            return add_op(self, other)
        return arithmetic.add(self, other)

    def __sub__(self, other: Any) -> Tensor:
        if type(other) is Tensor and other._array.dtype is self._array.dtype:
            return sub_op(self, other)
        return arithmetic.sub(self, other)

    def __mul__(self, other: Any) -> Tensor:
        if type(other) is Tensor and other._array.dtype is self._array.dtype:
            return mul_op(self, other)
        return arithmetic.mul(self, other)

    def __truediv__(self, other: Any) -> Tensor:
        return arithmetic.div(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return arithmetic.add(other, self)

    def __rsub__(self, other: Any) -> Tensor:
        return arithmetic.sub(other, self)

    def __rmul__(self, other: Any) -> Tensor:
        return arithmetic.mul(other, self)

    def __rtruediv__(self, other: Any) -> Tensor:
        return arithmetic.div(other, self)

    def __rpow__(self, other: Any) -> Tensor:
        return arithmetic.pow(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return matmul(self, base.lift(other))

    def __rmatmul__(self, other: Any) -> Tensor:
        return matmul(base.lift(other), self)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return compare.equal(self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return compare.not_equal(self, other)

    __pow__ = arithmetic.pow
    __neg__ = arithmetic.neg
    __abs__ = arithmetic.abs
    __lt__, __le__ = compare.less, compare.less_equal
    __gt__, __ge__ = compare.greater, compare.greater_equal
    __and__, __or__, __invert__ = compare.logical_and, compare.logical_or, compare.logical_not
    __getitem__ = index.get

    # ------------------------------------------------------------ functions, as methods

    abs, exp, log, sqrt = arithmetic.abs, elementwise.exp, elementwise.log, elementwise.sqrt
    tanh, sigmoid, erf, relu = elementwise.tanh, elementwise.sigmoid, elementwise.erf, elementwise.relu
    sign, clip, pow = arithmetic.sign, arithmetic.clip, arithmetic.pow
    sum, mean, var = reduce.sum, reduce.mean, reduce.var
    max, min, argmax = reduce.max, reduce.min, reduce.argmax
    squeeze, unsqueeze, flatten = layout.squeeze, layout.unsqueeze, layout.flatten
    transpose, split, pad, contiguous = layout.transpose, layout.split, layout.pad, layout.contiguous
    gather, matmul = index.gather, matmul

    def reshape(self, *sizes: Any) -> Tensor:
        """The same values in another shape; one size may be -1."""
        return layout.reshape(self, _sizes(sizes))

    def permute(self, *axes: Any) -> Tensor:
        """The axes in another order."""
        return layout.permute(self, _sizes(axes))

    def expand(self, *sizes: Any) -> Tensor:
        """Stretched along new axes and axes of size 1, without copying."""
        return layout.expand(self, _sizes(sizes))

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix; raises ShapeError unless there are two axes."""
        if self.ndim != 2:
            raise ShapeError(f"T: takes two axes, {self.shape} has {self.ndim}. Use .mT or permute().")
        return layout.transpose(self, 0, 1)

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        return layout.transpose(self, -2, -1)


def _sizes(sizes: tuple[Any, ...]) -> Sequence[int]:
    return sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int | np.integer) else sizes


def _make(array: Any) -> Tensor:
    """A Tensor around the result of a kernel, without checks."""
    out = object.__new__(Tensor)
    out._array = array if type(array) is np.ndarray else np.asanyarray(array)
    out._base = out._node = out.grad = None
    out._epoch = 0
    out.requires_grad = False
    return out


def to_array(data: Any, dtype: DType | None = None) -> Array:
    """The elements of a new tensor, in memory of their own, whatever becomes of `data`.

    `data`: a NumPy array or number, which keeps its dtype, or Python numbers, bare or in nested lists, which
    give bool, int64 or, where NumPy would make float64 of them, float32. `dtype` wins over either; without
    one, `as_dtype` refuses what TinyTorch has no dtype for. Raises ShapeError for ragged lists (NumPy's
    ValueError), DTypeError for a Tensor and for elements that are not numbers (of another kind than "biuf").

    >>> to_array([[1.0, 2.0]]).dtype, to_array(np.ones(2)).dtype
    (dtype('float32'), dtype('float64'))
    """
    if isinstance(data, Tensor):
        raise DTypeError("Tensor: takes arrays and numbers, not a Tensor. Use detach(), clone() or to().")
    python = not isinstance(data, np.ndarray | np.generic)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"Tensor: the lists are ragged: {error}") from None
    if dtype is None:
        dtype = float32 if python and array.dtype == np.float64 else as_dtype(array.dtype)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"Tensor: elements are numbers, not {array.dtype}")
    return array.astype(dtype)


registry.tensor = Tensor
registry.make = _make


# ---------------------------------------------------------------- tensors out of nothing


def _filled(sizes: Sequence[int], value: float, dtype: Any, requires_grad: bool) -> Tensor:
    found = as_dtype(dtype)
    if state().meta:
        out = _make(blank(Spec(tuple(sizes), found)))
    else:
        out = _make(np.full(sizes, value, found) if value else np.zeros(sizes, found))
    return out.requires_grad_(requires_grad)


def from_numpy(array: Array) -> Tensor:
    """A tensor that shares the array's memory instead of copying it; raises DTypeError.

    >>> from_numpy(np.ones(2))
    Tensor([1., 1.], dtype=float64)
    """
    as_dtype(array.dtype)
    return _make(np.asarray(array))


def zeros(*sizes: Any, dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros.

    >>> zeros(2, 3).shape
    (2, 3)
    """
    return _filled(_sizes(sizes), 0, dtype, requires_grad)


def ones(*sizes: Any, dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """A tensor of ones.

    >>> ones(2)
    Tensor([1., 1.])
    """
    return _filled(_sizes(sizes), 1, dtype, requires_grad)


def full(sizes: Sequence[int], value: float, dtype: Any = float32, requires_grad: bool = False) -> Tensor:
    """A tensor filled with one value.

    >>> full((2,), 7.0)
    Tensor([7., 7.])
    """
    return _filled(sizes, value, dtype, requires_grad)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> Tensor:
    """Numbers from `start` up to but not including `stop`: int64, or float32 if one of them is a float.

    >>> arange(2, 8, 3)
    Tensor([2, 5])
    """
    first, last = (0, start) if stop is None else (start, stop)
    whole = all(isinstance(n, int) for n in (first, last, step))
    return Tensor(np.arange(first, last, step, dtype=as_dtype(dtype or (int64 if whole else float32))))


def zeros_like(x: Tensor) -> Tensor:
    """Zeros of the shape and dtype of x.

    >>> zeros_like(ones(2))
    Tensor([0., 0.])
    """
    return zeros(x.shape, dtype=x.dtype)


def ones_like(x: Tensor) -> Tensor:
    """Ones of the shape and dtype of x.

    >>> ones_like(zeros(2))
    Tensor([1., 1.])
    """
    return ones(x.shape, dtype=x.dtype)
