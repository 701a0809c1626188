"""Products with weights in blocks of 32, as model files hold them; codes for x by blocks; rows of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.bytes import (
    LANES,
    TURNED_BY,
    Dots,
    Turned,
    dots_for,
    many_registers,
)
from tinytorch.acceleration.native.kernels.integer import FAR, STREAM, WithBody
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout
from tinytorch.acceleration.native.kernels.pointwise import Body, loop_lines
from tinytorch.acceleration.native.kernels.tiles import CACHE_LINE, each, row_tiles
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import I8, I32, Pointer, Value
from tinytorch.ops.blocks import BLOCK, PANEL, BlockLookup, Format
from tinytorch.ops.quantize import LARGEST, TINY
from tinytorch.ops.spec import float16, float32, int8, int32

_INFINITE = 0x7F800000
"""The bits of infinity: as integers, those of what is not finite are not below."""


class BlockGemm(WithBody):
    """Reads codes of x, their scales and sums, and panels of w; a tile is a few rows by one panel.

    Each block's products are exact, and become float32 with the scales; so blocks are added up in order, and
    a row's result does not depend on what other rows there are.
    """

    def __init__(
        self,
        form: Format,
        reads: Sequence[Place],
        n: int,
        body: Body,
        extras: Sequence[Place],
        writes: Sequence[Place],
        calls: Sequence[Call],
        dots: Dots | None = None,
    ) -> None:
        self.form, self.n, self.body, self.calls = form, n, body, tuple(calls)
        (self.m, self.k), self.dots = reads[0].shape, dots or dots_for(form.bits)
        self.blocks = self.k // BLOCK
        self.reads = (*reads, *(place.broadcast((self.m, n)) for place in extras))
        self.writes = tuple(writes)
        self.shift = TURNED_BY * isinstance(self.dots, Turned) - form.middle * (not form.minimum)
        """What codes lack of those that are multiplied, or have too much: sums begin with that."""
        self.scratch = 4 * self.m * self.blocks if self.shift else 0

    @property
    def in_place(self) -> tuple[Place, ...]:
        return self.reads[4:]

    @property
    def flops(self) -> int:
        """Of the product alone."""
        return 2 * self.m * self.n * self.k

    def signature(self) -> tuple[Any, ...]:
        places = map(layout, (*self.reads, *self.writes))
        return "blocks", self.n, self.form, self.dots.name, self.body.signature(), many_registers(), *places

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        starts = Pointer(e, scratch, int32) if self.shift else None
        if starts is not None:
            self._begin(e, reads[0], starts)
        panels, most = -(-self.n // PANEL), 6 if many_registers() else 4
        size = self.blocks * self.form.block_bytes
        stream = self.m <= most and panels * size >= FAR

        def panel(index: Value, columns: int) -> None:
            here = reads[3] + index * size
            for first, rows, count in row_tiles(self.m, most):

                def tile(row: Value, rows: int = rows) -> None:
                    found = self._tile(e, reads, here, row, rows, starts, stream)
                    for r in range(rows):
                        for v in range(2):
                            lanes = min(LANES, columns - v * LANES)
                            if lanes > 0:
                                at = (row + r, index * PANEL + v * LANES)
                                self._store(e, found[2 * r + v], at, lanes, reads[4:], writes)

                each(e, first, rows, count, tile)

        whole = self.n // PANEL
        if whole:
            with e.shared_loop(whole) as loop:
                panel(loop.index, PANEL)
        if whole < panels:
            with e.last_thread():
                panel(e.index(whole), self.n % PANEL)

    def _begin(self, e: Emitter, x: Pointer, into: Pointer) -> None:
        """For each row and block the shift times the sum of the codes."""
        with e.loop(self.m) as row, e.loop(self.blocks) as block:
            start = x + (row.index * self.reads[0].strides[0] + block.index * BLOCK)
            total = e.zeros(int32, LANES)
            for i in range(0, BLOCK, LANES):
                total = total + e.convert((start + i).load(LANES), int32)
            at = row.index * self.blocks + block.index
            (into + at).store(e.sum_lanes(total) * self.shift)

    def _tile(
        self,
        e: Emitter,
        reads: Sequence[Pointer],
        panel: Pointer,
        row: Value,
        rows: int,
        starts: Pointer | None,
        stream: bool,
    ) -> list[Value]:
        """The sums of some rows and the two halves of a panel, over all blocks."""
        x, scales, sums = reads[:3]
        strides = [place.strides[0] for place in self.reads[:3]]
        tops = [x + (row + r) * strides[0] for r in range(rows)]
        with e.loop(self.blocks, [e.zeros(float32, LANES)] * (2 * rows)) as block:
            here = panel + block.index * self.form.block_bytes
            if stream:
                for line in range(0, self.form.block_bytes, CACHE_LINE):
                    (here + (STREAM + line)).fetch()
            totals = self._dots(e, here, [top + block.index * BLOCK for top in tops])
            beside = Pointer(e, (here + self.form.code_bytes).ir, float16)
            halves = [e.convert((beside + v * LANES).load(LANES), float32) for v in range(2)]
            lows = [
                e.convert((beside + PANEL + v * LANES).load(LANES), float32) for v in range(2)
            ] * self.form.minimum
            found = []
            for r in range(rows):
                share = e.spread((scales + ((row + r) * strides[1] + block.index)).load(), LANES)
                for v in range(2):
                    total = totals[2 * r + v]
                    if starts is not None:
                        begin = (starts + ((row + r) * self.blocks + block.index)).load()
                        total = total + e.spread(begin, LANES)
                    so_far = block.carried[2 * r + v]
                    one = e.multiply_add(e.convert(total, float32), halves[v] * share, so_far)
                    if lows:
                        low = e.spread((sums + ((row + r) * strides[2] + block.index)).load(), LANES)
                        one = e.multiply_add(lows[v], low, one)
                    found.append(one)
            block.carry(found)
        return block.results

    def _dots(self, e: Emitter, codes: Pointer, tops: Sequence[Pointer]) -> list[Value]:
        """Products of the codes of a block, as int32: for each row, those of both halves of the panel."""
        totals = [self.dots.zeros(e)] * (2 * len(tops))
        four_bits = self.form.bits == 4
        for four in range(self.form.code_bytes // CACHE_LINE):
            halves = [_bytes(e, codes + (four * CACHE_LINE + v * 32)) for v in range(2)]
            parts = (
                [(0, [h & 15 for h in halves]), (16, [h >> 4 for h in halves])]
                if four_bits
                else [(0, halves)]
            )
            for offset, part in parts:
                for r, top in enumerate(tops):
                    left = _four(e, top + (offset + 4 * four))
                    for v in range(2):
                        at = 2 * r + v
                        totals[at] = self.dots.add(e, totals[at], part[v], left)
        return [self.dots.whole(e, total) for total in totals]

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        (m, n), loops = loop_lines([("m", self.m), ("n", self.n)])
        yield from loops
        pad = "    " * len(loops)
        x, scale, sums, w = reads[:4]
        yield f"{pad}panel, o = {w}[{n} // {PANEL}].view(uint8), {n} % {PANEL}"
        yield f"{pad}out = float32(0)"
        yield f"{pad}for block in range({self.blocks}):"
        yield f"{pad}    total = int32(0)"
        yield f"{pad}    for i in range({BLOCK}):"
        if self.form.bits == 4:
            yield f"{pad}        byte = int32(panel[block, i % 16 // 4 * {CACHE_LINE} + o * 4 + i % 4])"
            code = "(byte >> i // 16 * 4 & 15)"
        else:
            code = f"int32(panel[block, i // 4 * {CACHE_LINE} + o * 4 + i % 4])"
        middle = "" if self.form.minimum else f" - {self.form.middle}"
        yield f"{pad}        total += int32({x}[{m}, block * {BLOCK} + i]) * ({code}{middle})"
        yield f"{pad}    halves = panel[block, {self.form.code_bytes}:].view(float16)"
        yield f"{pad}    out += float32(total) * (float32(halves[o]) * {scale}[{m}, block])"
        if self.form.minimum:
            yield f"{pad}    out += float32(halves[{PANEL} + o]) * {sums}[{m}, block]"
        lines, made = self.body.text(["out", *(f"{r}[{m}, {n}]" for r in reads[4:])])
        yield from (pad + line for line in lines)
        for write, name in zip(writes, made, strict=True):
            yield f"{pad}{write}[{m}, {n}] = {name}"


def _bytes(e: Emitter, pointer: Pointer) -> Value:
    """The next 32 bytes."""
    return Pointer(e, pointer.ir, int8).load(4 * LANES)


def _four(e: Emitter, pointer: Pointer) -> Value:
    """The next four bytes, eight times."""
    one = Value(e, e.builder.load(pointer.ir, typ=I32, align=1))
    return Value(e, e.builder.bitcast(e.spread(one, LANES).ir, ir.VectorType(I8, 4 * LANES)))


class QuantizeEachBlock(Kernel):
    """Reads x as rows of 32; writes codes, a scale a row, and the scale times the sum of the codes."""

    shares = True

    def __init__(self, read: Place, writes: Sequence[Place], calls: Sequence[Call]) -> None:
        self.reads, self.writes, self.calls = (read,), tuple(writes), tuple(calls)
        self.count = read.shape[0]

    def signature(self) -> tuple[Any, ...]:
        return "quantize_blocks", *map(layout, (*self.reads, *self.writes))

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        with e.shared_loop(self.count) as rows:
            x, codes = reads[0] + rows.index * BLOCK, writes[0] + rows.index * BLOCK
            values = [(x + i).load(LANES) for i in range(0, BLOCK, LANES)]
            bits = [e.bits(value, I32) & 0x7FFFFFFF for value in values]
            while len(bits) > 1:
                bits = [e.intrinsic("smax", a, b) for a, b in zip(bits[::2], bits[1::2], strict=True)]
            top = e.largest_lane(bits[0])
            finite = top < _INFINITE
            largest = e.bits(top, e.zeros(float32).type)
            scale = e.select(finite, e.select(largest < TINY, 1.0, largest / float(LARGEST)), float("nan"))
            whole = e.spread(e.select(finite, scale, 1.0), LANES)
            total = e.zeros(int32, LANES)
            for i, value in enumerate(values):
                code = e.select(e.spread(finite, LANES), e.intrinsic("rint", value / whole), 0.0)
                number = Value(e, e.builder.fptosi(code.ir, ir.VectorType(I32, LANES)))
                total = total + number
                (codes + i * LANES).store(e.convert(number, int8))
            (writes[1] + rows.index).store(scale)
            (writes[2] + rows.index).store(e.convert(e.sum_lanes(total), float32) * scale)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        x, codes, scales, sums = reads[0], *writes
        yield f"for row in range({self.count}):"
        yield f"    top = max(abs({x}[row, i]) for i in range({BLOCK}))"
        yield f"    scale = float32(top) / float32({LARGEST}) if top >= {TINY!r} else float32(1)"
        yield f"    for i in range({BLOCK}):"
        yield f"        {codes}[row, i] = rint({x}[row, i] / scale)"
        yield f"    {scales}[row] = scale"
        yield f"    {sums}[row] = float32({codes}[row].sum(dtype=int32)) * scale"


class BlockRows(Kernel):
    """out[i] = the weights of output ids[i], out of panels; ids are checked before."""

    shares = True

    def __init__(self, op: BlockLookup, reads: Sequence[Place], write: Place, calls: Sequence[Call]) -> None:
        self.form, self.reads, self.writes, self.calls = op.format, tuple(reads), (write,), tuple(calls)
        self.blocks, self.row = reads[0].shape[1], reads[0].shape[1] * BLOCK

    def signature(self) -> tuple[Any, ...]:
        return "block_rows", self.form, *map(layout, (*self.reads, *self.writes))

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        size = self.form.block_bytes
        with e.shared_loop(self.reads[1].size) as row:
            number = e.convert((reads[1] + row.index).load(), np.dtype(np.int64))
            panel, lane = reads[0] + number / PANEL * (self.blocks * size), number % PANEL
            out = writes[0] + row.index * self.row
            with e.loop(self.blocks) as block:
                here = panel + block.index * size
                beside = Pointer(e, (here + self.form.code_bytes).ir, float16)
                scale = e.spread(e.convert((beside + lane).load(), float32), 4)
                low = e.convert((beside + lane + PANEL).load(), float32) if self.form.minimum else None
                for four in range(self.form.code_bytes // CACHE_LINE):
                    codes = (here + (lane * 4 + four * CACHE_LINE)).load(4)
                    parts = [(0, codes & 15), (16, codes >> 4)] if self.form.bits == 4 else [(0, codes)]
                    for offset, part in parts:
                        kind = ir.VectorType(I32, 4)
                        wide = e.convert(Value(e, e.builder.zext(part.ir, kind)), float32)
                        if low is None:
                            value = (wide - float(self.form.middle)) * scale
                        else:
                            value = e.multiply_add(wide, scale, e.spread(low, 4))
                        (out + (block.index * BLOCK + offset + 4 * four)).store(value)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        bits, size = self.form.bits, self.form.code_bytes
        yield f"picked = {writes[0]}.reshape(-1, {self.row})"
        yield f"for n, row in enumerate({reads[1]}.flat):"
        yield f"    panel, o = {reads[0]}[row // {PANEL}].view(uint8), row % {PANEL}"
        yield f"    for k in range({self.row}):"
        yield f"        block, i = k // {BLOCK}, k % {BLOCK}"
        yield f"        halves = panel[block, {size}:].view(float16)"
        if bits == 4:
            yield f"        byte = int32(panel[block, i % 16 // 4 * {CACHE_LINE} + o * 4 + i % 4])"
            code = "(byte >> i // 16 * 4 & 15)"
        else:
            code = f"int32(panel[block, i // 4 * {CACHE_LINE} + o * 4 + i % 4])"
        if self.form.minimum:
            low = f"float32(halves[{PANEL} + o])"
            yield f"        picked[n, k] = float32({code}) * float32(halves[o]) + {low}"
        else:
            yield f"        picked[n, k] = float32({code} - {self.form.middle}) * float32(halves[o])"
