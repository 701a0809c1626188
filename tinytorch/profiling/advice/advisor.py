"""Insights: what a profile says about where time can be won, each sentence with figures of that profile."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.ops.spec import Array
from tinytorch.profiling import words
from tinytorch.profiling.advice.readings import about_memory, about_readings
from tinytorch.profiling.profile import Insight, ModuleRow, Profile, Roof
from tinytorch.profiling.report.outline import families, groups, label
from tinytorch.profiling.statistics import Estimate, amdahl, ceiling, median
from tinytorch.profiling.tree import ancestors

LARGE = 0.1  # share from whose lower end on a part is worth a sentence
MOST_OF_IT = 0.8  # of the time: what the 80/20 line accounts for
NEARLY_ALL = 0.9  # share from which a module's parts are named in its place
IN_PYTHON = 0.2  # share of the time between kernels from whose lower end on that is said
HALF = 0.5
MOST = 3  # parts that get Amdahl's sentence
LISTED = 5  # modules that the 80/20 line names
OFTEN, SHORT = 1000, 5e-6  # calls of a function, and seconds of one, that make it a matter of calls


@dataclass(frozen=True)
class Part:
    """Modules that belong together, those below them included, and their share of each watched pass."""

    name: str
    rows: tuple[ModuleRow, ...]
    share: Estimate


def insights(profile: Profile) -> tuple[Insight, ...]:
    """What follows from a profile, what may gain the most first; each only where its interval supports it.

    Kinds: "amdahl" (a part of the model, an op, or a function), "pareto" (the 80/20 line), "overhead",
    "compute", "memory" (what bounds it), "calls", "waiting", "activations", "temporaries", "leak", and, about
    the reading itself, "drift", "outliers", "watching".

    >>> from tinytorch.profiling.profile import Profile
    >>> insights(Profile("f", "callable", "callable", "", {}, {}, None, None, 0, 0, 0, 1.0, (), (), ()))
    ()
    """
    found = [
        *_about_parts(profile),
        *_about_ops(profile),
        *_about_functions(profile),
        *_about_python(profile),
        *_about_bounds(profile),
        *about_memory(profile),
    ]
    found.sort(key=lambda insight: -1.0 if insight.gain is None else -insight.gain)
    first = [part for part in (pareto_of_modules(profile), _pareto_of_functions(profile)) if part is not None]
    return (*first, *found, *about_readings(profile))


# ---------------------------------------------------------------- parts of a model


def parts(profile: Profile) -> list[Part]:
    """What a model is made of, as people speak of it, the costliest first; shares are of self time.

    Blocks that repeat count as one, and come apart into what they are made of: all attention, all MLPs. So
    does a module that takes nearly all of the time.
    """
    passes = _passes(profile)
    if not passes:
        return []
    whole = np.sum(list(passes.values()), axis=0)
    family = families(passes)
    below = _below(list(dict.fromkeys(family.values())))
    rows = {row.path: row for row in profile.modules}

    def part(name: str, alone: bool) -> Part:
        names = {name} if alone else {name, *_descendants(below, name)}
        seconds = np.sum([passes[path] for path, of in family.items() if of in names], axis=0)
        own = tuple(rows[path] for path, of in family.items() if of == name)
        return Part(name, own, median(seconds / whole))

    found, pending = [], [""]
    while pending:
        name = pending.pop()
        comes_apart = name in below and (
            name == "" or _repeats(below, name) or part(name, alone=False).share.value > NEARLY_ALL
        )
        found.append(part(name, alone=comes_apart))
        pending += below[name] if comes_apart else []
    return sorted((one for one in found if one.share.value > 0), key=lambda one: -one.share.value)


def _passes(profile: Profile) -> dict[str, Array]:
    """Self seconds by module path in each watched pass; nothing where they do not belong together."""
    passes = {path: np.array(times) for path, times in profile.passes.items() if times}
    known = {row.path for row in profile.modules}
    if not passes or len({times.size for times in passes.values()}) != 1 or not set(passes) <= known:
        return {}
    return passes if np.min(np.sum(list(passes.values()), axis=0)) > 0 else {}


def _below(names: Sequence[str]) -> dict[str, list[str]]:
    """The names right below each: names are paths, and some on the way may be missing."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name:
            above = [path for path in ancestors(name)[:-1] if path in names]
            found.setdefault(above[-1] if above else "", []).append(name)
    return found


def _descendants(below: dict[str, list[str]], name: str) -> list[str]:
    return [d for child in below.get(name, ()) for d in (child, *_descendants(below, child))]


def _repeats(below: dict[str, list[str]], name: str) -> bool:
    """Whether it is a block that repeats, or holds such blocks."""
    return any("*" in one.rpartition(".")[2] and one in below for one in (name, *_descendants(below, name)))


