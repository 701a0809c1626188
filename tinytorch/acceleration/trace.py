"""Tracing: run a Python function once and write down every op, as a Graph."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinytorch.acceleration.arguments import UntraceableError, mapped, require_known, taken_out, tensors_in
from tinytorch.acceleration.gradients import Leaves, entered, graph_references, is_live, trace_backward
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.reach import Reach
from tinytorch.acceleration.tracer import Guard, Tracer
from tinytorch.errors import GradientError
from tinytorch.ops.context import observe
from tinytorch.tensor import Tensor

__all__ = ["Traced", "Tracer", "trace"]


@dataclass
class Traced:
    """What one run of a function was: its result, its graph, and what else it did to tensors."""

    result: Any
    arguments: list[Tensor]
    """The tensors among the arguments, each once."""
    positions: list[int]
    """Which of them each of the graph's first inputs is; those that share an array are one input."""
    graph: Graph
    """Its inputs are the arguments, then gradients of before, then cotangents of the roots; its outputs the
    tensors of the result, then what gradients of leaves become, then gradients of `wanted`."""
    results: int
    """How many outputs of the graph are tensors of the result, each as often as it is there."""
    outputs: tuple[int, ...]
    """The outputs of a program: those of the graph, each tensor once, and none that is given back itself."""
    tree: Any
    """The result with a Slot for each tensor."""
    slots: list[Tensor | int]
    """What goes into each Slot: a tensor from outside that is given back itself, or an output's number."""
    count: int
    """How many outputs the result takes."""
    gradients: list[tuple[Tensor, int | None]]
    """Leaves whose `.grad` becomes another one: the number of an output, or None where it is taken away."""
    read: list[Tensor]
    """Leaves whose gradient of before the function reads, in the order of the inputs."""
    absent: list[Tensor]
    """Leaves that had no gradient before: whether it would be read if there were one is not known."""
    recorded: bool
    """Whether it matters which tensors require a gradient."""
    guards: list[Guard]
    refusal: str
    """Why the function must run eagerly, if it must."""
    changed: str
    """What it changed that only Python can see: another call may be another program."""
    roots: list[int] = field(default_factory=list)
    """The outputs that have a gradient."""
    cut: int = 0
    """Where the calls of their backward pass begin."""
    wanted: list[Tensor] = field(default_factory=list)
    """The tensors that it reaches."""


def trace(
    function: Callable[..., Any], args: Sequence[Any] = (), kwargs: Any = None, reach: Reach | None = None
) -> Traced:
    """Run `function` once, eagerly, and write down the ops that it ran.

    Tensors in the arguments are the graph's inputs; tensors that the function finds elsewhere are states,
    whose arrays are read anew at each run, or constants, where nobody else holds them. If the result
    requires a gradient, the graph goes on with the backward pass: cotangents of the outputs are further
    inputs, and gradients of arguments and parameters further outputs.

    >>> from tinytorch.autograd import no_grad
    >>> with no_grad():
    ...     trace(lambda x: (x * 2.0).relu(), [Tensor([1.0, -1.0])]).graph
    graph(v0: float32[2])
      constant v1: float32[]
      v2: float32[2] = mul(v0, v1)
      v3: float32[2] = relu(v2)
      return v3
    """
    return _Trace(function, args, kwargs or {}, reach or Reach(function)).run()


