"""`tito check`: what a lesson's checks say of the learner's code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tinytorch import console

if TYPE_CHECKING:
    from tinytorch.learn.course import Lesson
    from tinytorch.learn.progress import Progress
    from tinytorch.learn.workspace import Workspace

WIDEST = 100  # columns that a report takes at most


@click.command(name="check")
@click.argument("lesson", required=False)
@click.option("--exercise", metavar="NAME", help="Check this exercise alone.")
def command(lesson: str | None, exercise: str | None) -> None:
    """Check your code for LESSON ("6", "06" or "autograd"); by default the one you saved last.

    It runs on all that you have written up to that lesson, in the place of the package's own code, and
    stops at the first exercise that does not pass. Exits with 0 if all pass, else with 1.
    """
    from tinytorch.learn.course import course
    from tinytorch.learn.workspace import find

    workspace = find()
    chosen = course().lesson(lesson) if lesson is not None else workspace.current()
    if not check(workspace, chosen, exercise):
        click.get_current_context().exit(1)


def columns() -> int:
    """Columns that a report may take here."""
    return min(WIDEST, console.width() - 1)


def check(workspace: Workspace, lesson: Lesson, exercise: str | None = None) -> bool:
    """Run the checks, say what they found and note it; whether all exercises asked for pass."""
    from tinytorch.errors import LearnError
    from tinytorch.learn.checks import run_checks
    from tinytorch.learn.course import course
    from tinytorch.learn.graft import Piece
    from tinytorch.learn.progress import load
    from tinytorch.learn.report import broken_text, done_text, failure_text, printed, ran_text
    from tinytorch.learn.workspace import WorkFileError, require_extra

    require_extra()
    if not workspace.started(lesson):
        raise LearnError(f'lesson {lesson.label} is not started; "tito start {lesson.label}" does that')
    asked = [lesson.exercise(exercise)] if exercise is not None else [*lesson.exercises]
    progress = load(workspace)
    console.say(f"Lesson {lesson.label}, {lesson.title}: {workspace.shown(workspace.file(lesson))}")
    _warn(lesson, progress)
    try:
        pieces = workspace.pieces(lesson)
        places = workspace.written(lesson)
    except WorkFileError as error:
        console.say(broken_text(error, lesson, columns()))
        return False
    written = {name for name, place in places.items() if place.started}
    unwritten = [one for one in asked if one.name not in written]
    pieces += [Piece(one.module, one.name, None) for one in unwritten[:1]]

    def tell(name: str, passed: bool) -> None:
        word = "passed" if passed else "not yet" if name in {e.name for e in unwritten} else "FAILED"
        console.say(f"  {word:<8} {name}")

    report = run_checks(
        lesson, pieces, exercise=asked[0].name if exercise is not None else None, on_result=tell
    )
    done = [one.name for one in asked if report.done(one.name) and one.name in written]
    failed = {failure.exercise for failure in report.failures} & {one.name for one in lesson.exercises}
    progress.enter(lesson, done, failed)
    progress.save()
    console.say()
    if report.failure is not None:
        name = report.failure.exercise
        if report.failure.kind == "unwritten" and name in places:
            report.failure.file, report.failure.line = str(workspace.file(lesson)), places[name].line
        left = any(e.name == name and progress.hints.get(e.id, 0) < len(e.hints) for e in lesson.exercises)
        console.say(failure_text(report.failure, lesson, workspace, columns(), report.output, left))
    else:
        for line in printed(report.output, columns()):
            console.say(line)
        unchecked = [one.name for one in asked if not report.total.get(one.name)]
        if unchecked:
            console.say(f"The course has no checks for {', '.join(unchecked)}: update TinyTorch.")
        elif exercise is not None:
            console.say(f"{asked[0].name} passes.\nNext: tito check {lesson.label}")
        else:
            console.say(done_text(lesson, course(), columns()))
    console.say()
    console.say(ran_text(report, lesson, workspace, columns()))
    return report.failure is None and len(done) == len(asked)


def _warn(lesson: Lesson, progress: Progress) -> None:
    """Say in one line which lessons this one builds on have not passed."""
    from tinytorch.learn.course import course

    earlier = [one for one in course().until(lesson) if one.label in lesson.prerequisites]
    behind = [one.label for one in earlier if progress.missing(one)]
    if behind:
        many = f"lesson{'s' * (len(behind) > 1)} {', '.join(behind)}"
        console.say(f"  {many} not passed yet: the package stands in")
