"""The meter takes itself off, the timeline keeps its peak, the resident size is the kernel's."""

import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.profiling.memory.pages import touch
from tinytorch.errors import ProfilingError
from tinytorch.profiling.memory import meter as memory_meter
from tinytorch.profiling.memory.meter import Meter, Timeline, require_tracing, resident

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def test_what_the_watcher_keeps_does_not_count_and_what_the_function_keeps_does() -> None:
    tracemalloc.start()
    try:
        meter, notes = Meter(), []
        meter.leave()
        meter.look()
        start = meter.now
        meter.leave()
        kept = [bytearray(500_000)]
        kept.clear()
        kept.append(bytearray(100_000))
        meter.look()
        now, peak = meter.now, meter.peak
        notes.append(bytearray(300_000))
        meter.leave()
        meter.look()
        later, later_peak = meter.now, meter.peak
    finally:
        tracemalloc.stop()
    assert now - start == pytest.approx(100_000, abs=500)
    assert peak - start == pytest.approx(500_000, abs=500)
    assert later - start == pytest.approx(100_000, abs=500)
    assert later_peak - start == pytest.approx(100_000, abs=500)
    assert meter.own >= 300_000


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=400), st.integers(3, 40))
def test_a_timeline_keeps_its_ends_its_order_and_its_highest_point(lives: list[int], most: int) -> None:
    timeline = Timeline(most)
    for number, live in enumerate(lives):
        timeline.add(float(number), live, str(number))
    points = timeline.thinned()
    assert len(points) <= most
    assert points[0].bytes == lives[0]
    assert max(point.bytes for point in points) == max(lives)
    assert [point.seconds for point in points] == sorted(point.seconds for point in points)
    assert all(lives[int(point.path)] == point.bytes and point.seconds == int(point.path) for point in points)


def test_a_long_timeline_takes_no_more_memory_than_a_short_one() -> None:
    timeline = Timeline(10)
    tracemalloc.start()
    try:
        for number in range(10_000):
            timeline.add(float(number), number % 777, "a" if number < 5_000 else "b")
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    points = timeline.thinned()
    assert taken < 1_000
    assert 4 <= len(points) <= 10
    assert max(point.bytes for point in points) == 776
    assert [point.path for point in points] == sorted(point.path for point in points)


def test_a_short_timeline_is_whole() -> None:
    timeline = Timeline()
    for number in range(2_000):
        timeline.add(number * 0.5, number, "")
    assert [point.bytes for point in timeline.thinned()] == list(range(2_000))


@ON_LINUX
def test_the_resident_peak_has_pages_that_were_touched_and_given_back() -> None:
    before, peak = resident(lambda: touch(64_000_000))
    assert before is not None
    assert peak is not None
    assert 63_000_000 < peak - before < 80_000_000
    again, later = resident(lambda: None)
    assert again is not None
    assert later is not None
    assert later - again < 8_000_000, "the mark of the earlier call was set back"


@ON_LINUX
def test_without_the_right_to_reset_only_a_new_record_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_meter, "_CLEAR", Path("/proc/self/no-such-file/clear_refs"))
    touch(64_000_000)
    assert resident(lambda: None)[1] is None
    record = memory_meter._sizes()
    assert record is not None
    before, peak = resident(lambda: touch(record[1] + 16_000_000))
    assert before is not None
    assert peak is not None
    assert peak > record[1]


@pytest.mark.skipif(sys.platform == "win32", reason="getrusage")
def test_where_proc_is_missing_getrusage_tells_new_records(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory_meter, "_STATUS", tmp_path / "status")
    touch(64_000_000)
    assert resident(lambda: None) == (None, None)
    most = memory_meter._high_water()
    assert most is not None
    before, peak = resident(lambda: touch(most + 16_000_000))
    assert before is None
    assert peak is not None
    assert peak > most


def test_a_system_that_says_nothing_of_its_peak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t100 kB\n")
    monkeypatch.setattr(memory_meter, "_STATUS", tmp_path / "status")
    assert memory_meter._sizes() is None
    monkeypatch.setattr(sys, "platform", "win32")
    assert memory_meter._high_water() is None


def test_tracing_that_stopped_is_an_error() -> None:
    with pytest.raises(ProfilingError, match=r"memory of f: the function called tracemalloc.stop\(\)"):
        require_tracing("f")
