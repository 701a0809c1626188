"""The milestones: what each needs, running one on the learner's code, and whether it reaches its goals."""

from __future__ import annotations

import ast
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytorch.errors import LearnError
from tinytorch.learn.course import Exercise, Lesson, course, milestones_folder
from tinytorch.learn.experiment import RELATIONS, SEEDS, reaches
from tinytorch.learn.run import Ran, run_program
from tinytorch.learn.work import Piece
from tinytorch.learn.workspace import Workspace


@dataclass(frozen=True)
class Milestone:
    """A program of `milestones/`: it runs on the lessons up to `lesson`, and must reach its goals."""

    path: Path
    title: str
    lesson: str
    goals: Mapping[str, tuple[str, float]]

    @property
    def name(self) -> str:
        """Such as `1969_xor`."""
        return self.path.stem

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """The lessons whose code it runs on; raises LearnError where the course lacks the last one."""
        return course().until(course().lesson(self.lesson))


@dataclass(frozen=True)
class Outcome:
    """What a run reported: its exit code, and the figures of each seed; none where it did not finish.

    `ran`: (qualified name, file, line) of each of the learner's functions that ran.
    """

    code: int
    seeds: tuple[int, ...] = ()
    figures: Mapping[str, tuple[float, ...]] | None = None
    ran: tuple[tuple[str, str, int], ...] = ()

    def reached(self, milestone: Milestone) -> bool:
        """Whether it ended with 0 and the mean of each figure over its seeds reaches its goal."""
        figures = self.figures
        return (
            self.code == 0
            and figures is not None
            and all(reaches(figures[name], goal) for name, goal in milestone.goals.items())
        )

    def passed(self, milestone: Milestone) -> bool:
        """Whether it reached its goals with the seeds that count."""
        return self.seeds == SEEDS and self.reached(milestone)


def milestones(folder: Path | None = None) -> tuple[Milestone, ...]:
    """All milestones in the order of their years; raises LearnError for a program that states no goals."""
    place = milestones_folder() if folder is None else folder
    if not place.is_dir():
        raise LearnError(f"the milestones are not at {place}. Install TinyTorch from its clone or its wheel.")
    return tuple(read(path) for path in sorted(place.glob("[0-9]*.py")))


def find(text: str, folder: Path | None = None) -> Milestone:
    """The milestone called `1969`, `xor` or `1969_xor`; raises LearnError with the names there are."""
    found = milestones(folder)
    for milestone in found:
        if text.strip().lower() in (milestone.name, *milestone.name.split("_", 1)):
            return milestone
    raise LearnError(f"there is no milestone {text!r}; there are: {', '.join(m.name for m in found)}")


def read(path: Path) -> Milestone:
    """What a program says of itself, read without running it; raises LearnError."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
        stated = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id in ("LESSON", "GOALS")
        }
        title = (ast.get_docstring(tree) or "").split("\n")[0].rstrip(".")
        goals = {
            str(name): (str(relation), float(value)) for name, (relation, value) in stated["GOALS"].items()
        }
        milestone = Milestone(path, title, f"{stated['LESSON']:02}", goals)
    except (SyntaxError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise LearnError(f"{path}: no milestone: LESSON and GOALS cannot be read: {error}") from None
    unknown = [relation for relation, _ in goals.values() if relation not in RELATIONS]
    if not title or not goals or unknown:
        raise LearnError(f"{path}: no milestone: it needs a docstring, and goals by {', '.join(RELATIONS)}")
    return milestone


def missing(milestone: Milestone, workspace: Workspace) -> dict[Lesson, list[Exercise]]:
    """What is not written yet of the lessons that a milestone runs on; raises WorkFileError."""
    found: dict[Lesson, list[Exercise]] = {}
    for lesson in milestone.lessons:
        written = workspace.written(lesson)
        absent = [e for e in lesson.exercises if e.name not in written or not written[e.name].started]
        if absent:
            found[lesson] = absent
    return found


def attempt(
    milestone: Milestone, pieces: Sequence[Piece], picture: Path, seeds: Sequence[int] = SEEDS
) -> Outcome:
    """Run a milestone with these pieces in place; what it says and draws goes to the console as it comes.

    The result comes back in a file of this run's own, so that a program that ends early has none.
    """
    with tempfile.TemporaryDirectory(prefix="tito-") as folder:
        result = Path(folder) / "result.json"
        chosen = ",".join(map(str, seeds))
        arguments = ["--seeds", chosen, "--picture", str(picture), "--result", str(result)]
        ran: Ran = []
        code = run_program([str(milestone.path), *arguments], pieces, ran)
        figures = read_figures(result, milestone, seeds)
    return Outcome(code, tuple(seeds), figures, tuple(ran))


def read_figures(
    result: Path, milestone: Milestone, seeds: Sequence[int]
) -> dict[str, tuple[float, ...]] | None:
    """The figures that a run left in its file; None unless all of them are there, one for each seed."""
    try:
        content = json.loads(result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    figures = content.get("figures") if isinstance(content, dict) else None
    if (
        not isinstance(figures, dict)
        or content.get("seeds") != list(seeds)
        or set(figures) != set(milestone.goals)
        or not all(_are_figures(values, len(seeds)) for values in figures.values())
    ):
        return None
    return {name: tuple(values) for name, values in figures.items()}


def _are_figures(values: Any, count: int) -> bool:
    numbers = isinstance(values, list) and all(
        isinstance(x, int | float) and math.isfinite(x) for x in values
    )
    return numbers and len(values) == count


def goal_text(milestone: Milestone) -> str:
    """The goals in words: `accuracy on test digits >= 0.98`."""
    return ", ".join(f"{name} {relation} {target:g}" for name, (relation, target) in milestone.goals.items())
