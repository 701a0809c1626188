"""`tito hint`: one more hint for an exercise that does not pass yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tinytorch import console

if TYPE_CHECKING:
    from tinytorch.learn.course import Exercise, Lesson
    from tinytorch.learn.progress import Progress


@click.command(name="hint")
@click.argument("lesson", required=False)
@click.option("--exercise", metavar="NAME", help="The exercise; by default the first that does not pass.")
def command(lesson: str | None, exercise: str | None) -> None:
    """Show one more hint for the first exercise of LESSON that does not pass yet.

    LESSON is by default the one that you saved last. Each hint says more than the one before.
    """
    from tinytorch.learn.course import course
    from tinytorch.learn.progress import load
    from tinytorch.learn.workspace import find

    workspace = find()
    chosen = course().lesson(lesson) if lesson is not None else workspace.current()
    progress = load(workspace)
    if exercise is not None:
        _show(chosen, chosen.exercise(exercise), progress)
        return
    missing = progress.missing(chosen)
    if missing:
        _show(chosen, missing[0], progress)
    else:
        console.say(f"All exercises of lesson {chosen.label} pass.\nNext: tito status")


def _show(lesson: Lesson, exercise: Exercise, progress: Progress) -> None:
    """The next hint, and what comes after it; all of them again where there is no further one."""
    from tinytorch.cli.check import columns
    from tinytorch.learn.report import wrapped

    seen, count = progress.hints.get(exercise.id, 0), len(exercise.hints)
    if seen < count:
        console.say(f"Hint {seen + 1} of {count} for {exercise.name} ({exercise.place}):")
        console.say(wrapped([exercise.hints[seen]], columns(), "  "))
        progress.hints[exercise.id] = seen + 1
        progress.save()
        console.say(f"Next: change your code, then: tito check {lesson.label}")
        return
    if count:
        console.say(f"There are no more hints for {exercise.name}. Once more, all {count}:")
        for number, hint in enumerate(exercise.hints, 1):
            console.say(wrapped([f"{number}. {hint}"], columns(), "  "))
    else:
        console.say(f"There are no hints for {exercise.name}.")
    console.say(f"To see how it can be written: tito solution {exercise.name} --give-up")
