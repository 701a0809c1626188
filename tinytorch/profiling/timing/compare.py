"""compare: which of several functions is faster, and by how much, or that no difference is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinytorch.errors import ProfilingError
from tinytorch.profiling import environment
from tinytorch.profiling.timing.arms import Arm, arms_of, reference
from tinytorch.profiling.timing.comparison import Comparison, judged, median_of, spread_of
from tinytorch.profiling.timing.interleave import Readings, interleaved
from tinytorch.profiling.timing.processes import in_processes
from tinytorch.profiling.timing.stats import Conditions, Stats
from tinytorch.profiling.timing.timer import collector_policy, cost_of, resolution, whole


def compare(
    *arms: Callable[..., Any] | str,
    names: Sequence[str] | None = None,
    runs: int = 100,
    warmup: int = 3,
    processes: int = 1,
    seed: int = 0,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    setup: str = "",
    collector: str = "off",
) -> Comparison:
    """Time two or more functions in turns, in random order, and say whether each is faster than the first.

    An arm is a callable, given `args` and `kwargs` (a model, or its `forward`, without any takes its
    `example_input`), or code as text, which runs after `setup` and knows `tt` and `np`. `runs` is of each
    arm, in all `processes`: with more than one, each is a fresh process, so functions have to be found there
    (by module and name; code always is). Raises ProfilingError for less than two arms, for arms, names or
    numbers that do not fit, and for code that fails; an error of a function passes through.

    >>> found = compare("pass", "pass; sorted(range(50))", names=["nothing", "sorting"], runs=30)
    >>> found.verdicts[0].word, found.verdicts[0].ratio.high < 1
    ('slower', True)
    """
    if len(arms) < 2:
        raise ProfilingError(f"compare: {len(arms)} arm; expected two or more functions, or code as text")
    return compared(
        arms,
        names=names,
        runs=runs,
        warmup=warmup,
        processes=processes,
        seed=seed,
        args=args,
        kwargs=kwargs,
        setup=setup,
        collector=collector,
    )


def compared(
    arms: Sequence[Callable[..., Any] | str],
    *,
    names: Sequence[str] | None = None,
    runs: int = 100,
    warmup: int = 3,
    processes: int = 1,
    seed: int = 0,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    setup: str = "",
    collector: str = "off",
) -> Comparison:
    """As `compare`, of one arm or more: one alone is spread over processes, without a verdict."""
    runs, warmup, seed = whole("runs", runs, 1), whole("warmup", warmup, 0), whole("seed", seed, 0)
    shares = shared(runs, whole("processes", processes, 1))
    collector_policy(collector)
    if processes > 1:
        if args is not None or kwargs:
            raise ProfilingError("args and kwargs stay in this process: with processes=, put them into code")
        for arm in arms:
            reference(arm)
    found = arms_of(arms, args, kwargs, setup, seed)
    given = named([arm.name for arm in found], names)
    if processes > 1:
        readings = in_processes(arms, shares, warmup, seed, setup, collector)
    else:
        readings = (interleaved(found, runs, warmup, seed, collector),)
    return put_together(
        [replace(a, name=n) for a, n in zip(found, given, strict=True)], readings, warmup, seed, collector
    )


def put_together(
    arms: Sequence[Arm], readings: tuple[Readings, ...], warmup: int, seed: int, collector: str
) -> Comparison:
    """What several processes measured as one comparison."""
    here = environment.describe()
    stats = []
    for i, arm in enumerate(arms):
        conditions = Conditions(
            warmup,
            max(reading.inner[i] for reading in readings),
            collector,
            resolution(),
            cost_of(arm.bare),
            math.fsum(reading.stolen for reading in readings),
            any(reading.crowded for reading in readings),
        )
        samples = tuple(seconds for reading in readings for seconds in reading.samples[i])
        runs = [len(reading.samples[i]) for reading in readings]
        cpu = math.fsum(n * reading.cpu[i] for n, reading in zip(runs, readings, strict=True)) / sum(runs)
        stats.append(Stats(arm.name, samples, cpu, conditions, here))
    by_arm = [[reading.samples[i] for reading in readings] for i in range(len(arms))]
    return Comparison(
        names=tuple(arm.name for arm in arms),
        processes=readings,
        stats=tuple(stats),
        medians=tuple(median_of(samples) for samples in by_arm),
        verdicts=judged([arm.name for arm in arms], readings),
        spreads=tuple(spread_of(samples) for samples in by_arm) if len(readings) > 1 else (),
        seed=seed,
    )


def shared(runs: int, processes: int) -> list[int]:
    """How many runs each process makes.

    >>> shared(100, 3)
    [34, 33, 33]
    """
    if runs < processes:
        raise ProfilingError(f"runs={runs} over processes={processes}: expected at least one run in each")
    return [runs // processes + (i < runs % processes) for i in range(processes)]


def named(found: Sequence[str], given: Sequence[str] | None) -> list[str]:
    """The names of the arms: those given, or their own with a number where two are the same.

    >>> named(["f", "g", "f"], None)
    ['f', 'g', 'f (2)']
    """
    if given is not None:
        if len(given) != len(found) or len(set(given)) != len(given) or isinstance(given, str):
            raise ProfilingError(f"names={given!r} for {len(found)} arms; expected as many, all different")
        return list(given)
    earlier = [found[:i].count(name) for i, name in enumerate(found)]
    return [f"{name} ({n + 1})" if n else name for name, n in zip(found, earlier, strict=True)]
