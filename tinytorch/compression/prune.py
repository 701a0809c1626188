"""prune: the same model with most weights at zero, chosen by score, layer by layer or over all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from tinytorch.compression.masks import Masks, block_mask, count_of_zeros, global_masks, mask_of, n_m_mask
from tinytorch.compression.scores import Loss, Scores, chosen_layers, scores_of
from tinytorch.errors import CompressionError
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.profiling import words
from tinytorch.quantization.calibrate import Batch

Scope: TypeAlias = Literal["global", "layer", "output"]
"""What shares a threshold: all layers, each layer by itself, or each output of each layer."""
Pattern: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class LayerRow:
    """A layer: its weights, how many of them are zero, outputs all of zeros and inputs that nothing reads."""

    path: str
    shape: tuple[int, ...]
    weights: int
    zeros: int
    dead_outputs: int
    dead_inputs: int

    @property
    def sparsity(self) -> float:
        """The share of zeros."""
        return self.zeros / self.weights


@dataclass(frozen=True)
class Pruned:
    """A pruned copy of a model, and the masks that hold its zeros while it is trained on."""

    model: Module
    masks: Masks

    def rows(self) -> tuple[LayerRow, ...]:
        """What became of each layer."""
        return sparsity_of(self.model, self.masks)

    def __repr__(self) -> str:
        return table(self.rows())


def prune(
    model: Module,
    sparsity: float | Mapping[str, float],
    *,
    scope: Scope = "global",
    score: str | Scores = "magnitude",
    calibration: Iterable[Batch] | None = None,
    loss: Loss | None = None,
    layers: Iterable[str] | None = None,
) -> Pruned:
    """A copy of the model whose lowest-scored weights are zero; the model itself stays as it is.

    `sparsity`: the share of weights that goes, above 0 and below 1; by layer where it is a mapping from
    paths, which then names the layers. `scope`: see `Scope`. `score`: see `scores_of`, or scores by path.
    Weights of Linear and Conv2d layers count, biases do not. To train on, keep the masks: `fine_tune` does,
    or call `masks.apply()` after each step.

    Raises CompressionError for a sparsity outside, unknown layers or scores, and a model without such layers.

    >>> from tinytorch.models import MLP
    >>> pruned = prune(MLP((16, 8, 4)), 0.75)
    >>> pruned.masks.sparsity, sum(int((w.data == 0).sum()) for w in pruned.model.parameters() if w.ndim > 1)
    (0.75, 120)
    """
    if scope not in get_args(Scope):
        raise CompressionError(f"prune: scope={scope!r}; expected one of {', '.join(get_args(Scope))}")
    names = list(sparsity) if isinstance(sparsity, Mapping) else layers
    for share in sparsity.values() if isinstance(sparsity, Mapping) else [sparsity]:
        count_of_zeros(1, share)
    found = _scores(model, score, calibration, loss, names)
    return _held(model, masks_for(found, sparsity, scope))


def masks_for(
    scores: Scores, sparsity: float | Mapping[str, float], scope: Scope = "global"
) -> dict[str, Array]:
    """Masks by path for these scores; see `prune`."""
    if isinstance(sparsity, Mapping):
        return {path: _layer_mask(scores[path], share, scope) for path, share in sparsity.items()}
    if scope == "global":
        return global_masks(scores, sparsity)
    return {path: _layer_mask(array, sparsity, scope) for path, array in scores.items()}


def _layer_mask(scores: Array, sparsity: float, scope: Scope) -> Array:
    if scope != "output":
        return mask_of(scores, count_of_zeros(scores.size, sparsity))
    rows = scores.reshape(len(scores), -1)
    zeros = count_of_zeros(rows.shape[1], sparsity)
    return np.stack([mask_of(row, zeros) for row in rows]).reshape(scores.shape)


def prune_pattern(
    model: Module,
    pattern: Pattern | Literal["blocks"],
    sparsity: float | None = None,
    *,
    block: tuple[int, int] = (8, 1),
    score: str | Scores = "magnitude",
    calibration: Iterable[Batch] | None = None,
    loss: Loss | None = None,
    layers: Iterable[str] | None = None,
) -> Pruned:
    """A copy with zeros in a pattern: (n, m) keeps n of each run of m inputs, "blocks" whole blocks.

    (2, 4) is what some GPUs multiply by twice as fast; blocks of 8 outputs are what `BlockedLinear` skips,
    and need a `sparsity`. Layers whose inputs cannot be cut into runs of m are left out. Raises as `prune`,
    and for a pattern that fits no layer.

    >>> from tinytorch.models import MLP
    >>> prune_pattern(MLP((16, 8, 4)), (2, 4)).masks.sparsity
    0.5
    """
    found = _scores(model, score, calibration, loss, layers)
    make: Callable[[Array], Array]
    if pattern == "blocks":
        if sparsity is None:
            raise CompressionError("prune_pattern: blocks need a sparsity, such as 0.9")
        make, share = (lambda s: block_mask(s, share, *block)), sparsity
    else:
        n, m = pattern
        if not 0 < n < m:
            raise CompressionError(f"prune_pattern: {n}:{m}; expected 0 < n < m, as 2:4")
        found = {path: s for path, s in found.items() if s[0].size % m == 0}
        make = lambda s: n_m_mask(s, n, m)  # noqa: E731
        if not found:
            raise CompressionError(f"prune_pattern: no layer has a number of inputs that {m} divides")
    return _held(model, {path: make(s) for path, s in found.items()})


def _scores(
    model: Module,
    score: str | Scores,
    calibration: Iterable[Batch] | None,
    loss: Loss | None,
    layers: Iterable[str] | None,
) -> Scores:
    if isinstance(score, str):
        return scores_of(model, score, calibration=calibration, loss=loss, layers=layers)
    names = list(score) if layers is None else list(layers)
    chosen_layers(model, names)
    missing = [path for path in names if path not in score]
    if missing:
        raise CompressionError(f"prune: no scores for layer {missing[0]!r}")
    return {path: score[path] for path in names}


def _held(model: Module, masks: Mapping[str, Array]) -> Pruned:
    for path, mask in masks.items():
        if not mask.any():
            raise CompressionError(
                f"prune: all {mask.size} weights of layer {path} would go, and nothing would pass it. "
                "Ask for less of it: sparsity may be a mapping from layers."
            )
    twin = copy.deepcopy(model)
    held = Masks(twin, masks)
    held.apply()
    return Pruned(twin, held)


# ---------------------------------------------------------------- what it is now


def sparsity_of(model: Module, paths: Iterable[str] | None = None) -> tuple[LayerRow, ...]:
    """How sparse each layer is, by the exact zeros in its weight, as rows in the layers' order.

    `paths`: of the layers, all that can be pruned by default (`chosen_layers` finds them by path). A weight
    has axes (outputs, inputs, ...). An output whose weights are all zero is dead; so is an input that only
    zeros multiply. Biases do not count: they are few, stay as they are, and many begin at zero.

    >>> from tinytorch.nn import Linear, Sequential
    >>> net = Sequential(Linear(3, 2))
    >>> _ = net[0].weight.assign_(np.array([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]))
    >>> [(row.zeros, row.weights, row.dead_outputs, row.dead_inputs) for row in sparsity_of(net)]
    [(4, 6, 1, 1)]
    """
    found = []
    for path, layer in chosen_layers(model, paths).items():
        w = layer.weight.data
        zeros = w.size - int(np.count_nonzero(w))
        outputs = w.reshape(len(w), -1).any(1)
        inputs = np.moveaxis(w, 1, 0).reshape(w.shape[1], -1).any(1)
        dead = (int((~outputs).sum()), int((~inputs).sum()))
        found.append(LayerRow(path, w.shape, w.size, zeros, *dead))
    return tuple(found)


def table(rows: Iterable[LayerRow]) -> str:
    """The rows as text, with a sum."""
    rows = tuple(rows)
    head = ["layer", "weight", "zeros", "of", "sparsity", "outputs of zeros", "inputs unread"]
    lines = [
        [
            row.path,
            "x".join(map(str, row.shape)),
            f"{row.zeros:,}",
            f"{row.weights:,}",
            f"{row.sparsity:.1%}",
            str(row.dead_outputs),
            str(row.dead_inputs),
        ]
        for row in rows
    ]
    zeros, weights = sum(row.zeros for row in rows), sum(row.weights for row in rows)
    lines.append(["all", "", f"{zeros:,}", f"{weights:,}", f"{zeros / max(weights, 1):.1%}", "", ""])
    first, *rest = words.columns([head, *lines], left=(0, 1))
    return "\n".join([first, "-" * len(first), *rest])
