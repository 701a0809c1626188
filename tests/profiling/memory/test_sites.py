"""Finding the line of the peak, and what is live there; what happens where it cannot be found."""

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tinytorch.models import MLP
from tinytorch.profiling.memory import sites as memory_sites
from tinytorch.profiling.memory.profiler import MemoryProfiler
from tinytorch.profiling.memory.sites import PeakFinder, PeakViewer
from tinytorch.profiling.profile import MemoryUse


@pytest.fixture(autouse=True)
def _tracing() -> Iterator[None]:
    yield
    tracemalloc.stop()


@contextmanager
def trace_function_kept() -> Iterator[None]:
    """Afterwards the trace function must be the one from before."""
    before = sys.gettrace()
    try:
        yield
    finally:
        assert sys.gettrace() is before


def look(call: Callable[[], Any]) -> tuple[PeakFinder, PeakViewer]:
    tracemalloc.start(8)
    finder = PeakFinder()
    with trace_function_kept():
        finder.run(call)
    viewer = PeakViewer(finder)
    with trace_function_kept():
        viewer.run(call)
    return finder, viewer


def profile(*call: Any) -> MemoryUse:
    with trace_function_kept():
        return MemoryProfiler().profile(*call)


def test_the_line_of_the_peak_is_found() -> None:
    def call() -> None:
        small = np.ones(1_000)
        large = np.add(np.ones(200_000), small.sum())
        large[:5].sum()

    finder, viewer = look(call)
    assert finder.is_whole
    assert finder.peak == pytest.approx(3_208_000, rel=0.01)
    first = viewer.sites()[0]
    assert (first.file, first.line) == (__file__, call.__code__.co_firstlineno + 2)
    assert first.bytes == pytest.approx(3_200_000, rel=0.01)


def test_a_peak_as_a_function_returns_lies_in_its_caller() -> None:
    def made() -> Any:
        return np.ones(100_000)

    def call() -> float:
        return float((made() + made()).sum())

    _, viewer = look(call)
    lines = {site.line for site in viewer.sites() if site.bytes > 700_000}
    assert made.__code__.co_firstlineno + 1 in lines


def test_a_moment_that_does_not_come_back_gives_no_sites() -> None:
    done: list[int] = []

    def call() -> float:
        done.append(1)
        if len(done) == 1:
            return float(np.ones(100_000).sum())
        return 0.0

    _, viewer = look(call)
    assert viewer.snapshot is None
    assert viewer.sites() == ()
    calls = iter(range(100))

    def last_but_one() -> float:
        return float(np.ones(100_000).sum()) if next(calls) == 10 else 0.0

    use = profile(last_but_one)
    assert use.sites == ()
    assert "did not come back" in use.notes[0]


def test_after_so_many_lines_nothing_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_sites, "EVENTS", 50)

    def call() -> float:
        total = 0
        for number in range(200):
            total += number
        return float(np.ones(100_000).sum() + total)

    use = profile(call)
    assert use.sites == ()
    assert "ended after 50 of them" in use.notes[0]
    assert use.allocated == pytest.approx(800_000, rel=0.01)


def test_a_function_that_traces_lines_itself_is_noted() -> None:
    def call() -> float:
        if isinstance(sys.gettrace(), PeakFinder):
            sys.settrace(None)
        return float(np.ones(100_000).sum())

    use = profile(call)
    assert use.sites == ()
    assert "following lines ended" in use.notes[0]


def test_sites_of_a_model_are_in_its_layers_and_not_in_what_all_ops_go_through() -> None:
    model = MLP((500, 400, 10))
    with tt.no_grad():
        use = profile(model, (tt.Tensor(np.ones((50, 500), np.float32)),))
    assert use.sites[0].file.endswith(("nn/layers.py", "nn/activations.py"))
    assert not any("memory" in site.file.rsplit("/", 1)[-1] for site in use.sites)
    assert sum(site.bytes for site in use.sites) == pytest.approx(use.allocated, rel=0.05)


def test_an_error_takes_the_trace_function_off() -> None:
    def fails() -> None:
        raise KeyError("mine")

    tracemalloc.start()
    with pytest.raises(KeyError), trace_function_kept():
        PeakFinder().run(fails)


def test_events_by_hand() -> None:
    """What the interpreter tells while a call is traced, told by the test: same moments, same site.

    The block is large beside what a process of tests takes at any time for messages about the next ones.
    """

    def events(watcher: PeakFinder | PeakViewer) -> None:
        frame, held, before = sys._getframe(), [], sys.gettrace()
        assert watcher(frame, "call", None) is watcher
        for size in (1_000, 5_000_000, 2_000):
            assert watcher(frame, "line", None) in (watcher, None)
            held.append(bytearray(size))
            watcher(frame, "return", None)
            held.clear()
        sys.settrace(before)

    tracemalloc.start(8)
    finder = PeakFinder()
    with trace_function_kept():
        finder.run(int)
    events(finder)
    assert finder.peak == pytest.approx(5_000_000, rel=0.01)
    assert (finder.code, finder.event) == (events.__code__, "line")
    assert finder.after - finder.before == pytest.approx(5_000_000, rel=0.01)
    assert max(point.bytes for point in finder.timeline()) >= 5_000_000
    viewer = PeakViewer(finder)
    with trace_function_kept():
        viewer.run(int)
    events(viewer)
    assert viewer.sites()[0].bytes == pytest.approx(5_000_000, rel=0.01)
    assert viewer.sites()[0].file == __file__


def test_a_peak_before_the_first_line_is_over_is_seen_as_it_ends() -> None:
    def grows() -> Any:
        return bytearray(400_000)

    _, viewer = look(grows)
    assert viewer.sites()[0].line == grows.__code__.co_firstlineno + 1
