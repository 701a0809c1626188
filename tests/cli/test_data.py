"""`tito data` on the sets that ship, on folders of files, and on what is not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch import console, data
from tinytorch.cli.main import run

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of our own, so that no test reads or writes the user's."""
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "sets"))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "sets"


def test_list_names_every_set_with_its_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "list"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for name in data.names():
        row = next(line for line in shown.out.splitlines() if line.split()[0] == name)
        assert f"{data.info(name).splits['test']:,}" in row
    assert "tito data get cifar10" in shown.out


def test_quiet_still_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--quiet", "data", "list"]) == 0
    assert "fashion" in capsys.readouterr().out
    console.set_quiet(False)


@pytest.mark.parametrize("name", data.names())
def test_info_shows_the_datasheet(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "info", name]) == 0
    shown = capsys.readouterr().out
    assert console.plain(data.info(name).datasheet.rstrip()) in shown
    assert "On this machine: " in shown


def test_unknown_sets(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("info", "get"):
        assert run(["data", verb, "imagenet"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("tito: there is no data set 'imagenet'; choose from digits")
        assert error.count("\n") == 1


def test_get_of_a_set_that_ships(capsys: pytest.CaptureFixture[str], own_folder: Path) -> None:
    assert run(["data", "get", "digits"]) == 0
    assert "nothing to get" in capsys.readouterr().out
    assert not own_folder.exists()


def test_get_from_a_folder_without_the_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, own_folder: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert run(["data", "get", "mnist", "--from", str(tmp_path / "empty")]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert "train-images-idx3-ubyte" in shown.err
    assert not own_folder.exists()


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "cp1252"}, {"TERM": "dumb"}, {"COLUMNS": "60"}])
def test_poor_consoles(environment: dict[str, str]) -> None:
    program = [sys.executable, "-c", "from tinytorch.cli import main; main()", "data"]
    for verb in (["list"], ["info", "pydocs"], ["info", "cifar10"]):
        done = subprocess.run(
            [*program, *verb], capture_output=True, cwd=ROOT, env=os.environ | environment, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
