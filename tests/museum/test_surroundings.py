"""Exhibits around the runner: clocks, patches, the environment, stored results, and luck."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarking.store.made import comparison, program, result
from tests.museum.crafted import EVENT, Table, entry_of, traced, tried, whole_file
from tinytorch.acceleration.native.program import Program
from tinytorch.benchmarking import museum, race, ranking
from tinytorch.benchmarking.arm import Arm
from tinytorch.benchmarking.boxes import boxes
from tinytorch.benchmarking.events import baseline_graph
from tinytorch.benchmarking.measure import Measurement, plan_for
from tinytorch.benchmarking.ratio import Ratio
from tinytorch.benchmarking.samples import plain
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.store.verify import verify
from tinytorch.errors import ProfilingError
from tinytorch.profiling.significance import paired_ratio


def test_bent_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    with boxes() as box:
        found = Measurement(entry_of(whole_file()), plan_for(EVENT, quick=True), box, None, 5)
        found.check()
        found.take_quality()
        for name in ("perf_counter", "perf_counter_ns", "monotonic_ns", "process_time_ns"):
            monkeypatch.setattr(time, name, lambda: 0)
        found.take_process(0)
    times = [t for one in found.rounds for t in (*one.first, *one.second)]
    assert min(times) > 0, "the box has a clock of its own"


def test_bent_clock_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race.time, "perf_counter_ns", lambda: 0)
    arm = Arm(baseline_graph(EVENT.name), EVENT)
    lane = race.Lane(arm.one, plain(EVENT, 4).inputs)
    assert set(lane.burst(5)) == {0}
    with pytest.raises(ProfilingError, match="above 0"):
        paired_ratio([0.0, 0.0], [0.0, 0.0])


def nothing(self: Program, inputs: object, now: int) -> list[np.ndarray]:
    return [np.zeros(spec.shape, spec.dtype) for spec in self.output_specs]


def test_patched_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = entry_of(whole_file())
    monkeypatch.setattr(Program, "run", nothing)
    found = tried(entry, ("check", "take_quality"))
    assert found.reasons == []
    assert found.means["second"]["plain"] > 0.85


def test_patched_runtime_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Program, "run", nothing)
    assert not Arm(baseline_graph(EVENT.name), EVENT).one(plain(EVENT, 1).inputs).any()


def test_poisoned_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "sitecustomize.py").write_text(f"open({str(marker)!r}, 'a').close()")
    poison = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "sitecustomize.py"),
        "PYTHONINSPECT": "",
        "TINYTORCH_CACHE": str(tmp_path / "cache"),
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
    }
    for name, value in poison.items():
        monkeypatch.setenv(name, value)
    assert tried(entry_of(whole_file()), ("check", "take_quality")).reasons == []
    assert not marker.exists()
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "numba").exists()
    subprocess.run([sys.executable, "-c", "pass"], check=True, env=dict(os.environ))
    assert marker.exists(), "any other process takes it in"


# ---------------------------------------------------------------- results


def test_tampered_result(tmp_path: Path) -> None:
    from sqlalchemy import delete, update

    from tinytorch.benchmarking.store.schema import RECORDS

    board = Leaderboard(tmp_path / "store.db", tmp_path)
    board.add(result("honest", 1.0), program("honest"))
    board.add(result("rival", 3.0), program("rival"))
    assert verify(board) == []
    payload = board.database
    with payload.write() as connection:
        found = connection.execute(RECORDS.select().where(RECORDS.c.number == 1)).one()
        better = bytes(found.payload).replace(b'"quality":0.9', b'"quality":1.0')
        assert better != bytes(found.payload)
        connection.execute(update(RECORDS).where(RECORDS.c.number == 1).values(payload=better))
    assert any("hash" in str(problem) for problem in verify(board))
    with payload.write() as connection:
        connection.execute(update(RECORDS).where(RECORDS.c.number == 1).values(payload=found.payload))
        connection.execute(delete(RECORDS).where(RECORDS.c.number == 2))
    assert any("head" in str(problem) for problem in verify(board))
    board.close()


def test_lucky_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def teams_with_a_record() -> int:
        rng = np.random.default_rng(3)
        lucky = 0
        for _ in range(1000):
            spread = np.sqrt(rng.chisquare(5, 20) / 5)
            logs = rng.standard_normal(20)
            tries = (Ratio(float(log), float(s), 5.0) for log, s in zip(logs, spread, strict=True))
            lucky += any(ranking.is_record(one, n + 1) for n, one in enumerate(tries))
        return lucky

    assert teams_with_a_record() <= 10
    monkeypatch.setattr(ranking, "allowance", lambda attempt: ranking.RECORD)
    assert teams_with_a_record() > 50


def test_probed_labels(tmp_path: Path) -> None:
    board = Leaderboard(tmp_path / "store.db", tmp_path)
    for _ in range(30):
        board.add(result("probe", team="prober", valid=False))
    assert board.attempts("prober", "mlp_sprint", "open") == 30
    board.add(result("base", 1.0), program("base"))
    board.add(result("learnt", 1.1, team="prober"), program("learnt"))
    board.add_comparison(comparison("learnt", "base", 0.09, error=0.02))
    assert len(board.board("mlp_sprint", "open").records) == 1, "all its attempts count"
    found = tried(entry_of(traced(Table())), ("check", "take_quality"))
    assert "known by heart" in found.reasons[0]
    board.close()


# ---------------------------------------------------------------- the museum itself


def test_each_exhibit_is_mounted() -> None:
    here = Path(__file__).parent
    tests = "\n".join(path.read_text() for path in here.glob("test_*.py"))
    assert len(museum.EXHIBITS) >= 20
    for one in museum.EXHIBITS:
        assert one.name in tests, one.name
        assert one.title
        assert len(one.story) > 60
        assert one.defence.endswith(".")
    assert len({one.name for one in museum.EXHIBITS}) == len(museum.EXHIBITS)
