"""`tito status`: the road of all lessons, what is done, and the next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tinytorch import console

if TYPE_CHECKING:
    from tinytorch.learn.course import Lesson
    from tinytorch.learn.progress import Progress
    from tinytorch.learn.workspace import Workspace

BAR = 12  # columns of the bar of a lesson
TITLE = 20  # columns of the longest title that is not cut


@click.command(name="status")
def command() -> None:
    """Show the road of all lessons: what is done, and what comes next."""
    from tinytorch.cli.check import columns
    from tinytorch.learn.course import course
    from tinytorch.learn.progress import load
    from tinytorch.learn.report import broken_text
    from tinytorch.learn.workspace import WorkFileError, find

    workspace = find()
    progress = load(workspace)
    lessons = course().lessons
    console.say(f"Workspace {workspace.root}")
    widest = min(TITLE, max((len(lesson.title) for lesson in lessons), default=0))
    broken: list[tuple[WorkFileError, Lesson]] = []
    done: dict[str, int] = {}
    for lesson in lessons:
        try:
            done[lesson.label] = _done(lesson, workspace, progress)
        except WorkFileError as error:
            done[lesson.label] = 0
            broken.append((error, lesson))
    for lesson in lessons:
        console.say(_line(lesson, done[lesson.label], workspace.started(lesson), widest))
    total = sum(len(lesson.exercises) for lesson in lessons)
    given = f", {len(progress.gave_up)} given up" if progress.gave_up else ""
    console.say(f"{sum(done.values())} of {total} exercises done{given}")
    if broken:
        console.say(broken_text(*broken[0], columns()))
        return
    console.say(_next(workspace, progress, done))
    console.say(_milestones(progress, done))


def _done(lesson: Lesson, workspace: Workspace, progress: Progress) -> int:
    """How many exercises passed and are still in the work file; raises WorkFileError."""
    written = workspace.written(lesson)
    return sum(
        e.id in progress.passed and e.name in written and written[e.name].started for e in lesson.exercises
    )


def _line(lesson: Lesson, done: int, started: bool, widest: int) -> str:
    """`02  Tensor   ######......   4 of 8`, at most 60 columns."""
    count = len(lesson.exercises)
    strokes = "\u2501\u2500" if console.get().unicode else "#."
    full = BAR * done // count if count else BAR * started
    bar = strokes[0] * full + strokes[1] * (BAR - full)
    if done == count and started:
        state = "done"
    else:
        state = f"{done} of {count}" if started else f"{count} exercise{'s' * (count != 1)}"
    title = lesson.title if len(lesson.title) <= widest else lesson.title[: widest - 3] + "..."
    return f"{lesson.label}  {title:<{widest}}  {bar}  {state}"


def _next(workspace: Workspace, progress: Progress, done: dict[str, int]) -> str:
    """The first thing that is not done yet, as a line with a command."""
    from tinytorch.learn.course import course

    for lesson in course().lessons:
        if not workspace.started(lesson):
            return f"Next: tito start {lesson.label}"
        if done[lesson.label] < len(lesson.exercises):
            first = progress.missing(lesson)
            name = f"{first[0].name} in " if first else ""
            return f"Next: {name}{workspace.shown(workspace.file(lesson))}, then: tito check {lesson.label}"
    return "All lessons are done."


def _milestones(progress: Progress, done: dict[str, int]) -> str:
    """How many milestones passed, and the first that could be run now."""
    from tinytorch.learn.course import course
    from tinytorch.learn.milestone import milestones

    complete = {lesson.label for lesson in course().lessons if done[lesson.label] == len(lesson.exercises)}
    found = milestones()
    open_ones = [m for m in found if m.name not in progress.milestones]
    labels = [lesson.label for lesson in course().lessons]
    ready = [m for m in open_ones if m.lesson in labels and complete >= {n for n in labels if n <= m.lesson}]
    state = f"{len(found) - len(open_ones)} of {len(found)} milestones passed"
    return f"{state}; ready: tito milestone {ready[0].name.split('_')[0]}" if ready else state
