"""Tracing: which calls, states, constants and updates a function becomes, checked by running the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tests.acceleration.compile_helper import random
from tinytorch import nn
from tinytorch.acceleration.interpret import interpret
from tinytorch.acceleration.trace import Traced, trace
from tinytorch.models import MLP
from tinytorch.optim import SGD, Adam
from tinytorch.tensor import Tensor, from_numpy


def traced(function: Any, *args: Any, grad: bool = False) -> Traced:
    with tt.enable_grad() if grad else tt.no_grad():
        found = trace(function, args)
    assert not found.refusal, found.refusal
    return found


def names(found: Traced) -> list[str]:
    return [call.op.name for call in found.graph.calls]


def test_states_are_what_lives_on_and_constants_what_does_not() -> None:
    weight, hidden = random(3), random(3, seed=1)
    table = np.arange(3, dtype=np.float32)

    def function(x: Tensor) -> Tensor:
        return x * weight + 2.0 + Tensor([1.0, 2.0, 3.0]) * tt.ones(3) - from_numpy(table) * hidden

    graph = traced(function, random(3)).graph
    assert {id(t._array) for t in graph.states.values()} == {id(weight._array), id(hidden._array), id(table)}
    assert sorted(c.ndim for c in graph.constants.values()) == [0, 1, 1]
    x = random(3, seed=5)
    weight.assign_(weight * 2.0)
    table[:] = 7.0
    np.testing.assert_allclose(interpret(graph, [x.numpy()])[0], function(x).numpy(), rtol=1e-6)


def test_all_numbers_of_a_function_are_constants() -> None:
    graph = traced(lambda x: ((x * 2.0 + 1.0) ** 2 - 0.5) / 3.0, random(3)).graph
    assert not graph.states
    assert sorted(float(c) for c in graph.constants.values()) == [0.5, 1.0, 2.0, 2.0, 3.0]


def test_constants_under_gradients() -> None:
    found = traced(
        lambda x: ((x * 2.0 + 1.0) ** 3).sum() * Tensor([4.0]), random(3).requires_grad_(), grad=True
    )
    assert not found.graph.states
    assert found.roots == [0]
    assert len(found.wanted) == 1


def test_an_update_is_seen_with_its_value() -> None:
    state = random(3)

    def function(x: Tensor) -> Tensor:
        before = state * 1.0
        state.assign_(state + x)
        state.assign_(0.5, at=0)
        return before + state

    found = traced(function, random(3, seed=1))
    graph = found.graph
    assert list(graph.updates) == list(graph.states)
    start = state.numpy()
    x = random(3, seed=2).numpy()
    out = interpret(graph, [x])[0]
    want = start + x
    want[0] = 0.5
    np.testing.assert_allclose(state.numpy(), want)
    np.testing.assert_allclose(out, start + want, rtol=1e-6)


def test_what_an_op_gives_back_is_the_same_value() -> None:
    x = random(3, 4)
    found = traced(lambda x: x.contiguous().reshape(3, 4).to("float32") * 2.0, x)
    assert names(found) == ["mul"]
    assert names(traced(lambda x: x.T.contiguous(), x)) == ["permute", "contiguous"]


def test_a_detached_tensor_is_the_tensor_itself() -> None:
    weight = nn.Parameter(random(3))
    graph = traced(lambda x: x * weight.detach() + weight, random(3)).graph
    assert len(graph.states) == 1


def test_inputs_that_are_given_twice() -> None:
    x = random(3)
    found = traced(lambda a, b, c: a + b * c, x, x.detach(), x)
    assert len(found.graph.inputs) == 1
    assert found.positions == [0]
    assert found.arguments[0] is x
    assert len(found.arguments) == 2


def test_what_is_given_back_is_an_output_of_the_graph() -> None:
    weight = random(3)
    found = traced(lambda x: (weight, x * 2.0, x), random(3))
    x = random(3, seed=1).numpy()
    for got, want in zip(interpret(found.graph, [x]), (weight.numpy(), x * 2, x), strict=True):
        np.testing.assert_array_equal(got, want)
    assert len(found.outputs) == 1


def test_what_is_returned_twice_is_two_outputs_of_the_graph() -> None:
    def function(x: Tensor) -> Any:
        y = x * 2.0
        return y, [y, y.reshape(3)]

    found = traced(function, random(3))
    assert len(found.graph.outputs) == 3
    assert len(found.outputs) == 1


def test_a_training_step_gives_states_updates_and_gradients() -> None:
    model = MLP((4, 5, 2), generator=tt.Generator(1))
    optimizer = Adam(model.parameters())

    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    x = random(3, 4)
    first = traced(step, x, grad=True)
    assert {id(t) for t in first.absent} == {id(p) for p in model.parameters()}
    second = traced(step, x, grad=True)
    assert not second.absent
    assert not second.read
    assert len(second.gradients) == 4
    assert len(second.graph.updates) == 4 * 4
    assert len(second.graph.outputs) == 1 + 4
    assert not second.roots
    assert all(call.backward for call in second.graph.calls if "grad" in call.op.name)


def test_gradients_of_before_are_inputs_where_they_are_read() -> None:
    weight, other = nn.Parameter(random(3)), nn.Parameter(random(3, seed=1))
    optimizer = SGD([weight, other], lr=1.0)
    weight.grad = random(3, seed=2)

    def step(x: Tensor) -> None:
        (weight * x).sum().backward()
        optimizer.step()

    found = traced(step, random(3), grad=True)
    assert [id(t) for t in found.read] == [id(weight)]
    assert [id(t) for t in found.absent] == [id(other)]
    assert len(found.graph.inputs) == 2


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x * x.sum().item(), "item gives what sum made to Python"),
        (lambda x: x.assign_(x * 2.0), "in place"),
        (lambda x: Tensor(x.numpy()), "numpy gives an argument to Python"),
    ],
)
def test_reasons(function: Any, reason: str) -> None:
    with tt.no_grad():
        found = trace(function, [random(3)])
    assert reason in found.refusal


def test_the_result_of_a_trace_is_that_of_eager_mode() -> None:
    model = MLP((4, 3))
    x = random(2, 4).requires_grad_()
    hidden = x * 2.0
    found = traced(lambda h: (model(h), h), hidden, grad=True)
    assert found.result[1] is hidden
    found.result[0].sum().backward()
    assert x.grad is not None
    got, x.grad = x.grad, None
    model(x * 2.0).sum().backward()
    np.testing.assert_allclose(got.numpy(), x.grad.numpy(), rtol=1e-6)


def test_a_joint_graph_gives_gradients_for_cotangents() -> None:
    weight = nn.Parameter(random(4, 3))

    def function(x: Tensor) -> Any:
        h = (x @ weight).tanh()
        return h, (h * x.sum()).sum()

    x = random(2, 4, seed=1).requires_grad_()
    found = traced(function, x, grad=True)
    cotangents = random(2, 3, seed=2), Tensor(np.float32(0.7))
    arrays = [x.numpy(), *(c.numpy() for c in cotangents)]
    outputs = dict(zip(map(id, found.wanted), interpret(found.graph, arrays)[2:], strict=True))
    first, second = function(x)
    want = [
        a.numpy() + b.numpy()
        for a, b in zip(
            tt.grad(first, [x, weight], cotangents[0], retain_graph=True),
            tt.grad(second, [x, weight], cotangents[1]),
            strict=True,
        )
        if a is not None and b is not None
    ]
    for tensor, value in zip((x, weight), want, strict=True):
        np.testing.assert_allclose(outputs[id(tensor)], value, rtol=1e-4, atol=1e-5)


def test_the_graph_ends_where_an_argument_came_from() -> None:
    first, second = nn.Parameter(random(3)), nn.Parameter(random(3, seed=1))
    hidden = first.exp()
    found = traced(lambda h: (h * second).sum() + first.sum(), hidden, grad=True)
    assert {id(t) for t in found.wanted} == {id(hidden), id(first), id(second)}
    assert "exp" not in names(found)
