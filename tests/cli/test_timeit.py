"""`tito timeit`: code alone, beside other code, over processes, and code that fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinytorch import console
from tinytorch.cli.main import run

SETUP = ("--setup", "x = list(range(300))")


def timeit(*arguments: str) -> int:
    code = run(["--quiet", "timeit", *arguments])
    console.set_quiet(False)
    return code


def test_code_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    # so short that calls share a run on any machine
    assert timeit("np.pi; tt.ones", "--runs", "30", "--json", str(file)) == 0
    shown = capsys.readouterr().out
    assert "np.pi; tt.ones: 30 runs of" in shown
    for word in ("p50", "p95", "p99", "mean", "none dropped", "where"):
        assert word in shown
    figures = json.loads(file.read_text())
    assert len(figures["samples"]) == 30
    assert figures["conditions"]["warmup"] == 3
    assert figures["environment"]["python"]


def test_code_beside_other_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    arguments = ("--vs", "pass", "--vs", "sorted(x); sorted(x)", "--processes", "1", "--runs", "40")
    assert timeit("sorted(x)", *arguments, *SETUP, "--json", str(file)) == 0
    shown = capsys.readouterr().out
    assert "pass beside sorted(x): faster by" in shown
    assert "sorted(x); sorted(x) beside sorted(x): slower by" in shown
    assert "(Holm)" in shown
    figures = json.loads(file.read_text())
    assert [verdict["word"] for verdict in figures["verdicts"]] == ["faster", "slower"]
    assert [len(samples) for samples in figures["samples"][0]] == [40] * 3


def test_two_pieces_of_code_are_compared_over_five_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert timeit("sorted(x)", "--vs", "pass", "--runs", "15", *SETUP) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "pass beside sorted(x): faster by" in shown
    assert "15 rounds in 5 fresh processes" in shown
    assert "between processes" in shown
    assert "of 20 cases" in shown


def test_one_piece_of_code_over_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert timeit("sorted(x)", "--processes", "2", "--runs", "10", *SETUP) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "of 2 cases" in shown
    assert "beside" not in shown


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["1 +"], 1, "code '1 +': SyntaxError"),
        (["break"], 1, "'break' outside loop"),
        (["nothing()"], 1, "code 'nothing()': NameError: name 'nothing' is not defined"),
        (["pass", "--setup", "1 / 0"], 1, "setup '1 / 0': ZeroDivisionError"),
        (["raise SystemExit(0)"], 1, "SystemExit: 0"),
        (["pass", "--vs", "1 / 0"], 1, "code '1 / 0': ZeroDivisionError: division by zero"),
        (["pass", "--processes", "8", "--runs", "4"], 1, "runs=4 over processes=8"),
        (["pass", "--runs", "0"], 2, "--runs"),
        (["pass", "--warmup", "-1"], 2, "--warmup"),
        (["pass", "--collector", "never"], 2, "--collector"),
        ([], 2, "CODE"),
    ],
)
def test_what_it_refuses(
    arguments: list[str], code: int, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.json"
    assert timeit(*arguments, "--json", str(file)) == code
    shown = capsys.readouterr()
    assert word in shown.err
    assert "Traceback" not in shown.err
    assert not file.exists()
