"""Two or more ways to do the same work, timed in turn and in random order, as ratios with intervals."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass
class Ratio:
    """How many times as long the peer takes: median of paired ratios with a 95 % bootstrap interval."""

    ours: float
    peer: float
    ratio: float
    low: float
    high: float


def interleave(
    arms: dict[str, Callable[[], object]], rounds: int = 60, inner: int = 1, warmup: int = 3
) -> dict[str, np.ndarray]:
    """Seconds for one call of each arm, `rounds` samples of `inner` calls; every round runs all, shuffled."""
    order, rng = list(arms), random.Random(0)
    samples: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(warmup):
        for run in arms.values():
            run()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            rng.shuffle(order)
            for name in order:
                run = arms[name]
                start = time.perf_counter_ns()
                for _ in range(inner):
                    run()
                samples[name].append((time.perf_counter_ns() - start) / inner / 1e9)
    finally:
        gc.enable()
    return {name: np.array(values) for name, values in samples.items()}


def compare(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int = 60, inner: int = 1
) -> Ratio:
    """The peer's time over ours; above 1 we are faster."""
    times = interleave({"ours": ours, "peer": peer}, rounds, inner)
    rng = np.random.default_rng(0)
    picks = rng.integers(0, rounds, (2000, rounds))
    boot = np.median(times["peer"][picks], 1) / np.median(times["ours"][picks], 1)
    low, high = np.quantile(boot, [0.025, 0.975])
    a, b = float(np.median(times["ours"])), float(np.median(times["peer"]))
    return Ratio(a, b, b / a, float(low), float(high))
