"""Reshapes out of the way: an element-wise op comes before a reshape instead of after it."""

from __future__ import annotations

from dataclasses import replace

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.passes.elementwise import is_elementwise
from tinytorch.ops.shape import Reshape
from tinytorch.ops.spec import Shape, Spec


def sink_reshapes(graph: Graph) -> Graph:
    """The graph with reshapes after element-wise ops rather than before them, so that chains can be fused.

    A product's rows are reshaped to (batch, time, width), and a residual added: both are one kernel only if
    the addition has the shape of the product.
    """
    graph = graph.with_calls(graph.calls)
    reshaped: dict[int, int] = {}
    calls: list[Call] = []
    for call in graph.calls:
        if isinstance(call.op, Reshape):
            source = call.inputs[0]
            reshaped[call.outputs[0]] = reshaped.get(source, source)
        moved = _moved(graph, call, reshaped) if is_elementwise(call, graph.specs) else None
        if moved is None:
            calls.append(call)
            continue
        calls += moved
        for one in moved:
            if isinstance(one.op, Reshape) and one.outputs[0] in call.made:
                reshaped[one.outputs[0]] = one.inputs[0]
    return graph.with_calls(calls)


def _moved(graph: Graph, call: Call, reshaped: dict[int, int]) -> list[Call] | None:
    """The call on the value before a reshape, and reshapes of its results; None if it does not fit."""
    shape = graph.specs[call.made[0]].shape
    if any(graph.specs[v].shape != shape for v in call.made) or call.op.mutates:
        return None
    inner = next((reshaped[v] for v in call.inputs if v in reshaped and graph.specs[v].shape == shape), None)
    if inner is None:
        return None
    target = graph.specs[inner].shape
    if target == shape:
        return None
    before: list[Call] = []
    inputs = []
    for value in call.inputs:
        found = _seen_as(graph, value, shape, target, reshaped, before)
        if found is None:
            return None
        inputs.append(found)
    made = {value: graph.new_value(Spec(target, graph.specs[value].dtype)) for value in call.outputs}
    inner_call = replace(call, inputs=tuple(inputs), outputs=tuple(made.values()))
    after = [Call(Reshape(shape), (new,), (old,), (), call.path, call.backward) for old, new in made.items()]
    return [*before, inner_call, *after]


def _seen_as(
    graph: Graph, value: int, shape: Shape, target: Shape, reshaped: dict[int, int], before: list[Call]
) -> int | None:
    """A value that stands for an operand once the result has the shape `target`."""
    own = graph.specs[value].shape
    if own == shape:
        if value in reshaped and graph.specs[reshaped[value]].shape == target:
            return reshaped[value]
        new = graph.new_value(Spec(target, graph.specs[value].dtype))
        before.append(Call(Reshape(target), (value,), (new,)))
        reshaped[new] = value
        return new
    if not own or (
        len(own) <= len(target) and target[len(target) - len(own) :] == own == shape[len(shape) - len(own) :]
    ):
        return value
    return None
