"""Random programs: compiled they give what eager mode gives, call after call, with states and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tests.acceleration.random_programs import RandomProgram, differ, programs
from tinytorch.acceleration import compiled
from tinytorch.acceleration.interpret import interpret
from tinytorch.acceleration.native import layout
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.runner import Interpreted
from tinytorch.acceleration.trace import trace
from tinytorch.optim import SGD
from tinytorch.tensor import Tensor

FEW = settings(max_examples=40, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def small_buffers_are_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put even the smallest buffers into outputs not yet written, as large programs do with theirs."""
    monkeypatch.setattr(layout, "WORTH_LENDING", 1)


def agree(got: Sequence[Tensor], want: Sequence[Tensor], what: str, tolerance: float = 1e-4) -> None:
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        difference = differ(a, b, tolerance)
        assert not difference, f"{what} {i}: {difference}"


def tensors(arrays: Sequence[Any]) -> list[Tensor]:
    return [Tensor(array) for array in arrays]


@FEW
@given(programs(random=True))
def test_a_graph_and_its_passes(program: RandomProgram) -> None:
    a, b = program.fresh_states(), program.fresh_states()
    eager = program.function(a)
    tt.manual_seed(0)
    with tt.no_grad():
        found = trace(program.function(b), tensors(program.inputs))
        if found.refusal:
            assert "view" in found.refusal
            return
        graph = optimise(found.graph)
        tt.manual_seed(0)
        eager(*tensors(program.inputs))
        for round_ in range(2):
            arrays = program.other_inputs(round_)
            tt.manual_seed(round_)
            want = eager(*tensors(arrays))
            tt.manual_seed(round_)
            agree(tensors(interpret(graph, arrays)), want, f"call {round_}, result")
            agree(b, a, f"call {round_}, state")


@FEW
@given(programs(random=True))
@pytest.mark.parametrize("runner", [None, Interpreted], ids=["native", "numpy"])
def test_forward_with_states(runner: Any, program: RandomProgram) -> None:
    a, b = program.fresh_states(), program.fresh_states()
    eager, fast = program.function(a), tt.compile(program.function(b))
    with pytest.MonkeyPatch.context() as patch, tt.no_grad():
        if runner is not None:
            patch.setattr(compiled, "make_runner", runner)
        for round_ in range(3):
            arrays = program.other_inputs(round_)
            tt.manual_seed(round_)
            want = eager(*tensors(arrays))
            tt.manual_seed(round_)
            agree(fast(*tensors(arrays)), want, f"call {round_}, result")
            agree(b, a, f"call {round_}, state")


@FEW
@given(programs(changes=False, random=True), st.integers(0, 7))
def test_gradients_through_a_compiled_call(program: RandomProgram, wants: int) -> None:
    a, b = program.fresh_states(), program.fresh_states()
    for state in (*a, *b):
        state.requires_grad_()
    eager, fast = program.function(a), tt.compile(program.function(b))
    for round_ in range(3):
        sides = []
        for call, states in ((eager, a), (fast, b)):
            arrays = program.other_inputs(round_)
            given_ = [Tensor(x, requires_grad=bool(wants >> i & 1)) for i, x in enumerate(arrays)]
            tt.manual_seed(round_)
            outs = call(*given_)
            for i, out in enumerate(outs):
                if out.requires_grad:
                    cotangent = np.cos(np.arange(out.size) + i).reshape(out.shape).astype(out.dtype)
                    out.backward(Tensor(cotangent), retain_graph=True)
            sides.append((outs, [t.grad for t in (*given_, *states)]))
        (want, want_grads), (got, got_grads) = sides
        agree(got, want, f"call {round_}, result")
        assert [t.requires_grad for t in got] == [t.requires_grad for t in want]
        assert [g is None for g in got_grads] == [g is None for g in want_grads]
        present = [
            (g, w) for g, w in zip(got_grads, want_grads, strict=True) if g is not None and w is not None
        ]
        agree([g for g, _ in present], [w for _, w in present], f"call {round_}, gradient")


def stepping(forward: Callable[..., Any], states: Sequence[Tensor]) -> Callable[..., list[Tensor]]:
    """A training step of a random program."""
    optimizer = SGD(states, lr=0.01, momentum=0.5)

    def step(*inputs: Tensor) -> list[Tensor]:
        optimizer.zero_grad()
        outs = forward(*inputs)
        losses = [(out.to("float64") * 0.1).sum() for out in outs if out.requires_grad]
        if losses:
            tt.stack(losses).sum().backward()
            optimizer.step()
        return [out.detach() for out in outs]

    return step


@FEW
@given(programs(changes=False, random=True))
def test_training_steps(program: RandomProgram) -> None:
    if not program.states:
        return
    a, b = program.fresh_states(), program.fresh_states()
    for state in (*a, *b):
        state.requires_grad_()
    eager = stepping(program.function(a), a)
    step = tt.compile(stepping(program.function(b), b), keep_grads=True)
    for round_ in range(4):
        arrays = program.other_inputs(round_)
        tt.manual_seed(round_)
        want = eager(*tensors(arrays))
        tt.manual_seed(round_)
        agree(step(*tensors(arrays)), want, f"call {round_}, result")
        agree(b, a, f"call {round_}, state")
        grads = [(x.grad, y.grad) for x, y in zip(a, b, strict=True)]
        assert [x is None for x, _ in grads] == [y is None for _, y in grads]
        agree([y for _, y in grads if y is not None], [x for x, _ in grads if x is not None], "gradient")
