"""Attention to keys and values that are kept in pages: what a cache of them computes.

Keys and values of one layer lie in two pools of pages, keys (heads, pages, d, page) and values (heads,
pages, page, d): a page has the keys of `page` positions beside each other, feature by feature, and their
values row by row. A sequence is a row of `table`: the numbers of its pages in order. `starts` says how many
positions it had before; `dropped` how many of them, whole pages behind the first ones, are gone, so that
position p is at place p - dropped of the row. In int8, each vector has a power of two as scale, stored as
its exponent (+127): the MXINT8 of the "OCP Microscaling Formats (MX) Specification", 2023, with one head's
vector as its block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.attention import attention_weights
from tinytorch.ops.base import Op, Sample
from tinytorch.ops.softmax import COST
from tinytorch.ops.spec import Array, Spec, float32, float64, int8, int64

BIAS = 127
"""What is added to an exponent so that it is a number from 0 to 255."""


def to_codes(x: Array) -> tuple[Array, Array]:
    """x: (..., d) as int8 codes, and for each vector the exponent of its scale, int8 (...) with 127 added.

    The scale is the smallest power of two with which no code is beyond 127, so that 2 ** e * code is x within
    half a step. A vector with NaN or infinity has the exponent 255, by which it becomes NaN.

    >>> codes, exponents = to_codes(np.float32([[127.0, -1.0], [0.5, 0.25]]))
    >>> codes.tolist(), (exponents.view(np.uint8).astype(int) - 127).tolist()
    ([[127, -1], [64, 32]], [0, -7])
    """
    largest = np.abs(x).max(-1)
    finite = np.isfinite(largest)
    share, exponents = np.frexp(
        np.where(finite, largest, 0) / x.dtype.type(127)
    )  # share * 2 ** e, 0.5 <= share < 1
    exponents = np.clip(exponents - (share == 0.5) + BIAS, 1, 254)
    scaled = np.where(finite[..., None], x, 0) * np.ldexp(x.dtype.type(1), BIAS - exponents)[..., None]
    return np.rint(scaled).astype(np.int8), np.where(finite, exponents, 255).astype(np.uint8).view(np.int8)


def from_codes(codes: Array, exponents: Array) -> Array:
    """What codes (..., d) and exponents (...) stand for, float32 (..., d); 255 is NaN."""
    raw = exponents.view(np.uint8).astype(np.int32)
    scale = np.where(raw == 255, np.float32(np.nan), np.ldexp(np.float32(1), raw - BIAS)).astype(np.float32)
    out: Array = codes * scale[..., None]
    return out


@dataclass
class Paged(Op):
    """Base of the ops on pages: which pages stay when others are dropped, and what all inputs must be."""

    sinks: int = 0
    """Positions at the front that are never dropped."""

    def place(self, position: Array, dropped: Array, page: int) -> Array:
        """Where positions are in their row of the table, counted in positions: int64, shaped as `position`.

        position: int64 of any shape; dropped: one number, a multiple of `page`, the positions of a page. The
        first `kept` positions are those in pages of the sinks: whole pages, as many as `self.sinks` positions
        need. They are never dropped: p is at place p. From behind them `dropped` positions are gone: p is at
        place p - dropped. What is gone itself comes before `kept` by this rule, by which `held` knows it.
        """
        kept = -(-self.sinks // page) * page
        return np.where(position < kept, position, position - dropped)

    def check(self, op: str, keys: Spec, values: Spec, table: Spec, counts: Any, scales: Any) -> None:
        """Raise unless the pools, the table, `starts` and `dropped`, and the scales fit each other."""
        heads, pages, d, page = keys.shape if keys.ndim == 4 else (0, 0, 0, 0)
        if keys.ndim != 4 or values.shape != (heads, pages, page, d) or keys.dtype != values.dtype:
            raise ShapeError(
                f"{op}: keys {keys} and values {values}; expected (heads, pages, d, page) and "
                "(heads, pages, page, d) of one dtype"
            )
        if (keys.dtype.kind != "f" and keys.dtype != int8) or bool(scales) != (keys.dtype == int8):
            raise DTypeError(f"{op}: pages are float32, float16, or int8 with exponents, not {keys.dtype}")
        for scale in scales:
            if scale.shape != (heads, pages, page) or scale.dtype != int8:
                raise ShapeError(f"{op}: exponents {scale}; expected int8{[heads, pages, page]}")
        for name, one in (("starts", counts[0]), ("dropped", counts[1])):
            if one.shape != table.shape[:1] or one.dtype != int64:
                raise ShapeError(f"{op}: {name} {one}; expected int64, one number for each row of {table}")
        if table.ndim != 2 or table.dtype != int64:
            raise ShapeError(f"{op}: the table is {table}; expected int64 (batch, pages of a sequence)")


@dataclass
class CacheWrite(Paged):
    """k and v, (batch, heads, t, d), into the pages at the positions from `starts` on, in place

    Inputs: keys, values, k, v, table, starts, dropped, and with int8 the exponents of keys and values.
    """

    @property
    def mutates(self) -> tuple[int, ...]:  # type: ignore[override]  # depends on the dtype
        """The pools, and the exponents where there are any."""
        return (0, 1, 7, 8) if self.coded else (0, 1)

    coded: bool = False

    def infer(
        self,
        keys: Spec,
        values: Spec,
        k: Spec,
        v: Spec,
        table: Spec,
        starts: Spec,
        dropped: Spec,
        *scales: Spec,
    ) -> Spec:
        self.check("cache_write", keys, values, table, (starts, dropped), scales)
        heads, _, d, _ = keys.shape
        if (
            k.ndim != 4
            or k.shape != v.shape
            or k.shape[0] != table.shape[0]
            or k.shape[1:] != (heads, k.shape[2], d)
        ):
            raise ShapeError(
                f"cache_write: k {k.shape} and v {v.shape}; expected ({table.shape[0]}, {heads}, t, {d})"
            )
        if k.dtype not in (float32, float64) or v.dtype != k.dtype:
            raise DTypeError(f"cache_write: k is {k.dtype} and v {v.dtype}; float32 is needed")
        return Spec(keys.shape, keys.dtype)

    def forward(
        self,
        keys: Array,
        values: Array,
        k: Array,
        v: Array,
        table: Array,
        starts: Array,
        dropped: Array,
        *scales: Array,
    ) -> Any:
        """The pool of keys itself, changed: position starts[b] + i of row b has k[b, :, i] and v[b, :, i].

        keys: (heads, pages, d, page), values: (heads, pages, page, d), both changed in place; k and v:
        (batch, heads, t, d); table: (batch, pages of a row), starts and dropped: (batch,). `self.place` says
        where a position is in its row of the table: place // page is the entry with the number of its page,
        place % page its column there. t positions may run over several pages. With `scales`, the exponents
        of keys and of values, each (heads, pages, page), pages hold the codes of `to_codes`, a vector of a
        head at a time, and the exponents are changed as well. Nothing but these positions changes.
        """
        page = keys.shape[3]
        for b in range(len(table)):
            place = self.place(starts[b] + np.arange(k.shape[2]), dropped[b], page)
            numbers, columns = table[b, place // page], place % page
            rows = k[b].transpose(1, 0, 2), v[b].transpose(1, 0, 2)  # (t, heads, d)
            if scales:
                codes = [to_codes(row) for row in rows]
                rows = codes[0][0], codes[1][0]
                for scale, (_, exponents) in zip(scales, codes, strict=True):
                    scale[:, numbers, columns] = exponents.T
            keys[:, numbers, :, columns] = rows[0]
            values[:, numbers, columns] = rows[1].transpose(1, 0, 2)
        return keys

    def flops(self, out: Spec, keys: Spec, values: Spec, k: Spec, *rest: Spec) -> int:
        return 6 * k.size if self.coded else 0

    def bytes(self, out: Spec, keys: Spec, values: Spec, k: Spec, *rest: Spec) -> int:
        return 2 * k.nbytes + 2 * k.size * keys.dtype.itemsize


@dataclass
class PagedAttention(Paged):
    """softmax(q k^T * scale, where visible) v over the pages of each sequence; out: as q

    q: (batch, query heads, t, d), of which query i is at position starts + i and sees the positions up to its
    own: those in pages, fewer than `window` back (0: all) or among the first `sinks`. Each head of the pages
    serves as many query heads as there are for each: Ainslie et al., "GQA", 2023. Sinks: Xiao et al.,
    "Efficient streaming language models with attention sinks", 2023. Pages: Kwon et al., "Efficient memory
    management for large language model serving with PagedAttention", 2023.
    Inputs: q, keys, values, table, starts, dropped, and with int8 the exponents of keys and values.
    """

    scale: float = 1.0
    window: int = 0

    def infer(
        self, q: Spec, keys: Spec, values: Spec, table: Spec, starts: Spec, dropped: Spec, *scales: Spec
    ) -> Spec:
        self.check("paged_attention", keys, values, table, (starts, dropped), scales)
        heads, _, d, _ = keys.shape
        if q.ndim != 4 or q.shape[0] != table.shape[0] or q.shape[1] % max(heads, 1) or q.shape[3] != d:
            raise ShapeError(
                f"paged_attention: q {q.shape}; expected ({table.shape[0]}, a multiple of {heads}, t, {d})"
            )
        if q.dtype not in (float32, float64):
            raise DTypeError(f"paged_attention: queries are float32, not {q.dtype}")
        return Spec(q.shape, q.dtype)

    def forward(
        self,
        q: Array,
        keys: Array,
        values: Array,
        table: Array,
        starts: Array,
        dropped: Array,
        *scales: Array,
    ) -> Any:
        """(batch, query heads, t, d): for each sequence, attention of its queries to what its pages hold.

        q: (batch, query heads, t, d), of sequence b at the positions from starts[b] on, whose own keys and
        values are in the pages already: it has starts[b] + t positions. `held` gives what there is
        of them, `visible_keys` who sees what, `attention_weights` with `self.scale` the weights. Query head i
        goes with head i // group of the pages, `group` being how many times as many query heads there are.
        All is computed in q's dtype, whatever that of the pages. The other inputs are as for `held`.
        """
        out = np.empty((len(q), q.shape[2], q.shape[1], q.shape[3]), q.dtype).transpose(0, 2, 1, 3)
        group = q.shape[1] // max(keys.shape[0], 1)
        for b in range(len(q)):
            k, v, position = self.held(b, starts[b] + q.shape[2], keys, values, table, dropped, *scales)
            seen = self.visible_keys(starts[b] + np.arange(q.shape[2]), position)
            k, v = (np.repeat(a, group, 0)[None].astype(q.dtype) for a in (k, v))
            p = attention_weights(q[b : b + 1], k, self.scale, mask=seen)
            np.matmul(p, v, out=out[b : b + 1])
        return out

    def held(
        self, b: int, length: int, keys: Array, values: Array, table: Array, dropped: Array, *scales: Array
    ) -> tuple[Array, Array, Array]:
        """Keys and values that sequence b of `length` positions still holds, and which positions those are.

        keys: (heads, pages, d, page), values: (heads, pages, page, d), table: (batch, pages of a sequence),
        dropped: (batch,). Three arrays: keys and values, (heads, held, d), and positions, int64 (held,), in
        order: those from 0 to length - 1 that were not dropped, which are the ones in pages of the sinks, and
        the ones that `self.place` puts behind those pages. What pages have at other places does not come.
        With `scales`, exponents of keys and of values, each (heads, pages, page), keys and values are what
        `from_codes` makes of them; else they are in the dtype of the pages.
        """
        page = keys.shape[3]
        place = self.place(np.arange(length), dropped[b], page)
        kept = -(-self.sinks // page) * page
        position = np.flatnonzero((np.arange(length) < kept) | (place >= kept))
        place = place[position]
        numbers, columns = table[b, place // page], place % page
        k, v = keys[:, numbers, :, columns].transpose(1, 0, 2), values[:, numbers, columns]
        if scales:
            k, v = (from_codes(a, s[:, numbers, columns]) for a, s in zip((k, v), scales, strict=True))
        return k, v, position

    def visible_keys(self, queries: Array, keys: Array) -> Array:
        """Which positions each query sees: bool (queries, keys), True where it may attend.

        queries and keys: positions, int64 (queries,) and (keys,); keys may lack some that were dropped. A
        query sees its own position and those before it; with a `self.window`, only the last `window` of
        them, its own included, and besides the first `self.sinks` positions, not all of their page.
        """
        back = queries[:, None] - keys
        seen: Array = back >= 0
        if self.window:
            seen &= (back < self.window) | (keys < self.sinks)
        return seen

    def matmul_flops(self, out: Spec, q: Spec, keys: Spec, values: Spec, table: Spec, *rest: Spec) -> int:
        """As if all pages in the table were full: how many are is not known from shapes."""
        return 4 * q.size * table.shape[1] * keys.shape[3]

    def flops(self, out: Spec, q: Spec, keys: Spec, values: Spec, table: Spec, *rest: Spec) -> int:
        pairs = q.size // max(q.shape[3], 1) * table.shape[1] * keys.shape[3]
        return self.matmul_flops(out, q, keys, values, table) + pairs * (COST + 1)

    def bytes(self, out: Spec, q: Spec, keys: Spec, values: Spec, table: Spec, *rest: Spec) -> int:
        held = 2 * table.size * keys.shape[0] * keys.shape[2] * keys.shape[3] * keys.dtype.itemsize
        return q.nbytes + out.nbytes + held


# ---------------------------------------------------------------- samples


def _pool(dtype: str, pages: int, heads: int, d: int, page: int) -> tuple[Array, Array, tuple[Array, ...]]:
    rng = np.random.default_rng(0)
    k, v = rng.normal(size=(2, heads, pages, page, d)).astype(np.float32)
    if dtype != "int8":
        return np.ascontiguousarray(k.swapaxes(2, 3)).astype(dtype), v.astype(dtype), ()
    codes, values = to_codes(k), to_codes(v)
    return np.ascontiguousarray(codes[0].swapaxes(2, 3)), values[0], (codes[1], values[1])


def _rows(*shape: int) -> Array:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


_TABLE, _STARTS, _NONE = np.array([[3, 0, 5], [1, 4, 2]]), np.array([5, 1]), np.array([0, 0])
_SPLIT = {dtype: _pool(dtype, 6, 2, 8, 4) for dtype in ("float32", "float16", "int8")}
PagedAttention.samples = [
    Sample(
        PagedAttention(sinks, 0.4, window),
        _rows(2, 6, t, 8),
        *pool[:2],
        _TABLE,
        _STARTS,
        dropped,
        *pool[2],
        differentiable=False,
    )
    for sinks, window, t, dropped, pool in (
        (0, 0, 1, _NONE, _SPLIT["float32"]),
        (0, 0, 7, _NONE, _SPLIT["float16"]),
        (0, 3, 5, _NONE, _SPLIT["int8"]),
        (1, 4, 3, _NONE, _SPLIT["float32"]),
    )
] + [
    Sample(
        PagedAttention(3, 0.4, 5),
        _rows(2, 2, 2, 8),
        *_SPLIT["float32"][:2],
        _TABLE,
        np.array([13, 9]),
        np.array([8, 4]),
        differentiable=False,
    ),
]
CacheWrite.samples = [
    Sample(
        CacheWrite(0, dtype == "int8"),
        *pool[:2],
        _rows(2, 2, t, 8),
        _rows(2, 2, t, 8) * 3,
        _TABLE,
        _STARTS,
        _NONE,
        *pool[2],
        differentiable=False,
    )
    for t, (dtype, pool) in zip((1, 5, 6), _SPLIT.items(), strict=True)
] + [
    Sample(
        CacheWrite(3),
        *_SPLIT["float32"][:2],
        _rows(2, 2, 2, 8),
        _rows(2, 2, 2, 8),
        _TABLE,
        np.array([13, 9]),
        np.array([8, 4]),
        differentiable=False,
    ),
]
