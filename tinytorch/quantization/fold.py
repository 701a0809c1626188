"""Folding: batch norms in evaluation mode become part of the convolutions before them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from tinytorch.acceleration.arguments import tensors_in
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


@dataclass
class _Flow:
    """Watches which module makes what another reads."""

    made: dict[int, tuple[str, Tensor]] = field(default_factory=dict)
    """By id, which is free again only once nobody holds the tensor: so it is held here."""
    makes: dict[str, list[int]] = field(default_factory=dict)
    reads: dict[str, set[int]] = field(default_factory=dict)
    """Images that each module's ops read and that ops of others made, or none did."""
    readers: dict[int, set[str]] = field(default_factory=dict)

    def on_op(self, event: OpEvent) -> None:
        for tensor in event.inputs:
            self.readers.setdefault(id(tensor), set()).add(event.path)
            maker, _ = self.made.setdefault(id(tensor), ("", tensor))
            if maker != event.path and tensor.ndim == 4:
                self.reads.setdefault(event.path, set()).add(id(tensor))
        for out in event.outputs:
            self.made[id(out)] = event.path, out
            self.makes.setdefault(event.path, []).append(id(out))

    def on_exit(self, tensor: Tensor, how: str) -> None:
        pass

    def alone_between(self, maker: str, reader: str, results: Iterable[Tensor]) -> bool:
        """Whether one module ran once, and what it made goes to the other, which reads no other images."""
        made = self.makes[maker]
        kept = any(id(result) == made[0] for result in results)
        return len(made) == 1 and self.reads.get(reader) == set(made) and not kept


def fold_batch_norms(model: Module, inputs: Iterable[Tensor]) -> list[tuple[str, str]]:
    """Put each batch norm that alone reads a convolution's results into that convolution, in place.

    `inputs` are run through the model once to see which do; the batch norm becomes an `Identity`. Returns the
    paths of both, pair by pair. Both stay where either runs twice, is held in two places, or has to do with
    others: results that the model returns too, a batch norm that also reads something else.
    """
    flow, modules = _Flow(), dict(model.named_modules())
    with evaluating(model), no_grad(), observe(flow):
        results = list(tensors_in(model(*inputs)))
    pairs = []
    for path in flow.makes:
        layer, readers = modules.get(path), flow.readers.get(flow.makes[path][0], set())
        (reader,) = readers if len(readers) == 1 else ("",)
        norm = modules.get(reader)
        if type(layer) is not Conv2d or type(norm) is not BatchNorm2d:
            continue
        held = sum(m is layer or m is norm for _, m in model._walk())
        if held == 2 and flow.alone_between(path, reader, results):
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
    """Put a module in the place of the one at a path, in training or evaluation as that one was."""
    parent, _, name = path.rpartition(".")
    modules = dict(model._walk())
    module.train(modules[path].training)
    setattr(modules[parent], name, module)
