"""Running a graph call by call on NumPy: what programs are checked against, and what runs without LLVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.ops.spec import Array


def interpret(
    graph: Graph,
    inputs: Sequence[Array],
    states: Mapping[int, Array] | None = None,
    want: Sequence[int] | None = None,
) -> tuple[Array, ...]:
    """The outputs of a graph for arrays as inputs; states are read from their tensors unless given.

    States are changed in place, after all calls have run. With `want` the result is those values instead of
    the outputs: calls run until all of them are there, and no state changes.

    >>> from tinytorch.ops.elementwise import Relu
    >>> from tinytorch.ops.spec import Spec, float32
    >>> row = Spec((2,), float32)
    >>> graph = Graph({0: row, 1: row}, (0,), {}, {}, [Call(Relu(), (0,), (1,))], (1,))
    >>> interpret(graph, [np.array([-1, 2], np.float32)])
    (array([0., 2.], dtype=float32),)
    """
    if states is None:
        states = {value: tensor._array for value, tensor in graph.states.items()}
    values: dict[int, Array] = {**graph.constants, **states, **dict(zip(graph.inputs, inputs, strict=True))}
    for call in graph.prologue:
        run_call(call, values)
    if want is not None:
        for call in graph.calls:
            if all(v in values for v in want):
                break
            run_call(call, values)
        return tuple(values[v] for v in want)
    last = last_uses(graph)
    for at, call in enumerate(graph.calls):
        run_call(call, values)
        for value in last.get(at, ()):
            del values[value]
    given = list(states.values())
    outputs = tuple(_own(values[v], given) if graph.updates else values[v] for v in graph.outputs)
    changed = {state: _own(values[value], given) for state, value in graph.updates.items()}
    for state, array in changed.items():
        states[state][...] = array
    return outputs


def _own(array: Array, states: Sequence[Array]) -> Array:
    """The array, or a copy if it looks at memory that is about to change."""
    return array.copy() if any(np.may_share_memory(array, state) for state in states) else array


def run_call(call: Call, values: dict[int, Array]) -> None:
    """Run one call with the op's own forward, on copies of what it changes."""
    arrays = [values[v] for v in call.inputs]
    for position, value in zip(call.op.mutates, call.writes, strict=True):
        arrays[position] = values[value] = arrays[position].copy()
    found = call.op.forward(*arrays)
    made = (found,) if call.op.outputs == 1 else found
    for value, array in zip(call.outputs, made, strict=True):
        if value not in call.writes:
            values[value] = np.asarray(array)


def last_uses(graph: Graph) -> dict[int, list[int]]:
    """For each call, by position, the values made by calls that nothing reads after it."""
    last: dict[int, int] = {}
    for at, call in enumerate(graph.calls):
        for value in (*call.made, *call.inputs):
            last[value] = at
    outside = {*graph.inputs, *graph.states, *graph.constants, *graph.results()}
    found: dict[int, list[int]] = {}
    for value, at in last.items():
        if value not in outside:
            found.setdefault(at, []).append(value)
    return found
