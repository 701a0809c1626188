"""Ranks, shared unless a paired re-run tells two entries apart, and records that luck does not set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tinytorch.benchmarking.ratio import Ratio
from tinytorch.errors import BenchmarkError
from tinytorch.profiling.significance import holm

LEVEL = 0.05
"""How often, at most, a board separates any two entries that are the same."""
RECORD = 0.01
"""How often, at most, a team with entries no better than the record sets one, over all its attempts."""

Pair: TypeAlias = tuple[str, str]


def told_apart(asked: Mapping[Pair, Ratio], level: float = LEVEL) -> set[Pair]:
    """Of the pairs that were run again together, those that differ: the better one first.

    asked: for (a, b) how many times better a is than b. All pairs together are judged at `level`, by Holm's
    procedure.

    >>> sorted(told_apart({("a", "b"): Ratio(0.5, 0.01, 5.0), ("b", "c"): Ratio(0.01, 0.02, 5.0)}))
    [('a', 'b')]
    """
    p_values = [ratio.p_value for ratio in asked.values()]
    found = set()
    for ((a, b), ratio), p, at in zip(asked.items(), p_values, holm(p_values, level), strict=True):
        if p < at:
            found.add((a, b) if ratio.log > 0 else (b, a))
    return found


def ranks(order: Sequence[str], apart: set[Pair]) -> list[int]:
    """The rank of each entry, from 1; order: entries by score, the best first.

    Entries share a rank until one is told apart from an entry above it: then all down to that one are better
    than it, and it ranks behind them, as does whatever scores below it. A pair that contradicts the order of
    scores separates nobody.

    >>> ranks(["a", "b", "c", "d"], {("b", "c")})
    [1, 1, 3, 3]
    """
    place = {entry: number for number, entry in enumerate(order)}
    behind: dict[int, int] = {}
    for better, worse in apart:
        if better in place and worse in place and place[better] < place[worse]:
            behind[place[worse]] = max(behind.get(place[worse], 0), place[better] + 1)
    found, above = [], 0
    for number in range(len(order)):
        above = max(above, behind.get(number, 0))
        found.append(above + 1)
    return found


def allowance(attempt: int, total: float = RECORD) -> float:
    """The level at which a team's attempt number `attempt`, from 1, must beat a record; they add to `total`.

    6 / (pi^2 n^2) of it each, so that an attempt always has some, and submitting often does not help.

    >>> [round(allowance(n), 5) for n in (1, 2, 10)]
    [0.00608, 0.00152, 6e-05]
    >>> round(math.fsum(allowance(n) for n in range(1, 100_000)), 5)
    0.01
    """
    if attempt < 1:
        raise BenchmarkError(f"allowance: attempt {attempt}; they are counted from 1")
    return total * 6 / (math.pi * attempt) ** 2


def is_record(against: Ratio, attempt: int) -> bool:
    """Whether an entry, in a paired re-run, is better than the one that holds the record, beyond luck.

    >>> is_record(Ratio(0.5, 0.01, 5.0), 1), is_record(Ratio(0.02, 0.01, 5.0), 1)
    (True, False)
    """
    return against.log > 0 and against.p_value < allowance(attempt)
