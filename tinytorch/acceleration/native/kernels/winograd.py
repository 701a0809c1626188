"""Convolution of 3x3 windows by Winograd's algorithm: 2x2 outputs from 16 products instead of 36."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.frames import Frame, Windows
from tinytorch.acceleration.native.kernels.gemm import packed
from tinytorch.acceleration.native.kernels.kernel import (
    Kernel,
    all_shifted,
    layout,
    load_beside,
    nest,
    store_beside,
)
from tinytorch.acceleration.native.kernels.lookup import along
from tinytorch.acceleration.native.kernels.pointwise import Body
from tinytorch.acceleration.native.kernels.tiles import Side, emit_tiles
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import Pointer, Value, lanes_of
from tinytorch.ops.spec import Array, Shape

_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
"""F(2, 3) on filters: Lavin, Gray, "Fast algorithms for convolutional neural networks", 2016."""
_ROOM = 196608
"""Bytes of transformed tiles at a time: what the second level of a cache holds beside the filters."""


def transformed_filters(w: Array, width: int) -> Array:
    """w: (o, c, 3, 3) as G w G^T in panels: (16, panels, c, width).

    >>> transformed_filters(np.ones((1, 1, 3, 3)), 1).reshape(4, 4)[0]
    array([1. , 1.5, 0.5, 1. ])
    """
    o, c = w.shape[:2]
    turned = np.einsum("iu,ocuv,jv->ijco", _G, w.astype(np.float64), _G).reshape(16, c, o).astype(w.dtype)
    return np.stack([packed(one, width) for one in turned])


class Winograd(Kernel):
    """Reads an image batch, transformed filters and operands of the epilogue; writes channels last.

    Rows of tiles are handled in blocks: patches of 4x4 pixels are transformed, each of their 16 places is a
    product over the channels, and the sums are transformed back to 2x2 outputs, of which a max-pool that
    follows keeps the largest.
    """

    shares = True

    def __init__(
        self,
        x: Place,
        padding: tuple[int, int],
        filters: Place,
        body: Body,
        extras: Sequence[Place],
        writes: Sequence[Place],
        calls: Sequence[Call],
        shape: Shape,
    ) -> None:
        self.body, self.calls, self.writes = body, tuple(calls), tuple(writes)
        self.reads = (x, filters, *(place.broadcast(shape) for place in extras))
        self.n, self.o, self.oh, self.ow = shape
        self.pool = writes[0].shape != shape
        self.down, self.across = -(-self.oh // 2), -(-self.ow // 2)
        size = (2 * self.down + 2, 2 * self.across + 2)
        windows = Windows(size, padding, (1, 1), (3, 3), (1, 1), (1, 1), 1)
        self.frame, self.dtype = Frame(windows, x), x.dtype
        self.c, self.width = x.shape[1], filters.shape[3]
        self.lanes = lanes_of(self.dtype)
        row = 16 * self.across * (self.c + self.o) * self.dtype.itemsize
        self.rows = max(1, min(self.down, _ROOM // row))
        self.tiles = self.rows * self.across
        self.scratch = self.frame.nbytes + 16 * self.tiles * (self.c + self.o) * self.dtype.itemsize

    def signature(self) -> tuple[Any, ...]:
        shape = self.n, self.o, self.oh, self.ow
        places = map(layout, (*self.reads, *self.writes))
        return "winograd", self.frame.windows, shape, self.body.signature(), len(self.writes), *places

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        room = Pointer(e, scratch, self.dtype)
        patches = room + self.frame.nbytes // self.dtype.itemsize
        sums = patches + 16 * self.tiles * self.c
        self.frame.begin(e, room)
        with e.shared_loop(self.n) as image:
            given = self.reads[0], *self.reads[2:]
            x, *extras = all_shifted((reads[0], *reads[2:]), given, [image.index])
            outs = all_shifted(writes, self.writes, [image.index])
            framed = self.frame.load(e, x, room)

            def block(first: Value, rows: int) -> None:
                self._patches(e, framed, first, rows, patches)
                self._products(e, patches, reads[1], rows * self.across, sums)
                self._outputs(e, sums, first, rows, extras, outs)

            whole = self.down // self.rows
            if whole:
                with e.loop(whole) as loop:
                    block(loop.index * self.rows, self.rows)
            if self.down % self.rows:
                block(e.index(whole * self.rows), self.down % self.rows)

    def _patches(self, e: Emitter, framed: Pointer, first: Value, rows: int, into: Pointer) -> None:
        """B^T d B of each 4x4 patch d, for a vector of channels at a time."""
        step = self.tiles * self.c
        with nest(e, [rows, self.across]) as (y, x):
            corner = framed + ((first + y) * (2 * self.frame.row) + x * (2 * self.c))
            target = into + (y * self.across + x) * self.c

            def channels(at: Value, lanes: int, count: int) -> None:
                d = [
                    [(corner + (at + (i * self.frame.row + j * self.c))).load(lanes, count) for j in range(4)]
                    for i in range(4)
                ]
                columns = [_patch_line([d[i][j] for i in range(4)]) for j in range(4)]
                for i in range(4):
                    for j, value in enumerate(_patch_line([columns[j][i] for j in range(4)])):
                        (target + (at + (i * 4 + j) * step)).store(value, count)

            along(e, self.c, self.lanes, channels)

    def _products(self, e: Emitter, patches: Pointer, filters: Pointer, tiles: int, sums: Pointer) -> None:
        """For each of the 16 places, (tiles, channels) by (channels, outputs)."""
        size = self.reads[1].size // 16
        with e.loop(16) as place:
            left = patches + place.index * (self.tiles * self.c)
            side = Side(filters + place.index * size, self.width, self.width, self.width * self.c, dense=True)
            out = sums + place.index * (self.tiles * self.o)

            def finish(total: Value, row: Value, column: Value, count: int) -> None:
                (out + (row * self.o + column)).store(total, count)

            emit_tiles(e, tiles, self.o, self.c, left, (self.c, 1), side, finish)

    def _outputs(
        self,
        e: Emitter,
        sums: Pointer,
        first: Value,
        rows: int,
        extras: Sequence[Pointer],
        outs: Sequence[Pointer],
    ) -> None:
        """A^T m A of each tile's sums m, the epilogue, and the 2x2 outputs or the largest to memory."""
        step = self.tiles * self.o
        with nest(e, [rows, self.across]) as (y, x):
            tile = sums + (y * self.across + x) * self.o

            def filters(at: Value, lanes: int, count: int) -> None:
                m = [
                    [(tile + (at + (i * 4 + j) * step)).load(lanes, count) for j in range(4)]
                    for i in range(4)
                ]
                columns = [_output_line([m[i][j] for i in range(4)]) for j in range(4)]
                four = [value for i in range(2) for value in _output_line([columns[j][i] for j in range(4)])]
                self._store(e, four, (at, first + y, x), count, extras, outs)

            along(e, self.o, self.lanes, filters)

    def _store(
        self,
        e: Emitter,
        four: Sequence[Value],
        at: Sequence[Value],
        count: int,
        extras: Sequence[Pointer],
        outs: Sequence[Pointer],
    ) -> None:
        filter_, y, x = at
        best = None
        for number, total in enumerate(four):
            i, j = divmod(number, 2)
            pixel = (filter_, y * 2 + i, x * 2 + j)
            beside = load_beside(extras, self.reads[2:], pixel, 0, total.lanes, count)
            made = self.body.emit(e, [total, *beside])
            if self.pool:
                value = made[0]
                best = value if best is None else e.select((value > best) | value.differs(value), value, best)
            else:
                self._store_pixel(e, made, pixel, (i, j), count, outs)
        if best is not None:
            self._store_pixel(e, [best], at, (0, 0), count, outs)

    def _store_pixel(
        self,
        e: Emitter,
        values: Sequence[Value],
        pixel: Sequence[Value],
        corner: tuple[int, int],
        count: int,
        outs: Sequence[Pointer],
    ) -> None:
        """Write a pixel, if the image has it: the last tiles may reach beyond an odd edge."""
        _, y, x = pixel
        height, width = self.writes[0].shape[2:]
        conditions = []
        if (self.oh % 2 and corner[0]) or (self.pool and self.oh % 2):
            conditions.append(y < height)
        if (self.ow % 2 and corner[1]) or (self.pool and self.ow % 2):
            conditions.append(x < width)

        def write() -> None:
            store_beside(outs, self.writes, pixel, 0, values, count)

        if not conditions:
            write()
            return
        whole = conditions[0] if len(conditions) == 1 else conditions[0] & conditions[1]
        with e.when(whole):
            write()

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        size, origin = self.frame.windows.size, self.frame.windows.origin
        yield f"for n in range({self.n}):"
        yield f"    framed = frame({reads[0]}[n], {size}, {origin}, (1, 1))"
        yield f"    for y, x, o in product(range({self.down}), range({self.across}), range({self.o})):"
        yield "        m = [[0.0] * 4 for _ in range(4)]"
        yield f"        for c in range({self.c}):"
        yield "            d = winograd_patch(framed[c, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4])"
        yield "            for i, j in product(range(4), range(4)):"
        weight = f"{reads[1]}[i * 4 + j, o // {self.width}, c, o % {self.width}]"
        yield f"                m[i][j] += d[i][j] * {weight}"
        yield "        for (i, j), total in winograd_outputs(m):"
        yield "            row, column = 2 * y + i, 2 * x + j"
        height, width = (n // 2 * 2 if self.pool else n for n in (self.oh, self.ow))
        yield f"            if row >= {height} or column >= {width}:"
        yield "                continue"
        lines, made = self.body.text(["total", *(f"{r}[n, o, row, column]" for r in reads[2:])])
        for line in lines:
            yield "            " + line
        if self.pool:
            yield f"            best = {made[0]} if i == j == 0 else maximum(best, {made[0]})"
            yield f"            {writes[0]}[n, o, y, x] = best"
            return
        for write, name in zip(writes, made, strict=True):
            yield f"            {write}[n, o, row, column] = {name}"


def _patch_line(d: Sequence[Value]) -> list[Value]:
    """B^T d for a line of four."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _output_line(m: Sequence[Value]) -> list[Value]:
    """A^T m for a line of four."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
