"""A run of checks in words: what was called, what came back, what should have, and one thing to do next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from tinytorch.learn.checks import Failure, Report
from tinytorch.learn.course import Course, Lesson
from tinytorch.learn.work import Written
from tinytorch.learn.workspace import WorkFileError, Workspace

MARGIN = 10  # columns of the names of what a failure shows
LINES = {"at": 2, "called": 3, "got": 3, "expected": 3, "where": 3, "differs": 2, "error": 3}  # most lines
GIVEN = 3  # inputs shown
HELPERS = 2  # functions of the checks' own whose meaning is shown
PRINTED = 2  # last lines shown of what the learner's code printed
TITLES = {
    "wrong": "{} does not give what it should",
    "raised": "{} ends in an error",
    "unwritten": "{} is not written yet",
    "syntax": "Python cannot read the code of {}",
    "import": "The code of {} cannot be put in its place",
    "timeout": "{} takes too long",
    "crashed": "{} ends the whole program",
}


def failure_text(
    failure: Failure,
    lesson: Lesson,
    workspace: Workspace,
    columns: int,
    output: str = "",
    hints: bool = True,
    similar: Written | None = None,
) -> str:
    """A failure in at most 32 lines of `columns`, the last of which names the command to run next.

    `output` is what the learner's code printed; `hints` says whether there are more to be had. `similar`: a
    function whose name may be a slip for the exercise's, which the work file lacks.
    """
    exercise = next((e for e in lesson.exercises if e.name == failure.exercise), None)
    subject = failure.exercise or f"lesson {lesson.label}"
    title = TITLES[failure.kind].format(subject)
    lines = _folded(title + (f" ({exercise.place})" if exercise else ""), columns, 2)
    if failure.file:
        place = workspace.shown(failure.file) + (f", line {failure.line}" if failure.line else "")
        source = failure.source.strip()
        lines += field("at", f"{place}: {source}" if source else place, columns)
    if failure.called:
        lines += field("called", failure.called, columns)
    given = failure.given if failure.kind != "unwritten" else []
    shown = given[:GIVEN]
    for number, (name, value) in enumerate(shown):
        lines += field("" if number else "with", f"{name} = {value}", columns, 2)
    if len(given) > len(shown):
        lines += field("", f"and {len(given) - len(shown)} more", columns)
    for name, meaning in failure.helpers[:HELPERS]:
        lines += field("where", f"{name}: {meaning}", columns)
    if failure.kind == "wrong":
        lines += field("got", failure.got, columns) + field("expected", failure.expected, columns)
        lines += field("differs", failure.difference, columns)
    elif failure.kind != "unwritten":
        lines += field("error", failure.error, columns)
    lines += printed(output, columns)
    return "\n".join([*lines, *_folded(f"Next: {_next(failure, lesson, hints, similar)}", columns, 3)])


def broken_text(error: WorkFileError, lesson: Lesson, columns: int) -> str:
    """A work file that Python cannot read: the line, a caret where it stumbled, the reason."""
    lines = [f"{error.shown}, line {error.line}:" if error.line else f"{error.shown}:"]
    if error.text.strip():
        text = error.text.expandtabs(4)
        at = len(error.text[: max(0, error.column - 1)].expandtabs(4))
        begin = max(0, min(at - columns // 2, len(text) - columns + 4))  # the part around the caret
        begin = 0 if len(text) <= columns - 4 else begin
        lines.append("    " + text[begin : begin + columns - 4])
        if error.column:
            lines.append("    " + " " * (at - begin) + "^")
    lines += _folded(f"Python cannot read it: {error.reason}", columns, 4)
    return "\n".join([*lines, f"Next: mend it, then: tito check {lesson.label}"])


def ran_text(report: Report, lesson: Lesson, workspace: Workspace, columns: int) -> str:
    """Which of the learner's functions ran, by file, and the seed; after a failure none beyond it."""
    order = {exercise.name: number for number, exercise in enumerate(lesson.exercises)}
    own = str(workspace.file(lesson))
    last = order.get(report.failure.exercise, len(order)) if report.failure else len(order)
    files: dict[str, list[tuple[int, str]]] = {}
    for name, file, line in report.ran:
        if file != own or order.get(name, 0) <= last:
            files.setdefault(file, []).append((line, name))
    lines = []
    for file in sorted(files, key=lambda file: (file != own, file)):
        names = [name for _, name in sorted(files[file])]
        if report.failure and file != own:
            listed = f"{len(names)} function{'s' * (len(names) != 1)}"
        else:
            listed = ", ".join(names)
        lines += _folded(f"ran {workspace.shown(file)}: {listed}", columns, 20, "    ")
    if not lines:
        lines = ["ran none of your functions"]
    lines.append(f"seed {report.seed} (TITO_SEED={report.seed} repeats it), {report.seconds:.1f} s")
    return "\n".join(lines)


