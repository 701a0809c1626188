"""From a graph to kernels: where each value lies in memory, and which kernel computes which calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from tinytorch.acceleration.fused import Fused
from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.kernels.pointwise import Body, Pointwise
from tinytorch.acceleration.native.place import Place
from tinytorch.ops.arithmetic import Copy
from tinytorch.ops.base import Op
from tinytorch.ops.context import rules
from tinytorch.ops.index import Slice
from tinytorch.ops.shape import Layout, Reshape
from tinytorch.ops.spec import Array, Spec


@dataclass
class Buffer:
    """A block of memory: of the arena, or one that is given at each run, or lives as long as the program."""

    kind: str
    """"arena", "input", "output", "state", "constant" or "packed"."""
    nbytes: int
    source: Any = None
    """Which input, output or state it is, the constant's array, or how a packed one is made."""


@dataclass
class Packed:
    """A state or constant in another layout, which is made again when the state changes."""

    value: int
    make: Callable[[Array], Array]


@dataclass
class Fallback:
    """A call without a kernel: the op's own forward, on NumPy."""

    call: Call
    reads: tuple[Place, ...]
    writes: dict[int, Place]
    """By value: where what the call makes is put."""


Step: TypeAlias = Kernel | Fallback


@dataclass
class Lowered:
    """Kernels in order, and the buffers that their operands lie in."""

    graph: Graph
    buffers: list[Buffer] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)


Rule: TypeAlias = Callable[["Lowering", Call], bool]
_RULES: dict[type[Op], Rule] = {}


def lowers(*ops: type[Op]) -> Callable[[Rule], Rule]:
    """Decorator: how calls of these ops become kernels; a rule that gives False leaves a call to NumPy."""

    def add(rule: Rule) -> Rule:
        for op in ops:
            _RULES[op] = rule
        return rule

    return add


