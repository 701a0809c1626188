"""KVCache: keys and values of the positions before, so that each token is computed once."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.caching.pool import PagePool
from tinytorch.errors import CacheError, ShapeError
from tinytorch.nn.attention import grouped_attention
from tinytorch.ops.context import grad_mode
from tinytorch.ops.paged import CacheWrite, PagedAttention
from tinytorch.ops.spec import Array, int8
from tinytorch.tensor import Tensor, from_numpy


class KVCache:
    """Keys and values of up to `capacity` positions of each of `batch` sequences, in pages.

    It takes pages from a pool as it grows, and shares them with its forks until one of them writes. A full
    cache raises CacheError, unless it has a `window`: then each position sees the `window` before it, itself
    included, and the first `sinks`, and pages that nobody will see any more are used again. `dtype`:
    "float32", "float16", or "int8" with a scale for each vector. `forks`: how many further sequences of that
    capacity there is room for.

    >>> cache = KVCache(layers=1, kv_heads=2, head_dim=4, capacity=128)
    >>> k = v = from_numpy(np.ones((1, 2, 3, 4), np.float32))
    >>> cache.append(0, k, v)[0].shape, cache.length
    ((1, 2, 3, 4), 3)
    """

    def __init__(
        self,
        layers: int,
        kv_heads: int,
        head_dim: int,
        capacity: int,
        dtype: Any = "float32",
        window: int | None = None,
        sinks: int = 0,
        *,
        batch: int = 1,
        page: int = 64,
        forks: int = 1,
        pool: PagePool | None = None,
    ) -> None:
        if capacity < 1 or batch < 1 or page < 1 or forks < 0 or sinks < 0:
            raise CacheError(
                f"cache: capacity {capacity}, batch {batch}, pages of {page}, {forks} forks, {sinks} sinks; "
                "all must be positive"
            )
        if window is not None and not 1 <= window <= capacity - sinks:
            raise CacheError(f"cache: a window of {window} and {sinks} sinks in a capacity of {capacity}")
        self.capacity, self.window, self.sinks, self.batch, self.page = capacity, window, sinks, batch, page
        self.slots = -(-capacity // page) + (2 if window else 0)
        """Pages that a sequence may have at a time: a window begins and ends within one."""
        count = self.slots * batch * (1 + forks)
        self.pool = pool or PagePool(layers, kv_heads, head_dim, count, page, dtype)
        self.kept = -(-sinks // page) * page
        """Positions in the pages of the sinks, which are never dropped."""
        self.lengths: Array = np.zeros(batch, np.int64)
        """Positions that each sequence has had so far, in every layer."""
        self.dropped: Array = np.zeros(batch, np.int64)
        """Positions behind the sinks that are gone."""
        self.table: Array = np.zeros((batch, self.slots), np.int64)
        """The numbers of the pages of each sequence, in order."""
        self._rows: list[list[int]] = [[] for _ in range(batch)]
        self._ahead = [0] * self.pool.layers
        weakref.finalize(self, _release, self.pool, self._rows)

    # ------------------------------------------------------------ looking at it

    @property
    def length(self) -> int:
        """Positions that every layer holds, of the longest sequence."""
        return int(max(self.lengths.tolist()))

    @property
    def nbytes(self) -> int:
        """Bytes of the pages in use, those that are shared with forks among them."""
        return sum(map(len, self._rows)) * self.pool.page_bytes

    @property
    def utilization(self) -> float:
        """The share of the pages in use that holds positions; 1 where there are none."""
        room = sum(map(len, self._rows)) * self.page
        return float((self.lengths - self.dropped).sum() / room) if room else 1.0

    @property
    def dtype(self) -> Any:
        """What keys and values are kept in."""
        return self.pool.dtype

    @property
    def room(self) -> int:
        """How many more positions fit into the longest sequence before it is full, or must slide."""
        return self.capacity - int(max((self.lengths - self.dropped).tolist()))

    def positions(self, t: int) -> Tensor:
        """The positions of the next t tokens: int64 (batch, t)."""
        return from_numpy(self.lengths[:, None] + np.arange(t))

    def view(self, layer: int) -> tuple[Tensor, Tensor]:
        """All that a layer holds: keys and values, each (batch, kv_heads, held, head_dim), float32.

        The positions come in order. Those of sequences that are shorter than the longest are filled up with
        zeros at the end; what a window has dropped is left out.
        """
        op = PagedAttention(self.sinks)
        keys, values, *scales = (t._array for t in self.pool.tensors(layer))
        lengths = self.lengths + self._ahead[layer]
        rows = [
            op.held(b, int(lengths[b]), keys, values, self.table, self.dropped, *scales)
            for b in range(self.batch)
        ]
        longest = max(len(position) for _, _, position in rows)
        out = np.zeros((2, self.batch, self.pool.kv_heads, longest, self.pool.head_dim), np.float32)
        for b, (k, v, position) in enumerate(rows):
            out[0, b, :, : len(position)], out[1, b, :, : len(position)] = k, v
        return from_numpy(out[0]), from_numpy(out[1])

    # ------------------------------------------------------------ growing

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k and v: (batch, kv_heads, t, head_dim), behind what the layer holds; returns its `view`.

        Raises CacheError where the cache is full, ShapeError for other shapes.
        """
        self._store(layer, k, v)
        return self.view(layer)

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = True
    ) -> Tensor:
        """Store k and v, and return attention of q: (batch, heads, t, head_dim) to all that the layer holds.

        Query i is at the position of key i and sees no later one, nothing beyond a window. With a `mask`
        (batch, heads, t, held), or not `causal`, it is `attention` to the `view`.
        """
        if mask is not None or not causal:
            return grouped_attention(q, *self.append(layer, k, v), mask, causal)
        starts = self.lengths + self._ahead[layer]
        self._store(layer, k, v)
        op = PagedAttention(self.sinks, q.shape[-1] ** -0.5, self.window or 0)
        keys, values, *scales = self.pool.tensors(layer)
        return op(q, keys, values, *map(from_numpy, (self.table, starts, self.dropped)), *scales)

    def _store(self, layer: int, k: Tensor, v: Tensor) -> None:
        pool = self.pool
        expected = (self.batch, pool.kv_heads, k.shape[2] if k.ndim == 4 else -1, pool.head_dim)
        if not 0 <= layer < pool.layers or k.shape != expected or v.shape != expected:
            raise ShapeError(
                f"cache: k {k.shape} and v {v.shape} for layer {layer}; expected ({self.batch}, "
                f"{pool.kv_heads}, t, {pool.head_dim}) and a layer below {pool.layers}"
            )
        t, starts = k.shape[2], self.lengths + self._ahead[layer]
        self.reserve(self._ahead[layer] + t)
        keys, values, *scales = pool.tensors(layer)
        with grad_mode(False):
            numbers = map(from_numpy, (self.table, starts, self.dropped))
            CacheWrite(self.sinks, self.dtype == int8)(keys, values, k, v, *numbers, *scales)
        self._ahead[layer] += t
        self.advance(min(self._ahead))

    def reserve(self, t: int) -> None:
        """Have pages of its own for the next t positions, and drop what no later position will see.

        For each sequence, whose positions go on at lengths[b]: `_drop` takes what `_to_drop` says. Of the
        pages that the next t positions go into, those that are there become its own (`pool.own` gives the
        number of the page to use, a copy where others use it too), and those that are not there are taken
        (`pool.take`). Numbers of pages stand, in order, in `_rows[b]`, a list, and at the beginning of
        `table[b]`. Pages that are not written to stay shared. `lengths` stay as they are.

        Raises CacheError, before anything is changed, where they do not fit: without a window no sequence
        may come to hold more than `capacity` positions, with one no more than `slots` pages. What was
        dropped, this time included, is not held. And the pool must have the pages: `pool.require` raises
        unless it has so many free ones, `_pages_needed` says how many it takes.
        """
        gone = self._to_drop()
        held = self.lengths - self.dropped - gone
        if int(held.max()) + t > self.slots * self.page or (
            self.window is None and int(held.max()) + t > self.capacity
        ):
            raise CacheError(
                f"cache: full: {int(held.max())} positions held, {t} more do not fit into {self.capacity}. "
                + ("Feed fewer at a time" if self.window else "Truncate it, or make it with a window")
            )
        self.pool.require(self._pages_needed(gone, t))
        for b in np.flatnonzero(gone).tolist():
            self._drop(b, int(gone[b]))
        for b, row in enumerate(self._rows):
            first = int(self.lengths[b] - self.dropped[b])
            for slot in range(first // self.page, min(len(row), self.pool.pages_for(first + t))):
                row[slot] = self.table[b, slot] = self.pool.own(row[slot])
            while len(row) * self.page < first + t:
                row.append(self.pool.take())
                self.table[b, len(row) - 1] = row[-1]

    def _pages_needed(self, gone: Array, t: int) -> int:
        """How many free pages it takes to drop that much and then have pages of its own for t positions."""
        pool, needed = self.pool, 0
        for b, row in enumerate(self._rows):
            first, count = self.kept // self.page, int(gone[b]) // self.page
            dropped, rest = row[first : first + count], row[:first] + row[first + count :]
            start = int(self.lengths[b] - self.dropped[b] - gone[b])
            end = pool.pages_for(start + t)
            written = rest[start // self.page : end]
            needed += max(end - len(rest), 0) + sum(int(pool.users[n]) > 1 for n in written)
            needed -= sum(int(pool.users[n]) == 1 for n in dropped)
        return needed

    def _to_drop(self) -> Array:
        """How many positions, in whole pages behind the sinks, are out of sight for each sequence."""
        if self.window is None:
            return np.zeros(self.batch, np.int64)
        unseen = self.lengths - self.window + 1 - self.kept - self.dropped
        gone: Array = np.maximum(unseen, 0) // self.page * self.page
        return gone

    def _drop(self, b: int, count: int) -> None:
        row, first = self._rows[b], self.kept // self.page
        end = first + count // self.page
        self.pool.release(row[first:end])
        del row[first:end]
        self.table[b, : len(row)] = row
        self.dropped[b] += count

    def advance(self, t: int) -> None:
        """Count t positions, which all layers hold now, as part of every sequence."""
        if t:
            self.lengths += t
            self._ahead = [max(ahead - t, 0) for ahead in self._ahead]

    # ------------------------------------------------------------ going back

    def truncate(self, n: int | Sequence[int]) -> None:
        """Keep the first n positions of each sequence, or of sequence b the first n[b]; what follows is gone.

        Pages that hold none of them are released, and leave `_rows[b]`; what a layer is ahead of others is
        forgotten. Raises CacheError, and changes nothing, unless there is one n or one for each sequence, and
        each sequence has as many. Where a window has dropped positions of it, the first one still held behind
        the sinks is kept + dropped, and n must be so large that position n, the next, sees none that is gone.
        """
        if np.shape(n) not in ((), (self.batch,)):
            raise CacheError(f"cache: truncate({n}) of {self.batch} sequences; expected one length for each")
        wanted = np.broadcast_to(np.asarray(n, np.int64), (self.batch,))
        least = np.where(self.dropped > 0, self.kept + self.dropped + (self.window or 1) - 1, 0)
        if (wanted < least).any() or (wanted > self.lengths).any() or (wanted < 0).any():
            raise CacheError(
                f"cache: truncate({n}) of sequences of {self.lengths.tolist()} positions"
                + (f": what was dropped would be in sight before {least.tolist()}" if least.any() else "")
            )
        for b, row in enumerate(self._rows):
            count = self.pool.pages_for(int(wanted[b] - self.dropped[b]))
            self.pool.release(row[count:])
            del row[count:]
        self.lengths = wanted.copy()
        self._ahead = [0] * self.pool.layers

    def fork(self) -> KVCache:
        """A cache that goes on from here by itself: pages are shared until one of the two writes to them."""
        twin = KVCache(
            self.pool.layers,
            self.pool.kv_heads,
            self.pool.head_dim,
            self.capacity,
            window=self.window,
            sinks=self.sinks,
            batch=self.batch,
            page=self.page,
            pool=self.pool,
        )
        for own, row in zip(twin._rows, self._rows, strict=True):
            self.pool.share(row)
            own += row
        twin.lengths, twin.dropped, twin.table = self.lengths.copy(), self.dropped.copy(), self.table.copy()
        return twin

    def reset(self) -> None:
        """Forget all positions and give the pages back."""
        for row in self._rows:
            self.pool.release(row)
            row.clear()
        self.lengths, self.dropped = np.zeros((2, self.batch), np.int64)
        self._ahead = [0] * self.pool.layers

    def __repr__(self) -> str:
        pool = self.pool
        return (
            f"KVCache({pool.layers} layers, {pool.kv_heads} x {pool.head_dim}, {self.dtype}, "
            f"{self.lengths.tolist()} of {self.capacity} positions, {self.nbytes:,} bytes)"
        )


def _release(pool: PagePool, rows: list[list[int]]) -> None:
    for row in rows:
        pool.release(row)
        row.clear()
