"""Scores: how much each weight is needed, by its size, by its input, or by where training moves it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.compression.masks import prunable
from tinytorch.errors import CompressionError
from tinytorch.nn.conv import Conv2d
from tinytorch.nn.module import Module
from tinytorch.ops.context import observe
from tinytorch.ops.spec import Array
from tinytorch.quantization.calibrate import Batch, Calibration, Seen, filled, inputs_of
from tinytorch.tensor import Tensor
from tinytorch.training.metrics import evaluating
from tinytorch.training.step import forward_backward

Scores: TypeAlias = Mapping[str, Array]
"""By the path of a layer, an array of its weight's shape: the higher, the more a weight is needed."""
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def magnitude(w: Array) -> Array:
    """|w|: what is small adds little. Source: Han et al., 2015.

    >>> magnitude(np.array([-2.0, 0.5]))
    array([2. , 0.5])
    """
    return np.abs(w)


def wanda(w: Array, norms: Array) -> Array:
    """|w| times the norm of the input that it multiplies: a small weight on a loud input is needed.

    w: (outputs, inputs, ...); norms: (inputs,), the root of the sum of squares of each input over all
    samples, one for each channel of a convolution. Scores are to be compared within an output. Source: Sun et
    al., "A simple and effective pruning approach for large language models", 2023.

    >>> wanda(np.array([[1.0, -2.0]]), np.array([3.0, 1.0]))
    array([[3., 2.]])
    """
    return np.abs(w) * norms.reshape(-1, *(1,) * (w.ndim - 2))


def movement(w: Array, gradient: Array) -> Array:
    """-w * dL/dw: positive where a step of descent moves a weight away from zero; to be summed over steps.

    Source: Sanh et al., "Movement pruning", 2020.

    >>> movement(np.array([1.0, 1.0]), np.array([-0.5, 0.5]))
    array([ 0.5, -0.5])
    """
    return -w * gradient


class _Squares(Calibration):
    """Watches what goes into layers, and adds up its squares, input by input or channel by channel."""

    def __init__(self, layers: Mapping[str, Module]) -> None:
        super().__init__(layers)
        self.squares: dict[str, Array] = {}

    def _take(self, path: str, seen: Seen, x: Array) -> None:
        if not np.isfinite(x).all():
            raise CompressionError(f"wanda: NaN or infinity goes into layer {path}. Look at the data.")
        axes = (0, 2, 3) if isinstance(self.layers[path], Conv2d) else (0,)
        self.squares[path] = self.squares.get(path, 0.0) + np.square(x, dtype=np.float64).sum(axes)


def input_norms(model: Module, batches: Iterable[Batch]) -> dict[str, Array]:
    """For each layer that can be pruned, the norms of its inputs over all batches, as `wanda` wants them.

    Layers that the batches never reach are left out. Raises CompressionError where NaN goes into a layer.
    """
    layers = prunable(model)
    watcher = _Squares(layers)
    with evaluating(model), no_grad(), observe(watcher):
        for batch in batches:
            model(*inputs_of(batch))
    return {path: np.sqrt(watcher.squares[path]) for path in layers if path in watcher.squares}


def scores_of(
    model: Module,
    score: str = "magnitude",
    *,
    calibration: Iterable[Batch] | None = None,
    loss: Loss | None = None,
    layers: Iterable[str] | None = None,
) -> dict[str, Array]:
    """Scores of all layers that can be pruned, or of those named.

    `score`: "magnitude"; "wanda", which needs `calibration`; "movement", which needs it with targets, and a
    loss. Movement is summed over the batches at the weights as they are: `fine_tune` sums it over its steps.
    Raises CompressionError for an unknown score or layer, and where something is missing.
    """
    found = chosen_layers(model, layers)
    weights = {path: layer.weight.data for path, layer in found.items()}
    if score == "magnitude":
        return {path: magnitude(w) for path, w in weights.items()}
    if score not in ("wanda", "movement"):
        raise CompressionError(f"there is no score {score!r}; there are: magnitude, wanda, movement")
    if calibration is None:
        raise CompressionError(f"{score}: give calibration=, batches of training data")
    batches = filled(calibration)
    if score == "wanda":
        norms = input_norms(model, batches)
        missing = [path for path in weights if path not in norms]
        if missing:
            raise CompressionError(f"wanda: calibration never runs {', '.join(missing)}. Name layers=.")
        return {path: _wanda_of(found[path], norms[path]) for path in weights}
    if loss is None:
        raise CompressionError("movement: give loss=, a function of the model's output and the target")
    sums = {path: np.zeros(w.shape) for path, w in weights.items()}
    for batch in batches:
        for path, gradient in gradients_of(model, loss, batch, found).items():
            sums[path] += movement(weights[path], gradient)
    return sums


def _wanda_of(layer: Any, norms: Array) -> Array:
    w = layer.weight.data
    groups = layer.groups if isinstance(layer, Conv2d) else 1
    if groups == 1:
        return wanda(w, norms)
    parts = zip(np.split(w, groups), np.split(norms, groups), strict=True)
    return np.concatenate([wanda(part, of_part) for part, of_part in parts])


def gradients_of(model: Module, loss: Loss, batch: Any, layers: Mapping[str, Any]) -> dict[str, Array]:
    """The gradient of the mean loss of a batch for the weight of each layer; others' gradients go too."""
    for parameter in model.parameters():
        parameter.grad = None
    with evaluating(model):
        forward_backward(model, loss, batch)
    found = {
        path: np.zeros(layer.weight.shape, np.float32)
        if layer.weight.grad is None
        else layer.weight.grad.data
        for path, layer in layers.items()
    }
    for parameter in model.parameters():
        parameter.grad = None
    return found


def chosen_layers(model: Module, layers: Iterable[str] | None = None) -> dict[str, Any]:
    """Layers that can be pruned, or those of them named; raises CompressionError where there are none."""
    found = prunable(model)
    if not found:
        raise CompressionError(
            "prune: the model has no Linear or Conv2d layer with weights of float32 of its own "
            "(subclasses are left alone; put a single layer into nn.Sequential)"
        )
    if layers is None:
        return found
    names = list(layers)
    unknown = [path for path in names if path not in found]
    if unknown or not names:
        asked = f"no layer {unknown[0]!r}" if unknown else "no layer is named"
        raise CompressionError(f"prune: {asked}; there are: {', '.join(found)}")
    return {path: found[path] for path in names}
