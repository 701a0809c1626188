"""Hotspots: shares and calls of functions whose work is known, what they are named, and what is refused."""

import cProfile
import functools
import json
import sys
from pathlib import Path

import pytest

from tinytorch.errors import ProfilingError
from tinytorch.profiling.advice import hotspots as module
from tinytorch.profiling.advice.hotspots import hotspots, occupied
from tinytorch.profiling.advice.hotspots_calls import (
    BUILT_IN,
    Calls,
    Function,
    Graph,
    Times,
    package_of,
    short,
    spots,
)
from tinytorch.profiling.profile import Hotspot
from tinytorch.profiling.subject import subject_of

QUICK = 0.3


def spin(turns: int) -> int:
    total = 0
    for i in range(turns):
        total += i * i
    return total


def three(turns: int) -> int:
    total = 0
    for i in range(3 * turns):
        total += i * i
    return total


def by_name(found: tuple[Hotspot, ...]) -> dict[str, Hotspot]:
    return {spot.function: spot for spot in found}


@pytest.mark.parametrize("turns", [100, 1000, 10_000])
def test_shares_are_those_of_the_work(turns: int) -> None:
    """Three times the work takes three times as long, whatever the rhythm of the calls.

    Three tries, as others use this machine as well.
    """

    def work() -> None:
        for _ in range(20):
            three(turns)
            spin(turns)

    for _ in range(3):
        found = by_name(hotspots(work, QUICK))
        both = found["three"].share + found["spin"].share
        if 0.68 < found["three"].share / both < 0.82 and both > 0.9:
            break
    assert 0.68 < found["three"].share / both < 0.82
    assert both > 0.9
    assert found["three"].calls == found["spin"].calls == 20
    assert found["three"].line == three.__code__.co_firstlineno
    assert found["three"].file == __file__


def test_own_and_total_time() -> None:
    def inner() -> int:
        return spin(3000)

    def outer() -> int:
        return inner() + spin(3000)

    found = hotspots(outer, QUICK)
    named = by_name(found)
    assert named["outer"].total_seconds >= named["inner"].total_seconds
    assert named["spin"].total_seconds == pytest.approx(named["spin"].self_seconds, rel=0.05)
    assert named["spin"].calls == 2
    assert named["inner"].share < 0.1
    assert sum(spot.share for spot in found) == pytest.approx(1, abs=0.02)
    shares = [spot.share for spot in found]
    assert shares == sorted(shares, reverse=True)
    interval = named["spin"].interval
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    assert 0 < interval.low <= named["spin"].share <= interval.high <= 1


def test_recursion_counts_a_moment_once() -> None:
    def down(depth: int) -> int:
        return spin(500) + (down(depth - 1) if depth else 0)

    named = by_name(hotspots(functools.partial(down, 9), QUICK))
    assert named["down"].calls == named["spin"].calls == 10
    assert named["down"].total_seconds <= sum(spot.self_seconds for spot in named.values()) * 1.001


def test_a_library_stands_at_the_line_that_calls_it() -> None:
    rows = list(range(3000))

    def work() -> tuple[object, object]:
        text = json.dumps(rows)
        return json.loads(text), sorted(rows, reverse=True)

    first = work.__code__.co_firstlineno
    named = by_name(hotspots(work, QUICK))
    assert (named["dumps (json)"].file, named["dumps (json)"].line) == (__file__, first + 1)
    assert named["loads (json)"].line == named["sorted"].line == first + 2
    assert not any("encoder" in spot.file or spot.function == "iterencode" for spot in named.values())
    assert {named[name].calls for name in ("dumps (json)", "loads (json)", "sorted")} == {1}


def test_a_callback_from_a_library_is_ones_own() -> None:
    def key(number: int) -> int:
        return spin(20) - number

    named = by_name(hotspots(lambda: sorted(range(300), key=key), QUICK))
    assert named["key"].calls == named["spin"].calls == 300


def test_one_library_alone_is_opened() -> None:
    """The pure-Python encoder of json takes nearly all of the time: its functions are shown."""
    found = hotspots(lambda: json.dumps([[0] * 200], indent=1), QUICK)
    assert found[0].function == "_iterencode_list"
    assert found[0].file.endswith("encoder.py")


def test_a_librarys_own_function_is_shown_inside() -> None:
    found = hotspots(subject_of(json.dumps, ([[0] * 200],), {"indent": 1}).call, QUICK)
    assert found[0].function == "_iterencode_list"


def test_a_built_in_alone_and_what_python_does_not_see() -> None:
    numbers = list(range(20_000, 0, -1))
    found = hotspots(subject_of(sorted, (numbers,)).call, QUICK)
    assert (found[0].function, found[0].file, found[0].calls) == ("sorted", BUILT_IN, 1)
    assert hotspots(functools.partial(sorted, numbers), QUICK) == ()


