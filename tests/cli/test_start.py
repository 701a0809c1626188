"""`tito begin`, `start` and `reset`: work files are made, kept, brought up to date and started over."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.learn.tiny import LAYERS, SHAPES, in_course, lesson_of, solve, tito, write_course
from tinytorch.cli.main import run
from tinytorch.learn.course import course
from tinytorch.learn.progress import load
from tinytorch.learn.stubs import stub_file
from tinytorch.learn.work import read_work
from tinytorch.learn.workspace import Workspace, begin

ONE = "tinytorch.ops.spec:broadcast"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    made = begin(tmp_path / "ws")
    with in_course(write_course(tmp_path / "lessons"), made.root):
        yield made


@pytest.fixture
def work(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Path:
    """The work file of lesson 01, started."""
    assert run(["start", "01"]) == 0
    capsys.readouterr()
    return workspace.work / "01_shapes.py"


def rewrite(text: str) -> None:
    """A new version of lesson 01."""
    (Path(os.environ["TITO_LESSONS"]) / "01_shapes" / "lesson.toml").write_text(text, encoding="utf-8")
    course.cache_clear()


# ---------------------------------------------------------------- begin


def test_from_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "here").mkdir()
    with in_course(write_course(tmp_path / "lessons"), tmp_path / "here"):
        assert run(["begin", "my course"]) == 0
        assert 'Next: cd "my course", then: tito start 01' in capsys.readouterr().out
        assert run(["begin"]) == 0
        assert capsys.readouterr().out.endswith("Next: tito start 01\n")
        assert run(["begin"]) == 1
        assert "is a workspace already" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["start", "check", "hint", "status", "watch"])
def test_commands_ask_for_a_workspace(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with in_course(write_course(tmp_path / "lessons"), tmp_path):
        assert run([command]) == 1
        assert capsys.readouterr().err == 'tito: no workspace here; make one with "tito begin"\n'


# ---------------------------------------------------------------- start


def test_start_writes_the_file_and_says_what_comes_next(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = workspace.root / "a" / "b"
    folder.mkdir(parents=True)
    os.chdir(folder)
    assert run(["start", "shapes"]) == 0
    text = capsys.readouterr().out
    assert "Lesson 01, Shapes: about 30 minutes\nwrote work/01_shapes.py: 4 exercises\n" in text
    lesson = lesson_of(Path(os.environ["TITO_LESSONS"]))
    assert f"read: {lesson.folder / 'README.md'}\n" in text
    assert text.endswith("Next: write broadcast, then: tito check 01\n")
    assert (workspace.work / "01_shapes.py").read_text() == stub_file(lesson)


def test_without_a_name_the_next_one_is_started(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [run(["start"]) for _ in range(3)] == [0, 0, 1]
    shown = capsys.readouterr()
    assert "Lesson 02, Layers: about 20 minutes\nwrote work/02_layers.py: 1 exercise\n" in shown.out
    assert "all lessons are started" in shown.err


def test_a_file_that_is_there_stays(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    solve(work, lesson_of(Path(os.environ["TITO_LESSONS"])), "broadcast")
    before = work.read_bytes()
    assert run(["start", "1"]) == 0
    assert work.read_bytes() == before
    text = capsys.readouterr().out
    assert "is there already; what you wrote stays" in text
    assert "added" not in text
    assert "changed in the course" not in text


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_exercises_that_the_course_gained_are_added(
    newline: bytes, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = b"\xef\xbb\xbf" + work.read_bytes().replace(b"\n", newline)
    work.write_bytes(before)
    rewrite(SHAPES + LAYERS[LAYERS.index("[[exercise]]") :].replace("Linear.forward", "Linear.infer"))
    assert run(["start", "1"]) == 0
    assert "added at its end, as the file lacked it: Linear.infer" in capsys.readouterr().out
    after = work.read_bytes()
    assert after.startswith(before.rstrip())
    assert after.count(b"\r\n") == (after.count(b"\n") if newline == b"\r\n" else 0)
    assert [*read_work(work)][-1] == "Linear.infer"
    assert run(["start", "1"]) == 0
    assert "added" not in capsys.readouterr().out


def test_what_changed_since_the_start_is_named_until_it_is_mended(
    work: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = load(workspace)
    progress.heads[ONE] = progress.heads[ONE].replace("*shapes: Shape", "*sizes: Shape")
    progress.save()
    work.write_text(work.read_text().replace("*shapes: Shape", "*sizes: Shape"))
    before = work.read_bytes()
    for _ in range(2):
        assert run(["start", "1"]) == 0
        text = capsys.readouterr().out
        assert "changed in the course since you started: broadcast\n" in text
        assert "  - def broadcast(op: str, *sizes: Shape) -> Shape:\n" in text
        assert "  + def broadcast(op: str, *shapes: Shape) -> Shape:\n" in text
        assert "tito reset 01 --exercise broadcast" in text
        assert "nbytes" not in text
        assert work.read_bytes() == before
    work.write_text(work.read_text().replace("*sizes: Shape", "*shapes: Shape"))
    assert run(["start", "1"]) == 0
    assert "changed in the course" not in capsys.readouterr().out


def test_a_file_that_python_cannot_read_is_left_alone(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work.write_text("def f(:\n")
    for arguments in (["start", "1"], ["reset", "1", "--exercise", "broadcast"]):
        assert run(arguments) == 1
        assert "work/01_shapes.py, line 1: Python cannot read it" in capsys.readouterr().err
        assert work.read_text() == "def f(:\n"
    assert not (work.parent / "backups").exists()


# ---------------------------------------------------------------- reset


def test_reset_keeps_a_dated_copy(
    work: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson = lesson_of(Path(os.environ["TITO_LESSONS"]))
    solve(work, lesson)
    mine = work.read_bytes()
    assert run(["check"]) == 0
    capsys.readouterr()
    assert run(["reset", "1"]) == 0
    (copy,) = (workspace.work / "backups").iterdir()
    assert re.fullmatch(r"01_shapes-\d{8}-\d{6}\.py", copy.name)
    assert copy.read_bytes() == mine
    assert work.read_text() == stub_file(lesson)
    assert f"kept a copy: work/backups/{copy.name}\n" in capsys.readouterr().out
    assert load(workspace).passed == {}


def test_reset_of_one_exercise(work: Path, workspace: Workspace) -> None:
    lesson = lesson_of(Path(os.environ["TITO_LESSONS"]))
    solve(work, lesson)
    work.write_bytes(work.read_bytes().replace(b"\n", b"\r\n") + b"mine = 1\r\n")
    assert run(["check"]) == 0
    assert run(["reset", "1", "--exercise", "MatMul.forward"]) == 0
    started = {name for name, place in read_work(work).items() if place.started}
    assert started == {"broadcast", "Spec.nbytes", "MatMul.flops"}
    content = work.read_bytes()
    assert content.endswith(b"mine = 1\r\n")
    assert content.count(b"\r\n") == content.count(b"\n")
    assert len(load(workspace).passed) == 3


def test_reset_brings_back_what_was_deleted(work: Path) -> None:
    work.write_text("mine = 1\n")
    assert run(["reset", "1", "--exercise", "MatMul.flops"]) == 0
    assert [*read_work(work)] == ["MatMul.flops"]
    assert work.read_text().startswith("mine = 1\n")


def test_reset_of_a_file_that_python_cannot_read(work: Path) -> None:
    work.write_bytes(b"def f(:\xff\n")
    assert run(["reset", "1"]) == 0
    assert len(read_work(work)) == 4


def test_reset_of_what_is_not_started(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reset", "2"]) == 1
    assert "lesson 02 is not started" in capsys.readouterr().err
    assert not workspace.work.exists()


def test_as_a_program_in_a_path_with_accents(tmp_path: Path) -> None:
    lessons = write_course(tmp_path / "lessons")
    folder = tmp_path / "mon \u00e9t\u00e9"
    folder.mkdir()
    plain = {"PYTHONIOENCODING": "cp1252", "TERM": "dumb"}
    for arguments in (["begin"], ["start", "1"], ["reset", "1"], ["status"], ["hint", "1"]):
        code, text = tito(lessons, folder, *arguments, **plain)
        assert code == 0, text
        assert text.replace("mon \u00e9t\u00e9", "").isascii()
        assert ("mon \u00e9t\u00e9" in text) == (arguments[0] in ("begin", "status"))
        assert "Traceback" not in text
    assert len([*(folder / "work").rglob("*.py")]) == 2
