"""Who calls whom in a plain callable, for how long and from which line; what a library calls is its own."""

from __future__ import annotations

import functools
import re
import sys
import sysconfig
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from tinytorch import errors
from tinytorch.errors import ProfilingError
from tinytorch.profiling import subject

BUILT_IN = "<built-in>"
_HERE = Path(__file__)
_HARNESS = (__file__, str(_HERE.with_name("hotspots.py")), subject.__file__)
_STOP = "Profiler.disable"
_CALIBRATION = 2000
_DEPTH = 100  # calls within libraries through which time is followed to where they were entered


class Function(NamedTuple):
    """A function: its name in full, file and first line; built-in ones have no line."""

    name: str
    file: str
    line: int


class Spot(NamedTuple):
    """What time is filed under: a function by its first line, or a call into a library by its line."""

    name: str
    file: str
    line: int


@dataclass
class Times:
    """Shares of a call, or seconds, that a spot takes by itself and with all that it calls; and its calls."""

    alone: float = 0.0
    whole: float = 0.0
    calls: float = 0.0


@dataclass
class Graph:
    """Functions, and the calls between them by caller and callee; `first`: those made from outside."""

    own: dict[Function, Times] = field(default_factory=dict)
    edges: dict[tuple[Function, Function], Times] = field(default_factory=dict)
    first: dict[Function, Times] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of all functions."""
        return sum(times.alone for times in self.own.values())


# ---------------------------------------------------------------- time, by cProfile


def profiled(call: Callable[[], object], seconds: float) -> Graph:
    """Call for some seconds, once at least, under cProfile; times and calls are those of one call."""
    from cProfile import Profile

    costs = {False: _cost_of_a_call(_nothing), True: _cost_of_a_call(callable)}
    profile = Profile()
    number = 0
    end = time.perf_counter() + seconds
    while not number or time.perf_counter() < end:
        profile.enable()
        try:
            _run(call)
        finally:
            profile.disable()
        number += 1
    return _graph(profile.getstats(), number, costs)


def _run(call: Callable[[], object]) -> None:
    call()


def _graph(stats: list[Any], number: int, costs: Mapping[bool, tuple[float, float]]) -> Graph:
    """The graph of one call, from what cProfile found in `number`, less what its clock took.

    `costs`: what that adds to a function and to its caller, for (True) built-in ones and others.
    """
    graph = Graph()
    for entry in stats:
        caller = _function(entry.code)
        if caller.name == _STOP:
            continue
        clock = entry.callcount * costs[isinstance(entry.code, str)][0]
        clock += sum(sub.callcount * costs[isinstance(sub.code, str)][1] for sub in entry.calls or ())
        if caller.file not in _HARNESS:
            alone = max(entry.inlinetime - clock, 0.0)
            graph.own[caller] = Times(alone / number, entry.totaltime / number, entry.callcount / number)
        for sub in entry.calls or ():
            callee = _function(sub.code)
            times = Times(sub.inlinetime / number, sub.totaltime / number, sub.callcount / number)
            if caller.file in _HARNESS:
                graph.first |= {callee: times} if callee.file not in _HARNESS else {}
            else:
                graph.edges[caller, callee] = times
    return graph


def _function(code: CodeType | str) -> Function:
    if isinstance(code, str):
        return Function(_plain(code), BUILT_IN, 0)
    return Function(code.co_qualname, code.co_filename, code.co_firstlineno)


def _plain(label: str) -> str:
    """The name of a built-in function, as it calls itself, from cProfile's label.

    >>> _plain("<built-in method builtins.sorted>"), _plain("<method 'split' of 'str' objects>")
    ('sorted', 'str.split')
    """
    if method := re.fullmatch(r"<method '(.+)' of '(?:.*\.)?(.+)' objects>", label):
        return f"{method[2]}.{method[1]}"
    return re.sub(r"^<(?:built-in (?:method|function) )?(?:.*\.)?([^.]+?)>$", r"\1", label)


def _nothing(_: object) -> None:
    pass


def _cost_of_a_call(callee: Callable[[object], object]) -> tuple[float, float]:
    """Seconds that cProfile's clock adds to a function for each call of it, and to its caller."""
    from cProfile import Profile

    def calling() -> None:
        for _ in range(_CALIBRATION):
            callee(None)

    def empty() -> None:
        for _ in range(_CALIBRATION):
            pass

    found = []
    for _ in range(3):
        start = time.perf_counter()
        empty()
        middle = time.perf_counter()
        calling()
        bare, turns = time.perf_counter() - middle, middle - start
        profile = Profile()
        profile.enable()
        try:
            calling()
        finally:
            profile.disable()
        rows = {entry.code: entry for entry in profile.getstats()}
        around = rows[calling.__code__]
        inside = sum(sub.inlinetime for sub in around.calls) - (bare - turns)  # a bare call is the callee's
        found.append((max(inside, 0.0) / _CALIBRATION, max(around.inlinetime - turns, 0.0) / _CALIBRATION))
    return min(inside for inside, _ in found), min(outside for _, outside in found)


# ---------------------------------------------------------------- lines, by the interpreter's own hook


class Calls:
    """A profile function (`sys.setprofile`) that counts from which line of a function others are called."""

    def __init__(self) -> None:
        self.lines: defaultdict[tuple[Function, Function], Counter[int]] = defaultdict(Counter)

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        """Note one call."""
        if event == "c_call":
            name = getattr(arg, "__qualname__", arg.__name__)
            self._note(frame, Function(name, BUILT_IN, 0))
        elif event == "call" and frame.f_back is not None:
            self._note(frame.f_back, _function(frame.f_code))

    def _note(self, caller: FrameType, callee: Function) -> None:
        self.lines[_function(caller.f_code), callee][caller.f_lineno or caller.f_code.co_firstlineno] += 1

    def places(self, caller: Function, callee: Function) -> dict[int, float]:
        """The lines of the caller that call it, each with its part of the calls; else its first line."""
        lines = self.lines.get((caller, callee))
        if not lines:
            return {caller.line: 1.0}
        total = lines.total()
        return {line: number / total for line, number in lines.items()}


