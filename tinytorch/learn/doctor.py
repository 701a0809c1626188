"""What is wrong with this machine or workspace, and how to mend it: one finding for each thing looked at."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from tinytorch import console
from tinytorch.console import quantity
from tinytorch.errors import LearnError
from tinytorch.learn.course import course, lessons_folder
from tinytorch.learn.progress import load
from tinytorch.learn.workspace import DISTRIBUTION, MARK, WorkFileError, Workspace, find

OLDEST, TOO_NEW = (3, 11), (3, 15)  # Python versions: from, and below
MEMORY = 1 << 30  # bytes that training the course's models takes at most
DISK = 200 << 20  # bytes that data, runs and backups take
OPTIONAL = ("numba",)  # packages without which NumPy serves
_NEED = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*>=\s*([\d.]+)[^;]*(?:;(.*))?")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: "ok", "note" (worth knowing) or "mend" (must be mended), and the cure."""

    name: str
    state: str
    text: str
    cure: str = ""


def examine(start: Path | None = None) -> Iterator[Finding]:
    """Look at everything in turn, and at the workspace that `start` (default: the current folder) lies in."""
    folder = start or Path.cwd()
    yield python()
    yield from packages()
    yield numpy_works()
    yield threads()
    yield memory()
    yield disk(folder)
    yield encoding()
    yield lessons()
    yield from workspace_findings(folder)


# ---------------------------------------------------------------- the machine


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """The interpreter's version."""
    text = f"{'.'.join(map(str, version))} at {sys.executable}"
    if OLDEST <= version[:2] < TOO_NEW:
        return Finding("Python", "ok", text)
    wanted = f"{'.'.join(map(str, OLDEST))} or newer, below {'.'.join(map(str, TOO_NEW))}"
    return Finding(
        "Python", "mend", text, f"install Python {wanted} and make a new virtual environment with it"
    )


def packages(
    wanted: list[str] | None = None, version: Callable[[str], str] = importlib.metadata.version
) -> Iterator[Finding]:
    """The packages that TinyTorch and its extra `learn` need, against what is installed.

    `wanted`: requirements as a distribution states them, by default those of TinyTorch.
    """
    if wanted is None:
        try:
            wanted = importlib.metadata.requires(DISTRIBUTION) or []
        except importlib.metadata.PackageNotFoundError:
            cure = 'in the clone: pip install -e ".[learn]"'
            yield Finding("packages", "note", "TinyTorch runs from a folder, not installed", cure)
            return
    have, lacking = [], []
    for line in wanted:
        match = _NEED.match(line)
        extra = re.search(r"extra\s*==\s*['\"](\w+)", line)
        if match is None or (extra and extra[1] != "learn"):
            continue
        name, least = match[1], match[2]
        try:
            found = version(name)
        except importlib.metadata.PackageNotFoundError:
            found = ""
        if found and _number(found) >= _number(least):
            have.append(f"{name} {found}")
        else:
            lacking.append((name, least, found, bool(extra)))
    if have:
        yield Finding("packages", "ok", ", ".join(have))
    for name, least, found, of_extra in lacking:
        text = f"{name} {found or 'is not installed'}{f', older than {least}' if found else ''}"
        if name in OPTIONAL:
            yield Finding(
                "packages", "note", f"{text}: NumPy's kernels serve", f'faster: pip install "{name}>={least}"'
            )
        else:
            cure = f'pip install "{DISTRIBUTION}[learn]"' if of_extra else f'pip install "{name}>={least}"'
            yield Finding("packages", "mend", text, cure)


def numpy_works() -> Finding:
    """A computation whose result is known: a product, a solved system and a sum."""
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    wide = np.arange(64 * 48, dtype=np.float32).reshape(64, 48) % 7
    by_hand = np.array([[sum(x * y for x, y in zip(r, s, strict=True)) for s in wide] for r in wide.tolist()])
    good = (
        np.allclose(a @ a, [[5.0, 5.0], [5.0, 10.0]])
        and np.allclose(np.linalg.solve(a, [3.0, 5.0]), [0.8, 1.4])
        and np.array_equal(wide @ wide.T, by_hand)
    )
    text = f"NumPy {np.__version__} computes"
    if good:
        return Finding("computing", "ok", f"{text} what it should")
    return Finding("computing", "mend", f"{text} wrong products", "pip install --force-reinstall numpy")


