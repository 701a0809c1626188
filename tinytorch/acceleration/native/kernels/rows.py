"""Kernels that go over a row several times while it is in the cache: softmax, layer norm, cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native import mathematics as m
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import Pointer, Value, lanes_of
from tinytorch.ops.softmax import CrossEntropy
from tinytorch.ops.spec import int64


class Rows(Kernel):
    """Base of kernels over dense rows: matrices whose rows lie in one run, or a value a row."""

    def __init__(self, reads: Sequence[Place], writes: Sequence[Place], calls: Sequence[Call]) -> None:
        self.reads, self.writes, self.calls = tuple(reads), tuple(writes), tuple(calls)
        self.count, self.n = self._shape()
        self.dtype = self.reads[0].dtype
        self.lanes = lanes_of(self.dtype)

    def _shape(self) -> tuple[int, int]:
        return self.reads[0].shape[0], self.reads[0].shape[1]

    def signature(self) -> tuple[Any, ...]:
        return type(self).__name__, *self._settings(), *map(layout, (*self.reads, *self.writes))

    def _settings(self) -> tuple[Any, ...]:
        return ()

    def _row(self, pointer: Pointer, place: Place, row: Value) -> Pointer:
        return pointer + row * place.strides[0] if place.strides[0] else pointer

    def fold(
        self,
        e: Emitter,
        start: Sequence[Value],
        step: Callable[[Value, int, list[Value]], list[Value]],
        together: int = 2,
    ) -> list[Value]:
        """Carry vectors along a row: `step(index, count, carried)` handles the next `count` elements.

        There are `together` sets of carried vectors, so that additions need not wait; the result
        holds them one set after the other.
        """
        wide, n, size = self.lanes * together, self.n, len(start)
        carried = list(start) * together
        whole = n // wide * wide

        def piece(at: Value, part: int, count: int, carried: list[Value]) -> list[Value]:
            own = carried[part * size : (part + 1) * size]
            return [*carried[: part * size], *step(at, count, own), *carried[(part + 1) * size :]]

        if whole:
            with e.loop(whole, carried, step=wide) as loop:
                now = loop.carried
                for part in range(together):
                    now = piece(loop.index + part * self.lanes, part, self.lanes, now)
                loop.carry(now)
            carried = loop.results
        for part, begin in enumerate(range(whole, n, self.lanes)):
            carried = piece(e.index(begin), part % together, min(self.lanes, n - begin), carried)
        return carried

    def over(self, e: Emitter, step: Callable[[Value, int], None]) -> None:
        """Go along a row: `step(index, count)` handles the next `count` elements."""

        def one(at: Value, count: int, carried: list[Value]) -> list[Value]:
            step(at, count)
            return carried

        self.fold(e, [], one)

    def total(self, e: Emitter, sums: Sequence[Value]) -> Value:
        """The sum of all lanes of all vectors."""
        whole = sums[0]
        for other in sums[1:]:
            whole = whole + other
        return e.sum_lanes(whole)

    def largest(self, e: Emitter, x: Pointer) -> Value:
        """The largest number of a row."""
        low = e.constant(-math.inf, self.dtype, self.lanes)

        def step(at: Value, count: int, carried: list[Value]) -> list[Value]:
            value = (x + at).load(self.lanes, count)
            if count < self.lanes:
                value = e.select(e.first_lanes(count, self.lanes), value, low)
            return [e.select(value > carried[0], value, carried[0])]

        tops = self.fold(e, [low], step)
        top = tops[0]
        for other in tops[1:]:
            top = e.select(other > top, other, top)
        return e.largest_lane(top)


class SoftmaxRows(Rows):
    """e ** x over its sum along each row, or the logarithm of that."""

    shares = True

    def __init__(
        self, reads: Sequence[Place], writes: Sequence[Place], calls: Sequence[Call], log: bool = False
    ) -> None:
        self.log = log
        super().__init__(reads, writes, calls)

    def _settings(self) -> tuple[Any, ...]:
        return (self.log,)

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        with e.shared_loop(self.count) as rows:
            x = self._row(reads[0], self.reads[0], rows.index)
            out = self._row(writes[0], self.writes[0], rows.index)
            softmax_row(self, e, x, out, self.log)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        yield f"for row in range({self.count}):"
        yield f"    top = max({reads[0]}[row, i] for i in range({self.n}))"
        yield "    if top == -inf:"
        yield "        top = 0.0"
        yield f"    total = sum(exp({reads[0]}[row, i] - top) for i in range({self.n}))"
        yield f"    for i in range({self.n}):"
        if self.log:
            yield f"        {writes[0]}[row, i] = {reads[0]}[row, i] - top - log(total)"
        else:
            yield f"        {writes[0]}[row, i] = exp({reads[0]}[row, i] - top) / total if total else 0.0"


def softmax_row(rows: Rows, e: Emitter, x: Pointer, out: Pointer, log: bool = False) -> None:
    """Softmax of one row of a kernel's length; x and out may be the same."""
    lanes, dtype = rows.lanes, rows.dtype
    top = rows.largest(e, x)
    top = e.select(top.equals(-math.inf), 0.0, top)
    wide = e.spread(top, lanes)

    def add(at: Value, count: int, carried: list[Value]) -> list[Value]:
        value = (x + at).load(lanes, count) - wide
        power = m.share_exp(e, value)
        if not log:
            (out + at).store(power, count)
        if count < lanes:
            power = e.select(e.first_lanes(count, lanes), power, 0.0)
        return [carried[0] + power]

    total = rows.total(e, rows.fold(e, [e.zeros(dtype, lanes)], add))
    if log:
        shift = e.spread(top + m.log(e, total), lanes)
        rows.over(e, lambda at, count: (out + at).store((x + at).load(lanes, count) - shift, count))
    else:
        share = e.spread(total.like(1.0) / e.select(total.equals(0.0), 1.0, total), lanes)
        rows.over(e, lambda at, count: (out + at).store((out + at).load(lanes, count) * share, count))


