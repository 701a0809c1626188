"""`tito check` and `tito watch`: what a learner sees of right, wrong, missing and unreadable code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.learn.tiny import PROGRAM, ROOT, in_course, lesson_of, solve, tito, write_course
from tinytorch.cli.main import run
from tinytorch.cli.watch import saves
from tinytorch.learn.progress import load
from tinytorch.learn.stubs import paste
from tinytorch.learn.workspace import Workspace, begin

LATER = ("Spec.nbytes", "MatMul.forward", "MatMul.flops")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace in which lesson 01 is started, its path with a space and an accent."""
    monkeypatch.setenv("COLUMNS", "61")
    monkeypatch.setenv("TITO_SEED", "7")
    made = begin(tmp_path / "mon \u00e9t\u00e9")
    with in_course(write_course(tmp_path / "lessons"), made.root):
        assert run(["start", "1"]) == 0
        yield made


@pytest.fixture
def work(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Path:
    capsys.readouterr()
    return workspace.work / "01_shapes.py"


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """What was written, after a look at its form: ASCII, at most 60 columns, no traceback."""
    text = capsys.readouterr().out
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 60
    assert "Traceback" not in text
    return text


def answer(work: Path, name: str, source: str) -> None:
    """Put a function in the place of an exercise of lesson 01."""
    lesson = lesson_of(Path(os.environ["TITO_LESSONS"]))
    work.write_text(paste(work.read_text(), lesson.exercise(name), source))


def solved(work: Path, *names: str) -> None:
    solve(work, lesson_of(Path(os.environ["TITO_LESSONS"])), *names)


def test_nothing_written_yet(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "1"]) == 1
    text = shown(capsys)
    assert "  not yet  broadcast\n" in text
    assert "broadcast is not written yet (tinytorch/ops/spec.py)\nat        work/01_shapes.py, line " in text
    assert "Next: write it, then: tito check 01" in text
    assert "ran none of your functions" in text
    assert not any(name in text for name in LATER)


def test_one_after_the_other(work: Path, capsys: pytest.CaptureFixture[str], workspace: Workspace) -> None:
    solved(work, "broadcast")
    assert run(["check"]) == 1
    text = shown(capsys)
    assert "  passed   broadcast\n  not yet  Spec.nbytes\n" in text
    assert "ran work/01_shapes.py: broadcast\n" in text
    assert "MatMul" not in text
    assert [*load(workspace).passed] == ["tinytorch.ops.spec:broadcast"]
    solved(work)
    assert run(["check"]) == 0
    text = shown(capsys)
    assert text.count("  passed  ") == 4
    assert "Lesson 01, Shapes: all 4 exercises pass.\nNext: tito start 02\n" in text
    assert "ran work/01_shapes.py: broadcast, Spec.nbytes,\n    MatMul.forward, MatMul.flops\n" in text
    assert "seed 7 (TITO_SEED=7 repeats it)" in text
    assert len(load(workspace).passed) == 4


def test_a_wrong_answer(work: Path, capsys: pytest.CaptureFixture[str], workspace: Workspace) -> None:
    solved(work)
    assert run(["check"]) == 0
    shown(capsys)
    answer(
        work,
        "Spec.nbytes",
        "@property\ndef nbytes(self) -> int:\n    print('seen', self.size)\n    return self.size",
    )
    assert run(["check"]) == 1
    text = shown(capsys)
    assert "  passed   broadcast\n  FAILED   Spec.nbytes\n" in text
    assert "called    Spec((2, 3), np.dtype('float32')).nbytes\n" in text
    assert "got       6\nexpected  24\n" in text
    assert "printed   seen 6\n" in text
    assert "Next: tito hint 01 --exercise Spec.nbytes\n" in text
    assert "MatMul" not in text
    assert len(text.splitlines()) <= 25
    assert "tinytorch.ops.spec:Spec.nbytes" not in load(workspace).passed


