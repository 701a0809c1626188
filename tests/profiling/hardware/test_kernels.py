"""The loops behind the roofs: they compute what they say, in registers."""

from __future__ import annotations

import platform
import re

import numpy as np
import pytest

from tinytorch.profiling.hardware.kernels import Kernels, compiled, source, widths

IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
PAGE = 4096


@pytest.fixture(params=widths())
def loops(request: pytest.FixtureRequest) -> Kernels:
    return compiled(request.param)


def test_peak_multiplies_and_adds_in_every_chain_and_lane(loops: Kernels) -> None:
    turns, factor, shift = 5, 0.75, 0.5
    x = np.arange(loops.chains, dtype=np.float64) + factor
    for _ in range(turns):
        x = x * factor + shift
    assert loops.peak(turns, factor, shift) == pytest.approx(loops.width * x.sum(), rel=1e-5)


def loop_of(assembly: str, name: str, first: str) -> list[str]:
    """The instructions of the innermost loop around the first instruction in which `first` occurs."""
    body = assembly.split(f"\n{name}:\n", 1)[1].split(".cfi_endproc", 1)[0]
    lines = [line.strip() for line in body.splitlines()]
    inside = next(i for i, line in enumerate(lines) if first in line)
    start = max(i for i, line in enumerate(lines[:inside]) if line.endswith(":"))
    label = lines[start][:-1]
    end = next(i for i, line in enumerate(lines) if i > inside and re.fullmatch(rf"j\w+\s+{label}", line))
    return [line for line in lines[start + 1 : end + 1] if line and not line.startswith((".", "#"))]


@pytest.mark.skipif(not IS_X86 or widths() == (4,), reason="reads x86 assembly with multiply-adds")
def test_the_peak_loop_is_multiply_adds_in_registers_and_nothing_else(loops: Kernels) -> None:
    register = {16: "zmm", 8: "ymm", 4: "xmm"}[loops.width]
    instructions = loop_of(loops.assembly, "peak", "vfmadd")
    fused = [line for line in instructions if line.startswith("vfmadd")]
    assert len(fused) == loops.chains
    assert all(line.count(f"%{register}") == 3 for line in fused)
    targets = {line.rpartition("%")[2] for line in fused}
    assert len(targets) == loops.chains, "chains share a register, so they wait for each other"
    assert not any("(" in line for line in instructions), "the loop touches memory"
    assert len(instructions) - len(fused) <= 3, "more than a count, a comparison and a jump"


@pytest.mark.skipif(not IS_X86, reason="reads x86 assembly")
def test_the_read_loop_loads_whole_vectors_and_stores_none(loops: Kernels) -> None:
    instructions = loop_of(loops.assembly, "read", "(%rdi")
    loads = [line for line in instructions if "(" in line]
    assert len(loads) * loops.width * 4 == loops.stride
    assert not any(line.endswith(")") for line in instructions)


def aligned(floats: int) -> np.ndarray:
    room = np.zeros(floats + PAGE // 4, np.float32)
    return room[-room.ctypes.data % PAGE // 4 :][:floats]


def test_read_reads_every_byte_and_no_byte_more(loops: Kernels) -> None:
    floats = 3 * loops.stride // 4
    data = aligned(2 * floats)
    words = data.view(np.int32)
    for place in range(0, floats, 7):
        words[:] = 0
        words[place] = 1 << 9
        assert loops.read(data.ctypes.data, 4 * floats, 2) == 1 << 9, place
    words[:] = 0
    words[floats:] = -1
    assert loops.read(data.ctypes.data, 4 * floats, 2) == 0


def test_triad_is_a_sum_with_a_multiple(loops: Kernels) -> None:
    floats = 2 * loops.stride // 4
    rng = np.random.default_rng(0)
    data = aligned(4 * floats)
    data[:] = rng.random(4 * floats, np.float32)
    out, left, right, beyond = (data[i * floats : (i + 1) * floats] for i in range(4))
    kept = left.copy(), right.copy(), beyond.copy()
    loops.triad(out.ctypes.data, left.ctypes.data, right.ctypes.data, 0.5, 4 * floats, 3)
    np.testing.assert_allclose(out, kept[0].astype(np.float64) + 0.5 * kept[1].astype(np.float64), rtol=1e-6)
    for now, before in zip((left, right, beyond), kept, strict=True):
        np.testing.assert_array_equal(now, before)


def test_source_has_a_chain_for_each_accumulator() -> None:
    text = source(8, 12)
    assert len(re.findall(r"%y\d+ = call <8 x float> @llvm.fmuladd.v8f32\(<8 x float> %x", text)) == 12
    assert len(set(re.findall(r"%start\d+ = fadd <8 x float> %factors, (<[^>]*>)", text))) == 12