def done_text(lesson: Lesson, lessons: Course, columns: int) -> str:
    """That a lesson is done, and what comes next."""
    count = len(lesson.exercises)
    what = f"all {count} exercises pass" if count else "all checks pass"
    text = f"Lesson {lesson.label}, {lesson.title}: {what}."
    later = lessons.after(lesson)
    step = f"Next: tito start {later[0].label}" if later else "Next: tito milestone"
    return "\n".join([*_folded(text, columns, 3), step])


def printed(output: str, columns: int) -> list[str]:
    """The last lines of what the learner's code printed."""
    said = [line.rstrip() for line in output.splitlines() if line.strip()]
    lines = [_cut(line, columns - MARGIN) for line in said[-PRINTED:]]
    return [f"{'printed' if not i else '':<{MARGIN}}{line}" for i, line in enumerate(lines)]


def field(name: str, value: str, columns: int, most: int = 0) -> list[str]:
    """A value under its name, folded, in at most so many lines; nothing for an empty one.

    >>> field("got", "float32 (3,) [1. 2. 3.]", 24)
    ['got       float32 (3,)', '          [1. 2. 3.]']
    """
    if not value:
        return []
    lines = under(name, value, columns, MARGIN)
    most = most or LINES.get(name, 2)
    if len(lines) > most:
        lines = [*lines[: most - 1], _cut(lines[most - 1] + " ...", columns)]
    return lines


def under(name: str, text: str, columns: int, margin: int) -> list[str]:
    """The lines of a text, folded, beside a name that takes the first `margin` columns."""
    lines: list[str] = []
    for part in text.splitlines():
        lines += textwrap.wrap(part.expandtabs(4), columns - margin, break_on_hyphens=False) or [""]
    return [f"{'' if i else name:<{margin}}{line}".rstrip() for i, line in enumerate(lines)]


def _next(failure: Failure, lesson: Lesson, hints: bool, similar: Written | None) -> str:
    check = f"tito check {lesson.label}"
    if failure.kind == "unwritten" and similar is not None:
        return f"if {similar.name} (line {similar.line}) is to be it, name it so, then: {check}"
    if failure.kind == "unwritten":
        return (
            f"write it, then: {check}"
            if failure.file
            else f"tito start {lesson.label} (it is not in your file)"
        )
    if failure.kind in ("syntax", "import") or not hints:
        return f"change it, then: {check}"
    first = failure.exercise and f" --exercise {failure.exercise}"
    return f"tito hint {lesson.label}{first}"


def _folded(text: str, columns: int, most: int, indent: str = "") -> list[str]:
    lines = textwrap.wrap(text, columns, subsequent_indent=indent, break_on_hyphens=False)
    return lines if len(lines) <= most else [*lines[: most - 1], _cut(lines[most - 1] + " ...", columns)]


def _cut(line: str, columns: int) -> str:
    return line if len(line) <= columns else line[: columns - 3] + "..."


def wrapped(lines: Iterable[str], columns: int, indent: str = "") -> str:
    """Paragraphs folded to a width.

    >>> print(wrapped(["one two three", "four"], 9, "  "))
      one two
      three
      four
    """
    kept: Sequence[str] = [
        textwrap.fill(line, columns, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
        for line in lines
    ]
    return "\n".join(kept)
