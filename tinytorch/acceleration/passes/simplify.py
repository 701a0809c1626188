"""Simplification: constants are computed, products with 1 and copies left out."""

from __future__ import annotations

import numpy as np

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.interpret import run_call
from tinytorch.ops import arithmetic
from tinytorch.ops.context import rules
from tinytorch.ops.spec import Array

MOST_BYTES = 4096
"""Larger results stay calls, which the prologue computes: constants are part of a saved program."""


def simplify(graph: Graph) -> Graph:
    """The graph without calls on small constants, products with 1, quotients by it, and copies.

    Backward begins with a gradient of 1, by which a loss's own gradient is multiplied; an accumulated
    gradient is copied so that it is the leaf's own, which a value of a graph always is.

    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.tensor import Tensor
    >>> simplify(trace(lambda x: (x * 1.0).clone().exp(), [Tensor([1.0])]).graph)
    graph(v0: float32[1])
      v4: float32[1] = exp(v0)
      return v4
    """
    graph = graph.with_calls(graph.calls)
    names: dict[int, int] = {}
    calls = []
    for call in graph.calls:
        if _is_constant(graph, call):
            values: dict[int, Array] = {v: graph.constants[v] for v in call.inputs}
            run_call(call, values)
            graph.constants.update((v, values[v]) for v in call.outputs)
            continue
        value = _same_as(graph, call)
        if value is None:
            calls.append(call)
        else:
            names[call.outputs[0]] = value
    return graph.renamed(calls, names)


def _is_constant(graph: Graph, call: Call) -> bool:
    """Whether a call has constants alone as operands, and results small enough to be constants too."""
    fixed = bool(call.inputs) and all(v in graph.constants for v in call.inputs)
    small = all(graph.specs[v].nbytes <= MOST_BYTES for v in call.outputs)
    return fixed and small and not call.op.mutates and type(call.op).__name__ not in rules


def _same_as(graph: Graph, call: Call) -> int | None:
    """The operand that a call gives back unchanged, in shape and dtype too."""
    if type(call.op).__name__ in rules:
        return None
    out = graph.specs[call.outputs[0]]
    candidates: list[int] = []
    if isinstance(call.op, arithmetic.Copy):
        candidates = [call.inputs[0]]
    elif isinstance(call.op, arithmetic.Mul):
        a, b = call.inputs
        candidates = [a] * _is_one(graph, b) + [b] * _is_one(graph, a)
    elif isinstance(call.op, arithmetic.Div):
        candidates = [call.inputs[0]] * _is_one(graph, call.inputs[1])
    return next((v for v in candidates if graph.specs[v] == out), None)


def _is_one(graph: Graph, value: int) -> bool:
    array = graph.constants.get(value)
    return array is not None and array.size > 0 and bool(np.all(array == 1))
