"""Folding: batch norms in evaluation mode become part of the convolutions before them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.nn.conv import BatchNorm2d, Conv2d
from tinytorch.nn.layers import Identity
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops.context import OpEvent, observe
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor
from tinytorch.training.metrics import evaluating


def folded(
    w: Array, b: Array, weight: Array, bias: Array, mean: Array, variance: Array, eps: float
) -> tuple[Array, Array]:
    """The weight and bias of a convolution that gives what batch norm made of its results.

    (x * w + b - mean) / sqrt(variance + eps) * weight + bias, for each output channel.
    """
    scale = weight / np.sqrt(variance + eps)
    return w * scale.reshape(-1, 1, 1, 1), (b - mean) * scale + bias


class _Readers:
    """Watches which modules read what a convolution makes."""

    def __init__(self, model: Module) -> None:
        self.modules = dict(model.named_modules())
        self.made: dict[int, tuple[str, Tensor]] = {}
        self.readers: dict[str, set[str]] = {}

    def on_op(self, event: OpEvent) -> None:
        for tensor in event.inputs:
            if id(tensor) in self.made:
                self.readers.setdefault(self.made[id(tensor)][0], set()).add(event.path)
        if type(self.modules.get(event.path)) is Conv2d:
            for out in event.outputs:
                self.made[id(out)] = event.path, out

    def on_exit(self, tensor: Tensor, how: str) -> None:
        pass


def fold_batch_norms(model: Module, inputs: Iterable[Tensor]) -> list[tuple[str, str]]:
    """Put each batch norm that alone reads a convolution's results into that convolution, in place.

    `inputs` are run through the model once to see which do; the batch norm becomes an `Identity`. Returns the
    paths of both, pair by pair. A convolution or batch norm that the model holds in two places stays.
    """
    watcher = _Readers(model)
    with evaluating(model), no_grad(), observe(watcher):
        model(*inputs)
    pairs = []
    for path, readers in watcher.readers.items():
        layer = watcher.modules[path]
        (reader,) = readers if len(readers) == 1 else ("",)
        norm = watcher.modules.get(reader)
        alone = sum(m is layer or m is norm for _, m in model._walk()) == 2
        if isinstance(layer, Conv2d) and type(norm) is BatchNorm2d and alone:
            _fold(layer, norm)
            replace(model, reader, Identity())
            pairs.append((path, reader))
    return pairs


def _fold(layer: Conv2d, norm: BatchNorm2d) -> None:
    old = np.zeros(layer.out_channels, np.float32) if layer.bias is None else layer.bias.data
    values = (norm.weight.data, norm.bias.data, norm.running_mean.data, norm.running_var.data)
    w, b = folded(layer.weight.data, old, *values, norm.eps)
    layer.weight = Parameter(w.astype(np.float32))
    layer.bias = Parameter(b.astype(np.float32))


def replace(model: Module, path: str, module: Module) -> None:
    """Put a module in the place of the one at a path."""
    parent, _, name = path.rpartition(".")
    holder = dict(model._walk())[parent]
    setattr(holder, name, module)
