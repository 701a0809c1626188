"""Whether intervals hold the truth and verdicts are right: `python -m benchmarks.statistics_coverage`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.signal import lfilter

from tinytorch import console
from tinytorch.profiling import statistics
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.timing.comparison import SAME, Verdict, judged
from tinytorch.profiling.timing.interleave import Readings, schedule

Draw = Callable[[np.random.Generator, int, int], np.ndarray]
_SETTLE = 200  # first values of an autoregressive series, dropped: it does not start in its own distribution

ESTIMATES: dict[str, Callable[[np.ndarray], Estimate]] = {
    "mean": statistics.mean,
    "p50": lambda samples: statistics.quantile(samples, 0.5),
    "p95": lambda samples: statistics.quantile(samples, 0.95),
}


@dataclass(frozen=True)
class Series:
    """A kind of series with the truth about it: `draw(rng, trials, n)` and the distribution of each value."""

    draw: Draw
    law: stats.rv_continuous

    def truth(self, key: str) -> float:
        """The mean or percentile that an interval should hold."""
        return float(self.law.mean() if key == "mean" else self.law.ppf(float(key[1:]) / 100))


def autoregressive(rng: np.random.Generator, trials: int, n: int, phi: float) -> np.ndarray:
    """Standard normal values, each correlated with the one before by phi: (trials, n)."""
    noise = rng.standard_normal((trials, n + _SETTLE))
    return lfilter([1.0], [1.0, -phi], noise, axis=1)[:, _SETTLE:] * math.sqrt(1 - phi**2)


def _alike(phi: float) -> Draw:
    return lambda rng, trials, n: 10 + autoregressive(rng, trials, n, phi)


SERIES = {
    "normal": Series(_alike(0.0), stats.norm(10, 1)),
    "log-normal": Series(lambda rng, trials, n: np.exp(rng.standard_normal((trials, n))), stats.lognorm(1)),
    "AR(1) 0.5": Series(_alike(0.5), stats.norm(10, 1)),
    "AR(1) 0.8": Series(_alike(0.8), stats.norm(10, 1)),
    "log AR(1) 0.5": Series(
        lambda rng, trials, n: np.exp(0.5 * autoregressive(rng, trials, n, 0.5)), stats.lognorm(0.5)
    ),
}


@dataclass(frozen=True)
class Coverage:
    """The share of intervals that held the truth, and of those with an open end, which hold it the easier."""

    held: float
    open: float


def coverage(kind: str, key: str, n: int, trials: int, seed: int = 1) -> Coverage:
    """How often the 95 % interval of a figure, from n values of a series, holds the truth."""
    series = SERIES[kind]
    truth = series.truth(key)
    found = [ESTIMATES[key](row) for row in series.draw(np.random.default_rng(seed), trials, n)]
    held = [(e.low is None or e.low <= truth) and (e.high is None or truth <= e.high) for e in found]
    return Coverage(float(np.mean(held)), float(np.mean([e.low is None or e.high is None for e in found])))


@dataclass(frozen=True)
class Noise:
    """What disturbs simulated times: a drift over the whole measurement, and noise of neighbouring runs."""

    drift: float = 0.02
    size: float = 0.02
    phi: float = 0.0
    spikes: float = 0.0
    """The share of runs that something interrupts, for twice their time on average."""


def times(ratios: Sequence[float], rounds: int, noise: Noise, seed: int) -> Readings:
    """Times of arms that take `ratios` of a second, in the order in which `compare` would measure them."""
    arms, rng = len(ratios), np.random.default_rng(seed)
    order = schedule(arms, rounds, seed)
    n = order.size
    disturbed = 1 + noise.drift * np.arange(n) / n
    disturbed *= np.exp(noise.size * autoregressive(rng, 1, n, noise.phi)[0])
    disturbed *= 1 + (rng.random(n) < noise.spikes) * rng.exponential(2.0, n)
    samples = np.empty((arms, rounds))
    samples[order.ravel(), np.arange(n) // arms] = disturbed * np.take(ratios, order.ravel())
    return Readings(tuple(map(tuple, samples.tolist())), (0.0,) * arms, (1,) * arms)


def verdicts(
    ratios: Sequence[float], rounds: int, trials: int, noise: Noise, seed: int = 0
) -> list[tuple[Verdict, ...]]:
    """What `compare` would say in each trial."""
    names = [str(i) for i in range(len(ratios))]
    return [judged(names, [times(ratios, rounds, noise, seed + i)]) for i in range(trials)]


def claims(found: Sequence[tuple[Verdict, ...]], word: str = "") -> float:
    """The share of trials in which some arm is said to be different, or to be what `word` says."""
    return float(np.mean([any(v.word == word if word else v.word != SAME for v in trial) for trial in found]))


NOISES = {
    "noise 2 %, drift 2 %": Noise(),
    "... noise AR(1) 0.8": Noise(phi=0.8),
    "... and 5 % of runs interrupted": Noise(phi=0.8, spikes=0.05),
}


def main() -> None:
    """Print two tables: coverage of the intervals, and how often verdicts are right."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 200, 500])
    parser.add_argument("--rounds", type=int, nargs="+", default=[30, 100])
    chosen = parser.parse_args()
    rows = []
    for kind in SERIES:
        for n in chosen.sizes:
            found = [coverage(kind, key, n, chosen.trials) for key in ESTIMATES]
            rows.append([kind, n, *(f"{c.held * 100:.1f} ({c.open * 100:.0f})" for c in found)])
    console.table(
        f"95 % intervals that hold the truth, in % of {chosen.trials:,} trials (in brackets: open ends)",
        ["series", "n", *ESTIMATES],
        rows,
    )
    rows = []
    for name, noise in NOISES.items():
        for rounds in chosen.rounds:
            alike, apart, several = (
                verdicts(ratios, rounds, chosen.trials, noise)
                for ratios in ((1.0, 1.0), (1.0, 1.03), (1.0, 1.0, 1.0, 1.0))
            )
            shares = (claims(alike), claims(apart, "slower"), claims(apart, "faster"), claims(several))
            rows.append([name, rounds, *(f"{share * 100:.1f}" for share in shares)])
    console.say()
    console.table(
        f"Verdicts on arms measured in turns, in % of {chosen.trials:,} trials",
        ["times", "rounds", "A/A: claimed", "3 %: found", "3 %: wrong way", "4 alike: claimed"],
        rows,
    )


if __name__ == "__main__":
    main()
