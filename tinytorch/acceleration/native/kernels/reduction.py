"""Sums, means and extremes over axes, of an element-wise body that is computed on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout, load_run, shifted, store_run
from tinytorch.acceleration.native.kernels.pointwise import Body, lanes_for, loop_lines
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import Pointer, Value, suffix
from tinytorch.ops.reduce import Max, Mean, Min, Reduction, Sum

_TOGETHER = 4
"""Vectors that are summed beside each other, so that one addition need not wait for the last."""


class Reduce(Kernel):
    """out = the sum, mean, largest or smallest over axes of a body's one output."""

    def __init__(
        self, op: Reduction, body: Body, reads: Sequence[Place], write: Place, calls: Sequence[Call]
    ) -> None:
        shape = body.specs[body.outputs[0]].shape
        self.op, self.body, self.calls, self.shape = op, body, tuple(calls), shape
        self.reads = tuple(place.broadcast(shape) for place in reads)
        self.writes = (write,)

    def signature(self) -> tuple[Any, ...]:
        kind = type(self.op).__name__
        return (
            kind,
            self.op.axis,
            self.body.signature(),
            self.shape,
            *map(layout, (*self.reads, *self.writes)),
        )

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        axes = self.op.axis
        kept = [i for i in range(len(self.shape)) if i not in axes and self.shape[i] != 1]
        gone = [i for i in axes if self.shape[i] != 1]
        out_axis = {axis: i for i, axis in enumerate(a for a in range(len(self.shape)) if a not in axes)}
        if self.op.keepdims:
            out_axis = {axis: axis for axis in range(len(self.shape))}
        kept.sort(key=self._slowness)
        gone.sort(key=self._slowness)
        lanes = lanes_for((*self.reads, *self.writes))
        along = bool(kept) and self._is_run(kept[-1]) and not (gone and self._is_run(gone[-1]))
        outer, inner = (kept[:-1], kept[-1]) if along else (kept, None)

        with ExitStack() as stack:
            indices = [stack.enter_context(e.loop(self.shape[axis])).index for axis in outer]
            here = [
                shifted(p, indices, [place.strides[a] for a in outer])
                for p, place in zip(reads, self.reads, strict=True)
            ]
            strides = self.writes[0].strides
            target = shifted(writes[0], indices, [strides[out_axis[a]] for a in outer])
            if inner is None:
                self._rows(e, here, gone, target, lanes)
            else:
                self._columns(e, here, gone, inner, target, strides[out_axis[inner]], lanes)

    def _slowness(self, axis: int) -> int:
        return -max(abs(place.strides[axis]) for place in self.reads)

    def _is_run(self, axis: int) -> bool:
        """Whether elements along the axis lie side by side in an operand."""
        return any(place.strides[axis] == 1 for place in self.reads)

    def _rows(
        self, e: Emitter, reads: Sequence[Pointer], gone: Sequence[int], target: Pointer, lanes: int
    ) -> None:
        """Reduce over all of the axes `gone`, vectors along the last of them."""
        if not gone:
            value = self._value(e, reads, [0] * len(reads), 1, None)
            target.store(self._finished(e, value))
            return
        last, n = gone[-1], self.shape[gone[-1]]
        lanes = lanes if n >= lanes else 1
        steps = [place.strides[last] for place in self.reads]
        wide = lanes * _TOGETHER
        start = [self._neutral(e, lanes) for _ in range(_TOGETHER)]

        def row(here: Sequence[Pointer], totals: list[Value]) -> list[Value]:
            whole = n // wide * wide
            if whole:
                with e.loop(whole, totals, step=wide) as loop:
                    loop.carry(
                        [
                            self._joined(
                                e, total, self._value(e, here, steps, lanes, None, loop.index + part * lanes)
                            )
                            for part, total in enumerate(loop.carried)
                        ]
                    )
                totals = loop.results
            for part, begin in enumerate(range(whole, n, lanes)):
                count = min(lanes, n - begin)
                value = self._value(e, here, steps, lanes, count, e.index(begin))
                if count < lanes:
                    value = e.select(e.first_lanes(count, lanes), value, self._neutral(e, lanes))
                totals = [
                    self._joined(e, t, value) if i == part % _TOGETHER else t for i, t in enumerate(totals)
                ]
            return totals

        totals = self._over(e, reads, gone[:-1], start, row)
        total = totals[0]
        for other in totals[1:]:
            total = self._joined(e, total, other)
        target.store(self._finished(e, self._across(e, total)))

    def _columns(
        self,
        e: Emitter,
        reads: Sequence[Pointer],
        gone: Sequence[int],
        inner: int,
        target: Pointer,
        out_step: int,
        lanes: int,
    ) -> None:
        """Reduce over the axes `gone` for vectors of neighbouring results."""
        n = self.shape[inner]
        steps = [place.strides[inner] for place in self.reads]

        def block(at: Value, vectors: int, count: int | None) -> None:
            here = [p + at * step if step else p for p, step in zip(reads, steps, strict=True)]
            start = [self._neutral(e, lanes) for _ in range(vectors)]

            def one(moved: Sequence[Pointer], totals: list[Value]) -> list[Value]:
                return [
                    self._joined(e, total, self._value(e, moved, steps, lanes, count, e.index(part * lanes)))
                    for part, total in enumerate(totals)
                ]

            for part, total in enumerate(self._over(e, here, gone, start, one)):
                store_run(target + (at + part * lanes) * out_step, self._finished(e, total), out_step, count)

        wide = lanes * _TOGETHER
        whole = n // wide * wide
        if whole:
            with e.loop(whole, step=wide) as loop:
                block(loop.index, _TOGETHER, None)
        for begin in range(whole, n, lanes):
            block(e.index(begin), 1, min(lanes, n - begin))

    def _over(
        self, e: Emitter, reads: Sequence[Pointer], gone: Sequence[int], totals: list[Value], one: Any
    ) -> list[Value]:
        """Loops over axes, inside each other, that carry totals."""
        if not gone:
            found: list[Value] = one(reads, totals)
            return found
        with e.loop(self.shape[gone[0]], totals) as loop:
            moved = [
                shifted(p, [loop.index], [place.strides[gone[0]]])
                for p, place in zip(reads, self.reads, strict=True)
            ]
            loop.carry(self._over(e, moved, gone[1:], loop.carried, one))
        return loop.results

    def _value(
        self,
        e: Emitter,
        reads: Sequence[Pointer],
        steps: Sequence[int],
        lanes: int,
        count: int | None,
        at: Value | None = None,
    ) -> Value:
        moved = [p if at is None or not step else p + at * step for p, step in zip(reads, steps, strict=True)]
        values = [load_run(p, step, lanes, count) for p, step in zip(moved, steps, strict=True)]
        return e.convert(self.body.emit(e, values)[0], self.writes[0].dtype)

    def _neutral(self, e: Emitter, lanes: int) -> Value:
        dtype = self.writes[0].dtype
        if isinstance(self.op, Max):
            return e.constant(math.inf if isinstance(self.op, Min) else -math.inf, dtype, lanes)
        return e.zeros(dtype, lanes)

    def _joined(self, e: Emitter, a: Value, b: Value) -> Value:
        if isinstance(self.op, Max):
            return e.intrinsic("minimum" if isinstance(self.op, Min) else "maximum", a, b)
        return a + b

    def _across(self, e: Emitter, total: Value) -> Value:
        if not isinstance(self.op, Max):
            return e.sum_lanes(total)
        if total.lanes == 1:
            return total
        name = "fminimum" if isinstance(self.op, Min) else "fmaximum"
        function = e.declare(f"llvm.vector.reduce.{name}.{suffix(total.type)}", total.element, [total.type])
        return Value(e, e.builder.call(function, [total.ir]))

    def _finished(self, e: Emitter, total: Value) -> Value:
        if isinstance(self.op, Mean):
            return total * (1 / math.prod(self.shape[i] for i in self.op.axis))
        return total

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        axes = range(len(self.shape))
        kept = [i for i in axes if i not in self.op.axis]
        names = [f"i{axis}" if self.shape[axis] != 1 else "0" for axis in axes]
        start = {"Max": "-inf", "Min": "inf"}.get(type(self.op).__name__, "0.0")
        _, loops = loop_lines([(f"i{axis}", self.shape[axis]) for axis in kept])
        yield from loops
        pad = "    " * len(loops)
        yield f"{pad}total = {start}"
        _, inner = loop_lines([(f"i{axis}", self.shape[axis]) for axis in self.op.axis])
        for line in inner:
            yield pad + line
        depth = len(loops) + len(inner)
        lines, made = self.body.text([f"{r}[{', '.join(names) or '()'}]" for r in reads])
        for line in lines:
            yield "    " * depth + line
        steps = {"Max": f"maximum(total, {made[0]})", "Min": f"minimum(total, {made[0]})"}
        step = steps.get(type(self.op).__name__, f"total + {made[0]}")
        yield f"{'    ' * depth}total = {step}"
        count = math.prod(self.shape[i] for i in self.op.axis)
        total = f"total / {count}" if isinstance(self.op, Mean) else "total"
        place = [
            names[i] if i in kept else "0" for i in range(len(self.shape)) if self.op.keepdims or i in kept
        ]
        yield f"{pad}{writes[0]}[{', '.join(place) or '()'}] = {total}"


def is_reduction(op: Any) -> bool:
    return type(op) in (Sum, Mean, Max, Min)