def test_an_error_in_the_code(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer(work, "broadcast", "def broadcast(op, *shapes):\n    return shaps[0]\n")
    assert run(["check"]) == 1
    text = shown(capsys)
    assert "broadcast ends in an error" in text
    assert re.search(r"at        work/01_shapes.py, line \d+: return\s+shaps\[0\]\n", text)
    assert "error     NameError: name 'shaps' is not defined" in text


def test_one_exercise_alone(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    solved(work, "MatMul.forward")
    assert run(["check", "01", "--exercise", "MatMul.forward"]) == 0
    text = shown(capsys)
    assert "MatMul.forward passes.\nNext: tito check 01" in text
    assert "broadcast" not in text
    assert run(["check", "01", "--exercise", "MatMul.flops"]) == 1
    assert "MatMul.flops is not written yet" in shown(capsys)
    assert run(["check", "01", "--exercise", "MatMul.forwards"]) == 1
    assert "Did you mean MatMul.forward" in capsys.readouterr().err


def test_what_is_not_written_is_never_called_passed(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    solved(work, "MatMul.forward", "MatMul.flops")
    assert run(["check"]) == 1
    assert "passed" not in shown(capsys)


def test_skipped_checks_are_not_called_passed(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks = Path(os.environ["TITO_LESSONS"]) / "01_shapes" / "checks" / "test_all.py"
    text = checks.read_text().replace(
        "def test_flops():\n", "def test_flops():\n    pytest.skip('no clock')\n"
    )
    checks.write_text(text.replace("import numpy", "import pytest\nimport numpy", 1))
    solved(work)
    assert run(["check"]) == 1
    text = shown(capsys)
    assert "all 4 exercises pass" not in text
    assert "Checks did not run, or not to their end: MatMul.flops.\n" in text


def test_a_hint_shown_while_checks_run_is_kept(work: Path, workspace: Workspace) -> None:
    tell = f"import json, pathlib; p = pathlib.Path({str(workspace.state / 'progress.json')!r})"
    body = f"    {tell}\n    p.write_text(json.dumps({{'hints': {{'a:b': 1}}}}))\n    return (3, 4)\n"
    answer(work, "broadcast", f"def broadcast(op, *shapes):\n{body}")
    assert run(["check"]) == 1
    assert load(workspace).hints == {"a:b": 1}


def test_a_seed_that_is_none(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TITO_SEED", "-3")
    assert run(["check"]) == 1
    assert "TITO_SEED is '-3': it must be a whole number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "slip"), [("broadcast", "def brodcast("), ("MatMul.forward", "def foward(")]
)
def test_a_slip_in_a_name_is_told(
    name: str, slip: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    solved(work)
    text = work.read_text().replace(f"def {name.rpartition('.')[2]}(", slip)
    work.write_text(text)
    line = next(n for n, content in enumerate(text.splitlines(), 1) if slip in content)
    assert run(["check"]) == 1
    said = " ".join(shown(capsys).split())
    named = slip[4:-1] if "." not in name else f"MatMul.{slip[4:-1]}"
    assert f"{name} is not written yet" in said
    assert f"Next: if {named} (line {line}) is to be it, name it so, then: tito check 01" in said


def test_an_exercise_deleted_from_the_file(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work.write_text("x = 1\n")
    assert run(["check"]) == 1
    assert "Next: tito start 01" in shown(capsys)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("def broadcast(op, *shapes:\n    return ()\n", "'(' was never closed"),
        ("def broadcast(op):\n    a = 1\n\treturn a\n", "inconsistent use of tabs"),
    ],
)
def test_a_file_that_python_cannot_read(
    content: str, reason: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work.write_text(content)
    assert run(["check"]) == 1
    text = shown(capsys)
    assert "work/01_shapes.py, line " in text
    assert "^\n" in text
    assert reason in text
    assert "Next: mend it, then: tito check 01" in text


@pytest.mark.parametrize("change", ["crlf", "mark", "tabs"])
def test_files_as_editors_write_them(change: str, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    solved(work)
    content = work.read_bytes()
    if change == "crlf":
        content = content.replace(b"\n", b"\r\n")
    elif change == "mark":
        content = b"\xef\xbb\xbf" + content
    else:
        content = re.sub(rb"(?m)^( {4})+", lambda m: b"\t" * (len(m[0]) // 4), content)
    work.write_bytes(content)
    assert run(["check"]) == 0
    assert "all 4 exercises pass" in shown(capsys)


def test_code_of_earlier_lessons_runs_too(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["start", "2"]) == 0
    later = work.with_name("02_layers.py")
    solve(later, lesson_of(Path(os.environ["TITO_LESSONS"]), 1))
    capsys.readouterr()
    assert run(["check", "layers"]) == 0
    text = shown(capsys)
    assert "lesson 01 not passed yet: what you wrote there runs" in text
    assert "Next: tito milestone" in text
    answer(work, "broadcast", "def broadcast(op, *shapes):\n    raise RuntimeError('mine')\n")
    solved(work, "Spec.nbytes")
    run(["check", "layers"])
    assert "02_layers.py: Linear.forward" in shown(capsys)
    work.write_text("def f(:\n")
    assert run(["check", "layers"]) == 1
    assert "work/01_shapes.py, line 1:" in shown(capsys)


def test_a_lesson_that_is_not_started(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "2"]) == 1
    assert 'lesson 02 is not started; "tito start 02"' in capsys.readouterr().err
    assert run(["check", "9"]) == 1
    assert "there is no lesson 9" in capsys.readouterr().err


def test_as_a_program_on_a_plain_console(workspace: Workspace, work: Path) -> None:
    lessons = Path(os.environ["TITO_LESSONS"])
    answer(
        work, "broadcast", "def broadcast(op, *shapes):\n    print('\u00e9t\u00e9 \u2192')\n    return None\n"
    )
    folder = workspace.root / "sub"
    folder.mkdir()
    code, text = tito(lessons, folder, "check", PYTHONIOENCODING="cp1252", TERM="dumb")
    assert code == 1
    assert text.replace("\u00e9t\u00e9 ->", "").isascii()
    assert "\u00e9t\u00e9 ->" in text
    assert "got       None\nexpected  (3, 4)\n" in text.replace("\r\n", "\n")
    assert "Traceback" not in text


# ---------------------------------------------------------------- watch


def test_a_save_is_seen_once_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "work.py"
    file.write_text("a")
    steps = iter(["", "ab", "abc", "", "", "abcd", ""])

    def pause(seconds: float) -> None:
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        if step:
            file.write_text(step)

    seen = []

    def look() -> None:
        for _ in saves(lambda: [file], pause):
            seen.append(file.read_text())

    with pytest.raises(KeyboardInterrupt):
        look()
    assert seen == ["a", "abc", "abcd"]


def test_watching_outlives_a_file_that_is_moved_away(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    aside = work.with_suffix(".bak")

    def steps(files: object) -> Iterator[None]:
        yield
        work.rename(aside)
        yield
        aside.rename(work)
        solved(work)
        yield

    monkeypatch.setattr("tinytorch.cli.watch.saves", steps)
    for lesson in (["1"], []):
        assert run(["watch", *lesson]) == 0
        text = shown(capsys)
        assert "started" in text
        assert text.count("Watching;") == 3
        assert "all 4 exercises pass" in text


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_watching_until_ctrl_c(work: Path, workspace: Workspace) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "watch"],
        cwd=workspace.root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    guard = threading.Timer(120, process.kill)
    guard.start()
    assert process.stdout is not None
    before = ""
    while "Watching" not in before:
        before += process.stdout.readline()
    solved(work)
    after = ""
    while "Watching" not in after:
        after += process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    guard.cancel()
    assert "broadcast is not written yet" in before
    assert "saved at" in after
    assert "all 4 exercises pass" in after
    assert rest.strip() == "No longer watching."
    assert process.wait() == 0
