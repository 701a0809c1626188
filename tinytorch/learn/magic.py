"""For notebooks: `%load_ext tinytorch.learn.magic` has learners' code run, and `%%exercise` checks it."""

from __future__ import annotations

import ast
import importlib
import shlex
import subprocess
import sys
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from tinytorch import console
from tinytorch.errors import LearnError
from tinytorch.learn import graft, work
from tinytorch.learn.cell import left_out, merge
from tinytorch.learn.checks import run_checks
from tinytorch.learn.course import Exercise, Lesson, course
from tinytorch.learn.progress import enter, load
from tinytorch.learn.report import failure_text
from tinytorch.learn.stubs import current_head, stub_file
from tinytorch.learn.workspace import Workspace, find, read_text, write_text

COLUMNS = 90


def load_ipython_extension(shell: Any) -> None:
    """Register the magics and put the learner's code in place; IPython calls this."""
    workspace = find()
    shell.register_magic_function(_tito, "line", "tito")
    shell.register_magic_function(partial(_exercise, workspace, shell.user_ns), "cell", "exercise")
    put_in_place(workspace)


def put_in_place(workspace: Workspace) -> None:
    """From now on `import tinytorch` gives the package with what the learner has written so far."""
    graft.install(workspace.pieces())


def renew(names: dict[str, Any]) -> list[str]:
    """Have names stand for the package's modules, classes and functions as they are loaded now.

    Returns the names of objects that were made by the package as it was before: those stay as they are.
    """
    before = []
    for name, value in list(names.items()):
        if isinstance(value, ModuleType):
            module, path = value.__name__, []
        elif isinstance(value, type | FunctionType):
            module, path = value.__module__, value.__qualname__.split(".")
        else:
            if _is_ours(type(value).__module__) and not name.startswith("_"):  # _3 is an output of IPython's
                before.append(name)
            continue
        if _is_ours(module):
            now: Any = importlib.import_module(module)
            for part in path:
                now = getattr(now, part, None)
            names[name] = value if now is None else now
    return before


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "tinytorch"


def exercise(workspace: Workspace, line: str, cell: str) -> bool:
    """Keep what a cell defines in the work file, and check its exercise; whether the file is changed.

    A cell that is still a stub changes nothing, nor does one that the file holds already. Raises LearnError,
    also for a cell that Python cannot read.
    """
    words = line.split()
    if len(words) != 2:
        raise LearnError("the first line names a lesson and an exercise: %%exercise 02 MatMul.forward")
    lesson = course().lesson(words[0])
    wanted = lesson.exercise(words[1])
    try:
        found = dict(work.functions(ast.parse(cell)))
    except SyntaxError as error:
        place = f"line {(error.lineno or 0) + 1} of the cell"  # its first line is the %%exercise
        raise LearnError(
            f"{place}: Python cannot read it: {error.msg}: {(error.text or '').strip()}"
        ) from None
    if wanted.name not in found:
        raise LearnError(f"this cell has no function {wanted.name}")
    if work.is_stub(found[wanted.name]):
        console.say(f"{wanted.name} is not written yet.")
        return False
    for number in left_out(cell, wanted, lesson):
        console.say(
            f"line {number + 1} of the cell is not kept: it defines nothing that {wanted.name} could use"
        )
    changed = _keep(workspace, lesson, wanted, cell)
    report = run_checks(lesson, workspace.pieces(lesson), exercise=wanted.name)
    done = [wanted.name] if report.done(wanted.name) else []
    failed = {failure.exercise for failure in report.failures} & {one.name for one in lesson.exercises}
    enter(workspace, lesson, done, failed)
    if report.failure is not None:
        console.say(failure_text(report.failure, lesson, workspace, COLUMNS, report.output))
    elif done:
        console.say(f"{wanted.name} passes ({report.total[wanted.name]} checks, seed {report.seed}).")
    else:
        console.say(f"The checks of {wanted.name} did not run, or not to their end.")
    return changed


def _keep(workspace: Workspace, lesson: Lesson, wanted: Exercise, cell: str) -> bool:
    """Write what a cell defines into the work file, which is made where there is none; whether it is new."""
    path = workspace.file(lesson)
    workspace.written(lesson)  # raises WorkFileError where Python cannot read it
    if workspace.started(lesson):
        text, encoding = read_text(path)
    else:
        text, encoding = stub_file(lesson), "utf-8"
        progress = load(workspace)
        progress.heads |= {one.id: current_head(one) for one in lesson.exercises}
        progress.save()
    merged = merge(text, cell, wanted, lesson)
    if merged != text:
        write_text(path, merged, encoding)
    return merged != text


def _exercise(workspace: Workspace, names: dict[str, Any], line: str, cell: str) -> None:
    """Do `exercise` and have new code run from now on; an error is one line, not a traceback through this.

    Code that is in place already is not loaded again: objects made so far go on working with what follows.
    """
    try:
        if exercise(workspace, line, cell):
            put_in_place(workspace)
            before = renew(names)
            if before:
                listed = ", ".join(sorted(before))
                console.say(
                    f"Made by the code as it was: {listed}. Run their cells again before you use them."
                )
    except LearnError as error:
        console.say(str(error))


def _tito(line: str) -> None:
    """`%tito check 06`: a command, with the Python of the notebook."""
    done = subprocess.run(
        [sys.executable, "-m", "tinytorch", *shlex.split(line)],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    console.say((done.stdout + done.stderr).rstrip())
