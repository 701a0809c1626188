"""The gradient of filters: sums over pixels, in tiles of window elements and filters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.frames import Frame, Windows, filter_width
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout, nest, store_run
from tinytorch.acceleration.native.kernels.lookup import fill
from tinytorch.acceleration.native.kernels.tiles import SUMS, Side, add_products, each, row_tiles
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import Pointer, Value, lanes_of


class ConvolveWeights(Kernel):
    """dw = g correlated with x, for each filter a row, and the sum of g behind it where there is a bias."""

    shares = True

    def __init__(
        self, windows: Windows, g: Place, x: Place, write: Place, bias: bool, calls: Sequence[Call]
    ) -> None:
        self.windows, self.bias, self.calls = windows, bias, tuple(calls)
        self.reads, self.writes = (g, x), (write,)
        self.n, self.o, self.oh, self.ow = g.shape
        self.dtype = g.dtype
        plain = Windows((self.oh, self.ow), (0, 0), (1, 1), (1, 1), (1, 1), (1, 1), 1)
        self.frame, self.pixels = Frame(windows, x), Frame(plain, g)
        self.c = x.shape[1] // windows.groups
        self.outputs = self.o // windows.groups
        self.width = filter_width(self.outputs, self.dtype)
        self.panels = -(-self.outputs // self.width)
        self.row = self.c * math.prod(windows.kernel)
        self.sums = windows.groups * self.panels * (self.row + bias) * self.width
        self.scratch = self.sums * self.dtype.itemsize + self.frame.nbytes + self.pixels.nbytes

    def signature(self) -> tuple[Any, ...]:
        return "convolve_weights", self.windows, self.bias, *map(layout, (*self.reads, *self.writes))

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        sums = Pointer(e, scratch, self.dtype)
        room = sums + self.sums
        pixel_room = room + self.frame.nbytes // self.dtype.itemsize
        fill(e, sums, self.sums, 0)
        self.frame.begin(e, room)
        with e.loop(self.n) as image:
            g = self.pixels.load(e, reads[0] + image.index * self.reads[0].strides[0], pixel_room)
            x = self.frame.load(e, reads[1] + image.index * self.reads[1].strides[0], room)
            with e.loop(self.windows.groups) as group:

                def panel(number: Value, columns: int) -> None:
                    into = sums + (group.index * self.panels + number) * ((self.row + self.bias) * self.width)
                    right = g + group.index * self.outputs + number * self.width
                    self._panel(e, x + group.index * self.c, right, into, columns)

                self._panels(e, panel)
        self._spread(e, sums, writes[0])

    def _panels(self, e: Emitter, panel: Callable[[Value, int], None]) -> None:
        whole = self.outputs // self.width
        if whole:
            with e.shared_loop(whole) as loop:
                panel(loop.index, self.width)
        if self.outputs % self.width:
            with e.last_thread():
                panel(e.index(whole), self.outputs % self.width)

    def _panel(self, e: Emitter, x: Pointer, g: Pointer, into: Pointer, columns: int) -> None:
        """Add what one image gives to the rows (kh, kw, c) of some filters."""
        w, pixel = self.windows, self.frame.channels
        (kh, kw), (sh, sw), (dh, dw) = w.kernel, w.stride, w.dilation
        merged = dw == 1 and self.c == pixel
        runs, length = (1, kw * self.c) if merged else (kw, self.c)
        lanes = lanes_of(self.dtype)
        vectors = -(-columns // lanes)
        counts = [min(lanes, columns - v * lanes) for v in range(vectors)]
        side = Side(g, self.width, self.o, 0)
        with nest(e, [kh, runs]) as (i, j):
            corner = x + (i * (dh * self.frame.row) + j * (dw * pixel))
            line = into + (i * (kw * self.c) + j * self.c) * self.width
            for start, rows, count in row_tiles(length, SUMS // vectors):

                def tile(first: Value, rows: int = rows) -> None:
                    places = [
                        line + ((first + r) * self.width + v * lanes)
                        for r in range(rows)
                        for v in range(vectors)
                    ]
                    with e.loop(self.oh, [p.load(lanes) for p in places]) as y:
                        tops = [corner + (first + r + y.index * (sh * self.frame.row)) for r in range(rows)]
                        right = g + y.index * (self.ow * self.o)
                        y.carry(add_products(e, tops, sw * pixel, right, side, counts, self.ow, y.carried))
                    for place, value in zip(places, y.results, strict=True):
                        place.store(value)

                each(e, start, rows, count, tile)
        if self.bias:
            last = [into + (self.row * self.width + v * lanes) for v in range(vectors)]
            with e.loop(self.oh * self.ow, [p.load(lanes) for p in last]) as at:
                right = [(g + (at.index * self.o + v * lanes)).load(lanes, counts[v]) for v in range(vectors)]
                at.carry([total + value for total, value in zip(at.carried, right, strict=True)])
            for place, value in zip(last, at.results, strict=True):
                place.store(value)

    def _spread(self, e: Emitter, sums: Pointer, out: Pointer) -> None:
        """From (groups, panels, kh, kw, c, width) to a row (c, kh, kw) for each filter."""
        kh, kw = self.windows.kernel
        step = self.writes[0].strides[0]
        lanes = lanes_of(self.dtype)
        with e.loop(self.windows.groups) as group:

            def panel(number: Value, columns: int) -> None:
                source = sums + (group.index * self.panels + number) * ((self.row + self.bias) * self.width)
                target = out + (group.index * self.outputs + number * self.width) * step
                for v in range(-(-columns // lanes)):
                    count = min(lanes, columns - v * lanes)
                    here, there = source + v * lanes, target + v * lanes * step
                    with nest(e, [kh * kw, self.c]) as (position, channel):
                        value = (here + (position * self.c + channel) * self.width).load(lanes)
                        store_run(there + (channel * (kh * kw) + position), value, step, count)
                    if self.bias:
                        store_run(there + self.row, (here + self.row * self.width).load(lanes), step, count)

            self._panels(e, panel)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        w, (kh, kw), out = self.windows, self.windows.kernel, writes[0]
        yield f"{out}[...] = 0"
        yield f"for n in range({self.n}):"
        yield f"    framed = {w.text(f'{reads[1]}[n]', self.frame.image)}"
        yield f"    for o, y, x in product(range({self.o}), range({self.oh}), range({self.ow})):"
        channel = "c" if w.groups == 1 else f"o // {self.outputs} * {self.c} + c"
        yield f"        for c, i, j in product(range({self.c}), range({kh}), range({kw})):"
        yield f"            pixel = framed[{channel}, {w.pixel()}]"
        yield f"            {out}[o, (c * {kh} + i) * {kw} + j] += {reads[0]}[n, o, y, x] * pixel"
        if self.bias:
            yield f"        {out}[o, {self.row}] += {reads[0]}[n, o, y, x]"
