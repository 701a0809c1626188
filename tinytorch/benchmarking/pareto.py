"""The Pareto front: what no other is better than in every respect."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, ...]]) -> tuple[int, ...]:
    """The numbers of the points that no other beats, in their order; in each coordinate less is better.

    A point is beaten by one that is nowhere worse and somewhere better, so that of equal points all stay.

    >>> front([(10, 0.1), (5, 0.1), (5, 0.2), (2, 0.3)])
    (1, 3)
    """
    found: list[int] = []
    for number in sorted(range(len(points)), key=lambda n: points[n]):  # who beats a point comes before it
        own = points[number]
        if not any(points[n] != own and _nowhere_worse(points[n], own) for n in found):
            found.append(number)
    return tuple(sorted(found))


def _nowhere_worse(point: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(point, other, strict=True))
