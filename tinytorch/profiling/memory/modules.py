"""Memory of one call op by op: what each module keeps for backward, its temporaries, its peak, a timeline."""

from __future__ import annotations

import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.nn.module import Module
from tinytorch.ops.base import Node
from tinytorch.ops.context import OpEvent, observe
from tinytorch.ops.meta import NoData
from tinytorch.ops.spec import Array
from tinytorch.optim.optimizer import Optimizer
from tinytorch.profiling.memory.meter import NS, Meter, Timeline
from tinytorch.profiling.profile import MemoryPoint, ModuleMemory
from tinytorch.profiling.tree import ancestors, in_order, modules_by_path
from tinytorch.tensor import Tensor


def owner_of(array: Any) -> Array:
    """The array whose memory this one looks at.

    >>> a = np.ones(6)
    >>> owner_of(a.reshape(2, 3)[0]) is a
    True
    """
    while isinstance(array.base, np.ndarray):
        array = array.base
    found: Array = array
    return found


def distinct(arrays: Iterable[Array]) -> dict[int, Array]:
    """The arrays that own this memory, each once, by id; those without data are left out."""
    owners = (owner_of(array) for array in arrays if not isinstance(array, NoData))
    return {id(owner): owner for owner in owners}


def arrays_in(value: Any) -> Iterator[Array]:
    """Arrays of the tensors among arguments, and NumPy's own, those in lists, tuples and dicts too."""
    if isinstance(value, Tensor):
        yield value._array
    elif isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from arrays_in(item)
    elif isinstance(value, Mapping):
        yield from arrays_in(list(value.values()))


@dataclass(frozen=True)
class Holdings:
    """Whose memory is told apart: the parameters of a model (or an optimizer) and the optimizer's state."""

    model: Module | None
    optimizer: Optimizer | None

    def parameters(self) -> list[tuple[str, Tensor]]:
        """Parameters with the path of their module; without a model, those of the optimizer under ""."""
        if self.model is not None:
            return [(name.rpartition(".")[0], p) for name, p in self.model.named_parameters()]
        if self.optimizer is None:
            return []
        return [("", p) for group in self.optimizer.param_groups for p in group["params"]]

    def gradients(self) -> list[tuple[str, Tensor]]:
        """Gradients that are there now, with the path of their parameter's module."""
        return [(path, p.grad) for path, p in self.parameters() if p.grad is not None]

    def state(self) -> list[Tensor]:
        """The optimizer's state: moments and counters."""
        if self.optimizer is None:
            return []
        return [tensor for of_one in self.optimizer.state.values() for tensor in of_one.values()]

    def buffers(self) -> list[Tensor]:
        """The model's buffers."""
        return [] if self.model is None else [tensor for _, tensor in self.model.named_buffers()]


def by_path(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, int]:
    """Bytes under each path; memory that several share counts once, where it is met first."""
    found: defaultdict[str, int] = defaultdict(int)
    seen: set[int] = set()
    for path, tensor in tensors:
        array = owner_of(tensor._array)
        if id(array) not in seen:
            seen.add(id(array))
            found[path] += array.nbytes
    return dict(found)


@dataclass(frozen=True)
class WatchedMemory:
    """What one watched call showed, in bytes over the level before it; `by_op` counts ops."""

    modules: tuple[ModuleMemory, ...]
    timeline: tuple[MemoryPoint, ...]
    activations: int
    temporaries: int
    gradients: int
    peak: int
    ops: int


