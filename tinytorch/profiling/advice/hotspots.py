"""Hotspots: the functions and lines of a plain Python callable that its time goes to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import count

from tinytorch.errors import ProfilingError
from tinytorch.profiling.advice.hotspots_calls import (
    Calls,
    Graph,
    counted,
    library_of,
    packages_of_first,
    profiled,
    spots,
)
from tinytorch.profiling.profile import Hotspot
from tinytorch.profiling.statistics import Estimate, mean, median

SECONDS = 0.75
"""Seconds of calls that are profiled, at least; a few calls, where they are longer."""
SESSIONS, FEWEST = 20, 3
MOST = 50
LEAST_SHARE = 1e-3
OPENED = 0.8  # share of one library from which its inside is looked at


def hotspots(call: Callable[[], object], seconds: float = SECONDS, most: int = MOST) -> tuple[Hotspot, ...]:
    """Where the time of `call()` goes, the function with the most time of its own first.

    Time comes from cProfile, which times each function exactly, less what its clock costs a call (measured
    here and now). A sampler such as pyinstrument slows calls less, but looks only as one begins or ends: of a
    regular function whose parts last about as long as its interval it saw 99 % where 75 % was right. The call
    is repeated for `seconds`, in sessions, which give the interval. The lines that calls come from are noted
    in one further call. All figures are for one call; seconds are shares of the time that it takes unwatched.

    Functions of one's own, and those of the library that the call itself is of, stand at their first line.
    Built-in functions, and those of a library with all that they call, stand at the lines that call them;
    several such lines in one function share the time by their numbers of calls.
    Operators and NumPy's ufuncs are no functions to Python: they count for the function they stand in. Where
    nearly all time is within one library, its functions are shown, if that tells more. Other threads are not
    seen. There are no spots where Python enters no function at all.

    Raises ProfilingError while another profiler is active, and where the call sets one itself. An error of
    the call passes through; no profiler is left running.

    >>> found = hotspots(lambda: sorted(range(50_000), key=lambda n: -n), seconds=0.05)
    >>> sum(spot.share for spot in found) <= 1.001, found[0].total_seconds > 0
    (True, True)
    """
    if reason := occupied():
        raise ProfilingError(
            f"hotspots: {reason} is active, and each would measure the other. Stop it first, or profile "
            "without it."
        )
    calls = counted(call)
    sessions, unwatched = _sessions(call, seconds)
    if not sessions:
        return ()
    own = {"", *packages_of_first(sessions[0])}
    found = _ranked(sessions, calls, own, unwatched)
    if found and found[0].share >= OPENED and (library := library_of(sessions[0], own)):
        opened = _ranked(sessions, calls, {*own, library}, unwatched)
        if opened[0].share < OPENED * found[0].share:
            found = opened
    return tuple(found[:most])


def occupied() -> str:
    """The profiler that is active in this thread, in words; "" where there is none.

    A debugger or a coverage tool is none: they trace lines, by other hooks.

    >>> occupied()
    ''
    """
    profile = sys.getprofile()
    if profile is not None:
        return f"another profiler ({getattr(profile, '__module__', None) or type(profile).__name__})"
    if sys.version_info >= (3, 12):
        tool = sys.monitoring.get_tool(sys.monitoring.PROFILER_ID)
        if tool is not None:
            return f"another profiler ({tool})"
    return ""


def _sessions(call: Callable[[], object], seconds: float) -> tuple[list[Graph], float]:
    """What sessions of cProfile saw, and the median time of calls that nobody watched in between."""
    graphs: list[Graph] = []
    unwatched: list[float] = []
    began = time.perf_counter()
    for number in count(1):
        start = time.perf_counter()
        call()
        unwatched.append(time.perf_counter() - start)
        graph = profiled(call, seconds / SESSIONS)
        if graph.seconds > 0:
            graphs.append(graph)
        if time.perf_counter() - began >= seconds and number >= FEWEST:
            break
    return graphs, median(unwatched).value


def _ranked(sessions: list[Graph], calls: Calls, own: set[str], unwatched: float) -> list[Hotspot]:
    """Own and total time of each spot in an unwatched call, every session counting alike."""
    found = [spots(session, calls, own) for session in sessions]
    known = dict.fromkeys(spot for session in found for spot in session)
    out = []
    for spot in known:
        alone = [session[spot].alone if spot in session else 0.0 for session in found]
        whole = [session[spot].whole if spot in session else 0.0 for session in found]
        share, total = sum(alone) / len(alone), min(sum(whole) / len(whole), 1.0)
        if max(share, total) < LEAST_SHARE:
            continue
        out.append(
            Hotspot(
                spot.name,
                spot.file,
                spot.line,
                max(1, round(median([s[spot].calls for s in found if spot in s]).value)),
                share * unwatched,
                max(total, share) * unwatched,
                share,
                _interval(alone, share),
            )
        )
    return sorted(out, key=lambda spot: (-spot.share, -spot.total_seconds, spot.function, spot.line))


def _interval(shares: list[float], share: float) -> Estimate | None:
    if len(shares) < FEWEST:
        return None
    around = mean(shares)
    low, high = (share if end is None else end for end in (around.low, around.high))
    return Estimate(share, min(max(low, 0.0), share), max(min(high, 1.0), share))
