"""Two or more ways to do the same work, timed in turn and in random order, as ratios with intervals."""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Mapping
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
    arms: Mapping[str, Callable[[], object]],
    rounds: int = 60,
    inner: int | Mapping[str, int] = 1,
    warmup: int = 3,
    lead: bool = False,
    pause: float = 0.0,
) -> dict[str, np.ndarray]:
    """Seconds for one call of each arm, `rounds` samples of `inner` calls; every round runs all, shuffled.

    `lead`: a call that is not timed goes before each sample, so that no arm pays for the caches that another
    one filled. `pause`: seconds of sleep before that, in which waiting threads of another arm come to rest.
    """
    order, rng = list(arms), random.Random(0)
    counts = dict.fromkeys(arms, inner) if isinstance(inner, int) else inner
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
                if pause:
                    time.sleep(pause)
                if lead:
                    run()
                samples[name].append(per_call(run, counts[name]))
    finally:
        gc.enable()
    return {name: np.array(values) for name, values in samples.items()}


def per_call(run: Callable[[], object], calls: int) -> float:
    """Seconds of one of `calls` calls in a row."""
    start = time.perf_counter_ns()
    for _ in range(calls):
        run()
    return (time.perf_counter_ns() - start) / calls / 1e9


def calls_for(run: Callable[[], object], seconds: float = 2e-3, most: int = 2000) -> int:
    """How many calls take about so long, the quickest of three deciding; it also warms up."""
    once = min(per_call(run, 1) for _ in range(3))
    return min(most, max(1, math.ceil(seconds / once)))


def ratio_of(ours: np.ndarray, peer: np.ndarray) -> Ratio:
    """The peer's median over ours, of samples from the same rounds; above 1 we are faster."""
    rng, rounds = np.random.default_rng(0), len(ours)
    picks = rng.integers(0, rounds, (2000, rounds))
    boot = np.median(peer[picks], 1) / np.median(ours[picks], 1)
    low, high = np.quantile(boot, [0.025, 0.975])
    a, b = float(np.median(ours)), float(np.median(peer))
    return Ratio(a, b, b / a, float(low), float(high))


def compare(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int = 60, inner: int = 1
) -> Ratio:
    """The peer's time over ours; above 1 we are faster."""
    times = interleave({"ours": ours, "peer": peer}, rounds, inner)
    return ratio_of(times["ours"], times["peer"])
