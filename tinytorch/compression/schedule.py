"""Schedules: how sparse a model is to be after each step of training, from the first zero to the last."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from tinytorch.errors import CompressionError

Schedule: TypeAlias = Callable[[int], float]
"""The sparsity to be had after so many steps; 0 for none yet."""


def cubic(step: int, begin: int, end: int, first: float, last: float) -> float:
    """The sparsity after `step` steps: `first` at `begin`, `last` from `end` on, fast first and slower then.

    last + (first - last) * (1 - (step - begin) / (end - begin)) ** 3 between the two; `first` before `begin`.
    When most weights are there they are easily missed; the last ones hurt, and get more time. Raises
    CompressionError unless 0 <= begin < end and 0 <= first <= last <= 1. Source: Zhu and Gupta, "To prune, or
    not to prune", 2017.

    >>> [round(cubic(step, 0, 100, 0.0, 0.8), 3) for step in (0, 50, 100, 200)]
    [0.0, 0.7, 0.8, 0.8]
    """
    if not 0 <= begin < end or not 0 <= first <= last <= 1:
        raise CompressionError(
            f"cubic: steps {begin} to {end}, sparsity {first:g} to {last:g}; "
            "expected 0 <= begin < end and 0 <= first <= last <= 1"
        )
    done = min(max((step - begin) / (end - begin), 0.0), 1.0)
    return last + (first - last) * (1 - done) ** 3


def gradual(end: int, last: float, begin: int = 0, first: float = 0.0) -> Schedule:
    """`cubic` as a schedule: all of it in the first `end` steps, what is left of training heals."""
    cubic(begin, begin, end, first, last)  # refuses bad arguments here rather than in the first step
    return lambda step: cubic(step, begin, end, first, last)


def one_shot(last: float) -> Schedule:
    """The whole sparsity at once, before the first step.

    >>> one_shot(0.7)(0)
    0.7
    """
    return lambda step: last


def iterative(rounds: int, steps: int, last: float) -> Schedule:
    """In `rounds` equal cuts, `steps` apart: each takes the same share of what the one before left.

    Source: Han et al., "Learning both weights and connections", 2015. Raises CompressionError for fewer than
    one round or step.

    >>> [round(iterative(2, 10, 0.75)(step), 2) for step in (0, 9, 10, 25)]
    [0.5, 0.5, 0.75, 0.75]
    """
    if rounds < 1 or steps < 1:
        raise CompressionError(f"iterative: {rounds} rounds, {steps} steps apart; at least one of each")

    def at(step: int) -> float:
        done = min(step // steps + 1, rounds)
        return float(1 - (1 - last) ** (done / rounds))

    return at
