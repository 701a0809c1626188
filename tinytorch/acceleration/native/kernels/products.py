"""How a tile multiplies and adds: floats one by one, int8 codes in twos and fours, four-bit codes in eights.

A tile knows nothing of it: it loads an element of each row and a vector of elements of the columns, and adds
their product to a vector of sums. An element of codes holds several along k, whose products it adds at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache

import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir

from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import load_run
from tinytorch.acceleration.native.values import I8, I16, I32, Pointer, Value, lanes_of
from tinytorch.ops.spec import DType, int32

int16: DType = np.dtype(np.int16)
"""No dtype of tensors: two codes of int8 as one element, or a code that was made wider."""


@cache
def has_avx2() -> bool:
    """Whether this CPU has the integer instructions of AVX2; others get the same sums in plain LLVM."""
    return bool(llvm.get_host_cpu_features().get("avx2", False))


class Products(ABC):
    """Products of a tile: what is loaded for a row and for columns, and how it goes into the sums."""

    codes: int = 1
    """How many along k an element holds."""
    together: int = 4
    """Products that are written one after the other in a round of a loop."""
    lanes: int
    sums: DType

    def zeros(self, e: Emitter) -> Value:
        """Sums before the first product."""
        return e.zeros(self.sums, self.lanes)

    @abstractmethod
    def left(self, e: Emitter, row: Pointer) -> Sequence[Value]:
        """The element of a row, for all columns."""

    @abstractmethod
    def right(self, e: Emitter, columns: Pointer, step: int, count: int | None) -> Sequence[Value]:
        """The elements of the next columns, `step` apart; those from `count` on are zeros."""

    @abstractmethod
    def add(self, e: Emitter, left: Sequence[Value], right: Sequence[Value], total: Value) -> Value:
        """The sums with the products of both added."""


class Floats(Products):
    """One multiply-add a lane."""

    def __init__(self, dtype: DType) -> None:
        self.sums, self.lanes = dtype, lanes_of(dtype)

    def left(self, e: Emitter, row: Pointer) -> Sequence[Value]:
        return (e.spread(row.load(), self.lanes),)

    def right(self, e: Emitter, columns: Pointer, step: int, count: int | None) -> Sequence[Value]:
        return (load_run(columns, step, self.lanes, count),)

    def add(self, e: Emitter, left: Sequence[Value], right: Sequence[Value], total: Value) -> Value:
        return e.multiply_add(left[0], right[0], total)


class Integers(Products):
    """Base of products of codes: eight sums of int32."""

    sums, lanes = int32, 8
    together = 2
    """LLVM sums more integer products in another order, for which registers do not suffice."""

    def __init__(self, avx2: bool | None = None) -> None:
        self.avx2 = has_avx2() if avx2 is None else avx2

    def signature(self) -> tuple[str, bool]:
        """What code depends on."""
        return type(self).__name__, self.avx2

    def left(self, e: Emitter, row: Pointer) -> Sequence[Value]:
        return (self._element(e, row),)

    def _element(self, e: Emitter, row: Pointer) -> Value:
        """Four bytes in all lanes; they may begin at any code."""
        return e.spread(Value(e, e.builder.load(row.ir, typ=I32, align=1)), self.lanes)


class Pairs(Integers):
    """Two codes an element: int16 in rows, int8 in columns. `pmaddwd` takes any and never overflows."""

    codes = 2

    def right(self, e: Emitter, columns: Pointer, step: int, count: int | None) -> Sequence[Value]:
        return (widened(e, Pointer(e, columns.ir, np.dtype(np.int8)).load(2 * self.lanes), I16),)

    def add(self, e: Emitter, left: Sequence[Value], right: Sequence[Value], total: Value) -> Value:
        return total + sum_of_pairs(e, _as(e, left[0], I16, 16), right[0], self.avx2)


class Quads(Integers):
    """Four codes an element. Those of rows are 0 .. 127, so that `pmaddubsw`, which saturates, does not."""

    codes = 4

    def right(self, e: Emitter, columns: Pointer, step: int, count: int | None) -> Sequence[Value]:
        return (_as(e, columns.load(self.lanes), I8, 32),)

    def add(self, e: Emitter, left: Sequence[Value], right: Sequence[Value], total: Value) -> Value:
        twos = unsigned_by_signed(e, _as(e, left[0], I8, 32), right[0], self.avx2)
        return total + sum_of_pairs(e, twos, _ones(e), self.avx2)


class Nibbles(Integers):
    """Eight codes of four bits an element, each with 8 added: 0 .. 15. Four times 15 * 128 fits int16.

    A row's element is eight codes of int8; a column's has the first four in its low half-bytes.
    """

    codes = 8

    def left(self, e: Emitter, row: Pointer) -> Sequence[Value]:
        halves = Pointer(e, row.ir, int32)
        return tuple(self._element(e, halves + i) for i in range(2))

    def right(self, e: Emitter, columns: Pointer, step: int, count: int | None) -> Sequence[Value]:
        both = _as(e, columns.load(self.lanes), I8, 32)
        return both & 15, both >> 4

    def add(self, e: Emitter, left: Sequence[Value], right: Sequence[Value], total: Value) -> Value:
        twos = [
            unsigned_by_signed(e, columns, _as(e, row, I8, 32), self.avx2)
            for row, columns in zip(left, right, strict=True)
        ]
        return total + sum_of_pairs(e, twos[0] + twos[1], _ones(e), self.avx2)


# ---------------------------------------------------------------- instructions


def widened(e: Emitter, value: Value, element: ir.IntType, *, unsigned: bool = False) -> Value:
    """The integers of a vector in a wider type."""
    kind = ir.VectorType(element, value.lanes)
    return Value(e, (e.builder.zext if unsigned else e.builder.sext)(value.ir, kind))


def _as(e: Emitter, value: Value, element: ir.IntType, lanes: int) -> Value:
    return Value(e, e.builder.bitcast(value.ir, ir.VectorType(element, lanes)))


def _ones(e: Emitter) -> Value:
    return Value(e, ir.Constant(ir.VectorType(I16, 16), [1] * 16))


def sum_of_pairs(e: Emitter, a: Value, b: Value, avx2: bool) -> Value:
    """a * b of int16, in int32, each two neighbours summed."""
    if avx2:
        kind = ir.VectorType(I32, 8)
        function = e.declare("llvm.x86.avx2.pmadd.wd", kind, [a.type, b.type])
        return Value(e, e.builder.call(function, [a.ir, b.ir]))
    product = widened(e, a, I32) * widened(e, b, I32)
    return every_second(e, product, 0) + every_second(e, product, 1)


def unsigned_by_signed(e: Emitter, a: Value, b: Value, avx2: bool) -> Value:
    """a * b, bytes of which a has no sign, each two neighbours summed in int16, which must hold them."""
    if avx2:
        kind = ir.VectorType(I16, 16)
        function = e.declare("llvm.x86.avx2.pmadd.ub.sw", kind, [a.type, b.type])
        return Value(e, e.builder.call(function, [a.ir, b.ir]))
    product = widened(e, a, I16, unsigned=True) * widened(e, b, I16)
    return every_second(e, product, 0) + every_second(e, product, 1)


def every_second(e: Emitter, value: Value, first: int) -> Value:
    chosen = ir.Constant(ir.VectorType(I32, value.lanes // 2), list(range(first, value.lanes, 2)))
    return Value(e, e.builder.shuffle_vector(value.ir, ir.Constant(value.type, ir.Undefined), chosen))
