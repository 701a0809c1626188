"""Common subexpressions: what is computed twice from the same values is computed once."""

from __future__ import annotations

from dataclasses import replace

from tinytorch.acceleration.graph import Call, Graph, describe
from tinytorch.ops.spec import Array


def merge_equal(graph: Graph) -> Graph:
    """The graph with one call for all that are equal, and one constant for all of equal elements.

    Calls are equal if their ops are of one type, with equal fields (`describe` gives them as text), and they
    read the same values in the same order. The first of them stays. What the others make is from then on
    what the first makes, one after the other: what reads it, calls that follow and results of the graph,
    reads that of the first, so that calls on results of equal calls may be equal too. Calls that change
    something in place (`op.mutates`) all stay. `equal_constants(graph)` says which constants are equal, as
    {value: the one to read in its place}; `graph.renamed(calls, names)` gives the graph with other calls,
    in which each value in such a dict is replaced everywhere.

    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.tensor import Tensor
    >>> graph = trace(lambda x: x.exp() * 2.0 + x.exp() * 2.0, [Tensor([1.0])]).graph
    >>> len(graph.calls), len(merge_equal(graph).calls)
    (5, 3)
    """
    names = equal_constants(graph)
    known: dict[tuple[str, str, tuple[int, ...]], Call] = {}
    calls = []
    for call in graph.calls:
        call = replace(call, inputs=tuple(names.get(v, v) for v in call.inputs))
        if call.op.mutates:
            calls.append(call)
            continue
        key = type(call.op).__qualname__, describe(call.op), call.inputs
        first = known.setdefault(key, call)
        if first is call:
            calls.append(call)
        else:
            names.update(zip(call.outputs, first.outputs, strict=True))
    return graph.renamed(calls, names)


def equal_constants(graph: Graph) -> dict[int, int]:
    """Constants of up to 4 KiB that are equal to another before them, and which that is."""
    known: dict[tuple[str, tuple[int, ...], bytes], int] = {}
    names = {}
    for value, array in graph.constants.items():
        if array.nbytes <= 4096:
            first = known.setdefault(_key(array), value)
            if first != value:
                names[value] = first
    return names


def _key(array: Array) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.name, array.shape, array.tobytes()
