"""Convolutions as matrix products on images whose channels lie side by side: no columns are ever stored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.frames import Frame, Windows
from tinytorch.acceleration.native.kernels.kernel import (
    Kernel,
    all_shifted,
    layout,
    load_beside,
    nest,
    shifted,
    store_beside,
    store_run,
)
from tinytorch.acceleration.native.kernels.pointwise import Body
from tinytorch.acceleration.native.kernels.tiles import SUMS, Side, add_products, each, row_tiles
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import Pointer, Value, lanes_of
from tinytorch.ops.spec import Shape


class Convolve(Kernel):
    """Reads images, filters in panels and operands of the epilogue; writes (n, o, oh, ow) channels last.

    Filters: (groups, panels, kh, kw, c, width), as `filter_panels` lays them out. `shape` is that of the
    convolution; the writes are smaller where a max-pool follows.
    """

    shares = True

    def __init__(
        self,
        windows: Windows,
        x: Place,
        filters: Place,
        body: Body,
        extras: Sequence[Place],
        writes: Sequence[Place],
        calls: Sequence[Call],
        shape: Shape,
    ) -> None:
        self.windows, self.body, self.calls, self.writes = windows, body, tuple(calls), tuple(writes)
        self.reads = (x, filters, *(place.broadcast(shape) for place in extras))
        self.n, self.o, self.oh, self.ow = shape
        self.pool = writes[0].shape != shape
        """Whether the largest of each 2x2 pixels is what is written."""
        self._lay_out(x, filters)
        self.scratch = self.frame.nbytes

    def _lay_out(self, x: Place, filters: Place) -> None:
        """Find how images and filters lie, and what their elements are."""
        self.frame, self.lanes = Frame(self.windows, x), lanes_of(x.dtype)
        self.width, self.c = filters.shape[5], filters.shape[4]

    overwrites = True

    @property
    def in_place(self) -> tuple[Place, ...]:
        return self.reads[2:]

    def signature(self) -> tuple[Any, ...]:
        places = map(layout, (*self.reads, *self.writes))
        shape = self.n, self.o, self.oh, self.ow
        return "convolve", self.windows, shape, self.body.signature(), len(self.writes), *places

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        room = Pointer(e, scratch, self.frame.dtype) if self.scratch else reads[0]
        self.frame.begin(e, room)
        groups, panels = self.reads[1].shape[:2]
        outputs = self.o // groups
        with e.shared_loop(self.n) as image:
            given = self.reads[0], *self.reads[2:]
            x, *extras = all_shifted((reads[0], *reads[2:]), given, [image.index])
            outs = all_shifted(writes, self.writes, [image.index])
            framed = self.frame.load(e, x, room)
            size = math.prod(self.reads[1].shape[2:])
            with e.loop(groups) as group:

                def panel(number: Value, columns: int) -> None:
                    filters = reads[1] + (group.index * panels + number) * size
                    first = group.index * outputs + number * self.width
                    here = framed + group.index * self.c
                    self._panel(e, here, filters, first, columns, extras, outs)

                whole = outputs // self.width
                if whole:
                    with e.loop(whole) as loop:
                        panel(loop.index, self.width)
                if outputs % self.width:
                    panel(e.index(whole), outputs % self.width)

    def _panel(
        self,
        e: Emitter,
        x: Pointer,
        filters: Pointer,
        first: Value,
        columns: int,
        extras: Sequence[Pointer],
        outs: Sequence[Pointer],
    ) -> None:
        """All pixels of some filters' outputs."""
        lanes = self.lanes
        vectors = -(-columns // lanes)
        counts = [min(lanes, columns - v * lanes) for v in range(vectors)]
        if self.pool:
            with nest(e, [self.oh // 2, self.ow // 2]) as (y, z):
                tops = [x + self._corner(e, y * 2 + i, z * 2 + j) for i in range(2) for j in range(2)]
                sums = self._sums(e, tops, filters, vectors)
                for v in range(vectors):
                    four = [sums[r * vectors + v] for r in range(4)]
                    self._store_largest(e, four, (first + v * lanes, y, z), counts[v], extras, outs[0])
            return
        with e.loop(self.oh) as row:
            for start, pixels, count in row_tiles(self.ow, SUMS // vectors):

                def tile(column: Value, pixels: int = pixels) -> None:
                    tops = [x + self._corner(e, row.index, column + r) for r in range(pixels)]
                    sums = self._sums(e, tops, filters, vectors)
                    for r in range(pixels):
                        for v in range(vectors):
                            at = (first + v * lanes, row.index, column + r)
                            self._store(e, sums[r * vectors + v], at, counts[v], extras, outs)

                each(e, start, pixels, count, tile)

    def _corner(self, e: Emitter, row: Value, column: Value) -> Value:
        """Where the window of an output begins in the frame."""
        sh, sw = self.windows.stride
        return row * (sh * self.frame.row) + column * (sw * self.frame.channels)

    def _store_largest(
        self,
        e: Emitter,
        four: Sequence[Value],
        at: Sequence[Value],
        count: int,
        extras: Sequence[Pointer],
        out: Pointer,
    ) -> None:
        """The epilogue of four neighbours, and the largest of them to memory."""
        c, y, z = at
        best = None
        for number, total in enumerate(four):
            i, j = divmod(number, 2)
            value = self._finished(e, total, (c, y * 2 + i, z * 2 + j), count, extras)[0]
            best = value if best is None else e.select((value > best) | value.differs(value), value, best)
        assert best is not None, "there are four"
        strides = self.writes[0].strides
        store_run(shifted(out, at, strides[1:]), best, strides[1], count)

    def _sums(self, e: Emitter, tops: Sequence[Pointer], filters: Pointer, vectors: int) -> list[Value]:
        """The sums of a tile whose windows begin at `tops`."""
        w, pixel = self.windows, self.frame.channels
        (kh, kw), (dh, dw) = w.kernel, w.dilation
        side = Side(filters, self.width, self.width, 0, dense=True)
        merged = dw == 1 and self.c == pixel  # a row of the window is one run
        runs, length = (1, kw * self.c) if merged else (kw, self.c)
        sums = [side.products.zeros(e)] * (len(tops) * vectors)
        counts = [self.lanes] * vectors

        def add(i: Value, j: Value, sums: Sequence[Value]) -> list[Value]:
            moved = [top + (i * (dh * self.frame.row) + j * (dw * pixel)) for top in tops]
            line = filters + (i * (kw * self.c * self.width) + j * (self.c * self.width))
            return add_products(e, moved, 1, line, side, counts, length, sums)

        if kh * runs * length <= 64:
            for i in range(kh):
                for j in range(runs):
                    sums = add(e.index(i), e.index(j), sums)
            return sums
        with e.loop(kh, sums) as outer:
            with e.loop(runs, outer.carried) as inner:
                inner.carry(add(outer.index, inner.index, inner.carried))
            outer.carry(inner.results)
        return outer.results

    def _finished(
        self, e: Emitter, total: Value, at: Sequence[Value], count: int, extras: Sequence[Pointer]
    ) -> list[Value]:
        """The epilogue of some sums at a filter, a row and a column."""
        return self.body.emit(e, [total, *load_beside(extras, self.reads[2:], at, 0, total.lanes, count)])

    def _store(
        self,
        e: Emitter,
        total: Value,
        at: Sequence[Value],
        count: int,
        extras: Sequence[Pointer],
        outs: Sequence[Pointer],
    ) -> None:
        store_beside(outs, self.writes, at, 0, self._finished(e, total, at, count, extras), count)

    def _filter(self, name: str, group: str, own: str) -> str:
        """The weight under (i, j) of a window in channel c, in Python."""
        one = self.reads[1].shape[1] == 1
        place = ("0", own) if one else (f"{own} // {self.width}", f"{own} % {self.width}")
        return f"{name}[{group}, {place[0]}, i, j, c, {place[1]}]"

    number = "0.0", "{}"
    """How a sum begins in Python, and what is done to a factor first."""

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        w, (begin, factor) = self.windows, self.number
        groups, (kh, kw) = w.groups, w.kernel
        oh, ow = (self.oh // 2 * 2, self.ow // 2 * 2) if self.pool else (self.oh, self.ow)
        if self.pool:
            yield f"{writes[0]}[...] = -inf"
        yield f"for n in range({self.n}):"
        yield f"    framed = {w.text(f'{reads[0]}[n]', self.frame.image)}"
        yield f"    for o, y, x in product(range({self.o}), range({oh}), range({ow})):"
        group, own = ("0", "o") if groups == 1 else ("group", "own")
        if groups > 1:
            yield f"        group, own = divmod(o, {self.o // groups})"
        yield f"        total = {begin}"
        yield f"        for i, j, c in product(range({kh}), range({kw}), range({self.c})):"
        channel = "c" if groups == 1 else f"group * {self.c} + c"
        pixel, weight = f"framed[{channel}, {w.pixel()}]", self._filter(reads[1], group, own)
        yield f"            total += {factor.format(pixel)} * {factor.format(weight)}"
        lines, made = self.body.text(["total", *(f"{r}[n, o, y, x]" for r in reads[2:])])
        for line in lines:
            yield f"        {line}"
        if self.pool:
            yield "        at = n, o, y // 2, x // 2"
            yield f"        {writes[0]}[at] = maximum({writes[0]}[at], {made[0]})"
            return
        for write, name in zip(writes, made, strict=True):
            yield f"        {write}[n, o, y, x] = {name}"
