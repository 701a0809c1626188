"""A ladder climbed and reported: what is left out, how often a rung runs, and figures that add up."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from tinytorch import console
from tinytorch.acceleration.compiling import compiled, has_numba, said_when_slow
from tinytorch.acceleration.ladder import climb, measure
from tinytorch.acceleration.ladder.kinds import KINDS, Kind, Rung
from tinytorch.acceleration.ladder.report import Report, Step
from tinytorch.errors import ProfilingError
from tinytorch.ops.conv import Conv2d
from tinytorch.ops.matmul import MatMul
from tinytorch.ops.softmax import Softmax
from tinytorch.ops.spec import Array, Spec
from tinytorch.profiling.environment import describe
from tinytorch.profiling.profile import Roof
from tinytorch.profiling.timing.stats import Conditions, Stats
from tinytorch.threads import get_num_threads

needs_numba = pytest.mark.skipif(not has_numba(), reason="numba is not to be had here")


@pytest.fixture
def known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peak of 100 GFLOP/s a thread, where a test is about something else: to measure one takes seconds."""
    monkeypatch.setattr(climb, "measure_roof", lambda threads: Roof(100e9 * threads, {}, threads))


# ---------------------------------------------------------------- compiled functions


def _half(x: float) -> float:
    return x / 2


def _quarter(x: float) -> float:
    return _half(_half(x))


@needs_numba
def test_what_a_function_calls_is_compiled_with_it() -> None:
    jitted = compiled(_quarter)
    assert jitted(10.0) == 2.5
    assert jitted is compiled(_quarter)
    assert _quarter(10.0) == 2.5
    assert _quarter.__globals__["_half"] is _half


def test_what_is_slow_is_said_and_what_is_quick_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    said = threading.Event()
    monkeypatch.setattr(console, "notice", lambda text: said.set())
    with said_when_slow("slow", 1e-3):
        assert said.wait(30)
    said.clear()
    with said_when_slow("quick", 1e3):
        pass
    assert not said.is_set()


# ---------------------------------------------------------------- the report


def step(name: str, seconds: float, threads: int = 1, peak: float = 100e9) -> Step:
    stats = Stats(name, (seconds,) * 8, seconds, Conditions(0, 1, "off", 1e-7), describe())
    return Step(name, f"what {name} teaches", stats, 2_000_000_000, threads, peak, 3e-7)


REPORT = Report(
    "matmul",
    1000,
    "A ladder",
    "numpy",
    (step("loops", 90.0), step("numpy", 0.025), step("fast", 0.04), step("all", 0.0125, 2, 200e9)),
)


def test_rates_and_factors_follow_from_the_times() -> None:
    assert REPORT["numpy"].rate == pytest.approx(80e9)
    assert REPORT["numpy"].share == pytest.approx(0.8)
    assert REPORT["all"].rate == pytest.approx(160e9)
    assert REPORT["all"].share == pytest.approx(0.8)
    assert REPORT.over_below("loops") is None
    assert REPORT.over_below("fast") == pytest.approx(0.625)
    assert REPORT.over_below("all") == pytest.approx(3.2)
    assert REPORT.over_first("all") == pytest.approx(7200)
    assert REPORT.over_plain("all") == pytest.approx(2)
    assert REPORT.over_plain("loops") == pytest.approx(0.025 / 90)
    with pytest.raises(KeyError):
        REPORT["nothing"]


def test_the_table_shows_them() -> None:
    lines = repr(REPORT).splitlines()
    rows = {line.split()[0]: line.split() for line in lines[2:7]}
    assert " ".join(rows["rung"]) == ("rung time runs GFLOP/s of peak over below over loops over numpy error")
    assert " ".join(rows["loops"]) == ("loops 90.0 s [90.0, 90.0] 8 0.0222 0.0 % - 1.00x 0.000278x 3e-07")
    assert " ".join(rows["all"][-7:]) == "160 80.0 % 3.20x 7,200x 2.00x 3e-07"
    text = " ".join(repr(REPORT).split())
    assert "The last rung is 7,200x as fast as loops, and 2.00x as fast as plain NumPy." in text
    assert "Plain NumPy is itself 3,600x as fast as loops." in text
    assert "100 GFLOP/s on 1 thread, 200 GFLOP/s on 2 threads" in text
    assert "what fast teaches" in text
    assert "The fastest" not in text
    assert "No interval" not in text


def test_where_the_last_is_not_the_fastest_and_the_first_is_plain_numpy() -> None:
    once = Stats("once", (0.5,), 0.5, Conditions(0, 1, "off", 1e-7), describe())
    steps = (step("numpy", 1.0), step("fused", 0.25), Step("once", "", once, 1, 1, 1.0, 0.0))
    text = " ".join(repr(Report("softmax", 1, "t", "numpy", steps, ("a note",))).split())
    assert text.count("over numpy") == 1
    assert "The last rung is 2.00x as fast as plain NumPy. The fastest is fused: it is 4.00x" in text
    assert "No interval for once: too few runs" in text
    assert "a note" in text


def test_where_plain_numpy_is_the_fastest() -> None:
    steps = (step("loops", 90.0), step("numpy", 0.025), step("all", 9.0))
    text = " ".join(repr(Report("matmul", 1, "t", "numpy", steps)).split())
    assert "The last rung is 10.0x as fast as loops, and 0.00278x as fast as plain NumPy." in text
    assert "The fastest is numpy: it is 3,600x as fast as loops. Plain NumPy is itself" in text
    alone = " ".join(repr(Report("softmax", 1, "t", "numpy", (step("numpy", 1.0),))).split())
    assert "The last rung is plain NumPy." in alone


