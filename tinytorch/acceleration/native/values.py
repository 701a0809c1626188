"""Values and pointers of kernels: numbers and vectors in registers, with operators that emit."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from llvmlite import ir

from tinytorch.ops.spec import DType

if TYPE_CHECKING:
    from tinytorch.acceleration.native.emit import Emitter

I1, I8, I16, I32, I64 = (ir.IntType(width) for width in (1, 8, 16, 32, 64))
HALF, FLOAT, DOUBLE, POINTER = ir.HalfType(), ir.FloatType(), ir.DoubleType(), ir.PointerType()
VECTOR_BYTES = 32
"""Bytes of a vector: eight float32. LLVM splits it in two where registers are narrower."""

ELEMENTS: dict[str, Any] = {
    "bool": I8,
    "int8": I8,
    "int16": I16,
    "int32": I32,
    "int64": I64,
    "float16": HALF,
    "float32": FLOAT,
    "float64": DOUBLE,
}
_CONTRACT = ("contract",)  # a multiplication and an addition may become one instruction
_FOLDS: dict[str, Any] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}
Number: TypeAlias = "Value | int | float | bool"


def lanes_of(dtype: DType) -> int:
    """How many elements a vector of this dtype has."""
    return VECTOR_BYTES // dtype.itemsize


class Value:
    """A number or vector in a register; operators emit instructions. Python numbers become constants."""

    __slots__ = ("emitter", "ir")

    def __init__(self, emitter: Emitter, value: Any) -> None:
        self.emitter, self.ir = emitter, value

    @property
    def type(self) -> Any:
        return self.ir.type

    @property
    def element(self) -> Any:
        """The type of the number, or of each in the vector."""
        return self.type.element if isinstance(self.type, ir.VectorType) else self.type

    @property
    def lanes(self) -> int:
        """How many numbers it holds."""
        return int(self.type.count) if isinstance(self.type, ir.VectorType) else 1

    @property
    def is_float(self) -> bool:
        return not isinstance(self.element, ir.IntType)

    def like(self, number: Number) -> Value:
        """A constant, or a single number spread over all lanes, of the type of this value."""
        return self.emitter.cast_like(number, self)

    def _arithmetic(self, other: Number, floating: str, integer: str, swap: bool = False) -> Value:
        if isinstance(other, Value) and other.lanes > self.lanes:
            return other.like(self)._arithmetic(other, floating, integer, swap)
        a, b = self, self.like(other)
        a, b = (b, a) if swap else (a, b)
        builder = self.emitter.builder
        if self.is_float:
            return Value(self.emitter, getattr(builder, floating)(a.ir, b.ir, flags=_CONTRACT))
        if (
            isinstance(a.ir, ir.Constant)
            and isinstance(b.ir, ir.Constant)
            and integer in _FOLDS
            and self.lanes == 1
        ):
            return Value(
                self.emitter, ir.Constant(self.element, _FOLDS[integer](a.ir.constant, b.ir.constant))
            )
        return Value(self.emitter, getattr(builder, integer)(a.ir, b.ir))

    def __add__(self, other: Number) -> Value:
        return self._arithmetic(other, "fadd", "add")

    def __sub__(self, other: Number) -> Value:
        return self._arithmetic(other, "fsub", "sub")

    def __mul__(self, other: Number) -> Value:
        return self._arithmetic(other, "fmul", "mul")

    def __truediv__(self, other: Number) -> Value:
        return self._arithmetic(other, "fdiv", "sdiv")

    def __floordiv__(self, other: Number) -> Value:
        return self._arithmetic(other, "fdiv", "sdiv")

    def __mod__(self, other: Number) -> Value:
        return self._arithmetic(other, "frem", "srem")

    def __radd__(self, other: Number) -> Value:
        return self._arithmetic(other, "fadd", "add")

    def __rmul__(self, other: Number) -> Value:
        return self._arithmetic(other, "fmul", "mul")

    def __rsub__(self, other: Number) -> Value:
        return self._arithmetic(other, "fsub", "sub", swap=True)

    def __rtruediv__(self, other: Number) -> Value:
        return self._arithmetic(other, "fdiv", "sdiv", swap=True)

    def __neg__(self) -> Value:
        builder = self.emitter.builder
        return Value(self.emitter, builder.fneg(self.ir) if self.is_float else builder.neg(self.ir))

    # ------------------------------------------------------------ bits and comparisons

    def __and__(self, other: Number) -> Value:
        return Value(self.emitter, self.emitter.builder.and_(self.ir, self.like(other).ir))

    def __or__(self, other: Number) -> Value:
        return Value(self.emitter, self.emitter.builder.or_(self.ir, self.like(other).ir))

    def __xor__(self, other: Number) -> Value:
        return Value(self.emitter, self.emitter.builder.xor(self.ir, self.like(other).ir))

    def __lshift__(self, other: Number) -> Value:
        return Value(self.emitter, self.emitter.builder.shl(self.ir, self.like(other).ir))

    def __rshift__(self, other: Number) -> Value:
        """Shift right, filling with zeros."""
        return Value(self.emitter, self.emitter.builder.lshr(self.ir, self.like(other).ir))

    def compare(self, sign: str, other: Number) -> Value:
        """A boolean for each lane; NaN compares as false, but `!=` as true."""
        if isinstance(other, Value) and other.lanes > self.lanes:
            return other.like(self).compare(sign, other)
        b, builder = self.like(other), self.emitter.builder
        if not self.is_float:
            return Value(self.emitter, builder.icmp_signed(sign, self.ir, b.ir))
        make = builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered
        return Value(self.emitter, make(sign, self.ir, b.ir))

    def __lt__(self, other: Number) -> Value:
        return self.compare("<", other)

    def __le__(self, other: Number) -> Value:
        return self.compare("<=", other)

    def __gt__(self, other: Number) -> Value:
        return self.compare(">", other)

    def __ge__(self, other: Number) -> Value:
        return self.compare(">=", other)

    def equals(self, other: Number) -> Value:
        return self.compare("==", other)

    def differs(self, other: Number) -> Value:
        return self.compare("!=", other)


class Pointer:
    """Where elements of one dtype lie; adding an index moves it by elements."""

    __slots__ = ("dtype", "emitter", "ir")

    def __init__(self, emitter: Emitter, value: Any, dtype: DType) -> None:
        self.emitter, self.ir, self.dtype = emitter, value, dtype

    @property
    def element(self) -> Any:
        return ELEMENTS[self.dtype.name]

    def __add__(self, index: Number) -> Pointer:
        if isinstance(index, int) and index == 0:
            return self
        at = self.emitter.index(index)
        moved = self.emitter.builder.gep(self.ir, [at.ir], source_etype=self.element)
        return Pointer(self.emitter, moved, self.dtype)

    def load(self, lanes: int = 1, count: int | None = None) -> Value:
        """The next `lanes` elements; those from `count` on are zeros, and are not touched."""
        e, builder = self.emitter, self.emitter.builder
        if lanes == 1:
            value = Value(e, builder.load(self.ir, typ=self.element, align=self.dtype.itemsize))
        else:
            kind = ir.VectorType(self.element, lanes)
            if count is None or count >= lanes:
                value = Value(e, builder.load(self.ir, typ=kind, align=self.dtype.itemsize))
            else:
                mask = e.first_lanes(count, lanes)
                name = f"llvm.masked.load.v{lanes}{suffix(self.element)}.p0"
                function = e.declare(name, kind, [POINTER, mask.type, kind])
                value = Value(e, builder.call(function, [self.ir, mask.ir, ir.Constant(kind, None)]))
        return value.differs(0) if self.dtype.name == "bool" else value

    def fetch(self) -> None:
        """Bring the line of the cache that lies here to the first level; where none lies, nothing happens."""
        function = self.emitter.declare("llvm.prefetch.p0", ir.VoidType(), [POINTER, I32, I32, I32])
        self.emitter.builder.call(function, [self.ir, I32(0), I32(3), I32(1)])

    def store(self, value: Value, count: int | None = None) -> None:
        """Write the lanes of `value`, or the first `count` of them."""
        e, builder = self.emitter, self.emitter.builder
        if self.dtype.name == "bool" and value.element == I1:
            kind = I8 if value.lanes == 1 else ir.VectorType(I8, value.lanes)
            value = Value(e, builder.zext(value.ir, kind))
        if count is None or count >= value.lanes:
            builder.store(value.ir, self.ir, align=self.dtype.itemsize)
            return
        mask = e.first_lanes(count, value.lanes)
        name = f"llvm.masked.store.v{value.lanes}{suffix(self.element)}.p0"
        function = e.declare(name, ir.VoidType(), [value.type, POINTER, mask.type])
        builder.call(function, [value.ir, self.ir, mask.ir])


def suffix(kind: Any) -> str:
    """How LLVM names a type in an intrinsic: `v8f32`, `i64`."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{_suffix(kind.element)}"
    return _suffix(kind)


def _suffix(element: Any) -> str:
    if isinstance(element, ir.IntType):
        return f"i{element.width}"
    return {HALF: "f16", FLOAT: "f32", DOUBLE: "f64"}[element]


def constant_of(element: Any, number: float, lanes: int) -> Any:
    """The number in every lane, as LLVM's constant."""
    value: Any
    if isinstance(element, ir.IntType):
        value = int(number)
    else:
        value = float(np.float32(number)) if element == FLOAT else float(number)
    one = ir.Constant(element, value)
    return one if lanes == 1 else ir.Constant(ir.VectorType(element, lanes), [one] * lanes)
