"""Runners: what runs a graph, a native program or NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tinytorch import console
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.interpret import interpret
from tinytorch.ops.base import clock
from tinytorch.ops.context import context
from tinytorch.ops.spec import Array


class Runner(Protocol):
    """What runs a graph: a native program, or NumPy call by call."""

    graph: Graph

    def run(self, inputs: Sequence[Array], now: int) -> list[Array]:
        """The outputs; states change in place. `now` is the time on the clock of changes."""


class Interpreted:
    """A graph that NumPy runs, where there is no LLVM."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def run(self, inputs: Sequence[Array], now: int) -> list[Array]:
        """The outputs, each in memory of its own; states change in place."""
        given = [*inputs, *(t._array for t in self.graph.states.values()), *self.graph.constants.values()]
        found: list[Array] = []
        for array in interpret(self.graph, inputs):
            shared = not array.flags.c_contiguous or any(
                np.may_share_memory(array, b) for b in (*given, *found)
            )
            found.append(array.copy(order="C") if shared else array)
        return found


def make_runner(graph: Graph, fixed: bool = False) -> Runner:
    """A native program for a graph, or NumPy where there is no LLVM.

    `fixed`: products are summed in the order that their sizes speak for, whatever is faster here.

    >>> from tinytorch.ops.elementwise import Relu
    >>> from tinytorch.ops.spec import Spec, float32
    >>> row = Spec((2,), float32)
    >>> from tinytorch.acceleration.graph import Call
    >>> make_runner(Graph({0: row, 1: row}, (0,), {}, {}, [Call(Relu(), (0,), (1,))], (1,))).graph.outputs
    (1,)
    """
    try:
        import llvmlite  # noqa: F401 - to tell a missing compiler from an error in ours
    except ImportError:
        _say_once()
        return Interpreted(graph)
    from tinytorch.acceleration.native.lower import lower
    from tinytorch.acceleration.native.program import Program

    return Program(lower(graph), fixed=fixed)


def run_program(runner: Runner, arrays: Sequence[Array]) -> list[Array]:
    """The outputs of a run; where someone watches ops, a native program shows each of its calls."""
    if context.state.observers and not isinstance(runner, Interpreted):
        from tinytorch.acceleration.native.observed import run_observed
        from tinytorch.acceleration.native.program import Program

        assert isinstance(runner, Program), "it is native or interpreted"
        return run_observed(runner, arrays, clock.now)
    return runner.run(arrays, clock.now)


_told: set[str] = set()


def _say_once() -> None:
    if "llvmlite" not in _told:
        _told.add("llvmlite")
        console.notice("compile: llvmlite cannot be imported, so programs run on NumPy.")
