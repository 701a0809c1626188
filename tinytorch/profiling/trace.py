"""Watching ops run: when each began and ended in several passes, and what each costs in FLOPs and bytes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from tinytorch.ops.base import Op
from tinytorch.ops.context import Observer, OpEvent, observe, state
from tinytorch.profiling.counting.flops import OpCost, cost_of
from tinytorch.tensor import Tensor

NS = 1e-9


class Named(Protocol):
    """An op, ours or another framework's."""

    @property
    def name(self) -> str:
        """Its name in tables."""


class Record(NamedTuple):
    """One op of a pass, in ns: its kernel from `start` to `end`; the watcher took from `seen` to `done`."""

    path: str
    op: Named
    backward: bool
    start: int
    end: int
    seen: int
    done: int


class Key(NamedTuple):
    """What an op's time is filed under."""

    path: str
    op: str
    backward: bool


@dataclass(frozen=True)
class Pass:
    """One watched pass: its ops in order, from `start` to `end` on the clock of `perf_counter_ns`."""

    start: int
    end: int
    records: tuple[Record, ...]

    @property
    def seconds(self) -> float:
        """Length of the pass, less the time that watching took."""
        return (self.end - self.start - sum(r.done - r.seen for r in self.records)) * NS

    def self_times(self) -> tuple[dict[Key, float], dict[Key, float]]:
        """Seconds of each Key with the Python that led to its ops, and the part of them inside kernels.

        Two dicts by `Key(record.path, record.op.name, record.backward)`; an op that runs several times adds
        up. The Python before an op (the module's code, the call, recording for backward of the op before it)
        goes with that op: its time reaches from the moment at which the watcher was done with the op before
        it (`done`; for the first op `self.start`) to that at which the watcher saw it (`seen`). What follows
        the last op is the root's, `Key("", "", False)`, in the first dict alone. So the first dict adds up to
        the whole pass, `self.seconds`. Inside the kernel an op is from `start` to `end`.
        """
        whole: defaultdict[Key, int] = defaultdict(int)
        kernels: defaultdict[Key, int] = defaultdict(int)
        free = self.start
        for record in self.records:
            key = Key(record.path, record.op.name, record.backward)
            whole[key] += record.seen - free
            kernels[key] += record.end - record.start
            free = record.done
        whole[Key("", "", False)] += self.end - free
        return {k: ns * NS for k, ns in whole.items()}, {k: ns * NS for k, ns in kernels.items()}


class OpTimer:
    """An observer that notes when ops run; it keeps no tensor alive.

    `also` is told of each op as well, within the time that counts as watching. Ops of a compiled program are
    shown one after the other once all have run; they are noted as if each had been seen as it ended.
    """

    def __init__(self, also: Observer | None = None) -> None:
        self._also = also
        self._rows: list[tuple[str, Op, bool, int, int, int, int]] = []

    def on_op(self, event: OpEvent) -> None:
        """Note one op."""
        seen = time.perf_counter_ns()
        if self._also is not None:
            self._also.on_op(event)
        if self._rows and event.end < self._rows[-1][-1]:  # it ended before the op before it was noted
            seen, before = event.end, self._rows[-1]
            self._rows[-1] = (*before[:5], before[4], before[4])
        row = (event.path, event.op, event.backward, event.start, event.end, seen, time.perf_counter_ns())
        self._rows.append(row)

    def on_exit(self, tensor: Tensor, how: str) -> None:
        """Values may leave; that is no op."""

    def run(self, call: Callable[[], Any]) -> tuple[Pass, Any]:
        """Watch one call; the pass, and what the call returned."""
        self._rows = []
        with observe(self):
            start = time.perf_counter_ns()
            result = call()
            end = time.perf_counter_ns()
        return Pass(start, end, tuple(map(Record._make, self._rows))), result


class OpCosts:
    """An observer that notes what each op costs, from shapes alone."""

    def __init__(self) -> None:
        self.rows: list[tuple[Key, OpCost]] = []

    def on_op(self, event: OpEvent) -> None:
        """Count one op."""
        self.rows.append((Key(event.path, event.op.name, event.backward), cost_of(event)))

    def on_exit(self, tensor: Tensor, how: str) -> None:
        """Values may leave; that is no op."""

    def run(self, call: Callable[[], Any]) -> Any:
        """Watch one call, and return what it returned."""
        self.rows = []
        with observe(self):
            return call()


@contextmanager
def filed_under(path: str) -> Iterator[None]:
    """File the ops in the block, and their gradients later on, under `path`, as in a module of that name.

    >>> from tinytorch.tensor import ones
    >>> costs = OpCosts()
    >>> with filed_under("loss"):
    ...     total = costs.run(lambda: ones(2).sum())
    >>> costs.rows[-1][0].path
    'loss'
    """
    here = state()
    outer, here.path = here.path, path
    try:
        yield
    finally:
        here.path = outer