@pytest.mark.parametrize(
    ("file", "package"),
    [
        (json.__file__, "json"),
        (pytest.__file__, "pytest"),
        (module.__file__, "tinytorch"),
        (__file__, ""),
        ("<stdin>", ""),
        ("<frozen importlib._bootstrap>", "python"),
        (str(Path(module.__file__).parents[3] / "tools" / "x.py"), ""),
    ],
)
def test_the_library_of_a_file(file: str, package: str) -> None:
    assert package_of(file) == package


def test_an_error_passes_through_and_leaves_no_profiler() -> None:
    calls = []

    def fails_at(number: int) -> None:
        calls.append(1)
        if len(calls) == number:
            raise KeyError("mine")

    for number in (1, 2, 3, 40):
        calls.clear()
        with pytest.raises(KeyError, match="mine"):
            hotspots(functools.partial(fails_at, number), QUICK)
        assert sys.getprofile() is None
        assert occupied() == ""
    assert hotspots(lambda: spin(1000), 0.05)


def test_another_profiler_is_refused_and_left_alone() -> None:
    def other(*_: object) -> None:
        pass

    sys.setprofile(other)
    try:
        with pytest.raises(ProfilingError, match="is active, and each would measure the other"):
            hotspots(lambda: 1, QUICK)
        assert sys.getprofile() is other
    finally:
        sys.setprofile(None)
    profile = cProfile.Profile()
    profile.enable()
    try:
        reason = occupied()
        with pytest.raises(ProfilingError, match="Stop it first"):
            hotspots(lambda: 1, QUICK)
    finally:
        profile.disable()
    assert "Profile" in reason
    assert occupied() == ""


def test_a_function_that_profiles_itself_is_refused() -> None:
    def work() -> None:
        sys.setprofile(lambda *_: None)
        spin(10)
        sys.setprofile(None)

    with pytest.raises(ProfilingError, match="sets a profiler of its own"):
        hotspots(work, QUICK)
    assert sys.getprofile() is None


def test_a_long_call_is_sampled_in_few_sessions() -> None:
    calls = []

    def work() -> None:
        calls.append(1)
        spin(60_000)

    assert by_name(hotspots(work, seconds=0.0))["spin"].share > 0.9
    assert len(calls) == 1 + 2 * module.FEWEST


def test_several_lines_share_the_time_by_their_calls() -> None:
    rows = list(range(2000))

    def work() -> None:
        sorted(rows)
        for _ in range(3):
            sorted(rows)

    first = work.__code__.co_firstlineno
    found = {spot.line: spot for spot in hotspots(work, QUICK) if spot.function == "sorted"}
    assert {line: spot.calls for line, spot in found.items()} == {first + 1: 1, first + 3: 3}
    assert found[first + 3].share == pytest.approx(3 * found[first + 1].share)


def test_what_a_library_calls_deep_inside_is_shared_by_the_lines_that_enter_it() -> None:
    """A function that two entries reach, for 2 s and 4 s, and that calls itself through another."""
    encoder = json.encoder.__file__
    main, one, two, deep, cycle = (
        Function(name, "/me.py" if name == "main" else encoder, 1)
        for name in ("main", "one", "two", "deep", "cycle")
    )
    graph = Graph(
        {
            main: Times(1.0, 10.0, 1),
            one: Times(0.5, 3.0, 1),
            two: Times(0.5, 6.0, 1),
            deep: Times(6.0, 8.0, 9),
            cycle: Times(2.0, 2.0, 9),
        },
        {
            (main, one): Times(0.5, 3.0, 1),
            (main, two): Times(0.5, 6.0, 1),
            (one, deep): Times(2.0, 2.5, 3),
            (two, deep): Times(4.0, 5.0, 6),
            (deep, cycle): Times(2.0, 2.0, 9),
            (cycle, deep): Times(0.0, 0.0, 9),
            (cycle, cycle): Times(9.0, 9.0, 9),
        },
        {main: Times(1.0, 10.0, 1)},
    )
    found = spots(graph, Calls(), {""})
    alone = {spot.name: times.alone * 10 for spot, times in found.items()}
    assert alone == pytest.approx({"main": 1.0, "one (json)": 0.5 + 8 / 3, "two (json)": 0.5 + 16 / 3})
    whole = {spot.name: times.whole * 10 for spot, times in found.items()}
    assert whole == pytest.approx({"main": 10.0, "one (json)": 3.0, "two (json)": 6.0})
    assert spots(Graph(), Calls(), {""}) == {}


def test_names() -> None:
    class Parser:
        def parse(self) -> int:
            return spin(5000) + sum([spin(10) for _ in range(3)])

    assert {"Parser.parse", "spin"} <= set(by_name(hotspots(Parser().parse, QUICK)))
    assert short("f.<locals>.g.<locals>.<lambda>") == "g.<lambda>"
    assert short("A.b") == "A.b"