class LayerNormRows(Rows):
    """Reads x, weight, bias; writes out, mean and rstd."""

    shares = True

    def __init__(
        self, reads: Sequence[Place], writes: Sequence[Place], calls: Sequence[Call], eps: float
    ) -> None:
        self.eps = eps
        super().__init__(reads, writes, calls)

    def _settings(self) -> tuple[Any, ...]:
        return (self.eps,)

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        lanes, n = self.lanes, self.n
        with e.shared_loop(self.count) as rows:
            x = self._row(reads[0], self.reads[0], rows.index)
            out = self._row(writes[0], self.writes[0], rows.index)
            zero = e.zeros(self.dtype, lanes)

            def load(at: Value, count: int) -> Value:
                return (x + at).load(lanes, count)

            sums = self.fold(e, [zero], lambda at, count, c: [c[0] + load(at, count)])
            mean = self.total(e, sums) * (1 / n)
            wide = e.spread(mean, lanes)

            def square(at: Value, count: int, carried: list[Value]) -> list[Value]:
                d = load(at, count) - wide
                if count < lanes:
                    d = e.select(e.first_lanes(count, lanes), d, 0.0)
                return [e.multiply_add(d, d, carried[0])]

            variance = self.total(e, self.fold(e, [zero], square)) * (1 / n)
            rstd = variance.like(1.0) / e.intrinsic("sqrt", variance + self.eps)
            scale = e.spread(rstd, lanes)

            def store(at: Value, count: int) -> None:
                xhat = (load(at, count) - wide) * scale
                weight, bias = ((p + at).load(lanes, count) for p in reads[1:])
                (out + at).store(e.multiply_add(xhat, weight, bias), count)

            self.over(e, store)
            for pointer, value in zip(writes[1:], (mean, rstd), strict=False):
                (pointer + rows.index).store(value)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        x, weight, bias = reads
        yield f"for row in range({self.count}):"
        yield f"    mean = sum({x}[row, i] for i in range({self.n})) / {self.n}"
        yield f"    variance = sum(({x}[row, i] - mean) ** 2 for i in range({self.n})) / {self.n}"
        yield f"    rstd = 1 / sqrt(variance + {self.eps})"
        yield f"    for i in range({self.n}):"
        yield f"        {writes[0]}[row, i] = ({x}[row, i] - mean) * rstd * {weight}.flat[i] + {bias}.flat[i]"
        for name, write in zip(("mean", "rstd"), writes[1:], strict=False):
            yield f"    {write}[row, 0] = {name}"


