"""Rows of tables: picked by number, summed by number, written into a larger array, and checks of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import Pointer, Value, lanes_of
from tinytorch.ops.spec import int64


class CheckRange(Kernel):
    """Whether all of some integers lie in low .. high - 1, or are the one that is ignored.

    The function returns 1 for one that does not, and the program ends before it has changed anything.
    """

    returns = True

    def __init__(self, read: Place, low: int, high: int, ignored: int | None, calls: Sequence[Call]) -> None:
        self.low, self.high, self.ignored = low, high, ignored
        self.reads, self.writes, self.calls = (read,), (), tuple(calls)

    def signature(self) -> tuple[Any, ...]:
        return "check", self.low, self.high, self.ignored, layout(self.reads[0])

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        place = self.reads[0]
        one = e.index(0)
        with e.loop(place.size, [one]) as loop:
            value = reads[0] + loop.index
            number = e.convert(value.load(), int64)
            bad = (number < self.low) | (number >= self.high)
            if self.ignored is not None:
                bad = bad & number.differs(self.ignored)
            loop.carry([loop.carried[0] | e.convert(bad, int64)])
        e.builder.ret(loop.results[0].ir)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        other = f" and i != {self.ignored}" if self.ignored is not None else ""
        yield f"for i in {reads[0]}.flat:"
        yield f"    if not {self.low} <= i < {self.high}{other}:"
        yield f'        raise IndexError(f"{{i}} is not in {self.low} .. {self.high - 1}")'


class CheckSome(Kernel):
    """Whether any of some integers is not the one that is ignored; the function returns 1 if none is."""

    returns = True

    def __init__(self, read: Place, ignored: int, calls: Sequence[Call]) -> None:
        self.ignored = ignored
        self.reads, self.writes, self.calls = (read,), (), tuple(calls)

    def signature(self) -> tuple[Any, ...]:
        return "check_some", self.ignored, layout(self.reads[0])

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        with e.loop(self.reads[0].size, [e.index(1)]) as loop:
            number = e.convert((reads[0] + loop.index).load(), int64)
            loop.carry([loop.carried[0] & e.convert(number.equals(self.ignored), int64)])
        e.builder.ret(loop.results[0].ir)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        yield f"if all(i == {self.ignored} for i in {reads[0]}.flat):"
        yield f'    raise ValueError("all are {self.ignored}, which does not count")'


class TakeRows(Kernel):
    """out[i] = table[ids[i]]; ids below 0 count from the end."""

    shares = True

    def __init__(self, table: Place, ids: Place, write: Place, calls: Sequence[Call]) -> None:
        self.reads, self.writes, self.calls = (table, ids), (write,), tuple(calls)
        self.rows, self.row = table.shape[0], math.prod(table.shape[1:])

    def signature(self) -> tuple[Any, ...]:
        return "take", *map(layout, (*self.reads, *self.writes))

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        with e.shared_loop(self.reads[1].size) as loop:
            number = row_number(e, reads[1] + loop.index, self.rows)
            _copy_row(e, reads[0] + number * self.row, writes[0] + loop.index * self.row, self.row)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        yield f"rows, picked = {reads[0]}.reshape(-1, {self.row}), {writes[0]}.reshape(-1, {self.row})"
        yield f"for n, row in enumerate({reads[1]}.flat):"
        yield f"    for i in range({self.row}):"
        yield "        picked[n, i] = rows[row, i]"


class SumRows(Kernel):
    """out = zeros (rows, ...), and to row ids[i] g[i] is added."""

    def __init__(self, g: Place, ids: Place, write: Place, calls: Sequence[Call]) -> None:
        self.reads, self.writes, self.calls = (g, ids), (write,), tuple(calls)
        self.rows, self.row = write.shape[0], math.prod(write.shape[1:])

    def signature(self) -> tuple[Any, ...]:
        return "sum_rows", *map(layout, (*self.reads, *self.writes))

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        fill(e, writes[0], self.writes[0].size, 0)
        with e.loop(self.reads[1].size) as loop:
            number = row_number(e, reads[1] + loop.index, self.rows)
            source, target = reads[0] + loop.index * self.row, writes[0] + number * self.row

            def add(at: Value, lanes: int, count: int) -> None:
                value = (target + at).load(lanes, count) + (source + at).load(lanes, count)
                (target + at).store(value, count)

            along(e, self.row, lanes_of(source.dtype), add)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        yield f"rows, picked = {writes[0]}.reshape(-1, {self.row}), {reads[0]}.reshape(-1, {self.row})"
        yield "rows[...] = 0"
        yield f"for n, row in enumerate({reads[1]}.flat):"
        yield f"    for i in range({self.row}):"
        yield "        rows[row, i] += picked[n, i]"


class Fill(Kernel):
    """The same number everywhere in a dense place."""

    def __init__(self, write: Place, number: float, calls: Sequence[Call]) -> None:
        self.number = number
        self.reads, self.writes, self.calls = (), (write,), tuple(calls)

    def signature(self) -> tuple[Any, ...]:
        return "fill", self.number, self.writes[0].dtype.name, self.writes[0].size

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        fill(e, writes[0], self.writes[0].size, self.number)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        yield f"{writes[0]}[...] = {self.number!r}"


def row_number(e: Emitter, pointer: Pointer, rows: int) -> Value:
    """An id as a row counted from the front."""
    number = e.convert(pointer.load(), int64)
    return e.select(number < 0, number + rows, number)


def along(e: Emitter, n: int, lanes: int, piece: Any, shared: bool = False) -> None:
    """Call `piece(index, lanes, count)` for runs of a row; with `shared` each thread does its own."""
    whole = n // lanes * lanes
    if whole:
        with e.shared_loop(whole, lanes) if shared else e.loop(whole, step=lanes) as loop:
            piece(loop.index, lanes, lanes)
    if whole < n:
        with e.last_thread() if shared else nullcontext():
            piece(e.index(whole), lanes, n - whole)


def fill(e: Emitter, pointer: Pointer, n: int, number: float) -> None:
    """Write a number n times."""
    lanes = lanes_of(pointer.dtype)
    value = e.constant(number, pointer.dtype, lanes)
    along(e, n, lanes, lambda at, _, count: (pointer + at).store(value, count))


def _copy_row(e: Emitter, source: Pointer, target: Pointer, n: int) -> None:
    def move(at: Value, lanes: int, count: int) -> None:
        (target + at).store((source + at).load(lanes, count), count)

    along(e, n, lanes_of(source.dtype), move)
