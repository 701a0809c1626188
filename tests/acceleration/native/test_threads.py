"""Programs on several threads: the same bits as on one, whoever else runs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import nn, optim
from tinytorch.acceleration.native import team
from tinytorch.acceleration.native.lower import lower
from tinytorch.acceleration.native.program import Program
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.trace import trace
from tinytorch.models import CNN, GPT, MLP
from tinytorch.nn import functional
from tinytorch.ops.base import clock
from tinytorch.ops.spec import Array


def step_of(model: nn.Module, optimizer: Callable[..., optim.Optimizer]) -> Callable[..., Any]:
    updates = optimizer(model.parameters(), lr=0.01)

    def step(x: tt.Tensor, y: tt.Tensor) -> tt.Tensor:
        updates.zero_grad()
        logits = model(x)
        loss = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), y)
        loss.backward()
        updates.step()
        return loss

    return step


def cases() -> dict[str, tuple[Callable[..., Any], tuple[tt.Tensor, ...]]]:
    g = tt.Generator(3)
    gpt = {"vocab_size": 40, "context": 20, "width": 32, "layers": 1, "heads": 4, "generator": g}
    ids = g.randint(0, 40, (3, 20))
    images, labels = g.rand(5, 1, 12, 12), g.randint(0, 10, (5,))
    return {
        "mlp": (MLP((50, 70, 33), generator=g), (g.rand(33, 50),)),
        "cnn": (CNN(image_size=12, generator=g), (images,)),
        "cnn step": (step_of(CNN(image_size=12, generator=g), optim.SGD), (images, labels)),
        "gpt step": (step_of(GPT(dropout=0.1, **gpt), optim.AdamW), (ids, g.randint(0, 40, (60,)))),
    }


def run(program: Program, inputs: list[Array], states: dict[int, Array]) -> tuple[list[Array], list[Array]]:
    """The outputs of a run from these states, and what the states become."""
    for value, array in states.items():
        program.graph.states[value].assign_(array)
    outputs = program.run(inputs, clock.now)
    return outputs, [program.graph.states[v].numpy() for v in states]


@pytest.mark.parametrize("name", cases())
def test_any_number_of_threads_gives_the_same_bits(name: str) -> None:
    function, inputs = cases()[name]
    if "step" in name:
        function(*inputs)
        traced = trace(function, inputs)
    else:
        with tt.no_grad():
            traced = trace(function, inputs)
    assert not traced.refusal
    lowered = lower(optimise(traced.graph))
    arrays = [t.numpy() for t in inputs]
    states = {v: t.numpy() for v, t in lowered.graph.states.items()}
    expected = run(Program(lowered, False, 1), arrays, states)
    for count in (2, 3):
        program = Program(lowered, False, count)
        for _ in range(3):
            for found, wanted in zip(run(program, arrays, states), expected, strict=True):
                for a, b in zip(found, wanted, strict=True):
                    np.testing.assert_array_equal(a, b)


def test_a_refused_input_ends_all_threads() -> None:
    table = tt.Tensor(np.ones((4, 3), np.float32))
    with tt.no_grad():
        traced = trace(lambda ids: functional.embedding(ids, table) * 2.0, [tt.Tensor([[0, 1]])])
    program = Program(lower(optimise(traced.graph)), False, 3)
    for _ in range(100):
        with pytest.raises(tt.errors.ShapeError, match="id 9"):
            program.run([np.array([[0, 9]])], clock.now)
        (found,) = program.run([np.array([[3, 1]])], clock.now)
        np.testing.assert_array_equal(found, np.full((1, 2, 3), 2, np.float32))


def test_programs_of_several_callers_do_not_wait_for_each_other_forever() -> None:
    g = tt.Generator(1)
    programs = []
    for width in (40, 48):
        model, x = MLP((30, width, 20), generator=g), g.rand(17, 30)
        with tt.no_grad():
            traced = trace(model, [x])
            expected = model(x).numpy()
        programs.append((Program(lower(optimise(traced.graph)), False, 3), x.numpy(), expected))
    wrong: list[float] = []

    def work(program: Program, x: Array, expected: Array) -> None:
        for _ in range(50):
            (found,) = program.run([x], clock.now)
            if np.abs(found - expected).max() > 1e-5:
                wrong.append(float(np.abs(found - expected).max()))

    callers = [threading.Thread(target=work, args=one) for one in programs]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not any(caller.is_alive() for caller in callers)
    assert not wrong


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked there")
def test_a_forked_process_has_a_team_of_its_own() -> None:
    model, x = MLP((30, 40, 20), generator=tt.Generator(1)), tt.Generator(2).rand(17, 30)
    with tt.no_grad():
        program = Program(lower(optimise(trace(model, [x]).graph)), False, 2)
    (expected,) = program.run([x.numpy()], clock.now)
    child = os.fork()
    if not child:
        signal.alarm(60)  # a team of the parent's would never answer
        (found,) = program.run([x.numpy()], clock.now)
        os._exit(0 if np.array_equal(found, expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_small_programs_stay_on_one_thread() -> None:
    before = tt.get_num_threads()
    tt.set_num_threads(2)
    try:
        assert team.wanted(100, 100) == 1
        assert team.wanted(10**12, 0) == 2
        model, x = MLP((30, 40)), tt.zeros(2, 30)
        with tt.no_grad():
            program = Program(lower(optimise(trace(model, [x]).graph)), False)
        assert program.layout.threads == 1
        tt.set_num_threads(1)
        assert team.wanted(10**12, 0) == 1
    finally:
        tt.set_num_threads(before)
