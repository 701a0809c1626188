"""Attention for a head at a time: scores, softmax and weighted values of a few queries stay in the cache."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native import mathematics as m
from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import (
    Kernel,
    all_shifted,
    layout,
    load_run,
    shifted,
    store_run,
)
from tinytorch.acceleration.native.kernels.tiles import Side, emit_tiles, pack
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import I64, Pointer, Value, lanes_of
from tinytorch.ops.attention import Attention, AttentionGrad

_TILE = 6
"""Queries at a time."""


class Heads(Kernel):
    """Base: a loop over the heads of a batch, shared by threads."""

    batch: int
    heads: int

    @contextmanager
    def _heads(self, e: Emitter) -> Iterator[tuple[Value, Value]]:
        """For each head, the numbers of its batch entry and its own."""
        with e.shared_loop(self.batch * self.heads) as loop:
            yield loop.index / self.heads, loop.index % self.heads


class AttentionHeads(Heads):
    """Reads q, k, v and perhaps a mask; writes the result and, where they are wanted, the weights."""

    shares = True

    def __init__(
        self, op: Attention, reads: Sequence[Place], writes: Sequence[Place], calls: Sequence[Call]
    ) -> None:
        self.op, self.writes, self.calls = op, tuple(writes), tuple(calls)
        q, k, v = reads[:3]
        self.batch, self.heads, self.t, self.d = q.shape
        self.s, self.e = v.shape[2:]
        self.dtype, self.lanes = q.dtype, lanes_of(q.dtype)
        masks = [mask.broadcast((self.batch, self.heads, self.t, self.s)) for mask in reads[3:]]
        self.reads = (q, k, v, *masks)
        self.width = 2 * self.lanes
        self.wide = -(-self.s // self.width) * self.width
        self.scratch = (self.wide * self.d + _TILE * self.wide) * self.dtype.itemsize

    def signature(self) -> tuple[Any, ...]:
        return (
            "attention",
            self.op.causal,
            self.op.scale,
            *map(layout, (*self.reads, *self.writes)),
            len(self.writes),
        )

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        keys = Pointer(e, scratch, self.dtype)
        scores = keys + self.wide * self.d
        with self._heads(e) as index:
            q, k, v, *mask = all_shifted(reads, self.reads, index)
            outs = all_shifted(writes, self.writes, index)
            across = pack(
                e, k, (self.reads[1].strides[3], self.reads[1].strides[2]), self.d, self.s, keys, self.width
            )
            whole = self.t // _TILE
            if whole:
                with e.loop(whole) as loop:
                    self._tile(e, loop.index * _TILE, _TILE, q, across, v, mask, scores, outs)
            if self.t % _TILE:
                self._tile(e, e.index(whole * _TILE), self.t % _TILE, q, across, v, mask, scores, outs)

    def _tile(
        self,
        e: Emitter,
        first: Value,
        rows: int,
        q: Pointer,
        keys: Side,
        v: Pointer,
        mask: Sequence[Pointer],
        scores: Pointer,
        outs: Sequence[Pointer],
    ) -> None:
        """A few queries: their scores, the softmax of each row, and the values they weigh."""
        lanes, (q_t, q_d) = self.lanes, self.reads[0].strides[2:]
        panels = e.index(self.wide // self.width)
        if self.op.causal:  # keys behind the last that the last of these queries may see are left out
            seen = first + (rows - 1 + self.s - self.t) + self.width
            found = seen / self.width
            found = e.select(found < 1, 1, found)
            panels = e.select(found < panels, found, panels)

        def keep(total: Value, row: Value, column: Value, count: int) -> None:
            value = total * self.op.scale
            allowed = self._allowed(e, first + row, column, mask)
            if allowed is not None:
                value = e.select(allowed, value, -math.inf)
            (scores + (row * self.wide + column)).store(value)

        emit_tiles(e, rows, self.wide, self.d, q + first * q_t, (q_t, q_d), keys, keep, panels=panels)
        length = panels * self.width
        shares = []
        for r in range(rows):
            shares.append(_soften(e, scores + r * self.wide, length, lanes))
        if len(outs) > 1:
            self._keep_weights(e, first, rows, scores, shares, length, outs[1])
        self._values(e, first, rows, v, scores, shares, length, outs[0])

    def _values(
        self,
        e: Emitter,
        first: Value,
        rows: int,
        v: Pointer,
        scores: Pointer,
        shares: Sequence[Value],
        length: Value,
        out: Pointer,
    ) -> None:
        """Weigh the values; the rows of weights are divided by their sums here, at the end."""
        v_s, v_e = self.reads[2].strides[2:]
        o_t, o_e = self.writes[0].strides[2:]
        side = Side(v, self.width, v_s, self.width * v_e, v_e)
        steps: dict[int, Value] = dict(enumerate(shares))
        limit = e.select(length < self.s, length, self.s)  # there are no values behind the last key

        def finish(total: Value, row: Value, column: Value, count: int) -> None:
            share = e.spread(steps[_constant(row)], total.lanes)
            store_run(out + ((first + row) * o_t + column * o_e), total * share, o_e, count)

        emit_tiles(e, rows, self.e, limit, scores, (self.wide, 1), side, finish)

    def _keep_weights(
        self,
        e: Emitter,
        first: Value,
        rows: int,
        scores: Pointer,
        shares: Sequence[Value],
        length: Value,
        out: Pointer,
    ) -> None:
        p_t = self.writes[1].strides[2]
        for r in range(rows):
            share = e.spread(shares[r], self.lanes)
            for column in range(0, self.s, self.lanes):
                here = scores + (r * self.wide + column)
                value = here.load(self.lanes)
                beyond = e.index(column) < length  # nothing was computed there
                value = e.select(beyond, value * share, 0.0)
                (out + ((first + r) * p_t + column)).store(value, min(self.lanes, self.s - column))

    def _allowed(self, e: Emitter, query: Value, column: Value, mask: Sequence[Pointer]) -> Value | None:
        """Which of the next keys a query may see; None if that is sure to be all."""
        lanes, found = self.lanes, None
        kind = ir.VectorType(I64, lanes)
        numbers = Value(e, ir.Constant(kind, list(range(lanes)))) + e.spread(column, lanes)
        if self.wide != self.s:
            found = numbers < self.s
        if self.op.causal:
            sees = numbers <= e.spread(query + (self.s - self.t), lanes)
            found = sees if found is None else found & sees
        for pointer, place in zip(mask, self.reads[3:], strict=True):
            t, s = place.strides[2:]
            line = shifted(pointer, [query], [t])
            if self.wide == self.s or s == 0:
                allowed = load_run(shifted(line, [column], [s]), s, lanes)
            else:
                allowed = _masked_flags(e, line, s, numbers, self.s, lanes)
            found = allowed if found is None else found & allowed
        return found

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        q, k, v, *mask = reads
        yield f"for b in range({self.batch}):"
        yield f"    for h in range({self.heads}):"
        yield f"        for t in range({self.t}):"
        later = f"t + {self.s - self.t}" if self.s != self.t else "t"
        rules = [f"s <= {later}"] if self.op.causal else []
        rules += [f"{name}[b, h, t, s]" for name in mask]
        yield "            scores = {}"
        yield f"            for s in range({self.s}):"
        pad = " " * 16
        if rules:
            yield f"{pad}if {' and '.join(rules)}:"
            pad += "    "
        yield f"{pad}total = sum({q}[b, h, t, i] * {k}[b, h, s, i] for i in range({self.d}))"
        yield f"{pad}scores[s] = {self.op.scale} * total"
        yield "            top = max(scores.values(), default=0.0)"
        yield "            weights = {s: exp(score - top) for s, score in scores.items()}"
        yield "            total = sum(weights.values()) or 1.0"
        if len(writes) > 1:
            yield f"            for s in range({self.s}):"
            yield f"                {writes[1]}[b, h, t, s] = weights.get(s, 0.0) / total"
        yield f"            for i in range({self.e}):"
        weighed = f"w / total * {v}[b, h, s, i] for s, w in weights.items()"
        yield f"                {writes[0]}[b, h, t, i] = sum({weighed})"


def _constant(row: Value) -> int:
    """The number of a row of a single tile, which is known when code is made."""
    constant = row.ir.constant if isinstance(row.ir, ir.Constant) else None
    assert constant is not None, "tiles of at most six rows are not in a loop"
    return int(constant)


def _masked_flags(e: Emitter, line: Pointer, step: int, numbers: Value, size: int, lanes: int) -> Value:
    """Flags of the next keys, without touching those behind the last one."""
    vector = Value(e, ir.Constant(ir.VectorType(ir.IntType(1), lanes), [False] * lanes))
    for lane in range(lanes):
        number = Value(e, e.builder.extract_element(numbers.ir, ir.Constant(ir.IntType(32), lane)))
        inside = number < size
        flag = (line + e.select(inside, number, 0) * step).load() & inside
        vector = Value(e, e.builder.insert_element(vector.ir, flag.ir, ir.Constant(ir.IntType(32), lane)))
    return vector


def _soften(e: Emitter, row: Pointer, length: Value, lanes: int) -> Value:
    """e ** (score - top) in place, and 1 over the sum; a row of nothing but -inf becomes zeros."""
    dtype = row.dtype
    with e.loop(length, [e.constant(-math.inf, dtype, lanes)], step=lanes) as loop:
        value = (row + loop.index).load(lanes)
        loop.carry([e.select(value > loop.carried[0], value, loop.carried[0])])
    top = e.largest_lane(loop.results[0])
    top = e.spread(e.select(top.equals(-math.inf), 0.0, top), lanes)
    with e.loop(length, [e.zeros(dtype, lanes)], step=lanes) as loop:
        here = row + loop.index
        power = m.share_exp(e, here.load(lanes) - top)
        here.store(power)
        loop.carry([loop.carried[0] + power])
    total = e.sum_lanes(loop.results[0])
    return total.like(1.0) / e.select(total.equals(0.0), 1.0, total)


class AttentionGradHeads(Heads):
    """Reads g, q, k, v and the weights p; writes dq, dk, dv."""

    shares = True

    def __init__(
        self, op: AttentionGrad, reads: Sequence[Place], writes: Sequence[Place], calls: Sequence[Call]
    ) -> None:
        self.op, self.reads, self.writes, self.calls = op, tuple(reads), tuple(writes), tuple(calls)
        q, v = reads[1], reads[3]
        self.batch, self.heads, self.t, self.d = q.shape
        self.s, self.e = v.shape[2:]
        self.dtype, self.lanes = q.dtype, lanes_of(q.dtype)
        self.width = 2 * self.lanes
        self.wide = -(-self.s // self.width) * self.width
        self.scratch = (self.wide * self.e + self.t * self.wide) * self.dtype.itemsize

    def signature(self) -> tuple[Any, ...]:
        return "attention_grad", self.op.scale, self.op.causal, *map(layout, (*self.reads, *self.writes))

    def emit(self, e: Emitter, reads: Sequence[Pointer], writes: Sequence[Pointer], scratch: Any) -> None:
        values = Pointer(e, scratch, self.dtype)
        ds = values + self.wide * self.e
        with self._heads(e) as index:
            g, q, k, v, p = all_shifted(reads, self.reads, index)
            dq, dk, dv = all_shifted(writes, self.writes, index)
            g_at, q_at, k_at, v_at, p_at = (place.strides[2:] for place in self.reads)
            dq_at, dk_at, dv_at = (place.strides[2:] for place in self.writes)
            self._product(e, self.s, self.e, self.t, p, p_at[::-1], self._columns(g, g_at), dv, dv_at)
            across = pack(e, v, v_at[::-1], self.e, self.s, values, self.width)
            self._product(e, self.t, self.s, self.e, g, g_at, across, ds, (self.wide, 1))
            with e.loop(self.t) as row:
                self._scores(e, ds + row.index * self.wide, p + row.index * p_at[0])
            self._product(e, self.t, self.d, self.s, ds, (self.wide, 1), self._columns(k, k_at), dq, dq_at)
            self._product(e, self.s, self.d, self.t, ds, (1, self.wide), self._columns(q, q_at), dk, dk_at)

    def _columns(self, b: Pointer, strides: Sequence[int]) -> Side:
        return Side(b, self.width, strides[0], self.width * strides[1], strides[1])

    def _product(
        self,
        e: Emitter,
        m_: int,
        n: int,
        k: int,
        a: Pointer,
        a_at: Sequence[int],
        side: Side,
        out: Pointer,
        at: Sequence[int],
    ) -> None:
        def finish(total: Value, row: Value, column: Value, count: int) -> None:
            store_run(out + (row * at[0] + column * at[1]), total, at[1], count)

        emit_tiles(e, m_, n, k, a, a_at, side, finish)

    def _scores(self, e: Emitter, ds: Pointer, p: Pointer) -> None:
        """One row of ds = p * (dp - sum of dp * p) * scale, in place of dp."""
        lanes = self.lanes
        total = e.zeros(self.dtype, lanes)
        whole = self.s // lanes * lanes
        if whole:
            with e.loop(whole, [total], step=lanes) as loop:
                product = (ds + loop.index).load(lanes) * (p + loop.index).load(lanes)
                loop.carry([loop.carried[0] + product])
            total = loop.results[0]
        if whole < self.s:
            rest = self.s - whole
            total = total + (ds + whole).load(lanes, rest) * (p + whole).load(lanes, rest)
        mean = e.spread(e.sum_lanes(total), lanes)

        def piece(at: Value, count: int) -> None:
            value = ((ds + at).load(lanes, count) - mean) * (p + at).load(lanes, count) * self.op.scale
            (ds + at).store(value, count)

        if whole:
            with e.loop(whole, step=lanes) as loop:
                piece(loop.index, lanes)
        if whole < self.s:
            piece(e.index(whole), self.s - whole)

    def text(self, reads: Sequence[str], writes: Sequence[str]) -> Iterator[str]:
        g, q, k, v, p = reads
        dq, dk, dv = writes
        t, s, d, size = self.t, self.s, self.d, self.e
        yield f"for b in range({self.batch}):"
        yield f"    for h in range({self.heads}):"
        yield f"        ds = [[0.0] * {s} for t in range({t})]"
        yield f"        for t in range({t}):"
        products = f"{g}[b, h, t, i] * {v}[b, h, s, i] for i in range({size})"
        yield f"            dp = [sum({products}) for s in range({s})]"
        yield f"            total = sum(dp[s] * {p}[b, h, t, s] for s in range({s}))"
        yield f"            ds[t] = [{p}[b, h, t, s] * (dp[s] - total) * {self.op.scale} for s in range({s})]"
        yield f"            for i in range({d}):"
        yield f"                {dq}[b, h, t, i] = sum(ds[t][s] * {k}[b, h, s, i] for s in range({s}))"
        yield f"        for s in range({s}):"
        yield f"            for i in range({d}):"
        yield f"                {dk}[b, h, s, i] = sum(ds[t][s] * {q}[b, h, t, i] for t in range({t}))"
        yield f"            for i in range({size}):"
        yield f"                {dv}[b, h, s, i] = sum({p}[b, h, t, s] * {g}[b, h, t, i] for t in range({t}))"
