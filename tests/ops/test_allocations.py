"""Memory beside Python and NumPy: told of by its owner, counted by tracemalloc while that runs."""

import ctypes
import tracemalloc

import pytest

from tinytorch.errors import ProfilingError
from tinytorch.ops.allocations import DOMAIN, Allocations
from tinytorch.ops.base import allocations


def test_blocks_are_counted_by_owner_until_they_are_freed() -> None:
    blocks = Allocations()
    blocks.allocate("program", 64, 1_000)
    blocks.allocate("program", 128, 500)
    blocks.allocate("file", 4096, 7)
    assert (blocks.live, blocks.by_owner()) == (1_507, {"program": 1_500, "file": 7})
    blocks.free(64)
    assert (blocks.live, blocks.by_owner()) == (507, {"program": 500, "file": 7})


def test_what_cannot_be_is_refused_and_changes_nothing() -> None:
    blocks = Allocations()
    blocks.allocate("program", 64, 1_000)
    with pytest.raises(ProfilingError, match="0x40, where program holds 1000 bytes"):
        blocks.allocate("other", 64, 10)
    with pytest.raises(ProfilingError, match="-1 bytes"):
        blocks.allocate("other", 65, -1)
    with pytest.raises(ProfilingError, match="no block at 0x80"):
        blocks.free(128)
    assert blocks.by_owner() == {"program": 1_000}


def test_tracemalloc_sees_blocks_that_come_and_go_while_it_runs_and_those_from_before() -> None:
    early, late = (ctypes.create_string_buffer(1) for _ in range(2))
    blocks = Allocations()
    blocks.allocate("early", ctypes.addressof(early), 300_000)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        blocks.track_all()
        blocks.allocate("late", ctypes.addressof(late), 200_000)
        both = tracemalloc.get_traced_memory()[0] - before
        only = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, DOMAIN)])
        blocks.free(ctypes.addressof(late))
        blocks.free(ctypes.addressof(early))
        rest = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 500_000 <= both < 550_000
    assert sorted(trace.size for trace in only.traces) == [200_000, 300_000]
    assert abs(rest) < 100_000


def test_the_registry_of_the_process_starts_empty() -> None:
    assert allocations.live == 0