def threads() -> Finding:
    """The BLAS libraries that are loaded and the threads they use."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    listed = ", ".join(
        f"{p['internal_api']} {p['version'] or '?'}: {_many(p['num_threads'], 'thread')}" for p in pools
    )
    cores = os.cpu_count() or 1
    text = f"{listed or 'no BLAS that says its threads'}; {_many(cores, 'core')}"
    if any(pool["num_threads"] > cores for pool in pools):
        return Finding("BLAS", "note", text, f"more threads than cores: set OMP_NUM_THREADS={cores}")
    return Finding("BLAS", "ok", text)


def memory(free: int | None = None) -> Finding:
    """The memory that a program could take now."""
    free = free_memory() if free is None else free
    if free is None:
        return Finding("memory", "note", "free memory cannot be read on this system")
    text = f"{quantity(free, 'B')} free"
    if free < MEMORY:
        return Finding("memory", "note", text, "close other programs before you train the larger models")
    return Finding("memory", "ok", text)


def free_memory() -> int | None:
    """Bytes that a program could take now; None where the system does not say."""
    info = Path("/proc/meminfo")
    if info.is_file():
        match = re.search(r"MemAvailable:\s+(\d+) kB", info.read_text(encoding="ascii"))
        return int(match[1]) * 1024 if match else None
    names = getattr(os, "sysconf_names", {})
    if {"SC_AVPHYS_PAGES", "SC_PAGE_SIZE"} <= set(names):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def disk(folder: Path, free: int | None = None) -> Finding:
    """The room on the disk that a folder is on."""
    free = shutil.disk_usage(folder).free if free is None else free
    text = f"{quantity(free, 'B')} free at {folder}"
    if free < DISK:
        return Finding(
            "disk", "mend", text, f"free {quantity(DISK, 'B')} or more: data and checkpoints need it"
        )
    return Finding("disk", "ok", text)


def encoding() -> Finding:
    """What the console can show."""
    name = getattr(sys.stdout, "encoding", None) or "unknown"
    if console.get().unicode:
        return Finding("console", "ok", f"{name}, {console.width()} columns")
    why = "no terminal" if not sys.stdout.isatty() else "no line drawing"
    return Finding("console", "ok", f"{name}, {console.width()} columns, {why}: plain ASCII is shown")


def lessons() -> Finding:
    """The course's own files."""
    try:
        found = course().lessons
    except LearnError as error:
        return Finding(
            "lessons", "mend", str(error), f'pip install --force-reinstall "{DISTRIBUTION}[learn]"'
        )
    text = f"{len(found)} lessons at {lessons_folder()}"
    return Finding("lessons", "ok" if found else "mend", text, "" if found else "install TinyTorch again")


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


def _number(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, enough to compare releases."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


# ---------------------------------------------------------------- the workspace


def workspace_findings(folder: Path) -> Iterator[Finding]:
    """The workspace that a folder lies in: there, parsing, writable, and known to git as it should be."""
    try:
        workspace = find(folder)
    except LearnError as error:
        yield Finding("workspace", "note", str(error))
        return
    try:
        tomllib.loads((workspace.root / MARK).read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        cure = f"delete {MARK} and run: tito begin"
        yield Finding("workspace", "mend", f"{workspace.root}, but {MARK} does not parse: {error}", cure)
    else:
        yield Finding("workspace", "ok", str(workspace.root))
    yield from work_files(workspace)
    try:
        load(workspace)
    except LearnError as error:
        yield Finding("progress", "mend", str(error))
    yield writable(workspace)
    yield from ignored(workspace)


def work_files(workspace: Workspace) -> Iterator[Finding]:
    """Whether Python can read the work files that there are."""
    try:
        started = [lesson for lesson in course().lessons if workspace.started(lesson)]
    except LearnError:
        return  # `lessons` tells of it
    good = 0
    for lesson in started:
        try:
            workspace.written(lesson)
            good += 1
        except WorkFileError as error:
            yield Finding("work files", "mend", str(error), f"mend the line, then: tito check {lesson.label}")
    if good:
        yield Finding("work files", "ok", f"{good} of {len(started)} can be read")


def writable(workspace: Workspace) -> Finding:
    """Whether files can be made in the workspace's folders."""
    for folder in (workspace.root, workspace.work, workspace.state):
        if folder.is_dir():
            try:
                with tempfile.NamedTemporaryFile(dir=folder, prefix=".tito-"):
                    pass
            except OSError as error:
                text = f"no file can be made in {folder} ({error.strerror})"
                cure = "give yourself the right to write there, or move the workspace"
                return Finding("writing", "mend", text, cure)
    return Finding("writing", "ok", "files can be made in the workspace")


def ignored(workspace: Workspace) -> Iterator[Finding]:
    """Whether git, if the workspace is in a repository, leaves out what `tito` keeps and takes your code."""
    if not any((folder / ".git").exists() for folder in (workspace.root, *workspace.root.parents)):
        yield Finding("git", "ok", "the workspace is in no repository")
        return
    kept, yours = ".tito/progress.json", "work/01.py"
    try:
        left_out = {name: _git_ignores(workspace.root, name) for name in (kept, yours)}
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("git", "note", f"git cannot be asked what it ignores: {error}")
        return
    if left_out[yours]:
        cure = "take the rule out of the .gitignore that `git check-ignore -v work/01.py` names"
        yield Finding("git", "mend", "git ignores work/, so your code would not be committed", cure)
    if not left_out[kept]:
        cure = "add a line with .tito/ to the workspace's .gitignore"
        yield Finding("git", "note", "git does not ignore .tito/", cure)
    elif not left_out[yours]:
        yield Finding("git", "ok", "your code is committed, what tito keeps is not")


def _git_ignores(folder: Path, name: str) -> bool:
    done = subprocess.run(
        ["git", "check-ignore", "-q", name], cwd=folder, capture_output=True, timeout=20, check=False
    )
    if done.returncode not in (0, 1):
        raise subprocess.SubprocessError(done.stderr.decode("utf-8", "replace").strip())
    return done.returncode == 0
