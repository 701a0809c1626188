"""analyze: how redundant each layer is, by its weights, its rank, and what pruning it alone costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch import console
from tinytorch.autograd import no_grad
from tinytorch.compression.masks import count_of_zeros, mask_of
from tinytorch.compression.scores import Scores, chosen_layers, magnitude
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.profiling import words
from tinytorch.quantization.calibrate import Batch
from tinytorch.quantization.score import Metric, Score
from tinytorch.tensor import Tensor, from_numpy

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
SMALL = 0.01
"""A weight below this share of the layer's largest adds next to nothing."""
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)


@dataclass(frozen=True)
class Point:
    """A layer pruned alone to a sparsity, untrained: what the score was then, and what it lost."""

    sparsity: float
    figure: float
    cost: float


@dataclass(frozen=True)
class Redundancy:
    """One layer. `quantiles` of its weights at QUANTILES; `small`: the share below SMALL of the largest;
    `ranks`: how many singular values of the weight, as a matrix by output, make up 90 and 99 % of its energy.
    """

    path: str
    shape: tuple[int, ...]
    weights: int
    zeros: int
    std: float
    quantiles: tuple[float, ...]
    small: float
    full_rank: int
    ranks: tuple[int, int]
    curve: tuple[Point, ...]

    def bears(self, most: float) -> float:
        """The largest sparsity measured that cost at most so much, 0 if none did."""
        return max((p.sparsity for p in self.curve if p.cost <= most), default=0.0)


@dataclass(frozen=True)
class Analysis:
    """What `analyze` found; `score` is "accuracy", "loss", "cosine" or "metric", `before` the model's own."""

    score: str
    before: float
    layers: tuple[Redundancy, ...]

    def __repr__(self) -> str:
        shares = [f"{point.sparsity:.0%}" for point in self.layers[0].curve]
        head = ["layer", "weight", "small", "rank 90 %", "99 %", "full", *shares]
        rows = [
            [
                layer.path,
                "x".join(map(str, layer.shape)),
                f"{layer.small:.0%}",
                *(str(rank) for rank in (*layer.ranks, layer.full_rank)),
                *(f"{point.cost:+.4f}" for point in layer.curve),
            ]
            for layer in self.layers
        ]
        first, *rest = words.columns([head, *rows], left=(0, 1))
        note = (
            f"columns in %: what {self.score} ({self.before:.4f}) loses with this layer alone pruned so far"
        )
        return "\n".join([first, "-" * len(first), *rest, "", note])


def analyze(
    model: Module,
    validation: Iterable[Batch],
    *,
    sparsities: Sequence[float] = SPARSITIES,
    scores: Scores | None = None,
    metric: Metric | None = None,
    layers: Iterable[str] | None = None,
) -> Analysis:
    """How redundant the layers of a model are; the model ends as it began.

    `validation`: batches that the cost of pruning is measured on, see `Score`, or give a `metric`. `scores`
    by path: what goes first, by default what is smallest. A layer is pruned alone and nothing is trained, so
    a curve says how layers compare, and not what they cost after training.

    Raises CompressionError for a sparsity outside, unknown layers, and a model without such layers.

    >>> from tinytorch.models import MLP
    >>> found = analyze(MLP((16, 8, 4)), [Tensor(np.ones((2, 16), np.float32))], sparsities=(0.5,))
    >>> [(layer.path, layer.full_rank) for layer in found.layers]
    [('layers.0', 8), ('layers.2', 4)]
    """
    found = chosen_layers(model, layers)
    for sparsity in sparsities:
        count_of_zeros(1, sparsity)
    score = Score(model, validation, metric)
    rows = []
    with console.progress(len(found) * len(sparsities), "analyze", "measurements") as bar:
        for path, layer in found.items():
            w = layer.weight.numpy()
            given = magnitude(w) if scores is None else scores[path]
            curve = []
            for sparsity in sparsities:
                curve.append(_point(model, layer.weight, w, given, sparsity, score))
                bar.update(bar.done + 1)
            rows.append(_redundancy(path, w, tuple(curve)))
    return Analysis(score.name, score.before, tuple(rows))


def _point(model: Module, weight: Tensor, w: Array, scores: Array, sparsity: float, score: Score) -> Point:
    """Measure with the weight pruned, and put it back, also where measuring fails."""
    mask = mask_of(scores, count_of_zeros(w.size, sparsity))
    with no_grad():
        weight.assign_(from_numpy(np.where(mask, w, np.float32(0))))
        try:
            figure = score.value(model)
        finally:
            weight.assign_(from_numpy(w))
    return Point(sparsity, figure, score.lost(figure))


def _redundancy(path: str, w: Array, curve: tuple[Point, ...]) -> Redundancy:
    matrix = w.reshape(len(w), -1).astype(np.float64)
    energy = np.cumsum(np.linalg.svd(matrix, compute_uv=False) ** 2)
    total = max(float(energy[-1]), np.finfo(np.float64).tiny)
    ranks = tuple(int(np.searchsorted(energy / total, share) + 1) for share in (0.9, 0.99))
    full = min(matrix.shape)
    return Redundancy(
        path,
        w.shape,
        w.size,
        w.size - int(np.count_nonzero(w)),
        float(matrix.std()),
        tuple(float(q) for q in np.quantile(matrix, QUANTILES)),
        float((np.abs(matrix) < SMALL * np.abs(matrix).max()).mean()),
        full,
        (min(ranks[0], full), min(ranks[1], full)),
        curve,
    )