def test_it_is_plain_data_too() -> None:
    found = json.loads(json.dumps(REPORT.as_dict()))
    last = found["rungs"][-1]
    assert (found["kind"], found["size"], found["plain"]) == ("matmul", 1000, "numpy")
    assert last["median"]["value"] == last["samples"][0] == 0.0125
    assert last["over_first"] == pytest.approx(7200)
    assert found["rungs"][0]["over_below"] is None


# ---------------------------------------------------------------- climbing


@pytest.mark.usefixtures("known_peak")
@pytest.mark.parametrize("name", KINDS)
def test_a_small_ladder_is_climbed(name: str) -> None:
    before = get_num_threads()
    kind = KINDS[name]
    report = measure(name, 7, seconds=0.01)
    assert [s.name for s in report.steps] == [r.name for r in kind.rungs if has_numba() or not r.needs_numba]
    assert report.plain in [s.name for s in report.steps]
    for found in report.steps:
        assert found.error < 1e-5
        assert found.flops == kind.flops(7)
        assert found.threads == (climb.cores() if found.name == "all cores" else 1)
        assert found.share == found.rate / (100e9 * found.threads)
    assert get_num_threads() == before


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_the_work_is_that_of_the_op(kind: Kind) -> None:
    op = {"matmul": MatMul(), "conv": Conv2d(padding=(1, 1)), "softmax": Softmax(1)}[kind.name]
    shapes = [array.shape for array in kind.inputs(5)]
    if kind.name == "conv":
        shapes[0] = (1, *shapes[0])  # the op takes a batch
    specs = [Spec(shape, np.dtype("float32")) for shape in shapes]
    assert kind.flops(5) == op.flops(op.infer(*specs), *specs)


@pytest.mark.usefixtures("known_peak")
def test_a_wrong_rung_shows_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_one(a: Array, b: Array) -> Array:
        out: Array = a @ b
        out[0, 0] += 1
        return out

    wrong = Rung("wrong", "", lambda a, b: lambda: off_by_one(a, b))
    plain = Rung("numpy", "", lambda a, b: lambda: a @ b)
    kind = KINDS["matmul"]
    planted = Kind(**{**vars(kind), "rungs": (plain, wrong)})
    monkeypatch.setitem(KINDS, "matmul", planted)
    report = measure("matmul", 4, seconds=0.01)
    largest = abs(kind.reference(*kind.inputs(4))).max()
    assert report["wrong"].error == pytest.approx(1 / largest, rel=1e-5)
    assert report["numpy"].error < 1e-6


@pytest.mark.usefixtures("known_peak")
def test_without_patience_loops_are_left_out_and_said() -> None:
    report = measure("matmul", 64, seconds=0.01, patience=1e-6)
    assert report.steps[0].name == "blocked"
    text = " ".join(repr(report).split())
    assert "loops is left out: a run would take about" in text
    assert "reordered is left out" in text
    assert "over blocked" in text


def test_the_expected_time_goes_with_the_work() -> None:
    kind = KINDS["matmul"]
    loops = kind.rungs[0]
    small, large = climb._expected(kind, loops, 10), climb._expected(kind, loops, 1000)
    assert 1e5 < large / small < 1e7


def test_a_slow_rung_runs_once_and_a_quick_one_often() -> None:
    calls = []
    slow = Rung("slow", "", lambda x: lambda: calls.append(0) or x)
    stats, result = climb._climbed(slow, (np.ones(1),), seconds=1e-12)
    assert (len(stats.samples), stats.inner, len(calls)) == (1, 1, 1)
    np.testing.assert_array_equal(result, np.ones(1))
    stats, _ = climb._climbed(slow, (np.ones(1),), seconds=10.0)
    assert len(stats.samples) == 100


def test_without_numba_its_rungs_are_left_out_with_one_line() -> None:
    code = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
from tinytorch.acceleration.ladder import climb, measure
from tinytorch.profiling.profile import Roof
climb.measure_roof = lambda threads: Roof(1e9, {}, threads)
for kind in ("matmul", "conv", "softmax"):
    report = measure(kind, 5, seconds=0.01)
    print([step.name for step in report.steps], len(report.notes), report.notes[0])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0].startswith("['loops', 'reordered', 'blocked', 'numpy', 'all cores'] 1 numba is not to be")
    assert lines[1].startswith("['loops', 'im2col'] 1 numba")
    assert lines[2].startswith("['numpy'] 1 numba")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("matmul", 0), "ladder matmul: size 0; expected a whole number from 1 to 4096"),
        (("conv", -3), "ladder conv: size -3"),
        (("softmax", 10**9), "ladder softmax: size 1000000000"),
        (("matmul", 2.5), "size 2.5"),
        (("matmul", True), "size True"),
        (("attention", 3), "ladder 'attention' does not exist; there are: matmul, conv, softmax"),
    ],
)
def test_what_cannot_be_climbed(arguments: Any, word: str) -> None:
    with pytest.raises(ProfilingError) as caught:
        measure(*arguments)
    assert word in str(caught.value)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_times_that_are_none(seconds: float) -> None:
    with pytest.raises(ProfilingError, match="seconds is"):
        measure("matmul", 4, seconds=seconds)
    with pytest.raises(ProfilingError, match="patience is"):
        measure("matmul", 4, patience=seconds)
