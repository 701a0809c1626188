"""MemoryProfiler on functions whose memory is known: temporaries, leaks, caches, results, foreign buffers."""

import ctypes
import gc
import mmap
import sys
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tests.profiling.memory.pages import touch
from tinytorch.errors import ProfilingError
from tinytorch.models import MLP
from tinytorch.ops.base import allocations
from tinytorch.ops.context import state
from tinytorch.profiling.memory import profiler as memory_module
from tinytorch.profiling.memory.profiler import MemoryProfiler, measure_memory
from tinytorch.profiling.profile import MemoryUse
from tinytorch.profiling.subject import subject_of

MIB = 1024 * 1024


def profile(function: Any, *args: Any, **options: Any) -> MemoryUse:
    return MemoryProfiler().profile(function, *args, **options)


def test_a_function_that_does_nothing_needs_nothing() -> None:
    use = profile(lambda: None)
    assert (use.retained, use.pattern, use.repeats) == (0, "steady", 5)
    assert use.allocated < 1024
    assert use.peak - use.baseline == use.allocated
    assert use.slope is not None
    assert (use.slope.value, use.slope.low, use.slope.high) == (0.0, 0.0, 0.0)
    assert use.modules == ()


@pytest.mark.parametrize("size", [1_000_000, 250_000])
def test_temporaries_of_known_size_make_a_spike(size: int) -> None:
    def expensive() -> float:
        first = np.ones(size)
        second = np.zeros(2 * size)
        second.fill(1.0)
        del first
        third = np.ones(size // 2)
        return float(second[0] + third[0])

    use = profile(expensive)
    assert use.pattern == "spiky"
    assert use.allocated == pytest.approx(3 * 8 * size, rel=0.01)
    assert use.temporaries == pytest.approx(3 * 8 * size, rel=0.01)
    assert use.retained == 0
    assert max(point.bytes for point in use.timeline) - use.timeline[0].bytes == pytest.approx(
        3 * 8 * size, rel=0.01
    )


def test_a_result_is_no_spike_and_does_not_stay() -> None:
    use = profile(lambda: np.ones(500_000))
    assert use.pattern == "steady"
    assert use.allocated == pytest.approx(4_000_000, rel=0.01)
    assert use.retained == 0


def test_python_objects_count_as_well() -> None:
    use = profile(lambda: len([bytes(1_000) for _ in range(2_000)]))
    expected = 2_000 * (sys.getsizeof(bytes(1_000)) + 8)
    assert use.allocated == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("size", [100, 20_000, 3_000_000])
def test_a_leak_is_found_with_its_slope(size: int) -> None:
    held: dict[int, bytes] = dict.fromkeys(range(400), b"")
    number = iter(range(400))

    def leak() -> None:
        held[next(number)] = bytes(size)

    use = profile(leak)
    assert use.pattern == "growing"
    assert use.slope is not None
    assert use.slope.low is not None
    assert use.slope.high is not None
    assert use.slope.value == pytest.approx(sys.getsizeof(bytes(size)), rel=0.01)
    assert 0 < use.slope.low <= use.slope.value <= use.slope.high
    assert use.retained == pytest.approx(sys.getsizeof(bytes(size)), rel=0.01)


def test_a_list_that_only_grows_is_found() -> None:
    held: list[Any] = []
    use = profile(lambda: held.append(None))
    assert use.pattern == "growing"
    assert use.slope is not None
    assert use.slope.value == pytest.approx(8, abs=2)
    assert use.repeats == 64
    held.clear()
    use = profile(lambda: held.append(bytearray(50_000)), repeats=6)
    assert (use.pattern, use.repeats) == ("growing", 6)
    assert use.slope is not None
    assert use.slope.value == pytest.approx(50_057, rel=0.01)


def test_a_cache_that_fills_in_the_first_call_is_no_leak() -> None:
    cache: dict[str, Any] = {}

    def cached() -> int:
        if "table" not in cache:
            cache["table"] = np.ones(300_000)
        return len(cache)

    use = profile(cached)
    assert (use.pattern, use.retained, use.repeats) == ("steady", 0, 5)


def test_a_cache_that_fills_over_some_calls_is_no_leak() -> None:
    cache: dict[int, bytes] = {}
    calls = iter(range(1_000))

    def cached() -> None:
        key = min(next(calls), 6)
        cache.setdefault(key, bytes(2_000))

    use = profile(cached)
    assert (use.pattern, use.retained) == ("steady", 0)
    assert use.repeats > 5


def test_garbage_in_cycles_is_collected_before_one_says_it_stays() -> None:
    def cycle() -> None:
        loop: list[Any] = [bytearray(100_000)]
        loop.append(loop)

    use = profile(cycle)
    assert (use.pattern, use.retained, use.repeats) == ("steady", 0, 5)
    assert use.allocated == pytest.approx(100_000, rel=0.01)


def test_growth_that_there_is_no_time_to_judge_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "MORE_SECONDS", 0.0)
    held: list[bytes] = []
    use = profile(lambda: held.append(bytes(200)))
    assert use.pattern == "steady"
    assert use.repeats == 6
    assert any("6 calls left too little to tell" in note for note in use.notes)


