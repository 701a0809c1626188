"""A learner who never errs: pastes the reference body by body, checks each, and runs the milestones on it.

It uses the commands as a learner does (`tito begin`, `notebook`, `start`, `check`, `milestone`), each in a
process of its own, in a folder whose name has a space and an accent. Each lesson's notebook runs from top to
bottom before anything of the lesson is written:

    python -m tests.learn.scripted_learner [--lessons 01-07] [--milestones 1957,1969] [--keep DIR]

It says how long each took and what failed, goes on all the same, and exits with 0 if nothing failed, else 1.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.learn.tiny import tito
from tinytorch import console
from tinytorch.learn.course import Lesson, course
from tinytorch.learn.milestone import Milestone, find, milestones
from tinytorch.learn.stubs import paste, reference

SHOWN = 40  # last lines of a command that failed
LONGEST = 300  # seconds that a cell of a notebook may take


@dataclass
class Learner:
    """A workspace, the seconds that commands took in it by kind, and what did not end as it should."""

    root: Path
    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def tito(self, *arguments: str, fails: bool = False) -> str:
        """The output of a command in the workspace, which should pass, or fail where that is said."""
        begun = time.perf_counter()
        code, said = tito(None, self.root, *arguments, PYTHONIOENCODING="utf-8")
        self.seconds.setdefault(arguments[0], []).append(time.perf_counter() - begun)
        if (code != 0) != fails:
            last = "\n".join(said.splitlines()[-SHOWN:])
            self.fail(f"tito {' '.join(arguments)} ended with {code}:\n{last}")
        return said

    def fail(self, what: str) -> None:
        """Note a failure and say it at once."""
        self.failures.append(what)
        console.say(f"FAILED: {what}")

    def read(self, lesson: Lesson) -> None:
        """Run a lesson's notebook from top to bottom, each exercise in it still a stub."""
        self.tito("notebook", lesson.label)
        path = (self.root / "work" / lesson.work_name).with_suffix(".ipynb")
        found = nbformat.read(path, as_version=4)
        client = NotebookClient(found, timeout=LONGEST, resources={"metadata": {"path": str(self.root)}})
        begun = time.perf_counter()
        try:
            client.execute()
        except CellExecutionError as error:
            self.fail(f"the notebook of lesson {lesson.label} breaks off:\n{error}")
        self.seconds.setdefault("a notebook's run", []).append(time.perf_counter() - begun)
        said = [output.get("text", "") for cell in found.cells for output in cell.get("outputs", [])]
        if sum("is not written yet." in text for text in said) != len(lesson.exercises):
            self.fail(f"the notebook of lesson {lesson.label} does not run each exercise")

    def write(self, lesson: Lesson) -> None:
        """Do a lesson: the check fails on its stubs, then each exercise is written and checked, then all."""
        self.tito("start", lesson.label)
        self.tito("check", lesson.label, fails=True)
        path = self.root / "work" / lesson.work_name
        for exercise in lesson.exercises:
            text = paste(path.read_text(encoding="utf-8"), exercise, reference(exercise))
            path.write_text(text, encoding="utf-8", newline="")
            self.tito("check", lesson.label, "--exercise", exercise.name)
        said = self.tito("check", lesson.label)
        if f"work/{path.name}" not in said.partition("\nran ")[2]:
            self.fail(f"tito check {lesson.label} does not say that it ran on work/{path.name}:\n{said}")

    def train(self, milestone: Milestone) -> list[str]:
        """Run a milestone on the code written so far; its rows of figures."""
        said = self.tito("milestone", milestone.name)
        ran = re.search(r"It ran on (\d+) functions of yours", said)
        if f"{milestone.name} passed on your code." not in said or ran is None or not int(ran[1]):
            self.fail(f"tito milestone {milestone.name} did not pass on the learner's code")
        rows = [line for line in said.splitlines() if line.endswith(("reached", "missed"))]
        return [*rows, *([ran[0]] if ran else [])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Go down the whole road, or the part that is asked for; 0 if everything passes."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="tito-") as folder:
        learner = Learner(options.keep or Path(folder) / "mon \u00e9t\u00e9")
        learner.root.mkdir(parents=True)
        learner.tito("begin", ".")
        for lesson in _chosen(options.lessons):
            _lesson(learner, lesson)
        for name in options.milestones:
            _milestone(learner, find(name))
    slowest = ", ".join(f"{name} {max(times):.1f} s" for name, times in learner.seconds.items())
    console.say(f"slowest of each command: {slowest}; failures: {len(learner.failures)}")
    return 1 if learner.failures else 0


def _lesson(learner: Learner, lesson: Lesson) -> None:
    learner.read(lesson)
    begun = time.perf_counter()
    learner.write(lesson)
    seconds, last = time.perf_counter() - begun, learner.seconds["check"][-1]
    console.say(
        f"{lesson.label} {lesson.title:<20} {len(lesson.exercises):>2} exercises {seconds:7.1f} s, "
        f"of which tito check {lesson.label} {last:.1f} s"
    )


def _milestone(learner: Learner, milestone: Milestone) -> None:
    rows = learner.train(milestone)
    console.say(f"{milestone.name:<36} {learner.seconds['milestone'][-1]:7.1f} s")
    for row in rows:
        console.say(f"   {row}")


def _chosen(text: str) -> list[Lesson]:
    """The lessons of `01-05,07`; all for an empty text."""
    lessons = course().lessons
    if not text:
        return list(lessons)
    found: list[Lesson] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = (lessons.index(course().lesson(label)) for label in (first, last or first))
        found += lessons[begin : end + 1]
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lessons", default="", help="such as 01-05,07; all if not said")
    parser.add_argument(
        "--milestones",
        type=lambda text: [name for name in text.split(",") if name],
        default=[milestone.name for milestone in milestones()],
        help="such as 1957,1969; none for an empty text, all if not said",
    )
    parser.add_argument("--keep", type=Path, help="a new folder for the workspace, which then stays")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
