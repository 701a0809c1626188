"""Matrix products of codes in register tiles: int8 with exact sums, four bits with a scale a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout, load_beside, load_run, store_beside
from tinytorch.acceleration.native.kernels.lookup import along
from tinytorch.acceleration.native.kernels.pointwise import Body, loop_lines
from tinytorch.acceleration.native.kernels.products import Integers, Nibbles, Quads, int16, widened
from tinytorch.acceleration.native.kernels.tiles import Side, add_products, each, emit_tiles, row_tiles
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import I16, Pointer, Value
from tinytorch.ops.integer import unpack_nibbles
from tinytorch.ops.spec import Array, DType, float32, int8, int32, int64

BLOCK = 98304
"""Bytes of rows that are used at a time."""
STREAM, FAR = 2560, 2**20
"""Bytes ahead at which panels are fetched that serve one tile, where there are so many that memory is far."""
RUN = 16
"""Codes that are made wider at a time."""


def packed_codes(w: Array, width: int, codes: int) -> Array:
    """w: int8 (n, k) in panels of `width` outputs, (panels, k / codes, width, codes), filled up with zeros.

    >>> packed_codes(np.int8([[1, 2, 3], [4, 5, 6]]), 2, 2).tolist()
    [[[[1, 2], [4, 5]], [[3, 0], [6, 0]]]]
    """
    n, k = w.shape
    panels, depth = -(-n // width), -(-k // codes)
    full = np.zeros((panels * width, depth * codes), np.int8)
    full[:n, :k] = w
    return np.ascontiguousarray(full.reshape(panels, width, depth, codes).transpose(0, 2, 1, 3))


def packed_nibbles(w: Array, width: int) -> Array:
    """w: nibbles (n, k / 2) in panels, (panels, k / 8, width, 4): codes + 8, of eight the first four low."""
    codes = packed_codes(unpack_nibbles(w) + np.int8(8), width, 8).view(np.uint8)
    return (codes[..., :4] | (codes[..., 4:] << 4)).view(np.int8)


def code_width(m: int) -> int:
    """Outputs of a panel: few rows leave registers for more."""
    return 64 if m == 1 else 32 if m <= 3 else 16


class WithBody(Kernel):
    """Base of products that go on with element-wise work: a body whose first input is the sum."""

    shares = True
    overwrites = True
    body: Body

    def _store(
        self,
        e: Emitter,
        total: Value,
        at: Sequence[Value],
        count: int,
        extras: Sequence[Pointer],
        outs: Sequence[Pointer],
    ) -> None:
        """The epilogue of some sums at a row and a column, to memory; `extras` are the last of the reads."""
        places = self.reads[len(self.reads) - len(extras) :]
        beside = load_beside(extras, places, at, -1, total.lanes, count)
        values = [e.spread(value, total.lanes) for value in self.body.emit(e, [total, *beside])]
        store_beside(outs, self.writes, at, -1, values, count)


class Codes(WithBody):
    """Base of products of codes: x: (m, k), panels of w, and a body."""

    def __init__(
        self,
        x: Place,
        panels: Place,
        n: int,
        codes: Integers,
        body: Body,
        extras: Sequence[Place],
        writes: Sequence[Place],
        calls: Sequence[Call],
    ) -> None:
        (self.m, self.k), self.n, self.codes = x.shape, n, codes
        self.body, self.calls = body, tuple(calls)
        self.depth, self.width = panels.shape[1:3]
        self.reads = (x, panels, *(place.broadcast((self.m, n)) for place in extras))
        self.writes = tuple(writes)

    @property
    def in_place(self) -> tuple[Place, ...]:
        return self.reads[2:]

    def signature(self) -> tuple[Any, ...]:
        places = map(layout, (*self.reads, *self.writes))
        return type(self).__name__, self.n, self.codes.signature(), self.body.signature(), *places

    def _element(self) -> DType:
        """What a panel is made of: the codes of one column that are multiplied at once."""
        return int16 if self.codes.codes == 2 else int32

    def _side(self, e: Emitter, panels: Pointer) -> Side:
        start = Pointer(e, panels.ir, self._element())
        size = self.width * self.depth
        far = -(-self.n // self.width) * size * start.dtype.itemsize >= FAR
        ahead = STREAM // start.dtype.itemsize if far else 0
        return Side(start, self.width, self.width, size, dense=True, codes=self.codes, stream=ahead)

    def _product_lines(self, reads: Sequence[str], m: str, n: str, first: str, count: int) -> list[str]:
        """Python for a sum over k from `first` on."""
        codes = self.codes.codes
        panel = f"{reads[1]}[{n} // {self.width}, k // {codes}, {n} % {self.width}, k % {codes}]"
        loop = f"range({count})" if first == "0" else f"range({first}, {first} + {count})"
        return [f"for k in {loop}:", f"    total += int32({reads[0]}[{m}, k]) * int32({panel})"]


class IntGemm(Codes):
    """Exact sums of products of int8, int32 before the epilogue; any codes in pairs, 0 .. 127 in quads."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        x, quads = self.reads[0], isinstance(self.codes, Quads)
        whole = self.k % 4 == 0 and x.strides[1] == 1 and x.strides[0] % 4 == 0 and x.offset % 4 == 0
        self.direct = quads and whole
        """Whether rows are read where they lie."""
        self.row = (
            -(-self.k // RUN) + 2
        ) * RUN  # no power of two apart: those fall into few sets of the cache
        self.rows = max(6, min(self.m, BLOCK // (self.row * self._itemsize) // 6 * 6))
        self.scratch = 0 if self.direct else self.rows * self.row * self._itemsize

    @property
    def _itemsize(self) -> int:
        return 1 if isinstance(self.codes, Quads) else 2

    @property
    def flops(self) -> int:
        """Of the product alone."""
        return 2 * self.m * self.n * self.k

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        side, extras = self._side(e, reads[1]), reads[2:]

        def block(first: Value, count: int) -> None:
            left, step = self._rows(e, reads[0] + first * self.reads[0].strides[0], count, scratch)

            def finish(total: Value, row: Value, column: Value, lanes: int) -> None:
                self._store(e, total, (row, column), lanes, extras, writes)

            emit_tiles(
                e, count, self.n, self.depth, left, (step, 1), side, finish, first_row=first, shared=True
            )

        if self.direct:
            block(e.index(0), self.m)
            return
        whole, rest = divmod(self.m, self.rows)
        each(e, 0, self.rows, whole, lambda first: block(first, self.rows))
        if rest:
            block(e.index(whole * self.rows), rest)

    def _rows(self, e: Emitter, x: Pointer, count: int, scratch: Any) -> tuple[Pointer, int]:
        """Rows as elements of int32, in working memory unless they lie right, and how far apart they are."""
        a_m, a_k = self.reads[0].strides
        if self.direct:
            return Pointer(e, x.ir, int32), a_m // 4
        wide = self._itemsize == 2
        room = Pointer(e, scratch, int16 if wide else int8)
        with e.loop(count) as loop:
            source, target = x + loop.index * a_m, room + loop.index * self.row

            def move(at: Value, lanes: int, codes: int) -> None:
                found = load_run(source + at * a_k, a_k, lanes, codes)
                if codes < lanes and a_k != 1:  # a run that lies apart repeats its first element
                    found = e.select(e.first_lanes(codes, lanes), found, 0)
                (target + at).store(widened(e, found, I16) if wide else found)

            along(e, self.k, RUN, move)
        return Pointer(e, room.ir, int32), self.row * self._itemsize // 4

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        (m, n), loops = loop_lines([("m", self.m), ("n", self.n)])
        yield from loops
        pad = "    " * len(loops)
        yield f"{pad}total = int32(0)"
        for line in self._product_lines(reads, m, n, "0", self.k):
            yield pad + line
        lines, made = self.body.text(["total", *(f"{r}[{m}, {n}]" for r in reads[2:])])
        yield from (pad + line for line in lines)
        for write, name in zip(writes, made, strict=True):
            yield f"{pad}{write}[{m}, {n}] = {name}"


class GroupGemm(Codes):
    """Sums over groups of exact products times the group's scale, float32 before the epilogue.

    Reads x, panels of nibbles, and the scales as (panels, groups, width).
    """

    def __init__(
        self,
        x: Place,
        panels: Place,
        scales: Place,
        n: int,
        body: Body,
        extras: Sequence[Place],
        writes: Sequence[Place],
        calls: Sequence[Call],
        codes: Integers | None = None,
    ) -> None:
        super().__init__(x, panels, n, codes or Nibbles(), body, extras, writes, calls)
        self.groups = scales.shape[1]
        self.size = self.k // self.groups
        self.reads = (*self.reads[:2], scales, *self.reads[2:])
        self.scratch = 4 * self.m * self.groups

    @property
    def in_place(self) -> tuple[Place, ...]:
        return self.reads[3:]

    @property
    def flops(self) -> int:
        """Of the product alone."""
        return 2 * self.m * self.n * self.k

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        sums = Pointer(e, scratch, int32)
        x_m = self.reads[0].strides[0]
        self._sum_groups(e, reads[0], x_m, sums)
        side = self._side(e, reads[1])
        panels = -(-self.n // self.width)

        def panel(index: Value, columns: int) -> None:
            here = side.start + index * side.panel
            scales = reads[2] + index * (self.groups * self.width)
            vectors = -(-columns // 8)
            counts = [min(8, columns - v * 8) for v in range(vectors)]
            for first, rows, count in row_tiles(self.m, max(1, 6 // vectors)):

                def tile(row: Value, rows: int = rows) -> None:
                    found = self._tile(e, reads[0], row, rows, x_m, here, side, vectors, scales, sums)
                    for r in range(rows):
                        for v in range(vectors):
                            at = (row + r, index * self.width + v * 8)
                            self._store(e, found[r * vectors + v], at, counts[v], reads[3:], writes)

                each(e, first, rows, count, tile)

        whole = self.n // self.width
        if whole:
            with e.shared_loop(whole) as loop:
                panel(loop.index, self.width)
        if whole < panels:
            with e.last_thread():
                panel(e.index(whole), self.n % self.width)

    def _sum_groups(self, e: Emitter, x: Pointer, x_m: int, into: Pointer) -> None:
        """For each row and group -8 times the sum of the codes: the codes of w have 8 added to them."""
        with e.loop(self.m) as row, e.loop(self.groups) as group:
            start = x + (row.index * x_m + group.index * self.size)
            with e.loop(self.size, [e.zeros(int32, 8)], step=8) as loop:
                loop.carry([loop.carried[0] + e.convert((start + loop.index).load(8), int32)])
            total = e.sum_lanes(loop.results[0])
            (into + (row.index * self.groups + group.index)).store(total * -8)

    def _tile(
        self,
        e: Emitter,
        x: Pointer,
        row: Value,
        rows: int,
        x_m: int,
        panel: Pointer,
        side: Side,
        vectors: int,
        scales: Pointer,
        sums: Pointer,
    ) -> list[Value]:
        """The sums of some rows and vectors of columns, over all groups."""
        depth = self.size // 8
        with e.loop(self.groups, [e.zeros(float32, 8)] * (rows * vectors)) as group:
            start = group.index * self.size
            tops = [Pointer(e, (x + ((row + r) * x_m + start)).ir, int64) for r in range(rows)]
            begin = [(sums + ((row + r) * self.groups + group.index)).load() for r in range(rows)]
            first = [e.spread(one, 8) for one in begin for _ in range(vectors)]
            line = panel + group.index * (depth * self.width)
            totals = add_products(e, tops, 1, line, side, [8] * vectors, depth, first)
            here = scales + group.index * self.width
            found = []
            for at, (total, so_far) in enumerate(zip(totals, group.carried, strict=True)):
                scale = (here + at % vectors * 8).load(8)
                found.append(e.multiply_add(e.convert(total, float32), scale, so_far))
            group.carry(found)
        return group.results

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        (m, n), loops = loop_lines([("m", self.m), ("n", self.n)])
        yield from loops
        pad = "    " * len(loops)
        at = f"{n} // {self.width}", f"{n} % {self.width}"
        yield f"{pad}sums = float32(0)"
        yield f"{pad}for group in range({self.groups}):"
        yield f"{pad}    total = int32(0)"
        yield f"{pad}    for k in range(group * {self.size}, (group + 1) * {self.size}):"
        byte = f"{reads[1]}[{at[0]}, k // 8, {at[1]}, k % 4]"
        yield f"{pad}        nibble = int32({byte}) >> 4 * (k % 8 // 4) & 15"
        yield f"{pad}        total += int32({reads[0]}[{m}, k]) * (nibble - 8)"
        yield f"{pad}    sums += float32(total) * {reads[2]}[{at[0]}, group, {at[1]}]"
        lines, made = self.body.text(["sums", *(f"{r}[{m}, {n}]" for r in reads[3:])])
        yield from (pad + line for line in lines)
        for write, name in zip(writes, made, strict=True):
            yield f"{pad}{write}[{m}, {n}] = {name}"
