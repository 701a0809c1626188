"""A MemoryUse as text: it says what it holds, in at most 100 columns."""

from pathlib import Path

import pytest

from tinytorch.models import GPT
from tinytorch.profiling.memory.profiler import MemoryProfiler
from tinytorch.profiling.memory.text import text
from tinytorch.profiling.profile import MemorySite, MemoryUse, ModuleMemory
from tinytorch.profiling.statistics import Estimate

KIB = 1024


def use(**fields: object) -> MemoryUse:
    plain: dict[str, object] = {
        "baseline": KIB,
        "peak": 5 * KIB,
        "allocated": 4 * KIB,
        "retained": 0,
        "resident_baseline": 30 * KIB * KIB,
        "resident_peak": 31 * KIB * KIB,
        "pattern": "steady",
        "repeats": 5,
    }
    return MemoryUse(**{**plain, **fields})  # type: ignore[arg-type]


def test_the_verdict_comes_first() -> None:
    assert text(use()).splitlines()[0] == "memory     steady: needs about what it holds, and gives it back"
    assert "temporaries, which it gives back" in text(use(pattern="spiky")).splitlines()[0]
    assert "more than one call" in text(use(pattern="unknown", repeats=1))
    leak = text(use(pattern="growing", slope=Estimate(2048.0, 1024.0, 3072.0)))
    assert leak.startswith("memory     growing: each call leaves 2.0 KiB [1.0 KiB, 3.0 KiB] more behind")
    assert "[" not in text(use(pattern="growing", slope=Estimate(2048.0, None, None))).splitlines()[0]


def test_the_figures_are_there_and_the_process_with_a_reason() -> None:
    found = text(use(retained=2 * KIB, activations=3 * KIB, temporaries=KIB))
    assert "5.0 KiB, 4.0 KiB over a baseline of 1.0 KiB; 2.0 KiB stays after a call (5 calls)" in found
    assert "kept for backward 3.0 KiB, temporaries 1.0 KiB" in found
    assert "30.0 MiB resident, at most 31.0 MiB: with interpreter" in found
    assert "(1 call)" in text(use(repeats=1))
    assert "its peak unknown" in text(use(resident_peak=None))
    assert "unknown on this system" in text(use(resident_baseline=None, resident_peak=None))
    assert "note       mind this" in text(use(notes=("mind this",)))


def test_modules_and_sites_are_ranked_and_counted() -> None:
    modules = tuple(ModuleMemory(f"part{i}", i * KIB, 0, 0, 0, i * KIB) for i in range(14))
    found = text(use(modules=modules)).splitlines()
    shown = [line.split()[0] for line in found if line.startswith("part")]
    assert shown == [f"part{i}" for i in range(4, 14)]
    assert found[-1] == "and 4 modules with lower peaks"
    here = str(Path.cwd() / "mine.py")
    sites = (MemorySite(here, 12, 3 * KIB, 2), MemorySite("/far/" + "away/" * 40 + "x.py", 7, KIB, 1_000))
    lines = text(use(sites=sites)).splitlines()
    assert lines[-2].split() == ["3.0", "KiB", "2", "mine.py:12"]
    assert lines[-1].endswith("away/x.py:7")
    assert "..." in lines[-1]
    assert len(lines[-1]) <= 100


def test_no_line_is_too_long_and_repr_is_this_text() -> None:
    found = MemoryProfiler().profile(GPT(vocab_size=65, context=16, width=32, layers=3, heads=2), repeats=2)
    assert repr(found) == text(found) == str(found)
    assert max(map(len, text(found).splitlines())) <= 100
    assert "blocks.2" in repr(found)


@pytest.mark.parametrize("pattern", ["steady", "growing", "spiky", "unknown"])
def test_each_pattern_has_words(pattern: str) -> None:
    assert text(use(pattern=pattern)).startswith(f"memory     {pattern}")
