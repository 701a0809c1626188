"""Work files made from the package, and functions put into them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.learn.tiny import lesson_of, write_course
from tinytorch.errors import LearnError
from tinytorch.learn.course import Exercise, Lesson, course
from tinytorch.learn.scope import find, imports
from tinytorch.learn.stubs import current_head, head, paste, reference, stub, stub_file, stubs
from tinytorch.learn.work import read_work


def exercise(module: str, name: str) -> Exercise:
    return Exercise(module, name, 1, name, (), "01")


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    return lesson_of(write_course(tmp_path_factory.mktemp("lessons")))


def test_a_work_file_holds_the_exercises_and_none_is_written(lesson: Lesson, tmp_path: Path) -> None:
    path = tmp_path / "work.py"
    path.write_text(stub_file(lesson), encoding="utf-8")
    written = read_work(path)
    assert [*written] == [e.name for e in lesson.exercises]
    assert not any(place.started for place in written.values())


def test_each_exercise_stands_under_its_place_with_signature_and_docstring(lesson: Lesson) -> None:
    text = stub_file(lesson)
    assert "# Exercise 1 of 4: broadcast, in tinytorch/ops/spec.py\n" in text
    assert "    # Exercise 4 of 4: MatMul.flops, in tinytorch/ops/matmul.py, class MatMul\n" in text
    assert text.count("class MatMul:") == 1
    assert "    @property\n    def nbytes(self) -> int:\n" in text
    assert text.count("raise NotImplementedError") == text.count("# TODO") == 4
    for one in lesson.exercises:
        assert head(text, one.name) == current_head(one)


def test_a_work_file_is_ascii_and_no_wider_than_the_package(lesson: Lesson) -> None:
    text = stub_file(lesson)
    assert text.isascii()
    assert text.endswith("\n")
    assert max(map(len, text.splitlines())) <= 110


def test_the_names_for_the_editor_can_all_be_imported(lesson: Lesson) -> None:
    known = imports(lesson.exercises, 96)
    assert "import numpy as np\n" in known
    assert "class MatMul" not in known
    subprocess.run([sys.executable, "-c", known], check=True, cwd=Path(__file__).parents[2])
    names = {
        alias.asname or alias.name for n in ast.walk(ast.parse(known)) for alias in getattr(n, "names", [])
    }
    assert {"np", "ShapeError", "Shape", "Linear", "require_float"} <= names
    assert not {"MatMul", "Spec", "broadcast", "TYPE_CHECKING", "_rows"} & names


def test_every_lesson_there_is_has_a_work_file() -> None:
    for one in course().lessons:
        tree = ast.parse(stub_file(one))
        assert all(find(tree, e.name) is not None for e in one.exercises)


def test_the_reference_of_a_method_is_not_indented() -> None:
    text = reference(exercise("tinytorch.ops.spec", "Spec.nbytes"))
    assert text.startswith("@property\ndef nbytes(self) -> int:\n    ")
    assert text.endswith("\n")


def test_a_stub_is_the_function_alone() -> None:
    one = exercise("tinytorch.ops.spec", "Spec.nbytes")
    assert stub(one).startswith("@property\ndef nbytes(self) -> int:\n    ")
    assert stub(one).splitlines()[-1] == '    raise NotImplementedError("Spec.nbytes")'
    assert head(stub(one), "nbytes") == current_head(one)
    plain = exercise("tinytorch.ops.spec", "broadcast")
    assert stub(plain).startswith("def broadcast(")
    assert head(stub(plain), "broadcast") == current_head(plain)
    assert "\n    Shapes are lined up" in stub(plain)


def test_remarks_to_linters_are_left_out() -> None:
    one = exercise("tinytorch.nn.module", "Parameter")
    assert "noqa" in reference(one)
    assert "noqa" not in stub(one)


@pytest.mark.parametrize("name", ["nothing", "Spec.nothing", "Nothing.forward"])
def test_a_function_that_is_not_there(name: str, lesson: Lesson) -> None:
    one = exercise("tinytorch.ops.spec", name)
    for make in (stub, reference, current_head):
        with pytest.raises(LearnError, match="othing"):
            make(one)


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(LearnError, match="no module tinytorch.nothing"):
        reference(exercise("tinytorch.nothing", "f"))


def test_definitions_that_share_a_name() -> None:
    source = (
        "@overload\ndef f(a: int) -> int: ...\ndef f(a):\n    return a\n"
        "class C:\n    @property\n    def x(self): return 1\n    @x.setter\n    def x(self, v): pass\n"
    )
    tree = ast.parse(source)
    function, getter = find(tree, "f"), find(tree, "C.x")
    assert function is not None
    assert function.lineno == 3
    assert getter is not None
    assert getter.lineno == 7


def test_a_head_does_not_depend_on_layout_or_body() -> None:
    one = head('def f(a,\n      b: int = 1):\n    """Add\n    them."""\n    return a\n', "f")
    other = head('def f(a, b: int=1):\n    """Add\n    them."""\n    raise ValueError\n', "f")
    assert one == other
    assert head("def f(a): ...", "f") != head("def f(b): ...", "f")
    assert head("def f(a): ...", "g") is None


# ---------------------------------------------------------------- pasting


def test_pasting_every_reference_leaves_all_else_as_it_was(lesson: Lesson, tmp_path: Path) -> None:
    text = stub_file(lesson)
    for one in lesson.exercises:
        text = paste(text, one, reference(one))
    path = tmp_path / "work.py"
    path.write_text(text, encoding="utf-8")
    assert all(place.started for place in read_work(path).values())
    for one in lesson.exercises:
        assert reference(one).splitlines()[-1].strip() in text
        text = paste(text, one, stub(one))
    assert text == stub_file(lesson)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("margin", ["\t", "  "])
def test_line_ends_and_margins_stay(newline: str, margin: str) -> None:
    work = f"import math\nclass A:\n{margin}@dec\n{margin}def f(self):\n{margin}{margin}pass\n# end\n"
    one = exercise("tinytorch.ops.spec", "A.f")
    text = paste(work.replace("\n", newline), one, "def f(self):\n    return 1\n")
    assert text.replace(newline, "\n") == (
        f"import math\nclass A:\n{margin}def f(self):\n{margin}    return 1\n# end\n"
    )
    assert text.count("\r") == (text.count("\n") if newline == "\r\n" else 0)
    ast.parse(text)


def test_what_is_not_there_is_added_at_the_end() -> None:
    one, other = exercise("tinytorch.ops.spec", "A.f"), exercise("tinytorch.ops.spec", "g")
    text = paste("x = 1\r\n", one, "def f(self):\n    return 1\n")
    assert text == "x = 1\r\n\r\n\r\nclass A:\r\n    def f(self):\r\n        return 1\r\n"
    assert paste("x = 1\n", other, "def g():\n    return 1\n") == "x = 1\n\n\ndef g():\n    return 1\n"


def test_a_work_file_that_does_not_parse_is_not_pasted_into() -> None:
    with pytest.raises(SyntaxError):
        paste("def f(:\n", exercise("tinytorch.ops.spec", "f"), "def f(): ...\n")


def test_some_exercises_alone(lesson: Lesson) -> None:
    text = stubs(lesson, lesson.exercises[3:])
    assert text.lstrip().startswith("class MatMul:")
    assert "Exercise 4 of 4" in text
    assert "MatMul.forward" not in text


@pytest.mark.parametrize("mark", ["\f", "\x0b", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_python_s_line_ends_count(mark: str, lesson: Lesson) -> None:
    text = f'PAGES = "one{mark}two"\n\n\ndef broadcast(op, *shapes):\n    return 1\n\n\ndef after(): pass\n'
    for end in ("\n", "\r\n", "\r"):
        before = text.replace("\n", end)
        made = paste(before, lesson.exercise("broadcast"), "def broadcast():\n    return 3\n")
        assert made.replace("\r\n", "\n").replace("\r", "\n") == text.replace(
            "(op, *shapes):\n    return 1", "():\n    return 3"
        )
