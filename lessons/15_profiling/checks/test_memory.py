"""Memory: what a call needs, what it keeps, what it leaves, and whether that grows."""

import tracemalloc
from array import array

import numpy as np
import pytest
from helpers import quick_collector

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.profiling.memory.pattern import pattern_of
from tinytorch.profiling.memory.profiler import measure_call

MB = 1_000_000
NEAR = 60_000  # bytes of small things: frames, the interpreter's own


@pytest.fixture
def tracing():
    """Allocations are followed while the check runs."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def numbers(before_and_rest):
    before, peak, end, after = before_and_rest
    return peak - before, end - before, after - before


@exercise("measure_call")
def test_peak_end_and_rest_of_a_call(tracing):
    def work():
        spare = bytearray(3 * MB)
        return bytearray(MB) if spare else None

    table = array("q", [0] * 4)
    expect.value("measure_call(work, table)")
    expect.close("numbers(table)", [4 * MB, MB, 0], 0, NEAR, numbers=numbers)


@exercise("measure_call")
def test_what_a_call_leaves_behind(tracing):
    kept = []

    def work():
        kept.append(bytearray(2 * MB))
        return bytearray(MB)

    table = array("q", [7] * 12)
    expect.value("measure_call(work, table, 4)")
    expect.close("numbers(table[4:8])", [3 * MB, 3 * MB, 2 * MB], 0, NEAR, numbers=numbers)
    expect.equal("list(table[:4]), list(table[8:])", ([7] * 4, [7] * 4))


@exercise("measure_call")
def test_levels_are_absolute(tracing):
    held = bytearray(5 * MB)
    table = array("q", [0] * 4)
    expect.value("measure_call(lambda: None, table)")
    expect.true("table[0] >= 5_000_000", "what is live before the call is in all four levels")
    expect.close("numbers(table)", [0, 0, 0], 0, NEAR, numbers=numbers)
    expect.equal("len(held)", 5 * MB)


@exercise("measure_call")
def test_an_earlier_peak_does_not_count(tracing):
    bytearray(8 * MB)
    table = array("q", [0] * 4)
    expect.value("measure_call(lambda: bytearray(MB), table)", MB=MB)
    expect.close("numbers(table)", [MB, MB, 0], 0, NEAR, numbers=numbers)


def cycle(size):
    """Garbage that only the collector can free."""
    ring = [bytearray(size)]
    ring.append(ring)
    return ring


@exercise("measure_call")
def test_garbage_is_neither_there_before_nor_left_behind(tracing):
    import gc

    gc.disable()
    try:
        cycle(4 * MB)
        table = array("q", [0] * 4)
        expect.value("measure_call(lambda: cycle(2 * MB), table)", MB=MB, cycle=cycle)
        expect.true("table[0] < 3_000_000", "garbage from before is collected before the first reading")
        expect.close("numbers(table)", [2 * MB, 2 * MB, 0], 0, NEAR, numbers=numbers)
    finally:
        gc.enable()


@exercise("measure_call")
def test_the_memory_call_is_made_once(tracing):
    made = []
    table = array("q", [0] * 4)
    expect.value("measure_call(lambda: made.append(1), table)")
    expect.equal("made", [1])


# ---------------------------------------------------------------- the pattern

FLAT = np.zeros(6)
GROWING = np.array([0, 8000, 16000, 24000])


@exercise("pattern_of")
def test_what_comes_back_is_steady():
    expect.equal("pattern_of(FLAT, 1_000_000, 900_000)", "steady")
    expect.equal("pattern_of(FLAT, 0, 0)", "steady")


@exercise("pattern_of")
def test_growth_is_said_first():
    expect.equal("pattern_of(GROWING, 1_000_000, 900_000)", "growing")
    expect.equal("pattern_of(GROWING, 1_000_000, 0)", "growing")


@exercise("pattern_of")
def test_too_short_to_tell_is_not_growing():
    expect.equal("pattern_of(np.array([0, 100, 200, 300]), 1_000, 1_000)", "steady")


@exercise("pattern_of")
def test_most_of_the_peak_given_back_is_a_spike():
    expect.equal("pattern_of(FLAT, 1_000_000, 500_000)", "spiky")
    expect.equal("pattern_of(FLAT, 1_000_000, 500_001)", "steady")
    expect.equal("pattern_of(FLAT, 1_000_000, 0)", "spiky")


@exercise("pattern_of")
def test_a_small_spike_is_none():
    expect.equal("pattern_of(FLAT, 65_536, 0)", "spiky")
    expect.equal("pattern_of(FLAT, 65_535, 0)", "steady")
    expect.equal("pattern_of(np.full(6, 10_000_000), 1_000_000, 0)", "spiky")
    expect.equal("pattern_of(np.full(6, 10_000_000), 999_999, 0)", "steady")
    expect.equal("pattern_of(np.array([10_000_000, 1, 1, 1]), 999_999, 0)", "steady")