class LayerNormGradRows(Rows):
    """Reads g, x, weight, mean, rstd; writes dx, dweight, dbias."""

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        lanes, n = self.lanes, self.n
        zero = e.zeros(self.dtype, lanes)
        for pointer in writes[1:]:
            self.over(e, lambda at, count, pointer=pointer: (pointer + at).store(zero, count))  # type: ignore[misc]
        with e.loop(self.count) as rows:
            g, x = (
                self._row(p, place, rows.index) for p, place in zip(reads[:2], self.reads[:2], strict=True)
            )
            dx = self._row(writes[0], self.writes[0], rows.index)
            mean, rstd = ((p + rows.index).load() for p in reads[3:])
            wide, scale = e.spread(mean, lanes), e.spread(rstd, lanes)

            def parts(at: Value, count: int) -> tuple[Value, Value, Value]:
                grad = (g + at).load(lanes, count)
                xhat = ((x + at).load(lanes, count) - wide) * scale
                return grad, xhat, grad * (reads[2] + at).load(lanes, count)

            def add(at: Value, count: int, carried: list[Value]) -> list[Value]:
                grad, xhat, gw = parts(at, count)
                for pointer, value in zip(writes[1:], (grad * xhat, grad), strict=True):
                    (pointer + at).store((pointer + at).load(lanes, count) + value, count)
                return [carried[0] + gw, e.multiply_add(gw, xhat, carried[1])]

            found = self.fold(e, [zero, zero], add)
            mean_gw = e.spread(self.total(e, found[0::2]) * (1 / n), lanes)
            mean_gwx = e.spread(self.total(e, found[1::2]) * (1 / n), lanes)

            def store(at: Value, count: int) -> None:
                _, xhat, gw = parts(at, count)
                (dx + at).store((gw - mean_gw - xhat * mean_gwx) * scale, count)

            self.over(e, store)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        g, x, weight, mean, rstd = reads
        dx, dweight, dbias = writes
        yield f"for i in range({self.n}):"
        yield f"    {dweight}.flat[i] = {dbias}.flat[i] = 0.0"
        yield f"for row in range({self.count}):"
        yield f"    xhat = [({x}[row, i] - {mean}[row, 0]) * {rstd}[row, 0] for i in range({self.n})]"
        yield f"    gw = [{g}[row, i] * {weight}.flat[i] for i in range({self.n})]"
        yield f"    mean_gw = sum(gw) / {self.n}"
        yield f"    mean_gwx = sum(gw[i] * xhat[i] for i in range({self.n})) / {self.n}"
        yield f"    for i in range({self.n}):"
        yield f"        {dweight}.flat[i] += {g}[row, i] * xhat[i]"
        yield f"        {dbias}.flat[i] += {g}[row, i]"
        yield f"        {dx}[row, i] = (gw[i] - mean_gw - xhat[i] * mean_gwx) * {rstd}[row, 0]"


