"""Variants: the programs of one function, each for one kind of call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

import numpy as np

from tinytorch.acceleration.arguments import put_back
from tinytorch.acceleration.differentiable import Backward, split
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.runner import Interpreted, Runner, run_program
from tinytorch.acceleration.shortcut import AS_IT_IS, Shortcut, shortcut
from tinytorch.acceleration.situation import Leaf, Situation, leaf_of
from tinytorch.acceleration.trace import Traced
from tinytorch.ops.base import clock, owner, registry
from tinytorch.ops.spec import Array
from tinytorch.ops.update import AdamUpdate, SGDUpdate
from tinytorch.tensor import Tensor

MOST_SHORTCUTS = 8
"""Short ways that are made for one program, before its calls take the long one."""


class Variant:
    """A function's program for one kind of call, or the reason why such calls run eagerly."""

    def __init__(self, situation: Situation, traced: Traced) -> None:
        self.situation, self.accepts = situation, situation.accepts
        self.refusal = traced.refusal
        self.waits = False
        """Whether it is compiled only when such a call comes again."""
        self.runner: Runner | None = None
        self.backward: Backward | None = None
        self.before: Graph | None = None
        """What the program computes as it was traced, before all passes."""
        self.shortcut: Shortcut | None = None
        self._made_for: tuple[int, Any] | None = None
        self._shortcuts = 0
        self.forward: Graph | None = None
        """The same with the results of the function alone, to be stored."""

    def compile(
        self, traced: Traced, runner: Callable[[Graph], Runner], keep_grads: bool, lock: RLock
    ) -> None:
        """Make the program; `lock` is held when one runs, as its working memory serves one run at a time."""
        positions = {id(t): i for i, t in enumerate(traced.arguments)}
        self._positions = traced.positions
        self._read = [leaf_of(t, positions) for t in traced.read]
        self._tree = traced.tree
        self._single = type(traced.result) is Tensor and traced.count == 1
        self._slots: list[Tensor | int | tuple[int]] = [
            (positions[id(s)],) if isinstance(s, Tensor) and id(s) in positions else s for s in traced.slots
        ]
        backward = None
        if traced.roots:
            graph, backward = split(traced, runner, lock)
            self._leaves: list[tuple[Leaf, int | None]] = []
        else:
            graph, leaves = _with_gradients(traced, keep_grads)
            self._leaves = [(leaf_of(t, positions), number) for t, number in leaves]
        self._emptied = [
            leaf.tensor for leaf, number in self._leaves if number is None and leaf.tensor is not None
        ]
        self._leaves = [
            (leaf, number) for leaf, number in self._leaves if leaf.tensor is None or number is not None
        ]
        self.before, self.forward = graph, _results(traced)
        graph = optimise(graph)
        made = runner(graph)
        self._changed = [owner(graph.states[s]) for s in graph.updates]
        self._changing = {id(t) for t in self._changed}
        self._bare = self._single and not (graph.updates or self._read or traced.gradients or backward)
        self.backward, self.runner = backward, made
        self.find_shortcut()

    def find_shortcut(self) -> None:
        """Make the short way into the program; a new one where what the old one knows was replaced."""
        if not self._bare or self.runner is None or isinstance(self.runner, Interpreted):
            return
        from tinytorch.acceleration.native.program import Program

        assert isinstance(self.runner, Program), "it is native or interpreted"
        state = self.situation.reach.changes, self.runner.code
        if state != self._made_for and self._shortcuts < MOST_SHORTCUTS:
            self._made_for, self._shortcuts = state, self._shortcuts + 1
            self.shortcut = shortcut(self.situation, self.runner, self._positions)

    @property
    def graph(self) -> Graph:
        """The graph that the program runs."""
        assert self.runner is not None, "only a variant with a program is asked"
        return self.runner.graph

    def drop_gradients(self, tensors: Sequence[Tensor]) -> None:
        """After the call that was traced: take away the gradients that a run does not leave either."""
        for tensor in self._emptied:
            tensor.grad = None
        for leaf, number in self._leaves:
            if number is None:
                leaf.among(tensors).grad = None

    # ------------------------------------------------------------ a run

    def run(self, tensors: Sequence[Tensor], watched: bool = False) -> Any:
        """Run on the tensors among the arguments, each once; `watched` if there are observers."""
        runner = self.runner
        assert runner is not None, "only a variant with a program runs"
        arrays = []
        for position in self._positions:
            array = tensors[position]._array
            arrays.append(array if array.flags.num & AS_IT_IS == AS_IT_IS else np.array(array, order="C"))
        if self._bare and not watched:
            return registry.make(runner.run(arrays, clock.now)[0])
        self._take_in(tensors, arrays)
        try:
            found = run_program(runner, arrays) if watched else runner.run(arrays, clock.now)
        finally:
            if self._changed:
                clock.now += 1
                for tensor in self._changed:
                    tensor._epoch = clock.now
        if self.backward is not None:
            graphs = self.backward.record(tensors, arrays, found)
            if self._single:
                return graphs[0]
            return self._result(tensors, found, graphs)
        for tensor in self._emptied:
            tensor.grad = None
        for leaf, number in self._leaves:
            leaf.among(tensors).grad = None if number is None else registry.make(found[number])
        return registry.make(found[0]) if self._single else self._result(tensors, found, {})

    def _take_in(self, tensors: Sequence[Tensor], arrays: list[Array]) -> None:
        """Add gradients of before, and copy arguments that share memory with what the program changes."""
        for i, position in enumerate(self._positions):
            if id(owner(tensors[position])) in self._changing:
                arrays[i] = arrays[i].copy()
        for leaf in self._read:
            grad = leaf.among(tensors).grad
            assert grad is not None, "the situation says so"
            arrays.append(np.asarray(grad._array, order="C"))

    def _result(self, tensors: Sequence[Tensor], found: Sequence[Array], graphs: dict[int, Tensor]) -> Any:
        parts: list[Tensor] = []
        for slot in self._slots:
            if isinstance(slot, Tensor):
                parts.append(slot)
            elif isinstance(slot, tuple):
                parts.append(tensors[slot[0]])
            else:
                parts.append(graphs[slot] if slot in graphs else registry.make(found[slot]))
        return put_back(self._tree, parts)


