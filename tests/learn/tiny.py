"""A course of two small lessons and a workspace for it, for tests of the commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinytorch.learn.course import Lesson, course, read_course
from tinytorch.learn.stubs import paste, reference

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "from tinytorch.cli import main; main()"

SHAPES = """
title = "Shapes"
minutes = 30
summary = "Two functions and two methods on shapes."

[[exercise]]
name = "tinytorch.ops.spec:broadcast"
points = 2
hints = ["Line the shapes up at their ends.", "A size of 1 stretches.", "Collect the sizes but 1 in a set."]

[[exercise]]
name = "tinytorch.ops.spec:Spec.nbytes"
hints = ["How many bytes has one element?"]

[[exercise]]
name = "tinytorch.ops.matmul:MatMul.forward"

[[exercise]]
name = "tinytorch.ops.matmul:MatMul.flops"
"""
SHAPES_CHECKS = '''
"""What shapes must do."""
import numpy as np
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.errors import ShapeError
from tinytorch.ops.matmul import MatMul
from tinytorch.ops.spec import Spec, broadcast


@exercise("broadcast")
def test_two_shapes():
    expect.equal("broadcast('add', (3, 1), (4,))", (3, 4))


@exercise("broadcast")
def test_what_does_not_fit():
    expect.raises("broadcast('add', (3,), (4,))", ShapeError, "axis -1")


@exercise("Spec.nbytes")
def test_bytes():
    expect.equal("Spec((2, 3), np.dtype('float32')).nbytes", 24)


@exercise("MatMul.forward")
def test_product(rng):
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 5))
    expect.close("MatMul().forward(a, b)", np.einsum("ij,jk->ik", a, b))


@exercise("MatMul.flops")
def test_flops():
    a, b, out = (Spec(s, np.dtype("float32")) for s in ((3, 4), (4, 5), (3, 5)))
    expect.equal("MatMul().flops(out, a, b)", 120)
'''
LAYERS = """
title = "Layers"
minutes = 20
prerequisites = ["01"]
summary = "One method."

[[exercise]]
name = "tinytorch.ops.matmul:Linear.forward"
hints = ["Flatten the leading axes into rows."]
"""
LAYERS_CHECKS = '''
"""What Linear must do."""
import numpy as np
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.matmul import Linear


@exercise("Linear.forward")
def test_rows(rng):
    x, w, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 4)), rng.normal(size=5)
    expect.close("Linear().forward(x, w, b)", np.einsum("ijk,lk->ijl", x, w) + b)
'''


def write_course(folder: Path) -> Path:
    """Write the two lessons, 01 shapes and 02 layers, to a folder."""
    for name, toml, checks in (
        ("01_shapes", SHAPES, SHAPES_CHECKS),
        ("02_layers", LAYERS, LAYERS_CHECKS),
    ):
        lesson = folder / name
        (lesson / "checks").mkdir(parents=True)
        (lesson / "lesson.toml").write_text(toml, encoding="utf-8")
        (lesson / "checks" / "test_all.py").write_text(checks.lstrip(), encoding="utf-8")
        (lesson / "README.md").write_text(f"# {name}\n", encoding="utf-8")
    return folder


@contextmanager
def in_course(lessons: Path, workspace: Path) -> Iterator[None]:
    """For this process: the course is the one in `lessons`, the current folder the workspace."""
    before, folder = os.environ.get("TITO_LESSONS"), Path.cwd()
    os.environ["TITO_LESSONS"] = str(lessons)
    os.chdir(workspace)
    course.cache_clear()
    try:
        yield
    finally:
        os.chdir(folder)
        course.cache_clear()
        if before is None:
            del os.environ["TITO_LESSONS"]
        else:
            os.environ["TITO_LESSONS"] = before


def lesson_of(lessons: Path, number: int = 0) -> Lesson:
    """One of the two lessons."""
    return read_course(lessons).lessons[number]


def solve(path: Path, lesson: Lesson, *names: str) -> None:
    """Put the reference of exercises (default: all) into a work file."""
    text = path.read_text(encoding="utf-8")
    for exercise in lesson.exercises:
        if not names or exercise.name in names:
            text = paste(text, exercise, reference(exercise))
    path.write_text(text, encoding="utf-8", newline="")


def tito(lessons: Path | None, workspace: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and output, both streams, of a command run as a program; by default of the real course."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    course_of = {} if lessons is None else {"TITO_LESSONS": str(lessons)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=workspace,
        env={**os.environ, **course_of, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode(environment.get("PYTHONIOENCODING", "utf-8"))
