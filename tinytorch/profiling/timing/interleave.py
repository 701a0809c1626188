"""Timing several arms in turns, in random order, so that what drifts drifts for all of them."""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.ops.spec import Array
from tinytorch.profiling import environment
from tinytorch.profiling.timing.arms import Arm
from tinytorch.profiling.timing.stats import LEAST
from tinytorch.profiling.timing.timer import Stopwatch, alone, collector_policy, resolution, warm_up

MOST = 100  # times that `LEAST` a run of the slowest arm may take for the sake of equal numbers of calls


@dataclass(frozen=True)
class Readings:
    """What one process measured: for each arm seconds a call, run by run, CPU seconds, and calls in a run."""

    samples: tuple[tuple[float, ...], ...]
    cpu: tuple[float, ...]
    inner: tuple[int, ...]
    stolen: float = 0.0
    crowded: bool = False


def schedule(arms: int, rounds: int, seed: int) -> Array:
    """The order of the arms in each round: (rounds, arms), each row a random permutation.

    >>> sorted(schedule(3, 5, 0)[4].tolist())
    [0, 1, 2]
    """
    rng = np.random.default_rng(seed)
    order: Array = rng.permuted(np.tile(np.arange(arms), (rounds, 1)), axis=1)
    return order


def interleaved(arms: Sequence[Arm], runs: int, warmup: int, seed: int, collector: str = "off") -> Readings:
    """Time each arm once a round, in `runs` rounds, after `warmup` calls of each."""
    clocks = [Stopwatch() for _ in arms]
    with alone() as crowd, collector_policy(collector):
        inner = equal_inner([warm_up(arm.loop, warmup, runs > 1) for arm in arms])
        before = environment.stolen()
        for order in schedule(len(arms), runs, seed).tolist():
            for i in order:
                if collector == "collect":
                    gc.collect()
                clocks[i].loop(arms[i].loop, inner[i])
        after = environment.stolen()
    return Readings(
        samples=tuple(tuple(clock.samples) for clock in clocks),
        cpu=tuple(math.fsum(clock.cpu) / runs for clock in clocks),
        inner=tuple(inner),
        stolen=after - before if before is not None and after is not None else 0.0,
        crowded=crowd.met,
    )


def equal_inner(found: Sequence[tuple[int, float]]) -> list[int]:
    """Calls in a run for each arm, from what each needs and the seconds of one of its calls.

    What a run costs beside its calls is shared among them, so arms that are nearly as fast get equal numbers:
    else two arms that are the same would differ. An arm for which that takes far too long keeps its own.

    >>> equal_inner([(100, 1e-7), (90, 1.1e-7), (1, 5.0)])
    [100, 100, 1]
    """
    most = max(inner for inner, _ in found)
    longest = MOST * LEAST * resolution()
    return [most if seconds * most <= longest else inner for inner, seconds in found]
