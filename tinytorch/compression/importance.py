"""Importance: a score for each channel of a model, of which the lowest go first."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinytorch.compression.dependencies import Dependencies, Group, Use
from tinytorch.compression.scores import Loss
from tinytorch.errors import CompressionError, QuantizationError
from tinytorch.nn.conv import BatchNorm2d
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.quantization.calibrate import Batch, filled
from tinytorch.training.metrics import evaluating
from tinytorch.training.step import forward_backward

SCORES = ("magnitude", "l2", "batchnorm", "taylor")


def channel_sums(array: Array, axis: int, channels: Array, count: int) -> Array:
    """The sum of an array's elements for each channel: float64 (count,), 0 for one that has none.

    channels: int (size of `axis`,), the channel, 0 to count - 1, that all elements at each place along the
    axis belong to, or -1 for none of them.

    >>> channel_sums(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), 0, np.array([1, -1, 1]), 3)
    array([ 0., 14.,  0.])
    """
    others = tuple(i for i in range(array.ndim) if i != axis)
    sums = array.astype(np.float64).sum(others)
    has = channels >= 0
    return np.bincount(channels[has], sums[has], minlength=count)


def importance(
    model: Module,
    found: Dependencies,
    groups: Sequence[Group],
    score: str = "magnitude",
    batches: Iterable[Batch] | None = None,
    loss: Loss | None = None,
) -> Array:
    """A score for each channel by its number, float64; those of other groups than these mean nothing.

    `score`: "magnitude", the sum of |w| over the weights that make the channel (Li et al., "Pruning filters
    for efficient ConvNets", 2017), or "l2", the root of the sum of squares; "batchnorm", |weight| of the
    batch norms that it goes through (Liu et al., "Network slimming", 2017); "taylor", to first order by how
    much the loss changes without the channel: |sum of w * dL/dw| over the weights that read it, which is that
    of activation times gradient, in the mean over `batches` (Molchanov et al., "Pruning convolutional neural
    networks for resource efficient inference", 2017). It needs batches with targets, and a loss.

    Raises CompressionError for an unknown score, where something is missing or the loss is not finite, and by
    batch norm for groups that meet none.
    """
    if score not in SCORES:
        raise CompressionError(f"there is no score {score!r}; there are: {', '.join(SCORES)}")
    modules = dict(model.named_modules())
    arrays = {name: tensor.data for name, tensor in model._tensors("parameter", "buffer")}
    made = [use for use in found.uses if use.makes]
    if score == "magnitude":
        return _totals(found.count, made, lambda use: np.abs(arrays[use.name]))
    if score == "l2":
        return np.sqrt(_totals(found.count, made, lambda use: np.square(arrays[use.name], dtype=np.float64)))
    if score == "batchnorm":
        norms = [use for use in found.uses if _scales(modules, use)]
        met = np.unique(np.concatenate([np.empty(0, np.int64), *(use.channels for use in norms)]))
        without = next((g for g in groups if not np.isin(g.channels, met).all()), None)
        if without is not None:
            raise CompressionError(f"batchnorm: {without.name} goes through no batch norm. Take magnitude.")
        return _totals(found.count, norms, lambda use: np.abs(arrays[use.name]))
    if batches is None or loss is None:
        raise CompressionError("taylor: give batches= with targets, and loss=, of an output and a target")
    return _taylor(model, found, batches, loss)


def _scales(modules: dict[str, Module], use: Use) -> bool:
    path, _, name = use.name.rpartition(".")
    return isinstance(modules[path], BatchNorm2d) and name == "weight"


def _totals(count: int, uses: Iterable[Use], values: Callable[[Use], Array]) -> Array:
    total = np.zeros(count)
    for use in uses:
        total += channel_sums(values(use), use.axis, use.channels, count)
    return total


def _taylor(model: Module, found: Dependencies, batches: Iterable[Batch], loss: Loss) -> Array:
    """|sum of w * dL/dw| over what reads each channel, in the mean over batches."""
    twin = copy.deepcopy(model)
    for parameter in twin.parameters():
        parameter.requires_grad_()
    tensors = dict(twin._tensors("parameter", "buffer"))
    read = [use for use in found.uses if use.reads and tensors[use.name].requires_grad]
    total, count = np.zeros(found.count), 0
    for batch in _with_targets(batches):
        twin.zero_grad()
        with evaluating(twin):
            _, value = forward_backward(twin, loss, batch)
        if not math.isfinite(value):
            raise CompressionError(f"taylor: the loss is {value} on batch {count}. Look at the data.")
        total += np.abs(_totals(found.count, read, lambda use: _moved(tensors[use.name])))
        count += 1
    return total / count


def _moved(tensor: Any) -> Array:
    w: Array = tensor.data.astype(np.float64)
    return np.zeros_like(w) if tensor.grad is None else w * tensor.grad.data


def _with_targets(batches: Iterable[Batch]) -> list[tuple[Any, ...]]:
    try:
        found = filled(batches, "taylor")
    except QuantizationError as error:
        raise CompressionError(str(error)) from None
    pairs = [batch for batch in found if isinstance(batch, tuple) and len(batch) > 1]
    if len(pairs) < len(found):
        raise CompressionError("taylor: each batch is a tuple of the model's inputs and a target")
    return pairs