def titled(part: Part) -> str:
    """A part's name, with what it is where that is attention."""
    kinds = {row.kind for row in part.rows}
    many = f", {len(part.rows)} modules" if len(part.rows) > 1 else ""
    if all("Attention" in kind for kind in kinds):
        return f"attention ({label(part.name)}{many})"
    return label(part.name) + (f" ({many[2:]})" if many else "")


def _about_parts(profile: Profile) -> list[Insight]:
    found = parts(profile)
    return [
        Insight("amdahl", f"{titled(part)} takes {_amdahl(part.share)}", ceiling(part.share).value)
        for part in [part for part in found if _is_large(part.share) and len(found) > 1][:MOST]
    ]


def _is_large(share: Estimate | None) -> bool:
    return share is not None and share.low is not None and share.low >= LARGE


def _amdahl(share: Estimate, what: str = "the time") -> str:
    """What Amdahl's law says about a share."""
    most, twice = ceiling(share), amdahl(share, 2.0)
    limit = "" if math.isinf(most.value) else f"no speed-up of it can exceed {words.times(most)}; "
    return f"{words.shared(share)} of {what}; {limit}2x there gives {words.times(twice)} overall."


def _about_ops(profile: Profile) -> list[Insight]:
    """The op that takes the most, where it is more than one module's."""
    found = [op for op in profile.ops if _is_large(op.share)][:1]
    if len(profile.ops) < 2:
        return []
    return [
        Insight(
            "amdahl",
            f"The op {op.name} ({words.count(op.calls)} calls) takes {_amdahl(op.share)}",
            ceiling(op.share).value,
        )
        for op in found
    ]


# ---------------------------------------------------------------- the 80/20 line


def pareto_of_modules(profile: Profile) -> Insight | None:
    """The fewest modules and the fewest ops that make 80 % of the time, by what each could return.

    Modules in blocks that repeat count as one. None where it takes more than half of them: the time is then
    spread. A module could return what it takes beyond the time that its roof allows, or all of it where no
    roof is known.
    """
    found = groups(profile)
    few = fewest([group.share.value for group in found])
    if len(found) < 3 or few > len(found) / 2 or any(group.share.low is None for group in found[:few]):
        return None
    share = sum(group.share.value for group in found[:few])
    returns = sorted(((_return_of(g.rows, g.share.value), g) for g in found[:few]), key=lambda r: -r[0])
    named = [
        f"{label(group.name)} {words.percent(group.share.value)}"
        + (f" ({gain:.2f}x)" if _held(group.rows) else "")
        for gain, group in returns[:LISTED]
    ]
    roofs = (
        " (in brackets: the whole, if it ran at its roof)" if any(_held(g.rows) for _, g in returns) else ""
    )
    rest = f", {few - LISTED} more" if few > LISTED else ""
    ops = fewest([op.share.value for op in profile.ops])
    of_ops = f", in {ops} of {len(profile.ops)} kinds of op" if profile.ops else ""
    text = (
        f"80/20: {words.percent(share)} of the time goes by in {few} of {len(found)} kinds of module"
        f"{of_ops}: {', '.join(named)}{rest}{roofs}."
    )
    return Insight("pareto", text, returns[0][0])


def fewest(shares: Sequence[float], most_of_it: float = MOST_OF_IT) -> int:
    """How many of the shares, the largest first, make most of it; all of them where they do not.

    >>> fewest([0.5, 0.2, 0.15, 0.1, 0.05])
    3
    """
    sums = np.cumsum(sorted(shares, reverse=True))
    return min(int(np.searchsorted(sums, most_of_it - 1e-12)) + 1, len(shares))


def _held(rows: Sequence[ModuleRow]) -> bool:
    return all(row.roof is not None for row in rows)


def _return_of(rows: Sequence[ModuleRow], share: float) -> float:
    """The speed-up of the whole, were these at their roofs; where none is known, were they gone."""
    spent = sum(row.self_seconds.value for row in rows)
    needed = sum(row.self_seconds.value * min(row.roof or 0.0, 1.0) for row in rows)
    rest = 1 - share * (1 - needed / spent if spent else 1.0)
    return 1 / rest if rest > 0 else math.inf


# ---------------------------------------------------------------- functions of a plain callable


def _about_functions(profile: Profile) -> list[Insight]:
    out = []
    for spot in [spot for spot in profile.hotspots if _is_large(spot.interval)][:MOST]:
        assert spot.interval is not None
        where = f"{spot.function} ({spot.file}:{spot.line})"
        gain = ceiling(spot.interval).value
        text = f"{where} itself takes {_amdahl(spot.interval)}"
        out.append(Insight("amdahl", text, gain if math.isfinite(gain) else None))
        each = spot.self_seconds / spot.calls
        if spot.calls >= OFTEN and each < SHORT:
            text = (
                f"{where} is called {words.count(spot.calls)} times for {words.seconds(each)} each: fewer "
                "calls, each for more of the data, would save what a call costs."
            )
            out.append(Insight("calls", text, gain if math.isfinite(gain) else None))
    return out


