"""Growth and spikes judged from series whose truth is known."""

import numpy as np
import pytest

from tinytorch.profiling.memory.pattern import LEAST_BYTES, LONG, grows, pattern_of, trend


def test_a_line_has_its_slope_and_a_constant_none() -> None:
    assert trend(np.arange(0, 700, 100)).value == 100.0
    assert trend(np.full(6, 12_345)) == trend(np.zeros(3))
    assert trend(np.full(6, 12_345)).low == 0.0


def test_plain_growth_is_seen_at_once_and_slow_growth_after_long() -> None:
    assert grows(np.arange(4) * 8_000) is True
    assert grows(np.arange(3) * 8_000) is None, "two steps are too few"
    assert grows(np.arange(6) * 100) is None
    assert grows(np.arange(LONG + 1) * 100) is True


def test_a_list_that_grows_by_a_pointer_takes_memory_now_and_then() -> None:
    held: list[None] = []
    sizes = []
    for _ in range(LONG + 1):
        sizes.append(held.__sizeof__())
        held.append(None)
    assert grows(np.array(sizes)) is True
    assert LEAST_BYTES < trend(np.array(sizes)).value < 12


@pytest.mark.parametrize("entries", [1, 3, 4])
def test_a_cache_that_fills_is_no_growth(entries: int) -> None:
    levels = np.minimum(np.arange(17), entries) * 10_000
    assert grows(levels) is False
    assert pattern_of(levels, 0, 0) == "steady"


def test_a_cache_that_fills_late_is_no_growth_either() -> None:
    levels = np.minimum(np.arange(LONG + 1), 20) * 100
    assert grows(levels) is False


def test_growth_that_dies_down_is_no_leak() -> None:
    calls = np.arange(LONG + 1)
    levels = np.round(50_000 * (1 - np.exp(-calls / 15))).astype(np.int64)
    assert np.diff(levels)[4:].mean() > LEAST_BYTES
    assert grows(levels) is False


def test_what_shrinks_or_wanders_is_no_growth() -> None:
    assert grows(np.array([500, 400, 300, 300])) is False
    rng = np.random.default_rng(0)
    said = [grows(rng.integers(0, 5_000, LONG + 1)) for _ in range(300)]
    assert sum(answer is True for answer in said) <= 0.05 * len(said)


def test_spiky_is_what_gives_back_most_and_is_large_enough() -> None:
    flat = np.full(6, 1_000_000)
    assert pattern_of(flat, 200_000, 100_000) == "spiky"
    assert pattern_of(flat, 200_000, 100_001) == "steady"
    assert pattern_of(flat, 99_000, 0) == "steady", "below a tenth of the baseline"
    assert pattern_of(np.zeros(6), 65_535, 0) == "steady", "below 64 KiB"
    assert pattern_of(np.zeros(6), 65_536, 0) == "spiky"
    assert pattern_of(np.arange(6) * 10_000, 9_000_000, 0) == "growing", "a leak is the worse news"
