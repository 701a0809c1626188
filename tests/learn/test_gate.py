"""The gate finds what a lesson lacks: each kind of defect is put into a good lesson and must be named."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from tinytorch.errors import LearnError
from tinytorch.learn.course import Exercise, Lesson, read_lesson
from tinytorch.learn.gate import mutants as gate_mutants
from tinytorch.learn.gate import readme as gate_readme
from tinytorch.learn.work import is_stub

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("broadcast", "normalize_axis", "result_type", "duration", "require_float")
TOML = 'title = "Shapes"\nminutes = 30\nsummary = "Five functions."\n' + "".join(
    f'[[exercise]]\nname = "tinytorch.{"console" if name == "duration" else "ops.spec"}:{name}"\n'
    'hints = ["a", "b", "c"]\n'
    for name in NAMES
)
CHECKS = '''
"""What shapes must do."""
import numpy as np
from tinytorch.errors import DTypeError, ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.console import duration
from tinytorch.ops.spec import Spec, broadcast, normalize_axis, require_float, result_type


@exercise("broadcast")
def test_broadcast():
    expect.equal("broadcast('add', (3, 1), (4,))", (3, 4))
    expect.equal("broadcast('add')", ())
    expect.equal("broadcast('add', (0,), (1,))", (0,))
    expect.raises("broadcast('add', (3,), (4,))", ShapeError, "add", "(3,)", "(4,)")


@exercise("normalize_axis")
def test_axis():
    expect.equal("[normalize_axis('x', a, 3) for a in range(-3, 3)]", [0, 1, 2, 0, 1, 2])
    expect.equal("normalize_axis('x', -1, 0), normalize_axis('x', 0, 0)", (0, 0))
    for axis, ndim in ((3, 3), (-4, 3), (1, 0), (-2, 0)):
        expect.raises("normalize_axis('x', axis, ndim)", ShapeError, str(axis))


@exercise("result_type")
def test_types(rng):
    bool_, int8, int64, float16, float64 = map(np.dtype, ("bool", "int8", "int64", "float16", "float64"))
    expect.equal("result_type(int8, bool_, int64, int8)", int64)
    expect.equal("result_type(int64, float16)", float16)
    expect.equal("result_type(float16, float64)", float64)
    expect.equal("result_type(bool_)", bool_)


@exercise("duration")
def test_duration():
    expect.equal("[duration(s) for s in (0, 0.4, 59.9, 60, 75)]", ["0:00", "0:00", "0:59", "1:00", "1:15"])
    expect.equal("duration(3599)", "59:59")
    expect.equal("[duration(s) for s in (3600, 7384)]", ["1:00:00", "2:03:04"])


@exercise("require_float")
def test_float():
    f4, f8, i8 = (Spec((1,), np.dtype(d)) for d in ("float32", "float64", "int64"))
    expect.equal("require_float('x', f4, f4)", None)
    expect.raises("require_float('x', f4, f8)", DTypeError, "float32", "float64")
    expect.raises("require_float('x', i8)", DTypeError, "int64")
    expect.raises("require_float('x', f4, i8)", DTypeError, "int64")
'''.lstrip()
ALTERNATIVE = """
def broadcast(op, *shapes):
    import numpy as np
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"{op}: {shapes}") from None

def normalize_axis(op, axis, ndim):
    axes = list(range(ndim)) or [0]
    if axis not in axes and axis + len(axes) not in axes:
        raise ShapeError(f"{op}: no axis {axis}")
    return axes[axis]

def result_type(*dtypes):
    return sorted(dtypes, key=lambda d: ("biuf".index(d.kind), d.itemsize))[-1]

def duration(seconds):
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours == 0:
        return f"{minutes}:{rest:02d}"
    return f"{hours}:{minutes:02d}:{rest:02d}"

def require_float(op, *specs):
    for spec in specs:
        if spec.dtype.kind != "f" or spec.dtype != specs[0].dtype:
            raise DTypeError(f"{op}: {[s.dtype.name for s in specs]}")
