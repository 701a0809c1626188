"""`tito grade`: points for many workspaces, each run in a box of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinytorch import console

if TYPE_CHECKING:
    from tinytorch.learn.grading.grade import Grade, Grader, Plan

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command(name="grade")
@click.argument("folder", type=FOLDER)
@click.option(
    "--json",
    "results",
    type=click.Path(path_type=Path, writable=True),
    help="Write the results for Gradescope: to one file, or into an existing folder one for each submission.",
)
@click.option("--checks", type=FOLDER, help="Your own checks, in folders called like the lessons or 06.")
@click.option("--lessons", metavar="02,05-07", help="Grade these lessons only.")
@click.option("--given", metavar="01-04", help="Lessons whose reference everybody is given.")
@click.option(
    "--seed", type=click.IntRange(0), help="Draws the inputs of the checks; by default a secret one."
)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Submissions at a time.")
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="Seconds of the processor for one lesson of a submission; four times that on the clock.",
)
@click.option(
    "--memory", type=click.FloatRange(0.5), default=4.0, show_default=True, help="GiB for a submission."
)
@click.option(
    "--review/--no-review",
    default=True,
    show_default=True,
    help="Give no points for exercises that use sys, os, frames and the like without need.",
)
def command(
    folder: Path,
    results: Path | None,
    checks: Path | None,
    lessons: str | None,
    given: str | None,
    seed: int | None,
    jobs: int,
    timeout: float,
    memory: float,
    review: bool,
) -> None:
    """Grade the workspaces in FOLDER: folders with a tito.toml, whose names are the submissions.

    Each runs in boxes of its own, on a copy of the package in which all exercises are empty. An exercise has
    its points if all its checks pass. docs/grading.md tells what this protects against and what it cannot.
    """
    import secrets

    from tinytorch.learn.course import course
    from tinytorch.learn.grading.grade import Grader, Plan, chosen, submissions
    from tinytorch.learn.grading.results import write
    from tinytorch.learn.workspace import require_extra

    require_extra()
    everything = course()
    free = chosen(everything, given) if given else ()
    wanted = tuple(
        lesson for lesson in chosen(everything, lessons) if lesson not in free and lesson.exercises
    )
    seed = secrets.randbelow(2**31) if seed is None else seed
    bytes_each = int(memory * 2**30)
    plan = Plan(everything, wanted, free, checks, seed, timeout, bytes_each, review)
    found = submissions(folder)
    with console.get().progress(len(found), "grading", "submissions") as progress, Grader(plan) as grader:
        done: list[str] = []

        def finished(grade: Grade) -> None:
            done.append(grade.name)
            progress.update(len(done))

        grades = grader.all(found, jobs, finished)
    if results is not None:
        about = {"seed": seed, "lessons": [lesson.label for lesson in wanted], "missing": grader.missing}
        for path in write(results, grades, about)[:1]:
            console.notice(f"wrote {path if path == results else results}")
    _show(grades, grader, plan)


def _show(grades: list[Grade], grader: Grader, plan: Plan) -> None:
    """The table, the notes that ask for a person's eye, and what this machine could not protect against."""
    from tinytorch.learn.grading.results import printable, table

    out = console.get()
    out.table("Points", *table(grades), note=f"seed {plan.seed}: --seed {plan.seed} draws the same inputs")
    for grade in grades:
        for note in grade.notes:
            out.say(printable(f"{grade.name}: {note}"))
    for name, reason in sorted(grader.missing.items()):
        out.notice(f"This machine lacks a protection, {name}: {reason}. See docs/grading.md.")
