"""`tito start`: write a lesson's work file; a file that is there keeps its text and learns what is new."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

from tinytorch import console

if TYPE_CHECKING:
    from tinytorch.learn.course import Lesson
    from tinytorch.learn.progress import Progress
    from tinytorch.learn.workspace import Workspace

DIFFERENCE = 12  # lines shown of what changed in one exercise


@click.command(name="start")
@click.argument("lesson", required=False)
def command(lesson: str | None) -> None:
    """Write the work file of LESSON ("6", "06" or "autograd"); by default of the first not started yet.

    A work file that is there is never overwritten: exercises that the course has gained are added at its
    end, those whose signature or docstring changed are named. "tito reset" starts a lesson over.
    """
    from tinytorch.errors import LearnError
    from tinytorch.learn.course import course
    from tinytorch.learn.progress import load
    from tinytorch.learn.workspace import find, require_extra

    require_extra()
    workspace = find()
    if lesson is not None:
        chosen = course().lesson(lesson)
    else:
        fresh = [one for one in course().lessons if not workspace.started(one)]
        if not fresh:
            raise LearnError("all lessons are started; tito status shows what is left")
        chosen = fresh[0]
    progress = load(workspace)
    if workspace.started(chosen):
        _renew(workspace, chosen, progress)
    else:
        _write(workspace, chosen, progress)
    missing = progress.missing(chosen)
    console.say(f"read: {chosen.folder / 'README.md'}")
    step = f"write {missing[0].name}, then: " if missing else ""
    console.say(f"Next: {step}tito check {chosen.label}")


def _write(workspace: Workspace, lesson: Lesson, progress: Progress) -> None:
    """Write a new work file and note what its stubs say."""
    from tinytorch.learn.stubs import current_head, stub_file
    from tinytorch.training.files import write_whole

    path = workspace.file(lesson)
    write_whole(path, stub_file(lesson).encode())
    progress.heads |= {exercise.id: current_head(exercise) for exercise in lesson.exercises}
    progress.save()
    count = len(lesson.exercises)
    console.say(f"Lesson {lesson.label}, {lesson.title}: about {lesson.minutes} minutes")
    console.say(f"wrote {workspace.shown(path)}: {count} exercise{'s' * (count != 1)}")


def _renew(workspace: Workspace, lesson: Lesson, progress: Progress) -> None:
    """Add the exercises that a work file lacks, and name those that changed since it was made."""
    from tinytorch.learn.stubs import current_head, head, with_stubs
    from tinytorch.learn.workspace import read_text, write_text

    path = workspace.file(lesson)
    written = workspace.written(lesson)
    console.say(f"{workspace.shown(path)} is there already; what you wrote stays")
    gained = [exercise for exercise in lesson.exercises if exercise.name not in written]
    text, encoding = read_text(path)
    if gained:
        write_text(path, with_stubs(text, lesson, gained), encoding)
        console.say(f"added at its end, as the file lacked it: {', '.join(e.name for e in gained)}")
    for exercise in lesson.exercises:
        before, after = progress.heads.get(exercise.id), current_head(exercise)
        own = head(text, exercise.name)
        if exercise in gained or own == after:
            progress.heads[exercise.id] = after
        elif before is not None and before != after:
            _show_change(before, after, exercise.name, lesson)
    progress.save()


def _show_change(before: str, after: str, name: str, lesson: Lesson) -> None:
    console.say(f"changed in the course since you started: {name}")
    lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    for line in lines[:DIFFERENCE]:
        console.say(f"  {line.rstrip()}")
    if len(lines) > DIFFERENCE:
        console.say(f"  and {len(lines) - DIFFERENCE} more lines")
    console.say(f"  change yours by hand, or: tito reset {lesson.label} --exercise {name}")
