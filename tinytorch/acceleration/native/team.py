"""Threads that run one native function together."""

from __future__ import annotations

import functools
import os
import queue
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinytorch import threads

_WORTH = 8
"""How many times as long as the way in and out a program must take on one thread, for more to join."""
_FLOPS, _BYTES = 4e10, 1e10
"""What a thread does a second, roughly and rather too much: FLOPs, and bytes moved."""


class Team:
    """`count` threads, this one among them, that call a function at the same time."""

    def __init__(self, count: int) -> None:
        self.count, self.process = count, os.getpid()
        self._lock = threading.Lock()
        self.numbers = [np.array([i]) for i in range(count)]
        self._work: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in range(count - 1)]
        for waiting in self._work:
            threading.Thread(target=_serve, args=(waiting,), daemon=True, name="tinytorch").start()

    def run(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function(*arguments, number)` in every thread; it returns when all have done their work.

        The function itself sees to that: its threads wait for each other at its end.
        """
        with self._lock:  # two callers at once must come in the same order to all threads
            for waiting, number in zip(self._work, self.numbers[1:], strict=True):
                waiting.put((function, (*arguments, number)))
        function(*arguments, self.numbers[0])


def _serve(waiting: queue.SimpleQueue[Any]) -> None:
    while True:
        function, arguments = waiting.get()
        function(*arguments)


_lock = threading.Lock()
_teams: dict[int, Team] = {}


def team(count: int) -> Team:
    """The team of so many threads of this process."""
    with _lock:
        found = _teams.get(count)
        if found is None or found.process != os.getpid():  # threads do not outlive a fork
            found = _teams[count] = Team(count)
        return found


def run_together(count: int, function: Callable[..., object], *arguments: Any) -> None:
    """Have the team of `count` threads of this process run a function: see `Team.run`."""
    team(count).run(function, *arguments)


@functools.cache
def join_seconds(count: int) -> float:
    """What it takes to have a team of `count` threads answer, measured once, in seconds."""
    found = []
    members = team(count)
    done = threading.Barrier(count)
    for _ in range(30):
        start = time.perf_counter()
        members.run(lambda _: _arrive(done))
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def _arrive(barrier: threading.Barrier) -> None:
    barrier.wait()


@functools.cache
def _allowed() -> int:
    """What BLAS was told to use, if the user said nothing to us, and no more than this process may run on."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(threads.get_num_threads(), cores)


def wanted(flops: int, nbytes: int) -> int:
    """How many threads a program of this work should run on: all that are allowed, or one."""
    count = threads.limit() or _allowed()
    if count == 1:
        return 1
    seconds = flops / _FLOPS + nbytes / _BYTES
    return count if seconds > _WORTH * join_seconds(count) else 1
