"""Dot products of four bytes: unsigned codes of weights by signed ones of x, eight sums at a time.

Where the CPU has an instruction for it (VNNI) that is one step. AVX2 takes two: products of neighbours as
int16, then sums of those. Sixteen products of four-bit codes fit int16, so that the second step waits for
the end of a block; codes of eight bits would overflow it, and take the sign over to the other side first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache

from llvmlite import binding as llvm
from llvmlite import ir

from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.products import (
    every_second,
    has_avx2,
    sum_of_pairs,
    unsigned_by_signed,
    widened,
)
from tinytorch.acceleration.native.values import I8, I16, I32, Value

LANES = 8
"""Sums in a vector."""
TURNED_BY = 128
"""What `Turned` subtracts from codes of weights."""


@cache
def has_vnni() -> bool:
    """Whether this CPU sums products of bytes in one instruction, on vectors of 32 bytes."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("avx512vnni") and features.get("avx512vl")) or bool(features.get("avxvnni"))


@cache
def many_registers() -> bool:
    """Whether there are 32 registers of vectors rather than 16."""
    return bool(llvm.get_host_cpu_features().get("avx512vl"))


class Dots(ABC):
    """How dot products of four bytes are added up. Weights and x come as 32 bytes, four for each sum."""

    name: str
    lanes_of_sums: int = LANES
    element: ir.IntType = I32

    def zeros(self, e: Emitter) -> Value:
        """Sums before the first product."""
        return Value(e, ir.Constant(ir.VectorType(self.element, self.lanes_of_sums), None))

    @abstractmethod
    def add(self, e: Emitter, total: Value, w: Value, x: Value) -> Value:
        """The sums with the products of unsigned w and signed x added."""

    def whole(self, e: Emitter, total: Value) -> Value:
        """The sums as eight int32."""
        return total


class InOne(Dots):
    """One instruction: `vpdpbusd`."""

    name = "vnni"

    def add(self, e: Emitter, total: Value, w: Value, x: Value) -> Value:
        kind, four = ir.VectorType(I32, LANES), ir.VectorType(I8, 4 * LANES)
        function = e.declare("llvm.x86.avx512.vpdpbusd.256", kind, [kind, four, four])
        return Value(e, e.builder.call(function, [total.ir, w.ir, x.ir]))


class Waiting(Dots):
    """For codes of four bits: sums of int16 until the end of a block, whose sixteen products fit."""

    lanes_of_sums, element = 2 * LANES, I16

    def __init__(self, avx2: bool) -> None:
        self.avx2, self.name = avx2, f"waiting {avx2}"

    def add(self, e: Emitter, total: Value, w: Value, x: Value) -> Value:
        return total + unsigned_by_signed(e, w, x, self.avx2)

    def whole(self, e: Emitter, total: Value) -> Value:
        ones = Value(e, ir.Constant(ir.VectorType(I16, 2 * LANES), [1] * (2 * LANES)))
        return sum_of_pairs(e, total, ones, self.avx2)


class Turned(Dots):
    """For codes of eight bits on AVX2: |w - 128| by x with the sign of w - 128, whose sums of two fit int16.

    What it adds up are products with w - 128 rather than w.
    """

    name = "turned"

    def add(self, e: Emitter, total: Value, w: Value, x: Value) -> Value:
        kind = w.type
        signed = w ^ -TURNED_BY
        size = Value(
            e,
            e.builder.call(
                e.declare("llvm.abs.v32i8", kind, [kind, ir.IntType(1)]), [signed.ir, ir.IntType(1)(0)]
            ),
        )
        function = e.declare("llvm.x86.avx2.psign.b", kind, [kind, kind])
        turned = Value(e, e.builder.call(function, [x.ir, signed.ir]))
        ones = Value(e, ir.Constant(ir.VectorType(I16, 2 * LANES), [1] * (2 * LANES)))
        return total + sum_of_pairs(e, unsigned_by_signed(e, size, turned, True), ones, True)


class Wide(Dots):
    """For any CPU: products in int32."""

    name = "wide"

    def add(self, e: Emitter, total: Value, w: Value, x: Value) -> Value:
        product = widened(e, w, I32, unsigned=True) * widened(e, x, I32)
        pairs = every_second(e, product, 0) + every_second(e, product, 1)
        return total + every_second(e, pairs, 0) + every_second(e, pairs, 1)


def dots_for(bits: int) -> Dots:
    """The way of this CPU for codes of so many bits."""
    if has_vnni():
        return InOne()
    if bits == 4:
        return Waiting(has_avx2())
    return Turned() if has_avx2() else Wide()
