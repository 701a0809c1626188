"""Optimizer.zero_grad and step, and the update rule of SGD."""

import numpy as np
import pytest
from helpers import Notes, arrays_after, parameter, rows, updates_of

from tinytorch.errors import ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.context import state
from tinytorch.ops.update import SGDUpdate
from tinytorch.optim import SGD

both = pytest.mark.parametrize("dtype", [np.float64, np.float32])


# ---------------------------------------------------------------- zero_grad


@exercise("Optimizer.zero_grad")
def test_every_gradient_is_forgotten():
    a, b, c = parameter([1.0, 2.0], [3.0, 4.0]), parameter([5.0], [6.0]), parameter([7.0])
    optimizer = SGD([{"params": [a, b]}, {"params": [c], "lr": 0.5}])
    expect.value("optimizer.zero_grad()")
    expect.equal("[p.grad is None for p in (a, b, c)]", [True, True, True])
    expect.close("a", [1.0, 2.0])


@exercise("Optimizer.zero_grad")
def test_groups_after_the_first_count_too():
    a, b = parameter([1.0], [3.0]), parameter([5.0], [6.0])
    optimizer = SGD([{"params": [a]}, {"params": [b]}])
    expect.value("optimizer.zero_grad()")
    expect.true("b.grad is None", "the gradients of the second group are forgotten as well")


# ---------------------------------------------------------------- SGDUpdate.update


@both
@exercise("SGDUpdate.update")
def test_plain(rng, dtype):
    p, g = rows(rng, 2, dtype)
    expect.close("arrays_after(SGDUpdate(1).update, 0.25, p, g)", (p - 0.25 * g, g), atol=1e-5)


@both
@exercise("SGDUpdate.update")
def test_weight_decay(rng, dtype):
    p, g = rows(rng, 2, dtype)
    want = p - 0.25 * (g + 0.5 * p)
    expect.close("arrays_after(SGDUpdate(1, weight_decay=0.5).update, 0.25, p, g)", (want, g), atol=1e-5)


@both
@exercise("SGDUpdate.update")
def test_momentum(rng, dtype):
    p, g, b = rows(rng, 3, dtype)
    buffer = 0.75 * b + g
    call = "arrays_after(SGDUpdate(1, momentum=0.75).update, 0.25, p, g, b)"
    expect.close(call, (p - 0.25 * buffer, g, buffer), atol=1e-5)


@exercise("SGDUpdate.update")
def test_momentum_and_weight_decay(rng):
    p, g, b = rows(rng, 3)
    buffer = 0.75 * b + g + 0.5 * p
    call = "arrays_after(SGDUpdate(1, momentum=0.75, weight_decay=0.5).update, 0.25, p, g, b)"
    expect.close(call, (p - 0.25 * buffer, g, buffer))


@both
@exercise("SGDUpdate.update")
def test_nesterov(rng, dtype):
    p, g, b = rows(rng, 3, dtype)
    buffer = 0.75 * b + g
    call = "arrays_after(SGDUpdate(1, momentum=0.75, nesterov=True).update, 0.25, p, g, b)"
    expect.close(call, (p - 0.25 * (g + 0.75 * buffer), g, buffer), atol=1e-5)


@exercise("SGDUpdate.update")
def test_nesterov_and_weight_decay(rng):
    p, g, b = rows(rng, 3)
    d = g + 0.5 * p
    buffer = 0.75 * b + d
    call = "arrays_after(SGDUpdate(1, momentum=0.75, nesterov=True, weight_decay=0.5).update, 0.25, p, g, b)"
    expect.close(call, (p - 0.25 * (d + 0.75 * buffer), g, buffer))


# ---------------------------------------------------------------- step


@exercise("Optimizer.step")
def test_each_group_is_updated_once_with_what_has_a_gradient():
    some = [parameter([float(i)], None if i == 1 else [1.0]) for i in range(5)]
    optimizer = Notes([{"params": some[:3]}, {"params": some[3:]}])
    expect.equal("updates_of(optimizer)", [(0, [0, 2], True), (1, [3, 4], True)])


@exercise("Optimizer.step")
def test_a_group_without_gradients_is_passed_over():
    optimizer = Notes([{"params": [parameter([1.0])]}, {"params": [parameter([2.0], [1.0])]}])
    expect.equal("updates_of(optimizer)", [(1, [1], True)])


@exercise("Optimizer.step")
def test_state_starts_with_the_first_gradient_and_only_once():
    early, late = parameter([1.0], [1.0]), parameter([2.0])
    optimizer = Notes([{"params": [early]}, {"params": [late]}])
    expect.value("updates_of(optimizer)")
    expect.equal("optimizer.started", [(0, 0)])
    late.grad = early.grad
    expect.value("updates_of(optimizer)")
    expect.value("updates_of(optimizer)")
    expect.equal("optimizer.started", [(0, 0), (1, 1)])


@exercise("Optimizer.step")
def test_nothing_is_recorded():
    optimizer = Notes([parameter([1.0], [1.0])])
    expect.value("optimizer.step()")
    expect.equal("optimizer.recording", [False])
    expect.true("state().grad", "gradients are recorded again after the step")


@exercise("Optimizer.step")
def test_groups_keep_their_own_rates():
    a, b, idle = parameter([1.0, 2.0], [1.0, -1.0]), parameter([1.0], [2.0]), parameter([3.0])
    optimizer = SGD([{"params": [a, idle]}, {"params": [b], "lr": 0.5}], lr=0.1)
    expect.value("optimizer.step()")
    expect.close("a", [0.9, 2.1])
    expect.close("b", [0.0])
    expect.close("idle", [3.0])


@exercise("Optimizer.step")
def test_a_gradient_of_another_shape():
    p = parameter([1.0, 2.0], [1.0])
    optimizer = SGD([p], lr=0.1)
    expect.raises("optimizer.step()", ShapeError, "(2,)", "(1,)")
    expect.close("p", [1.0, 2.0])


@exercise("SGDUpdate.update", "Optimizer.step")
def test_three_steps_by_hand():
    p = parameter([1.0], [2.0])
    optimizer = SGD([p], lr=0.1, momentum=0.5)
    expect.value("optimizer.step()")
    expect.close("p", [0.8])  # buffer 2
    expect.value("optimizer.step()")
    expect.close("p", [0.5])  # buffer 0.5 * 2 + 2 = 3
    expect.value("optimizer.step()")
    expect.close("p", [0.15])  # buffer 0.5 * 3 + 2 = 3.5
