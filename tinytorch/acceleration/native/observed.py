"""A program under the eyes of observers: its build with counters runs, and each call is shown."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.native.lower import Fallback, Step
from tinytorch.acceleration.native.program import Program
from tinytorch.ops.base import registry
from tinytorch.ops.context import OpEvent, context
from tinytorch.ops.meta import blank
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor


def run_observed(program: Program, inputs: Sequence[Array], now: int) -> list[Array]:
    """The outputs of a run; observers of this thread are then shown one event for each call of the graph.

    A call's time is that of its kernels; views that cost nothing have none. Operands are tensors where they
    live outside of the program (inputs, states, constants, outputs). Those inside have shape and dtype, but
    no data.
    """
    outputs, seconds = program.counted_run(inputs, now)
    graph, spent = program.graph, _by_call(program.lowered.steps, seconds)
    known = _outside(graph, inputs, outputs)
    start = time.perf_counter_ns() - round(sum(spent.values()) * 1e9)
    for call in graph.calls:
        if id(call) in spent:
            end = start + round(spent[id(call)] * 1e9)
            event = _event(graph, known, call, start, end)
            for observer in context.state.observers:
                observer.on_op(event)
            start = end
    return outputs


def _by_call(steps: Sequence[Step], seconds: Sequence[float]) -> dict[int, float]:
    """The time of each call, by its id: that of its kernels, and of copies on the way to them."""
    found: dict[int, float] = {}
    waiting = 0.0
    for step, spent in zip(steps, seconds, strict=True):
        calls = (step.call,) if isinstance(step, Fallback) else step.calls
        waiting += spent
        if calls:
            key = id(calls[0])
            found[key] = found.get(key, 0.0) + waiting
            waiting = 0.0
    if found:
        found[key] += waiting
    return found


def _outside(graph: Graph, inputs: Sequence[Array], outputs: Sequence[Array]) -> Mapping[int, Tensor]:
    """Tensors for the values that live outside of the program."""
    arrays = {**graph.constants, **dict(zip(graph.inputs, inputs, strict=True))}
    arrays.update(zip(graph.outputs, outputs, strict=True))
    return {**{value: registry.make(array) for value, array in arrays.items()}, **graph.states}


def _event(graph: Graph, known: Mapping[int, Tensor], call: Call, start: int, end: int) -> OpEvent:
    def tensors(values: Sequence[int]) -> tuple[Tensor, ...]:
        return tuple(known[v] if v in known else registry.make(blank(graph.specs[v])) for v in values)

    return OpEvent(call.op, tensors(call.inputs), tensors(call.outputs), call.path, call.backward, start, end)
