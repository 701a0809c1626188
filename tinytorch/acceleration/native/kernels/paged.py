"""A cache of keys and values in pages: written at the end of each sequence, and attended to page by page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from llvmlite import ir

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native import mathematics as m
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.bytes import many_registers
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout, shifted, store_run
from tinytorch.acceleration.native.kernels.tiles import CACHE_LINE, each, row_tiles
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import FLOAT, I32, I64, Pointer, Value
from tinytorch.ops.paged import BIAS, CacheWrite, PagedAttention
from tinytorch.ops.spec import float32, int8, int32

ROWS = 6
"""Queries of a tile: with two vectors of sums each they stay in registers."""


def vectors_for(rows: int, count: int) -> int:
    """How many vectors of a run of elements are worked on at a time: they and their sums fit registers."""
    most = ((32 if many_registers() else 16) - 2) // (rows + 1)
    whole = count // lanes_for(count)
    return next(n for n in range(max(1, min(most, whole)), 0, -1) if whole % n == 0)


def lanes_for(count: int) -> int:
    """How many elements of a run of so many go into a vector; with 16 a page is read front to back."""
    widths = (16, 8, 4, 2, 1) if many_registers() else (8, 4, 2, 1)
    return next(n for n in widths if count % n == 0)


class Pages:
    """Where the positions of a sequence lie while code is written: its row of the table, and the pools."""

    def __init__(self, e: Emitter, sinks: int, page: int, row: Pointer, dropped: Value) -> None:
        self.e, self.page, self.row, self.dropped = e, page, row, dropped
        self.kept = -(-sinks // page) * page

    def place(self, position: Value) -> Value:
        """Where a position is in the row of the table, counted in positions."""
        moved = position - self.dropped
        return self.e.select(position < self.kept, position, moved) if self.kept else moved

    def number(self, place: Value) -> Value:
        """The number of the page in which a place is."""
        return (self.row + place / self.page).load()


class WritePages(Kernel):
    """Reads keys, values, k, v, table, starts, dropped (and exponents); writes the pools, where they lie."""

    shares = True
    overwrites = True

    def __init__(
        self, op: CacheWrite, reads: Sequence[Place], writes: Sequence[Place], calls: Sequence[Call]
    ) -> None:
        self.op, self.reads, self.writes, self.calls = op, tuple(reads), tuple(writes), tuple(calls)
        self.batch, self.heads, self.t, self.d = reads[2].shape
        self.pages, self.page = reads[0].shape[1], reads[0].shape[3]

    @property
    def in_place(self) -> tuple[Place, ...]:
        return (*self.reads[:2], *self.reads[7:])

    def signature(self) -> tuple[Any, ...]:
        pool, others = self.reads[0], map(layout, self.reads[2:7])
        return "write_pages", self.op.sinks, pool.dtype.name, pool.shape, many_registers(), *others

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        table = self.reads[4]
        with e.shared_loop(self.batch * self.t) as loop:
            b, i = loop.index / self.t, loop.index % self.t
            row = reads[4] + b * table.strides[0]
            pages = Pages(e, self.op.sinks, self.page, row, (reads[6] + b).load())
            place = pages.place((reads[5] + b).load() + i)
            number, column = pages.number(place), place % self.page
            with e.loop(self.heads) as head:
                for which, step in ((0, self.page), (1, 1)):
                    at = head.index * self.pages + number
                    target = writes[which] + at * (self.d * self.page)
                    target = target + (column if which == 0 else column * self.d)
                    at_row = [b, head.index, i]
                    place_of = self.reads[2 + which]
                    source = shifted(reads[2 + which], at_row, place_of.strides[:3])
                    scale = None
                    if self.op.coded:
                        exponent = self._exponent(e, source)
                        (writes[2 + which] + (at * self.page + column)).store(e.convert(exponent, int8))
                        scale = e.bits((exponent * -1 + 2 * BIAS) << 23, FLOAT)
                        scale = e.select(exponent < 255, scale, 0.0)
                    self._move(e, source, target, step, scale)

    def _exponent(self, e: Emitter, source: Pointer) -> Value:
        """The exponent of a vector's scale, +127: the next power of two from the largest |x| / 127 up."""
        lanes = lanes_for(self.d)
        bits = e.bits(e.zeros(float32, lanes), I32)
        with e.loop(self.d, [bits], step=lanes) as loop:
            now = e.bits((source + loop.index).load(lanes), I32) & 0x7FFFFFFF
            loop.carry([e.intrinsic("smax", loop.carried[0], now)])
        top = e.largest_lane(loop.results[0])
        share = e.bits(top, FLOAT) / 127.0
        found = (e.bits(share, I32) + 0x7FFFFF) >> 23
        found = e.select(found < 1, 1, found)
        found = e.select(share.equals(0.0), BIAS, found)
        return e.select(top < 0x7F800000, found, 255)

    def _move(self, e: Emitter, source: Pointer, target: Pointer, step: int, scale: Value | None) -> None:
        """One vector into its page, in the dtype of the pool, `step` elements apart."""
        lanes = lanes_for(self.d)
        with e.loop(self.d, step=lanes) as loop:
            value = (source + loop.index).load(lanes)
            if scale is not None:
                value = e.intrinsic("rint", value * e.spread(scale, lanes))
                value = e.select(value.equals(value), value, 0.0)
            store_run(target + loop.index * step, e.convert(value, target.dtype), step)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        _, _, k, v, table, starts, dropped, *_ = reads
        kept = -(-self.op.sinks // self.page) * self.page
        yield f"for b in range({self.batch}):"
        yield f"    for i in range({self.t}):"
        yield f"        at = {starts}[b] + i"
        yield f"        at -= {dropped}[b] if at >= {kept} else 0"
        yield f"        number, column = {table}[b, at // {self.page}], at % {self.page}"
        yield f"        for h in range({self.heads}):"
        for which, name in ((0, k), (1, v)):
            pool = f"{writes[which]}[h, number, {':, column' if which == 0 else 'column'}]"
            if self.op.coded:
                exponent = f"{writes[2 + which]}[h, number, column]"
                yield f"            {pool}, {exponent} = to_codes({name}[b, h, i])"
            else:
                yield f"            {pool} = {name}[b, h, i]"


class AttendPages(Kernel):
    """Reads q, keys, values, table, starts, dropped (and exponents); writes the result.

    The queries of all heads that share a head of keys make rows, six at a time. Page after page a row keeps
    the largest score so far, the sum of the weights and the weighted values, and scales both when a larger
    score comes: Milakov, Gimelshein, "Online normalizer calculation for softmax", 2018. What a row becomes
    does not depend on what other rows there are.
    """

    shares = True

    def __init__(
        self, op: PagedAttention, reads: Sequence[Place], write: Place, calls: Sequence[Call]
    ) -> None:
        self.op, self.reads, self.writes, self.calls = op, tuple(reads), (write,), tuple(calls)
        self.batch, self.q_heads, self.t, self.d = reads[0].shape
        self.heads, self.pages, _, self.page = reads[1].shape
        self.group = self.q_heads // self.heads
        self.coded = reads[1].dtype == int8
        self.lanes = lanes_for(self.page)
        self.scratch = 4 * ROWS * (self.page + self.d)

    def signature(self) -> tuple[Any, ...]:
        pool, places = self.reads[1], map(layout, (self.reads[0], *self.reads[3:6], *self.writes))
        sizes = pool.dtype.name, pool.shape, many_registers()
        return "attend_pages", self.op.sinks, self.op.window, self.op.scale, *sizes, *places

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        scores = Pointer(e, scratch, float32)
        with e.shared_loop(self.batch * self.heads) as loop:
            b, head = loop.index / self.heads, loop.index % self.heads
            row = reads[3] + b * self.reads[3].strides[0]
            pages = Pages(e, self.op.sinks, self.page, row, (reads[5] + b).load())
            start = (reads[4] + b).load()
            for first, rows, count in row_tiles(self.t * self.group, ROWS):

                def tile(at: Value, rows: int = rows) -> None:
                    _Tile(self, e, reads, writes[0], scores, pages, (b, head), start, at, rows).emit()

                each(e, first, rows, count, tile)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        q, keys, values, table, starts, dropped, *scales = reads
        kept = -(-self.op.sinks // self.page) * self.page
        yield f"for b in range({self.batch}):"
        yield f"    for h in range({self.q_heads}):"
        yield f"        for i in range({self.t}):"
        yield f"            here, scores = {starts}[b] + i, {{}}"
        yield "            for position in range(here + 1):"
        yield f"                at = position - ({dropped}[b] if position >= {kept} else 0)"
        hidden = f"{kept} <= position and at < {kept}"
        if self.op.window:
            hidden += f" or here - position >= {self.op.window} and position >= {self.op.sinks}"
        yield f"                if {hidden}:"
        yield "                    continue"
        yield f"                place = h // {self.group}, {table}[b, at // {self.page}], at % {self.page}"
        share = f" * 2.0 ** (int({scales[0]}[place]) % 256 - {BIAS})" if scales else ""
        products = f"{q}[b, h, i, d] * float32({keys}[place[0], place[1], d, place[2]])"
        yield f"                total = sum({products} for d in range({self.d})){share}"
        yield f"                scores[place] = {self.op.scale} * total"
        yield "            top = max(scores.values())"
        yield "            weights = {place: exp(score - top) for place, score in scores.items()}"
        yield "            total = sum(weights.values())"
        yield f"            for d in range({self.d}):"
        share = f" * 2.0 ** (int({scales[1]}[place]) % 256 - {BIAS})" if scales else ""
        weighed = f"w / total * float32({values}[(*place, d)]){share}"
        yield f"                {writes[0]}[b, h, i, d] = sum({weighed} for place, w in weights.items())"


class _Tile:
    """A few rows of one head of keys while their code is written."""

    def __init__(
        self,
        kernel: AttendPages,
        e: Emitter,
        reads: Sequence[Pointer],
        out: Pointer,
        scores: Pointer,
        pages: Pages,
        where: tuple[Value, Value],
        start: Value,
        first: Value,
        rows: int,
    ) -> None:
        self.kernel, self.e, self.reads, self.pages, self.rows = kernel, e, reads, pages, rows
        self.scores, self.sums = scores, scores + ROWS * kernel.page
        self.b, self.head = where
        group = kernel.group
        places = [(first + r) for r in range(rows)]
        heads = [self.head * group + place % group for place in places]
        queries = [place / group for place in places]
        q, o = kernel.reads[0].strides, kernel.writes[0].strides
        self.q = [shifted(reads[0], [self.b, h, i], q[:3]) for h, i in zip(heads, queries, strict=True)]
        self.out = [shifted(out, [self.b, h, i], o[:3]) for h, i in zip(heads, queries, strict=True)]
        self.positions = [start + i for i in queries]
        """Those of the rows: the last one sees the most."""

    def emit(self) -> None:
        """All pages that the last row sees, then the shares."""
        e, kernel, rows = self.e, self.kernel, self.rows
        end = self.pages.place(self.positions[-1]) + 1
        lanes = lanes_for(kernel.d)
        with e.loop(kernel.d, step=lanes) as loop:
            for r in range(rows):
                (self.sums + (loop.index + r * kernel.d)).store(e.zeros(float32, lanes))
        state = [e.constant(-math.inf, float32)] * rows + [e.zeros(float32)] * rows
        with e.loop((end + (kernel.page - 1)) / kernel.page, state) as page:
            base = page.index * kernel.page
            left = end - base
            held = e.select(left < kernel.page, left, kernel.page)
            number = (self.pages.row + page.index).load() + self.head * kernel.pages
            following = page.index + 1
            following = e.select(following * kernel.page < end, following, page.index)
            ahead = (self.pages.row + following).load() + self.head * kernel.pages
            tops = self._scores(base, held, number, ahead, page.carried[:rows])
            page.carry(self._weigh(held, number, ahead, tops, page.carried))
        for r in range(rows):
            share = e.spread(page.results[rows + r].like(1.0) / page.results[rows + r], lanes)
            with e.loop(kernel.d, step=lanes) as loop:
                value = (self.sums + (loop.index + r * kernel.d)).load(lanes)
                (self.out[r] + loop.index).store(value * share)

    def _scores(
        self, base: Value, held: Value, number: Value, ahead: Value, tops: Sequence[Value]
    ) -> list[Value]:
        """Scores of a page, and the largest of each row so far; the page's values are fetched."""
        e, kernel, lanes = self.e, self.kernel, self.kernel.lanes
        size = kernel.d * kernel.page
        keys, later = self.reads[1] + number * size, self.reads[2] + number * size
        vectors = vectors_for(self.rows, kernel.page)
        low = e.constant(-math.inf, float32, lanes)
        with e.loop(held, [low] * self.rows, step=lanes * vectors) as block:
            with e.loop(kernel.d, [e.zeros(float32, lanes)] * (self.rows * vectors)) as feature:
                line = keys + (feature.index * kernel.page + block.index)
                run = vectors * lanes
                _fetch(later + (block.index * kernel.d + feature.index * run), run)
                right = [e.convert((line + v * lanes).load(lanes), float32) for v in range(vectors)]
                found = []
                for r in range(self.rows):
                    left = e.spread((self.q[r] + feature.index).load(), lanes)
                    for v in range(vectors):
                        found.append(e.multiply_add(left, right[v], feature.carried[r * vectors + v]))
                feature.carry(found)
            largest = list(block.carried)
            for v in range(vectors):
                at = block.index + v * lanes
                places, share = self._places(base + at), self._exponents(6, number, at)
                for r in range(self.rows):
                    total = feature.results[r * vectors + v] * kernel.op.scale
                    total = total if share is None else total * share
                    total = e.select(self._seen(places, self.positions[r]), total, low)
                    (self.scores + (at + r * kernel.page)).store(total)
                    largest[r] = e.select(total > largest[r], total, largest[r])
            block.carry(largest)
        return [_larger(e, e.largest_lane(one), top) for one, top in zip(block.results, tops, strict=True)]

    def _places(self, first: Value) -> Value:
        """The positions at the next places of the row of the table."""
        e, lanes, kept = self.e, self.kernel.lanes, self.pages.kept
        numbers = e.spread(first, lanes)
        if lanes > 1:
            numbers = numbers + Value(e, ir.Constant(ir.VectorType(I64, lanes), list(range(lanes))))
        moved = numbers + e.spread(self.pages.dropped, lanes)
        return e.select(numbers < kept, numbers, moved) if kept else moved

    def _seen(self, places: Value, position: Value) -> Value:
        """Which positions a row sees."""
        op, lanes = self.kernel.op, self.kernel.lanes
        seen = places <= self.e.spread(position, lanes)
        if op.window:
            near = self.e.spread(position - op.window, lanes) < places
            seen = seen & (near | (places < op.sinks))
        return seen

    def _exponents(self, which: int, number: Value, at: Value) -> Value | None:
        """The scales of the next keys or values of a page, if they have any."""
        if not self.kernel.coded:
            return None
        e, lanes = self.e, self.kernel.lanes
        codes = (self.reads[which] + (number * self.kernel.page + at)).load(lanes)
        return e.bits((e.convert(codes, int32) & 255) << 23, FLOAT)

    def _weigh(
        self, held: Value, number: Value, ahead: Value, tops: Sequence[Value], carried: Sequence[Value]
    ) -> list[Value]:
        """Weights of a page in place of its scores, then the values that they weigh; the new state."""
        e, kernel, rows, lanes = self.e, self.kernel, self.rows, self.kernel.lanes
        fades = []
        totals = []
        for r in range(rows):
            top = e.select(tops[r].equals(-math.inf), 0.0, tops[r])
            fades.append(m.share_exp(e, carried[r] - top))
            wide = e.spread(top, lanes)
            with e.loop(held, [e.zeros(float32, lanes)], step=lanes) as loop:
                here = self.scores + (loop.index + r * kernel.page)
                power = m.share_exp(e, here.load(lanes) - wide)
                share = self._exponents(7, number, loop.index)
                here.store(power if share is None else power * share)
                loop.carry([loop.carried[0] + power])
            totals.append(carried[rows + r] * fades[r] + e.sum_lanes(loop.results[0]))
        self._add_values(held, number, ahead, fades)
        return [*tops, *totals]

    def _add_values(self, held: Value, number: Value, ahead: Value, fades: Sequence[Value]) -> None:
        """The values of a page, weighted, to sums that fade; the next page's keys are fetched."""
        e, kernel, rows, lanes = self.e, self.kernel, self.rows, lanes_for(self.kernel.d)
        size = kernel.d * kernel.page
        values, later = self.reads[2] + number * size, self.reads[1] + ahead * size
        vectors = vectors_for(rows, kernel.d)
        run = vectors * lanes
        with e.loop(kernel.d, step=run) as part:
            places = [r * kernel.d + v * lanes for r in range(rows) for v in range(vectors)]
            here = [self.sums + (part.index + place) for place in places]
            sums = [p.load(lanes) * e.spread(fades[i // vectors], lanes) for i, p in enumerate(here)]
            with e.loop(held, sums) as position:
                line = values + (position.index * kernel.d + part.index)
                _fetch(later + (part.index * kernel.page + position.index * run), run)
                right = [e.convert((line + v * lanes).load(lanes), float32) for v in range(vectors)]
                found = []
                for r in range(rows):
                    left = e.spread((self.scores + (position.index + r * kernel.page)).load(), lanes)
                    for v in range(vectors):
                        found.append(e.multiply_add(left, right[v], position.carried[r * vectors + v]))
                position.carry(found)
            for pointer, total in zip(here, position.results, strict=True):
                pointer.store(total)


def _fetch(pointer: Pointer, count: int) -> None:
    """Have the next `count` elements brought into the cache: they are used when this page is done."""
    for at in range(0, count * pointer.dtype.itemsize, CACHE_LINE):
        (pointer + at // pointer.dtype.itemsize).fetch()


def _larger(e: Emitter, a: Value, b: Value) -> Value:
    return e.select(a > b, a, b)
