"""Copies of the baseline, entered one after the other: whether they share its rank, and intervals hold 1."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, product

from benchmarks.ranked.boards import SPRINT, competition, entry
from tinytorch import console
from tinytorch.acceleration.graph import Graph
from tinytorch.benchmarking.competition import BASELINE
from tinytorch.benchmarking.events import baseline, baseline_graph, canonical
from tinytorch.benchmarking.ratio import Ratio


@dataclass(frozen=True)
class Copy:
    """What became of one: whether it was published, its rank beside the baseline's, and which intervals hold
    1; `overall` is the ratio found.
    """

    published: bool
    shares: bool
    speed: bool
    whole: bool
    overall: float


def measure(count: int) -> list[Copy]:
    """Enter so many copies on one board; each is run beside its neighbours, which are copies, too."""
    found = []
    with competition() as run:
        run.enter_baseline(SPRINT, "open")
        for number, program in enumerate(islice(copies(), count)):
            submitted = run.submit_entry(entry(SPRINT, program, f"copy {number}"))
            ratios, machine = submitted.result.ratios, submitted.result.machine.fingerprint
            assert ratios is not None, "a copy is valid"
            places = run.board.board(SPRINT, "open", "overall", machine).places
            base = next(place.rank for place in places if place.row.team == BASELINE)
            shares = submitted.place is not None and submitted.place.rank == base
            held = holds_one(ratios.speed), holds_one(ratios.overall)
            found.append(Copy(submitted.result.published, shares, *held, ratios.overall.value))
            console.notice(f"copy {number}: {found[-1]}")
    return found


def copies() -> Iterator[bytes]:
    """Files of the baseline that differ in the name of a tensor alone, each as long as the baseline's."""
    graph, size = baseline_graph(SPRINT), len(baseline(SPRINT))
    for letters in product(string.ascii_lowercase, repeat=2):
        copy = canonical(renamed(graph, "".join(letters)))
        if len(copy) == size:
            yield copy


def renamed(graph: Graph, letters: str) -> Graph:
    """With other letters at the end of the name of its first weight."""
    value, name = next(iter(sorted(graph.names.items())))
    return replace(graph, names={**graph.names, value: f"{name[:-2]}{letters}"})


def holds_one(ratio: Ratio) -> bool:
    """Whether the interval of a ratio holds 1."""
    found = ratio.estimate()
    return (found.low or 0.0) <= 1.0 <= (found.high or 1.0)
