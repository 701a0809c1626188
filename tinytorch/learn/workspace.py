"""A workspace: the folder in which a learner writes, and the files of theirs in it."""

from __future__ import annotations

import importlib.util
import io
import time
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tinytorch.errors import LearnError
from tinytorch.learn.course import Course, Lesson, course
from tinytorch.learn.work import Piece, Written, pieces_of, read_work
from tinytorch.training.files import write_whole

DISTRIBUTION = "tinytorch-lab"  # what pip knows TinyTorch by
MARK = "tito.toml"
TOML = """# A TinyTorch workspace: `tito` works on this folder from here and from any folder in it.
# Your code is in work/, one file a lesson; `tito status` shows the road.
version = 1
"""
IGNORED = (".tito/", "__pycache__/", "work/backups/")


class WorkFileError(LearnError):
    """A work file that Python cannot read: its name, the reason, line and column (from 1; 0: unknown)."""

    def __init__(self, shown: str, reason: str, line: int = 0, text: str = "", column: int = 0) -> None:
        place = f"{shown}, line {line}" if line else shown
        super().__init__(f"{place}: Python cannot read it: {reason}" + (f": {text.strip()}" if text else ""))
        self.shown, self.reason, self.line, self.text, self.column = shown, reason, line, text, column


@dataclass(frozen=True)
class Workspace:
    """A learner's folder; `find` and `begin` give one."""

    root: Path

    @property
    def work(self) -> Path:
        """The folder of the work files."""
        return self.root / "work"

    @property
    def state(self) -> Path:
        """The folder of what `tito` itself keeps."""
        return self.root / ".tito"

    def file(self, lesson: Lesson) -> Path:
        """The work file of a lesson, started or not."""
        return self.work / lesson.work_name

    def shown(self, path: str | Path) -> str:
        """A file's name as the learner knows it: from the workspace on, with forward slashes."""
        path = Path(path)
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def started(self, lesson: Lesson) -> bool:
        """Whether a lesson has a work file."""
        return self.file(lesson).is_file()

    def written(self, lesson: Lesson) -> dict[str, Written]:
        """The functions in a lesson's work file by qualified name; raises WorkFileError."""
        path = self.file(lesson)
        if not path.is_file():
            return {}
        try:
            return read_work(path)
        except (SyntaxError, ValueError) as error:
            raise self._broken(path, error) from None

    def pieces(self, upto: Lesson | None = None) -> list[Piece]:
        """What the learner has written in all lessons, or in those up to one; raises WorkFileError."""
        lessons = course().until(upto) if upto is not None else course().lessons
        found: list[Piece] = []
        for lesson in lessons:
            path = self.file(lesson)
            if path.is_file():
                try:
                    found += pieces_of([(e.module, e.name) for e in lesson.exercises], path)
                except (SyntaxError, ValueError) as error:
                    raise self._broken(path, error) from None
        return found

    def current(self) -> Lesson:
        """The lesson being worked on: the one whose work file was saved last; raises LearnError with none."""
        return worked_on(self, course())

    def back_up(self, lesson: Lesson) -> Path:
        """Copy a work file to work/backups/ under a name with the time, and return the copy."""
        path = self.file(lesson)
        folder = self.work / "backups"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        copy, number = folder / f"{name}.py", 1
        while True:
            try:
                with copy.open("xb") as file:
                    file.write(path.read_bytes())
                return copy
            except FileExistsError:
                number += 1
                copy = folder / f"{name}-{number}.py"

    def _broken(self, path: Path, error: SyntaxError | ValueError) -> WorkFileError:
        if isinstance(error, SyntaxError):
            text = (error.text or "").rstrip("\r\n")
            return WorkFileError(self.shown(path), error.msg, error.lineno or 0, text, error.offset or 0)
        return WorkFileError(self.shown(path), str(error))


def worked_on(workspace: Workspace, lessons: Course) -> Lesson:
    """The lesson whose work file was saved last; raises LearnError where none is started."""
    started = [lesson for lesson in lessons.lessons if workspace.started(lesson)]
    if not started:
        first = lessons.lessons[0].label if lessons.lessons else "01"
        raise LearnError(f'no lesson is started here; begin with "tito start {first}"')
    return max(started, key=lambda lesson: (workspace.file(lesson).stat().st_mtime, lesson.label))


def find(start: Path | None = None) -> Workspace:
    """The workspace that a folder (default: the current one) lies in; raises LearnError where none is."""
    folder = (start or Path.cwd()).resolve()
    for place in (folder, *folder.parents):
        if (place / MARK).is_file():
            return Workspace(place)
    raise LearnError('no workspace here; make one with "tito begin"')


def here() -> Workspace | None:
    """The workspace that the current folder lies in, if it lies in one."""
    try:
        return find()
    except LearnError:
        return None


def begin(folder: Path) -> Workspace:
    """Make a workspace of a folder, new or not: a tito.toml and a .gitignore; raises LearnError.

    What is there already stays; lines that an existing .gitignore lacks are added at its end.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise LearnError(f"{folder} is a file; name a folder for the workspace")
    if (folder / MARK).is_file():
        raise LearnError(f"{folder} is a workspace already; tito status shows how far it is")
    for place in folder.parents:
        if (place / MARK).is_file():
            raise LearnError(f"{folder} lies in the workspace {place}; choose a folder outside of it")
    ignore = folder / ".gitignore"
    before = ignore.read_bytes() if ignore.is_file() else b""
    missing = [line.encode() for line in IGNORED if line.encode() not in before.split()]
    if missing:
        gap = b"\n" if before and not before.endswith(b"\n") else b""
        write_whole(ignore, before + gap + b"".join(line + b"\n" for line in missing))
    write_whole(folder / MARK, TOML.encode())
    return Workspace(folder)


# ---------------------------------------------------------------- text of a file, as it was


def read_text(path: Path) -> tuple[str, str]:
    """The text of a source file with its line ends, and its encoding; raises SyntaxError where it has none.

    A byte order mark belongs to the encoding (`utf-8-sig`), not to the text.
    """
    content = path.read_bytes()
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    try:
        return content.decode(encoding), encoding
    except UnicodeDecodeError as error:
        raise SyntaxError(f"its text is not {encoding}: {error.reason}") from None


def write_text(path: Path, text: str, encoding: str) -> None:
    """Write a source file back in the encoding that it had, whole or not at all; raises LearnError."""
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError as error:
        lacking = ascii(text[error.start])
        raise LearnError(f"{path.name} is in {encoding}, which lacks {lacking}: save it in UTF-8") from None
    write_whole(path, content)


def require_extra() -> None:
    """Raise LearnError where the extra `learn` (libcst and pytest) is not installed."""
    absent = [name for name in ("libcst", "pytest") if importlib.util.find_spec(name) is None]
    if absent:
        raise LearnError(
            f'{" and ".join(absent)} not installed; the course needs: pip install "{DISTRIBUTION}[learn]"'
        )


def stamps(paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Time of change in nanoseconds and size of those files that are there: what tells a save."""
    found = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        found[path] = (status.st_mtime_ns, status.st_size)
    return found
