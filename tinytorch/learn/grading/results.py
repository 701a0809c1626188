"""Grades as text for a console and as results in the format of Gradescope's autograders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinytorch.errors import LearnError
from tinytorch.learn.grading.grade import Grade, Mark
from tinytorch.training.files import write_whole


def gradescope(grade: Grade) -> dict[str, Any]:
    """The results of one submission, as Gradescope reads them from results.json.

    Of a check of the teacher's own a student learns only that it did not pass.
    Source: https://gradescope-autograders.readthedocs.io/en/latest/specs/
    """
    return {
        "score": grade.score,
        "execution_time": round(grade.seconds, 1),
        "output": f"{grade.score:g} of {grade.max_score:g} points",
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_test(number, mark) for number, mark in enumerate(grade.marks, 1)],
        "extra_data": {"max_score": grade.max_score, "notes": grade.notes},
    }


def _test(number: int, mark: Mark) -> dict[str, Any]:
    exercise = mark.exercise
    return {
        "score": mark.points,
        "max_score": exercise.points,
        "status": "passed" if mark.status == "passed" else "failed",
        "name": f"{exercise.lesson} {exercise.name}",
        "number": str(number),
        "output": said(mark),
        "output_format": "text",
        "tags": [f"lesson {exercise.lesson}", mark.status],
        "visibility": "visible",
    }


def said(mark: Mark) -> str:
    """What a student may read of a mark: one that only hidden checks gave says no more than that."""
    if mark.status == "passed":
        return "all checks passed"
    if mark.hidden:
        return "passes the lesson's checks, but not all of the teacher's own"
    return printable(mark.text)


def printable(text: str) -> str:
    """Text in which a submission can hide no control sequences of a terminal.

    >>> printable("a\\x1b[31mred")
    'a?[31mred'
    """
    return re.sub(r"[^\n\x20-\x7e\xa0-\u2fff]", "?", text)


def table(grades: Sequence[Grade]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows: points in each lesson, their sum, the most there are, the number of notes."""
    labels = list(dict.fromkeys(mark.exercise.lesson for grade in grades for mark in grade.marks))
    rows: list[list[object]] = []
    for grade in grades:
        points = [sum(m.points for m in grade.marks if m.exercise.lesson == label) for label in labels]
        cells = [f"{value:g}" for value in (*points, grade.score, grade.max_score)]
        rows.append([printable(grade.name), *cells, str(len(grade.notes) or "")])
    return ["submission", *labels, "points", "of", "notes"], rows


def write(place: Path, grades: Sequence[Grade], about: Mapping[str, Any]) -> list[Path]:
    """Write all results to one file, or into an existing folder a NAME.json for each, for Gradescope.

    `about` (seed, lessons, protections that were missing) goes into the one file, or beside the others as
    grading.json. Returns what was written; raises LearnError for a name that would be taken twice.
    """
    results = {grade.name: gradescope(grade) for grade in grades}
    if not place.is_dir():
        write_whole(place, _json({**about, "submissions": results}))
        return [place]
    if "grading" in results:
        raise LearnError('a submission called "grading" cannot be written to a folder; name a file')
    files = {f"{name}.json": result for name, result in results.items()} | {"grading.json": dict(about)}
    for name, content in files.items():
        write_whole(place / name, _json(content))
    return [place / name for name in files]


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
