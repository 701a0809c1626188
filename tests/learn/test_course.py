"""Lessons are read from their folders; what is wrong in one is named with its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.learn.tiny import write_course
from tinytorch.errors import LearnError
from tinytorch.learn.course import Course, course, lessons_folder, milestones_folder, read_course


@pytest.fixture
def tiny(tmp_path: Path) -> Course:
    return read_course(write_course(tmp_path / "lessons"))


def test_lessons_in_order_with_their_exercises(tiny: Course) -> None:
    first, second = tiny.lessons
    assert (first.label, first.name, first.work_name, first.minutes) == ("01", "shapes", "01_shapes.py", 30)
    assert [e.name for e in first.exercises] == ["broadcast", "Spec.nbytes", "MatMul.forward", "MatMul.flops"]
    assert first.exercises[0].points == 2
    assert first.exercises[0].id == "tinytorch.ops.spec:broadcast"
    assert first.exercises[0].group == "broadcast"
    assert first.exercises[2].place == "tinytorch/ops/matmul.py, class MatMul"
    assert second.prerequisites == ("01",)
    assert tiny.until(second) == tiny.lessons
    assert tiny.after(first) == (second,)


@pytest.mark.parametrize("text", ["1", "01", "shapes", "01_shapes", " Shapes ", "MatMul.flops"])
def test_a_lesson_has_many_names(tiny: Course, text: str) -> None:
    assert tiny.lesson(text).label == "01"


@pytest.mark.parametrize(
    ("text", "words"), [("shape", "Did you mean shapes"), ("7", "there is no lesson 7; they are 01 to 02")]
)
def test_a_lesson_that_is_not_there(tiny: Course, text: str, words: str) -> None:
    with pytest.raises(LearnError, match=words):
        tiny.lesson(text)


def test_an_exercise_by_name_or_id(tiny: Course) -> None:
    lesson = tiny.lessons[0]
    assert lesson.exercise("MatMul.flops") is lesson.exercise("tinytorch.ops.matmul:MatMul.flops")
    with pytest.raises(LearnError, match="lesson 01 has no exercise 'MatMul'. Did you mean MatMul.flops"):
        lesson.exercise("MatMul")


GOOD = 'title = "T"\nminutes = 3\nsummary = "S"\n'


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("title = ", "Invalid value"),
        ('title = "T"\nminutes = 3\n', "'summary' is missing"),
        (GOOD + '[[exercise]]\nname = "ops.spec:f"\n', "not an exercise of the form"),
        (GOOD + '[[exercise]]\nname = "tinytorch.ops.spec:a.b.c"\n', "not an exercise of the form"),
        (GOOD + '[[exercise]]\nname = "tinytorch.ops.spec:f"\nhint = "x"\n', "not an exercise of the form"),
        (GOOD + "[[exercise]]\npoints = 3\n", "not an exercise of the form"),
        (
            GOOD + '[[exercise]]\nname = "tinytorch.a:f"\n[[exercise]]\nname = "tinytorch.b:f"\n',
            "comes twice",
        ),
    ],
)
def test_a_damaged_lesson_names_its_file(tmp_path: Path, toml: str, words: str) -> None:
    folder = tmp_path / "03_more"
    folder.mkdir()
    (folder / "lesson.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(LearnError, match=words) as caught:
        read_course(tmp_path)
    assert str(folder / "lesson.toml") in str(caught.value)


def test_a_folder_must_have_a_number(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "lesson.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(LearnError, match="called like 02_tensor"):
        read_course(tmp_path)


def test_an_exercise_belongs_to_one_lesson(tmp_path: Path) -> None:
    for name in ("01_a", "02_b"):
        (tmp_path / name).mkdir()
        text = GOOD + '[[exercise]]\nname = "tinytorch.ops.spec:broadcast"\n'
        (tmp_path / name / "lesson.toml").write_text(text, encoding="utf-8")
    with pytest.raises(LearnError, match="an exercise of lessons 01 and 02"):
        read_course(tmp_path)


def test_the_course_that_ships() -> None:
    lessons = course().lessons
    assert [lesson.label for lesson in lessons] == [f"{n:02}" for n in range(1, len(lessons) + 1)]
    assert len(lessons) >= 18
    assert milestones_folder().is_dir()


def test_no_lessons_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITO_LESSONS", str(tmp_path / "none"))
    course.cache_clear()
    assert lessons_folder() == tmp_path / "none"
    with pytest.raises(LearnError, match="Install TinyTorch from its clone or its wheel"):
        course()
    course.cache_clear()
