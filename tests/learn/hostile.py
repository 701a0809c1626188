"""A small course, an honest submission to it, and hostile ones: what the tests of `tito grade` share."""

from __future__ import annotations

import textwrap
from pathlib import Path

LESSON = """
title = "First"
minutes = 10
summary = "Three ops."

[[exercise]]
name = "tinytorch.ops.arithmetic:Add.forward"
points = 1

[[exercise]]
name = "tinytorch.ops.arithmetic:Sub.forward"
points = 2

[[exercise]]
name = "tinytorch.ops.matmul:MatMul.forward"
points = 3
"""
CHECKS = '''
import numpy as np
import pytest
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.arithmetic import Add, Sub
from tinytorch.ops.matmul import MatMul


@exercise("Add.forward")
@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_sum(rng, shape):
    """The sum."""
    a, b = rng.normal(size=shape), rng.normal(size=shape)
    expect.close("Add().forward(a, b)", np.add(a, b))


@exercise("Sub.forward")
def test_difference(rng):
    a, b = rng.normal(size=(2, 3)), rng.normal(size=3)
    expect.close("Sub().forward(a, b)", np.subtract(a, b))
    expect.true("Sub().forward(a, b) is not a", "the result is a new array")


@exercise("MatMul.forward")
def test_product(rng):
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 5))
    expect.close("MatMul().forward(a, b)", np.einsum("ij,jk->ik", a, b))


@exercise("MatMul.forward")
def test_gradient(rng):
    expect.gradient("MatMul()", rng.normal(size=(2, 3)), rng.normal(size=(3, 2)))
'''
HIDDEN = """
import numpy as np
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.arithmetic import Add


@exercise("Add.forward")
def test_integers():
    a, b = np.array([1, 2]), np.array([3, 4])
    expect.equal("Add().forward(a, b)", np.array([4, 6]))
"""
SECOND = """
title = "Second"
minutes = 5
prerequisites = ["01"]
summary = "A rule."

[[exercise]]
name = "tinytorch.ops.arithmetic:Mul.forward"
points = 4
"""
SECOND_CHECKS = """
import numpy as np
from helpers import pair
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.arithmetic import Mul


@exercise("Mul.forward")
def test_rule(rng):
    a, b = pair(rng)
    expect.close("Mul().forward(a, b)", np.multiply(a, b))
    expect.raises("Mul().forward(None, a)", TypeError, "unsupported")
"""
HELPERS = """
def pair(rng):
    return rng.normal(size=3), rng.normal(size=3)
"""
HONEST = """
import numpy as np


class Add:
    def forward(self, a, b):
        return a + b


class Sub:
    def forward(self, a, b):
        return a + -b


class MatMul:
    def forward(self, a, b):
        return np.matmul(a, b)
"""
HONEST_SECOND = """
def product(a, b):
    return a * b


class Mul:
    def forward(self, a, b):
        return product(a, b)
"""


def write_course(folder: Path) -> Path:
    """Write the course into a folder and return it: TITO_LESSONS names it then."""
    files = {"01_first": (LESSON, CHECKS), "02_second": (SECOND, SECOND_CHECKS)}
    for name, (lesson, checks) in files.items():
        (folder / name / "checks").mkdir(parents=True)
        (folder / name / "lesson.toml").write_text(lesson)
        (folder / name / "checks" / "test_it.py").write_text(checks)
    (folder / "02_second" / "checks" / "helpers.py").write_text(HELPERS)
    return folder


def write_workspace(folder: Path, *works: str) -> Path:
    """Write a workspace with the work files of the lessons, in order."""
    (folder / "work").mkdir(parents=True)
    (folder / "tito.toml").write_text("version = 1\n")
    for name, text in zip(("01_first.py", "02_second.py"), works, strict=False):
        (folder / "work" / name).write_text(text)
    return folder


def add(body: str, before: str = "") -> str:
    """A work file whose first exercise has this body; a wrong answer but for what the body does."""
    inner = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
    head = f"import numpy as np\n{textwrap.dedent(before)}\n"
    return f"{head}\nclass Add:\n    def forward(self, a, b):\n{inner}\n"
