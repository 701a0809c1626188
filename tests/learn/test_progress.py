"""What a workspace remembers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.learn.tiny import lesson_of, write_course
from tinytorch.errors import LearnError
from tinytorch.learn.progress import Progress, enter, load
from tinytorch.learn.workspace import Workspace, begin


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return begin(tmp_path / "ws")


def test_a_new_workspace_remembers_nothing_and_looking_writes_nothing(workspace: Workspace) -> None:
    progress = load(workspace)
    assert (progress.passed, progress.hints, progress.gave_up, progress.heads) == ({}, {}, {}, {})
    assert not workspace.state.exists()


def test_it_is_read_as_it_was_saved(workspace: Workspace) -> None:
    progress = load(workspace)
    progress.passed["a:b"] = "2026-01-01"
    progress.hints["a:b"] = 2
    progress.heads["a:b"] = "def b():\n    ..."
    progress.save()
    assert load(workspace) == progress
    assert [path.name for path in workspace.state.iterdir()] == ["progress.json"]


def test_results_of_a_check(workspace: Workspace, tmp_path: Path) -> None:
    lesson = lesson_of(write_course(tmp_path / "lessons"))
    progress = load(workspace)
    progress.enter(lesson, ["broadcast", "Spec.nbytes"], ["MatMul.forward"])
    assert [e.name for e in progress.missing(lesson)] == ["MatMul.forward", "MatMul.flops"]
    first = dict(progress.passed)
    progress.enter(lesson, ["Spec.nbytes", "MatMul.forward"], ["broadcast"])
    assert [e.name for e in progress.missing(lesson)] == ["broadcast", "MatMul.flops"]
    same = lesson.exercise("Spec.nbytes").id
    assert progress.passed[same] == first[same]


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"passed": []}', '{"hints": {"a": "b"}}', '{"heads": {"a": 1}}', "\xff"]
)
def test_a_damaged_file(content: str, workspace: Workspace) -> None:
    path = workspace.state / "progress.json"
    path.parent.mkdir()
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(LearnError, match=r"progress\.json .*Delete it: your code is not in it"):
        load(workspace)
    assert path.read_bytes() == content.encode("latin-1")


def test_what_a_later_version_adds_is_no_error(workspace: Workspace) -> None:
    path = workspace.state / "progress.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"passed": {"a": "b"}, "badges": 3}))
    assert load(workspace).passed == {"a": "b"}


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LearnError, match="progress cannot be kept"):
        Progress(tmp_path / "file" / "progress.json").save()


def test_what_another_command_noted_meanwhile_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    lesson = lesson_of(write_course(tmp_path / "lessons"))
    early = load(workspace)
    hinted = load(workspace)
    hinted.hints["a:b"] = 1
    hinted.save()
    later = enter(workspace, lesson, ["broadcast"], [])
    assert load(workspace) == later
    assert later.hints == {"a:b": 1}
    assert [*later.passed] == [lesson.exercise("broadcast").id]
    assert early.hints == {}