# ---------------------------------------------------------------- where, and by whom


def test_sites_name_the_lines_whose_memory_is_live_at_the_peak() -> None:
    def lines() -> float:
        gone = np.ones(100_000)
        del gone
        first = np.ones(500_000)
        second = first + 1.0
        return float(second[0])

    start = lines.__code__.co_firstlineno
    sites = {(site.file, site.line): site.bytes for site in profile(lines).sites}
    assert sites[__file__, start + 3] == pytest.approx(4_000_000, rel=0.01)
    assert sites[__file__, start + 4] == pytest.approx(4_000_000, rel=0.01)
    assert (__file__, start + 1) not in sites


def test_what_lives_only_within_a_line_is_put_down_to_that_line() -> None:
    def one_line() -> float:
        return float((np.ones(500_000).reshape(2, -1) + np.zeros(1)).sum())

    use = profile(one_line)
    sites = {(site.file, site.line): site.bytes for site in use.sites}
    assert sites[__file__, one_line.__code__.co_firstlineno + 1] == pytest.approx(use.allocated, rel=0.01)
    assert use.sites[0].blocks >= 1
    assert sum(sites.values()) == pytest.approx(use.allocated, rel=0.01)


def test_a_peak_in_a_function_that_is_called_again_and_again_is_found_at_its_call() -> None:
    def inner(size: int) -> Any:
        return np.ones(size)

    def outer() -> None:
        for size in (10_000, 300_000, 200_000):
            inner(size)

    use = profile(outer)
    assert use.sites[0].line == inner.__code__.co_firstlineno + 1
    assert use.sites[0].bytes == pytest.approx(2_400_000, rel=0.01)
    assert any("inner" in point.path for point in use.timeline)


def test_threads_that_the_function_starts_count() -> None:
    def work() -> None:
        thread = threading.Thread(target=lambda: np.ones(1_000_000).sum())
        thread.start()
        thread.join()

    assert profile(work).allocated == pytest.approx(8_000_000, rel=0.01)


class Arena:
    """A toy allocator whose memory tracemalloc cannot see: pages from the system."""

    def __init__(self, size: int) -> None:
        self.pages = mmap.mmap(-1, size)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.pages))
        allocations.allocate("arena", self.address, size)

    def close(self) -> None:
        allocations.free(self.address)
        gc.collect()
        self.pages.close()


def test_buffers_that_tracemalloc_cannot_see_are_counted() -> None:
    def temporary() -> None:
        Arena(4 * MIB).close()

    use = profile(temporary)
    assert use.pattern == "spiky"
    assert use.allocated == pytest.approx(4 * MIB, rel=0.01)
    assert use.retained == 0
    assert use.sites[0].file == __file__
    assert use.sites[0].bytes == pytest.approx(4 * MIB, rel=0.01)


def test_buffers_from_before_are_in_the_baseline_and_those_left_behind_are_retained() -> None:
    early, held = Arena(8 * MIB), []
    try:
        use = profile(lambda: held.append(Arena(MIB)))
        assert use.baseline >= 8 * MIB
        assert use.retained == pytest.approx(MIB, rel=0.01)
        assert use.pattern == "growing"
        freed = profile(lambda: held.pop().close(), repeats=3)
        assert freed.retained == pytest.approx(-MIB, rel=0.01)
    finally:
        for arena in (early, *held):
            arena.close()
    assert allocations.live == 0


