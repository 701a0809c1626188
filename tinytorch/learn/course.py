"""What the course consists of: lessons and their exercises, read from `lessons/NN_name/lesson.toml`."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tinytorch.errors import LearnError

_FOLDER = re.compile(r"(\d\d)_([a-z0-9_]+)")
_EXERCISE = re.compile(r"tinytorch(\.[a-z_0-9]+)*:[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)?")


@dataclass(frozen=True)
class Exercise:
    """One function or method of the package that the learner writes."""

    module: str
    name: str
    points: float
    group: str
    hints: tuple[str, ...]
    lesson: str

    @property
    def id(self) -> str:
        """`module:Qualified.name`, unique in the course."""
        return f"{self.module}:{self.name}"

    @property
    def place(self) -> str:
        """Where it belongs in the package.

        >>> Exercise("tinytorch.ops.matmul", "MatMul.forward", 1, "matmul", (), "02").place
        'tinytorch/ops/matmul.py, class MatMul'
        """
        file = self.module.replace(".", "/") + ".py"
        return f"{file}, class {self.name.split('.')[0]}" if "." in self.name else file


@dataclass(frozen=True)
class Lesson:
    """One lesson: its exercises in the order in which they are written."""

    label: str
    name: str
    title: str
    minutes: int
    prerequisites: tuple[str, ...]
    summary: str
    exercises: tuple[Exercise, ...]
    folder: Path

    @property
    def work_name(self) -> str:
        """Name of the learner's file."""
        return f"{self.label}_{self.name}.py"

    @property
    def checks(self) -> Path:
        """Folder of the checks."""
        return self.folder / "checks"

    def exercise(self, name: str) -> Exercise:
        """The exercise of this qualified name or id; raises LearnError with the nearest names."""
        found = [e for e in self.exercises if name in (e.name, e.id)]
        if not found:
            near = nearest(name, [e.name for e in self.exercises])
            raise LearnError(f"lesson {self.label} has no exercise {name!r}. {near}")
        return found[0]


@dataclass(frozen=True)
class Course:
    """All lessons in order."""

    lessons: tuple[Lesson, ...]

    def lesson(self, text: str) -> Lesson:
        """The lesson called `6`, `06`, `autograd` or `06_autograd`, or that of an exercise.

        Raises LearnError.
        """
        wanted = text.strip().lower()
        label = wanted.zfill(2)
        for lesson in self.lessons:
            if label == lesson.label or wanted in (lesson.name, lesson.folder.name.lower()):
                return lesson
        of_exercise = [x for x in self.lessons if text.strip() in {e.name for e in x.exercises}]
        if of_exercise:
            return of_exercise[0]
        if wanted.isdigit():
            first, last = self.lessons[0].label, self.lessons[-1].label
            raise LearnError(f"there is no lesson {text}; they are {first} to {last}")
        near = nearest(wanted, [name for lesson in self.lessons for name in (lesson.label, lesson.name)])
        raise LearnError(f"there is no lesson {text!r}. {near}")

    def until(self, lesson: Lesson) -> tuple[Lesson, ...]:
        """The lessons up to this one, it included."""
        return self.lessons[: self.lessons.index(lesson) + 1]

    def after(self, lesson: Lesson) -> tuple[Lesson, ...]:
        """The lessons that come later."""
        return self.lessons[self.lessons.index(lesson) + 1 :]


def lessons_folder() -> Path:
    """Where the lessons are: beside the package in a checkout, inside of it in an installed wheel."""
    named = os.environ.get("TITO_LESSONS")
    return Path(named) if named else _shipped("lessons")


def milestones_folder() -> Path:
    """Where the milestones are."""
    return _shipped("milestones")


def _shipped(name: str) -> Path:
    package = Path(__file__).resolve().parents[1]
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


@cache
def course() -> Course:
    """The whole course; raises LearnError for a lesson.toml that cannot be used."""
    folder = lessons_folder()
    if not folder.is_dir():
        raise LearnError(f"the lessons are not at {folder}. Install TinyTorch from its clone or its wheel.")
    return read_course(folder)


def read_course(folder: Path) -> Course:
    """The lessons in a folder, in the order of their numbers; raises LearnError."""
    found = [path for path in sorted(folder.iterdir()) if (path / "lesson.toml").is_file()]
    lessons = tuple(read_lesson(path) for path in found)
    seen: dict[str, str] = {}
    for lesson in lessons:
        for exercise in lesson.exercises:
            if exercise.id in seen:
                raise LearnError(
                    f"{exercise.id} is an exercise of lessons {seen[exercise.id]} and {lesson.label}"
                )
            seen[exercise.id] = lesson.label
    return Course(lessons)


def read_lesson(folder: Path) -> Lesson:
    """The lesson in a folder; raises LearnError naming the file and what is wrong in it."""
    path = folder / "lesson.toml"
    match = _FOLDER.fullmatch(folder.name)
    if not match:
        raise LearnError(f"{folder}: a lesson's folder is called like 02_tensor")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LearnError(f"{path}: {error}") from None
    label, name = match.groups()
    exercises = tuple(_exercise(path, label, entry) for entry in content.get("exercise", []))
    names = [exercise.name for exercise in exercises]
    if len(set(names)) < len(names):
        raise LearnError(f"{path}: a qualified name comes twice: {sorted(names)}")
    try:
        return Lesson(
            label,
            name,
            str(content["title"]),
            int(content["minutes"]),
            tuple(map(str, content.get("prerequisites", []))),
            str(content["summary"]),
            exercises,
            folder,
        )
    except KeyError as error:
        raise LearnError(f"{path}: {error} is missing") from None


def _exercise(path: Path, label: str, entry: dict[str, Any]) -> Exercise:
    unknown = set(entry) - {"name", "points", "group", "hints"}
    if unknown or not _EXERCISE.fullmatch(str(entry.get("name"))):
        raise LearnError(f"{path}: not an exercise of the form module:Qualified.name: {entry}")
    module, name = entry["name"].split(":")
    hints = tuple(map(str, entry.get("hints", [])))
    return Exercise(module, name, float(entry.get("points", 1)), str(entry.get("group", name)), hints, label)


def nearest(name: str, names: list[str], otherwise: str = "") -> str:
    """A sentence that asks for the names like this one; without any `otherwise`, or all names."""
    near = difflib.get_close_matches(name, names, 3, 0.4)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return otherwise or f"There are: {', '.join(names)}"
