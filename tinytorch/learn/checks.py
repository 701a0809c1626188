"""Runs the checks of a lesson on the learner's functions, in a process of their own with a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from tinytorch.errors import LearnError
from tinytorch.learn.course import Lesson
from tinytorch.learn.plugin import seed_of_the_day as seed_of_the_day
from tinytorch.learn.work import Piece

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0  # seconds that one check may take
STACK = "Stack (most recent call first)"  # how faulthandler begins
OUTPUT = 20_000  # characters of what the learner's code prints that are kept


@dataclass
class Failure:
    """What went wrong in the first check that failed, in the learner's terms.

    `kind`: "wrong" (a call gave the wrong thing), "raised" (an error in the learner's code), "unwritten" (a
    stub was called), "syntax" or "import" (the file cannot be loaded), "timeout", "crashed" (the process
    ended). `helpers`: what functions of the checks' own that were called do, by signature.
    """

    exercise: str
    kind: str
    test: str = ""
    called: str = ""
    given: list[tuple[str, str]] = field(default_factory=list)
    got: str = ""
    expected: str = ""
    difference: str = ""
    error: str = ""
    file: str = ""
    line: int = 0
    source: str = ""
    helpers: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Report:
    """What a run of checks found."""

    lesson: str
    seed: int
    passed: dict[str, int] = field(default_factory=dict)
    total: dict[str, int] = field(default_factory=dict)
    ran: list[tuple[str, str, int]] = field(default_factory=list)
    failure: Failure | None = None
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    output: str = ""
    mutants: dict[int, str] = field(default_factory=dict)

    def done(self, exercise: str) -> bool:
        """Whether all checks of an exercise ran and passed."""
        total = self.total.get(exercise, 0)
        return bool(total) and self.passed.get(exercise, 0) == total


OnResult = Callable[[str, bool], None]


def task_for(
    lesson: Lesson,
    pieces: Sequence[Piece],
    *,
    exercise: str | None = None,
    seed: int | None = None,
    stop_at_first: bool = True,
    checks: Path | None = None,
    first: str | None = None,
) -> dict[str, Any]:
    """What the process that runs the checks has to know; raises LearnError for an exercise that is not there.

    `first`: an exercise whose checks come before all others.
    """
    if exercise is not None:
        exercise = lesson.exercise(exercise).name
    return {
        "package": str(ROOT),
        "run": "tinytorch.learn.checks_child:main",
        "pieces": [[p.module, p.name, p.file] for p in pieces],
        "names": [e.name for e in lesson.exercises],
        "checks": str(checks or lesson.checks),
        "exercises": [[e.module, e.name] for e in lesson.exercises],
        "only": exercise,
        "first": first,
        "seed": seed_of_the_day() if seed is None else seed,
        "stop": stop_at_first,
    }


def run_checks(
    lesson: Lesson,
    pieces: Sequence[Piece],
    *,
    exercise: str | None = None,
    seed: int | None = None,
    timeout: float = 60.0,
    stop_at_first: bool = True,
    checks: Path | None = None,
    command: Sequence[str] | None = None,
    on_result: OnResult | None = None,
) -> Report:
    """Run the checks of a lesson, or those of one exercise, on the package with these pieces in place.

    `timeout` in seconds for the whole run. `command`: what the interpreter is started by, for a sandbox
    around it. Raises LearnError where the process cannot be started.
    """
    task = task_for(lesson, pieces, exercise=exercise, seed=seed, stop_at_first=stop_at_first, checks=checks)
    report = Report(lesson.label, task["seed"])
    begun = time.monotonic()
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TITO_SEED": str(task["seed"])}
    environment["PYTHONIOENCODING"] = "utf-8"
    environment.setdefault("PYTHONBREAKPOINT", "tinytorch.learn.checks_child.no_debugger")
    with tempfile.TemporaryDirectory(prefix="tito-", ignore_cleanup_errors=True) as scratch:
        task["scratch"] = scratch
        try:
            process = subprocess.Popen(
                [*(command or ()), sys.executable, "-P", str(Path(__file__).with_name("bootstrap.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=os.name != "nt",
            )
        except OSError as error:
            raise LearnError(f"checks cannot be started: {error}") from None
        follow(process, task, report, begun + timeout, on_result)
    report.seconds = time.monotonic() - begun
    report.failure = report.failures[0] if report.failures else None
    return report


def follow(
    process: subprocess.Popen[bytes],
    task: dict[str, Any],
    report: Report,
    deadline: float,
    on_result: OnResult | None,
) -> None:
    """Give a process its task and take its events until it says that it is done, ends, or is out of time."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    events: queue.Queue[bytes | None] = queue.Queue()
    said = bytearray()
    threading.Thread(target=_pump, args=(process.stdout, events), daemon=True).start()
    other = threading.Thread(target=_keep, args=(process.stderr, said), daemon=True)
    other.start()
    try:
        process.stdin.write(json.dumps(task).encode())
        process.stdin.close()
    except OSError:
        pass  # it ended already: what it said on its way is reported below
    current, finished, late = "", False, False
    try:
        while not finished:
            try:
                line = events.get(timeout=max(0.0, min(PATIENCE, deadline - time.monotonic())))
            except queue.Empty:
                late = True
                _ask_where(process)
                break
            if line is None:
                break
            current, finished = take(report, line, current, on_result)
    finally:
        _end(process)
    other.join(1.0)
    report.output += said.decode("utf-8", "replace")
    place = _where(report, {piece[2] for piece in task["pieces"] if piece[2]}) if late else {}
    report.output = report.output[-OUTPUT:]
    if late:
        words = "the check took too long: an endless loop?"
        report.failures.append(Failure(current, "timeout", error=words, **place))
    elif not finished and not report.failures:
        code = process.returncode
        tail = report.output.strip().splitlines()[-1:] or ["it printed nothing"]
        report.failures.append(
            Failure(current, "crashed", error=f"the process ended with code {code} in the middle: {tail[0]}")
        )


