"""Products with sparse weights: rows of x side by side in vectors, or eight outputs in one."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout, load_beside, store_beside
from tinytorch.acceleration.native.kernels.pointwise import Body, loop_lines
from tinytorch.acceleration.native.kernels.tiles import each, pack_panel, row_tiles
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import I64, Pointer, Value
from tinytorch.ops.spec import float32, int64

LANES = 8
"""Numbers in a vector."""
SUMS = 6
"""Sums that are added to side by side at least: an addition takes four rounds of the clock, two can begin in
each, and what is left over behind the last whole round is added one by one."""


class SparseProduct(Kernel):
    """Base of both: x: (m, k), values, columns and starts of w: (n, k), a body whose first input is the sum.

    Columns and starts must have been checked: nothing here looks whether they are within x and the values.
    """

    shares = True
    overwrites = True
    strip: int
    """Rows of x that are used at once."""

    def __init__(
        self,
        x: Place,
        weight: Sequence[Place],
        n: int,
        body: Body,
        extras: Sequence[Place],
        writes: Sequence[Place],
        calls: Sequence[Call],
    ) -> None:
        (self.m, self.k), self.n = x.shape, n
        self.body, self.calls = body, tuple(calls)
        self.reads = (x, *weight, *(place.broadcast((self.m, n)) for place in extras))
        self.writes = tuple(writes)
        self.width = 1 if self.m == 1 else -(-min(self.m, self.strip) // LANES) * LANES
        """Numbers from one column of x to the next, as it is laid out: one row is used as it is."""
        self.turned = 0 if self.m == 1 else self.k * self.width
        """Numbers of x that are laid out in working memory."""
        self.scratch = 4 * (self.turned + self.beside)

    @property
    def beside(self) -> int:
        """Numbers of working memory beyond x."""
        return 0

    @property
    def in_place(self) -> tuple[Place, ...]:
        return self.reads[4:]

    def signature(self) -> tuple[Any, ...]:
        places = map(layout, (*self.reads, *self.writes))
        return type(self).__name__, self.n, self.body.signature(), *places

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        room = Pointer(e, scratch, float32) if self.scratch else reads[0]
        whole, rest = divmod(self.n, LANES)

        def strip(first: Value, rows: int) -> None:
            turned = reads[0]
            if self.turned:
                source, turned = reads[0] + first * self.k, room
                pack_panel(e, source, (1, self.k), self.k, rows, turned, self.width)

            def group(index: Value, count: int) -> None:
                sums = self._sums(e, turned, reads[1:4], index, count, rows, room + self.turned)
                for row, total in enumerate(sums):
                    at = first + row, index * LANES
                    beside = load_beside(reads[4:], self.reads[4:], at, -1, LANES, count)
                    values = self.body.emit(e, [total, *beside])
                    store_beside(writes, self.writes, at, -1, [e.spread(v, LANES) for v in values], count)

            if whole:
                with e.shared_loop(whole) as loop:
                    group(loop.index, LANES)
            if rest:
                with e.last_thread():
                    group(e.index(whole), rest)

        for first, rows, count in row_tiles(self.m, self.strip):
            each(e, first, rows, count, functools.partial(strip, rows=rows))

    @abstractmethod
    def _sums(
        self,
        e: Emitter,
        x: Pointer,
        weight: Sequence[Pointer],
        group: Value,
        count: int,
        rows: int,
        room: Pointer,
    ) -> list[Value]:
        """For each row a vector of sums: `count` outputs from 8 * group on."""


class SparseRows(SparseProduct):
    """Rows of w: a weight is spread and multiplied by vectors of rows of x, or by the only row's number."""

    strip = 32

    @property
    def beside(self) -> int:
        return LANES * self.width

    def _sums(
        self,
        e: Emitter,
        x: Pointer,
        weight: Sequence[Pointer],
        group: Value,
        count: int,
        rows: int,
        room: Pointer,
    ) -> list[Value]:
        lanes = min(self.width, LANES)
        vectors = -(-rows // lanes)
        values, columns, starts = weight
        with e.loop(count) as loop:
            output = group * LANES + loop.index
            ends = [e.convert((starts + (output + i)).load(), int64) for i in range(2)]

            def add(at: Value, sums: Sequence[Value]) -> list[Value]:
                value = e.spread((values + at).load(), lanes)
                here = x + e.convert((columns + at).load(), int64) * self.width
                line = [(here + v * lanes).load(lanes) for v in range(vectors)]
                return [e.multiply_add(value, one, total) for one, total in zip(line, sums, strict=True)]

            sums = chained(e, ends, [e.zeros(float32, lanes)] * vectors, add)
            for v, total in enumerate(sums):
                (room + (loop.index * self.width + v * lanes)).store(total)
        if self.width == 1:
            return [room.load(LANES)]
        found: list[Value] = []
        for v in range(vectors):
            square = [(room + (i * self.width + v * lanes)).load(lanes) for i in range(LANES)]
            found += e.turned(square)[: rows - v * lanes]
        return found

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        (m, n), loops = loop_lines([("m", self.m), ("n", self.n)])
        yield from loops
        yield from _text(self, reads, writes, m, n, n, f"{reads[1]}[i]", "    " * len(loops))


class SparseBlocks(SparseProduct):
    """Blocks of eight outputs: each is multiplied, as a vector, by its number of each row of x."""

    strip = 8

    def _sums(
        self,
        e: Emitter,
        x: Pointer,
        weight: Sequence[Pointer],
        group: Value,
        count: int,
        rows: int,
        room: Pointer,
    ) -> list[Value]:
        values, columns, starts = weight
        ends = [e.convert((starts + (group + i)).load(), int64) for i in range(2)]

        def add(at: Value, sums: Sequence[Value]) -> list[Value]:
            block = (values + at * LANES).load(LANES)
            here = x + e.convert((columns + at).load(), int64) * self.width
            numbers = [e.spread((here + row).load(), LANES) for row in range(rows)]
            return [e.multiply_add(block, one, total) for one, total in zip(numbers, sums, strict=True)]

        return chained(e, ends, [e.zeros(float32, LANES)] * rows, add)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        (m, n), loops = loop_lines([("m", self.m), ("n", self.n)])
        yield from loops
        pad = "    " * len(loops)
        yield from _text(self, reads, writes, m, n, f"{n} // {LANES}", f"{reads[1]}[i, {n} % {LANES}]", pad)


def _text(
    kernel: SparseProduct,
    reads: Sequence[str],
    writes: Sequence[str],
    m: str,
    n: str,
    run: str,
    value: str,
    pad: str,
) -> Iterator[str]:
    """Python for one output of a row."""
    _, _, columns, starts, *extras = reads
    yield f"{pad}total = float32(0)"
    yield f"{pad}for i in range({starts}[{run}], {starts}[{run} + 1]):"
    yield f"{pad}    total += {value} * {reads[0]}[{m}, {columns}[i]]"
    lines, made = kernel.body.text(["total", *(f"{extra}[{m}, {n}]" for extra in extras)])
    yield from (pad + line for line in lines)
    for write, name in zip(writes, made, strict=True):
        yield f"{pad}{write}[{m}, {n}] = {name}"


def chained(
    e: Emitter,
    ends: Sequence[Value],
    zeros: Sequence[Value],
    add: Callable[[Value, Sequence[Value]], list[Value]],
) -> list[Value]:
    """Sums from one end to the other, some side by side, so that no addition waits for the one before it."""
    chains = -(-SUMS // len(zeros))
    begin, end = ends
    last = end - (end - begin) % chains
    size = len(zeros)

    def several(at: Value, sums: list[Value]) -> list[Value]:
        return [total for c in range(chains) for total in add(at + c, sums[c * size : (c + 1) * size])]

    sums = rounds(e, begin, last, chains, [*zeros] * chains, several)
    while len(sums) > size:
        half = len(sums) // size // 2 * size
        sums = [a + b for a, b in zip(sums[:half], sums[half : 2 * half], strict=True)] + sums[2 * half :]
    if chains == 1:
        return sums
    return rounds(e, last, end, 1, sums, add)


def rounds(
    e: Emitter,
    begin: Value,
    end: Value,
    step: int,
    carry: Sequence[Value],
    emit: Callable[[Value, list[Value]], list[Value]],
) -> list[Value]:
    """What is left of the carried values after rounds from `begin`, step by step below `end`; maybe none."""
    builder, before = e.builder, e.builder.block
    body, done = builder.append_basic_block("rounds"), builder.append_basic_block("over")
    builder.cbranch((begin < end).ir, body, done)
    builder.position_at_end(body)
    counter = builder.phi(I64)
    counter.add_incoming(begin.ir, before)
    phis = [builder.phi(value.type) for value in carry]
    for phi, value in zip(phis, carry, strict=True):
        phi.add_incoming(value.ir, before)
    made = emit(Value(e, counter), [Value(e, phi) for phi in phis])
    following = builder.add(counter, I64(step))
    after = builder.block
    counter.add_incoming(following, after)
    for phi, value in zip(phis, made, strict=True):
        phi.add_incoming(value.ir, after)
    builder.cbranch(builder.icmp_signed("<", following, end.ir), body, done)
    builder.position_at_end(done)
    found = []
    for value, one in zip(carry, made, strict=True):
        phi = builder.phi(value.type)
        phi.add_incoming(value.ir, before)
        phi.add_incoming(one.ir, after)
        found.append(Value(e, phi))
    return found