"""
README = (
    "# 01 Shapes\n\n"
    + "\n\n".join(f"## {name}\n\n" + "word " * 90 for name in gate_readme.SECTIONS).replace(
        "## Exercises\n", "## Exercises\n\n" + "\n".join(f"### `{name}`\n\nText.\n" for name in NAMES)
    )
    + ("\n\n```python\nx = 3\nprint(x + 1)\n```\n\n```text\n4\n```\n")
)


@pytest.fixture
def lesson(tmp_path: Path) -> Path:
    """The folder of a lesson without defects."""
    folder = tmp_path / "01_shapes"
    for name in ("checks", "alternatives", "mutants"):
        (folder / name).mkdir(parents=True)
    (folder / "lesson.toml").write_text(TOML, encoding="utf-8")
    (folder / "checks" / "test_all.py").write_text(CHECKS, encoding="utf-8")
    (folder / "README.md").write_text(README, encoding="utf-8")
    for name in ("first", "second"):
        (folder / "alternatives" / f"{name}.py").write_text(ALTERNATIVE, encoding="utf-8")
    for name in NAMES:
        text = f'"""{name} gives nothing."""\ndef {name}(*a):\n    return ()\n'
        (folder / "mutants" / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def _gate(lesson: Path, *options: str) -> tuple[int, str]:
    """Run the gate; the package's bytecode is kept from one run to the next."""
    bytecode = str(lesson.parents[1] / "bytecode")
    environment = {**os.environ, "TITO_LESSONS": str(lesson.parent), "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-m", "tinytorch.learn.gate", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_good_lesson_passes_all_but_the_generated_mutants(lesson: Path) -> None:
    parts = "form,readme,reference,stubs,alternatives,mutants,later,empty"
    code, said = _gate(lesson, "--only", parts)
    assert "0 problems" in said
    assert code == 0


def test_generated_mutants_that_survive_must_be_listed(lesson: Path) -> None:
    path = lesson / "checks" / "test_all.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("(3, 3), (-4, 3), (1, 0), (-2, 0)", "(7, 3),"), encoding="utf-8")
    code, said = _gate(lesson, "--only", "generated", "--exercise", "normalize_axis", "--toml")
    assert code == 1
    entry = said[said.index("[[survivor]]") :].split("\n\n")[0]
    assert 'exercise = "normalize_axis"' in entry
    listed = [part.split("\n\n")[0] for part in said.split("[[survivor]]")[1:]]
    text = "".join(f"[[survivor]]{part}\n" for part in listed).replace(
        'reason = ""', 'reason = "the same value"'
    )
    (lesson / "mutants" / "survivors.toml").write_text(text[: text.rindex('"') + 2], encoding="utf-8")
    code, said = _gate(lesson, "--only", "generated", "--exercise", "normalize_axis")
    assert "survivor not listed" not in said
    assert "normalize_axis" not in said


@pytest.mark.parametrize(
    ("file", "before", "after", "part", "words"),
    [
        (
            "checks/test_all.py",
            '@exercise("duration")',
            '@exercise("broadcast")',
            "stubs",
            "duration: no check fails",
        ),
        ("checks/test_all.py", "(3, 4))", "(3, 5))", "reference", "seed 1: broadcast [wrong]"),
        ("alternatives/second.py", "axes[axis]", "axes[axis] + 1", "alternatives", "second.py"),
        (
            "mutants/broadcast.py",
            "return ()",
            "import numpy as np\n    try:\n        return np.broadcast_shapes(*a[1:])\n"
            "    except ValueError:\n        raise ShapeError(str(a)) from None",
            "mutants",
            "broadcast.py passes",
        ),
        (
            "mutants/duration.py",
            "(*a):\n    return ()",
            "(seconds):\n    m, s = divmod(int(seconds), 60)\n    h, m = divmod(m, 60)\n"
            "    return f'{h}:{m:02d}:{s:02d}' if h else f'{m}:{s:02d}'",
            "mutants",
            "duration.py passes",
        ),
        (  # right, and slower than a generated mutant may be
            "mutants/duration.py",
            "(*a):\n    return ()",
            "(seconds):\n    from time import sleep\n    sleep(0.3)\n    m, s = divmod(int(seconds), 60)\n"
            "    h, m = divmod(m, 60)\n    return f'{h}:{m:02d}:{s:02d}' if h else f'{m}:{s:02d}'",
            "mutants",
            "duration.py passes",
        ),
        (
            "checks/test_all.py",
            '(bool_)", bool_',
            "(bool_)\", normalize_axis('x', 0, 1) or bool_",
            "later",
            "",
        ),
        (
            "checks/test_all.py",
            "def test_axis():",
            "def test_axis():\n    result_type(np.dtype('int8'))",
            "later",
            "",
        ),
        ("lesson.toml", '"b", "c"', '"b"', "form", "broadcast has 2 hints"),
        (
            "alternatives/first.py",
            "def duration",
            "def other",
            "form",
            "group duration (duration) has no two",
        ),
        (
            "mutants/duration.py",
            "def duration",
            "def broadcast",
            "form",
            "duration has no hand-written mutant",
        ),
        ("README.md", "print(x + 1)", "print(x + 2)", "readme", "printed '5"),
        ("README.md", "x = 3", "x = y", "readme", "NameError"),
        ("README.md", "word " * 90, "word ", "readme", "words; 800 to 2500"),
        ("README.md", "## In production", "## Outside", "readme", "In production"),
        (
            "README.md",
            "### `duration`",
            "### `durations`",
            "readme",
            "no heading of level 3 names `duration`",
        ),
        ("README.md", "```text", "```sh\ntito status --nonsense\n```\n\n```text", "readme", "nonsense"),
        ("README.md", "# 01 Shapes", "# Shapes", "readme", "first line"),
        ("README.md", "Text.", "![A](figures/a.svg)", "readme", "figures/a.svg is not there"),
    ],
)
def test_each_defect_is_named(
    lesson: Path, file: str, before: str, after: str, part: str, words: str
) -> None:
    path = lesson / file
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    code, said = _gate(lesson, "--only", part)
    if part == "later" and "normalize_axis" in after:
        assert code == 0  # an earlier exercise may be used
        return
    assert code == 1
    assert f"{part}: PROBLEM" in said
    assert words in said


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("open('b.svg', 'w')", "other pictures than are there: ['a.svg', 'b.svg']"),
        ("open('a.svg', 'w'); 1 / 0", "ZeroDivisionError"),
        ("open('a.svg', 'w')", ""),
    ],
)
def test_pictures_are_those_that_the_program_draws(lesson: Path, program: str, words: str) -> None:
    figures = lesson / "figures"
    figures.mkdir()
    (figures / "a.svg").write_text("<svg/>", encoding="utf-8")
    (figures / "draw.py").write_text(program + "\n", encoding="utf-8")
    code, said = _gate(lesson, "--only", "readme")
    assert code == (1 if words else 0)
    assert words in said
    assert [path.name for path in figures.glob("*.svg")] == ["a.svg"]


