"""Adam: moments, weight decay, the corrected step, and the state it needs."""

import numpy as np
import pytest
from helpers import arrays_after, parameter, rows

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.update import AdamUpdate
from tinytorch.optim import Adam, AdamW
from tinytorch.tensor import Tensor

both = pytest.mark.parametrize("dtype", [np.float64, np.float32])


# ---------------------------------------------------------------- moments


@both
@exercise("AdamUpdate.moments")
def test_moments(rng, dtype):
    g, m, v = rows(rng, 3, dtype)
    want = (g, 0.75 * m + 0.25 * g, 0.875 * v + 0.125 * g**2)
    expect.close("arrays_after(AdamUpdate(1, betas=(0.75, 0.875)).moments, g, m, v)", want, atol=1e-5)


@exercise("AdamUpdate.moments")
def test_moments_by_default(rng):
    g, m, v = rows(rng, 3)
    want = (g, 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g)
    expect.close("arrays_after(AdamUpdate(1).moments, g, m, v)", want, rtol=1e-9)


@exercise("AdamUpdate.moments")
def test_the_mean_of_many_equal_gradients(rng):
    op = AdamUpdate(1, betas=(0.5, 0.75))
    g, m, v = np.array([3.0, -2.0]), np.zeros(2), np.zeros(2)
    for _ in range(4):
        expect.value("op.moments(g, m, v)")
    expect.close("m", g * (1 - 0.5**4))
    expect.close("v", g**2 * (1 - 0.75**4))


# ---------------------------------------------------------------- decay


def decayed(op, rate, p, g):
    """What decay returns, and the parameter and the gradient afterwards."""
    p, g = p.copy(), g.copy()
    returned = op.decay(rate, p, g)
    return returned.copy(), p, g


@exercise("AdamUpdate.decay")
def test_without_weight_decay(rng):
    p, g = rows(rng, 2)
    expect.close("decayed(AdamUpdate(1), 0.25, p, g)", (g, p, g))
    expect.close("decayed(AdamUpdate(1, decoupled=True), 0.25, p, g)", (g, p, g))


@both
@exercise("AdamUpdate.decay")
def test_coupled(rng, dtype):
    p, g = rows(rng, 2, dtype)
    expect.close("decayed(AdamUpdate(1, weight_decay=0.5), 0.25, p, g)", (g + 0.5 * p, p, g), atol=1e-5)


@both
@exercise("AdamUpdate.decay")
def test_decoupled(rng, dtype):
    p, g = rows(rng, 2, dtype)
    op = AdamUpdate(1, weight_decay=0.5, decoupled=True)
    expect.close("decayed(op, 0.25, p, g)", (g, p - 0.25 * 0.5 * p, g), atol=1e-5)


# ---------------------------------------------------------------- update


def adam(rate, step, p, g, m, v, betas, eps, coupled=0.0, decoupled=0.0):
    """The step in float64, as the paper writes it."""
    p, g, m, v = (x.astype(np.float64) for x in (p, g, m, v))
    d = g + coupled * p
    p = p - rate * decoupled * p
    m = betas[0] * m + (1 - betas[0]) * d
    v = betas[1] * v + (1 - betas[1]) * d * d
    first, second = m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)
    return p - rate * first / (np.sqrt(second) + eps), g, m, v


@both
@exercise("AdamUpdate.update")
def test_a_step_in_the_middle(rng, dtype):
    p, g, m, v = rows(rng, 4, dtype)
    v = v * v + dtype(0.5)
    want = adam(0.25, 3, p, g, m, v, (0.75, 0.875), 0.125)
    call = "arrays_after(AdamUpdate(1, (0.75, 0.875), 0.125).update, 0.25, 3, p, g, m, v)"
    expect.close(call, want, atol=1e-5)


@exercise("AdamUpdate.update")
def test_the_first_step_goes_the_learning_rate(rng):
    p, m, v = np.array([1.0, 1.0, -2.0]), np.zeros(3), np.zeros(3)
    g = np.array([1e-2, -500.0, 3.0])
    call = "arrays_after(AdamUpdate(1).update, 0.25, 1, p, g, m, v)"
    want = ([0.75, 1.25, -2.25], g, 0.1 * g, 0.001 * g * g)
    expect.close(call, want, rtol=1e-4)


@exercise("AdamUpdate.update")
def test_eps_stands_beside_the_corrected_root(rng):
    """Where gradients are as small as eps, its place in the formula shows."""
    p, g, m, v = np.ones(2), np.array([1e-3, -2e-3]), np.zeros(2), np.zeros(2)
    want = adam(0.5, 1, p, g, m, v, (0.9, 0.99), 1e-3)
    call = "arrays_after(AdamUpdate(1, (0.9, 0.99), 1e-3).update, 0.5, 1, p, g, m, v)"
    expect.close(call, want, rtol=1e-7, atol=1e-12)


@exercise("AdamUpdate.update")
def test_coupled_decay_goes_through_the_moments(rng):
    p, g, m, v = rows(rng, 4)
    v = v * v + 0.5
    want = adam(0.25, 2, p, g, m, v, (0.75, 0.875), 0.125, coupled=0.5)
    op = AdamUpdate(1, (0.75, 0.875), 0.125, weight_decay=0.5)
    expect.close("arrays_after(op.update, 0.25, 2, p, g, m, v)", want)


@exercise("AdamUpdate.update")
def test_decoupled_decay_does_not(rng):
    p, g, m, v = rows(rng, 4)
    v = v * v + 0.5
    want = adam(0.25, 2, p, g, m, v, (0.75, 0.875), 0.125, decoupled=0.5)
    op = AdamUpdate(1, (0.75, 0.875), 0.125, weight_decay=0.5, decoupled=True)
    expect.close("arrays_after(op.update, 0.25, 2, p, g, m, v)", want)


# ---------------------------------------------------------------- start


@both
@exercise("Adam.start")
def test_what_adam_remembers(dtype):
    p = Tensor(np.ones((2, 3), dtype), requires_grad=True)
    optimizer = Adam([p])
    found = expect.value("optimizer.start(p, optimizer.param_groups[0])")
    expect.equal("sorted(found)", ["exp_avg", "exp_avg_sq", "step"])
    for name in ("exp_avg", "exp_avg_sq"):
        expect.close(f"found[{name!r}]", np.zeros((2, 3)), dtype=dtype)
    expect.close("found['step']", np.zeros(()), dtype=np.int64)


@exercise("Adam.start")
def test_nothing_shares_memory():
    p = parameter([1.0, 2.0])
    optimizer = Adam([p])
    found = expect.value("optimizer.start(p, optimizer.param_groups[0])")
    expect.true("not np.shares_memory(found['exp_avg'].data, found['exp_avg_sq'].data)", "the means are two")
    expect.true("not np.shares_memory(found['exp_avg'].data, p.data)", "the parameter is not part of it")


@exercise("Adam.start")
def test_adam_and_adamw_by_hand():
    a, w = parameter([2.0], [1.0]), parameter([2.0], [1.0])
    coupled, decoupled = Adam([a], lr=0.1, weight_decay=0.5), AdamW([w], lr=0.1, weight_decay=0.5)
    expect.value("coupled.step()")
    expect.value("decoupled.step()")
    expect.close("a", [1.9])  # the step is the sign of the gradient, decay or not
    expect.close("w", [2.0 * 0.95 - 0.1])
    expect.close("coupled.state[a]['step']", 1)