def test_arguments_are_in_the_baseline() -> None:
    given = np.ones(1_000_000)
    use = profile(lambda x, more: None, (given,), {"more": [tt.Tensor(np.ones(500_000))]})
    assert use.baseline == pytest.approx(12_000_000, rel=0.01)
    assert use.allocated < 1024


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_resident_size_stands_beside_the_traced_bytes() -> None:
    touched = profile(lambda: touch(64_000_000))
    assert touched.resident_baseline is not None
    assert touched.resident_peak is not None
    assert touched.resident_peak - touched.resident_baseline > 60_000_000
    reserved = profile(lambda: np.empty(8_000_000).size)
    assert reserved.allocated == pytest.approx(64_000_000, rel=0.01)
    assert reserved.resident_peak is not None
    assert reserved.resident_baseline is not None
    assert reserved.resident_peak - reserved.resident_baseline < 32_000_000, "pages never touched"


# ---------------------------------------------------------------- one call, bad input, what is left behind


def test_one_call_runs_once_and_says_what_it_cannot_know() -> None:
    calls = []

    def once() -> float:
        calls.append(1)
        return float(np.ones(1_000_000).sum())

    use = profile(once, repeats=1)
    assert len(calls) == 1
    assert (use.pattern, use.slope, use.repeats, use.sites) == ("unknown", None, 1, ())
    assert use.allocated == pytest.approx(8_000_000, rel=0.01)
    assert "one call" in use.notes[0]
    assert use.resident_baseline is not None or not sys.platform.startswith("linux")


@pytest.mark.parametrize("repeats", [0, -3])
def test_no_repeats_are_refused(repeats: int) -> None:
    with pytest.raises(ProfilingError, match=f"repeats={repeats}; expected 1 or more"):
        profile(lambda: None, repeats=repeats)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(ProfilingError, match="cannot be called"):
        profile(3)
    with pytest.raises(ProfilingError, match="under meta"), tt.meta():
        profile(lambda: None)
    assert_all_is_off()


@pytest.mark.parametrize("call", range(1, 12))
def test_an_error_passes_through_and_nothing_is_left_on(call: int) -> None:
    done = []

    def fails() -> None:
        done.append(1)
        tt.ones(3).sum()
        if len(done) == call:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        profile(fails)
    assert len(done) == call, "each pass is among those in which it fails"
    assert_all_is_off()
    assert profile(lambda: None).retained == 0


def assert_all_is_off() -> None:
    assert not tracemalloc.is_tracing()
    assert state().observers == ()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_measurement_within_another_is_refused() -> None:
    with pytest.raises(ProfilingError, match="another measurement runs"):
        profile(lambda: profile(lambda: None))
    assert_all_is_off()


def test_a_function_that_stops_tracing_is_told() -> None:
    with pytest.raises(ProfilingError, match="stop"):
        profile(tracemalloc.stop)
    with pytest.raises(ProfilingError, match="stop"):
        profile(tracemalloc.stop, repeats=1)
    assert_all_is_off()


def test_tracing_that_ran_before_runs_on_and_has_lost_nothing() -> None:
    tracemalloc.start()
    try:
        mine = bytearray(700_000)
        line = sys._getframe().f_lineno - 1
        use = profile(lambda: np.ones(100_000).sum())
        assert tracemalloc.is_tracing()
        assert use.baseline > 700_000
        assert use.allocated == pytest.approx(800_000, rel=0.01)
        found = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, __file__, line)])
        assert sum(trace.size for trace in found.traces) == pytest.approx(700_057, abs=100)
        del mine
    finally:
        tracemalloc.stop()


def test_a_debugger_and_frozen_objects_are_as_before() -> None:
    def trace(*_: Any) -> None:
        return None

    before = sys.gettrace()
    gc.freeze()
    sys.settrace(trace)
    try:
        profile(lambda: None)
        assert sys.gettrace() is trace
        assert gc.get_freeze_count() > 0
    finally:
        sys.settrace(before)
        gc.unfreeze()


def test_measure_memory_takes_a_subject() -> None:
    model = MLP((8, 4, 2))
    use = measure_memory(subject_of(model), repeats=2)
    assert use.parameters == 4 * (8 * 4 + 4 + 4 * 2 + 2)
    assert [module.path for module in use.modules][:2] == ["", "flatten"]
