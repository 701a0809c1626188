"""Clocks and loops that keep their own time, so that no check depends on how fast this machine is."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tinytorch import console
from tinytorch.profiling.trace import Pass, Record


@pytest.fixture(autouse=True)
def quick_collector() -> Iterator[None]:
    """Spare the collector what was there before the check, and the learner the progress of measurements."""
    gc.freeze()
    console.set_quiet(True)
    yield
    console.set_quiet(False)
    gc.unfreeze()


class Clocks:
    """Two clocks in ns. A reading takes time itself: 7 ns of the wall's, and 100 ns for the CPU's."""

    def __init__(self) -> None:
        self.wall_now, self.cpu_now = 5_000, 900

    def wall(self) -> int:
        self.wall_now += 7
        return self.wall_now - 7

    def cpu(self) -> int:
        self.wall_now += 100
        return self.cpu_now

    def work(self, wall: int, cpu: int) -> str:
        self.wall_now += wall
        self.cpu_now += cpu
        return f"{wall} ns of work"


class Calls:
    """A loop of calls of `cost` ns each, as a clock with steps of `step` ns tells it; it notes what happens.

    `late`: ns by which the readings are disturbed, one after the other, and by nothing from then on.
    """

    def __init__(self, cost: int, step: int = 1, late: tuple[int, ...] = ()) -> None:
        self.cost, self.step, self.late = cost, step, list(late)
        self.asked: list[int] = []
        self.collector_ran: list[bool] = []
        self.events: list[str] = []

    def __call__(self, times: Iterator[None]) -> int:
        number = sum(1 for _ in times)
        self.asked.append(number)
        self.collector_ran.append(gc.isenabled())
        self.events.append("run")
        disturbed = self.late.pop(0) if self.late else 0
        return (number * self.cost) // self.step * self.step + disturbed


@contextmanager
def collections_noted(events: list[str]) -> Iterator[None]:
    """Note each full collection of garbage among the events."""

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            events.append("collection")

    gc.callbacks.append(note)
    try:
        yield
    finally:
        gc.callbacks.remove(note)


def record(
    path: str, op: str, seen: int, done: int, kernel: tuple[int, int], backward: bool = False
) -> Record:
    """One op: its kernel ran from and to `kernel`, its watcher from `seen` to `done`."""
    return Record(path, SimpleNamespace(name=op), backward, *kernel, seen, done)


def one_pass(start: int, end: int, *records: Any) -> Pass:
    """A watched pass."""
    return Pass(start, end, tuple(records))
