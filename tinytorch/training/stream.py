"""A loader without end over batches that are a function of the step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from tinytorch.errors import CheckpointError
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor


class StepBatches(Protocol):
    """What gives the arrays of any step's batch, such as `tinytorch.data.RandomWindows`."""

    seed: int

    def batch(self, step: int) -> tuple[Array, ...]: ...


class Stream:
    """Batches 0, 1, 2, ... of a source as Tensors; stored and taken up again by one number.

    >>> import numpy as np
    >>> class Squares:
    ...     seed = 0
    ...     def batch(self, step): return np.array([step]), np.array([step**2])
    >>> stream = Stream(Squares())
    >>> stream.load_state_dict({"step": 3, "seed": 0})
    >>> next(iter(stream))
    (Tensor([3]), Tensor([9]))
    """

    def __init__(self, source: StepBatches) -> None:
        self.source = source
        self.step = 0

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        while True:
            arrays = self.source.batch(self.step)
            self.step += 1
            yield tuple(Tensor(array) for array in arrays)

    def state_dict(self) -> dict[str, int]:
        """The number of the next batch, and the source's seed."""
        return {"step": self.step, "seed": self.source.seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at a stored place; raises CheckpointError for that of another seed."""
        step = state.get("step")
        if set(state) != {"step", "seed"} or type(step) is not int or step < 0:
            raise CheckpointError(f"Stream: {dict(state)} is not the state of a stream")
        if state["seed"] != self.source.seed:
            raise CheckpointError(
                f"Stream: stored with seed {state['seed']}; this one has {self.source.seed}"
            )
        self.step = step
