"""Fusion, dead code and equal calls: results stay, each call is made once, and before it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acceleration.random_programs import RandomProgram, programs
from tinytorch import Tensor, no_grad
from tinytorch.acceleration.blockwise import BLOCK, in_blocks
from tinytorch.acceleration.fused import Fused, parts
from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.interpret import interpret, run_call
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.passes.common import merge_equal
from tinytorch.acceleration.passes.dead import remove_dead
from tinytorch.acceleration.passes.fuse import fuse, fuse_pools, is_view
from tinytorch.acceleration.passes.pipeline import PASSES
from tinytorch.acceleration.trace import trace
from tinytorch.models import CNN, MLP
from tinytorch.nn import functional
from tinytorch.ops.spec import Array

X = np.linspace(-1, 1, 9, dtype=np.float32).reshape(3, 3)


def graph_of(function: Callable[..., Any], *inputs: Array) -> Graph:
    with no_grad():
        traced = trace(function, [Tensor(a) for a in inputs])
    assert not traced.refusal, traced.refusal
    return traced.graph


def ops(graph: Graph) -> list[list[str]]:
    """The names of the ops of each call, views left out."""
    return [[one.op.name for one in parts(call)] for call in graph.calls if not is_view(call)]


def values(graph: Graph, inputs: list[Array]) -> list[Array]:
    """Outputs, and what states become, of a run on copies of the states; fused calls one by one."""
    known: dict[int, Array] = {v: t._array.copy() for v, t in graph.states.items()}
    known |= {**graph.constants, **dict(zip(graph.inputs, inputs, strict=True))}
    for call in graph.prologue:
        run_call(call, known)
    for call in graph.calls:
        _run(call, known)
    return [known[v].copy() for v in (*graph.outputs, *graph.updates.values())]


def _run(call: Call, known: dict[int, Array]) -> None:
    if not isinstance(call.op, Fused):
        run_call(call, known)
        return
    inner = {v: known[v] for v in call.inputs}
    for one in call.op.calls:
        _run(one, inner)
    known.update({v: inner[v] for v in call.outputs})


def same(found: list[Array], expected: list[Array]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- any program


def sound(graph: Graph) -> None:
    """Each value is made once, before it is read, and each result is made."""
    known = {*graph.inputs, *graph.states, *graph.constants}
    known.update(v for call in graph.prologue for v in call.made)
    for call in graph.calls:
        assert known.issuperset(call.inputs), f"{call.op.name} reads what is not there yet"
        assert known.isdisjoint(call.made), f"{call.op.name} makes again what is there"
        known.update(call.made)
    assert known.issuperset(graph.results())


def whole(before: Graph, after: Graph) -> None:
    """The calls of one graph are those of the other, each once."""
    made = [one.made for call in after.calls for one in parts(call)]
    assert sorted(made) == sorted(call.made for call in before.calls)


@given(programs())
@settings(max_examples=60)
def test_any_program_is_fused_right(program: RandomProgram) -> None:
    states = program.fresh_states()
    with no_grad():
        program.function(states)(*map(Tensor, program.inputs))
        traced = trace(program.function(states), [Tensor(a) for a in program.inputs])
    if traced.refusal:
        return
    for one in (remove_dead, merge_equal, fuse):
        after = one(traced.graph)
        sound(after)
        with np.errstate(all="ignore"):
            same(values(after, program.inputs), values(traced.graph, program.inputs))
    whole(traced.graph, fuse(traced.graph))


@pytest.mark.parametrize("model", [MLP((3, 4, 2)), CNN(image_size=8)])
def test_models_stay_what_they_were(model: Any) -> None:
    x = np.random.default_rng(0).standard_normal(model.example_input.shape).astype(np.float32)
    graph = graph_of(model.eval(), x)
    for number in range(1, len(PASSES) + 1):
        after = optimise(graph, PASSES[:number])
        sound(after)
        same(values(after, [x]), values(graph, [x]))


# ---------------------------------------------------------------- what joins, and what does not


@pytest.mark.parametrize(
    ("function", "kernels"),
    [
        (lambda x: (x * 2.0).exp() + x, [["mul", "exp", "add"]]),
        (lambda x: (lambda a: a + a.exp())(x.relu()), [["relu", "exp", "add"]]),
        (lambda x: (x @ x + 1.0).relu() + x, [["matmul", "add", "relu", "add"]]),
        (lambda x: (x @ x) + (x.T @ x), [["matmul"], ["matmul", "add"]]),
        (lambda x: (x * x).sum(1), [["mul", "sum"]]),
        (lambda x: (lambda a: (a.sum(1), a))(x * x), [["mul"], ["sum"]]),
        (lambda x: (x * x).sum(0) + x, [["mul", "sum"], ["add"]]),
        (lambda x: (lambda a: a.T.exp() + a)(x.abs()), [["abs"], ["exp", "add"]]),
        (lambda x: (lambda a: a.sum() * a)(x.abs()), [["abs"], ["sum"], ["mul"]]),
    ],
)
def test_what_becomes_one_kernel(function: Callable[..., Any], kernels: list[list[str]]) -> None:
    graph = graph_of(function, X)
    after = fuse(graph)
    assert ops(after) == kernels
    same(values(after, [X]), values(graph, [X]))


def test_an_operand_of_two_ways_is_taken_once() -> None:
    graph = fuse(graph_of(lambda x: (lambda a: (a + a.exp(), a))(x * 2.0), X))
    (call,) = graph.calls
    assert len(parts(call)) == 3
    assert len(set(call.outputs)) == len(call.outputs) == 2


@pytest.mark.parametrize("x", [X, np.float32(1.5)])
def test_nothing_looks_at_what_its_own_kernel_makes(x: Array) -> None:
    graph = graph_of(lambda x: (lambda a: a.permute(range(a.ndim)[::-1]).exp() + a)(x.exp()), np.asarray(x))
    after = fuse(graph)
    sound(after)
    assert len(ops(after)) == 2
    same(values(after, [np.asarray(x)]), values(graph, [np.asarray(x)]))


def test_a_pool_goes_behind_its_convolution() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    w = Tensor(rng.standard_normal((4, 3, 3, 3)).astype(np.float32))
    pooled = lambda x: functional.max_pool2d(functional.conv2d(x, w, padding=1).relu(), 2)  # noqa: E731
    graph = graph_of(pooled, x)
    after = fuse_pools(fuse(graph))
    assert ops(after) == [["conv2d", "relu", "maxpool2d"]]
    same(values(after, [x]), values(graph, [x]))
    both = lambda x: (lambda c: (functional.max_pool2d(c, 2), c))(functional.conv2d(x, w).relu())  # noqa: E731
    assert ops(fuse_pools(fuse(graph_of(both, x)))) == [["conv2d", "relu"], ["maxpool2d"]]


# ---------------------------------------------------------------- a chain on NumPy


@given(st.integers(1, 9), st.integers(0, 5), st.integers(1, 40))
def test_blocks_give_what_the_whole_gives(rows: int, width: int, block: int) -> None:
    rng = np.random.default_rng(rows)
    x, y, b = rng.normal(size=(rows, width)), rng.normal(size=(1, width)), rng.normal(size=width)
    one, two = np.full_like(x, np.nan), np.full_like(x, np.nan)
    largest = []

    def kernel(x: Array, y: Array, b: Array) -> list[Array]:
        largest.append(x.size)
        return [x * y + b, x - b]

    in_blocks(kernel, [x, y, b], [one, two], block)
    np.testing.assert_array_equal(one, x * y + b)
    np.testing.assert_array_equal(two, x - b)
    assert max(largest) <= max(block, width)


def test_a_fused_chain_never_makes_a_whole_array_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((64, BLOCK // 8)).astype(np.float32)
    graph = fuse(graph_of(lambda x: ((x + 1.0) * x).tanh(), x))
    (call,) = graph.calls
    seen: list[int] = []

    def watched(call: Call, known: dict[int, Array]) -> None:
        run_call(call, known)
        seen.append(known[call.outputs[0]].size)

    monkeypatch.setattr("tinytorch.acceleration.fused.run_call", watched)
    (out,) = interpret(graph, [x])
    assert len(parts(call)) * 8 == len(seen)
    assert max(seen) == BLOCK
    np.testing.assert_allclose(out, np.tanh((x + 1) * x), rtol=1e-5, atol=1e-6)


def test_a_fused_number_and_a_product_run_whole() -> None:
    cases: list[tuple[Callable[[Tensor], Tensor], Array]] = [
        (lambda x: (x + 1.0).exp(), np.array(0.5, np.float32)),
        (lambda x: (x @ x).relu(), X),
    ]
    for function, x in cases:
        (found,) = interpret(fuse(graph_of(function, x)), [x])
        np.testing.assert_allclose(found, function(Tensor(x)).numpy(), rtol=1e-6)