class MemoryWatcher:
    """An observer that follows the traced bytes from op to op; it keeps no tensor alive.

    The Python before an op goes with the op's module; what follows the last op is the root's. An array is
    kept for backward once a recorded op holds it, if an op of this call made it: so parameters and inputs are
    none, and a result that is handed on is one only where backward reads it. It counts until it is freed.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._meter = Meter()
        self._start = self._level = self._before = 0  # live at first and at the last op; kept then
        self._began = 0
        self._ops = 0
        self._timeline = Timeline()
        self._made: dict[int, weakref.ref[Array]] = {}
        self._kept_ids: dict[int, weakref.ref[Array]] = {}
        self._kept = self._most_kept = 0
        self._is_most = False
        self._peak = self._temporaries = 0
        self._rows: dict[str, int] = {}
        self._own = np.zeros(
            (64, 4), np.int64
        )  # a row for each path: kept now, kept at most, temporaries, peak
        self._was_backward = False
        self._gradients: dict[str, int] = {}

    @property
    def own(self) -> int:
        """Bytes that the watcher itself holds."""
        return self._meter.own

    # ------------------------------------------------------------ watching

    def run(self, call: Callable[[], Any]) -> Any:
        """Watch one call, whose result comes back; tracemalloc must be running."""
        self._row("")
        self._meter.look()
        self._meter.leave()
        with observe(self):
            self._began = time.perf_counter_ns()
            self._meter.look()
            self._start = self._level = self._meter.now
            self._timeline.add(0.0, self._start, "")
            self._meter.leave()
            result = call()
            end = time.perf_counter_ns()
            self._meter.look()
            self._advance("", end, end, 0)
            self._meter.leave()
        self._note_gradients()
        return result

    def on_op(self, event: OpEvent) -> None:
        """Follow one op."""
        self._meter.look()
        self._follow(event)  # a call, so that its locals are gone on leaving
        self._meter.leave()

    def _follow(self, event: OpEvent) -> None:
        if self._was_backward and not event.backward:
            self._note_gradients()
        self._was_backward = event.backward
        self._ops += 1
        fresh, node = self._note_made(event), event.outputs[0]._node
        kept = 0 if node is None else self._note_kept(node, fresh)
        self._advance(event.path, event.start, event.end, kept)

    def on_exit(self, tensor: Tensor, how: str) -> None:
        """Values may leave; that is no op."""

    def _advance(self, path: str, start: int, end: int, kept: int) -> None:
        """File the stretch from the last op to the end of this one; `kept`: of what the op itself made.

        Inside of the stretch some of what was kept may be gone already, so there the greater of both ends is
        taken for it, and temporaries are rather understated.
        """
        now, peak = self._meter.now, self._meter.peak
        index = self._row(path)  # which may put a larger array in place of this one
        row = self._own[index]
        row[2] = max(row[2], peak - self._level - kept)
        row[3] = max(row[3], peak - self._start)
        self._peak = max(self._peak, peak - self._start)
        between = peak - max(self._before, self._kept)
        self._temporaries = max(self._temporaries, between - self._start, now - self._kept - self._start)
        if peak > max(now, self._level):
            self._timeline.add(((start + end) // 2 - self._began) * NS, peak, path)
        self._timeline.add((end - self._began) * NS, now, path)
        self._level, self._before = now, self._kept

    def _row(self, path: str) -> int:
        row = self._rows.setdefault(path, len(self._rows))
        if row == len(self._own):
            self._own = np.concatenate([self._own, np.zeros_like(self._own)])
        return row

    # ------------------------------------------------------------ what backward needs

    def _note_made(self, event: OpEvent) -> set[int]:
        """Remember the memory that this op took: its outputs, but for views and what it changed in place."""
        fresh: set[int] = set()
        given = {id(owner_of(t._array)) for t in event.inputs}
        for out in event.outputs:
            array = owner_of(out._array)
            if id(array) not in given and not isinstance(array, NoData):
                self._made[id(array)] = weakref.ref(array)
                fresh.add(id(array))
        return fresh

    def _note_kept(self, node: Node, fresh: set[int]) -> int:
        """Count what a recorded op holds and nobody counted; bytes of that among what it made itself."""
        own = 0
        held = [t._array for t in node.inputs if isinstance(t, Tensor)]
        for array in (*held, *node.aux, *(() if node.out is None else (node.out,))):
            owner = owner_of(array)
            made, known = self._made.get(id(owner)), self._kept_ids.get(id(owner))
            if made is None or made() is not owner or (known is not None and known() is owner):
                continue
            row, size = self._row(node.path), owner.nbytes
            self._kept_ids[id(owner)] = weakref.ref(owner, self._on_freed(row, size))
            self._own[row, 0] += size
            self._kept += size
            own += size if id(owner) in fresh else 0
        if self._kept > self._most_kept:
            self._most_kept, self._is_most = self._kept, True
        return own

    def _on_freed(self, row: int, size: int) -> Callable[[object], None]:
        return lambda _: self._freed(row, size)

    def _freed(self, row: int, size: int) -> None:
        """An array that was kept is gone; before the first goes after a maximum, that is written down."""
        if self._is_most:
            self._own[:, 1] = self._own[:, 0]
            self._is_most = False
        self._own[row, 0] -= size
        self._kept -= size

    def _note_gradients(self) -> None:
        found = by_path(self._holdings.gradients())
        if sum(found.values()) >= sum(self._gradients.values()):
            self._gradients = found

    # ------------------------------------------------------------ what was found

    def found(self) -> WatchedMemory:
        """Everything, by module; call it once `run` has returned."""
        if self._is_most:
            self._own[:, 1] = self._own[:, 0]
        return WatchedMemory(
            modules=self._modules() if self._ops else (),
            timeline=self._timeline.thinned(),
            activations=self._most_kept,
            temporaries=self._temporaries,
            gradients=sum(self._gradients.values()),
            peak=self._peak,
            ops=self._ops,
        )

    def _modules(self) -> tuple[ModuleMemory, ...]:
        model = self._holdings.model
        parameters = by_path(self._holdings.parameters())
        known = modules_by_path(model) if model is not None else {"": None}
        peaks: defaultdict[str, int] = defaultdict(int)
        for path, row in self._rows.items():
            for above in ancestors(path):
                peaks[above] = max(peaks[above], int(self._own[row, 3]))
        rows = [
            (path, self._own[self._rows[path]] if path in self._rows else np.zeros(4, np.int64))
            for path in in_order(known, [*known, *self._rows])
        ]
        return tuple(
            ModuleMemory(
                path=path,
                parameters=parameters.get(path, 0),
                gradients=self._gradients.get(path, 0),
                activations=int(own[1]),
                temporaries=int(own[2]),
                peak=peaks[path],
            )
            for path, own in rows
        )
