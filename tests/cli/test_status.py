"""`tito status`, `hint`, `solution` and `doctor`: what is done, and help where it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.learn.tiny import SHAPES, in_course, lesson_of, solve, tito, write_course
from tinytorch.cli.main import run
from tinytorch.learn.course import course
from tinytorch.learn.progress import load, now
from tinytorch.learn.stubs import stub_file
from tinytorch.learn.workspace import Workspace, begin


@pytest.fixture
def workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Workspace]:
    """A workspace in which lesson 01 is started and its first exercise passed."""
    monkeypatch.setenv("COLUMNS", "61")
    made = begin(tmp_path / "ws")
    with in_course(write_course(tmp_path / "lessons"), made.root):
        assert run(["start", "1"]) == 0
        solve(made.work / "01_shapes.py", lesson(), "broadcast")
        progress = load(made)
        progress.enter(lesson(), ["broadcast"], [])
        progress.save()
        capsys.readouterr()
        yield made


def lesson(number: int = 0) -> object:
    return lesson_of(Path(os.environ["TITO_LESSONS"]), number)


def passed(workspace: Workspace, *names: str) -> None:
    progress = load(workspace)
    progress.enter(lesson(), names, [])
    progress.save()


# ---------------------------------------------------------------- status


def test_the_road(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status"]) == 0
    text = capsys.readouterr().out
    assert "01  Shapes  ###.........  1 of 4\n02  Layers  ............  1 exercise\n" in text
    assert "1 of 5 exercises done\n" in text
    end = "Next: Spec.nbytes in work/01_shapes.py, then: tito check 01\n0 of 6 milestones passed\n"
    assert text.endswith(end)


def test_a_lesson_that_is_done(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    solve(workspace.work / "01_shapes.py", lesson())
    passed(workspace, "Spec.nbytes", "MatMul.forward", "MatMul.flops")
    assert run(["status"]) == 0
    text = capsys.readouterr().out
    assert "01  Shapes  ############  done\n" in text
    assert text.endswith("Next: tito start 02\n0 of 6 milestones passed\n")


def test_what_is_no_longer_in_the_file_is_not_done(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace.work / "01_shapes.py").unlink()
    assert run(["status"]) == 0
    text = capsys.readouterr().out
    assert "0 of 5 exercises done" in text
    assert text.endswith("Next: tito start 01\n0 of 6 milestones passed\n")


def test_the_road_with_a_file_that_cannot_be_read(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace.work / "01_shapes.py").write_text("def f(:\n")
    assert run(["status"]) == 0
    text = capsys.readouterr().out
    assert "01  Shapes  ............  0 of 4\n" in text
    assert "work/01_shapes.py, line 1:\n    def f(:\n          ^\n" in text


def test_the_real_course_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path / "ws")
    before = Path.cwd()
    os.chdir(tmp_path / "ws")
    try:
        assert run(["status"]) == 0
    finally:
        os.chdir(before)
    road = [line for line in capsys.readouterr().out.splitlines() if line[:2].isdigit() and line[2:4] == "  "]
    assert len(road) == len(course().lessons)
    assert max(map(len, road), default=0) <= 60


# ---------------------------------------------------------------- hint


def test_one_more_hint_each_time(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for number, words in enumerate(("Line the shapes up", "A size of 1", "Collect the sizes"), 1):
        assert run(["hint", "--exercise", "broadcast"]) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"Hint {number} of 3 for broadcast (tinytorch/ops/spec.py):\n  {words}")
        assert text.endswith("then: tito check 01\n")
    assert run(["hint", "--exercise", "broadcast"]) == 0
    text = capsys.readouterr().out
    assert "There are no more hints for broadcast" in text
    assert "1. Line the shapes up" in text
    assert "3. Collect the sizes" in text
    assert text.endswith("tito solution broadcast --give-up\n")


def test_the_first_exercise_that_does_not_pass(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["hint"]) == 0
    assert "Hint 1 of 1 for Spec.nbytes" in capsys.readouterr().out
    passed(workspace, "Spec.nbytes")
    assert run(["hint", "1"]) == 0
    assert "There are no hints for MatMul.forward.\n" in capsys.readouterr().out
    passed(workspace, "MatMul.forward", "MatMul.flops")
    assert run(["hint"]) == 0
    assert "All exercises of lesson 01 pass." in capsys.readouterr().out


# ---------------------------------------------------------------- solution


def test_the_solution_of_what_passed(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("broadcast", "01:broadcast", "tinytorch.ops.spec:broadcast"):
        assert run(["solution", name]) == 0
        text = capsys.readouterr().out
        assert text.startswith("# broadcast, in tinytorch/ops/spec.py\ndef broadcast(op: str, *shapes")
        assert "return tuple(out)" in text
    assert load(workspace).gave_up == {}


def test_the_solution_of_what_did_not_pass(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["solution", "Spec.nbytes"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Spec.nbytes has not passed yet" in shown.err
    assert "--give-up" in shown.err
    assert run(["solution", "Spec.nbytes", "--give-up"]) == 0
    assert "return self.size * self.dtype.itemsize" in capsys.readouterr().out
    assert [*load(workspace).gave_up] == ["tinytorch.ops.spec:Spec.nbytes"]
    assert run(["solution", "Spec.nbytes"]) == 0
    capsys.readouterr()
    assert run(["status"]) == 0
    assert "1 of 5 exercises done, 1 given up" in capsys.readouterr().out


def test_the_solutions_of_a_lesson(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["solution", "1"]) == 1
    shown = capsys.readouterr()
    assert "Spec.nbytes has not passed yet" in shown.err
    assert "MatMul" not in shown.err
    assert run(["solution", "shapes", "--give-up"]) == 0
    text = capsys.readouterr().out
    assert text.count("# ") >= 4
    assert "# MatMul.flops, in tinytorch/ops/matmul.py, class MatMul\ndef flops(" in text
    assert len(load(workspace).gave_up) == 3


def test_names_that_are_not_there(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["solution", "MatMul.backward"]) == 1
    assert "Did you mean" in capsys.readouterr().err
    assert run(["solution", "77"]) == 1
    assert "no exercise or lesson '77'" in capsys.readouterr().err


def test_a_name_in_two_lessons(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    toml = Path(os.environ["TITO_LESSONS"]) / "02_layers" / "lesson.toml"
    added = '\n[[exercise]]\nname = "tinytorch.ops.shape:broadcast"\n'
    toml.write_text(toml.read_text(encoding="utf-8") + added, encoding="utf-8")
    course.cache_clear()
    assert run(["solution", "broadcast"]) == 0
    (workspace.work / "01_shapes.py").unlink()
    capsys.readouterr()
    assert run(["solution", "broadcast"]) == 1
    assert "say 01:broadcast or 02:broadcast" in capsys.readouterr().err


# ---------------------------------------------------------------- doctor


def test_the_doctor_finds_this_machine_well(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["doctor"])
    text = capsys.readouterr().out
    assert code == 0, text
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 60
    for name in (
        "Python",
        "packages",
        "computing",
        "BLAS",
        "memory",
        "disk",
        "console",
        "lessons",
        "workspace",
    ):
        assert f"  {name} " in text
    assert "mend  " not in text


def test_the_doctor_says_what_to_mend(workspace: Workspace) -> None:
    (workspace.work / "01_shapes.py").write_text("def f(:\n")
    code, text = tito(Path(os.environ["TITO_LESSONS"]), workspace.root, "doctor", PYTHONIOENCODING="cp1252")
    assert code == 1
    assert "mend  work files" in text
    assert "1 thing to mend." in text


def test_the_fixture_is_a_course(workspace: Workspace) -> None:
    assert SHAPES.count("[[exercise]]") == len(course().lessons[0].exercises)


def test_the_road_of_the_course_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = begin(tmp_path)
    monkeypatch.chdir(tmp_path)
    progress = load(workspace)
    for label in ("01", "02", "03", "04"):
        one = course().lesson(label)
        path = workspace.file(one)
        path.parent.mkdir(exist_ok=True)
        path.write_text(stub_file(one), encoding="utf-8")
        solve(path, one)
        progress.enter(one, [e.name for e in one.exercises], [])
    progress.save()
    assert run(["status"]) == 0
    end = "Next: tito start 05\n0 of 6 milestones passed; ready: tito milestone 1957\n"
    assert capsys.readouterr().out.endswith(end)
    progress.milestones["1957_perceptron"] = now()
    progress.save()
    assert run(["status"]) == 0
    assert capsys.readouterr().out.endswith("\n1 of 6 milestones passed\n")
