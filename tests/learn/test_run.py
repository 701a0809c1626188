"""Programs, and checks, run on the learner's code in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.learn.tiny import write_course
from tinytorch.errors import LearnError
from tinytorch.learn.checks import Report, run_checks, seed_of_the_day, take
from tinytorch.learn.course import Lesson, read_course
from tinytorch.learn.run import Ran, run_program
from tinytorch.learn.work import Piece

MATMUL = ("tinytorch.ops.matmul", "MatMul.forward")


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    return read_course(write_course(tmp_path / "lessons")).lessons[0]


def _work(tmp_path: Path, text: str) -> str:
    file = tmp_path / "01_shapes.py"
    file.write_text(text, encoding="utf-8")
    return str(file)


def _program(tmp_path: Path, text: str) -> str:
    file = tmp_path / "program.py"
    file.write_text(text, encoding="utf-8")
    return str(file)


NEGATIVE = "class MatMul:\n    def forward(self, a, b):\n        return -(a @ b)\n"


def test_a_program_runs_on_the_learners_code(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    work = _work(tmp_path, NEGATIVE)
    (tmp_path / "beside.py").write_text("x = 5\n", encoding="utf-8")
    program = _program(
        tmp_path,
        "import sys, beside\nimport tinytorch as tt\n"
        "x = tt.ones(2, 2)\nprint((x @ x).tolist(), sys.argv[1:], beside.x, __name__)\n",
    )
    ran: Ran = []
    assert run_program([program, "--a", "b c"], [Piece(*MATMUL, work)], ran) == 0
    assert capfd.readouterr().out == "[[-2.0, -2.0], [-2.0, -2.0]] ['--a', 'b c'] 5 __main__\n"
    assert ran == [("MatMul.forward", work, 2)]


def test_fused_ops_step_aside_for_the_learners_rule(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = _program(
        tmp_path,
        "import tinytorch as tt\nfrom tinytorch import nn\nprint(nn.Linear(2, 3)(tt.ones(1, 2)).shape)\n",
    )
    ran: Ran = []
    work = _work(tmp_path, NEGATIVE)
    assert run_program([program], [Piece(*MATMUL, work)], ran) == 0
    assert [name for name, _, _ in ran] == ["MatMul.forward"]
    assert capfd.readouterr().out == "(1, 3)\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [("raise SystemExit(3)", 3), ("import sys; sys.exit('no')", 1), ("1/0", 1), ("exit()", 0)],
)
def test_exit_codes_are_the_programs_own(tmp_path: Path, text: str, code: int) -> None:
    assert run_program([_program(tmp_path, text)], []) == code


def test_a_traceback_begins_with_the_program_and_shows_the_learners_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    work = _work(tmp_path, "class MatMul:\n    def forward(self, a, b):\n        return a @ c\n")
    program = _program(tmp_path, "import tinytorch as tt\nx = tt.ones(2, 2)\nx @ x\n")
    assert run_program([program], [Piece(*MATMUL, work)]) == 1
    said = capfd.readouterr().err
    assert said.splitlines()[1].strip().startswith(f'File "{program}", line 3')
    assert f'File "{work}", line 3, in forward\n    return a @ c' in said
    assert "runpy" not in said
    assert said.rstrip().endswith("NameError: name 'c' is not defined")


def test_a_module_runs_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there.py").write_text("import sys\nsys.exit(len(sys.argv))\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert run_program(["-m", "there", "1", "2"], []) == 3


@pytest.mark.parametrize("words", [[], ["-m"], ["nowhere.py"]])
def test_what_is_no_program_is_refused(words: list[str]) -> None:
    with pytest.raises(LearnError, match="^run: "):
        run_program(words, [])


def test_tito_run(tmp_path: Path) -> None:
    program = _program(tmp_path, "print(input())\n")
    (tmp_path / "tito.toml").write_text("version = 1\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tinytorch", "run", program],
        cwd=tmp_path,
        input="hello",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert done.stderr == "tito: ran none of your functions; the package's ran in their place\n"


# ---------------------------------------------------------------- checks


def _check(lesson: Lesson, work: str, **options: object) -> Report:
    text = Path(work).read_text(encoding="utf-8")
    names = [("tinytorch.ops.spec", "broadcast"), MATMUL, ("tinytorch.ops.matmul", "MatMul.flops")]
    pieces = [Piece(m, n, work) for m, n in names if n.split(".")[-1] + "(" in text]
    return run_checks(lesson, pieces, **options)  # type: ignore[arg-type]


def test_the_reference_passes_in_the_order_of_the_exercises(lesson: Lesson) -> None:
    seen: list[tuple[str, bool]] = []
    report = run_checks(lesson, [], seed=5, on_result=lambda name, passed: seen.append((name, passed)))
    assert report.failure is None
    assert (report.seed, report.total) == (
        5,
        {"broadcast": 2, "Spec.nbytes": 1, "MatMul.forward": 1, "MatMul.flops": 1},
    )
    assert seen == [(e.name, True) for e in lesson.exercises]
    assert all(report.done(e.name) for e in lesson.exercises)
    assert report.ran == []


def test_the_first_failure_ends_the_run(lesson: Lesson, tmp_path: Path) -> None:
    report = _check(lesson, _work(tmp_path, NEGATIVE))
    failure = report.failure
    assert failure is not None
    assert (failure.exercise, failure.kind, failure.called) == (
        "MatMul.forward",
        "wrong",
        "MatMul().forward(a, b)",
    )
    assert (Path(failure.file).name, failure.line) == ("01_shapes.py", 2)
    assert [name for name, _ in failure.given] == ["a", "b"]
    assert "15 of 15 elements differ" in failure.difference
    assert not report.done("MatMul.flops")
    assert [name for name, _, _ in report.ran] == ["MatMul.forward"]


def test_all_failures_on_request(lesson: Lesson, tmp_path: Path) -> None:
    work = _work(tmp_path, NEGATIVE + "    def flops(self, out, a, b):\n        return 60\n")
    report = _check(lesson, work, stop_at_first=False)
    assert [f.exercise for f in report.failures] == ["MatMul.forward", "MatMul.flops"]


def test_one_exercise_alone(lesson: Lesson, tmp_path: Path) -> None:
    report = _check(lesson, _work(tmp_path, NEGATIVE), exercise="MatMul.flops")
    assert report.failure is None
    assert report.total == {"MatMul.flops": 1}
    with pytest.raises(LearnError, match="no exercise 'MatMul.flop'. Did you mean MatMul.flops"):
        run_checks(lesson, [], exercise="MatMul.flop")


def test_a_stub_is_named(lesson: Lesson) -> None:
    report = run_checks(lesson, [Piece(*MATMUL, None)])
    assert report.failure is not None
    assert (report.failure.kind, report.failure.exercise) == ("unwritten", "MatMul.forward")
    assert report.failure.error == "MatMul.forward is not written yet"


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        ("return a @ c", "raised", "NameError: name 'c' is not defined"),
        ("import sys; sys.exit(0)", "raised", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "raised", "KeyboardInterrupt: "),
        ("return self.forward(a, b)", "raised", "RecursionError: maximum recursion depth exceeded"),
        (
            "import os; os._exit(0)",
            "crashed",
            "the process ended with code 0 in the middle: it printed nothing",
        ),
        ("import os; os.abort()", "crashed", "the process ended with code -6 in the middle"),
    ],
)
def test_whatever_the_learners_code_does_is_reported(
    lesson: Lesson, tmp_path: Path, body: str, kind: str, error: str
) -> None:
    work = _work(tmp_path, f"class MatMul:\n    def forward(self, a, b):\n        {body}\n")
    failure = _check(lesson, work).failure
    assert failure is not None
    assert (failure.kind, failure.exercise) == (kind, "MatMul.forward")
    assert failure.error.startswith(error)
    if kind == "raised":
        assert failure.line == 3 or (failure.line == 2 and "Recursion" in error)
        assert failure.source == (body if failure.line == 3 else "def forward(self, a, b):")


def test_breakpoint_says_where_it_works(lesson: Lesson, tmp_path: Path) -> None:
    work = _work(tmp_path, "class MatMul:\n    def forward(self, a, b):\n        breakpoint()\n")
    failure = _check(lesson, work).failure
    assert failure is not None
    assert failure.error.startswith("LearnError: checks have no terminal for breakpoint()")
    assert (failure.line, failure.source) == (3, "breakpoint()")


def test_functions_of_the_checks_are_explained(lesson: Lesson, tmp_path: Path) -> None:
    checks = lesson.checks / "test_all.py"
    text = checks.read_text(encoding="utf-8").replace("MatMul().forward(a, b)", "product(a, b, *chain())[0]")
    (lesson.checks / "helpers.py").write_text(
        "from tinytorch.ops.matmul import MatMul\n\n\n"
        "def product(a: object, b: object, *more: object, times: int = 1) -> object:\n"
        '    """The product, in\n    a list.\n\n    Not shown.\n    """\n'
        "    return [MatMul().forward(a, b)]\n",
        encoding="utf-8",
    )
    checks.write_text(
        text.replace(
            "import numpy", "from itertools import chain\nfrom helpers import product\nimport numpy", 1
        ),
        "utf-8",
    )
    failure = _check(lesson, _work(tmp_path, NEGATIVE)).failure
    assert failure is not None
    assert failure.called == "product(a, b, *chain())[0]"
    assert failure.helpers == [("product(a, b, *more, times=1)", "The product, in a list.")]


def test_an_endless_loop_ends(lesson: Lesson, tmp_path: Path) -> None:
    work = _work(tmp_path, "class MatMul:\n    def forward(self, a, b):\n        while True: pass\n")
    report = _check(lesson, work, timeout=12.0)
    failure = report.failure
    assert failure is not None
    assert (failure.kind, failure.exercise) == ("timeout", "MatMul.forward")
    assert "most recent call" not in report.output
    if os.name != "nt":
        assert (Path(failure.file).name, failure.line) == ("01_shapes.py", 3)


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        ("def broadcast(op, *shapes):\n    return (\n", "syntax", 2),
        ("import nowhere_at_all\ndef broadcast(op, *shapes):\n    return nowhere_at_all\n", "import", 1),
        ("def broadcast(op, *shapes, limit=nowhere):\n    return ()\n", "import", 1),
    ],
)
def test_a_file_that_cannot_be_loaded(
    lesson: Lesson, tmp_path: Path, text: str, kind: str, line: int
) -> None:
    work = _work(tmp_path, text)
    failure = run_checks(lesson, [Piece("tinytorch.ops.spec", "broadcast", work)]).failure
    assert failure is not None
    assert (failure.kind, Path(failure.file).name, failure.line) == (kind, "01_shapes.py", line)


def test_what_the_code_prints_does_not_disturb_the_report(lesson: Lesson, tmp_path: Path) -> None:
    work = _work(
        tmp_path,
        "class MatMul:\n    def forward(self, a, b):\n"
        "        import sys, os\n        print('{\"event\": \"done\"}')\n        os.write(1, b'direct')\n"
        "        sys.__stdout__.write('x'); return a @ b\n",
    )
    report = _check(lesson, work)
    assert report.failure is None
    assert "direct" in report.output
    assert '{"event": "done"}' in report.output


def test_a_check_that_names_no_exercise_is_an_error(lesson: Lesson) -> None:
    (lesson.checks / "test_more.py").write_text("def test_nothing():\n    pass\n", encoding="utf-8")
    failure = run_checks(lesson, []).failure
    assert failure is not None
    assert failure.kind == "crashed"


def test_prints_at_import_are_output_and_no_events(lesson: Lesson, tmp_path: Path) -> None:
    work = _work(
        tmp_path,
        "def build():\n    print('building')\n    print(3)\n    print('{}')\n    return 1\n\n\n"
        "TABLE = build()\n\n\n"
        "class MatMul:\n    def forward(self, a, b):\n        return TABLE * (a @ b)\n",
    )
    report = run_checks(lesson, [Piece(*MATMUL, work)], exercise="MatMul.forward")
    assert report.done("MatMul.forward"), report
    assert "building\n3\n{}\n" in report.output


def test_a_line_that_is_no_event_is_kept_as_output() -> None:
    report = Report("01", 0)
    for line in (b"building\n", b"3\n", b"[]\n", b"{}\n", b"\xff\n"):
        assert take(report, line, "f", None) == ("f", False)
    assert report.output == "building\n3\n[]\n{}\n\ufffd\n"
    assert take(report, b'{"event": "start", "exercise": "g"}\n', "f", None) == ("g", False)


@pytest.mark.parametrize("seed", ["abc", "-3", "1.5"])
def test_a_seed_that_is_none_is_named(seed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITO_SEED", seed)
    with pytest.raises(LearnError, match=f"TITO_SEED is '{seed}': .* whole number from 0"):
        seed_of_the_day()


def test_folders_of_other_runs_are_left_alone(
    lesson: Lesson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '"""Writes a file."""\nfrom tinytorch.learn.expect import exercise\n\n\n@exercise("broadcast")\n'
    text += 'def test_file(tmp_path):\n    (tmp_path / "a").write_text("a")\n'
    (lesson.checks / "test_file.py").write_text(text, encoding="utf-8")
    place = tmp_path / "temp"
    place.mkdir()
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    report = run_checks(lesson, [], exercise="broadcast")
    assert report.failure is None
    assert report.total == {"broadcast": 3}
    assert [*place.iterdir()] == []
