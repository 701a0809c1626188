"""Rewriting a call as others: what passes share that replace ops by simpler ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.tracer import Tracer
from tinytorch.ops.base import registry
from tinytorch.ops.context import grad_mode, meta, observe
from tinytorch.ops.meta import NoData, blank
from tinytorch.tensor import Tensor

Form = Callable[..., "Tensor | Sequence[Tensor]"]


def expanded(graph: Graph, call: Call, form: Form) -> tuple[list[Call], dict[int, int]]:
    """The calls that `form` makes of a call's inputs, and which value of theirs stands for each output.

    `form` gets tensors without data. Constants that it makes are added to the graph; the new calls keep the
    module path of the old one.
    """
    inputs = [registry.make(blank(graph.specs[v])) for v in call.inputs]
    tracer = Tracer(inputs)
    with grad_mode(False), meta(), observe(tracer):
        made = form(*inputs)
        outputs = [made] if isinstance(made, Tensor) else list(made)
        found = [tracer.value_of(t) for t in outputs]
    numbers = dict(enumerate(call.inputs))
    for number, tensor in tracer.captured.items():
        assert not isinstance(tensor._array, NoData), "a form makes constants of numbers"
        numbers[number] = graph.constant(tensor._array)
    calls = []
    for one in tracer.calls:
        for value in one.made:
            numbers[value] = graph.new_value(tracer.specs[value])
        calls.append(
            Call(
                one.op,
                tuple(numbers[v] for v in one.inputs),
                tuple(numbers[v] for v in one.outputs),
                (),
                call.path,
                call.backward,
            )
        )
    return calls, {value: numbers[v] for value, v in zip(call.outputs, found, strict=True)}


def rewritten(
    graph: Graph, rewrite: Callable[[Graph, Call], tuple[list[Call], dict[int, int]] | None]
) -> Graph:
    """The graph with each call replaced for which `rewrite` gives others, and their values."""
    graph = graph.with_calls(graph.calls)
    calls: list[Call] = []
    names: dict[int, int] = {}
    for call in graph.calls:
        found = rewrite(graph, call)
        if found is None:
            calls.append(call)
        else:
            calls += found[0]
            names.update(found[1])
    return graph.renamed(calls, names)
