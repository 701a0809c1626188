"""Loops in machine code that measure roofs: multiply-adds in registers, reads of memory, and triads.

They are written in LLVM's language and compiled by llvmlite for the processor at hand; called through ctypes
they hold no interpreter lock, so that threads run them side by side.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_STREAMS = 8  # vectors read in a turn of the loop, each into a register of its own

_PEAK = """
define float @peak(i64 %turns, float %factor, float %shift) {{
entry:
  %a = insertelement {vector} poison, float %factor, i32 0
  %factors = shufflevector {vector} %a, {vector} poison, <{width} x i32> zeroinitializer
  %b = insertelement {vector} poison, float %shift, i32 0
  %shifts = shufflevector {vector} %b, {vector} poison, <{width} x i32> zeroinitializer
{starts}
  br label %loop
loop:
  %turn = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{steps}
  %next = add i64 %turn, 1
  %more = icmp ult i64 %next, %turns
  br i1 %more, label %loop, label %done
done:
{sums}
  %out = call float @llvm.vector.reduce.fadd.v{width}f32(float 0.0, {vector} %sum{last})
  ret float %out
}}
declare {vector} @llvm.fmuladd.v{width}f32({vector}, {vector}, {vector})
declare float @llvm.vector.reduce.fadd.v{width}f32(float, {vector})
"""

_READ = """
define i32 @read(ptr %data, i64 %bytes, i64 %rounds) {{
entry:
  br label %round
round:
  %n = phi i64 [ 0, %entry ], [ %n.next, %end ]
{carried}
  br label %loop
loop:
  %at = phi i64 [ 0, %round ], [ %at.next, %loop ]
{phis}
{steps}
  %at.next = add i64 %at, {stride}
  %more = icmp ult i64 %at.next, %bytes
  br i1 %more, label %loop, label %end
end:
  %n.next = add i64 %n, 1
  %again = icmp ult i64 %n.next, %rounds
  br i1 %again, label %round, label %done
done:
{sums}
  %out = call i32 @llvm.vector.reduce.or.v{width}i32({ints} %sum{last})
  ret i32 %out
}}
declare i32 @llvm.vector.reduce.or.v{width}i32({ints})
"""

_TRIAD = """
define void @triad(ptr %out, ptr %left, ptr %right, float %factor, i64 %bytes, i64 %rounds) {{
entry:
  %a = insertelement {vector} poison, float %factor, i32 0
  %factors = shufflevector {vector} %a, {vector} poison, <{width} x i32> zeroinitializer
  br label %round
round:
  %n = phi i64 [ 0, %entry ], [ %n.next, %end ]
  br label %loop
loop:
  %at = phi i64 [ 0, %round ], [ %at.next, %loop ]
{steps}
  %at.next = add i64 %at, {stride}
  %more = icmp ult i64 %at.next, %bytes
  br i1 %more, label %loop, label %end
end:
  %n.next = add i64 %n, 1
  %again = icmp ult i64 %n.next, %rounds
  br i1 %again, label %round, label %done
done:
  ret void
}}
"""


@dataclass(frozen=True)
class Kernels:
    """The compiled loops for vectors of `width` floats; `chains` multiply-adds of `peak` are independent.

    `peak(turns, factor, shift)` does turns * chains * width multiply-adds; `read(data, bytes, rounds)` reads
    `bytes` that often; `triad(out, left, right, factor, bytes, rounds)` sets out = left + factor * right in
    arrays of `bytes` each. Bytes are a multiple of `stride`.
    """

    width: int
    chains: int
    peak: Callable[[int, float, float], float]
    read: Callable[[int, int, int], int]
    triad: Callable[[int, int, int, float, int, int], None]
    assembly: str
    engine: Any = field(repr=False)  # owns the code: the functions live as long as it does

    @property
    def stride(self) -> int:
        """Bytes that a turn of `read` or `triad` takes from each array."""
        return _STREAMS * self.width * 4


def widths() -> tuple[int, ...]:
    """Floats in a vector that this processor multiplies and adds at once, the widest first.

    >>> set(widths()) <= {4, 8, 16}
    True
    """
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return (16, 8)  # some processors run at a lower clock while they use 16
    return (8,) if features.get("avx") else (4,)


def source(width: int, chains: int) -> str:
    """The loops in LLVM's language.

    >>> source(8, 2).count("<8 x float> @llvm.fmuladd.v8f32(<8 x float> %x")
    2
    """
    vector, ints, stride = f"<{width} x float>", f"<{width} x i32>", _STREAMS * width * 4
    shape = {"width": width, "vector": vector, "ints": ints, "stride": stride}
    return (
        _peak(shape, vector, width, chains)
        + _read(shape, ints, width)
        + _TRIAD.format(**shape, steps=_triad_steps(vector, width))
    )


def _peak(shape: dict[str, Any], vector: str, width: int, chains: int) -> str:
    """Each chain starts elsewhere, or two of them would be one."""
    numbers = range(chains)

    def start(i: int) -> str:
        return ", ".join(f"float {i}.0" for _ in range(width))

    return _PEAK.format(
        **shape,
        starts="\n".join(f"  %start{i} = fadd {vector} %factors, <{start(i)}>" for i in numbers),
        phis="\n".join(f"  %x{i} = phi {vector} [ %start{i}, %entry ], [ %y{i}, %loop ]" for i in numbers),
        steps="\n".join(
            f"  %y{i} = call {vector} @llvm.fmuladd.v{width}f32({vector} %x{i}, {vector} %factors, "
            f"{vector} %shifts)"
            for i in numbers
        ),
        sums=_sums("fadd", vector, [f"%y{i}" for i in numbers]),
        last=chains - 1,
    )


def _read(shape: dict[str, Any], ints: str, width: int) -> str:
    numbers = range(_STREAMS)
    return _READ.format(
        **shape,
        carried="\n".join(
            f"  %c{i} = phi {ints} [ zeroinitializer, %entry ], [ %y{i}, %end ]" for i in numbers
        ),
        phis="\n".join(f"  %x{i} = phi {ints} [ %c{i}, %round ], [ %y{i}, %loop ]" for i in numbers),
        steps="\n".join(
            f"  %o{i} = add i64 %at, {4 * width * i}\n"
            f"  %p{i} = getelementptr i8, ptr %data, i64 %o{i}\n"
            f"  %v{i} = load {ints}, ptr %p{i}, align 64\n"
            f"  %y{i} = or {ints} %x{i}, %v{i}"
            for i in numbers
        ),
        sums=_sums("or", ints, [f"%y{i}" for i in numbers]),
        last=_STREAMS - 1,
    )


def _triad_steps(vector: str, width: int) -> str:
    return "\n".join(
        f"  %o{i} = add i64 %at, {4 * width * i}\n"
        f"  %l{i} = getelementptr i8, ptr %left, i64 %o{i}\n"
        f"  %r{i} = getelementptr i8, ptr %right, i64 %o{i}\n"
        f"  %w{i} = getelementptr i8, ptr %out, i64 %o{i}\n"
        f"  %lv{i} = load {vector}, ptr %l{i}, align 64\n"
        f"  %rv{i} = load {vector}, ptr %r{i}, align 64\n"
        f"  %y{i} = call {vector} @llvm.fmuladd.v{width}f32("
        f"{vector} %rv{i}, {vector} %factors, {vector} %lv{i})\n"
        f"  store {vector} %y{i}, ptr %w{i}, align 64"
        for i in range(_STREAMS)
    )


def _sums(op: str, kind: str, values: list[str]) -> str:
    """Lines that join all values, so that none of them can be left out; the result is %sum{last}."""
    lines = [f"  %sum0 = {op} {kind} {values[0]}, zeroinitializer"]
    lines += [f"  %sum{i} = {op} {kind} %sum{i - 1}, {values[i]}" for i in range(1, len(values))]
    return "\n".join(lines)


@functools.cache
def compiled(width: int) -> Kernels:
    """The loops compiled for this processor.

    Chains are as many as registers allow: 12 of 16 where vectors are 8 floats, else 24 of 32. That is at
    least latency times throughput (4 cycles, 2 to 4 in a cycle) on processors since 2013. A processor
    without an instruction for both makes a product and a sum of them, two FLOPs all the same.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    registers = 16 if features.get("sse2") and not features.get("avx512vl") else 32
    chains = 12 if registers == 16 else 24
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3, jit=True
    )
    module = llvm.parse_assembly(source(width, chains))
    module.verify()
    assembly = machine.emit_assembly(module)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    i64, f32, pointer = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
    return Kernels(
        width,
        chains,
        ctypes.CFUNCTYPE(f32, i64, f32, f32)(engine.get_function_address("peak")),
        ctypes.CFUNCTYPE(ctypes.c_int32, pointer, i64, i64)(engine.get_function_address("read")),
        ctypes.CFUNCTYPE(None, pointer, pointer, pointer, f32, i64, i64)(
            engine.get_function_address("triad")
        ),
        assembly,
        engine,
    )
