"""Where a value that is not finite came from: the batch run again, with every op watched."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.nn.module import Module
from tinytorch.ops.context import OpEvent, leave, observe
from tinytorch.ops.meta import NoData
from tinytorch.tensor import Tensor


class _FirstNotFinite:
    """Remembers the first op that made something not finite, if possible of finite inputs only."""

    def __init__(self) -> None:
        self.origin: OpEvent | None = None
        self.first: OpEvent | None = None

    def on_op(self, event: OpEvent) -> None:
        if self.origin is not None or all(map(finite, event.outputs)):
            return
        if self.first is None:
            self.first = event
        if all(map(finite, event.inputs)):
            self.origin = event

    def on_exit(self, tensor: Tensor, how: str) -> None:
        pass


def finite(tensor: Tensor) -> bool:
    """Whether no element is infinite or NaN, as far as is known: inside of a program there is no data."""
    if isinstance(tensor._array, NoData):
        return True
    return tensor.dtype.kind != "f" or bool(np.isfinite(leave(tensor, "finite")).all())


def explain(model: Module, forward: Callable[[], object], inputs: tuple[Tensor, ...]) -> str:
    """Say in words where a forward pass first gives something not finite, and which parameters already were.

    `forward` runs the model and the loss on `inputs` once more.
    """
    parts = []
    bad = [name for name, parameter in model.named_parameters() if not finite(parameter)]
    if bad:
        shown = ", ".join(bad[:5]) + (" ..." if len(bad) > 5 else "")
        parts.append(f"{len(bad)} parameters were not finite before it: {shown}")
    if not all(map(finite, inputs)):
        parts.append("the batch itself holds values that are not finite")
    watcher = _FirstNotFinite()
    with no_grad(), observe(watcher):
        forward()
    event = watcher.origin or watcher.first
    if event is not None:
        where = f"in {event.path!r}" if event.path else "outside of named modules, as in the loss"
        parts.append(f"first output not finite: {event.op.name} {where}")
    return "; ".join(parts) or "run again, the forward pass is finite"