def counted(call: Callable[[], object]) -> Calls:
    """The calls that one call makes; raises ProfilingError where it sets a profile function of its own."""
    calls = Calls()
    sys.setprofile(calls)
    try:
        call()
        intact = sys.getprofile() is calls
    finally:
        sys.setprofile(None)
    if not intact:
        raise ProfilingError("hotspots: the function sets a profiler of its own; profile it without that one")
    return calls


# ---------------------------------------------------------------- what time is filed under


def spots(graph: Graph, calls: Calls, own: set[str]) -> dict[Spot, Times]:
    """Shares of the time by own functions, and by the lines that enter anything else."""
    found: defaultdict[Spot, Times] = defaultdict(Times)
    for function, times in graph.own.items():
        if _is_own(function, own):
            _add(found[Spot(short(function.name), function.file, function.line)], times, 1.0)
    for (caller, callee), seconds in _entered(graph, own).items():
        name = _entry_name(callee)
        if caller is None:
            whole = graph.first.get(callee, graph.own[callee])
            _add(found[Spot(name, callee.file, callee.line)], Times(seconds, whole.whole, whole.calls), 1.0)
            continue
        whole = graph.edges[caller, callee]
        for line, part in calls.places(caller, callee).items():
            _add(found[Spot(name, caller.file, line)], Times(seconds, whole.whole, whole.calls), part)
    total = sum(times.alone for times in found.values())
    longest = sum(times.whole for times in graph.first.values())
    if total <= 0 or longest <= 0:
        return {}
    return {s: Times(t.alone / total, min(t.whole / longest, 1.0), t.calls) for s, t in found.items()}


def _entered(graph: Graph, own: set[str]) -> dict[tuple[Function | None, Function], float]:
    """The time within libraries by the calls from own code (None: from outside) that lead there.

    The time of a function goes to those that call it, in proportion to the time of their calls, and from
    there on until own code is met: as in Graham, Kessler, McKusick, "gprof", 1982. What own code takes that a
    library calls is no part of it.
    """
    callers: defaultdict[Function, list[tuple[Function | None, Times]]] = defaultdict(list)
    for (by, callee), times in graph.edges.items():
        if by != callee:
            callers[callee].append((by, times))
    for callee, times in graph.first.items():
        callers[callee].append((None, times))
    found: defaultdict[tuple[Function | None, Function], float] = defaultdict(float)
    amounts: dict[Function, float] = {
        f: times.alone for f, times in graph.own.items() if not _is_own(f, own) and times.alone
    }
    for depth in range(_DEPTH):
        passed: defaultdict[Function, float] = defaultdict(float)
        for function, amount in amounts.items():
            lone: list[tuple[Function | None, Times]] = [(None, Times(1.0, 1.0))]
            above = callers[function] or lone
            weights = [(t.whole if depth else t.alone) or 1e-12 for _, t in above]
            for (caller, _), weight in zip(above, weights, strict=True):
                part = amount * weight / sum(weights)
                if caller is None or _is_own(caller, own):
                    found[caller, function] += part
                else:
                    passed[caller] += part
        amounts = passed
    return found


def _add(to: Times, times: Times, part: float) -> None:
    to.alone += times.alone * part
    to.whole += times.whole * part
    to.calls += times.calls * part


def short(name: str) -> str:
    """A qualified name less the function that a function was made in.

    >>> short("main.<locals>.Parser.parse"), short("main.<locals>.<lambda>")
    ('Parser.parse', 'main.<lambda>')
    """
    outer, _, inner = name.rpartition(".<locals>.")
    return f"{short(outer)}.{inner}" if outer and inner.startswith("<") else inner


def _entry_name(function: Function) -> str:
    """The name of a function with the library it is of."""
    library = "" if function.file == BUILT_IN else package_of(function.file)
    return f"{short(function.name)} ({library})" if library else short(function.name)


def _is_own(function: Function, own: set[str]) -> bool:
    return function.file != BUILT_IN and package_of(function.file) in own


# ---------------------------------------------------------------- libraries


def packages_of_first(graph: Graph) -> set[str]:
    """The libraries that the call itself is of."""
    return {package_of(function.file) for function in graph.first if function.file != BUILT_IN}


def library_of(graph: Graph, own: set[str]) -> str:
    """The library that own code enters for the most time; "" where that is built-in functions."""
    spent: defaultdict[str, float] = defaultdict(float)
    for (_, function), seconds in _entered(graph, own).items():
        spent["" if function.file == BUILT_IN else package_of(function.file)] += seconds
    return max(spent, key=lambda package: spent[package], default="")


@functools.lru_cache(maxsize=4096)
def package_of(file: str) -> str:
    """The library that a file belongs to: a package's name, "" for code of one's own.

    >>> package_of(functools.__file__), package_of(errors.__file__), package_of("/home/me/work.py")
    ('functools', 'tinytorch', '')
    """
    if file.startswith("<"):
        return "python" if file.startswith("<frozen") else ""
    path, ours = Path(file), Path(errors.__file__).parent
    if path.is_relative_to(ours):
        return ours.name
    places = sysconfig.get_paths()
    for key in ("purelib", "platlib", "stdlib", "platstdlib"):
        if path.is_relative_to(places[key]):
            return path.relative_to(places[key]).parts[0].removesuffix(".py")
    return ""
