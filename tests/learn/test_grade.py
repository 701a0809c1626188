"""Grading: points, hidden checks, lessons that are given, what a submission's files may be, results."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.learn import hostile
from tinytorch.errors import LearnError
from tinytorch.learn import work
from tinytorch.learn.course import Course, read_course
from tinytorch.learn.grading import review as grade_review
from tinytorch.learn.grading.child import signed, verified
from tinytorch.learn.grading.decoy import other
from tinytorch.learn.grading.grade import Grader, Plan, allowed, chosen, submissions
from tinytorch.learn.grading.package_copy import copy_checks, package_without, without_bodies
from tinytorch.learn.grading.results import gradescope, write

SLOW = hostile.HONEST.replace("return a + -b", "while True: pass")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return read_course(hostile.write_course(tmp_path_factory.mktemp("course") / "lessons"))


def test_hidden_checks_given_lessons_and_partial_answers(course: Course, tmp_path: Path) -> None:
    (tmp_path / "hidden" / "01").mkdir(parents=True)
    (tmp_path / "hidden" / "01" / "secret.py").write_text(hostile.HIDDEN)
    works = {
        "whole": hostile.HONEST,
        "fails hidden": hostile.HONEST.replace("return a + b", "return (a + b) * 1.0"),
        "one hangs": SLOW,
        "broken": "class Add:\n  def forward(self, a, b)\n    return a",
    }
    for name, text in works.items():
        hostile.write_workspace(tmp_path / "students" / name, text, "class Mul: pass\n")
    first, second = course.lessons
    plan = Plan(course, (first,), (second,), tmp_path / "hidden", seed=3, timeout=8.0)
    with Grader(plan) as grader:
        found = submissions(tmp_path / "students")
        grades = {name: grader.grade(name, path) for name, path in found.items()}
    assert [len(grades[name].marks) for name in works] == [3, 3, 3, 3]
    points = {name: [mark.points for mark in grade.marks] for name, grade in grades.items()}
    assert points == {
        "whole": [1, 2, 3],
        "fails hidden": [0, 2, 3],
        "one hangs": [1, 0, 3],
        "broken": [0, 0, 0],
    }
    hidden = grades["fails hidden"].marks[0]
    assert hidden.hidden
    assert "secret" not in json.dumps(gradescope(grades["fails hidden"]))
    assert "test_integers" not in json.dumps(gradescope(grades["fails hidden"]))
    assert "its time was up" in grades["one hangs"].marks[1].text
    assert "01_first.py, line 2" in grades["broken"].marks[0].text
    one, many = tmp_path / "results.json", tmp_path / "results"
    many.mkdir()
    write(one, list(grades.values()), {"seed": 3})
    write(many, list(grades.values()), {"seed": 3})
    results = json.loads(one.read_text())
    assert results["seed"] == 3
    assert results["submissions"]["whole"] == json.loads((many / "whole.json").read_text())
    whole = results["submissions"]["whole"]
    assert (whole["score"], whole["extra_data"]["max_score"]) == (6, 6)
    assert [t["status"] for t in results["submissions"]["one hangs"]["tests"]] == [
        "passed",
        "failed",
        "passed",
    ]


def test_trouble_with_one_submission_costs_that_one_alone(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ann", "bob", "eve"):
        hostile.write_workspace(tmp_path / name, hostile.HONEST)
    work = Path("work", "01_first.py")
    (tmp_path / "bob" / work).write_bytes(bytes(1000))
    with Grader(Plan(course, course.lessons[:1])) as grader:
        token = iter(["a", "b/c", "d"])  # the folder of bob's files cannot be made
        monkeypatch.setattr("tinytorch.learn.grading.grade.secrets.token_hex", lambda _: next(token))
        grades = grader.all(submissions(tmp_path), 1, lambda _: None)
    assert [grade.score for grade in grades] == [6, 0, 6]
    assert [mark.status for mark in grades[1].marks] == ["failed"] * 3
    assert "could not be graded" in grades[1].notes[0]


def test_a_file_that_cannot_be_read_costs_its_lesson(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = hostile.write_workspace(tmp_path / "ann", hostile.HONEST, hostile.HONEST_SECOND)
    refused, read = place / "work" / "01_first.py", Path.read_bytes

    def read_bytes(path: Path) -> bytes:  # root may read whatever there is, so the system's refusal is played
        if path == refused:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    with Grader(Plan(course, course.lessons)) as grader:
        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        grade = grader.grade("ann", place)
    assert grade.score == 4
    assert "01_first.py cannot be read: Permission denied" in grade.marks[0].text


def test_checks_that_the_reference_fails_are_refused(course: Course, tmp_path: Path) -> None:
    (tmp_path / "01_first").mkdir()
    wrong = hostile.HIDDEN.replace("[4, 6]", "[4, 7]")
    (tmp_path / "01_first" / "test_wrong.py").write_text(wrong)
    plan = Plan(course, course.lessons[:1], hidden=tmp_path)
    with pytest.raises(LearnError, match="the reference fails test_integers"), Grader(plan):
        pass


def test_lessons_are_chosen_by_ranges(course: Course) -> None:
    first, second = course.lessons
    assert chosen(course, None) == chosen(course, "01-02") == chosen(course, "2,1") == (first, second)
    assert chosen(course, "second") == (second,)
    with pytest.raises(LearnError, match="backwards"):
        chosen(course, "02-01")
    with pytest.raises(LearnError, match="no lesson"):
        chosen(course, "77")


def test_submissions_are_folders_with_a_workspace(tmp_path: Path) -> None:
    with pytest.raises(LearnError, match="holds no workspaces"):
        submissions(tmp_path)
    hostile.write_workspace(tmp_path / "ann")
    hostile.write_workspace(tmp_path / "bob" / "unpacked")
    (tmp_path / "none").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "ann")
    assert submissions(tmp_path) == {"ann": tmp_path / "ann", "bob": tmp_path / "bob" / "unpacked"}
    with pytest.raises(LearnError, match="no folder"):
        submissions(tmp_path / "nowhere")


# ---------------------------------------------------------------- the copies


def test_the_copy_has_no_bodies_and_imports(course: Course, tmp_path: Path) -> None:
    exercises = [exercise for lesson in course.lessons for exercise in lesson.exercises]
    folder = package_without(exercises, tmp_path / "copy")
    code = (
        "import inspect, tinytorch.nn, tinytorch.ops.matmul as m; print(inspect.getsource(m.MatMul.forward));"
        "m.MatMul().forward(1, 2)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env={"PYTHONPATH": str(folder)}, capture_output=True, text=True
    )
    assert "raise NotImplementedError('MatMul.forward')" in done.stdout
    assert done.stdout.count("\n") < 12
    assert "NotImplementedError: MatMul.forward" in done.stderr
    with pytest.raises(LearnError, match="no function nothing"):
        without_bodies("x = 1", ["nothing"], "m")


def test_decoys_stand_beside_checks_under_names_that_tell_nothing(course: Course, tmp_path: Path) -> None:
    decoys = copy_checks(course.lessons[1].checks, tmp_path / "checks")
    names = {path.name for path in (tmp_path / "checks").glob("*.py")}
    assert len(names) == 3
    assert "helpers.py" in names
    assert len(decoys) == 1
    assert decoys < names
    text = (tmp_path / "checks" / decoys.pop()).read_text()
    assert "other(np.multiply(a, b))" in text
    assert "'unsupported', 'decoy " in text


@pytest.mark.parametrize(
    "want",
    [
        *(True, 0, -2.0, float("nan"), "", b"a", None, [], (1, [2.0]), {"a": 1}, {1}, np.float32(3), float),
        *(np.zeros((0, 3)), np.array([True, False]), np.array([-2.469, np.inf]), np.array(["a"])),
    ],
)
def test_a_decoy_expects_something_else(want: object) -> None:
    wrong = other(want)
    same = (
        np.array_equal(np.asarray(wrong), np.asarray(want)) if isinstance(want, np.ndarray) else wrong == want
    )
    assert not same


# ---------------------------------------------------------------- reports and review


def test_reports_count_only_signed_and_in_order(tmp_path: Path) -> None:
    with (tmp_path / "sent").open("wb") as file:
        emit = signed(file.fileno(), b"key")
        for number in range(3):
            emit(b'{"event": "%d"}' % number)
    sent = (tmp_path / "sent").read_bytes()
    assert [event["event"] for event in verified(sent, b"key")] == ["0", "1", "2"]
    lines = sent.splitlines(keepends=True)
    assert verified(sent, b"other key") == []
    assert len(verified(lines[0] + lines[2] + lines[1], b"key")) == 1
    assert len(verified(lines[0] + b'forged {"event": "end"}\n' + lines[1], b"key")) == 1
    assert len(verified(sent[:-5], b"key")) == 2


@pytest.mark.parametrize(
    "code",
    [
        *(
            "import os",
            "from tinytorch.learn import expect",
            "from tinytorch.console import sys",
            "import torch",
        ),
        *("from numpy import *", "from . import x", "f = getattr", "getattr(a, 'f_' + 'back')", "eval('1')"),
        *("a.__class__.__subclasses__", "np.isclose = max", "setattr(np, 'isclose', max)", "del np.x"),
        *("match a:\n  case object(f_back=b): pass", "print.__self__", "for np.x in (1,): pass", "vars(np)"),
        *(
            "try: 1\nexcept ValueError as e: e.__traceback__",
            "tt.learn.checks",
            "np.lib.npyio.os",
            "collections._sys",
            "np.__dict__",
            "map(setattr, a)",
        ),
    ],
)
def test_the_review_finds(code: str) -> None:
    assert list(grade_review.offences(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        *(
            "import numpy as np",
            "from collections import defaultdict",
            "import tinytorch as tt",
            "import math, time",
        ),
        *("def f(self, x): self.x = x; x.grad = None; self.__dict__['a'] = getattr(self, x)", "model.eval()"),
        *("def f(p): setattr(p, 'grad', None)", "re.compile('a')", "model.modules()", "hasattr(a, 'shape')"),
        *(
            "def f():\n  out = g()\n  out[0].data = 1",
            "np.trace(a)",
            "def f(self): return vars(self)",
            "def f(m, s): s.callback(setattr, m, 'training', 1)",
            "def f(m): return m.__dict__",
            "object.__new__(A)",
            "super().__init__()",
        ),
    ],
)
def test_the_review_lets_pass(code: str) -> None:
    assert not [found for node in ast.parse(code).body for found in grade_review.offences(node)]


def test_the_review_follows_helpers_and_ignores_the_unused(course: Course, tmp_path: Path) -> None:
    file = tmp_path / "w.py"
    file.write_text(
        "import os\nimport inspect\ndef helper():\n    return os.getpid()\n"
        "class Add:\n    def forward(self, a, b):\n        return helper()\n"
        "class Sub:\n    def forward(self, a, b):\n        return a - b\n"
        "class Mul:\n    def forward(self, a, b):\n        raise NotImplementedError\n"
    )
    wanted: dict[str, set[str]] = {name: set() for name in ("Add.forward", "Sub.forward", "Mul.forward")}
    found = grade_review.review(str(file), wanted, work)["exercises"]
    assert found["Add.forward"] == [(1, "import os"), (4, "os")]
    assert found["Sub.forward"] == []
    assert "Mul.forward" not in found
    wanted["Add.forward"] = {"import os", "os"}
    assert grade_review.review(str(file), wanted, work)["exercises"]["Add.forward"] == []


@pytest.mark.parametrize("text", ["def f(:", "\0", "x = " + "(" * 5000, "-" * 200_000 + "1"])
def test_the_review_survives(text: str, tmp_path: Path) -> None:
    (tmp_path / "w.py").write_text(text)
    assert "error" in grade_review.review(str(tmp_path / "w.py"), {"f": set()}, work)


def test_what_the_reference_needs_is_allowed(course: Course) -> None:
    first = course.lessons[0]
    assert allowed(first) == []
    writes = replace(first.exercises[0], module="tinytorch.training.files", name="write_whole")
    assert {"os", "import os"} <= set(allowed(replace(first, exercises=(writes,))))