class CrossEntropyRows(Rows):
    """Reads logits and labels; writes the loss and its gradient for a cotangent of 1.

    Labels out of range are found by the caller's check, which runs first.
    """

    def __init__(
        self, op: CrossEntropy, reads: Sequence[Place], writes: Sequence[Place], calls: Sequence[Call]
    ) -> None:
        self.op = op
        super().__init__(reads, writes, calls)

    def _settings(self) -> tuple[Any, ...]:
        op = self.op
        return op.label_smoothing, op.ignore_index, op.reduction

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        op, one = self.op, e.constant(1, self.dtype)
        share = one
        if op.reduction == "mean":
            step = self.reads[1].strides[0]
            with e.loop(self.count, [e.zeros(self.dtype)]) as loop:
                counts = (reads[1] + loop.index * step).load().differs(op.ignore_index)
                loop.carry([loop.carried[0] + e.convert(counts, self.dtype)])
            share = one / loop.results[0]
        with e.loop(self.count, [e.zeros(self.dtype)]) as rows:
            loss = self._one(e, reads, writes, rows.index, share)
            if op.reduction == "none":
                (writes[0] + rows.index).store(loss)
            rows.carry([rows.carried[0] + loss])
        if op.reduction != "none":
            writes[0].store(rows.results[0] * share)

    def _one(
        self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], row: Value, share: Value
    ) -> Value:
        """The loss of a row; its gradient goes to memory."""
        lanes, op = self.lanes, self.op
        x = self._row(reads[0], self.reads[0], row)
        gradient = self._row(writes[1], self.writes[1], row)
        label = (reads[1] + row * self.reads[1].strides[0]).load()
        counted = label.differs(op.ignore_index)
        target = e.select(counted, label, 0)
        target = e.convert(target, int64)
        share = e.select(counted, share, 0.0)
        top = self.largest(e, x)
        wide, zero = e.spread(top, lanes), e.zeros(self.dtype, lanes)

        def add(at: Value, count: int, carried: list[Value]) -> list[Value]:
            d = (x + at).load(lanes, count) - wide
            power = m.share_exp(e, d)
            (gradient + at).store(power, count)
            if count < lanes:
                first = e.first_lanes(count, lanes)
                power, d = e.select(first, power, 0.0), e.select(first, d, 0.0)
            return [carried[0] + power, carried[1] + d]

        found = self.fold(e, [zero, zero], add)
        total = self.total(e, found[0::2])
        picked = (x + target).load() - top
        s = op.label_smoothing
        loss = m.log(e, total) - picked * (1 - s)
        if s:
            loss = loss - self.total(e, found[1::2]) * (s / self.n)
        scale = e.spread(share / total, lanes)
        smooth = e.spread(share * (s / self.n), lanes)

        def store(at: Value, count: int) -> None:
            value = (gradient + at).load(lanes, count) * scale
            (gradient + at).store(value - smooth if s else value, count)

        self.over(e, store)
        place = gradient + target
        place.store(place.load() - share * (1 - s))
        return e.select(counted, loss, 0.0)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        x, labels = reads
        op, loss, gradient = self.op, *writes
        s = op.label_smoothing
        if op.reduction != "none":
            yield "total_loss = 0.0"
        if op.reduction == "mean":
            yield f"counted = sum({labels}[row] != {op.ignore_index} for row in range({self.count}))"
        yield f"for row in range({self.count}):"
        yield f"    counts = {labels}[row] != {op.ignore_index}"
        yield f"    target = {labels}[row] if counts else 0"
        share = "1 / counted" if op.reduction == "mean" else "1.0"
        yield f"    share = {share} if counts else 0.0"
        yield f"    top = max({x}[row, i] for i in range({self.n}))"
        yield f"    total = sum(exp({x}[row, i] - top) for i in range({self.n}))"
        if s:
            yield f"    row_loss = log(total) - {1 - s} * ({x}[row, target] - top)"
            yield f"    row_loss -= {s / self.n} * sum({x}[row, i] - top for i in range({self.n}))"
        else:
            yield f"    row_loss = log(total) - ({x}[row, target] - top)"
        yield f"    for i in range({self.n}):"
        high, low = (s / self.n + 1 - s, s / self.n) if s else (1.0, 0.0)
        yield f"        wanted = {high} if i == target else {low}"
        yield f"        {gradient}[row, i] = share * (exp({x}[row, i] - top) / total - wanted)"
        if op.reduction == "none":
            yield f"    {loss}[row] = row_loss if counts else 0.0"
        else:
            yield "    total_loss += row_loss if counts else 0.0"
            yield f"{loss}[()] = total_loss" + (" / counted" if op.reduction == "mean" else "")
