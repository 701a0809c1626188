"""Insights about memory, and about the reading itself: what drifts, what lies far out, what waits."""

from __future__ import annotations

from tinytorch.profiling import words
from tinytorch.profiling.profile import Insight, MemoryUse, Profile, Timing
from tinytorch.profiling.report.outline import families, label
from tinytorch.profiling.statistics import drift

LARGEST = 0.5  # share of what a call allocates that is worth a sentence
LEAST_BYTES = 2**20  # below which nobody asks where memory goes
DRIFT = 0.05  # of the median, from first to last
SEVERE = 0.05  # share of severe outliers
TAIL = 1.5  # p95 over the median
WATCHING = 1.1  # times an unwatched pass
WAITING = 0.8  # share of the time with CPU time, below which a call is said to wait


def about_memory(profile: Profile) -> list[Insight]:
    """What makes up most of the memory that a call allocates, and whether it leaves more each time."""
    memory = profile.memory
    if memory is None:
        return []
    found = [_about_leak(memory)]
    if memory.allocated >= LEAST_BYTES:
        found += [_about_activations(profile, memory), _about_temporaries(memory)]
    return [insight for insight in found if insight is not None]


def _about_leak(memory: MemoryUse) -> Insight | None:
    slope = memory.slope
    if memory.pattern != "growing" or slope is None or slope.low is None or slope.low <= 0:
        return None
    high = "-" if slope.high is None else words.size(slope.high)
    text = (
        f"A leak: each call leaves {words.size(slope.value)} [{words.size(slope.low)}, {high}] more than the "
        f"one before, over {memory.repeats} calls."
    )
    return Insight("leak", text)


def _about_activations(profile: Profile, memory: MemoryUse) -> Insight | None:
    share = memory.activations / memory.allocated
    if share < LARGEST:
        return None
    part = f", {words.percent(share)} of the {words.size(memory.allocated)} that a call allocates"
    text = (  # a call that frees memory from before it, as old gradients, may keep more than it adds
        f"Activations kept for backward are {words.size(memory.activations)}{part if share <= 1 else ''}"
        f"{_most_of(memory)}."
    )
    if profile.mode == "forward":
        text += " This pass has no backward: under no_grad() they would not be kept."
    return Insight("activations", text)


def _most_of(memory: MemoryUse) -> str:
    """The modules of a kind that keep the most."""
    names = families(module.path for module in memory.modules)
    kept: dict[str, int] = {}
    for module in memory.modules:
        kept[names[module.path]] = kept.get(names[module.path], 0) + module.activations
    if not kept:
        return ""
    most = max(kept, key=lambda name: kept[name])
    return f", the most of it in {label(most)} ({words.size(kept[most])})"


def _about_temporaries(memory: MemoryUse) -> Insight | None:
    share = memory.temporaries / memory.allocated
    largest = max(memory.modules, key=lambda module: module.temporaries, default=None)
    if share < LARGEST or largest is None or largest.temporaries <= 0:
        return None
    text = (
        f"Temporaries and results are {words.size(memory.temporaries)}, {words.percent(share)} of the "
        f"{words.size(memory.allocated)} that a call allocates; an op of {label(largest.path)} needs the "
        f"most, {words.size(largest.temporaries)}."
    )
    return Insight("temporaries", text)


# ---------------------------------------------------------------- the reading


def about_readings(profile: Profile) -> list[Insight]:
    """What the times of whole passes say about themselves."""
    found = []
    if profile.timing is not None and len(profile.timing.samples) > 1:
        found = [
            _about_waiting(profile.timing),
            _about_drift(profile.timing),
            _about_outliers(profile.timing),
        ]
    overhead = profile.overhead
    if overhead is not None and overhead.low is not None and overhead.low > WATCHING:
        text = (
            f"A watched pass takes {words.times(overhead)} the time of an unwatched one: shares of modules "
            "with many small ops are too large by up to that."
        )
        found.append(Insight("watching", text))
    return [insight for insight in found if insight is not None]


def _about_waiting(timing: Timing) -> Insight | None:
    low = timing.mean.low
    if low is None or low <= 0 or timing.cpu >= WAITING * low:
        return None
    text = (
        f"Of a call's {words.seconds(timing.mean.value)} only {words.seconds(timing.cpu)} are CPU time: the "
        "rest is waiting, for files, locks, or a processor that others use."
    )
    return Insight("waiting", text)


def _about_drift(timing: Timing) -> Insight | None:
    trend = drift(timing.samples)
    if trend.low is None or trend.high is None or abs(trend.value) < DRIFT or trend.low <= 0 <= trend.high:
        return None
    slower = trend.value > 0
    ends = (trend.low, trend.high) if slower else (-trend.high, -trend.low)
    text = (
        f"Passes became {'slower' if slower else 'faster'} by {words.percent(abs(trend.value))} "
        f"[{ends[0] * 100:.1f}, {ends[1] * 100:.1f}] from first to last: "
        + (
            "the processor warmed up or others came"
            if slower
            else f"{timing.warmup} passes to warm up were too few"
        )
        + "."
    )
    return Insight("drift", text)


def _about_outliers(timing: Timing) -> Insight | None:
    """Severe outliers, where there are many; or else a long tail, where its interval shows one."""
    number, median = len(timing.samples), timing.p50.value
    if timing.severe_outliers >= max(2, SEVERE * number):
        text = (
            f"{timing.severe_outliers} of {number} passes are severe outliers, the slowest "
            f"{timing.max / median:.1f} times the median: something else ran, or some passes do more."
        )
        return Insight("outliers", text)
    if timing.p95.low is None or timing.p50.high is None or timing.p95.low <= TAIL * timing.p50.high:
        return None
    text = (
        f"One pass in 20 takes {words.timed(timing.p95)} or longer, {timing.p95.value / median:.1f} times "
        "the median."
    )
    return Insight("outliers", text)
