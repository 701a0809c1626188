"""Neighbouring features turned by the angle of their position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout, shifted
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import I32, Pointer, Value
from tinytorch.ops.rotary import Rotary


class TurnPairs(Kernel):
    """Reads x: (batch, heads, t, d), cosines, sines and positions; features of a head lie in one run."""

    shares = True
    overwrites = True

    def __init__(self, op: Rotary, reads: Sequence[Place], write: Place, calls: Sequence[Call]) -> None:
        self.op, self.writes, self.calls = op, (write,), tuple(calls)
        x, cos, sin, positions = reads
        self.batch, self.heads, self.t, self.d = x.shape
        self.reads = (x, cos, sin, positions.broadcast((self.batch, self.t)))
        half = self.d // 2
        self.lanes = next(n for n in (8, 4, 2, 1) if half % n == 0)

    @property
    def in_place(self) -> tuple[Place, ...]:
        return self.reads[:1]

    def signature(self) -> tuple[Any, ...]:
        return "rotary", self.op.back, *map(layout, (*self.reads, *self.writes))

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        x, cos, sin, positions = self.reads
        with e.shared_loop(self.batch * self.t) as loop:
            b, t = loop.index / self.t, loop.index % self.t
            position = e.convert(shifted(reads[3], [b, t], positions.strides).load(), np.dtype(np.int64))
            row = [reads[i + 1] + position * place.strides[0] for i, place in enumerate((cos, sin))]
            with e.loop(self.heads) as head:
                at = [b, head.index, t]
                source = shifted(reads[0], at, x.strides[:3])
                target = shifted(writes[0], at, self.writes[0].strides[:3])
                with e.loop(self.d // 2, step=self.lanes) as pair:
                    self._turn(
                        e, source + pair.index * 2, [r + pair.index for r in row], target + pair.index * 2
                    )

    def _turn(self, e: Emitter, source: Pointer, row: Sequence[Pointer], target: Pointer) -> None:
        lanes = self.lanes
        c, s = (pointer.load(lanes) for pointer in row)
        s = -s if self.op.back else s
        if lanes == 1:
            a, b = source.load(), (source + 1).load()
            target.store(e.multiply_add(a, c, -(b * s)))
            (target + 1).store(e.multiply_add(a, s, b * c))
            return
        both = source.load(2 * lanes)
        a, b = (_picked(e, both, both, range(i, 2 * lanes, 2)) for i in range(2))
        turned = [e.multiply_add(a, c, -(b * s)), e.multiply_add(a, s, b * c)]
        order = [i // 2 + lanes * (i % 2) for i in range(2 * lanes)]
        target.store(_picked(e, turned[0], turned[1], order))

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        x, cos, sin, positions = reads
        sign = "-" if self.op.back else ""
        yield f"for b in range({self.batch}):"
        yield f"    for t in range({self.t}):"
        yield f"        c, s = {cos}[{positions}[b, t]], {sign}{sin}[{positions}[b, t]]"
        yield f"        for h in range({self.heads}):"
        yield f"            for i in range({self.d // 2}):"
        yield f"                one, two = {x}[b, h, t, 2 * i], {x}[b, h, t, 2 * i + 1]"
        yield f"                {writes[0]}[b, h, t, 2 * i] = one * c[i] - two * s[i]"
        yield f"                {writes[0]}[b, h, t, 2 * i + 1] = one * s[i] + two * c[i]"


def _picked(e: Emitter, a: Value, b: Value, lanes: Sequence[int]) -> Value:
    """Lanes of two vectors beside each other, by number."""
    chosen = ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes))
    return Value(e, e.builder.shuffle_vector(a.ir, b.ir, chosen))
