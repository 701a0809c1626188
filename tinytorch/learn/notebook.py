"""A lesson as a notebook: its text, its snippets to run, and a cell for each exercise, which checks it."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from typing import Any

from tinytorch.errors import LearnError
from tinytorch.learn.course import Exercise, Lesson
from tinytorch.learn.scope import find, indented, lines_of, span
from tinytorch.learn.stubs import stub
from tinytorch.learn.workspace import DISTRIBUTION, Workspace, read_text
from tinytorch.training.files import write_whole

_HEADING = re.compile(r"^### [^`\n]*`([^`\n]+)`")
_FENCE = re.compile(r"^```(python|sh)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"(!\[[^\]]*\]\()([^):]+)(\))")
_FIRST = """\
# Run this cell first. From here on, what you have written runs in the place of the package's code.
%load_ext tinytorch.learn.magic"""


def notebook(lesson: Lesson, workspace: Workspace) -> Any:
    """The notebook (an nbformat node) of a lesson; raises LearnError without the extra `notebook`.

    A cell of an exercise holds what the learner has written so far, else the stub.
    """
    try:
        import jupytext
    except ImportError:
        raise LearnError(f'notebooks need more packages: pip install "{DISTRIBUTION}[notebook]"') from None
    text = (lesson.folder / "README.md").read_text(encoding="utf-8")
    text = _PICTURE.sub(lambda m: f"{m[1]}{(lesson.folder / m[2]).as_uri()}{m[3]}", text)
    parts = [_cell(_FIRST, "code")]
    for section in _sections(text):
        match = _HEADING.match(section)
        parts += _cells(section)
        found = [e for e in lesson.exercises if match and e.name == match[1]]
        parts += [_cell(_exercise(workspace, lesson, e), "code") for e in found]
    made = jupytext.reads("", fmt="py:percent")
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    import nbformat.v4

    new = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    made.cells = [new[kind](content) for content, kind in parts]  # type: ignore[no-untyped-call]
    return made


def write_notebook(lesson: Lesson, workspace: Workspace) -> Path:
    """Write the notebook beside the work file and return its path; one that is there is never overwritten."""
    path = workspace.file(lesson).with_suffix(".ipynb")
    if path.exists():
        raise LearnError(f"{workspace.shown(path)} is there already; move it away to have a new one")
    made = notebook(lesson, workspace)
    import jupytext

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, jupytext.writes(made, fmt="ipynb").encode())
    return path


def _cell(content: str, kind: str) -> tuple[str, str]:
    return content.strip("\n"), kind


def _sections(text: str) -> list[str]:
    """The text cut before each heading of an exercise and before the headings above those."""
    return [part for part in re.split(r"^(?=##+ )", text, flags=re.MULTILINE) if part.strip()]


def _cells(section: str) -> list[tuple[str, str]]:
    """The cells of a section: its prose, its snippets, and commands as `%tito` lines."""
    cells, begin = [], 0
    for match in _FENCE.finditer(section):
        lines = match[2].strip().splitlines()
        if match[1] == "sh" and not all(line.startswith(("tito ", "#")) for line in lines):
            continue
        code = match[2] if match[1] == "python" else "\n".join(_magic(line) for line in lines)
        cells += [_cell(section[begin : match.start()], "markdown"), _cell(code, "code")]
        begin = match.end()
    cells.append(_cell(section[begin:], "markdown"))
    return [cell for cell in cells if cell[0]]


def _magic(line: str) -> str:
    return f"%{line.partition('  #')[0].rstrip()}" if line.startswith("tito ") else line


def _exercise(workspace: Workspace, lesson: Lesson, exercise: Exercise) -> str:
    written = workspace.written(lesson).get(exercise.name)
    if written is not None and written.started:
        text, _ = read_text(workspace.file(lesson))
        node = find(ast.parse(text), exercise.name)
        assert node is not None
        first, last = span(node)
        lines = lines_of(text)[first - 1 : last]
        body = "".join(lines).replace("\r\n", "\n").replace("\r", "\n")
    else:
        body = stub(exercise)
    body = textwrap.dedent(body).strip("\n")
    owner = exercise.name.rpartition(".")[0]
    framed = f"class {owner}:\n{indented(body, '    ')}" if owner else body
    return f"%%exercise {lesson.label} {exercise.name}\n{framed}"
