"""`tito cache`: what it lists and removes, and one line for a folder that it cannot use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ordinary_user import folder_of_an_ordinary_user, needs_permissions, permissions
from tinytorch import console
from tinytorch.acceleration import cache
from tinytorch.cli.cache import age
from tinytorch.cli.main import run

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A cache of our own, which is not there yet."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "programs"))
    monkeypatch.setenv("COLUMNS", "100")
    yield tmp_path / "programs"
    console.set_quiet(False)


def name_of(number: int) -> str:
    """A fingerprint."""
    return f"{number:064x}"[::-1]


def keep(number: int, size: int, ago: float) -> None:
    """A program of so many bytes on disk that was last used that many seconds ago."""
    head = 7 + 32
    assert cache.write(name_of(number), b"\0" * (size - head))
    path = cache.cache_folder() / f"{name_of(number)}.program"
    assert path.stat().st_size == size
    os.utime(path, (time.time() - ago,) * 2)


def test_an_empty_cache(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cache", "list"]) == 0
    assert capsys.readouterr().out == f"0 programs, 0 B in {folder}\n"
    assert run(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"Removed 0 programs, 0 B, from {folder}\n"
    assert not folder.exists()


def test_programs_are_listed_with_size_and_age_the_last_used_first(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(0xA, 2048, 3 * 86_400 + 5)
    keep(0xB, 512, 2 * 60 + 5)
    keep(0xC, 5 * 2**20, 5)
    file = tmp_path / "cache.json"
    assert run(["cache", "list", "--json", str(file)]) == 0
    shown = capsys.readouterr()
    lines = [line.split(maxsplit=3) for line in shown.out.splitlines()[3:]]
    assert lines[:3] == [
        ["c00000000000", "5.0", "MiB", "less than a minute ago"],
        ["b00000000000", "512", "B", "2 minutes ago"],
        ["a00000000000", "2.0", "KiB", "3 days ago"],
    ]
    assert shown.out.splitlines()[-1] == f"3 programs, 5.0 MiB in {folder}"
    assert f"wrote {file}" in shown.err
    found = json.loads(file.read_text())
    assert (found["folder"], found["bytes"]) == (str(folder), 5 * 2**20 + 2048 + 512)
    assert [(p["program"], p["bytes"]) for p in found["programs"]] == [
        (name_of(0xC), 5 * 2**20),
        (name_of(0xB), 512),
        (name_of(0xA), 2048),
    ]
    assert found["programs"][2]["last_used"] == pytest.approx(time.time() - 3 * 86_400, abs=3600)


def test_of_many_the_last_used_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1, 26):
        keep(number, 1024, 3600.0 * number)
    assert run(["cache", "list"]) == 0
    out = capsys.readouterr().out
    assert out.count("KiB") == 20 + 1
    assert "and 5 used before these" in out
    assert "25 programs, 25.0 KiB" in out
    assert run(["cache", "list", "--all"]) == 0
    assert capsys.readouterr().out.count("KiB") == 25 + 1


def test_clear_removes_programs_and_leftovers_and_nothing_else(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(1, 1024, 0)
    keep(2, 1024, 0)
    (folder / "tmp123.program-part").write_bytes(b"\0" * 1024)
    others = {"notes.txt", "film.part", "my.program", "folder"}
    for name in others - {"folder"}:
        (folder / name).write_text("mine")
    (folder / "folder").mkdir()
    assert run(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"Removed 2 programs, 3.0 KiB, from {folder}\n"
    assert {path.name for path in folder.iterdir()} == others
    assert run(["--quiet", "cache", "list"]) == 0
    assert capsys.readouterr().out == f"0 programs, 0 B in {folder}\n"


def test_one_program_is_no_plural(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(1, 1024, 0)
    assert run(["cache", "list"]) == 0
    assert f"1 program, 1.0 KiB in {folder}" in capsys.readouterr().out
    assert run(["cache", "clear"]) == 0
    assert "Removed 1 program, 1.0 KiB" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["list", "clear"])
@pytest.mark.parametrize("below", [False, True])
def test_a_folder_that_is_a_file(
    verb: str,
    below: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    place = file / "programs" if below else file
    monkeypatch.setenv(cache.VARIABLE, str(place))
    assert run(["cache", verb]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"tito: {place}: the folder of programs cannot be read (")
    assert "TINYTORCH_CACHE" in shown.err
    assert shown.err.count("\n") == 1
    assert file.read_text() == "in the way"


def test_a_program_that_cannot_be_removed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(1, 1024, 0)
    (folder / f"{name_of(2)}.program").mkdir()  # what unlink refuses, whoever runs this
    assert run(["cache", "clear"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"tito: {folder}: {name_of(2)}.program cannot be removed (")
    assert shown.err.count("\n") == 1


@needs_permissions
def test_a_folder_that_may_not_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with folder_of_an_ordinary_user() as folder:
        monkeypatch.setenv(cache.VARIABLE, str(folder))
        keep(1, 1024, 0)
        with permissions(folder, 0):
            assert run(["cache", "list"]) == 1
        assert "cannot be read" in capsys.readouterr().err


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cache", "burn"]) == 2
    assert "burn" in capsys.readouterr().err


def test_a_clock_that_was_set_back() -> None:
    assert age(-5.0) == "less than a minute ago"


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "cp1252"}, {"TERM": "dumb"}, {"COLUMNS": "30"}])
def test_poor_consoles(environment: dict[str, str], folder: Path) -> None:
    keep(1, 1024, 0)
    done = subprocess.run(
        [sys.executable, "-c", "from tinytorch.cli import main; main()", "cache", "list"],
        capture_output=True, cwd=ROOT, env=os.environ | environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert b"1 program, 1.0 KiB" in done.stdout
