"""The Pareto front: what no other is better than in every respect."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, ...]]) -> tuple[int, ...]:
    """The numbers of the points that no other beats, in their order; in each coordinate less is better.

    A point is beaten by one that is nowhere worse and somewhere better, so that of equal points all stay.

    >>> front([(10, 0.1), (5, 0.1), (5, 0.2), (2, 0.3)])
    (1, 3)
    """
    return tuple(
        number
        for number, point in enumerate(points)
        if not any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points
        )
    )
