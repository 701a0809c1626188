"""Rematerialization: what is cheap to compute again is not kept from the forward pass to the backward one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.passes.elementwise import is_elementwise
from tinytorch.acceleration.passes.rewrite import expanded
from tinytorch.ops.context import rules
from tinytorch.ops.norm import LayerNorm
from tinytorch.ops.shape import reshape
from tinytorch.ops.update import SGDUpdate
from tinytorch.tensor import Tensor

LEAST_BYTES = 65536
"""Smaller values are kept: their memory matters less than the time to make them again."""


def rematerialize(graph: Graph) -> Graph:
    """The graph with some calls of the forward pass done again in front of the backward calls that read them.

    Two kinds are. An element-wise result that one element-wise call reads together with its operands, as
    GELU's gradient reads x and a function of x: in one kernel with its reader it costs no memory at all. And
    the result of a layer norm, which comes out of x and the kept mean and deviation element by element.
    """
    graph = graph.with_calls(graph.calls)
    users, kept = graph.users(), graph.results()
    before: dict[int, list[Call]] = {}
    names: dict[int, int] = {}
    for call in list(graph.calls):
        value = call.outputs[-1] if is_elementwise(call, graph.specs) else call.outputs[0]
        late = [at for at in users.get(value, ()) if graph.calls[at].backward]
        if call.backward or not late or value in kept or graph.specs[value].nbytes < LEAST_BYTES:
            continue
        again = _again(graph, call, value, [graph.calls[at] for at in late], users)
        if again is not None:
            before.setdefault(late[0], []).extend(again[0])
            names[value] = again[1]
    calls = []
    for at, call in enumerate(graph.calls):
        calls += before.get(at, [])
        if call.backward and not names.keys().isdisjoint(call.inputs):
            call = replace(call, inputs=tuple(names.get(v, v) for v in call.inputs))
        calls.append(call)
    return graph.with_calls(calls)


def _again(
    graph: Graph, call: Call, value: int, readers: Sequence[Call], users: dict[int, list[int]]
) -> tuple[list[Call], int] | None:
    """Calls that make a value once more out of what is there, and its new number; None if that is dear."""
    if isinstance(call.op, LayerNorm) and "LayerNorm" not in rules:
        x, weight, bias = call.inputs
        if any(one.backward and x in one.inputs for one in graph.calls) and graph.specs[weight].ndim == 1:
            made = replace(call, inputs=(x, weight, bias, *call.outputs[1:]), outputs=(value,), backward=True)
            calls, found = expanded(graph, made, _normalised)
            return calls, found[value]
        return None
    if not is_elementwise(call, graph.specs) or isinstance(call.op, SGDUpdate):
        return None
    alone = len(readers) == 1 == len(users[value]) and is_elementwise(readers[0], graph.specs)
    if not alone or not set(call.inputs) <= set(readers[0].inputs):
        return None
    again = {v: graph.new_value(graph.specs[v]) for v in call.outputs}
    return [replace(call, outputs=tuple(again.values()), backward=True)], again[value]


def _normalised(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    rows = reshape(x, (mean.shape[0], weight.shape[0]))
    return reshape((rows - mean) * rstd * weight + bias, x.shape)
