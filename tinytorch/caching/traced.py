"""A pass of a model over a cache as one compiled program, in which lengths and page numbers are inputs."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from tinytorch.acceleration.compiled import without_collector
from tinytorch.acceleration.naming import state_names
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.runner import Runner, make_runner, run_program
from tinytorch.acceleration.trace import trace
from tinytorch.caching.kv_cache import KVCache
from tinytorch.caching.pool import PagePool
from tinytorch.errors import ProgramError
from tinytorch.nn.module import Module
from tinytorch.ops.context import grad_mode, meta
from tinytorch.ops.index import take
from tinytorch.ops.paged import CacheWrite, PagedAttention
from tinytorch.ops.spec import Array, int8
from tinytorch.tensor import Tensor, from_numpy, zeros
from tinytorch.training.metrics import evaluating


class LanguageModel(Protocol):
    """What can be asked of a model: how long a text may be, and logits with a cache."""

    context: int
    vocab_size: int

    def __call__(self, ids: Tensor, cache: Any = None) -> Tensor:
        """Logits (batch, t, vocab_size) for ids (batch, t)."""


class TracedCache:
    """Stands in for a KVCache while a pass is traced: all that changes from pass to pass is a tensor."""

    length = 0
    """What a model checks against its context: whoever runs the program has done that."""

    def __init__(self, pool: PagePool, sinks: int, window: int, t: int) -> None:
        self.pool, self.sinks, self.window = pool, sinks, window
        self.steps = from_numpy(np.arange(t)[None])
        self.table: Tensor
        self.starts: Tensor
        self.dropped: Tensor

    def positions(self, t: int) -> Tensor:
        """The positions of the tokens of the pass: int64 (batch, t)."""
        return self.starts.reshape(-1, 1) + self.steps

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = True
    ) -> Tensor:
        """As `KVCache.attend`, in ops on the pool; raises ProgramError for masks."""
        if mask is not None or not causal:
            raise ProgramError(
                "a compiled pass has no mask but the causal one: run the model on a KVCache itself"
            )
        keys, values, *scales = self.pool.tensors(layer)
        where = self.table, self.starts, self.dropped
        CacheWrite(self.sinks, self.pool.dtype == int8)(keys, values, k, v, *where, *scales)
        return PagedAttention(self.sinks, q.shape[-1] ** -0.5, self.window)(q, keys, values, *where, *scales)


class Pass:
    """t tokens of each sequence through a model: a program made once, for caches of one pool.

    `every`: logits of all tokens, (batch, t, vocab), rather than of one of each sequence, (batch, vocab).
    """

    def __init__(
        self, model: Module, cache: KVCache, t: int, every: bool = False, fixed: bool = False
    ) -> None:
        self.t, self.every, self.batch = t, every, cache.batch
        stand_in = TracedCache(cache.pool, cache.sinks, cache.window or 0, t)

        def step(ids: Tensor, table: Tensor, starts: Tensor, dropped: Tensor, *rows: Tensor) -> Tensor:
            stand_in.table, stand_in.starts, stand_in.dropped = table, starts, dropped
            logits: Tensor = model(ids, stand_in)
            return take(logits.reshape(-1, logits.shape[-1]), rows[0]) if rows else logits

        with without_collector(), meta(), grad_mode(False):
            counts = [(cache.batch, t), cache.table.shape, (cache.batch,), (cache.batch,)]
            arguments = [zeros(*shape, dtype="int64") for shape in counts + [(cache.batch,)] * (not every)]
            traced = trace(step, arguments)
        if traced.refusal:
            raise ProgramError(f"this model cannot run compiled over a cache: {traced.refusal}")
        traced.graph.names.update(state_names(traced.graph, [model]))
        with without_collector():
            self.runner: Runner = make_runner(optimise(traced.graph), fixed=fixed)

    def run(self, cache: KVCache, ids: Array, rows: Array | None = None) -> Array:
        """The logits for ids: int64 (batch, t), which the cache holds from then on.

        `rows`: of which token of each sequence, by default the last. Raises CacheError where they do not fit.
        """
        cache.reserve(self.t)
        arrays = [ids, cache.table, cache.lengths, cache.dropped]
        if not self.every:
            last = np.full(self.batch, self.t - 1) if rows is None else rows
            arrays.append(last + np.arange(self.batch) * self.t)
        (logits,) = run_program(self.runner, arrays)
        cache.advance(self.t)
        return logits


class Whole:
    """Up to t tokens through a model without a cache, as one program: logits of the last, (batch, vocab)."""

    def __init__(self, model: Module, t: int, batch: int = 1) -> None:
        self.t, self.batch = t, batch

        def forward(ids: Tensor, rows: Tensor) -> Tensor:
            logits: Tensor = model(ids)
            return take(logits.reshape(-1, logits.shape[-1]), rows)

        with evaluating(model), without_collector(), meta(), grad_mode(False):
            traced = trace(forward, [zeros(batch, t, dtype="int64"), zeros(batch, dtype="int64")])
        if traced.refusal:
            raise ProgramError(f"this model cannot run compiled: {traced.refusal}")
        with without_collector():
            self.runner: Runner = make_runner(optimise(traced.graph))

    def run(self, ids: Array) -> Array:
        """The logits for ids: int64 (batch, n) with n <= t; behind them come zeros, which they do not see."""
        full = np.zeros((self.batch, self.t), np.int64)
        full[:, : ids.shape[1]] = ids
        (logits,) = run_program(self.runner, [full, np.arange(self.batch) * self.t + ids.shape[1] - 1])
        return logits
