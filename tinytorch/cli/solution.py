"""`tito solution`: the package's own code for an exercise, once yours passes or you give it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tinytorch import console

if TYPE_CHECKING:
    from tinytorch.learn.course import Exercise
    from tinytorch.learn.workspace import Workspace


@click.command(name="solution")
@click.argument("what", metavar="EXERCISE|LESSON")
@click.option("--give-up", is_flag=True, help="Show it though your code does not pass; that is noted.")
def command(what: str, give_up: bool) -> None:
    """Show the reference of EXERCISE ("MatMul.forward", "02:MatMul.forward") or of a whole LESSON.

    It is one right answer among many. You see it after your own has passed, or with --give-up.
    """
    from tinytorch.errors import LearnError
    from tinytorch.learn.progress import load, now
    from tinytorch.learn.stubs import reference
    from tinytorch.learn.workspace import find, require_extra

    require_extra()
    workspace = find()
    progress = load(workspace)
    wanted = exercises_called(what, workspace)
    open_ones = [e for e in wanted if e.id not in progress.passed and e.id not in progress.gave_up]
    if open_ones and not give_up:
        names = ", ".join(e.name for e in open_ones[: 1 if len(wanted) > 1 else None])
        raise LearnError(
            f"{names} has not passed yet: tito check {open_ones[0].lesson} tells what is missing, tito hint "
            f"{open_ones[0].lesson} helps, and tito solution {what} --give-up shows the solution all the same"
        )
    for exercise in open_ones:
        progress.gave_up[exercise.id] = now()
    if open_ones:
        progress.save()
    for number, exercise in enumerate(wanted):
        console.say("\n" * (number > 0) + f"# {exercise.name}, in {exercise.place}")
        console.say(reference(exercise).rstrip())


def exercises_called(what: str, workspace: Workspace) -> tuple[Exercise, ...]:
    """The exercises of a lesson, or the one of a name; of several the one in the lesson worked on."""
    from tinytorch.errors import LearnError
    from tinytorch.learn.course import course, nearest

    lessons = course().lessons
    everything = [e for lesson in lessons for e in lesson.exercises]
    label, _, name = what.partition(":")
    if name and not label.startswith("tinytorch"):
        return (course().lesson(label).exercise(name),)
    found = [e for e in everything if what in (e.name, e.id)]
    if len(found) > 1 and any(workspace.started(lesson) for lesson in lessons):
        here = workspace.current().label
        found = [e for e in found if e.lesson == here] or found
    if len(found) > 1:
        names = " or ".join(f"{e.lesson}:{e.name}" for e in found)
        raise LearnError(f"{what} is an exercise of several lessons: say {names}")
    if found:
        return tuple(found)
    try:
        return course().lesson(what).exercises
    except LearnError:
        cure = nearest(what, [e.name for e in everything], "tito status lists the lessons")
        raise LearnError(f"there is no exercise or lesson {what!r}. {cure}") from None
