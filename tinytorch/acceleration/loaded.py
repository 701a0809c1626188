"""Programs from files: what `save` wrote, running without the model's Python code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.runner import make_runner
from tinytorch.errors import ProgramError, TinyTorchError
from tinytorch.ops.base import clock, owner, registry
from tinytorch.tensor import Tensor

if TYPE_CHECKING:
    from tinytorch.acceleration.artifact import Limits


class LoadedProgram:
    """A program from a file, for inputs of the shapes and dtypes that it was traced with.

    Called with as many tensors as it has inputs, it gives a tensor, or a tuple of them. Raises ProgramError
    for other inputs.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        try:
            self.runner = make_runner(optimise(graph))
        except (TinyTorchError, ArithmeticError, ValueError) as error:  # constants are computed with here
            raise ProgramError(f"program: its constants cannot be computed with: {error}") from None
        self.inputs = [graph.specs[v] for v in graph.inputs]
        """Spec of each input."""
        self.outputs = [graph.specs[v] for v in graph.outputs]
        """Spec of each output."""
        self._changed = [owner(graph.states[state]) for state in graph.updates]

    @property
    def stateless(self) -> bool:
        """Whether equal inputs give equal outputs, always: nothing changes from run to run."""
        from tinytorch.acceleration.artifact import is_stateless

        return is_stateless(self.graph)

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        given = [f"{t.dtype}[{', '.join(map(str, t.shape))}]" for t in inputs]
        expected = [repr(spec) for spec in self.inputs]
        if given != expected:
            raise ProgramError(f"program: takes {', '.join(expected)}; got {', '.join(given) or 'nothing'}")
        arrays = [np.ascontiguousarray(t._array) for t in inputs]
        made = tuple(map(registry.make, self.runner.run(arrays, clock.now)))
        if self._changed:
            clock.now += 1
            for tensor in self._changed:
                tensor._epoch = clock.now
        return made[0] if len(made) == 1 else made

    def __repr__(self) -> str:
        kind = "stateless" if self.stateless else "stateful"
        return f"program({', '.join(map(repr, self.inputs))}) -> {', '.join(map(repr, self.outputs))}, {kind}"


def load_program(path: str | Path, *, limits: Limits | None = None) -> LoadedProgram:
    """The program in a file that `compile(...).save(path)` wrote; nothing in the file is run as code.

    `limits` bound what it may ask for: memory in bytes, FLOPs of a run, bytes of its header. Raises
    ProgramError for a file that is damaged, hostile, of a newer format, or beyond the limits.
    """
    from tinytorch.acceleration.artifact import (
        load_graph,  # takes long to import, and few programs load others
    )

    return LoadedProgram(load_graph(path, limits=limits))
