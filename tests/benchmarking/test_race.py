"""Races take turns, count what they say, and see what answers a known input faster."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tinytorch.benchmarking import race as races
from tinytorch.benchmarking.race import Lane, race, repeated
from tinytorch.ops.spec import Array


class Clock:
    """Time that passes only where a program says so."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter_ns(self) -> int:
        return self.now

    process_time_ns = perf_counter_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    found = Clock()
    monkeypatch.setattr(races, "time", found)
    return found


def lane(clock: Clock, cost: int, drift: list[float] | None = None, remembers: bool = False) -> Lane:
    """A program that takes `cost` nanoseconds, or a tenth for the input that it had last."""
    last: list[bytes] = []

    def query(x: Array) -> Array:
        known = remembers and last == [x.tobytes()]
        last[:] = [x.tobytes()]
        clock.now += int(cost * (drift[0] if drift else 1.0) * (0.1 if known else 1.0))
        if drift:
            drift[0] *= 1.0005
        return x + 1

    return Lane(query, np.arange(64, dtype=np.float32).reshape(32, 2))


def test_the_ratio_of_two_programs_is_found_whatever_drifts(clock: Clock) -> None:
    drift = [1.0]
    found = race(lane(clock, 100_000, drift), lane(clock, 40_000, drift), 12, "classify", 3)
    ratios = np.array(found.first) / np.array(found.second)
    assert found.part == "classify"
    assert found.process == 3
    np.testing.assert_allclose(ratios.mean(), 2.5, rtol=0.01)
    assert len(found.first) == 12


def test_turns_are_a_b_b_a(clock: Clock) -> None:
    order: list[str] = []

    def named(name: str) -> Lane:
        def query(x: Array) -> Array:
            order.append(name)
            clock.now += 3_000_000
            return x

        return Lane(query, np.zeros((4, 1), np.float32))

    race(named("a"), named("b"), 2, "offline", 0)
    turns = "".join(order[4:][:: races.LEAST])  # behind the warm-up, one of each burst
    assert turns == "abba" + "abba" + "baab"


def test_outputs_are_kept_with_the_number_of_their_input(clock: Clock) -> None:
    one = lane(clock, 100_000)
    one.burst(40)
    assert set(one.outputs) == set(range(32))
    np.testing.assert_array_equal(one.outputs[3][0], one.inputs[3] + 1)


def test_a_program_that_remembers_is_seen(clock: Clock) -> None:
    assert repeated(lane(clock, 100_000), 8) == pytest.approx(1.0)
    assert repeated(lane(clock, 100_000, remembers=True), 8) > 5
