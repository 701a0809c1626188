"""Calibration: run the model on data, and watch what goes into each layer that is to be quantized."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.errors import QuantizationError
from tinytorch.nn.conv import Conv2d
from tinytorch.nn.embedding import Embedding, Lookup
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module
from tinytorch.ops import conv, matmul
from tinytorch.ops.context import OpEvent, observe
from tinytorch.ops.spec import Array, float32
from tinytorch.tensor import Tensor
from tinytorch.training.metrics import evaluating

VALUES, ROWS = 2**16, 512
"""Numbers that are kept of a layer's inputs to find ranges in, and rows (or images) to try the layer on."""
OPS: Mapping[type[Module], tuple[type[Any], ...]] = {
    Linear: (matmul.Linear, matmul.MatMul),
    Conv2d: (conv.Conv2d,),
    Embedding: (Lookup,),
}
"""Which op shows what goes into a layer, and which layers can be quantized: these classes, no others."""
Batch: TypeAlias = "Tensor | tuple[Tensor, ...]"


@dataclass
class Seen:
    """What went into one layer: the lowest and highest number, a sample of all, and some rows or images.

    `gram` is the sum of x^T x over all rows, kept on request; `shape` that of the first input, `calls` how
    often the layer ran. `whole`: whether an embedding's table is also read other than by ids. `settled`: a
    range that training found, to be used as it is.
    """

    low: float = np.inf
    high: float = -np.inf
    values: Array = field(default_factory=lambda: np.empty(0, np.float32))
    rows: list[Array] = field(default_factory=list)
    gram: Array | None = None
    shape: tuple[int, ...] = ()
    calls: int = 0
    whole: bool = False
    settled: tuple[float, float] | None = None

    @property
    def kept(self) -> Array:
        """The rows or images that were kept, as one array."""
        return np.concatenate(self.rows)


class Calibration:
    """Watches ops, and keeps for each layer by its path what `Seen` holds."""

    def __init__(self, layers: Mapping[str, Module], gram: bool = False, seed: int = 0) -> None:
        self.layers, self.gram = layers, gram
        self.seen: dict[str, Seen] = {path: Seen() for path in layers}
        self._rng = np.random.default_rng(seed)
        embeddings = ((path, m) for path, m in layers.items() if isinstance(m, Embedding))
        self._tables = {id(m.weight): path for path, m in embeddings}

    def on_op(self, event: OpEvent) -> None:
        """Take in the input of a layer, where this op is that of one."""
        for tensor in event.inputs:
            if id(tensor) in self._tables and not isinstance(event.op, Lookup):
                self.seen[self._tables[id(tensor)]].whole = True
        layer = self.layers.get(event.path)
        if layer is None or not isinstance(event.op, OPS[type(layer)]):
            return
        seen = self.seen[event.path]
        if not event.outputs[0].size:
            return
        seen.calls += 1
        if isinstance(layer, Embedding):
            seen.shape = seen.shape or event.inputs[1].shape
            return
        x = event.inputs[0]._array
        seen.shape = seen.shape or x.shape
        self._take(event.path, seen, x if isinstance(layer, Conv2d) else x.reshape(-1, x.shape[-1]))

    def on_exit(self, tensor: Tensor, how: str) -> None:
        """Values that leave do not matter here."""

    def _take(self, path: str, seen: Seen, x: Array) -> None:
        if not np.isfinite(x).all():
            wrong = x[~np.isfinite(x)][0]
            raise QuantizationError(
                f"calibration: {wrong} goes into layer {path}; ranges take finite numbers. "
                "Look at the data, and at the layers before it."
            )
        seen.low, seen.high = min(seen.low, float(x.min())), max(seen.high, float(x.max()))
        flat = x.reshape(-1)
        few = flat if flat.size <= VALUES // 4 else self._rng.choice(flat, VALUES // 4, replace=False)
        values = np.concatenate([seen.values, few])
        seen.values = values if values.size <= VALUES else self._rng.choice(values, VALUES, replace=False)
        missing = ROWS - sum(map(len, seen.rows))
        if missing > 0:
            seen.rows.append(x[: min(missing, max(1, ROWS // 8))].copy())
        if self.gram and x.ndim == 2:
            wide = x.astype(np.float64)
            seen.gram = wide.T @ wide + (0.0 if seen.gram is None else seen.gram)


def calibrate(
    model: Module,
    inputs: Iterable[tuple[Tensor, ...]],
    layers: Mapping[str, Module],
    *,
    gram: bool = False,
    seed: int = 0,
) -> dict[str, Seen]:
    """What goes into each of the layers, by path, as the model runs on all inputs in evaluation mode.

    Raises QuantizationError where NaN or infinity goes into a layer, naming it.
    """
    watcher = Calibration(layers, gram, seed)
    with evaluating(model), no_grad(), observe(watcher):
        for given in inputs:
            model(*given)
    return watcher.seen


def filled(loader: Iterable[Batch], purpose: str = "calibration") -> list[Batch]:
    """The batches that hold samples; raises QuantizationError if none does, and for what is no batch.

    >>> len(filled([Tensor([[1.0]]), Tensor(np.ones((0, 1)))]))
    1
    """
    found = [batch for batch in loader if all(tensor.size for tensor in inputs_of(batch))]
    if not found:
        raise QuantizationError(
            f"{purpose}: the loader has no batches with samples. A few hundred samples are enough."
        )
    return found


def inputs_of(batch: Any) -> tuple[Tensor, ...]:
    """What the model is called with: all tensors of a batch but the last, the target, if there are two.

    Raises QuantizationError for what is no batch.

    >>> len(inputs_of((Tensor([1.0]), Tensor([2]))))
    1
    """
    tensors = (batch,) if isinstance(batch, Tensor) else batch
    if not isinstance(tensors, tuple) or not tensors or not all(isinstance(t, Tensor) for t in tensors):
        raise QuantizationError("calibration: a batch is a Tensor, or a tuple of inputs and a target")
    return tensors[:-1] if len(tensors) > 1 else tensors


def quantizable(model: Module) -> dict[str, Module]:
    """Layers with float32 weights of exactly the classes that can be quantized, by path; no subclasses."""
    return {path: m for path, m in model.named_modules() if type(m) in OPS and _is_float32(m)}


def layers_of(model: Module) -> dict[str, Module]:
    """Its layers that can be quantized; raises QuantizationError if there are none, or it is one itself."""
    if type(model) in OPS:
        name = type(model).__name__
        raise QuantizationError(f"quantize: the model is itself a {name}; give nn.Sequential(layer)")
    found = quantizable(model)
    if not found:
        raise QuantizationError(
            "quantize: the model has no Linear, Conv2d or Embedding layer with weights of float32 "
            "(subclasses are left alone)"
        )
    return found


def _is_float32(module: Module) -> bool:
    return all(parameter.dtype == float32 for parameter in module.parameters())
