"""Matrix products in register tiles, with what follows element by element done before a tile is stored."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native import blas
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import (
    Kernel,
    all_shifted,
    layout,
    load_beside,
    nest,
    shifted,
    store_beside,
)
from tinytorch.acceleration.native.kernels.pointwise import Body, loop_lines
from tinytorch.acceleration.native.kernels.tiles import (
    Ahead,
    Side,
    each,
    emit_tiles,
    pack,
    pack_panel,
    pack_rows,
    row_tiles,
    rows_of,
)
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import Pointer, Value, lanes_of
from tinytorch.ops.spec import Array, DType, Shape


@dataclass(frozen=True)
class Product:
    """out[..., m, n] = the sum over k of a[..., m, k] * b[..., k, n], by strides; `batch`: leading axes."""

    batch: Shape
    m: int
    n: int
    k: int
    a: Place
    """(*batch, m, k)"""
    b: Place
    """(*batch, k, n), or panels: (panels, k, width) where `width` is not 0."""
    width: int = 0

    def signature(self) -> tuple[Any, ...]:
        return self.batch, self.m, self.n, self.k, layout(self.a), layout(self.b), self.width


def panel_width(m: int, dtype: DType) -> int:
    """How many columns of b are packed beside each other: few rows leave registers for more."""
    vectors = 8 if m == 1 else 4 if m <= 3 else 2
    return vectors * lanes_of(dtype)


def packed(b: Array, width: int) -> Array:
    """b: (k, n) as panels of `width` columns, (panels, k, width), the last one filled up with zeros.

    >>> packed(np.arange(6.0).reshape(2, 3), 2)
    array([[[0., 1.],
            [3., 4.]],
    <BLANKLINE>
           [[2., 0.],
            [5., 0.]]])
    """
    k, n = b.shape
    panels = -(-n // width)
    full = np.zeros((k, panels * width), b.dtype)
    full[:, :n] = b
    return np.ascontiguousarray(full.reshape(k, panels, width).transpose(1, 0, 2))


@dataclass(frozen=True)
class Blocks:
    """How much of a is used at a time: m rows of k elements; `pack`: laid out first as tiles read them."""

    m: int
    k: int
    pack: bool

    @staticmethod
    def of(p: Product) -> Blocks:
        """Blocks that leave a panel of b in the first level of the cache, and one of a in the second."""
        size = p.a.dtype.itemsize
        deepest = 4096 // size if p.k * size > 6144 and p.m >= 24 else p.k
        parts = -(-p.k // deepest)
        k = -(-p.k // parts)
        most = max(24, 196608 // (k * size))
        m = p.m if p.m <= most else -(-p.m // -(-p.m // most))
        m = m if m == p.m else -(-m // 6) * 6
        across = p.a.strides[-1] != 1 and p.a.strides[-2] == 1
        apart = p.a.strides[-2] * size if p.a.strides[-1] == 1 else 0
        clash = apart > 0 and apart % 4096 == 0 and p.n >= 128  # rows fall into the same sets of the cache
        least = p.k - (parts - 1) * k
        return Blocks(m, k, (across or clash) and p.m >= 24 and p.n >= 48 and least >= 16)


class Gemm(Kernel):
    """A product and its epilogue: a body whose first input is the sum, others are stretched to it."""

    def __init__(
        self,
        product: Product,
        body: Body,
        extras: Sequence[Place],
        writes: Sequence[Place],
        calls: Sequence[Call],
    ) -> None:
        shape = (*product.batch, product.m, product.n)
        self.product, self.body, self.calls = product, body, tuple(calls)
        self.reads = (product.a, product.b, *(place.broadcast(shape) for place in extras))
        self.writes = tuple(writes)
        self.dtype = product.a.dtype
        self.lanes = lanes_of(self.dtype)
        self.plan = self._plan()

    @property
    def flops(self) -> int:
        """Of the product alone."""
        p = self.product
        return 2 * math.prod(p.batch) * p.m * p.n * p.k

    @property
    def shares(self) -> bool:  # type: ignore[override]
        return self.plan != "blas"

    @property
    def blocks(self) -> Blocks | None:
        """How tiles follow each other; None for plans without tiles."""
        return None if self.plan in ("dot", "blas") else Blocks.of(self.product)

    @property
    def one_by_one(self) -> bool:
        """Whether each panel is packed just before it is used: it is, by all rows at once."""
        return self.blocks is not None and self.blocks.m == self.product.m

    @property
    def scratch(self) -> int:  # type: ignore[override]
        return sum(self._scratch()) * self.dtype.itemsize

    def planned(self, plan: str) -> Gemm:
        """The same product by another plan."""
        other = copy.copy(self)
        other.plan = plan
        return other

    def plans(self) -> tuple[str, ...]:
        """All ways to compute it, the one first that its sizes speak for; which is fastest is measured."""
        p, found = self.product, [self._plan()]
        if p.width:
            return tuple(found)
        if p.b.strides[-1] == 1 or p.n <= 8:
            found.append("direct")
        if p.a.strides[-1] == 1 and p.b.strides[-2] == 1 and p.k >= 2 * self.lanes and p.m <= 128:
            found.append("dot")
        if p.m > 2 and p.n > 1:
            found.append("pack")
        straight = self._lands_in_its_result() and blas.takes(p.a) and blas.takes(p.b)
        if min(p.m, p.n, p.k) >= 16 and straight and not p.batch:
            found.append("blas")
        return tuple(dict.fromkeys(found))

    def _plan(self) -> str:
        p = self.product
        if p.width:
            return "panels"
        if p.n == 1 and p.m > 1 and p.a.strides[-1] != 1:
            return "direct"
        if p.b.strides[-1] == 1 or p.n == 1:
            # rows that lie far apart fall into few sets of the cache: pack what is used often
            return "pack" if p.m >= 24 and p.k * p.n > 4096 else "direct"
        if p.a.strides[-1] == 1 and p.b.strides[-2] == 1 and p.k >= 2 * self.lanes and p.m <= 48:
            return "dot"
        return "pack" if p.m > 2 else "direct"

    overwrites = True

    @property
    def in_place(self) -> tuple[Place, ...]:
        return self.reads[2:]

    def signature(self) -> tuple[Any, ...]:
        extras = map(layout, self.reads[2:])
        return (
            "gemm",
            self.plan,
            self.product.signature(),
            self.body.signature(),
            *extras,
            *map(layout, self.writes),
        )

    def _scratch(self) -> tuple[int, int, int]:
        """Elements of working memory: b in panels, a block of a in tiles, sums between blocks of k."""
        p, blocks = self.product, self.blocks
        if blocks is None:
            return 0, 0, 0
        width = panel_width(p.m, self.dtype)
        panels = 0
        if self.plan == "pack":
            panels = width * blocks.k if self.one_by_one else -(-p.n // width) * width * p.k
        sums = p.m * p.n if blocks.k < p.k and self.body.calls else 0
        return panels, (blocks.m * blocks.k + self.lanes) if blocks.pack else 0, sums

    # ------------------------------------------------------------ the loops

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        p = self.product
        with nest(e, p.batch) as indices:
            a, *extras = all_shifted((reads[0], *reads[2:]), (self.reads[0], *self.reads[2:]), indices)
            b = reads[1] if p.width else shifted(reads[1], indices, p.b.strides[: len(indices)])
            outs = all_shifted(writes, self.writes, indices)
            if self.plan == "dot":
                self._dot(e, a, b, extras, outs)
            elif self.plan == "blas":
                blas.emit_product(e, (a, p.a), (b, p.b), outs[0], self.writes[0].strides[-2])
            else:
                self._blocked(e, a, b, extras, outs, scratch)

    def _blocked(
        self,
        e: Emitter,
        a: Pointer,
        b: Pointer,
        extras: Sequence[Pointer],
        outs: Sequence[Pointer],
        scratch: Any,
    ) -> None:
        """Blocks of k, and in each of them blocks of rows: what a tile reads is in the cache by then."""
        p, blocks = self.product, self.blocks
        assert blocks is not None, "only products of rows with rows have none"
        panels, rows, _ = self._scratch()
        room = Pointer(e, scratch, self.dtype) if self.scratch else a
        side_of = self._side(e, b, room)
        most = rows_of(p.width or panel_width(p.m, self.dtype), self.lanes)
        tiles, sums, step = room + panels, room + (panels + rows), p.n
        if not self.body.calls:
            sums, step = outs[0], self.writes[0].strides[-2]

        def rows_block(first: Value, count: int, start: Value, depth: int, opens: bool, closes: bool) -> None:
            left = a + (first * p.a.strides[-2] + start * p.a.strides[-1])
            strides: Sequence[int] | None = p.a.strides[-2:]
            if blocks.pack:
                pack_rows(e, left, p.a.strides[-2:], count, depth, most, tiles)
                left, strides = tiles, None

            def finish(total: Value, row: Value, column: Value, lanes: int) -> None:
                place = sums + (row * step + column)
                if not opens:
                    total = total + place.load(total.lanes, lanes)
                if closes:
                    self._store(e, total, row, column, lanes, extras, outs)
                else:
                    place.store(total, lanes)

            side = side_of(start, depth)
            emit_tiles(e, count, p.n, depth, left, strides, side, finish, first_row=first, shared=True)

        def k_block(start: Value, depth: int, opens: bool, closes: bool) -> None:
            whole, rest = divmod(p.m, blocks.m)
            each(
                e, 0, blocks.m, whole, lambda first: rows_block(first, blocks.m, start, depth, opens, closes)
            )
            if rest:
                rows_block(e.index(whole * blocks.m), rest, start, depth, opens, closes)

        count = -(-p.k // blocks.k)
        if count == 1:
            k_block(e.index(0), p.k, True, True)
            return
        k_block(e.index(0), blocks.k, True, False)
        if count > 2:
            each(e, blocks.k, blocks.k, count - 2, lambda start: k_block(start, blocks.k, False, False))
        last = (count - 1) * blocks.k
        k_block(e.index(last), p.k - last, False, True)

    def _side(self, e: Emitter, b: Pointer, room: Pointer) -> Callable[[Value, int], Side]:
        """The right operand of a block of k, by where that starts and how deep it is."""
        p = self.product
        width = p.width or panel_width(p.m, self.dtype)
        b_k, b_n = p.b.strides[-2:]
        if self.plan == "pack" and self.one_by_one:

            def one_by_one(start: Value, depth: int) -> Side:
                source = b + start * b_k

                def pack_one(index: Value, columns: int) -> None:
                    pack_panel(e, source + index * (width * b_n), (b_k, b_n), depth, columns, room, width)

                side = Side(room, width, width, 0, dense=True, pack=pack_one)
                if b_n == 1:
                    return replace(side, ahead=Ahead(source, width, b_k))
                together = b_k == 1 and b_n == depth
                return replace(side, ahead=Ahead(source, width * b_n, width)) if together else side

            return one_by_one
        if p.width or self.plan == "pack":
            if p.width:
                side = Side(b, width, width, width * p.k, dense=True)
            else:
                side = pack(e, b, (b_k, b_n), p.k, p.n, room, width, shared=True)
            panels = side.start
            return lambda start, depth: replace(
                side, start=panels + start * width, ahead=Ahead(panels + start * width, width * p.k, width)
            )
        return lambda start, depth: Side(b + start * b_k, width, b_k, width * b_n, b_n)

    def _store(
        self,
        e: Emitter,
        total: Value,
        row: Value,
        column: Value,
        count: int,
        extras: Sequence[Pointer],
        outs: Sequence[Pointer],
    ) -> None:
        at = row, column
        beside = load_beside(extras, self.reads[2:], at, -1, total.lanes, count)
        store_beside(outs, self.writes, at, -1, self.body.emit(e, [total, *beside]), count)

    def _dot(
        self, e: Emitter, a: Pointer, b: Pointer, extras: Sequence[Pointer], outs: Sequence[Pointer]
    ) -> None:
        """Tiles of 4 rows and 3 columns whose sums are vectors along k: neither operand need be packed."""
        p = self.product
        for first_n, columns, count_n in row_tiles(p.n, 3):

            def column_tile(column: Value, columns: int = columns) -> None:
                for first_m, rows, count_m in row_tiles(p.m, 4):

                    def tile(row: Value, rows: int = rows) -> None:
                        for r, line in enumerate(self._dots(e, a, b, row, column, rows, columns)):
                            for c, total in enumerate(line):
                                self._store(e, total, row + r, column + c, 1, extras, outs)

                    each(e, first_m, rows, count_m, tile)

            each(e, first_n, columns, count_n, column_tile, shared=True)

    def _dots(
        self, e: Emitter, a: Pointer, b: Pointer, row: Value, column: Value, rows: int, columns: int
    ) -> list[list[Value]]:
        p, lanes = self.product, self.lanes
        tops = [a + (row + r) * p.a.strides[-2] for r in range(rows)]
        sides = [b + (column + c) * p.b.strides[-1] for c in range(columns)]
        totals = [e.zeros(self.dtype, lanes)] * (rows * columns)

        def add(at: Value, totals: Sequence[Value], count: int | None = None) -> list[Value]:
            right = [(side + at).load(lanes, count) for side in sides]
            out = []
            for r in range(rows):
                left = (tops[r] + at).load(lanes, count)
                out += [e.multiply_add(left, right[c], totals[r * columns + c]) for c in range(columns)]
            return out

        whole = p.k // lanes * lanes
        with e.loop(whole, totals, step=lanes) as loop:
            loop.carry(add(loop.index, loop.carried))
        totals = loop.results
        if whole < p.k:
            totals = add(e.index(whole), totals, p.k - whole)
        sums = [e.sum_lanes(total) for total in totals]
        return [sums[r * columns : (r + 1) * columns] for r in range(rows)]

    def _lands_in_its_result(self) -> bool:
        """Whether BLAS can write the result itself: nothing follows, and rows have no gaps."""
        return not self.body.calls and self.writes[0].strides[-1] == 1

    # ------------------------------------------------------------ text

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        p = self.product
        batch = [(f"b{i}", n) for i, n in enumerate(p.batch)]
        names, loops = loop_lines([*batch, ("m", p.m), ("n", p.n)])
        yield from loops
        pad, where = "    " * len(loops), ", ".join(names)
        *outer, m, n = names
        left, right = ", ".join((*outer, m, "k")), ", ".join((*outer, "k", n))
        if p.width:
            right = f"{n} // {p.width}, k, {n} % {p.width}" if p.n > p.width else f"0, k, {n}"
        yield f"{pad}total = 0.0"
        yield f"{pad}for k in range({p.k}):"
        yield f"{pad}    total += {reads[0]}[{left}] * {reads[1]}[{right}]"
        lines, made = self.body.text(["total", *(f"{r}[{where}]" for r in reads[2:])])
        for line in lines:
            yield pad + line
        for write, name in zip(writes, made, strict=True):
            yield f"{pad}{write}[{where}] = {name}"
