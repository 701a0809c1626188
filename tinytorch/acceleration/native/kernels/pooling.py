"""Pooling of images, forward and backward, a vector of channels at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llvmlite import ir

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import Kernel, layout, load_run, shifted, store_run
from tinytorch.acceleration.native.kernels.lookup import along, fill
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import I8, I32, Pointer, Value, lanes_of
from tinytorch.ops.pool import MaxPool2d, Pooling


class Pool(Kernel):
    """Base: loops over windows, and over channels in vectors."""

    def __init__(
        self, op: Pooling, reads: Sequence[Place], writes: Sequence[Place], calls: Sequence[Call]
    ) -> None:
        self.op, self.reads, self.writes, self.calls = op, tuple(reads), tuple(writes), tuple(calls)
        self.dtype = self.reads[0].dtype
        self.lanes = lanes_of(self.dtype)

    def signature(self) -> tuple[Any, ...]:
        op = self.op
        kind = type(self).__name__, type(op).__name__, op.kernel, op.stride, op.padding
        return *kind, len(self.writes), *map(layout, (*self.reads, *self.writes))

    def pooled(self) -> Place:
        """The place of pooled shape."""
        raise NotImplementedError

    def image(self) -> Place:
        """The place of the image's shape."""
        raise NotImplementedError

    def windows(self, e: Emitter, each: Callable[[Value, Value, Value, Value, int], None]) -> None:
        """Call `each(n, y, x, c, count)` for every window and every `count` channels from c on."""
        n, c, oh, ow = self.pooled().shape
        with e.shared_loop(n * oh) as line, e.loop(ow) as column:
            image, y, x = line.index / oh, line.index % oh, column.index
            along(e, c, self.lanes, lambda at, _, count: each(image, y, x, at, count))

    def positions(self, e: Emitter, y: Value, x: Value) -> Iterator[tuple[int, Value, Value, Value | None]]:
        """For each position of the kernel: number, the pixel's row and column, whether it is inside."""
        (kh, kw), (sh, sw), (ph, pw) = self.op.kernel, self.op.stride, self.op.padding
        h, w = self.image().shape[2:]
        for i in range(kh):
            for j in range(kw):
                row, column = y * sh + (i - ph), x * sw + (j - pw)
                inside = None
                if ph or pw:
                    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
                    row, column = e.select(inside, row, 0), e.select(inside, column, 0)
                yield i * kw + j, row, column, inside


class PoolForward(Pool):
    """Reads x; writes the largest of each window and perhaps its position, or the mean."""

    shares = True

    def pooled(self) -> Place:
        return self.writes[0]

    def image(self) -> Place:
        return self.reads[0]

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        largest = isinstance(self.op, MaxPool2d)

        def window(n: Value, y: Value, x: Value, c: Value, count: int) -> None:
            best = e.constant(-math.inf if largest else 0, self.dtype, self.lanes)
            where = Value(e, ir.Constant(ir.VectorType(I32, self.lanes), [-1] * self.lanes))
            place = self.reads[0]
            for number, row, column, inside in self.positions(e, y, x):
                here = shifted(reads[0], (n, c, row, column), place.strides)
                value = load_run(here, place.strides[1], self.lanes, count)
                if not largest:
                    best = best + (
                        value if inside is None else e.select(e.spread(inside, self.lanes), value, 0.0)
                    )
                    continue
                better = (value > best) | value.differs(value) | (where < 0)
                if inside is not None:
                    better = better & e.spread(inside, self.lanes)
                best, where = e.select(better, value, best), e.select(better, number, where)
            if not largest:
                best = best * (1 / math.prod(self.op.kernel))
            found = [best]
            if len(writes) > 1:
                element = I8 if self.writes[1].dtype.itemsize == 1 else I32
                kind = ir.VectorType(element, self.lanes)
                found.append(where if element is I32 else Value(e, e.builder.trunc(where.ir, kind)))
            for pointer, target, value in zip(writes, self.writes, found, strict=True):
                store_run(shifted(pointer, (n, c, y, x), target.strides), value, target.strides[1], count)

        self.windows(e, window)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        (kh, kw), (sh, sw), (ph, pw) = self.op.kernel, self.op.stride, self.op.padding
        n, c, oh, ow = self.pooled().shape
        h, w = self.image().shape[2:]
        yield f"for n, c, y, x in product(range({n}), range({c}), range({oh}), range({ow})):"
        largest = isinstance(self.op, MaxPool2d)
        yield "    best, where = -inf, -1" if largest else "    total = 0.0"
        yield f"    for i, j in product(range({kh}), range({kw})):"
        yield f"        row, column = y * {sh} + i - {ph}, x * {sw} + j - {pw}"
        yield f"        if 0 <= row < {h} and 0 <= column < {w}:"
        yield f"            value = {reads[0]}[n, c, row, column]"
        if largest:
            yield "            if value > best or value != value or where < 0:"
            yield f"                best, where = value, i * {kw} + j"
            yield f"    {writes[0]}[n, c, y, x] = best"
            for write in writes[1:]:
                yield f"    {write}[n, c, y, x] = where"
        else:
            yield "            total += value"
            yield f"    {writes[0]}[n, c, y, x] = total / {kh * kw}"


