"""Clocks that pass only when told, programs of a few calls, and rules worked out in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.trace import trace
from tinytorch.autograd import no_grad
from tinytorch.benchmarking import race as races
from tinytorch.benchmarking.race import Lane
from tinytorch.models import MLP
from tinytorch.nn.module import Module
from tinytorch.random import Generator


class Clock:
    """Nanoseconds that pass only where a program says so."""

    def __init__(self) -> None:
        self.now = 1000

    def perf_counter_ns(self) -> int:
        return self.now

    process_time_ns = perf_counter_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(races, "time", found)
    return found


def lane(clock: Clock, costs: Sequence[int], said: list[str] | None = None, name: str = "") -> Lane:
    """A program whose queries take these nanoseconds, one after the other and from the front again."""
    asked = [0]

    def query(x: Any) -> Any:
        clock.now += costs[asked[0] % len(costs)]
        asked[0] += 1
        if said is not None:
            said.append(name)
        return x

    return Lane(query, np.zeros((5, 2), np.float32))


def graph_of(model: Module) -> Graph:
    with no_grad():
        model.eval()
        return trace(model, (model.example_input,)).graph


def mlp(*sizes: int) -> MLP:
    model = MLP(sizes, generator=Generator(1))
    model.example_input = Generator(2).rand(1, sizes[0])
    return model


def beaten(point: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the other one is nowhere worse and somewhere better."""
    worse = [a > b for a, b in zip(other, point, strict=True)]
    better = [a < b for a, b in zip(other, point, strict=True)]
    return True in better and True not in worse