class _Trace:
    """One trace while it is made."""

    def __init__(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Any, reach: Reach) -> None:
        self.function, self.reach = function, reach
        self.arguments = list({id(t): t for t in tensors_in([list(args), kwargs])}.values())
        graphs = {id(t): entered(t) for t in self.arguments if t.requires_grad and t._node is not None}
        self.entries = list(graphs.values())
        self.originals = {id(graphs[id(t)]): t for t in self.arguments if id(t) in graphs}

        def leaf(value: Any) -> Any:
            return graphs.get(id(value), value) if isinstance(value, Tensor) else value

        self.args: Any
        self.kwargs: Any
        self.args, self.kwargs = (mapped([list(args), kwargs], leaf)) if graphs else (args, kwargs)
        self.inputs = list({id(t._array): t for t in reversed(self.arguments)}.values())[::-1]
        self.leaves = Leaves.among([*reach.tensors.values(), *self.arguments])
        outside = {*reach.tensors, *(id(t) for t in self.arguments), *self.originals}
        outside.update(id(grad) for _, grad in self.leaves.before.values())
        self.tracer = Tracer(self.inputs, outside)
        self.tracer.nodes.update(id(t._node) for t in self.entries)
        self.leaves.number(self.tracer)

    def run(self) -> Traced:
        """Run the function, and put down what it was."""
        tracer = self.tracer
        flags = [(t, t.requires_grad) for t in (*self.reach.tensors.values(), *self.arguments)]
        with observe(tracer):
            result = self.function(*self.args, **self.kwargs)
        if self.originals:
            result = mapped(result, lambda v: self.originals.get(id(v), v))
        refusal, changed = self.reach.refusal, self.reach.change()
        if any(t.requires_grad is not wanted for t, wanted in flags):
            changed = changed or "requires_grad of a tensor changes"
        try:
            require_known(result, "result")
        except UntraceableError as error:
            refusal = refusal or str(error)
        tree, tensors = taken_out(result)
        slots, made = self._slots(tensors)
        values = [tracer.value_of(t) for t in tensors_in(result)]
        becomes = self.leaves.becomes(tracer)
        ran_backward = tracer.ran_backward
        matters = bool(ran_backward or becomes or self.reach.optimizers or "grad" in self.reach.names)
        if any(t.requires_grad and t._node is None for t in made):
            tracer.refuse("it returns a tensor that asks for a gradient and that no op made")
        roots, cut, wanted, gradients = self._backward(made, bool(becomes))
        if roots or ran_backward:
            self._refuse_graphs(ran_backward)
        further = (*(v for _, v in becomes if v is not None), *gradients)
        outputs = (*values, *further)
        used = {v for call in tracer.calls for v in call.inputs} | set(outputs)
        read = {key: v for key, v in self.leaves.numbers.items() if v in used}
        held = _held(result, (*tensors, *made, *wanted, *(guard.tensor for guard in tracer.guards)), becomes)
        graph = self._graph(held, becomes, outputs, wanted, set(read.values()))
        numbers = iter(range(len(made), len(made) + len(further)))
        return Traced(
            result=result,
            arguments=self.arguments,
            positions=[[id(t) for t in self.arguments].index(id(t)) for t in self.inputs],
            graph=graph,
            tree=tree,
            slots=slots,
            results=len(values),
            outputs=(*(tracer.value_of(t) for t in made), *further),
            count=len(made),
            gradients=[(leaf, None if v is None else next(numbers)) for leaf, v in becomes],
            read=[self.leaves.before[key][0] for key in read],
            absent=[t for t, grad in self.leaves.before.values() if grad is None] if matters else [],
            recorded=tracer.recorded or "requires_grad" in self.reach.names,
            guards=tracer.guards,
            refusal=refusal or tracer.refusal,
            changed=changed,
            roots=roots,
            cut=cut,
            wanted=wanted,
        )

    # ------------------------------------------------------------ parts of it

    def _slots(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor | int], list[Tensor]]:
        """What goes into each Slot of the result, and the tensors that the program must make."""
        outside = {*self.reach.tensors, *(id(t) for t in self.arguments)}
        slots: list[Tensor | int] = []
        made: list[Tensor] = []
        for tensor in tensors:
            if id(tensor) in outside:
                slots.append(tensor)
            else:
                slots.append(len(made))
                made.append(tensor)
        return slots, made

    def _backward(
        self, made: Sequence[Tensor], sets_gradients: bool
    ) -> tuple[list[int], int, list[Tensor], list[int]]:
        """Trace the backward pass of the results that have one: which, where it begins, and what it gives."""
        tracer, cut = self.tracer, len(self.tracer.calls)
        edge = {t._node for t in self.entries if t._node is not None}
        roots = [i for i, t in enumerate(made) if is_live(t, edge)]
        if not roots or tracer.refusal:
            return [], cut, [], []
        if sets_gradients:
            tracer.refuse(
                "it runs backward and also returns a tensor with a graph. Use detach() on what it returns"
            )
            return [], cut, [], []
        try:
            with observe(tracer):
                wanted, gradients = trace_backward(tracer, [made[i] for i in roots], self.entries)
        except GradientError as error:
            tracer.refuse(f"its result has no gradient ({error})")
            return [], cut, [], []
        return roots, cut, [self.originals.get(id(t), t) for t in wanted], gradients

    def _refuse_graphs(self, ran_backward: bool) -> None:
        """Refuse what would walk through graphs that were made outside."""
        if self.tracer.met_graph:
            self.tracer.refuse(
                "it uses a tensor with a graph that was made outside of it. Pass that as an argument, or "
                "detach() it"
            )
        if ran_backward and self.entries:
            self.tracer.refuse("it runs backward, and an argument has a graph that was made outside of it")

    def _graph(
        self,
        held: Counter[int],
        becomes: Sequence[tuple[Tensor, int | None]],
        outputs: tuple[int, ...],
        wanted: Sequence[Tensor],
        read: set[int],
    ) -> Graph:
        """The graph of what was traced, once it is known which captured tensors are constants."""
        tracer = self.tracer
        constants = tracer.constants(held)
        outside = {id(t) for n, t in tracer.captured.items() if n not in constants}
        outside.update(self.reach.tensors, (id(t) for t in self.arguments))
        if any(id(t) not in outside for t in wanted):
            tracer.refuse("it makes a tensor that asks for a gradient")
        kept = {id(leaf.grad._array) for leaf, _ in becomes if leaf.grad is not None}
        if not tracer.refusal and tracer.escaped(held, kept):
            gc.collect()
            name = tracer.escaped(held, kept)
            if name:
                tracer.refuse(
                    f"it keeps what {name} made outside of the function, where a later run could not put it"
                )
        if reason := tracer.aliases():
            tracer.refuse(reason)
        states = {number: t for number, t in tracer.captured.items() if number not in constants}
        unread = set(self.leaves.numbers.values()) - read
        return Graph(
            specs=tracer.specs,
            inputs=tuple(number for number in tracer.given if number not in unread),
            states=states,
            constants={number: tracer.first(number) for number in constants},
            calls=tracer.calls,
            outputs=outputs,
            updates={number: tracer.now(number) for number in states if tracer.now(number) != number},
            names={number: f"s{number}" for number in states},
        )


def _held(
    result: Any, listed: Sequence[Tensor], becomes: Sequence[tuple[Tensor, int | None]]
) -> Counter[int]:
    """How often the result, its autograd graph and lists of this trace hold each tensor and array, by id."""
    held: Counter[int] = Counter()
    reached, references = graph_references(tensors_in(result))
    for thing in (*references, *tensors_in(result), *listed):
        held[id(thing)] += 1
    for leaf, _ in becomes:
        if leaf.grad is not None:
            held[id(leaf.grad._array)] += id(leaf.grad) not in reached
    for tensor in list(reached.values()):
        if tensor._base is not None:
            held[id(tensor._base)] += 1
            reached[id(tensor._base)] = tensor._base
    for tensor in reached.values():
        held[id(tensor._array)] += 1
    return held
