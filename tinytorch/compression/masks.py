"""Masks: which weights stay, chosen by their scores, and held at zero through whatever changes the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.errors import CompressionError
from tinytorch.nn.conv import Conv2d
from tinytorch.nn.embedding import Embedding
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module
from tinytorch.ops.compare import where
from tinytorch.ops.spec import Array, float32
from tinytorch.tensor import Tensor, from_numpy


def count_of_zeros(size: int, sparsity: float) -> int:
    """How many of `size` weights a sparsity takes: the nearest whole number, halves to the even one.

    Raises CompressionError unless 0 < sparsity < 1.

    >>> count_of_zeros(10, 0.7), count_of_zeros(3, 0.5)
    (7, 2)
    """
    if not 0 < sparsity < 1:
        raise CompressionError(
            f"sparsity {sparsity:g}: expected a share above 0 and below 1, such as 0.7 for 70 % of zeros. "
            "At 0 nothing is pruned, at 1 nothing is left."
        )
    return round(size * sparsity)


def threshold_of(scores: Array, zeros: int) -> float:
    """The largest of the `zeros` smallest scores, as a float: what is above it stays. -inf for no zeros.

    scores: of any shape, which stay as they are; equal ones count one by one. Raises CompressionError for
    more zeros than scores, and for scores with NaN, which would pass every comparison unseen.

    >>> threshold_of(np.array([0.5, 0.1, 0.9, 0.3]), 2)
    0.3
    """
    _require_order(scores)
    if zeros > scores.size:
        raise CompressionError(f"{zeros} zeros of {scores.size} scores")
    if zeros == 0:
        return -np.inf
    return float(np.partition(scores.reshape(-1), zeros - 1)[zeros - 1])


def _require_order(scores: Array) -> None:
    if np.isnan(scores).any():
        raise CompressionError(
            "scores hold NaN, which no order is known of. Look at the weights and the data."
        )


def mask_of(scores: Array, zeros: int) -> Array:
    """True where a weight stays: all but the `zeros` smallest scores; of equal ones the first go first.

    scores: of any shape, which the mask has too, and any layout in memory: the first are those that come
    first row by row. Exactly `zeros` of it are False, whatever is equal. Raises as `threshold_of`.

    >>> mask_of(np.array([[0.5, 0.1], [0.1, 0.1]]), 2)
    array([[ True, False],
           [False,  True]])
    """
    flat = scores.reshape(-1)
    threshold = threshold_of(flat, zeros)
    mask = flat > threshold
    equal = np.flatnonzero(flat == threshold)
    spare = zeros - int((flat < threshold).sum())
    mask[equal[spare:]] = True
    return mask.reshape(scores.shape)


def global_masks(scores: Mapping[str, Array], sparsity: float) -> dict[str, Array]:
    """A mask for each array of scores, one threshold for all: `count_of_zeros` of all scores together go.

    Each mask has the name and shape of its scores, in their order. Layers whose scores are small lose more
    than others. Where scores are equal, those of the first array go first. Raises CompressionError unless
    0 < sparsity < 1, and as `threshold_of` does.

    >>> global_masks({"a": np.array([1.0, 2.0]), "b": np.array([0.5, 0.1])}, 0.5)
    {'a': array([ True,  True]), 'b': array([False, False])}
    """
    flat = np.concatenate([array.reshape(-1) for array in scores.values()])
    mask = mask_of(flat, count_of_zeros(flat.size, sparsity))
    found, begin = {}, 0
    for name, array in scores.items():
        found[name] = mask[begin : begin + array.size].reshape(array.shape)
        begin += array.size
    return found


def n_m_mask(scores: Array, n: int, m: int) -> Array:
    """True for the n largest scores of each run of m inputs: a pattern that hardware can skip by.

    scores: (outputs, ...), whose inputs are counted over all other axes; of equal scores the last stay.
    Raises CompressionError unless 0 < n < m and m divides the number of inputs. Source: Mishra et al.,
    "Accelerating sparse deep neural networks", 2021.

    >>> n_m_mask(np.array([[0.1, 0.4, 0.3, 0.2]]), 2, 4)
    array([[False,  True,  True, False]])
    """
    inputs = scores[0].size
    _require_order(scores)
    if not 0 < n < m or inputs % m:
        raise CompressionError(
            f"pattern {n}:{m} on {inputs} inputs: expected 0 < n < m, and a number of inputs that m divides"
        )
    runs = scores.reshape(-1, m)
    order = np.argsort(runs, axis=1, kind="stable")
    mask = np.zeros(runs.shape, bool)
    np.put_along_axis(mask, order[:, m - n :], True, axis=1)
    return mask.reshape(scores.shape)


def block_mask(scores: Array, sparsity: float, outputs: int = 8, inputs: int = 1) -> Array:
    """True for whole blocks of outputs x inputs, those with the largest sums of squared scores.

    scores: (n, k, ...), k counted over all axes but the first. Blocks at the edges may be smaller; they count
    by their mean square. Raises CompressionError unless 0 < sparsity < 1.

    >>> block_mask(np.array([[1.0, 0.0], [2.0, 3.0]]), 0.5, outputs=2)
    array([[False,  True],
           [False,  True]])
    """
    _require_order(scores)
    if outputs < 1 or inputs < 1:
        raise CompressionError(f"blocks of {outputs} x {inputs}; at least 1 x 1")
    flat = scores.reshape(len(scores), -1).astype(np.float64)
    n, k = flat.shape
    rows, columns = -(-n // outputs), -(-k // inputs)
    wide = np.full((rows * outputs, columns * inputs), np.nan)
    wide[:n, :k] = flat**2
    means = np.nanmean(wide.reshape(rows, outputs, columns, inputs), axis=(1, 3))
    kept = mask_of(means, count_of_zeros(means.size, sparsity))
    mask: Array = kept.repeat(outputs, 0).repeat(inputs, 1)[:n, :k]
    return mask.reshape(scores.shape)


def prunable(model: Module) -> dict[str, Module]:
    """Linear and Conv2d layers with float32 weights, by path; no subclasses, each weight once, and none that
    is an embedding's too, whose rows are read one at a time.
    """
    tables = {id(m.weight) for _, m in model.named_modules() if isinstance(m, Embedding)}
    found: dict[str, Module] = {}
    for path, module in model.named_modules():
        if type(module) in (Linear, Conv2d):
            weight = cast("Linear | Conv2d", module).weight
            if weight.dtype == float32 and id(weight) not in tables:
                tables.add(id(weight))
                found[path] = module
    return found


class Masks(Mapping[str, Array]):
    """Masks of a model's weights by the paths of their layers, and what holds them.

    `apply()` sets weights to zero where their mask is False, and is called after each step that changes
    them. Masks are kept as Tensors of bool, so that a compiled `apply` follows their changes.

    >>> layer = Linear(2, 1)
    >>> masks = Masks(layer, {"": np.array([[True, False]])})
    >>> masks.apply()
    >>> float(layer.weight.data[0, 1]), masks.sparsity
    (0.0, 0.5)
    """

    def __init__(self, model: Module, masks: Mapping[str, Array]) -> None:
        modules: dict[str, Any] = dict(model.named_modules())
        self._held: dict[str, tuple[Tensor, Tensor]] = {}
        for path, mask in masks.items():
            if path not in modules:
                raise CompressionError(f"masks: there is no layer {path!r} in {type(model).__name__}")
            weight = modules[path].weight
            _same_shape(path, mask, weight)
            self._held[path] = weight, from_numpy(mask.astype(bool))

    @classmethod
    def full(cls, model: Module) -> Masks:
        """Masks under which all weights stay, of all layers that can be pruned: where a schedule begins."""
        return cls(model, {path: np.ones(m.weight.shape, bool) for path, m in prunable(model).items()})  # type: ignore[attr-defined]

    @classmethod
    def of_zeros(cls, model: Module) -> Masks:
        """The masks of what is zero now, in all layers that can be pruned."""
        return cls(model, {path: m.weight.data != 0 for path, m in prunable(model).items()})  # type: ignore[attr-defined]

    def __getitem__(self, path: str) -> Array:
        return self._held[path][1].numpy()

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def replace(self, masks: Mapping[str, Array]) -> None:
        """Take other masks for some or all of the layers; `apply` then follows them."""
        for path, mask in masks.items():
            weight, held = self._held[path]
            _same_shape(path, mask, weight)
            held.assign_(from_numpy(mask.astype(bool)))

    def weights(self) -> list[Tensor]:
        """The weights that are held."""
        return [weight for weight, _ in self._held.values()]

    def apply(self) -> None:
        """Set each weight to zero where its mask is False, in place; nothing is recorded for backward.

        `self._held` has by path a weight of the model and its mask, both Tensors. A weight stays the same
        Tensor, since model and optimizer hold it: `weight.assign_(...)` gives it other values. What is masked
        becomes 0.0 whatever it was: a product with the mask would make -0.0 of -1.0, and NaN of infinity.
        The optimizer's momentum moves masked weights too, so this comes after each step.
        """
        with no_grad():
            for weight, mask in self._held.values():
                weight.assign_(where(mask, weight, 0.0))

    @property
    def sparsity(self) -> float:
        """The share of zeros among all weights that have a mask; biases have none and do not count."""
        kept = sum(int(np.count_nonzero(mask.data)) for _, mask in self._held.values())
        total = sum(mask.size for _, mask in self._held.values())
        return 1 - kept / total if total else 0.0

    def __repr__(self) -> str:
        shares = (f"{path} {1 - float(mask.data.mean()):.1%}" for path, (_, mask) in self._held.items())
        return f"Masks({', '.join(shares)}; {self.sparsity:.1%} in all)"


def _same_shape(path: str, mask: Array, weight: Tensor) -> None:
    if mask.shape != weight.shape:
        raise CompressionError(f"masks: {mask.shape} for the weight {weight.shape} of layer {path!r}")
