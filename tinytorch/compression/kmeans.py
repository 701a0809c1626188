"""k-means in one dimension: a few numbers that stand for many, with the least squared error near by."""

from __future__ import annotations

import numpy as np

from tinytorch.errors import CompressionError
from tinytorch.ops.spec import Array

ROUNDS = 200
"""At most; it ends before where nothing moves any more."""


def linear_start(values: Array, clusters: int) -> Array:
    """Centroids spread evenly from the least to the largest value, both included: (clusters,), float64.

    A single one lies in the middle. Evenly rather than by density: large weights are few and matter most, and
    get centroids of their own so (Han, Mao, Dally, "Deep compression", 2016). values: of any shape, at least
    one. Raises CompressionError for fewer than 1 cluster.

    >>> linear_start(np.array([3.0, -1.0, 0.0]), 3)
    array([-1.,  1.,  3.])
    """
    if clusters < 1:
        raise CompressionError(f"linear_start: {clusters} clusters; expected 1 or more")
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high, clusters) if clusters > 1 else np.array([(low + high) / 2])


def nearest(values: Array, centroids: Array) -> Array:
    """The index of the centroid nearest to each value, int64, of the shape of values.

    centroids: (clusters,), rising, at least one. A value half-way between two goes to the lower; both are
    compared in float64, where the half-way points of float32 numbers are exact.

    >>> nearest(np.array([[-9.0, 0.4], [0.5, 0.6]]), np.array([0.0, 1.0]))
    array([[0, 0],
           [0, 1]])
    """
    wide = centroids.astype(np.float64)
    borders = (wide[1:] + wide[:-1]) / 2
    return np.searchsorted(borders, values.astype(np.float64), side="left")


def kmeans(
    values: Array, clusters: int, rounds: int = ROUNDS, weights: Array | None = None
) -> tuple[Array, Array]:
    """(centroids, indices): at most `clusters` numbers for all values, and which of them each value takes.

    values: of any shape, finite, at least one; centroids: rising, distinct, float32; indices: of the shape of
    values, as `nearest` gives them for these centroids. From `linear_start` on, each round gives each value
    its nearest centroid, and moves each centroid to the mean of its values (Lloyd, "Least squares
    quantization in PCM", 1982), until none moves or `rounds` are made. With `weights` (0 or more, not all 0,
    of the shape of values: how much the error of each counts) it is the weighted mean. A centroid without
    values, or only such of weight 0, stays where it is meanwhile. In the end centroids that no value takes
    are dropped. If there are no more than `clusters` distinct values, they are the centroids.

    The values may be sorted once: those of a cluster then lie side by side, and sums over them are
    differences of running sums, so that a round costs a search for each border only. Raises CompressionError
    for values or weights that are not as said, and for fewer than 1 cluster.

    >>> centroids, indices = kmeans(np.array([0.0, 1.0, 9.0, 0.5]), 2)
    >>> centroids.tolist(), indices.tolist()
    ([0.5, 9.0], [0, 0, 1, 0])
    """
    _check(values, weights)
    if weights is None:
        ordered, counted = np.sort(values, axis=None).astype(np.float64), np.ones(values.size)
    else:
        order = np.argsort(values, axis=None)
        ordered, counted = (a.reshape(-1)[order].astype(np.float64) for a in (values, weights))
    if 1 + np.count_nonzero(np.diff(ordered)) <= clusters:
        centroids = np.unique(ordered.astype(np.float32))
        return centroids, nearest(values, centroids)
    masses = np.concatenate([[0.0], np.cumsum(counted)])
    sums = np.concatenate([[0.0], np.cumsum(counted * ordered)])
    wide = linear_start(values, clusters)
    for _ in range(rounds):
        cuts = _cuts(ordered, wide)
        mass, total = np.diff(masses[cuts]), np.diff(sums[cuts])
        moved = np.where(mass > 0, total / np.where(mass > 0, mass, 1.0), wide)
        if np.array_equal(moved, wide):
            break
        wide = np.sort(moved)  # means of neighbours may be off by rounding
    centroids = np.unique(wide.astype(np.float32))
    centroids = centroids[np.diff(_cuts(ordered, centroids)) > 0]
    return centroids, nearest(values, centroids)


def _cuts(ordered: Array, centroids: Array) -> Array:
    """Where, among sorted values, those of each centroid begin, and where the last one's end."""
    wide = centroids.astype(np.float64)
    inner = np.searchsorted(ordered, (wide[1:] + wide[:-1]) / 2, side="right")
    return np.concatenate([[0], inner, [ordered.size]])


def _check(values: Array, weights: Array | None) -> None:
    if not values.size or not np.isfinite(values).all():
        raise CompressionError("kmeans: there are no values, or some are not finite. Look at the weights.")
    if weights is None:
        return
    if weights.shape != values.shape:
        raise CompressionError(f"kmeans: weights {weights.shape} for values {values.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (weights > 0).any()):
        raise CompressionError("kmeans: weights are finite, 0 or more, and not all 0")
