"""BLAS's matrix product, as SciPy hands it to compiled code: a program calls it where that is fastest."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from llvmlite import binding as llvm
from llvmlite import ir

from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import I8, I32, POINTER, Pointer
from tinytorch.threads import hold

NAMES = {"float32": "sgemm", "float64": "dgemm"}
PREFIX = "tinytorch_blas_"
"""What the functions are called in programs."""


@cache
def register() -> None:
    """Let programs that are loaded from now on find BLAS."""
    from scipy.linalg import cython_blas

    pointer, name_of = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_GetName
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    for name in NAMES.values():
        capsule = cython_blas.__pyx_capi__[name]
        llvm.add_symbol(PREFIX + name, pointer(capsule, name_of(capsule)))
    hold()  # a program on one thread must not have BLAS take others


def wanted_by(content: bytes) -> bool:
    """Whether an object file calls BLAS."""
    return PREFIX.encode() in content


def takes(place: Place) -> bool:
    """Whether a matrix lies as BLAS wants it: rows or columns without gaps, one behind the other."""
    (m, n), (by_row, by_column) = place.shape[-2:], place.strides[-2:]
    return (by_column == 1 and by_row >= n) or (by_row == 1 and by_column >= m)


def emit_product(
    e: Emitter, a: tuple[Pointer, Place], b: tuple[Pointer, Place], out: Pointer, line: int
) -> None:
    """out[m, n] = a @ b, for matrices that BLAS takes; rows of `out` are `line` elements apart.

    BLAS counts by columns: what lies there row by row is a transposed matrix to it. So it is asked for
    out^T = b^T a^T, and that leaves `out` row by row.
    """
    (first, x), (second, y) = b, a
    (k, n), m = x.shape[-2:], y.shape[-2]
    builder, dtype = e.builder, y.dtype
    real = out.element

    def by_address(kind: Any, number: float) -> Any:
        with builder.goto_entry_block():
            slot = builder.alloca(kind)
        builder.store(ir.Constant(kind, number), slot)
        return slot

    def side(place: Place) -> tuple[Any, Any]:
        """'N' for rows one behind the other, and the distance of these; 'T' for columns."""
        by_row, by_column = place.strides[-2:]
        rows = by_column == 1 and by_row >= place.shape[-1]
        return by_address(I8, ord("N" if rows else "T")), by_address(I32, by_row if rows else by_column)

    (turn_x, line_x), (turn_y, line_y) = side(x), side(y)
    sizes = [by_address(I32, count) for count in (n, m, k)]
    one, zero = by_address(real, 1.0), by_address(real, 0.0)
    arguments = [turn_x, turn_y, *sizes, one, first.ir, line_x, second.ir, line_y, zero, out.ir]
    arguments.append(by_address(I32, line))
    function = e.declare(PREFIX + NAMES[dtype.name], ir.VoidType(), [POINTER] * len(arguments))
    builder.call(function, arguments)
