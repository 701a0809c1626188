"""Workspaces: made, found, read, and their files kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.learn.tiny import in_course, lesson_of, solve, write_course
from tinytorch.errors import LearnError
from tinytorch.learn.course import Lesson
from tinytorch.learn.stubs import stub_file
from tinytorch.learn.workspace import (
    IGNORED,
    WorkFileError,
    Workspace,
    begin,
    find,
    read_text,
    stamps,
    write_text,
)


@pytest.fixture
def lessons(tmp_path: Path) -> Path:
    return write_course(tmp_path / "lessons")


@pytest.fixture
def workspace(lessons: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace whose path has a space and an accent, in a course of two lessons."""
    made = begin(tmp_path / "mon \u00e9t\u00e9")
    with in_course(lessons, made.root):
        yield made


@pytest.fixture
def lesson(lessons: Path) -> Lesson:
    return lesson_of(lessons)


def write(workspace: Workspace, lesson: Lesson, content: bytes) -> Path:
    path = workspace.file(lesson)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


# ---------------------------------------------------------------- made and found


def test_begin_makes_two_files_and_nothing_else(tmp_path: Path) -> None:
    workspace = begin(tmp_path / "new" / "folder")
    assert sorted(path.name for path in workspace.root.iterdir()) == [".gitignore", "tito.toml"]
    assert (workspace.root / ".gitignore").read_text().split() == list(IGNORED)


def test_begin_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"mine\xff\n.tito/\nlast")
    (tmp_path / "notes.txt").write_text("mine")
    begin(tmp_path)
    assert (tmp_path / ".gitignore").read_bytes() == b"mine\xff\n.tito/\nlast\n__pycache__/\nwork/backups/\n"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_begin_refuses(tmp_path: Path) -> None:
    begin(tmp_path / "one")
    with pytest.raises(LearnError, match="is a workspace already"):
        begin(tmp_path / "one")
    with pytest.raises(LearnError, match="lies in the workspace"):
        begin(tmp_path / "one" / "two" / "three")
    (tmp_path / "file").touch()
    with pytest.raises(LearnError, match="is a file"):
        begin(tmp_path / "file")
    assert not (tmp_path / "one" / "two").exists()


def test_find_walks_up(tmp_path: Path) -> None:
    made = begin(tmp_path / "ws")
    deep = made.root / "a" / "b"
    deep.mkdir(parents=True)
    assert find(deep) == find(made.root) == made
    with pytest.raises(LearnError, match='tito begin"$'):
        find(tmp_path)


# ---------------------------------------------------------------- read


def test_what_is_written_becomes_pieces(workspace: Workspace, lesson: Lesson, lessons: Path) -> None:
    assert workspace.pieces() == []
    path = write(workspace, lesson, stub_file(lesson).encode())
    assert workspace.pieces() == []
    solve(path, lesson, "broadcast", "MatMul.forward")
    assert [(p.name, p.file) for p in workspace.pieces()] == [
        ("broadcast", str(path)),
        ("MatMul.forward", str(path)),
    ]
    second = lesson_of(lessons, 1)
    solve(write(workspace, second, stub_file(second).encode()), second)
    assert len(workspace.pieces()) == 3
    assert len(workspace.pieces(lesson)) == 2
    assert len(workspace.pieces(second)) == 3


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfdef broadcast(op, *shapes):\n    return shapes[0]\n",
        b"def broadcast(op, *shapes):\r\n    return shapes[0]\r\n",
        b"def broadcast(op, *shapes):\n\treturn shapes[0]\n",
        b"# coding: latin-1\ndef broadcast(op, *shapes):\n    return shapes[0]  # \xe9t\xe9\n",
        "def broadcast(op, *shapes):\n    return shapes[0]  # \u00e9t\u00e9\n".encode(),
    ],
    ids=["mark", "crlf", "tab", "latin-1", "utf-8"],
)
def test_files_as_editors_write_them(content: bytes, workspace: Workspace, lesson: Lesson) -> None:
    path = write(workspace, lesson, content)
    assert [piece.name for piece in workspace.pieces()] == ["broadcast"]
    text, encoding = read_text(path)
    assert not text.startswith("\ufeff")
    write_text(path, text, encoding)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"x = 1\ndef broadcast(:\n", 2),
        (b"def f():\n    a = 1\n\tb = 2\n", 3),
        (b"x = '\n", 1),
        (b"x = \xff\n", 0),
        ("x = 1\n".encode("utf-16"), 0),
        (b"x = 1\x00\n", 0),
    ],
    ids=["colon", "tab", "quote", "bytes", "utf-16", "null"],
)
def test_files_that_python_cannot_read(
    content: bytes, line: int, workspace: Workspace, lesson: Lesson
) -> None:
    write(workspace, lesson, content)
    for look in (workspace.pieces, lambda: workspace.written(lesson)):
        with pytest.raises(WorkFileError, match="work/01_shapes.py") as caught:
            look()
        assert caught.value.line == line or line == 0
        assert "Python cannot read it" in str(caught.value)


def test_the_lesson_worked_on_is_the_one_saved_last(workspace: Workspace, lessons: Path) -> None:
    with pytest.raises(LearnError, match='no lesson is started here; begin with "tito start 01"'):
        workspace.current()
    first, second = lesson_of(lessons, 0), lesson_of(lessons, 1)
    one, other = write(workspace, first, b""), write(workspace, second, b"")
    os.utime(one, (100, 100))
    os.utime(other, (100, 100))
    assert workspace.current() == second
    os.utime(one, (200, 200))
    assert workspace.current() == first


def test_names_as_the_learner_knows_them(workspace: Workspace, lesson: Lesson, tmp_path: Path) -> None:
    assert workspace.shown(workspace.file(lesson)) == "work/01_shapes.py"
    assert workspace.shown(tmp_path / "else.py") == str(tmp_path / "else.py")


# ---------------------------------------------------------------- kept


def test_a_backup_never_takes_the_place_of_another(workspace: Workspace, lesson: Lesson) -> None:
    path = write(workspace, lesson, b"one\r\n")
    copies = [workspace.back_up(lesson) for _ in range(3)]
    assert len(set(copies)) == 3
    assert all(copy.read_bytes() == b"one\r\n" for copy in copies)
    assert all(copy.parent == path.parent / "backups" and copy.suffix == ".py" for copy in copies)
    assert copies[0].stem[:10] == "01_shapes-"
    path.write_bytes(b"two")
    assert all(copy.read_bytes() == b"one\r\n" for copy in copies)


def test_stamps_tell_a_save(workspace: Workspace, lesson: Lesson) -> None:
    path = workspace.file(lesson)
    assert stamps([path]) == {}
    write(workspace, lesson, b"one")
    before = stamps([path])
    write(workspace, lesson, b"three")
    assert stamps([path]) != before