def _results(traced: Traced) -> Graph:
    """The graph of a trace with its result alone as outputs, and without a backward pass of that."""
    graph = traced.graph
    calls = graph.calls[: traced.cut] if traced.roots else graph.calls
    made = graph.with_calls(calls, graph.outputs[: traced.results])
    made.inputs = graph.inputs[: len(graph.inputs) - len(traced.roots)]
    return made


def _with_gradients(traced: Traced, keep_grads: bool) -> tuple[Graph, list[tuple[Tensor, int | None]]]:
    """The graph with the gradients that leaves are left with as outputs, and which output each becomes.

    A gradient that an update has taken in is not left, unless that is wanted: it would have to be written to
    memory. Where the function may add to gradients of before, it must be.
    """
    graph = traced.graph
    used = {
        v
        for call in graph.calls
        if isinstance(call.op, SGDUpdate | AdamUpdate)
        for v in call.inputs[1 + call.op.count : 1 + 2 * call.op.count]
    }
    unsure = {id(t) for t in (*traced.absent, *traced.read)}
    wanted = list(traced.outputs[: traced.count])
    leaves: list[tuple[Tensor, int | None]] = []
    for leaf, number in traced.gradients:
        value = None if number is None else traced.outputs[number]
        if value is None or (value in used and not keep_grads and id(leaf) not in unsure):
            leaves.append((leaf, None))
        else:
            leaves.append((leaf, len(wanted)))
            wanted.append(value)
    return graph.with_calls(graph.calls, wanted), leaves
