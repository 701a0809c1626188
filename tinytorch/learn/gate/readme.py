"""What the text of a lesson must be: its sections, its length, a heading an exercise, snippets that run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tinytorch.learn.checks import ROOT
from tinytorch.learn.course import Lesson

SECTIONS = (
    "Overview",
    "What you'll build",
    "Learning objectives",
    "Prerequisites",
    "Key concepts",
    "Exercises",
    "Predict, then measure",
    "Systems insights",
    "In production",
    "Success criteria",
)
WORDS = (800, 2500)
SECONDS = 60.0  # that all Python snippets, or one command, may take
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_RUN_BLOCKS = """
import contextlib, io, json, sys
names = {"__name__": "__main__"}
for number, (code, line, want) in enumerate(json.load(sys.stdin)):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile("\\n" * line + code, "README.md", "exec"), names)
    if want is not None and out.getvalue().rstrip() != want.rstrip():
        sys.exit(f"the snippet at line {line + 1} printed {out.getvalue()!r}, and the text says {want!r}")
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a text: its language, its content and the line before its first one."""

    language: str
    content: str
    line: int
    end: int


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a Markdown text."""
    return [Block(m[1], m[2], text.count("\n", 0, m.start(2)), m.end()) for m in _BLOCK.finditer(text)]


def problems(lesson: Lesson) -> Iterator[str]:
    """Everything that is wrong with the text of a lesson, each in one line."""
    path = lesson.folder / "README.md"
    if not path.is_file():
        yield f"{path} is missing"
        return
    text = path.read_text(encoding="utf-8")
    yield from _form(lesson, text)
    yield from _python(text)
    yield from _commands(lesson, text)
    yield from _figures(lesson)


def _form(lesson: Lesson, text: str) -> Iterator[str]:
    if not text.startswith(f"# {lesson.label} {lesson.title}\n"):
        yield f"the first line is not '# {lesson.label} {lesson.title}'"
    prose = _BLOCK.sub("", text)
    found = [h.strip() for h in re.findall(r"^## (.*)$", prose, re.MULTILINE)]
    if found != list(SECTIONS):
        wrong = [s for s in SECTIONS if s not in found] or [s for s in found if s not in SECTIONS] or found
        yield f"sections are not those of every lesson, in their order: {', '.join(wrong)}"
    count = len(prose.split())
    if not WORDS[0] <= count <= WORDS[1]:
        yield f"it has {count} words; {WORDS[0]} to {WORDS[1]} are wanted"
    headings = re.findall(r"^### [^`\n]*`([^`\n]+)`", prose, re.MULTILINE)
    for exercise in lesson.exercises:
        if exercise.name not in headings:
            yield f"no heading of level 3 names `{exercise.name}`"
    for image in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", prose):
        if "://" not in image and not (lesson.folder / image).is_file():
            yield f"the picture {image} is not there"
    if not any(b.language == "python" for b in blocks(text)):
        yield "it has no snippet"
    if any(ord(c) >= 0x1F000 for c in text):
        yield "it holds an emoji"


def _python(text: str) -> Iterator[str]:
    """Run the Python blocks in one namespace; a text block right after one is what it prints."""
    import json

    found = blocks(text)
    cells: list[tuple[str, int, str | None]] = []
    for i, block in enumerate(found):
        if block.language == "python":
            after = found[i + 1] if i + 1 < len(found) else None
            directly = after is not None and after.language == "text" and not _between(text, block, after)
            cells.append((block.content, block.line, after.content if directly and after else None))
    with tempfile.TemporaryDirectory() as folder:
        done = _run([sys.executable, "-c", _RUN_BLOCKS], Path(folder), json.dumps(cells))
    if done:
        yield f"snippets: {done}"


def _between(text: str, before: Block, after: Block) -> str:
    start = text.rfind("```", before.end, text.find(after.content, before.end))
    return text[before.end : start].strip()


def _commands(lesson: Lesson, text: str) -> Iterator[str]:
    """Run the commands of shell blocks in a workspace in which the lesson has begun."""
    lines = [
        line.strip()
        for block in blocks(text)
        if block.language == "sh"
        for line in block.content.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        return
    with tempfile.TemporaryDirectory() as folder:
        for set_up in ("tito begin .", f"tito start {lesson.label}"):
            _run(shlex.split(set_up), Path(folder), "")
        for line in lines:
            words = shlex.split(line, comments=True)
            if words[0] not in ("tito", "python"):
                yield f"a command that is neither tito nor python: {line}"
                continue
            allowed = (0, 1) if words[:2] == ["tito", "check"] else (0,)
            done = _run(words, Path(folder), "", allowed)
            if done:
                yield f"`{line}`: {done}"


def _figures(lesson: Lesson) -> Iterator[str]:
    """Have the lesson's program draw, elsewhere, the pictures that are there."""
    program = lesson.folder / "figures" / "draw.py"
    if not program.is_file():
        return
    there = {path.name for path in program.parent.glob("*.svg")}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(program, folder))
        done = _run([sys.executable, str(copy)], Path(folder), "")
        drawn = {path.name for path in Path(folder).glob("*.svg")}
    if done or drawn != there:
        yield f"figures/draw.py: {done or 'it draws other pictures than are there'}: {sorted(there ^ drawn)}"


def _run(command: list[str], folder: Path, given: str, allowed: tuple[int, ...] = (0,)) -> str:
    """Run a command; the last line it said if it failed, else nothing."""
    beside = str(Path(sys.executable).parent)
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    environment["PATH"] = beside + os.pathsep + environment.get("PATH", "")
    try:
        done = subprocess.run(
            command, cwd=folder, input=given.encode(), capture_output=True, timeout=SECONDS, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode in allowed:
        return ""
    said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else f"it ended with code {done.returncode}"
