"""Weight sharing: a layer's weights take few values, found by k-means, which training then moves."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tinytorch.compression.kmeans import kmeans
from tinytorch.errors import CompressionError
from tinytorch.nn.conv import Conv2d
from tinytorch.nn.embedding import Embedding, embedding
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops.conv import conv2d
from tinytorch.ops.index import take
from tinytorch.ops.matmul import linear
from tinytorch.ops.shape import concat
from tinytorch.ops.spec import Array
from tinytorch.profiling import words
from tinytorch.quantization import fold
from tinytorch.quantization.calibrate import quantizable
from tinytorch.random import Generator
from tinytorch.tensor import Tensor, from_numpy

_Layer: TypeAlias = Linear | Conv2d | Embedding

# ---------------------------------------------------------------- layers in training


class Shared(Module):
    """A tensor whose elements are few numbers: called, it gives book[codes].

    book: (clusters,), a parameter: its gradient is, for each number, the sum of those of all elements that
    take it ("trained quantization" of Han et al.). codes: integers of the tensor's shape. With `zero`, code 0
    stands for a 0 that no gradient moves, and the numbers of the book for codes from 1 on.

    >>> Shared(np.array([0.5, 2.0], np.float32), np.array([[0, 2, 2]]), zero=True)().detach()
    Tensor([[0., 2., 2.]])
    """

    book: Tensor
    codes: Tensor

    def __init__(self, book: Array, codes: Array, zero: bool = False) -> None:
        super().__init__()
        self.zero = zero
        self.book = Parameter(np.asarray(book, np.float32))
        small = len(book) + zero <= np.iinfo(np.int8).max
        self.register_buffer("codes", from_numpy(codes.astype(np.int8 if small else np.int32)))

    @classmethod
    def of(
        cls, values: Array, clusters: int, keep_zeros: bool = True, weights: Array | None = None
    ) -> Shared:
        """The values by k-means; with `keep_zeros` zeros stay zeros, and do not count as a cluster.

        Raises CompressionError as `kmeans` does, and for values that are all 0, unless they may move.
        """
        kept = values != 0 if keep_zeros else np.ones(values.shape, bool)
        centroids, indices = kmeans(
            values[kept], clusters, weights=None if weights is None else weights[kept]
        )
        if kept.all():
            return cls(centroids, indices.reshape(values.shape))
        codes = np.zeros(values.shape, np.int64)
        codes[kept] = indices + 1
        return cls(centroids, codes, zero=True)

    def table(self) -> Tensor:
        """What each code stands for."""
        return concat([_zero, self.book]) if self.zero else self.book

    def forward(self) -> Tensor:
        return take(self.table(), self.codes)

    def rows(self, ids: Tensor) -> Tensor:
        """Some rows of it, as `embedding` picks them."""
        return take(self.table(), embedding(ids, self.codes))

    def extra_repr(self) -> str:
        return f"{self.codes.shape}, {len(self.book)} numbers{' and 0' if self.zero else ''}"


_zero = from_numpy(np.zeros(1, np.float32))


class SharedLayer(Module):
    """Base of layers in training whose weight, and if wanted bias, are few numbers."""

    weights: Shared

    def __init__(self, layer: _Layer, weights: Shared, bias: Shared | Tensor | None) -> None:
        super().__init__()
        self.shape = layer.weight.shape
        self.weights = weights
        self.biases = bias if isinstance(bias, Shared) else None
        self.own_bias = None if isinstance(bias, Shared) else bias

    @property
    def weight(self) -> Tensor:
        """The weight that the numbers and codes make, with a gradient to the numbers."""
        made: Tensor = self.weights()
        return made

    @property
    def bias(self) -> Tensor | None:
        """The bias, or what its numbers and codes make."""
        return self.own_bias if self.biases is None else self.biases()


class SharedLinear(SharedLayer):
    """A Linear layer of shared weights."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class SharedConv2d(SharedLayer):
    """A convolution of shared weights."""

    def __init__(self, layer: Conv2d, weights: Shared, bias: Shared | Tensor | None) -> None:
        super().__init__(layer, weights, bias)
        self.geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.bias, *self.geometry)


