"""Low rank: a weight as the product of two thin ones, where the singular values that go carry little."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tinytorch.errors import CompressionError
from tinytorch.nn.containers import Sequential
from tinytorch.nn.conv import Conv2d
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops.spec import Array, float32
from tinytorch.profiling import words
from tinytorch.quantization import fold
from tinytorch.quantization.calibrate import Batch, calibrate, filled, inputs_of

DAMP = 1e-3
"""Of the mean of the diagonal of a gram matrix, added to it, so that inputs never seen count a little."""
_Layer: TypeAlias = Linear | Conv2d


def svd_factors(w: Array, rank: int) -> tuple[Array, Array]:
    """(a, b) with w ~ a @ b, the nearest there is of that rank: w (n, k), a (n, rank), b (rank, k), float32.

    With w = U diag(s) V^T, computed in float64 and s falling, the first `rank` singular values stay, and
    each factor takes the square root of them: a = U sqrt(s), b = sqrt(s) V^T, so that neither is much larger
    than the other. The squared error is the sum of the squares of those that went (Eckart, Young, "The
    approximation of one matrix by another of lower rank", 1936). Raises CompressionError for a rank outside
    1 .. min(n, k).

    >>> a, b = svd_factors(np.array([[2.0, 4.0], [1.0, 2.0]]), 1)
    >>> a.shape, b.shape, np.round(a @ b, 4).tolist()
    ((2, 1), (1, 2), [[2.0, 4.0], [1.0, 2.0]])
    """
    most = min(w.shape)
    if not 1 <= rank <= most:
        raise CompressionError(f"svd_factors: rank {rank} of a {w.shape} weight; expected 1 to {most}")
    u, s, vt = np.linalg.svd(w.astype(np.float64), full_matrices=False)
    roots = np.sqrt(s[:rank])
    return (u[:, :rank] * roots).astype(np.float32), (roots[:, None] * vt[:rank]).astype(np.float32)


def rank_for_energy(singular_values: Array, energy: float) -> int:
    """The smallest rank whose squared singular values make up at least the share `energy` of all squares.

    singular_values: (m,), falling, m at least 1; result 1 .. m. Where they are all 0 it is 1, and at an
    energy of 1 the number of those that add anything to the sum of all in float64. Raises CompressionError
    unless 0 < energy <= 1.

    >>> rank_for_energy(np.array([3.0, 1.0, 0.0]), 0.9), rank_for_energy(np.array([3.0, 1.0, 0.0]), 0.95)
    (1, 2)
    """
    if not 0 < energy <= 1:
        raise CompressionError(f"rank_for_energy: energy {energy:g}; expected a share above 0 and at most 1")
    sums = np.cumsum(np.square(singular_values.astype(np.float64)))
    return int(np.argmax(sums >= energy * sums[-1])) + 1


def whitening(gram: Array) -> tuple[Array, Array]:
    """(s, inverse of s) with s s^T = gram, damped by DAMP of its mean diagonal; all (k, k), float64.

    gram: the sum of x^T x over the inputs x of a layer. The squared error of x w^T over those inputs is that
    of w s: so the singular values of w s say what leaving them out costs in results, not in weights. Wang et
    al., "SVD-LLM: truncation-aware singular value decomposition for large language model compression", 2024.
    """
    damping = DAMP * max(float(np.mean(np.diag(gram))), 1e-12)
    values, vectors = np.linalg.eigh(gram)
    roots = np.sqrt(np.maximum(values, 0.0) + damping)
    return vectors * roots, (vectors / roots).T


# ---------------------------------------------------------------- ranks


@dataclass
class _Matrix:
    """A layer's weight as a matrix (n, k), whitened if inputs are known, and its singular values."""

    w: Array
    unwhiten: Array | None
    values: Array

    @classmethod
    def of(cls, layer: _Layer, gram: Array | None) -> _Matrix:
        w = layer.weight.data.reshape(len(layer.weight.data), -1).astype(np.float64)
        unwhiten = None
        if gram is not None:
            whiten, unwhiten = whitening(gram)
            w = w @ whiten
        return cls(w, unwhiten, np.linalg.svd(w, compute_uv=False))

    @property
    def per_rank(self) -> int:
        """Parameters that each rank takes: n + k."""
        return sum(self.w.shape)

    @property
    def most(self) -> int:
        """The largest rank at which both factors together are smaller than the weight; 0 if there is none."""
        return (self.w.size - 1) // self.per_rank

    def kept(self, rank: int) -> float:
        """The share of squared singular values that the first `rank` make up; 1 where all are 0."""
        squares = np.square(self.values)
        total = float(squares.sum())
        return float(squares[:rank].sum()) / total if total else 1.0

    def factors(self, rank: int) -> tuple[Array, Array]:
        a, b = svd_factors(self.w, rank)
        return (a, b) if self.unwhiten is None else (a, (b @ self.unwhiten).astype(np.float32))


def ranks_for_budget(matrices: Mapping[str, tuple[tuple[int, int], Array]], budget: int) -> dict[str, int]:
    """A rank for each weight, such that all together have at most `budget` parameters; greedy.

    matrices: ((n, k), singular values) by name. A weight is whole at first: n * k parameters, rank
    min(n, k). Its first cut is to the largest rank r with r * (n + k) < n * k, each further one takes its
    smallest singular value, down to rank 1. Next always comes the cut that loses least energy, as a share
    of its own weight's, for each parameter it saves. Raises CompressionError where even rank 1 is too much.
    """
    ranks = {name: min(shape) for name, (shape, _) in matrices.items()}
    sizes = {name: n * k for name, ((n, k), _) in matrices.items()}
    shares = {}
    for name, (_, values) in matrices.items():
        squares = np.square(values.astype(np.float64))
        shares[name] = squares / max(float(squares.sum()), 1e-300)

    def cut(name: str) -> tuple[float, str, int, int] | None:
        n, k = matrices[name][0]
        rank = min(ranks[name] - 1, (n * k - 1) // (n + k))
        if rank < 1:
            return None
        size = rank * (n + k)
        lost = float(shares[name][rank : ranks[name]].sum())
        return lost / (sizes[name] - size), name, rank, size

    while sum(sizes.values()) > budget:
        cuts = [found for found in map(cut, ranks) if found is not None]
        if not cuts:
            least = sum(sizes.values())
            raise CompressionError(
                f"factorize: a budget of {budget:,} parameters; these layers need {least:,} at rank 1"
            )
        _, name, rank, size = min(cuts)
        ranks[name], sizes[name] = rank, size
    return ranks


# ---------------------------------------------------------------- models


@dataclass(frozen=True)
class LowRankRow:
    """A layer: its weight's shape, full rank, the rank it has now, the share of squared singular values kept,
    parameters without biases before and after, and why it stays as it is, if it does.
    """

    path: str
    shape: tuple[int, ...]
    full: int
    rank: int
    energy: float
    before: int
    after: int
    why: str


@dataclass(frozen=True)
class LowRankReport:
    """What `factorize` made of each layer. `whitened`: energies are of results on data, not of weights."""

    rows: tuple[LowRankRow, ...]
    whitened: bool

    @property
    def before(self) -> int:
        """Weights of all these layers before."""
        return sum(row.before for row in self.rows)

    @property
    def after(self) -> int:
        """Weights of all these layers now."""
        return sum(row.after for row in self.rows)

    def __repr__(self) -> str:
        head = ["layer", "weight", "full rank", "rank", "energy", "before", "after", "why"]
        cells = [
            [
                row.path,
                "x".join(map(str, row.shape)),
                str(row.full),
                str(row.rank),
                words.percent(row.energy),
                words.count(row.before),
                words.count(row.after),
                row.why,
            ]
            for row in self.rows
        ]
        cells.append(["all", "", "", "", "", words.count(self.before), words.count(self.after), ""])
        first, *lines = words.columns([head, *cells], left=(0, 1, 7))
        return "\n".join([first, "-" * len(first), *lines])


def factorize(
    model: Module,
    *,
    rank: int | Mapping[str, int] | None = None,
    energy: float | None = None,
    budget: int | float | None = None,
    calibration: Iterable[Batch] | None = None,
    layers: Iterable[str] | None = None,
) -> tuple[Module, LowRankReport]:
    """A copy of the model with two thin layers in the place of each that becomes smaller by it, and a report.

    One of these says how thin: `rank`, for all layers or by path; `energy`, the share of squared singular
    values to keep; `budget`, the parameters that the weights of all these layers may have together, a share
    of what they have now where it is a float (see `ranks_for_budget`). A Linear becomes one to `rank`
    features without a bias, then one to its outputs. A Conv2d becomes one of its windows to `rank` channels,
    then one of 1x1 windows. With `calibration` data the error of a Linear layer's results on it is the
    smallest there is, rather than that of its weights; see `whitening`. `layers`: their paths, by default all
    Linear and Conv2d layers.

    A layer stays as it is where two thin ones would be no smaller, where it has groups, is held in two places
    or shares its weight. Raises CompressionError for none or more than one of the three, for values outside,
    unknown layers, weights that are not finite, a model that is itself a layer, or one with no such layer.

    >>> from tinytorch.models import MLP
    >>> thin, report = factorize(MLP((64, 32, 4)), rank=4)
    >>> [type(layer).__name__ for layer in thin.layers], report.before, report.after
    (['Sequential', 'ReLU', 'Linear'], 2176, 512)
    """
    if sum(given is not None for given in (rank, energy, budget)) != 1:
        raise CompressionError("factorize: give one of rank=, energy= and budget=")
    twin = copy.deepcopy(model)
    chosen = _chosen(twin, list(rank) if isinstance(rank, Mapping) and layers is None else layers)
    reasons = _reasons(twin, chosen)
    grams = {} if calibration is None else _grams(twin, calibration, chosen)
    matrices = {path: _Matrix.of(layer, grams.get(path)) for path, layer in chosen.items()}
    free = {path: matrix for path, matrix in matrices.items() if path not in reasons}
    ranks = _ranks(free, rank, energy, budget, matrices)
    rows = []
    for path, layer in chosen.items():
        matrix, full = matrices[path], min(matrices[path].w.shape)
        wanted, why = ranks.get(path, full), reasons.get(path, "")
        if not why and not 1 <= wanted <= matrix.most:
            why = (
                f"two layers of rank {wanted} are no smaller" if wanted < full or not budget else "kept whole"
            )
        if why:
            wanted = full
        else:
            fold.replace(twin, path, _thin(layer, *matrix.factors(wanted)))
        after = matrix.w.size if why else wanted * matrix.per_rank
        row = LowRankRow(
            path, layer.weight.shape, full, wanted, matrix.kept(wanted), matrix.w.size, after, why
        )
        rows.append(row)
    return twin, LowRankReport(tuple(rows), bool(grams))


def _chosen(model: Module, layers: Iterable[str] | None) -> dict[str, _Layer]:
    found: dict[str, _Layer] = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, Linear | Conv2d)
        and type(module) in (Linear, Conv2d)
        and module.weight.dtype == float32
    }
    if "" in found:
        raise CompressionError(
            f"factorize: the model is itself a {type(model).__name__}; give nn.Sequential(layer)"
        )
    names = list(found) if layers is None else list(layers)
    if not names:
        raise CompressionError("factorize: the model has no Linear or Conv2d layer with weights of float32")
    for path in names:
        if path not in found:
            raise CompressionError(f"factorize: {path!r} is no such layer; there are {', '.join(found)}")
        if not np.isfinite(found[path].weight.data).all():
            raise CompressionError(f"factorize: the weight of {path} is not finite")
    return {path: found[path] for path in names}


