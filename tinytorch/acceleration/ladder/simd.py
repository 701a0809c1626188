"""SIMD values for numba: a type over LLVM's vectors of floats, and a function for each thing done to one.

numba's own loops are vectorised where LLVM sees how, but what it keeps in registers is LLVM's choice. A
kernel written in these values says it: a variable is a register, an operation one instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from tinytorch.profiling.hardware.kernels import widths

WIDTH = widths()[0]
"""Floats in a vector: the most that this processor multiplies and adds at once."""

_FLOAT, _I32 = ir.FloatType(), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, WIDTH)
_UNALIGNED = 4  # bytes: where a vector starts is known only to be the start of a float


class VectorType(types.Type):
    """numba's type of a vector of WIDTH float32."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{WIDTH}")


vector = VectorType()


@register_model(VectorType)
class _Model(models.PrimitiveModel):
    """A vector is an LLVM value, and so lives in a register."""

    def __init__(self, manager: Any, type_: VectorType) -> None:
        super().__init__(manager, type_, _VECTOR)  # type: ignore[no-untyped-call]


def operation(make: Callable[..., Any]) -> Any:
    """A function for kernels; `make` gets the types of its arguments, and says how to write its code."""
    return intrinsic(make)


def _address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Where the element `index` of a one-dimensional array lies."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _vector_at(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.bitcast(_address(context, builder, kind, array, index), _VECTOR.as_pointer())


def _declared(builder: Any, kind: Any, name: str) -> Any:
    """One of LLVM's own functions."""
    return cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]


def _emit(result: Any, arguments: tuple[Any, ...], code: Callable[..., Any]) -> tuple[Any, Any]:
    """What an intrinsic returns: its signature, and the function that writes its instructions."""
    return result(*arguments), code


@operation
def load(typing: Any, array: Any, index: Any) -> Any:
    """The vector at array[index : index + WIDTH]."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _vector_at(context, builder, signature.args[0], values[0], values[1])
        return builder.load(place, align=_UNALIGNED)

    return _emit(vector, (array, types.intp), code)


@operation
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index : index + WIDTH] = value."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _vector_at(context, builder, signature.args[0], values[0], values[1])
        builder.store(values[2], place, align=_UNALIGNED)
        return context.get_dummy_value()

    return _emit(types.void, (array, types.intp, vector), code)


@operation
def spread(typing: Any, array: Any, index: Any) -> Any:
    """The vector that holds array[index] in every lane."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        number = builder.load(_address(context, builder, signature.args[0], values[0], values[1]))
        first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, _I32(0))
        lanes = ir.Constant(ir.VectorType(_I32, WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(first, first, lanes)

    return _emit(vector, (array, types.intp), code)


@operation
def zero(typing: Any) -> Any:
    """The vector of zeros."""
    return _emit(vector, (), lambda *_: ir.Constant(_VECTOR, [0.0] * WIDTH))


@operation
def add(typing: Any, x: Any, y: Any) -> Any:
    """x + y, lane by lane."""
    return _emit(vector, (vector, vector), lambda context, builder, signature, values: builder.fadd(*values))


@operation
def multiply_add(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, lane by lane: one instruction where the processor has it."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        name = f"llvm.fmuladd.v{WIDTH}f32"
        return builder.call(_declared(builder, kind, name), values)

    return _emit(vector, (vector, vector, vector), code)


@operation
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index], to be written soon, and go on without waiting for it."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _address(context, builder, signature.args[0], values[0], values[1])
        place = builder.bitcast(place, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, _I32, _I32, _I32])
        to_write, nearest, data = _I32(1), _I32(3), _I32(1)
        builder.call(_declared(builder, kind, "llvm.prefetch.p0"), [place, to_write, nearest, data])
        return context.get_dummy_value()

    return _emit(types.void, (array, types.intp), code)