def test_a_constant_that_passes_is_a_defect(lesson: Path) -> None:
    path = lesson / "checks" / "test_all.py"
    text = path.read_text(encoding="utf-8")
    begin = text.index("    expect.raises(\"require_float('x', f4, f8)")
    path.write_text(text[:begin], encoding="utf-8")
    code, said = _gate(lesson, "--only", "empty")
    assert code == 1
    assert "require_float passes with a body of `return None`" in said


def drawn(seed: int, node: str) -> int:
    """What a check of this name draws first of two numbers."""
    return int(np.random.default_rng([seed, zlib.crc32(node.encode())]).integers(2))


def test_a_wrong_answer_that_passes_by_luck_is_tried_on_other_seeds(lesson: Path) -> None:
    path = lesson / "checks" / "test_all.py"
    text = path.read_text(encoding="utf-8")
    begin, end = text.index('    expect.equal("[duration(s) for s in (0'), text.index('@exercise("require')
    drawing = "    if rng.integers(2):\n        expect.equal('duration(60)', '1:00')\n\n\n"
    text = text[:begin] + drawing + text[end:]
    node = next(n for n in map("test_duration_{}".format, range(99)) if drawn(1, n) < drawn(2, n))
    path.write_text(text.replace("test_duration()", f"{node}(rng)"), encoding="utf-8")
    wrong = '"""duration gives nothing."""\ndef duration(seconds):\n    return ()\n'
    (lesson / "mutants" / "duration.py").write_text(wrong, encoding="utf-8")
    lucky = next(seed for seed in range(3, 99) if not drawn(seed, node))
    code, said = _gate(lesson, "--only", "mutants", "--seed", str(lucky))
    assert "duration is caught on some seeds only: duration.py" in said
    assert (code, f"seed {lucky}; 0 problems" in said) == (0, True)