class SharedEmbedding(SharedLayer):
    """An embedding whose table is few numbers; only the rows that are wanted are made."""

    def forward(self, ids: Tensor) -> Tensor:
        return self.weights.rows(ids)


# ---------------------------------------------------------------- models


def shared(
    model: Module,
    clusters: int | Mapping[str, int] = 16,
    *,
    keep_zeros: bool = True,
    biases: int | None = 32,
    importance: Mapping[str, Array] | None = None,
) -> Module:
    """A copy of the model to train on: each layer's weights are at most `clusters` numbers, found by k-means.

    `clusters`: for all Linear, Conv2d and Embedding layers, or by path for some, and what shares their
    weights. With `keep_zeros` weights of 0, as pruning leaves them, stay exactly 0, beside the clusters.
    `biases`: numbers for a layer's bias, None to leave all as they are. A weight or bias stays where numbers
    and codes would take more bits than it does in float32. `importance`: by path, how much the error of each
    weight counts, such as the mean of its squared gradients (see `kmeans`). Layers that shared a weight share
    its numbers and codes. Train it as any model; what trains are the numbers, so weight decay is best left
    off. `settled` makes it an ordinary one.

    Raises CompressionError for unknown layers, clusters below 1, weights that are not finite, a model that is
    itself a layer, has none, or is shared already.

    >>> from tinytorch.models import MLP
    >>> twin = shared(MLP((64, 32, 10)), clusters=4)
    >>> twin.layers[0].weights, len(np.unique(settled(twin).layers[0].weight.data))
    (Shared((32, 64), 4 numbers), book (4,), codes (32, 64), 4 parameters, 4)
    """
    wanted = _wanted(model, clusters)
    twin = copy.deepcopy(model)
    modules = dict(twin._walk())
    layers: dict[int, int] = {id(modules[path]): number for path, number in wanted.items()}
    counts = {} if importance is None else {id(modules[path]): a for path, a in importance.items()}
    books: dict[int, Shared] = {}
    made: dict[int, Module | None] = {}
    for path, layer in modules.items():
        if id(layer) not in layers:
            continue
        assert isinstance(layer, _Layer), "quantizable gives no others"
        if id(layer) not in made:
            number = layers[id(layer)]
            made[id(layer)] = _shared_layer(layer, number, keep_zeros, biases, counts.get(id(layer)), books)
        new = made[id(layer)]
        if new is not None:
            fold.replace(twin, path, new)
    return twin


def _wanted(model: Module, clusters: int | Mapping[str, int]) -> dict[str, int]:
    """The number of clusters for each layer that is to be shared."""
    if any(isinstance(module, SharedLayer) for module in model.modules()):
        raise CompressionError("shared: this model's weights are shared already. Use settled() first.")
    layers = quantizable(model)
    if not layers or "" in layers:
        raise CompressionError(
            "shared: the model has no Linear, Conv2d or Embedding layer with weights of float32, or is one "
            "itself; give nn.Sequential(layer)"
        )
    wanted = clusters if isinstance(clusters, Mapping) else dict.fromkeys(layers, clusters)
    for path, number in wanted.items():
        if path not in layers:
            raise CompressionError(f"shared: {path!r} is no such layer; there are {', '.join(layers)}")
        if number < 1:
            raise CompressionError(f"shared: {number} clusters for {path}; expected 1 or more")
    tied = {id(layers[path].weight): number for path, number in wanted.items()}  # type: ignore[attr-defined]
    return {path: tied[id(m.weight)] for path, m in layers.items() if id(m.weight) in tied}  # type: ignore[attr-defined]


def _shared_layer(
    layer: _Layer,
    clusters: int,
    keep_zeros: bool,
    biases: int | None,
    importance: Array | None,
    books: dict[int, Shared],
) -> Module | None:
    """The layer on shared weights; None where they would take no less room."""
    w = layer.weight.data
    if not smaller(w, clusters) or (keep_zeros and not w.any()):
        return None
    weights = books.get(id(layer.weight)) or Shared.of(w, clusters, keep_zeros, importance)
    books[id(layer.weight)] = weights
    if isinstance(layer, Embedding):
        return SharedEmbedding(layer, weights, None)
    bias: Shared | Tensor | None = layer.bias
    if layer.bias is not None and biases is not None and layer.bias.data.any():
        b = layer.bias.data
        bias = Shared.of(b, biases, keep_zeros) if smaller(b, biases) else bias
    made = SharedConv2d if isinstance(layer, Conv2d) else SharedLinear
    return made(layer, weights, bias)  # type: ignore[arg-type]


