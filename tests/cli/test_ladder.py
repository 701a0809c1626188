"""`tito ladder`: the table, the figures as JSON, and one line for what cannot be climbed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinytorch import console
from tinytorch.acceleration.ladder import climb
from tinytorch.acceleration.ladder.kinds import KINDS
from tinytorch.cli.main import run
from tinytorch.profiling.profile import Roof


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path_factory.getbasetemp() / "ladder-cache"))
    yield
    console.set_quiet(False)


@pytest.fixture
def known_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peak of 100 GFLOP/s, where a test is about something else: to measure one takes seconds."""
    monkeypatch.setattr(climb, "measure_roof", lambda threads: Roof(100e9, {}, threads))


def test_a_ladder_is_shown_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "ladder.json"
    assert run(["ladder", "matmul", "--size", "9", "--seconds", "0.01", "--json", str(file)]) == 0
    shown = capsys.readouterr()
    assert "Matrix product: (9, 9) @ (9, 9), float32" in shown.out
    for word in ("loops", "reordered", "blocked", "GFLOP/s", "of peak", "over below", "over numpy", "error"):
        assert word in shown.out
    assert "as fast as plain NumPy" in shown.out
    assert f"wrote {file}" in shown.err
    found = json.loads(file.read_text())
    assert found["rungs"][0]["name"] == "loops"
    assert all(rung["error"] < 1e-5 for rung in found["rungs"])


@pytest.mark.usefixtures("known_peak")
@pytest.mark.parametrize("kind", ["conv", "softmax"])
def test_the_other_kinds(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--quiet", "ladder", kind, "--size", "6", "--seconds", "0.01"]) == 0
    shown = capsys.readouterr()
    assert KINDS[kind].title(6) in shown.out
    assert shown.err == ""


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["matmul", "--size", "0"], "size 0; expected a whole number from 1 to 4096"),
        (["conv", "--size", "-1"], "size -1"),
        (["matmul", "--size", "99999999"], "size 99999999"),
        (["attention"], "ladder 'attention' does not exist; there are: matmul, conv, softmax"),
        (["matmul", "--seconds", "-1"], "seconds is -1.0; expected a positive number"),
        (["matmul", "--patience", "nan"], "patience is nan"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ladder", *arguments]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert shown.err.startswith("tito: ladder")
    assert word in shown.err


@pytest.mark.usefixtures("known_peak")
def test_wrong_usage_and_a_file_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ladder"]) == 2
    assert "KIND" in capsys.readouterr().err
    assert run(["ladder", "matmul", "--size", "many"]) == 2
    assert "--size" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "x.json")
    assert run(["ladder", "softmax", "--size", "2", "--seconds", "0.01", "--json", path]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err
