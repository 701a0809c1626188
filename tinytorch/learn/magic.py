"""For notebooks: `%load_ext tinytorch.learn.magic` has learners' code run, and `%%exercise` checks it."""

from __future__ import annotations

import ast
import shlex
import subprocess
import sys
from typing import Any

from tinytorch import console
from tinytorch.errors import LearnError
from tinytorch.learn import graft
from tinytorch.learn.checks import run_checks
from tinytorch.learn.course import course
from tinytorch.learn.report import failure_text
from tinytorch.learn.stubs import paste, stub_file
from tinytorch.learn.workspace import Workspace, find
from tinytorch.training.files import write_whole

COLUMNS = 90


def load_ipython_extension(shell: Any) -> None:
    """Register the magics and put the learner's code in place; IPython calls this."""
    workspace = find()
    shell.register_magic_function(_tito, "line", "tito")
    shell.register_magic_function(lambda line, cell: exercise(workspace, line, cell), "cell", "exercise")
    put_in_place(workspace)


def put_in_place(workspace: Workspace) -> None:
    """From now on `import tinytorch` gives the package with what the learner has written so far."""
    graft.install(workspace.pieces())


def exercise(workspace: Workspace, line: str, cell: str) -> None:
    """Keep the function of a cell in the work file, check it, and have it run from now on.

    A cell that is still a stub changes nothing.
    """
    label, name = line.split()
    lesson = course().lesson(label)
    wanted = lesson.exercise(name)
    found = dict(graft.functions(ast.parse(cell)))
    if wanted.name not in found:
        raise LearnError(f"this cell has no function {wanted.name}")
    if graft.is_stub(found[wanted.name]):
        console.say(f"{wanted.name} is not written yet.")
        return
    path = workspace.file(lesson)
    text = path.read_text(encoding="utf-8-sig") if path.is_file() else stub_file(lesson)
    node = found[wanted.name]
    source = "\n".join(cell.splitlines()[graft.first_line(node) - 1 : node.end_lineno])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, paste(text, wanted, source).encode())
    report = run_checks(lesson, workspace.pieces(lesson), exercise=wanted.name)
    if report.failure is None:
        console.say(f"{wanted.name} passes ({report.total[wanted.name]} checks, seed {report.seed}).")
    else:
        console.say(failure_text(report.failure, lesson, workspace, COLUMNS))
    put_in_place(workspace)


def _tito(line: str) -> None:
    """`%tito check 06`: a command, with the Python of the notebook."""
    done = subprocess.run(
        [sys.executable, "-m", "tinytorch", *shlex.split(line)],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    console.say((done.stdout + done.stderr).rstrip())
