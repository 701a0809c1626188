"""Runs one suite of checks on one submission in a box, and judges from outside what each exercise is worth.

First each suite runs on the reference: that tells which checks there are and which decoys an honest
answer fails. A submission is measured against this list, so a check that it makes disappear has not
passed.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinytorch.errors import LearnError
from tinytorch.learn.checks import task_for
from tinytorch.learn.course import Exercise, Lesson
from tinytorch.learn.grading.child import verified
from tinytorch.learn.grading.package_copy import PACKAGE, copy_checks
from tinytorch.learn.work import Piece
from tinytorch.sandbox import sandbox
from tinytorch.sandbox.files import python_path

LONGEST = 1000  # characters of a message in a result
MOST_SENT = 8 * sandbox.MIB


@dataclass
class Suite:
    """The checks of one lesson from one source, prepared, with what they do on the reference."""

    lesson: Lesson
    folder: Path
    hidden: bool
    decoys: set[str]
    checks: dict[str, set[str]] = field(default_factory=dict)  # by exercise
    traps: dict[str, set[str]] = field(default_factory=dict)  # decoys that the reference fails, by exercise


@dataclass
class Run:
    """What came out of one box."""

    outcome: sandbox.Outcome
    clean: bool
    passed: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    items: dict[str, str] = field(default_factory=dict)  # check: its exercise
    failures: dict[str, str] = field(default_factory=dict)  # check: what was wrong
    broken: str = ""

    @property
    def end(self) -> str:
        """How a run that is not clean ended, in words."""
        if self.broken:
            return self.broken
        if self.outcome.ending == "exit":
            return f"the code ended the program: it {self.outcome}, before the checks were through"
        return f"the code was {self.outcome}"


def prepare(lesson: Lesson, checks: Path, folder: Path, seed: int, hidden: bool) -> Suite:
    """Copy a lesson's checks and try them on the reference; raises LearnError where that does not pass."""
    suite = Suite(lesson, folder, hidden, copy_checks(checks, folder))
    run = run_suite(suite, [], PACKAGE.parent, seed, sandbox.Limits(wall=120, cpu=120))
    whose = f"lesson {lesson.label}: {checks}"
    if not run.clean:
        raise LearnError(
            f"{whose}: the checks do not run on the reference: {run.end} {_tail(run.outcome.stderr)}"
        )
    for item, exercise in run.items.items():
        is_decoy = item.split("::")[0] in suite.decoys
        if is_decoy and item not in run.passed and item in run.ended:
            suite.traps.setdefault(exercise, set()).add(item)
        elif not is_decoy:
            suite.checks.setdefault(exercise, set()).add(item)
            if item not in run.passed:
                raise LearnError(f"{whose}: the reference fails {_plain(item)}: {run.failures.get(item)}")
    return suite


def run_suite(
    suite: Suite,
    pieces: Sequence[Piece],
    package: Path,
    seed: int,
    limits: sandbox.Limits,
    only: Exercise | None = None,
    read: Iterable[Path] = (),
) -> Run:
    """Run a suite, or its checks of one exercise, on the package in `package` with these pieces."""
    key = secrets.token_bytes(32)
    task = task_for(
        suite.lesson,
        pieces,
        exercise=only.name if only else None,
        seed=seed,
        stop_at_first=False,
        checks=suite.folder,
    )
    task |= {"package": str(package), "key": key.hex()}
    program = package / PACKAGE.name / "learn" / "grading" / "child.py"
    outcome = sandbox.run(
        [python(), "-I", "-S", "-B", str(program), json.dumps(python_path()), "{sent}"],
        read=[package, suite.folder, *read],
        limits=limits,
        stdin=json.dumps(task).encode(),
        environment={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONIOENCODING": "utf-8"},
        most_sent=MOST_SENT,
    )
    return _read(verified(outcome.sent, key), outcome, [exercise.name for exercise in suite.lesson.exercises])


def python() -> str:
    """The interpreter without the links that lead to it: those are not in the box."""
    return str(Path(sys.executable).resolve())


def _read(events: list[dict[str, Any]], outcome: sandbox.Outcome, order: list[str]) -> Run:
    """Enter the events into a Run; clean is one that had checks, came to its end and left with 0."""
    run = Run(outcome, False)
    phases: dict[str, dict[str, str]] = {}
    current = ""
    for event in events:
        match event["event"]:
            case "items":
                for item, names in event["items"]:
                    run.items[item] = max(names, key=order.index)
            case "begin":
                current = event["item"]
            case "phase":
                phases.setdefault(event["item"], {})[event["when"]] = event["outcome"]
            case "failed":
                text = _failure(event["failure"])
                run.failures.setdefault(current, text)
                if not current:
                    run.broken = text
            case "broken":
                run.broken = f"the code keeps the package from being imported: {event['error']}"
    run.ended = {item for item, ends in phases.items() if "teardown" in ends}
    whole = {"setup": "passed", "call": "passed", "teardown": "passed"}
    run.passed = {item for item, ends in phases.items() if ends == whole}
    last = events[-1]["event"] if events else ""
    run.clean = bool(run.items) and last == "end" and (outcome.ending, outcome.code) == ("exit", 0)
    return run


def _failure(failure: dict[str, Any]) -> str:
    """What was wrong with a check, in some lines."""
    if failure["kind"] == "unwritten":
        return str(failure["error"])
    lines = [f"called    {failure['called']}"] if failure["called"] else []
    lines += [f"with      {name} = {value}" for name, value in failure["given"]]
    lines += [f"where     {name}: {meaning}" for name, meaning in failure["helpers"]]
    for name, label in (
        ("got", "got"),
        ("expected", "expected"),
        ("difference", "differs"),
        ("error", "error"),
    ):
        if failure[name]:
            lines.append(f"{label:<10}{failure[name]}")
    if failure["file"]:
        lines.append(f"at        {Path(failure['file']).name}, line {failure['line']}")
    return "\n".join(lines)[:LONGEST]


# ---------------------------------------------------------------- judging


@dataclass(frozen=True)
class Verdict:
    """What one suite says of one exercise."""

    passed: bool
    text: str = ""


def judge(suite: Suite, run: Run, exercise: str) -> Verdict:
    """Whether a clean run shows an exercise to be right: all checks of the list passed."""
    missing = sorted(suite.checks.get(exercise, set()) - run.passed)
    if not missing:
        return Verdict(True)
    first = min(missing, key=lambda item: (item not in run.failures, item))
    text = run.failures.get(first, "the check did not run")
    return Verdict(False, f"{_plain(first)}\n{text}")


def caught(suite: Suite, run: Run) -> str:
    """The check that let a decoy pass, where one did: this code gets at the checks; empty where none did."""
    traps = {item for items in suite.traps.values() for item in items}
    return next((_plain(item) for item in sorted(traps & run.passed)), "")


def _plain(item: str) -> str:
    """A check's name without what was drawn for its file."""
    return item.split("::", 1)[-1]


def _tail(said: bytes) -> str:
    return said.decode(errors="replace").strip()[-400:]
