"""Placing work under a roof, against figures worked out by hand, and the roof that is measured and kept."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.errors import ProfilingError
from tinytorch.profiling.hardware import roofline
from tinytorch.profiling.hardware.machine import cores
from tinytorch.profiling.hardware.roofline import level_of, measure_roof, place, product_rate
from tinytorch.profiling.profile import Roof

ROOF = Roof(
    flops=100e9,
    bandwidths={"L1": 200e9, "L2": 100e9, "memory": 10e9},
    threads=1,
    sizes={"L1": 32_000, "L2": 1_000_000},
    spread={"flops": 0.01},
    call=1e-6,
)


# ---------------------------------------------------------------- placing


@pytest.mark.parametrize(
    ("flops", "moved", "seconds", "kernel", "share", "bound", "level"),
    [
        # 2e9 FLOPs take 20 ms at the peak; 1.2e7 bytes 1.2 ms from memory
        (2_000_000_000, 12_000_000, 0.04, 0.04, 0.5, "compute", "memory"),
        # 1e6 FLOPs take 10 us; 1.2e7 bytes 1.2 ms
        (1_000_000, 12_000_000, 0.0024, 0.002, 0.5, "memory", "memory"),
        # the same bytes a hundredth of the size lie in L2: 1.2 us from there, 10 us for the FLOPs
        (1_000_000, 120_000, 1e-4, 9e-5, 0.1, "compute", "L2"),
        # and in L1: 6e3 bytes at 200 GB/s are 0.03 us, below a call
        (100, 6_000, 3e-6, 2.5e-6, 0.01, "overhead", "L1"),
        # more than half of the time is Python's
        (2_000_000_000, 12_000_000, 0.04, 0.019, 0.5, "overhead", "memory"),
        # no FLOPs at all: a copy
        (0, 800_000, 1.6e-5, 1.6e-5, 0.5, "memory", "L2"),
    ],
)
def test_places_by_hand(
    flops: int, moved: int, seconds: float, kernel: float, share: float, bound: str, level: str
) -> None:
    found = place(flops, moved, seconds, kernel, ROOF)
    assert found.share == pytest.approx(share, rel=1e-12)
    assert (found.bound, found.level) == (bound, level)


def test_unknown_work_has_no_share() -> None:
    assert place(None, 1000, 1e-3, 1e-3, ROOF) == roofline.Placement(None, None, None)
    assert place(None, 1000, 1e-3, 1e-4, ROOF).bound == "overhead"
    assert place(0, 0, 1e-3, 1e-4, ROOF) == roofline.Placement(None, "overhead", None)
    assert place(10, 10, 0.0, 0.0, ROOF) == roofline.Placement(None, None, None)


def test_calls_count_against_the_roof() -> None:
    work = (1_000_000, 120_000, 1e-4, 9e-5, ROOF)  # the roof allows 10 us, a call costs 1 us
    assert place(*work, calls=9).bound == "compute"
    assert place(*work, calls=11).bound == "overhead"


def test_a_working_set_says_where_the_data_lie() -> None:
    near = place(0, 120_000, 1e-4, 9e-5, ROOF)
    far = place(0, 120_000, 1e-4, 9e-5, ROOF, working_set=50_000_000)
    assert (near.level, far.level) == ("L2", "memory")
    assert near.share is not None
    assert far.share == pytest.approx(10 * near.share)


@given(
    flops=st.integers(1, 10**12),
    moved=st.integers(1, 10**10),
    seconds=st.floats(1e-9, 1e3),
    factor=st.floats(1.1, 100),
)
def test_the_share_falls_as_time_and_roof_grow(flops: int, moved: int, seconds: float, factor: float) -> None:
    share = place(flops, moved, seconds, seconds, ROOF).share
    higher = replace(
        ROOF,
        flops=ROOF.flops * factor,
        bandwidths={level: rate * factor for level, rate in ROOF.bandwidths.items()},
    )
    assert share is not None
    assert place(flops, moved, seconds * factor, seconds, ROOF).share == pytest.approx(share / factor)
    assert place(flops, moved, seconds, seconds, higher).share == pytest.approx(share / factor)
    one_higher = replace(ROOF, flops=ROOF.flops * factor)
    found = place(flops, moved, seconds, seconds, one_higher).share
    assert found is not None
    assert share / factor * (1 - 1e-9) <= found <= share * (1 + 1e-9)


def test_the_bound_changes_at_the_ridge() -> None:
    moved = 12_000_000  # from memory: 10 FLOPs a byte make both take the same time
    assert place(10 * moved + 1, moved, 1.0, 1.0, ROOF).bound == "compute"
    assert place(10 * moved - 1, moved, 1.0, 1.0, ROOF).bound == "memory"


def test_levels() -> None:
    assert [level_of(ROOF, n) for n in (0, 32_000, 32_001, 1_000_000, 1_000_001)] == [
        "L1",
        "L1",
        "L2",
        "L2",
        "memory",
    ]
    assert level_of(Roof(1.0, {"memory": 1.0}, 1), 10) == "memory"


# ---------------------------------------------------------------- measured and kept


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path))
    return tmp_path / "machine"


def sane(roof: Roof) -> bool:
    levels = list(roof.bandwidths)
    rates, sizes = list(roof.bandwidths.values()), list(roof.sizes.values())
    return (
        roof.flops > 1e8
        and levels == [*roof.sizes, "memory"]
        and rates == sorted(rates, reverse=True)
        and sizes == sorted(sizes)
        and rates[-1] > 1e8
        and 0 < roof.call < 1e-3
        and set(roof.spread) == {"flops", *levels}
        and all(0 <= spread < 1 for spread in roof.spread.values())
    )


def test_a_roof_is_kept_once_a_second_measurement_agrees(own_folder: Path) -> None:
    roof = measure_roof()
    assert sane(roof)
    assert (roof.threads, roof.dtype, roof.notes, roof.confirmed) == (1, "float32", (), False)
    (file,) = own_folder.iterdir()
    figures = json.loads(file.read_bytes())
    figures["figures"]["flops"] = 1e15  # no machine's: it stays, unconfirmed, until it is measured afresh
    file.write_text(json.dumps(figures))
    again = measure_roof()
    assert (again.flops, again.confirmed) == (1e15, False)
    assert all(again.bandwidths[level] >= rate for level, rate in roof.bandwidths.items())
    figures["figures"] |= {"flops": 12345.0, "confirmed": True}
    file.write_text(json.dumps(figures))
    before = file.read_bytes()
    assert measure_roof() == measure_roof()
    assert file.read_bytes() == before
    assert measure_roof().flops == 12345.0, "the file was not read"
    assert sane(measure_roof(refresh=True)), "the file was read in spite of refresh"
    assert measure_roof().flops > 1e6, "what was refreshed was not kept"


def test_a_damaged_file_is_measured_again(own_folder: Path) -> None:
    measure_roof()
    (file,) = own_folder.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    assert sane(measure_roof())
    assert json.loads(file.read_bytes())["figures"]["flops"] > 1e8


@pytest.mark.parametrize(
    "change",
    [
        {"flops": 0.0},
        {"flops": -1.0},
        {"flops": "fast"},
        {"bandwidths": {"L1": 1e9}},
        {"bandwidths": {"memory": 1e9}},
        {"bandwidths": {**ROOF.bandwidths, "L1": 0.0}},
        {"sizes": {"L1": 0, "L2": 10}},
        {"sizes": [1, 2]},
        {"call": 0.0},
        {"threads": None},
        {"notes": "none"},
    ],
)
def test_figures_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    figures = json.loads(json.dumps(asdict(ROOF)))
    assert roofline._sound(figures) == ROOF
    assert roofline._sound({**figures, **change}) is None
    assert roofline._sound({name: value for name, value in figures.items() if name not in change}) in (
        None,
        replace(ROOF, notes=()),
    )


def test_no_more_threads_than_cores_and_no_fewer_than_one(own_folder: Path) -> None:
    many = measure_roof(10_000)
    assert many.threads == cores()
    assert sane(many)
    for threads in (0, -1):
        with pytest.raises(ProfilingError, match=f"{threads} threads; expected 1 or more"):
            measure_roof(threads)


def test_a_folder_that_cannot_be_written_costs_a_note_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "file"))
    roof = measure_roof()
    assert sane(roof)
    assert len(roof.notes) == 1
    assert roof.notes[0].startswith("measured, but not kept")


def test_without_a_compiler_numpy_stands_in_and_says_so(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)  # as where no wheel exists
    roof = measure_roof()
    assert sane(roof)
    assert roof.notes == (roofline.NOTE_NUMPY,)


def test_an_interruption_does_not_pass_for_work() -> None:
    """A first reading that takes long once is not taken for that of one turn."""
    calls: list[int] = []

    def run(thread: int, turns: int) -> None:
        calls.append(turns)
        end = time.perf_counter() + (5e-3 if len(calls) == 1 else turns * 1e-6)
        while time.perf_counter() < end:
            pass

    with ThreadPoolExecutor(1) as pool:
        assert roofline._turns(roofline.Probe("flops", 1.0, run), 1, pool) > 100


def test_products_are_counted_in_full() -> None:
    assert product_rate(32, rounds=1) > 0


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    heavy = "{'llvmlite', 'numba', 'msgspec'}"
    code = f"import sys, tinytorch.profiling.hardware.roofline; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
