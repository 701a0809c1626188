"""`tito milestone`: the programs that changed the field, run on the learner's code."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinytorch import console
from tinytorch.cli.check import columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytorch.learn.course import Exercise, Lesson
    from tinytorch.learn.milestone import Milestone, Outcome
    from tinytorch.learn.workspace import Workspace


@click.command(name="milestone")
@click.argument("name", required=False)
@click.option("--reference", is_flag=True, help="Run it on the package alone; does not count.")
@click.option("--quick", is_flag=True, help="Train with one seed instead of three; does not count.")
def command(name: str | None, reference: bool, quick: bool) -> None:
    """Run the milestone NAME ("1969", "xor") on your code; without a name, list them all.

    It passes if the figures that it measures, as the mean of three seeds, reach its goals. Its picture goes
    to the folder milestones/ of the workspace. Exits with 0 if the goals are reached, else with 1.
    """
    from tinytorch.learn.milestone import find
    from tinytorch.learn.workspace import here

    if name is None:
        _list(here())
        return
    milestone = find(name)
    reached = _on_package(milestone, quick) if reference else _on_learners_code(milestone, quick)
    if not reached:
        click.get_current_context().exit(1)


# ---------------------------------------------------------------- the list


def _list(workspace: Workspace | None) -> None:
    from tinytorch.learn.milestone import goal_text, milestones
    from tinytorch.learn.progress import load

    passed = load(workspace).milestones if workspace is not None else {}
    for milestone in milestones():
        console.say(textwrap.fill(milestone.title, columns(), subsequent_indent="  "))
        facts = {"needs": f"lessons 01 to {milestone.lesson}", "goal": goal_text(milestone)}
        if workspace is not None:
            when = passed.get(milestone.name, "")[:10]
            facts["state"] = f"passed {when}" if when else _state(milestone, workspace)
        for name, text in facts.items():
            lead = f"  {name:<8}"
            console.say(textwrap.fill(lead + text, columns(), subsequent_indent=" " * len(lead)))
        console.say()
    if workspace is None:
        console.say('No workspace here; make one with "tito begin".')
        console.say("On the package alone: tito milestone 1957 --reference")
    else:
        console.say("Run one by its year or name: tito milestone 1957")


def _state(milestone: Milestone, workspace: Workspace) -> str:
    from tinytorch.learn.milestone import missing
    from tinytorch.learn.workspace import WorkFileError

    try:
        absent = missing(milestone, workspace)
    except WorkFileError as error:
        return str(error)
    if not absent:
        return f"ready: tito milestone {milestone.name.split('_')[0]}"
    return f"lacks lesson{'s' * (len(absent) > 1)} {', '.join(lesson.label for lesson in absent)}"


# ---------------------------------------------------------------- running one


def _on_learners_code(milestone: Milestone, quick: bool) -> bool:
    """Run it on what the learner wrote of the lessons it needs, and note it if it passes."""
    from tinytorch.learn.milestone import attempt, missing
    from tinytorch.learn.progress import load, now
    from tinytorch.learn.workspace import find

    workspace = find()
    absent = missing(milestone, workspace)
    if absent:
        _say_missing(milestone, absent)
        return False
    pieces = workspace.pieces(milestone.lessons[-1])
    progress = load(workspace)
    console.say(textwrap.fill(milestone.title, columns()))
    console.say(f"on your code of lessons 01 to {milestone.lesson}\n")
    outcome = attempt(milestone, pieces, _picture(milestone, workspace.root / "milestones"), _seeds(quick))
    _say_ran(outcome, workspace)
    if outcome.passed(milestone):
        progress.milestones[milestone.name] = now()
        progress.save()
    _say_verdict(milestone, outcome, quick)
    return outcome.reached(milestone)


def _on_package(milestone: Milestone, quick: bool) -> bool:
    """Run it on the package alone."""
    from tinytorch.learn.milestone import attempt
    from tinytorch.learn.workspace import here

    workspace = here()
    folder = workspace.root / "milestones" if workspace is not None else Path("runs") / "milestones"
    console.say(textwrap.fill(milestone.title, columns()))
    console.say("on the package alone: this does not count as passed\n")
    outcome = attempt(milestone, [], _picture(milestone, folder, "-reference"), _seeds(quick))
    return outcome.reached(milestone)


def _seeds(quick: bool) -> Sequence[int]:
    from tinytorch.learn.experiment import SEEDS

    return SEEDS[:1] if quick else SEEDS


def _picture(milestone: Milestone, folder: Path, kind: str = "") -> Path:
    return folder / f"{milestone.name}{kind}.png"


def _say_missing(milestone: Milestone, absent: dict[Lesson, list[Exercise]]) -> None:
    """What must be written before, lesson by lesson, and what to do first."""
    console.say(f"{milestone.name} runs on your code of lessons 01 to {milestone.lesson}. Not written yet:")
    for lesson, exercises in absent.items():
        count = len(exercises)
        which = "all of it" if count == len(lesson.exercises) else ", ".join(e.name for e in exercises[:3])
        more = f" and {count - 3} more" if count < len(lesson.exercises) and count > 3 else ""
        console.say(f"  {lesson.label} {lesson.title}: {which}{more}")
    console.say(f"Next: tito start {next(iter(absent)).label}")
    console.say("To see it on the package instead: add --reference")


def _say_ran(outcome: Outcome, workspace: Workspace) -> None:
    """Which of the learner's functions ran, by file, in the order in which they stand there."""
    by_file: dict[str, list[tuple[int, str]]] = {}
    for name, file, line in outcome.ran:
        by_file.setdefault(workspace.shown(file), []).append((line, name))
    console.say(f"\nIt ran on {len(outcome.ran)} functions of yours:")
    for file, places in sorted(by_file.items()):
        names = ", ".join(name for _, name in sorted(places))
        console.say(
            textwrap.fill(f"{file}: {names}", columns(), initial_indent="  ", subsequent_indent="    ")
        )


def _say_verdict(milestone: Milestone, outcome: Outcome, quick: bool) -> None:
    console.say()
    if outcome.figures is None:
        console.say(f"{milestone.name} did not finish: it reported no figures.")
    elif outcome.passed(milestone):
        console.say(f"{milestone.name} passed on your code.")
    elif outcome.reached(milestone) and quick:
        console.say(f"Goals reached with one seed. To pass: tito milestone {milestone.name.split('_')[0]}")
    else:
        console.say(f"{milestone.name} did not reach its goals. tito check finds what is wrong in a lesson.")
