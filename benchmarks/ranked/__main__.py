"""`python -m benchmarks.ranked`: whether TinyMLPerf can be believed, and what it takes; `--only PART`.

`--rounds` is the number of copies, or of runs of one entry.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from benchmarks.parts import run_parts
from benchmarks.ranked import boards, copies
from benchmarks.ranked.boards import SPRINT, entry
from tinytorch import console
from tinytorch.benchmarking.events import EVENTS, event
from tinytorch.benchmarking.measure import measure
from tinytorch.benchmarking.optimize import Optimized, optimize
from tinytorch.benchmarking.result import Result
from tinytorch.profiling import words

MUST = {"mlp_sprint": 3.0, "cnn_marathon": 2.0, "transformer_decathlon": 1.5}
"""Overall, of what `tito optimize` makes."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parts: dict[str, Callable[[int], None]] = {
        "copies": _copies,
        "again": _again,
        "optimized": _optimized,
        "board": _board,
    }
    run_parts("benchmarks.ranked", __doc__, parts, arguments)


def _copies(count: int) -> None:
    found = copies.measure(count)
    published = [copy for copy in found if copy.published]
    console.say(f"{len(found)} copies of the baseline entered, {len(published)} published")
    shared = sum(copy.shares for copy in published)
    console.say(f"{shared} share the baseline's rank (must: all but one in fifty)")
    for name in ("speed", "whole"):
        held = sum(getattr(copy, name) for copy in published)
        console.say(f"intervals of {name} that hold 1: {held} of {len(published)} (must: 90 %)")
    values = [copy.overall for copy in published]
    console.say(f"overall from {min(values):.4f} to {max(values):.4f}")


def _again(rounds: int) -> None:
    """One entry in separate runs, every other one beside a program that keeps a core busy."""
    program, rows, published = optimize(event(SPRINT)).program, [], []
    for number in range(rounds):
        busy = number % 2 == 1
        with a_busy_core() if busy else nullcontext():
            found, _ = measure(entry(SPRINT, program))
        assert found.ratios is not None, "it is valid"
        assert found.control is not None, "it was timed"
        if found.published:
            published.append(found.ratios.overall.value)
        told = [words.times(one.estimate()) for one in (found.ratios.overall, found.control)]
        rows.append(
            [str(number), "a busy core" if busy else "alone", *told, "yes" if found.published else "no"]
        )
    console.table("One entry in separate runs", ["run", "beside it", "overall", "A/A", "published"], rows)
    apart = max(published) / min(published) - 1
    console.say(f"{len(published)} published, the largest {apart:.2%} above the smallest (must: 3 %)")


@contextmanager
def a_busy_core() -> Iterator[None]:
    """A program beside this one that never rests, on one core where it can be told which."""
    pin = f"import os; os.sched_setaffinity(0, [{max(os.sched_getaffinity(0))}])\n"
    code = f"{pin if sys.platform == 'linux' else ''}while True: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            yield
        finally:
            process.kill()


def _optimized(rounds: int) -> None:
    """What `tito optimize` makes for each event, entered beside the baseline; the seconds of each step."""
    rows = []
    with boards.competition() as run:
        for name, one in EVENTS.items():
            run.enter_baseline(name, "open")
            begun = time.perf_counter()
            made: Optimized = optimize(one)
            making, begun = time.perf_counter() - begun, time.perf_counter()
            found = run.submit_entry(entry(name, made.program)).result
            ranked, begun = time.perf_counter() - begun, time.perf_counter()
            measure(entry(name, made.program), quick=True)
            quick = time.perf_counter() - begun
            rows.append(
                [one.title, *_ratios(found, MUST[name]), *(f"{s:.1f} s" for s in (making, ranked, quick))]
            )
    columns = ["event", "overall", "must", "speed", "memory", "size", "quality", "made", "ranked", "quick"]
    console.table("Entries of tito optimize; ranked must take 60 s, quick 15 s", columns, rows)


def _ratios(found: Result, must: float) -> list[str]:
    ratios = found.ratios
    assert ratios is not None, "it passed the gate"
    overall = words.times(ratios.overall.estimate()) + ("" if ratios.overall.value >= must else " NO")
    rest = (ratios.speed, ratios.memory, ratios.size, ratios.accuracy)
    return [overall, f">= {must:g}", *(f"{one.value:.2f}x" for one in rest)]


def _board(rounds: int) -> None:
    seconds = boards.page_seconds(1000)
    console.say(f"a board of 1,000 entries and 999 re-runs: {words.seconds(seconds)} (must: 100 ms)")
    kept, twice = boards.uploads(20)
    console.say(f"20 uploads at once, two workers: {kept} taken, {twice} taken twice (must: 20, 0)")


if __name__ == "__main__":
    main()