def test_what_cannot_be_asked_for(lesson: Path) -> None:
    code, said = _gate(lesson, "--only", "nothing")
    assert (code, "no part of the gate: nothing" in said) == (2, True)
    code, said = _gate(lesson, "07")
    assert (code, said) == (1, "gate: there is no lesson 07; they are 01 to 01\n")


# ---------------------------------------------------------------- mutants


def _exercise(name: str, module: str = "tinytorch.ops.spec") -> Exercise:
    return Exercise(module, name, 1, name, (), "01")


def test_generated_mutants_differ_and_leave_the_words_of_errors_alone() -> None:
    mutants = gate_mutants.generated(_exercise("normalize_axis"))
    assert len(mutants) == len({m.text for m in mutants}) == len({m.change for m in mutants})
    assert len(mutants) > 8
    assert not any("XX" in m.text or "raise ShapeError(None)" in m.text for m in mutants)
    assert any(">=" in m.change or "<=" in m.change for m in mutants)


def test_constant_answers_keep_the_signature() -> None:
    answers = list(gate_mutants.constant_answers(_exercise("MatMul.forward", "tinytorch.ops.matmul")))
    assert [a.change for a in answers] == [
        f"return {value}" for value in ("None", "0", "1.0", "True", "''", "()")
    ]
    assert answers[0].text.startswith("class MatMul:\n    def forward(self, a, b):\n        return None")


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ('"""Text."""\ndef normalize_axis(op, axis, ndim):\n    return 0\n', True),
        ("def normalize_axis(op: str, axis: int, ndim: int) -> int:\n    return 0\n", True),
        ("def normalize_axis(op, axis, ndim=1):\n    return 0\n", False),
        ("def normalize_axis(*given):\n    return 0\n", False),
        ("import math\ndef normalize_axis(op, axis, ndim):\n    return 0\n", False),
        ("@cache\ndef normalize_axis(op, axis, ndim):\n    return 0\n", False),
    ],
)
def test_a_wrong_answer_stands_alone_if_it_is_called_as_the_reference_is(
    tmp_path: Path, text: str, alone: bool
) -> None:
    path = tmp_path / "zero.py"
    path.write_text(text, encoding="utf-8")
    found = gate_mutants.written(_exercise("normalize_axis"), path)
    assert (found.change, found.part, found.text, found.alone) == ("zero.py", "mutants", text, alone)


def test_a_wrong_method_stands_alone_in_its_class(tmp_path: Path) -> None:
    path = tmp_path / "zero.py"
    method = "class Spec:\n    def nbytes(self):\n        return 0\n"
    for text, alone in ((method, True), (method + "    more = 1\n", False)):
        path.write_text(text, encoding="utf-8")
        assert gate_mutants.written(_exercise("Spec.nbytes"), path).alone is alone


def test_an_exercise_that_is_not_there() -> None:
    with pytest.raises(LearnError, match="no function of that name"):
        gate_mutants.plain_function(_exercise("nothing"))


def test_survivors_need_a_reason(lesson: Path) -> None:
    path = lesson / "mutants" / "survivors.toml"
    read: Lesson = read_lesson(lesson)
    assert gate_mutants.survivors(read) == []
    path.write_text('[[survivor]]\nexercise = "f"\nchange = "a -> b"\nreason = " "\n', encoding="utf-8")
    with pytest.raises(LearnError, match="a survivor has no reason"):
        gate_mutants.survivors(read)
    path.write_text('[[survivor]]\nexercise = "f"\n', encoding="utf-8")
    with pytest.raises(LearnError, match="change"):
        gate_mutants.survivors(read)


def test_lines_of_an_exercise_are_those_of_its_body() -> None:
    assert gate_mutants.lines_of(_exercise("Spec.nbytes")) == 1
    assert not is_stub(gate_mutants.plain_function(_exercise("Spec.nbytes")))