def take(report: Report, line: bytes, current: str, on_result: OnResult | None) -> tuple[str, bool]:
    """Enter one event into the report; returns the exercise being checked, and whether that was the last.

    A line that is no event is something printed, and kept as output.
    """
    event = _event_in(line)
    if event is None:
        report.output = (report.output + line.decode("utf-8", "replace"))[-OUTPUT:]
        return current, False
    match event.pop("event"):
        case "collected":
            report.total = event["total"]
        case "start":
            return event["exercise"], False
        case "passed":
            name = event["exercise"]
            report.passed[name] = report.passed.get(name, 0) + 1
            if on_result and report.done(name):
                on_result(name, True)
        case "failed":
            failure = Failure(**event["failure"])
            failure.given = [(name, text) for name, text in failure.given]
            failure.helpers = [(name, text) for name, text in failure.helpers]
            report.failures.append(failure)
            if on_result:
                on_result(failure.exercise, False)
        case "mutant":
            report.mutants[event["number"]] = event["end"]
        case "done":
            report.ran = [(name, file, line) for name, file, line in event["ran"]]
            return current, True
    return current, False


def _event_in(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def event(kind: str, **content: Any) -> bytes:
    """One line of what a process that runs checks reports."""
    return json.dumps({"event": kind, **content}).encode() + b"\n"


def failed(failure: Failure) -> bytes:
    """The event of a failure."""
    return event("failed", failure=asdict(failure))


def _ask_where(process: subprocess.Popen[bytes]) -> None:
    """Have a process that does not end say on standard error what it is doing, where the system can."""
    if os.name != "nt":
        process.send_signal(signal.SIGUSR1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.3)


def _where(report: Report, works: set[str]) -> dict[str, Any]:
    """The innermost place in the learner's files that a process named, which leaves the report's output."""
    report.output, _, stack = report.output.partition(STACK)
    places = re.findall(r'File "([^"\n]+)", line (\d+) in', stack)
    found = [(file, int(line)) for file, line in places if file in works]
    if not found and places:  # for whoever has to find out what held a check up that is not the learner's
        report.output += f"(stopped in {places[0][0]}, line {places[0][1]})\n"
    return {"file": found[0][0], "line": found[0][1]} if found else {}


def _pump(stream: IO[bytes], events: queue.Queue[bytes | None]) -> None:
    for line in stream:
        events.put(line)
    events.put(None)


def _keep(stream: IO[bytes], said: bytearray) -> None:
    while chunk := stream.read1(1 << 16):  # type: ignore[attr-defined]  # a pipe's stream is buffered
        said += chunk
        del said[: -8 * OUTPUT]  # bytes of the characters that are kept, and of a stack after them


def _end(process: subprocess.Popen[bytes]) -> None:
    """Make sure that the process and those it started are gone."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
    if os.name != "nt":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()
