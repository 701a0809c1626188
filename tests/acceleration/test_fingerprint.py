"""A fingerprint stands for one program: whatever passes and planner made it, equal ones are the same code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acceleration.random_programs import RandomProgram, programs
from tinytorch import Tensor, no_grad
from tinytorch.acceleration import memory
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.memory import Life, rounded
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.passes.pipeline import PASSES
from tinytorch.acceleration.trace import trace
from tinytorch.ops.softmax import softmax
from tinytorch.ops.spec import Array

pytest.importorskip("llvmlite")
from tinytorch.acceleration.native.layout import Layout
from tinytorch.acceleration.native.lower import lower
from tinytorch.acceleration.native.module import emit_module

Planner = Callable[[Sequence[Life]], tuple[list[int], int]]


def one_behind_the_other(lives: Sequence[Life]) -> tuple[list[int], int]:
    """A plan in which nothing is shared."""
    ends = np.cumsum([0, *(rounded(life.nbytes) for life in lives)]).tolist()
    return ends[:-1], ends[-1]


def from_the_end(lives: Sequence[Life]) -> tuple[list[int], int]:
    """The usual plan, the other way up."""
    offsets, total = memory.place_buffers(lives)
    return [total - offset - rounded(life.nbytes) for life, offset in zip(lives, offsets, strict=True)], total


PLANNERS: list[Planner] = [memory.place_buffers, one_behind_the_other, from_the_end]
WITHOUT = ("", "fuse", "merge_equal", "sink_reshapes", "update_early")


def layouts(graph: Graph) -> list[tuple[str, str]]:
    """Fingerprint and code of the graph's programs by several compilers."""
    found = []
    for left_out in WITHOUT:
        lowered = lower(optimise(graph, [one for one in PASSES if one.__name__ != left_out]))
        for planner in PLANNERS:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(
                    "tinytorch.acceleration.native.layout.plan_memory",
                    lambda lives, planner=planner: planner(lives),
                )
                layout = Layout(lowered)
            found.append((layout.fingerprint(), str(emit_module(layout))))
    return found


def graph_of(function: Callable[..., Any], *inputs: Array) -> Graph:
    with no_grad():
        return trace(function, [Tensor(a) for a in inputs]).graph


KNOWN: dict[str, str] = {}
"""The code of each fingerprint, over all programs of all tests of this file."""


def remember(graph: Graph) -> None:
    for fingerprint, code in layouts(graph):
        assert KNOWN.setdefault(fingerprint, code) == code


@given(programs(most=8))
@settings(max_examples=30)
def test_equal_fingerprints_are_equal_code(program: RandomProgram) -> None:
    states = program.fresh_states()
    with no_grad():
        program.function(states)(*map(Tensor, program.inputs))
        traced = trace(program.function(states), [Tensor(a) for a in program.inputs])
    if not traced.refusal:
        remember(traced.graph)


SIMILAR: list[Callable[..., Any]] = [
    lambda x, y: x - y,
    lambda x, y: y - x,
    lambda x, y: (x - y).exp(),
    lambda x, y: (y - x).exp(),
    lambda x, y: (x - y) * (y - x),
    lambda x, y: (x - y) * (x - y),
    lambda x, y: x.sum(0) + y.sum(1),
    lambda x, y: x.sum(1) + y.sum(1),
    lambda x, y: x.sum(1) + x.sum(1),
    lambda x, y: (x @ y).relu() + x,
    lambda x, y: (y @ x).relu() + x,
    lambda x, y: (x @ y.T).relu() + x,
    lambda x, y: (x.T @ y).relu() + x,
    lambda x, y: (x @ y).relu() + x.T,
    lambda x, y: x.clip(-1.0, 1.0) + y,
    lambda x, y: x.clip(-1.0, 2.0) + y,
    lambda x, y: x[::-1] + y,
    lambda x, y: x[:, ::-1] + y,
]


def test_programs_that_look_alike_are_told_apart() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 4, 4)).astype(np.float32)
    for function in SIMILAR:
        remember(graph_of(function, x, y))


@given(st.integers(3, 6))
@settings(max_examples=4)
def test_another_plan_is_another_program(depth: int) -> None:
    x = np.ones((8, 8), np.float32)

    def function(x: Tensor) -> Tensor:
        for _ in range(depth):
            x = softmax(x @ x)
        return x

    usual, apart, turned = [fingerprint for fingerprint, _ in layouts(graph_of(function, x))[:3]]
    assert usual != apart
    assert apart != turned
