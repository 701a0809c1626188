"""`tito journey` as a program: its report, its one-line errors, and consoles that can do little."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journey.html_check import Page
from tests.journey.scales import TINY
from tinytorch import console, models
from tinytorch.cli.main import run
from tinytorch.journey import run as journey_run
from tinytorch.journey.train import Train

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import sys
import tinytorch.journey as journey
from tests.journey.scales import TINY
from tinytorch.cli import main
journey.QUICK = TINY
main(sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def speaking() -> object:
    """Leave the console as it was."""
    yield
    console.set_quiet(False)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both scales be one of seconds."""
    for name in ("QUICK", "FULL"):
        monkeypatch.setattr(f"tinytorch.journey.{name}", TINY)


def test_a_run_ends_with_figures_and_the_place_of_the_report(
    tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "a folder", tmp_path / "run.svg"
    assert run(["journey", "mlp", "--quick", "--out", str(out), "--picture", str(picture)]) == 0
    shown = capsys.readouterr()
    figures = json.loads((out / "journey.json").read_text())
    test = figures["stages"]["train"]["mlp"]["test_accuracy"]["value"]
    rows = dict(line.split(maxsplit=1) for line in shown.out.splitlines() if len(line.split()) > 1)
    assert rows["model"] == "mlp"
    assert rows["test"] == f"{100 * test:.1f} % right"
    assert rows["parameters"] == "109,386"
    assert shown.out.splitlines()[-1] == f"Report: {out / 'index.html'}"
    assert "train mlp" in shown.err
    assert figures["run"]["command"] == "tito journey mlp --quick"
    assert Page((out / "index.html").read_text(encoding="utf-8")).problems == []
    assert picture.read_text(encoding="utf-8").startswith("<svg")


def test_seeds_are_told_apart(
    tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journey_run, "STAGES", [Train()])
    found = []
    for seed, name in (("1", "a"), ("1", "b"), ("2", "c")):
        assert run(["-q", "journey", "mlp", "--seed", seed, "--out", str(tmp_path / name)]) == 0
        result = json.loads((tmp_path / name / "journey.json").read_text())["stages"]["train"]["mlp"]
        found.append((result["predictions"], result["curves"]["losses"]))
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert capsys.readouterr().err == ""


def test_an_unknown_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["journey", "resnet", "--out", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("tito: there is no model 'resnet'; choose from mlp, cnn, gpt")
    assert shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert run(["journey", "mlp", "--out", str(tmp_path / "file")]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "cannot be written" in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c(tmp_path: Path) -> None:
    program = (
        "import os, signal\nimport tinytorch.journey.run as r\nfrom tinytorch.journey.train import Train\n"
        "class Halted(Train):\n    def run(self, journey, model):\n"
        "        model == 'cnn' and os.kill(os.getpid(), signal.SIGINT)\n"
        "        return super().run(journey, model)\n"
        "r.STAGES[:] = [Halted()]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program + PROGRAM, "journey", "--quick", "--out", str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert done.returncode == 130
    last, end = filter(None, done.stderr.splitlines()[-3:])
    assert last.startswith(f"stopped; kept in {tmp_path / 'interrupted.html'}: train mlp;")
    assert end == "tito: interrupted"
    assert {file.name for file in tmp_path.iterdir()} == {"interrupted.html", "interrupted.json"}


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "cp1252"}, {"TERM": "dumb"}, {"COLUMNS": "40"}])
def test_poor_consoles(environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "journey", "mlp", "--quick", "--out", str(tmp_path)],
        capture_output=True, cwd=ROOT, env=os.environ | environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert done.stderr.isascii()
    assert b"109,386" in done.stdout


def test_help_names_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["journey", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert all(name in shown for name in models.names())
    assert "--picture" in shown
