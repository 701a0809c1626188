"""Places: where in memory the elements of a value lie, and how loops walk over several of them at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinytorch.ops.base import Op
from tinytorch.ops.index import Slice
from tinytorch.ops.shape import Contiguous, Reshape
from tinytorch.ops.spec import Array, DType, Shape, Spec


@dataclass(frozen=True)
class Place:
    """Elements in a buffer: element (i, j, ...) lies at offset + i * strides[0] + j * strides[1] + ...

    Offset and strides count elements of `dtype`.
    """

    buffer: int
    dtype: DType
    shape: Shape
    strides: tuple[int, ...]
    offset: int = 0

    @staticmethod
    def dense(buffer: int, spec: Spec, order: Sequence[int] | None = None) -> Place:
        """All of a buffer; `order` names the axes from the slowest to the fastest, row-major if left out."""
        strides = [0] * spec.ndim
        step = 1
        for axis in reversed(range(spec.ndim) if order is None else order):
            strides[axis] = step
            step *= max(spec.shape[axis], 1)
        return Place(buffer, spec.dtype, spec.shape, tuple(strides))

    @property
    def spec(self) -> Spec:
        return Spec(self.shape, self.dtype)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def contiguous(self) -> bool:
        """Whether it is row-major without gaps."""
        step = 1
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and stride != step:
                return False
            step *= n
        return True

    def broadcast(self, shape: Shape) -> Place:
        """The same elements stretched to `shape`, with strides of 0."""
        lead = len(shape) - len(self.shape)
        strides = (0,) * lead + tuple(
            0 if own == 1 and n != 1 else stride
            for own, n, stride in zip(self.shape, shape[lead:], self.strides, strict=True)
        )
        return replace(self, shape=shape, strides=strides)

    def seen_through(self, op: Op) -> Place | None:
        """Where the result of a view op lies, or None if it must be copied to be laid out so."""
        if isinstance(op, Contiguous):
            return self if self.contiguous else None
        array = as_strided(  # no element is read: NumPy only works out strides
            np.empty((), self.dtype), self.shape, [s * self.dtype.itemsize for s in self.strides]
        )
        try:
            if isinstance(op, Reshape):
                seen = np.reshape(array, op.shape, copy=False)
            elif isinstance(op, Slice):  # with an ellipsis, an element by number is a view too
                seen = array[op.key if Ellipsis in op.key else (*op.key, ...)]
            else:
                seen = op.forward(array)
        except ValueError:
            return None
        size = self.dtype.itemsize
        moved = (_address(seen) - _address(array)) // size if seen.size else 0
        return replace(
            self,
            shape=seen.shape,
            strides=tuple(s // size for s in seen.strides),
            offset=self.offset + moved,
        )

    def array(self, memory: Array) -> Array:
        """The elements as a view of the buffer's memory, a row of elements of `dtype`."""
        return as_strided(memory[self.offset :], self.shape, [s * self.dtype.itemsize for s in self.strides])


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def merged(shape: Shape, strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """A loop nest over several places at once, with as few axes as can be: sizes, and strides of each.

    Axes go from the slowest to the fastest of the first place; those of size 1 are left out, and neighbours
    that all places walk through as through one become one.

    >>> merged((2, 3, 4), [(12, 4, 1), (0, 4, 1)])
    ([2, 12], [[12, 1], [0, 1]])
    """
    axes = [i for i, n in enumerate(shape) if n != 1]
    axes.sort(key=lambda i: [-abs(place[i]) or -1 << 62 for place in strides[:1]])
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis in axes:
        n = shape[axis]
        if sizes and all(s[-1] == place[axis] * n for s, place in zip(steps, strides, strict=True)):
            sizes[-1] *= n
            for s, place in zip(steps, strides, strict=True):
                s[-1] = place[axis]
        else:
            sizes.append(n)
            for s, place in zip(steps, strides, strict=True):
                s.append(place[axis])
    return sizes, steps
