"""`tito bench` and `tito optimize`: what they show, what they write, and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarking.store.made import comparison, program, result
from tinytorch.benchmarking import competition, measure, optimize
from tinytorch.benchmarking.result import Result, decoded
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.cli.main import run

QUICK = measure.Plan(500, 3, 1, {"classify": 3, "offline": 2}, 1, True)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYMLPERF_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Leaderboard:
    found = Leaderboard()
    for name, overall in (("a", 2.0), ("b", 1.0)):
        found.add(result(name, overall), program(name))
    found.add_comparison(comparison("a", "b", 0.7))
    return found


def test_events_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "list"]) == 0
    said = capsys.readouterr().out
    for part in ("mlp_sprint", "cnn_marathon", "99%", "101%", "fashion", "pydocs"):
        assert part in said


def test_boards_and_histories_are_shown(store: Leaderboard, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "leaderboard", "mlp_sprint"]) == 0
    said = capsys.readouterr().out
    assert "team a" in said
    assert "closed, by overall: no entries yet" in said
    assert run(["bench", "leaderboard", "--by", "size", "--division", "open"]) == 0
    assert run(["bench", "history", "team a"]) == 0
    assert "mlp_sprint" in capsys.readouterr().out
    assert run(["bench", "leaderboard", "chess"]) == 1
    assert "there is no event" in capsys.readouterr().err


def test_a_store_is_verified(store: Leaderboard, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "verify"]) == 0
    assert "3 records are whole" in capsys.readouterr().out
    assert run(["bench", "verify", "--key", "0" * 64]) == 1
    assert "signature" in capsys.readouterr().out
    assert run(["bench", "verify", "--key", "nonsense"]) == 1


def test_boards_are_exported(store: Leaderboard, tmp_path: Path) -> None:
    assert run(["bench", "export", "site"]) == 0
    assert "team a" in (tmp_path / "site" / "index.html").read_text()


def test_an_entry_is_made_run_and_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(
        optimize.RECIPES, ("mlp_sprint", "speed"), ([{"kind": "quantize", "scheme": "int8"}],)
    )
    assert run(["optimize", "mlp_sprint", "--for", "speed", "--team", "me", "--out", "e.toml"]) == 0
    assert 'division = "closed"' in (tmp_path / "e.toml").read_text()
    assert (tmp_path / "e.ttc").stat().st_size > 10_000
    for kind in (True, False):
        monkeypatch.setitem(measure.PLANS, ("images", kind), QUICK)
    monkeypatch.setattr(competition, "compare", lambda first, second, **rest: comparison("x", "y", 0.0))
    monkeypatch.setattr(measure.score, "is_steady", lambda ratio: True)
    assert run(["bench", "run", "e.toml", "--quick", "--json", "r.json"]) == 0
    said = capsys.readouterr().out
    assert "valid" in said
    assert "integer arithmetic" in said
    assert decoded((tmp_path / "r.json").read_bytes(), Result).valid
    assert run(["bench", "run", "e.ttc", "--event", "mlp_sprint", "--quick"]) == 0
    assert "training data cannot be verified" in capsys.readouterr().out
    assert run(["bench", "submit", "e.toml"]) == 0
    said = capsys.readouterr()
    assert "record 3: rank" in said.out
    assert "estimate" in said.err
    assert run(["bench", "work", "--once"]) == 0
    assert "0 measured" in capsys.readouterr().out


def test_a_bad_entry_ends_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.toml").write_text("event = 3")
    for arguments in (
        ["bench", "run", "bad.toml"],
        ["bench", "submit", "gone.toml"],
        ["bench", "run", "gone.ttc"],
    ):
        assert run(arguments) == 1
        assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "bad.ttc").write_bytes(b"no program")
    assert run(["bench", "run", "bad.ttc", "--event", "mlp_sprint", "--quick"]) == 1
    assert "INVALID" in capsys.readouterr().out
    assert run(["optimize", "chess"]) == 1
    assert run(["optimize", "mlp_sprint", "--team", 'a"b']) == 1


def test_what_keeps_too_little_is_tried_more_gently(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harsh, gentle = [{"kind": "prune", "sparsity": 0.98}], [{"kind": "prune", "sparsity": 0.2}]
    monkeypatch.setitem(optimize.RECIPES, ("mlp_sprint", "size"), (harsh, gentle))
    assert run(["optimize", "mlp_sprint", "--for", "size"]) == 0
    assert "too little" in capsys.readouterr().err
    monkeypatch.setitem(optimize.RECIPES, ("mlp_sprint", "size"), (harsh,))
    assert run(["optimize", "mlp_sprint", "--for", "size"]) == 1
    assert "keeps enough" in capsys.readouterr().err