class Lowering:
    """Goes through a graph's calls in order and finds a place and a kernel for each."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.out = Lowered(graph)
        self.places = self.out.places
        self.users = graph.users()
        self.makers = graph.makers()
        self.changing = set(graph.updates)
        self.prepared = {v for call in graph.prologue for v in call.made}
        self._wanted = self._destinations()

    def _destinations(self) -> dict[int, tuple[str, int]]:
        """Values that are best made where they are wanted: in an output, or in the state that they become."""
        found: dict[int, tuple[str, int]] = {}
        for state, value in self.graph.updates.items():
            made = self.makers.get(value)
            if made is not None and self._last_read(state) <= made:
                found.setdefault(value, ("state", state))
        for position, value in enumerate(self.graph.outputs):
            root = value
            while root in self.makers and isinstance(self.graph.calls[self.makers[root]].op, Reshape):
                root = self.graph.calls[self.makers[root]].inputs[0]
            if root in self.makers:
                found.setdefault(root, ("output", position))
        return found

    def _last_read(self, value: int) -> float:
        """The position of the last call that reads a value, itself or through views; infinite for results."""
        if value in self.graph.outputs or any(value == v for v in self.graph.updates.values()):
            return math.inf
        last: float = -1
        for at in self.users.get(value, ()):
            call = self.graph.calls[at]
            views = isinstance(call.op, Layout | Slice)
            last = max(last, at, *(self._last_read(v) for v in call.outputs if views))
        return last

    # ------------------------------------------------------------ places

    def buffer(self, kind: str, nbytes: int, source: Any = None) -> int:
        """A further buffer."""
        self.out.buffers.append(Buffer(kind, nbytes, source))
        return len(self.out.buffers) - 1

    def place(self, value: int) -> Place:
        """Where a value lies."""
        if value not in self.places:
            graph, spec = self.graph, self.graph.specs[value]
            if value in graph.constants:
                array = np.ascontiguousarray(graph.constants[value])
                self.places[value] = Place.dense(self.buffer("constant", spec.nbytes, array), spec)
            elif value in self.prepared:
                self.places[value] = self.packed(value, spec, np.ascontiguousarray)
            elif value in graph.states:
                array = graph.states[value]._array
                strides = tuple(s // array.itemsize for s in array.strides)
                self.places[value] = Place(
                    self.buffer("state", spec.nbytes, value), spec.dtype, spec.shape, strides
                )
            else:
                position = graph.inputs.index(value)
                self.places[value] = Place.dense(self.buffer("input", spec.nbytes, position), spec)
        return self.places[value]

    def new(self, value: int, order: Sequence[int] | None = None) -> Place:
        """Room for a value that a kernel makes, in memory of its own or where it is wanted."""
        spec = self.graph.specs[value]
        kind, number = self._wanted.get(value, ("", 0))
        if kind == "state":
            place = self.place(number)
            if place.shape == spec.shape:
                self.places[value] = place
                return place
        if kind == "output" and order is None and not self._is_taken(number):
            self.places[value] = Place.dense(self.buffer("output", spec.nbytes, number), spec)
        else:
            self.places[value] = Place.dense(self.buffer("arena", spec.nbytes), spec, order)
        return self.places[value]

    def _is_taken(self, position: int) -> bool:
        return any(b.kind == "output" and b.source == position for b in self.out.buffers)

    def room(self, spec: Spec, order: Sequence[int] | None = None) -> Place:
        """Room for something that is no value of the graph."""
        return Place.dense(self.buffer("arena", spec.nbytes), spec, order)

    def is_fixed(self, value: int) -> bool:
        """Whether a value is a constant, or a state that this program does not change."""
        if value in self.graph.constants or value in self.prepared:
            return True
        return value in self.graph.states and value not in self.changing

    def packed(self, value: int, spec: Spec, make: Callable[[Array], Array]) -> Place:
        """A fixed value in another layout, made outside of the program."""
        return Place.dense(self.buffer("packed", spec.nbytes, Packed(value, make)), spec)

    def add(self, kernel: Kernel) -> None:
        """Append a kernel, unless it has nothing to write.

        Where it would overwrite a state that it reads in another order, a copy follows instead.
        """
        if not any(place.size for place in kernel.writes):
            return
        later = []
        writes = list(kernel.writes)
        for number, write in enumerate(writes):
            near = [read for read in kernel.reads if read.buffer == write.buffer]
            if any(read != write or read not in kernel.in_place for read in near):
                writes[number] = self.room(write.spec)
                later.append((writes[number], write))
        kernel.writes = tuple(writes)
        self.out.steps.append(kernel)
        for source, target in later:
            self.copy(source, target)

    def check(self, kernel: Kernel, value: int) -> None:
        """Add a check of a value: at the very beginning if it is given, so that a refusal changes nothing."""
        if (
            self.out.buffers[self.place(value).buffer].kind in ("input", "constant")
            and self.place(value).contiguous
        ):
            self.out.steps.insert(0, kernel)
        else:
            self.out.steps.append(kernel)

    def copy(self, source: Place, target: Place, call: Call | None = None) -> None:
        """Append a copy, element by element."""
        calls = (Call(Copy(), (0,), (1,)),)
        body = Body(calls, (0,), (1,), {0: source.spec, 1: target.spec})
        self.add(Pointwise(body, [source], [target], [call] if call else []))

    # ------------------------------------------------------------ the walk

    def run(self) -> Lowered:
        """Find places and kernels for all calls, then bring outputs and states to where they belong."""
        for call in self.graph.calls:
            if not self._view(call):
                rule = (
                    None
                    if _is_empty(call, self.graph) or type(call.op).__name__ in rules
                    else _RULES.get(type(call.op))
                )
                before = list(self.out.steps)
                if rule is None or not rule(self, call):
                    self.out.steps = before
                    self._fallback(call)
        self._outputs()
        self._states()
        return self.out

    def _view(self, call: Call) -> bool:
        if not isinstance(call.op, Layout | Slice):
            return False
        source = self.place(call.inputs[0])
        seen = source.seen_through(call.op)
        value = call.outputs[0]
        if seen is not None:
            self.places[value] = seen
        elif isinstance(call.op, Reshape):
            dense = self.room(source.spec)
            self.copy(source, dense, call)
            found = dense.seen_through(call.op)
            assert found is not None, "a dense array takes any shape"
            self.places[value] = found
        else:
            self.copy(source, self.new(value), call)
        return True

    def _fallback(self, call: Call) -> None:
        reads = tuple(map(self.place, call.inputs))
        self.out.steps.append(Fallback(call, reads, {v: self.new(v) for v in call.made}))

    def _outputs(self) -> None:
        for position, value in enumerate(self.graph.outputs):
            place = self.place(value)
            buffer = self.out.buffers[place.buffer]
            if not (
                buffer.kind == "output"
                and buffer.source == position
                and place.contiguous
                and place.offset == 0
                and place.spec.nbytes == buffer.nbytes
            ):
                spec = self.graph.specs[value]
                self.copy(place, Place.dense(self.buffer("output", spec.nbytes, position), spec))

    def _states(self) -> None:
        waiting = []
        for state, value in self.graph.updates.items():
            source, target = self.place(value), self.place(state)
            if source == target:
                continue
            if self.out.buffers[source.buffer].kind == "state":  # it may be changed before it is read
                between = self.room(source.spec)
                self.copy(source, between)
                source = between
            waiting.append((source, target))
        for source, target in waiting:
            self.copy(source, target)


def _is_empty(call: Call, graph: Graph) -> bool:
    return any(graph.specs[v].size == 0 for v in (*call.inputs, *call.made))


def native_ops() -> list[type[Op]]:
    """The ops that there are kernels for."""
    from tinytorch.acceleration.native import (  # noqa: F401 - they fill the table of rules
        code_rules,
        image_rules,
        language_rules,
        rules,
        sparse_rules,
    )

    return [op for op in _RULES if op is not Fused]


def lower(graph: Graph) -> Lowered:
    """The kernels of a graph, on buffers."""
    native_ops()
    return Lowering(graph).run()
