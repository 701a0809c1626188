"""A run of checks in words: complete, short, and nothing of a later exercise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.learn.tiny import lesson_of, write_course
from tinytorch.learn.checks import Failure, Report
from tinytorch.learn.course import Lesson, read_course
from tinytorch.learn.report import (
    TITLES,
    broken_text,
    done_text,
    failure_text,
    field,
    printed,
    ran_text,
    under,
    wrapped,
)
from tinytorch.learn.workspace import WorkFileError, Workspace, begin

LONG = "float32 (3, 4) " + " ".join(f"{i}.2345" for i in range(200))


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    return lesson_of(write_course(tmp_path_factory.mktemp("lessons")))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return begin(tmp_path / "ws")


def failure(workspace: Workspace, lesson: Lesson, **changes: object) -> Failure:
    found = Failure(
        "MatMul.forward", "wrong", "test_product", "MatMul().forward(a, b)", [("a", "1"), ("b", "2")]
    )
    found.got, found.expected, found.difference = "3", "4", "Element [0] is 3 and should be 4."
    found.file, found.line = str(workspace.file(lesson)), 40
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_a_wrong_answer(workspace: Workspace, lesson: Lesson) -> None:
    assert failure_text(failure(workspace, lesson), lesson, workspace, 80, "hello\n") == (
        "MatMul.forward does not give what it should (tinytorch/ops/matmul.py, class\nMatMul)\n"
        "at        work/01_shapes.py, line 40\n"
        "called    MatMul().forward(a, b)\n"
        "with      a = 1\n"
        "          b = 2\n"
        "got       3\n"
        "expected  4\n"
        "differs   Element [0] is 3 and should be 4.\n"
        "printed   hello\n"
        "Next: tito hint 01 --exercise MatMul.forward"
    )


def test_what_a_function_of_the_checks_does_is_said(workspace: Workspace, lesson: Lesson) -> None:
    found = failure(workspace, lesson, helpers=[("twice(f, *x)", "What f gives at its second call.")])
    text = failure_text(found, lesson, workspace, 80)
    assert "b = 2\nwhere     twice(f, *x): What f gives at its second call.\ngot " in text


def test_an_error_shows_the_learners_line(workspace: Workspace, lesson: Lesson) -> None:
    found = failure(
        workspace,
        lesson,
        kind="raised",
        difference="",
        error="NameError: name 'x' is not defined",
        source="  return x ",
    )
    text = failure_text(found, lesson, workspace, 80, hints=False)
    assert "at        work/01_shapes.py, line 40: return x\n" in text
    assert "error     NameError: name 'x' is not defined\n" in text
    assert "expected" not in text
    assert text.endswith("Next: change it, then: tito check 01")


def test_what_is_not_written_says_so_and_no_more(workspace: Workspace, lesson: Lesson) -> None:
    found = failure(
        workspace, lesson, kind="unwritten", difference="", error="MatMul.forward is not written yet"
    )
    text = failure_text(found, lesson, workspace, 80)
    assert text.splitlines()[0].startswith("MatMul.forward is not written yet (tinytorch/ops/matmul.py")
    assert text.endswith("Next: write it, then: tito check 01")
    assert not {"got", "expected", "error", "with"} & {line.split()[0] for line in text.splitlines()}
    found.file = ""
    assert "tito start 01" in failure_text(found, lesson, workspace, 80)


@pytest.mark.parametrize("kind", TITLES)
@pytest.mark.parametrize("columns", [60, 79, 100])
def test_the_longest_failure_fits(kind: str, columns: int, workspace: Workspace, lesson: Lesson) -> None:
    found = failure(
        workspace, lesson, kind=kind, called=f"MatMul().forward({LONG})", got=LONG, expected=LONG,
        difference=LONG, error=f"ValueError: {LONG}\n{LONG}", source=LONG,
        given=[(f"x{i}", LONG) for i in range(9)], helpers=[(f"f{i}(x)", LONG) for i in range(9)],
    )  # fmt: skip
    text = failure_text(found, lesson, workspace, columns, "\n".join([LONG] * 50))
    lines = text.splitlines()
    assert len(lines) <= 32
    assert max(map(len, lines)) <= columns
    assert lines[-1].startswith("Next: ")


def test_a_failure_before_any_exercise(workspace: Workspace, lesson: Lesson) -> None:
    found = Failure("", "crashed", error="the process ended with code 1")
    text = failure_text(found, lesson, workspace, 80)
    assert text.startswith("lesson 01 ends the whole program\nerror     the process ended with code 1\n")


def test_a_file_that_python_cannot_read(lesson: Lesson) -> None:
    error = WorkFileError("work/01.py", "invalid syntax", 7, "\tdef f(a b):", 10)
    assert broken_text(error, lesson, 60) == (
        "work/01.py, line 7:\n"
        "        def f(a b):\n"
        "                ^\n"
        "Python cannot read it: invalid syntax\n"
        "Next: mend it, then: tito check 01"
    )
    assert broken_text(WorkFileError("work/01.py", "null bytes"), lesson, 60).startswith(
        "work/01.py:\nPython"
    )


def test_the_caret_is_seen_in_a_long_line(lesson: Lesson) -> None:
    error = WorkFileError(
        "work/01.py", "invalid syntax", 7, "x = " + "1 + " * 60 + ") + 2" + " + 3" * 30, 245
    )
    lines = broken_text(error, lesson, 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[1][lines[2].index("^")] == ")"


# ---------------------------------------------------------------- what ran


def test_what_ran_by_file_and_the_seed(workspace: Workspace, lesson: Lesson) -> None:
    own, other = str(workspace.file(lesson)), str(workspace.work / "00_first.py")
    report = Report("01", 7, seconds=0.25)
    report.ran = [("MatMul.forward", own, 40), ("f", other, 3), ("g", other, 9), ("broadcast", own, 10)]
    assert ran_text(report, lesson, workspace, 80) == (
        "ran work/01_shapes.py: broadcast, MatMul.forward\n"
        "ran work/00_first.py: f, g\n"
        "seed 7 (TITO_SEED=7 repeats it), 0.2 s"
    )
    assert "none of your functions" in ran_text(Report("01", 7), lesson, workspace, 80)


def test_after_a_failure_no_later_exercise_is_named(workspace: Workspace, lesson: Lesson) -> None:
    own, other = str(workspace.file(lesson)), str(workspace.work / "00_first.py")
    report = Report("01", 7, failure=Failure("Spec.nbytes", "wrong"))
    report.ran = [
        ("MatMul.forward", own, 40),
        ("f", other, 3),
        ("Spec.nbytes", own, 20),
        ("broadcast", own, 10),
    ]
    text = ran_text(report, lesson, workspace, 80)
    assert "ran work/01_shapes.py: broadcast, Spec.nbytes\nran work/00_first.py: 1 function\n" in text
    assert "MatMul" not in text


def test_what_comes_after_a_lesson(lesson: Lesson) -> None:
    whole = read_course(lesson.folder.parent)
    assert done_text(lesson, whole, 80) == "Lesson 01, Shapes: all 4 exercises pass.\nNext: tito start 02"
    assert done_text(whole.lessons[1], whole, 80).endswith("Next: tito milestone")


# ---------------------------------------------------------------- folding


def test_the_last_lines_that_were_printed() -> None:
    assert printed("\n".join(map(str, range(9))), 60) == ["printed   7", "          8"]
    assert printed(" \n", 60) == []


def test_a_field_is_cut_where_it_is_too_long() -> None:
    lines = field("got", "word " * 100, 40)
    assert len(lines) == 3
    assert lines[-1].endswith("...")
    assert field("got", "", 40) == []


def test_text_beside_a_name() -> None:
    assert under("a", "one\n\n  two", 20, 4) == ["a   one", "", "      two"]
    assert wrapped(["one two", "three"], 5) == "one\ntwo\nthree"
