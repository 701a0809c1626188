"""`python -m tinytorch.learn.gate [LESSON ...]`: run the gate and say what it found."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from tinytorch import console
from tinytorch.errors import LearnError
from tinytorch.learn.checks import seed_of_the_day
from tinytorch.learn.course import course
from tinytorch.learn.gate.forks import warm_up
from tinytorch.learn.gate.gate import OF_FILES, PARTS, Gate, Verdict, run_gate


@click.command()
@click.argument("lessons", nargs=-1)
@click.option("--only", help=f"Parts, separated by commas: {', '.join(PARTS)}.")
@click.option("--exercise", help="Look at this exercise alone.")
@click.option("--seed", type=int, help="Seed of the inputs; the date by default.")
@click.option("--toml", is_flag=True, help="Write unlisted survivors as survivors.toml lists them.")
@click.option("--jobs", type=int, help="Runs at a time; as many as there are cores by default.")
def main(
    lessons: tuple[str, ...],
    only: str | None,
    exercise: str | None,
    seed: int | None,
    toml: bool,
    jobs: int | None,
) -> None:
    """Show that the checks of lessons (all, if none is named) tell right answers from wrong ones."""
    begun = time.monotonic()
    parts = [part.strip() for part in only.split(",")] if only else list(PARTS)
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise click.UsageError(f"no part of the gate: {', '.join(sorted(unknown))}")
    whole = course()
    chosen = [whole.lesson(name) for name in lessons] or list(whole.lessons)
    with tempfile.TemporaryDirectory() as folder:
        if set(parts) - set(OF_FILES):
            warm_up(Path(folder, "bytecode"))
        gate = Gate(whole, chosen, seed_of_the_day() if seed is None else seed, exercise, Path(folder))
        with console.get().progress(None, "gate", "runs") as bar:
            run_gate(gate, parts, jobs or os.cpu_count() or 1, lambda: bar.update(bar.done + 1))
    for m in gate.unlisted() if toml else ():
        console.say(f'[[survivor]]\nexercise = "{m.exercise.name}"\nchange = {json.dumps(m.change)}')
        console.say('reason = ""\n')
    sys.exit(_say(gate, parts, time.monotonic() - begun))


def _say(gate: Gate, parts: Sequence[str], seconds: float) -> int:
    """Write the table and the problems; returns 1 if there are any."""
    rows = []
    for lesson in gate.lessons:
        cells = []
        for part in parts:
            verdict = gate.verdicts.get((lesson.label, part), Verdict())
            cells.append(f"{verdict.done}" if not verdict.problems else f"{len(verdict.problems)} bad")
        rows.append([lesson.label, *cells])
    console.get().table("The gate for lessons", ["lesson", *parts], rows)
    verdicts = sorted(gate.verdicts.items())
    for (label, part), verdict in verdicts:
        for note in verdict.notes:
            console.say(f"{label} {part}: {note}")
    for (label, part), verdict in verdicts:
        for problem in verdict.problems:
            console.say(f"{label} {part}: PROBLEM {problem}")
    bad = sum(len(verdict.problems) for _, verdict in verdicts)
    console.say(f"seed {gate.seed}; {bad} problems; {seconds:.0f} s")
    return int(bad > 0)


try:
    main()
except LearnError as error:
    console.get().complain(f"gate: {error}")
    sys.exit(1)
