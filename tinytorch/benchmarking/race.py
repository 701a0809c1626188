"""Timing two programs in turns, A B B A, one query at a time, with results kept for checking."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinytorch.benchmarking.result import Rounds
from tinytorch.ops.spec import Array

BURST, LEAST = 2e-3, 2
"""Seconds of the queries that one program answers in a row, and how many there are at least."""
KEPT = 64
"""Single times of a program that a process reports."""
Query = Callable[[Array], Array]


@dataclass
class Lane:
    """One program in a race: what answers, what was asked of it, and what it took."""

    query: Query
    inputs: Array
    rounds: list[float] = field(default_factory=list)
    queries: list[int] = field(default_factory=list)
    outputs: dict[int, Array] = field(default_factory=dict)
    """By the number of the input, of those timed last."""
    cpu: int = 0
    wall: int = 0
    position: int = 0

    def burst(self, count: int, repeat: bool = False) -> list[int]:
        """Nanoseconds of each of `count` queries: on the inputs that follow, or on one again and again.

        Each input is copied to the same place before the clock starts, so that reading it costs the same
        whether it is new or not.
        """
        place = np.empty_like(self.inputs[:1])
        times = []
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        for _ in range(count):
            number = self.position % len(self.inputs)
            np.copyto(place[0], self.inputs[number])
            begun = time.perf_counter_ns()
            found = self.query(place)
            times.append(time.perf_counter_ns() - begun)
            if not repeat:
                self.position += 1
                self.outputs[number] = found
        self.cpu += time.process_time_ns() - cpu
        self.wall += time.perf_counter_ns() - wall
        return times


def race(first: Lane, second: Lane, rounds: int, part: str, process: int, swap: bool = False) -> Rounds:
    """Time both in `rounds` rounds of first, second, second, first.

    Every other round, from the second on, is second, first, first, second; with `swap` each is the other way
    round. A turn is `lane.burst(count)`, which gives the nanoseconds of each query; `burst_size` says how
    many queries that are for both. Before the first round each lane has two turns that do not count: what
    was called last is in the caches of the processor. A round counts as the median of all queries that a lane
    answered in it, in seconds, appended to `lane.rounds`, so that one interruption counts little; all
    nanoseconds go to `lane.queries`. The result holds both lanes' rounds, and of their queries `_some`.
    """
    count = burst_size([first, second])
    for lane in (first, second, second, first):
        lane.burst(count)
    for number in range(rounds):
        one, other = (second, first) if (number % 2) ^ swap else (first, second)
        times: dict[int, list[int]] = {id(one): [], id(other): []}
        for lane in (one, other, other, one):
            times[id(lane)] += lane.burst(count)
        for lane in (first, second):
            lane.rounds.append(float(np.median(times[id(lane)])) * 1e-9)
            lane.queries += times[id(lane)]
    times_of = (tuple(first.rounds), tuple(second.rounds), _some(first.queries), _some(second.queries))
    return Rounds(part, process, *times_of)


def burst_size(lanes: Sequence[Lane]) -> int:
    """How many queries a burst has: as many of the faster program as take BURST; warms both up."""
    needed = LEAST
    for lane in lanes:
        times = lane.burst(2)
        if min(times) * 1e-9 < BURST / LEAST:  # it is fast, and warm now
            times = lane.burst(3)
        needed = max(needed, math.ceil(BURST / max(float(np.median(times)) * 1e-9, 1e-7)))
        lane.cpu = lane.wall = 0
    return needed


def repeated(lane: Lane, rounds: int) -> float:
    """How many times faster the same input is answered again than new ones are: 1 for what keeps nothing."""
    count = burst_size([lane])
    ratios = []
    for number in range(rounds):
        order = (False, True, True, False) if number % 2 else (True, False, False, True)
        times: dict[bool, list[int]] = {False: [], True: []}
        for repeat in order:
            if repeat:
                lane.burst(1, repeat=True)  # the first time it is new
            times[repeat] += lane.burst(count, repeat=repeat)
        ratios.append(float(np.median(times[False]) / np.median(times[True])))
    return float(np.median(ratios))


def _some(queries: Sequence[int]) -> tuple[float, ...]:
    """At most KEPT of the times in seconds, evenly out of all of them, in their order."""
    at = np.linspace(0, len(queries) - 1, min(KEPT, len(queries))).astype(int)
    return tuple(queries[i] * 1e-9 for i in at)
