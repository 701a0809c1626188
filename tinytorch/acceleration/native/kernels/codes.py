"""Codes for the numbers of each row, with a scale that its largest one sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.lookup import along, fill
from tinytorch.acceleration.native.kernels.rows import Rows
from tinytorch.acceleration.native.values import I32, Pointer, Value
from tinytorch.ops.quantize import LARGEST, TINY
from tinytorch.ops.spec import float32, int8

_INFINITE = 0x7F800000
"""The bits of infinity: as integers, those of what is not finite are not below, those of all else are."""


class QuantizeEachRow(Rows):
    """round(x / scale) with scale = the largest |x| of a row / 127; see `ops.quantize.QuantizeRows`."""

    shares = True

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        with e.shared_loop(self.count) as rows:
            x = self._row(reads[0], self.reads[0], rows.index)
            codes = self._row(writes[0], self.writes[0], rows.index)
            bits = self._largest_bits(e, x)
            largest = e.bits(bits, e.zeros(float32).type)
            scale = e.select(largest < TINY, 1.0, largest / float(LARGEST))
            finite = bits < _INFINITE
            (self._row(writes[1], self.writes[1], rows.index)).store(e.select(finite, scale, float("nan")))
            with e.when(finite):
                whole = e.spread(scale, self.lanes)

                def move(at: Value, lanes: int, count: int) -> None:
                    code = e.intrinsic("rint", (x + at).load(lanes, count) / whole)
                    (codes + at).store(e.convert(code, int8), count)

                along(e, self.n, self.lanes, move)
            with e.when(bits > _INFINITE - 1):
                fill(e, codes, self.n, 0)

    def _largest_bits(self, e: Emitter, x: Pointer) -> Value:
        """The bits of the largest |x|: as integers they are in order, NaN behind infinity."""
        zero = e.bits(e.zeros(float32, self.lanes), I32)

        def step(at: Value, count: int, carried: list[Value]) -> list[Value]:
            bits = e.bits((x + at).load(self.lanes, count), I32) & 0x7FFFFFFF
            return [e.intrinsic("smax", bits, carried[0])]

        tops = self.fold(e, [zero], step, together=4)
        top = tops[0]
        for other in tops[1:]:
            top = e.intrinsic("smax", top, other)
        return e.largest_lane(top)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        x, codes, scales = reads[0], *writes
        yield f"for row in range({self.count}):"
        yield f"    top = max(abs({x}[row, i]) for i in range({self.n}))"
        yield f"    {scales}[row] = float32(top) / float32({LARGEST}) if top >= {TINY!r} else 1.0"
        yield f"    for i in range({self.n}):"
        yield f"        {codes}[row, i] = rint({x}[row, i] / {scales}[row])"
