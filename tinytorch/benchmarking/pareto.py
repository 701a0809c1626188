"""The Pareto front: what no other is better than in every respect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def front(points: Sequence[tuple[float, ...]]) -> tuple[int, ...]:
    """The numbers of the points that no other beats, in their order; in each coordinate less is better.

    A point is beaten by one that is nowhere worse and somewhere better, so that of equal points all stay.

    >>> front([(10, 0.1), (5, 0.1), (5, 0.2), (2, 0.3)])
    (1, 3)
    """
    costs, found = np.array(points), []
    for number, own in enumerate(costs):
        nowhere_worse, somewhere_better = (costs <= own).all(axis=1), (costs < own).any(axis=1)
        if not (nowhere_worse & somewhere_better).any():
            found.append(number)
    return tuple(found)