class PoolBackward(Pool):
    """Reads g and, for the largest, its positions; writes the gradient of the image."""

    def pooled(self) -> Place:
        return self.reads[0]

    def image(self) -> Place:
        return self.writes[0]

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        target = self.writes[0]
        (kh, kw), (sh, sw), (ph, pw) = self.op.kernel, self.op.stride, self.op.padding
        oh, ow = self.pooled().shape[2:]
        apart = sh >= kh and sw >= kw
        tiled = (sh, sw) == (kh, kw) and not (ph or pw) and target.shape[2:] == (oh * kh, ow * kw)
        if not tiled:
            fill(e, writes[0], target.size, 0)

        def window(n: Value, y: Value, x: Value, c: Value, count: int) -> None:
            at = (n, c, y, x)
            g = load_run(
                shifted(reads[0], at, self.reads[0].strides), self.reads[0].strides[1], self.lanes, count
            )
            if len(reads) > 1:
                place = self.reads[1]
                where = load_run(shifted(reads[1], at, place.strides), place.strides[1], self.lanes, count)
            else:
                g = g * (1 / (kh * kw))
            for number, row, column, inside in self.positions(e, y, x):
                share = e.select(where.equals(number), g, 0.0) if len(reads) > 1 else g
                here = shifted(writes[0], (n, c, row, column), target.strides)
                if not apart or inside is not None:
                    share = share if inside is None else e.select(e.spread(inside, self.lanes), share, 0.0)
                    share = share + load_run(here, target.strides[1], self.lanes, count)
                store_run(here, share, target.strides[1], count)

        self.windows(e, window)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        (kh, kw), (sh, sw), (ph, pw) = self.op.kernel, self.op.stride, self.op.padding
        n, c, oh, ow = self.pooled().shape
        h, w = self.image().shape[2:]
        yield f"{writes[0]}[...] = 0"
        yield f"for n, c, y, x in product(range({n}), range({c}), range({oh}), range({ow})):"
        yield f"    for i, j in product(range({kh}), range({kw})):"
        yield f"        row, column = y * {sh} + i - {ph}, x * {sw} + j - {pw}"
        chosen = f" and {reads[1]}[n, c, y, x] == i * {kw} + j" if len(reads) > 1 else ""
        yield f"        if 0 <= row < {h} and 0 <= column < {w}{chosen}:"
        share = "" if len(reads) > 1 else f" / {kh * kw}"
        yield f"            {writes[0]}[n, c, row, column] += {reads[0]}[n, c, y, x]{share}"