def smaller(values: Array, clusters: int) -> bool:
    """Whether codes and a book of float32 numbers take fewer bits than the values in float32.

    >>> smaller(np.ones(10), 16), smaller(np.ones(1000), 16)
    (False, True)
    """
    return clusters * 32 + values.size * math.ceil(math.log2(max(clusters, 2))) < values.size * 32


def settled(model: Module) -> Module:
    """What `shared` made, as training left it: a model of ordinary layers whose weights take those values."""
    twin = copy.deepcopy(model)
    tensors: dict[int, Tensor] = {}
    made: dict[int, Module] = {}
    for path, module in list(twin._walk()):
        if isinstance(module, SharedLayer):
            if id(module) not in made:
                made[id(module)] = _plain(module, tensors)
            fold.replace(twin, path, made[id(module)])
    return twin


def _plain(module: SharedLayer, tensors: dict[int, Tensor]) -> _Layer:
    """The float32 layer with these weights; what shared them before shares them again."""
    o, i = module.shape[:2]
    made: _Layer
    if isinstance(module, SharedConv2d):
        stride, padding, dilation, groups = module.geometry
        height, width = module.shape[2:]
        made = Conv2d(
            i * groups, o, (height, width), stride, padding, dilation, groups, generator=Generator(0)
        )
    elif isinstance(module, SharedEmbedding):
        made = Embedding(o, i, generator=Generator(0))
    else:
        made = Linear(i, o, generator=Generator(0))
    made.weight = tensors.setdefault(id(module.weights), Parameter(module.weight.detach()))
    if not isinstance(made, Embedding):
        made.bias = module.own_bias if module.biases is None else Parameter(module.biases().detach())
    return made


# ---------------------------------------------------------------- report


@dataclass(frozen=True)
class SharingRow:
    """A layer: distinct values of its weight before and after, and how far the weight is from what it was:
    the root of the mean squared difference over that of the weight.
    """

    path: str
    shape: tuple[int, ...]
    before: int
    after: int
    error: float

    @property
    def bits(self) -> int:
        """That a code for each weight takes, without entropy coding."""
        return math.ceil(math.log2(max(self.after, 2)))


@dataclass(frozen=True)
class SharingReport:
    """How few values each layer's weights take, and what that changed."""

    rows: tuple[SharingRow, ...]

    def __repr__(self) -> str:
        head = ["layer", "weight", "values before", "after", "bits", "error"]
        cells = [
            [
                row.path,
                "x".join(map(str, row.shape)),
                words.count(row.before),
                words.count(row.after),
                str(row.bits),
                words.percent(row.error),
            ]
            for row in self.rows
        ]
        first, *lines = words.columns([head, *cells], left=(0, 1))
        return "\n".join([first, "-" * len(first), *lines])


def sharing(before: Module, after: Module) -> SharingReport:
    """The report on a model and what sharing made of it, in training or settled.

    Raises CompressionError where both do not have the same layers.

    >>> from tinytorch.models import MLP
    >>> model = MLP((64, 32, 10))
    >>> [row.after for row in sharing(model, shared(model, 8)).rows]
    [8, 8]
    """
    first, second = (dict(_weights(model)) for model in (before, settled(after)))
    if {p: w.shape for p, w in first.items()} != {p: w.shape for p, w in second.items()}:
        raise CompressionError("sharing: these two models do not have the same layers")
    rows = []
    for path, w in first.items():
        lost = float(np.linalg.norm(w.astype(np.float64) - second[path]))
        share = lost / max(float(np.linalg.norm(w.astype(np.float64))), 1e-300)
        rows.append(SharingRow(path, w.shape, len(np.unique(w)), len(np.unique(second[path])), share))
    return SharingReport(tuple(rows))


def _weights(model: Module) -> Iterator[tuple[str, Array]]:
    return ((path, layer.weight.data) for path, layer in quantizable(model).items())  # type: ignore[attr-defined]
