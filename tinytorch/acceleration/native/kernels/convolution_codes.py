"""Convolutions of int8 codes with exact int32 sums: the loops of `Convolve`, on codes in twos or fours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.convolution import Convolve
from tinytorch.acceleration.native.kernels.frames import Frame, Windows
from tinytorch.acceleration.native.kernels.integer import packed_codes
from tinytorch.acceleration.native.kernels.products import Integers, Quads, int16
from tinytorch.acceleration.native.kernels.tiles import Side, add_products
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import Pointer, Value
from tinytorch.ops.spec import Array, int8, int32


def run_of(windows: Windows, channels: int) -> tuple[int, int]:
    """How many runs of codes lie in a row of a window, and how long each is: one if its pixels are beside."""
    kw = windows.kernel[1]
    return (1, kw * channels) if windows.dilation[1] == 1 and windows.groups == 1 else (kw, channels)


def filter_codes(w: Array, groups: int, width: int, codes: int, runs: int) -> Array:
    """w: int8 (o, c, kh, kw) as (groups, panels, kh * runs, elements, width, codes), filled up with zeros."""
    o, c, kh, kw = w.shape
    rows = w.transpose(0, 2, 3, 1).reshape(groups, o // groups, kh * runs, kw // runs * c)
    panels = [[packed_codes(rows[g, :, r], width, codes) for r in range(kh * runs)] for g in range(groups)]
    return np.ascontiguousarray(np.array(panels).transpose(0, 2, 1, 3, 4, 5))


class ConvolveCodes(Convolve):
    """Reads codes of images, of filters as `filter_codes` lays them out, and what the epilogue takes."""

    def __init__(self, codes: Integers, channels: int, *arguments: Any) -> None:
        self.codes, self.c = codes, channels
        super().__init__(*arguments)

    def _lay_out(self, x: Place, filters: Place) -> None:
        quads = isinstance(self.codes, Quads)
        self.runs, self.length = run_of(self.windows, self.c)
        self.elements, self.width = filters.shape[3:5]
        self.lanes = self.codes.lanes
        self.frame = Frame(self.windows, x, int8 if quads else int16)
        if self.length % self.codes.codes:  # the last element of a window may reach behind the image
            self.frame.direct = False
            self.frame.nbytes = self.windows.size[0] * self.frame.row * self.frame.dtype.itemsize
        self.frame.nbytes += 8 * bool(self.frame.nbytes)

    def signature(self) -> tuple[Any, ...]:
        return *super().signature(), self.codes.signature()

    def _sums(self, e: Emitter, tops: Sequence[Pointer], filters: Pointer, vectors: int) -> list[Value]:
        """The sums of a tile whose windows begin at `tops`."""
        w, pixel = self.windows, self.frame.channels
        kh, (dh, dw) = w.kernel[0], w.dilation
        start = Pointer(e, filters.ir, int16 if self.codes.codes == 2 else int32)
        size = self.elements * self.width
        side = Side(start, self.width, self.width, 0, dense=True, codes=self.codes)
        sums = [side.products.zeros(e)] * (len(tops) * vectors)

        def add(i: Value, j: Value, sums: Sequence[Value]) -> list[Value]:
            moved = [top + (i * (dh * self.frame.row) + j * (dw * pixel)) for top in tops]
            rows = [Pointer(e, top.ir, int32) for top in moved]
            line = start + (i * self.runs + j) * size
            return add_products(e, rows, 1, line, side, [self.lanes] * vectors, self.elements, sums)

        if kh * self.runs * self.elements <= 64:
            for i in range(kh):
                for j in range(self.runs):
                    sums = add(e.index(i), e.index(j), sums)
            return list(sums)
        with e.loop(kh, sums) as outer:
            with e.loop(self.runs, outer.carried) as inner:
                inner.carry(add(outer.index, inner.index, inner.carried))
            outer.carry(inner.results)
        return outer.results

    number = "int32(0)", "int32({})"

    def _filter(self, name: str, group: str, own: str) -> str:
        run, at = ("i", f"(j * {self.c} + c)") if self.runs == 1 else (f"i * {self.runs} + j", "c")
        codes, panel = self.codes.codes, f"{own} // {self.width}"
        return f"{name}[{group}, {panel}, {run}, {at} // {codes}, {own} % {self.width}, {at} % {codes}]"