def _reasons(model: Module, chosen: Mapping[str, _Layer]) -> dict[str, str]:
    """Why some of the layers have to stay."""
    modules = [id(module) for _, module in model._walk()]
    tensors = [id(tensor) for _, tensor in model._tensors("parameter")]
    found = {}
    for path, layer in chosen.items():
        if isinstance(layer, Conv2d) and layer.groups > 1:
            found[path] = f"its channels are in {layer.groups} groups"
        elif modules.count(id(layer)) > 1:
            found[path] = "it is held in two places"
        elif tensors.count(id(layer.weight)) > 1:
            found[path] = "another layer has the same weight"
    return found


def _grams(model: Module, calibration: Iterable[Batch], chosen: Mapping[str, _Layer]) -> dict[str, Array]:
    linear = {path: layer for path, layer in chosen.items() if isinstance(layer, Linear)}
    seen = calibrate(model, map(inputs_of, filled(calibration)), linear, gram=True)
    return {path: one.gram for path, one in seen.items() if one.gram is not None}


def _ranks(
    free: Mapping[str, _Matrix],
    rank: int | Mapping[str, int] | None,
    energy: float | None,
    budget: int | float | None,
    all_of_them: Mapping[str, _Matrix],
) -> dict[str, int]:
    """The rank that is asked for, for each layer that may be factorised."""
    if energy is not None:
        return {path: rank_for_energy(matrix.values, energy) for path, matrix in free.items()}
    if budget is not None:
        total = sum(matrix.w.size for matrix in all_of_them.values())
        if isinstance(budget, float) and not 0 < budget <= 1:
            raise CompressionError(f"factorize: budget {budget:g}; a share is above 0 and at most 1")
        fixed = total - sum(matrix.w.size for matrix in free.values())
        allowed = int(budget * total) if isinstance(budget, float) else budget
        shapes = {path: ((m.w.shape[0], m.w.shape[1]), m.values) for path, m in free.items()}
        return ranks_for_budget(shapes, allowed - fixed)
    asked = rank if isinstance(rank, Mapping) else dict.fromkeys(free, rank)
    for path, one in asked.items():
        if one is None or one < 1:
            raise CompressionError(f"factorize: rank {one} for {path}; expected 1 or more")
    return {path: one for path, one in asked.items() if one is not None and path in free}


def _thin(layer: _Layer, a: Array, b: Array) -> Sequential:
    """Two layers whose product is a @ b: (n, rank) and (rank, k)."""
    n, rank = a.shape
    first: _Layer
    second: _Layer
    if isinstance(layer, Linear):
        first = Linear(layer.in_features, rank, bias=False)
        second = Linear(rank, n, bias=layer.bias is not None)
    else:
        geometry = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        first = Conv2d(layer.in_channels, rank, *geometry, bias=False)
        second = Conv2d(rank, n, 1, bias=layer.bias is not None)
    first.weight = Parameter(b.reshape(first.weight.shape))
    second.weight = Parameter(a.reshape(second.weight.shape))
    if layer.bias is not None:
        second.bias = layer.bias
    return Sequential(first, second)
