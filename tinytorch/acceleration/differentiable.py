"""Compiled calls in an autograd graph: a forward program, and the backward program that is its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.runner import Interpreted, Runner, run_program
from tinytorch.acceleration.trace import Traced
from tinytorch.errors import GradientError
from tinytorch.ops.base import Gradient, Node, Op, clock, epoch_of, registry
from tinytorch.ops.context import context
from tinytorch.ops.index import Slice
from tinytorch.ops.shape import Expand, Permute, Reshape, pad, reshape
from tinytorch.ops.spec import Array, Spec, result_type
from tinytorch.tensor import Tensor

if TYPE_CHECKING:
    from tinytorch.acceleration.native.program import Program


@dataclass(eq=False)
class CompiledCall(Op):
    """One call of a program; its gradient is a program too

    The output is the one result that has a gradient, or, where there are several, all of them in a row.
    """

    backward: Backward
    time: int
    """On the clock of changes."""
    watched: tuple[Tensor, ...]
    """What the backward program reads anew."""
    keeps: ClassVar[tuple[int, ...]] = ()

    def infer(self, *inputs: Any) -> Spec:
        """The spec of the result."""
        return self.backward.whole

    def forward(self, *inputs: Array) -> Any:
        """Refused: the program makes the result of a call, from more than the tensors that have gradients."""
        raise GradientError("a compiled call is run by its program, not as an op")

    def vjp(self, g: Tensor, out: Any, *inputs: Tensor) -> tuple[Gradient, ...]:
        """The gradients, by the backward program; raises GradientError with create_graph."""
        if context.state.grad:
            raise GradientError(
                "backward: create_graph needs ops that can be differentiated again, and a compiled call is "
                "one program. Call the function itself, not what compile() made of it."
            )
        for tensor in self.watched:
            if epoch_of(tensor) > self.time:
                raise GradientError(
                    f"backward: a tensor {tensor.shape} that a compiled call reads was changed by assign_ "
                    "after the call. Call backward first."
                )
        return self.backward.gradients(g, [t._array for t in out[1:]] if isinstance(out, tuple) else [])


@dataclass(eq=False)
class PartOf(Op):
    """out = one of the results that a compiled call has in a row.   da = g at its place, 0 elsewhere"""

    start: int
    whole: Spec
    keeps: ClassVar[tuple[int, ...]] = ()

    def vjp(self, g: Tensor, out: Any, a: Any) -> tuple[Gradient, ...]:
        """The gradient of the row."""
        row = reshape(g.to(self.whole.dtype), (-1,))
        return (pad(row, [(self.start, self.whole.size - self.start - row.size)]),)


class Backward:
    """The backward pass of a trace with roots: compiled when it is first wanted."""

    def __init__(
        self, traced: Traced, graph: Graph, saved: int, make: Callable[[Graph], Runner], lock: RLock
    ) -> None:
        self.graph = graph
        self._make, self._lock = make, lock
        self._runner: Runner | None = None
        self._roots = traced.roots
        self._saved = slice(traced.count, traced.count + saved)
        positions = {id(t): i for i, t in enumerate(traced.arguments)}
        self._wanted = [positions.get(id(t), t) for t in traced.wanted]
        numbers = traced.graph.inputs[: len(traced.positions)]
        self._given = [i for i, v in enumerate(numbers) if v in graph.inputs]
        self._inputs = [traced.positions[i] for i in self._given]
        self._states = tuple(graph.states.values())
        self._specs = [traced.graph.specs[traced.outputs[i]] for i in traced.roots]
        self.whole = self._specs[0]
        if len(self._specs) > 1:
            total = sum(spec.size for spec in self._specs)
            self.whole = Spec((total,), result_type(*(spec.dtype for spec in self._specs)))

    @property
    def program(self) -> Program | None:
        """The native program; None before it is wanted, and where NumPy runs it."""
        return (
            None
            if self._runner is None or isinstance(self._runner, Interpreted)
            else cast("Program", self._runner)
        )

    def record(
        self, tensors: Sequence[Tensor], arrays: Sequence[Array], found: Sequence[Array]
    ) -> dict[int, Tensor]:
        """Results with a graph, by output: `found` is what the forward program gave for `arrays`."""
        wanted = tuple(tensors[t] if isinstance(t, int) else t for t in self._wanted)
        watched = (*self._states, *(tensors[i] for i in self._inputs))
        kept = (*(arrays[i] for i in self._given), *found[self._saved])
        node = Node(CompiledCall(self, clock.now, watched), wanted, None, kept, context.state.path)
        if len(self._roots) == 1:
            return {self._roots[0]: _made(found[self._roots[0]], node)}
        row = registry.make(np.broadcast_to(np.zeros((), self.whole.dtype), self.whole.shape))
        row._node, row.requires_grad = node, True
        parts, start = {}, 0
        for root, spec in zip(self._roots, self._specs, strict=True):
            part = Node(PartOf(start, self.whole), (row,), None, (), context.state.path)
            parts[root] = _made(found[root], part)
            start += spec.size
        return parts

    def gradients(self, g: Tensor, kept: Sequence[Array]) -> tuple[Gradient, ...]:
        """The gradients of what is wanted, for that of the output."""
        cotangents, start = [], 0
        row = g._array.reshape(-1)
        for spec in self._specs:
            cotangents.append(
                row[start : start + spec.size].reshape(spec.shape).astype(spec.dtype, copy=False)
            )
            start += spec.size
        count = len(self._given)
        arrays = [np.asarray(a, order="C") for a in (*kept[:count], *cotangents, *kept[count:])]
        with self._lock:
            if self._runner is None:
                self._runner = self._make(optimise(self.graph))
            found = run_program(self._runner, arrays)
        return tuple(registry.make(array) for array in found)


def _made(array: Array, node: Node) -> Tensor:
    tensor = registry.make(array)
    tensor._node, tensor.requires_grad = node, True
    return tensor


def split(traced: Traced, make: Callable[[Graph], Runner], lock: RLock) -> tuple[Graph, Backward]:
    """A joint graph as a forward graph, which also gives what backward needs, and the backward pass."""
    graph, cut = traced.graph, traced.cut
    results = graph.outputs[len(graph.outputs) - len(traced.wanted) :]
    needed, views = _needed(graph, cut, results)
    given = len(graph.inputs) - len(traced.roots)
    forward = graph.with_calls(graph.calls[:cut], (*traced.outputs[: traced.count], *needed))
    forward.inputs = graph.inputs[:given]
    calls = [*views, *graph.calls[cut:]]
    backward = graph.with_calls(calls, results, {})
    read = {v for call in calls for v in call.inputs} | set(results)
    own = len(traced.positions)
    backward.inputs = (*(v for v in graph.inputs[:own] if v in read), *graph.inputs[given:], *needed)
    backward.specs.update({v: graph.specs[v] for v in backward.inputs})
    return forward, Backward(traced, backward, len(needed), make, lock)


def _needed(graph: Graph, cut: int, results: Sequence[int]) -> tuple[list[int], list[Call]]:
    """What the forward part must give to the backward part, and the views that this makes of it anew.

    A view is not copied to be handed on: what it looks at is, or it is an argument or a weight anyway.
    """
    makers = {v: at for at, call in enumerate(graph.calls[:cut]) for v in call.made}
    needed: dict[int, None] = {}
    views: set[int] = set()
    waiting = [*(v for call in graph.calls[cut:] for v in call.inputs), *results]
    while waiting:
        value = waiting.pop()
        if value not in makers:
            continue
        call = graph.calls[makers[value]]
        source = call.inputs[0] if call.inputs else value
        outside = source not in makers and source not in graph.updates
        whole = isinstance(call.op, Reshape | Permute | Expand) and source not in graph.updates
        if whole or (isinstance(call.op, Slice) and outside):
            views.add(makers[value])
            waiting.append(source)
        else:
            needed[value] = None
    return list(needed), [graph.calls[at] for at in sorted(views)]