def _pareto_of_functions(profile: Profile) -> Insight | None:
    spots = [spot for spot in profile.hotspots if spot.share > 0]
    few = fewest([spot.share for spot in spots])
    if len(spots) < 3 or few > len(spots) / 2 or any(spot.interval is None for spot in spots[:few]):
        return None
    named = [f"{s.function} (line {s.line}) {words.percent(s.share)}" for s in spots[:few]]
    share = words.percent(sum(spot.share for spot in spots[:few]))
    rest = f", {few - LISTED} more" if few > LISTED else ""
    listed = ", ".join(named[:LISTED]) + rest
    text = f"80/20: {share} of the time goes by in {few} of {len(spots)} functions: {listed}."
    gain = 1 / (1 - spots[0].share) if spots[0].share < 1 else None
    return Insight("pareto", text, gain)


# ---------------------------------------------------------------- what bounds it


def in_python(profile: Profile) -> Estimate | None:
    """The share of the time that goes by between kernels; None where there are no passes to judge it by.

    Of each module's kernels only the median is known: they are taken to scatter as whole passes do, and not
    along with them, which widens the interval.
    """
    passes = _passes(profile)
    if not passes:
        return None
    whole = median(np.sum(list(passes.values()), axis=0))
    seconds = sum(row.self_seconds.value for row in profile.modules)
    kernels = sum(row.kernel_seconds for row in profile.modules)
    if whole.low is None or whole.high is None or not 0 < kernels <= seconds:
        return None
    scatter = whole.high / whole.low
    part = kernels / seconds
    return Estimate(1 - part, max(1 - part * scatter, 0.0), 1 - part / scatter)


def _about_python(profile: Profile) -> list[Insight]:
    share = in_python(profile)
    if share is None or share.low is None or share.low < IN_PYTHON:
        return []
    calls = sum(row.calls for row in profile.modules)
    seconds = sum(row.self_seconds.value - row.kernel_seconds for row in profile.modules)
    text = (
        f"Python between the kernels takes {words.shared(share)} of the time, "
        f"{words.seconds(seconds / calls)} for each of {words.count(calls)} ops; no faster kernel can give "
        f"more than {words.times(ceiling(_rest(share)))}."
    )
    if _batch(profile) == 1:
        text += (
            f" The batch is 1: a pass over more inputs at once would share these {words.seconds(seconds)} "
            "among them."
        )
    return [Insight("overhead", text, ceiling(share).value)]


def _rest(share: Estimate) -> Estimate:
    low, high = (None if end is None else 1 - end for end in (share.high, share.low))
    return Estimate(1 - share.value, low, high)


def _batch(profile: Profile) -> int | None:
    """The first axis of the first input; None where that is no tensor."""
    shape = re.match(r"[^,\[]*\[(\d+)", profile.configuration.get("inputs", ""))
    return int(shape[1]) if shape else None


def _about_bounds(profile: Profile) -> list[Insight]:
    """The bound behind most of the time, how far its modules are from their roofs, and what that leaves."""
    passes = _passes(profile)
    if profile.roof is None or not passes:
        return []
    whole = np.sum(list(passes.values()), axis=0)
    out = []
    for bound in ("compute", "memory"):
        rows = [row for row in profile.modules if row.bound == bound and row.path in passes]
        if not rows:
            continue
        share = median(np.sum([passes[row.path] for row in rows], axis=0) / whole)
        spent = sum(row.self_seconds.value for row in rows)
        needed = sum(row.self_seconds.value * (row.roof or 0.0) for row in rows)
        believable = needed <= spent  # or else the roof is too low: it was measured while others computed
        if believable and share.low is not None and share.low >= HALF:
            gain = _return_of(rows, share.value)
            text = (
                f"{words.shared(share)} of the time is {bound}-bound: {_reached(bound, rows, profile.roof)}"
            )
            out.append(
                Insight(bound, f"{text}; at their roofs the whole would be {gain:.2f}x as fast.", gain)
            )
    return out


def _reached(bound: str, rows: Sequence[ModuleRow], roof: Roof) -> str:
    seconds = sum(row.self_seconds.value for row in rows)
    if bound == "compute":
        rate = sum(row.flops or 0 for row in rows) / seconds
        return f"its modules reach {words.rate(rate)}, {words.percent(rate / roof.flops)} of the peak"
    moved, flops = sum(row.bytes for row in rows), sum(row.flops or 0 for row in rows)
    slowest = min(roof.bandwidths.values())
    return (
        f"its modules move {words.bandwidth(moved / seconds)} for {words.figure(flops / moved)} FLOP a byte; "
        f"main memory gives {words.bandwidth(slowest)}"
    )
