"""`tito grade` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.learn import hostile
from tinytorch.cli.main import run
from tinytorch.learn.course import course


@pytest.fixture
def students(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two workspaces, in the small course."""
    monkeypatch.setenv("TITO_LESSONS", str(hostile.write_course(tmp_path / "lessons")))
    course.cache_clear()
    hostile.write_workspace(tmp_path / "students" / "ann", hostile.HONEST)
    hostile.write_workspace(
        tmp_path / "students" / "bob\x1b[31m", "import os\nos._exit(0)\n" + hostile.add("os.abort()")
    )
    return tmp_path / "students"


def test_a_table_notes_and_results(students: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = students.parent / "results.json"
    code = run(["--quiet", "grade", str(students), "--lessons", "01", "--seed", "5", "--json", str(place)])
    out = capsys.readouterr().out
    course.cache_clear()
    assert code == 0
    assert "seed 5" in out
    assert "ann" in out
    assert "\x1b" not in out
    assert "reaches beyond its exercise" in out
    results = json.loads(place.read_text())
    assert {name: result["score"] for name, result in results["submissions"].items()} == {
        "ann": 6,
        "bob\x1b[31m": 0,
    }
    assert results["lessons"] == ["01"]


def test_wrong_use_is_one_line(students: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["grade", str(students), "--lessons", "9"]) == 1
    assert run(["grade", str(students / "ann")]) == 1
    assert run(["grade", str(students / "nobody")]) == 2
    said = capsys.readouterr().err
    course.cache_clear()
    assert "there is no lesson 9" in said
    assert "holds no workspaces" in said
