"""`tito check`: what a lesson's checks say of the learner's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from tinytorch import console

if TYPE_CHECKING:
    from tinytorch.learn.checks import Failure, Report
    from tinytorch.learn.course import Exercise, Lesson
    from tinytorch.learn.progress import Progress
    from tinytorch.learn.work import Piece, Written
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
    from tinytorch.learn.progress import enter, load
    from tinytorch.learn.report import broken_text, ran_text
    from tinytorch.learn.workspace import WorkFileError, require_extra

    require_extra()
    if not workspace.started(lesson):
        raise LearnError(f'lesson {lesson.label} is not started; "tito start {lesson.label}" does that')
    asked = [lesson.exercise(exercise)] if exercise is not None else [*lesson.exercises]
    before = load(workspace)
    console.say(f"Lesson {lesson.label}, {lesson.title}: {workspace.shown(workspace.file(lesson))}")
    _warn(lesson, before, workspace)
    try:
        pieces = workspace.pieces(lesson)
        places = workspace.written(lesson)
    except WorkFileError as error:
        console.say(broken_text(error, lesson, columns()))
        return False
    report = _run(lesson, pieces, places, asked)
    done = [one.name for one in asked if report.done(one.name) and one.name in places]
    done = [name for name in done if places[name].started]
    failed = {failure.exercise for failure in report.failures} & {one.name for one in lesson.exercises}
    progress = enter(workspace, lesson, done, failed)
    console.say()
    if report.failure is not None:
        name = report.failure.exercise
        if report.failure.kind == "unwritten" and name in places:
            report.failure.file, report.failure.line = str(workspace.file(lesson)), places[name].line
        _say_failure(report, report.failure, lesson, workspace, progress, _similar(name, lesson, places))
    else:
        _say_no_failure(report, lesson, asked, done)
    console.say()
    console.say(ran_text(report, lesson, workspace, columns()))
    return report.failure is None and len(done) == len(asked)


def _run(
    lesson: Lesson, pieces: list[Piece], places: Mapping[str, Written], asked: Sequence[Exercise]
) -> Report:
    """Run the checks of a lesson, or of the one exercise asked for, saying each exercise as it is through."""
    from tinytorch.learn.checks import run_checks
    from tinytorch.learn.work import Piece

    unwritten = [one for one in asked if one.name not in places or not places[one.name].started]
    names = {one.name for one in unwritten}

    def tell(name: str, passed: bool) -> None:
        word = "passed" if passed else "not yet" if name in names else "FAILED"
        console.say(f"  {word:<8} {name}")

    only = asked[0].name if len(asked) < len(lesson.exercises) else None
    stubs = [Piece(one.module, one.name, None) for one in unwritten[:1]]
    return run_checks(lesson, [*pieces, *stubs], exercise=only, on_result=tell)


def _say_failure(
    report: Report,
    failure: Failure,
    lesson: Lesson,
    workspace: Workspace,
    progress: Progress,
    similar: Written | None,
) -> None:
    """The first failure, and what to do next."""
    from tinytorch.learn.report import failure_text

    named = [e for e in lesson.exercises if e.name == failure.exercise]
    left = any(progress.hints.get(e.id, 0) < len(e.hints) for e in named)
    console.say(failure_text(failure, lesson, workspace, columns(), report.output, left, similar))


def _similar(name: str, lesson: Lesson, places: Mapping[str, Written]) -> Written | None:
    """For an exercise that the work file lacks, a function in it whose name may be a slip for that."""
    if name in places:
        return None
    from difflib import get_close_matches

    others = places.keys() - {exercise.name for exercise in lesson.exercises}
    found = get_close_matches(name, sorted(others), 1)
    return places[found[0]] if found else None


def _say_no_failure(report: Report, lesson: Lesson, asked: Sequence[Exercise], done: Sequence[str]) -> None:
    """That what was asked for passes; or of which exercises the checks did not run, not all or none."""
    from tinytorch.learn.course import course
    from tinytorch.learn.report import done_text, printed

    for line in printed(report.output, columns()):
        console.say(line)
    unchecked = [one.name for one in asked if not report.total.get(one.name)]
    skipped = [one.name for one in asked if one.name not in [*done, *unchecked]]
    if skipped:
        console.say(f"Checks did not run, or not to their end: {', '.join(skipped)}.")
    if unchecked:
        console.say(f"The course has no checks for {', '.join(unchecked)}: update TinyTorch.")
    elif skipped:
        console.say(f"Next: tito check {lesson.label}")
    elif len(asked) < len(lesson.exercises):
        console.say(f"{asked[0].name} passes.\nNext: tito check {lesson.label}")
    else:
        console.say(done_text(lesson, course(), columns()))


def _warn(lesson: Lesson, progress: Progress, workspace: Workspace) -> None:
    """Say which lessons this one builds on have not passed, and whose code runs there."""
    from tinytorch.learn.course import course

    earlier = [one for one in course().until(lesson) if one.label in lesson.prerequisites]
    behind = [one for one in earlier if progress.missing(one)]
    begun = [one.label for one in behind if workspace.started(one)]
    absent = [one.label for one in behind if not workspace.started(one)]
    for labels, what in ((begun, "what you wrote there runs"), (absent, "the package stands in")):
        if labels:
            many = f"lesson{'s' * (len(labels) > 1)} {', '.join(labels)}"
            console.say(f"  {many} not passed yet: {what}")
