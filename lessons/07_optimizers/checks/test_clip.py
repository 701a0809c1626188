"""The norm of all gradients together, and clipping by it."""

import numpy as np
from helpers import parameter

from tinytorch.errors import GradientError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.update import GlobalNorm
from tinytorch.optim import clip_grad_norm
from tinytorch.tensor import Tensor

# ---------------------------------------------------------------- GlobalNorm.forward


@exercise("GlobalNorm.forward")
def test_all_elements_of_all_arrays(rng):
    a, b, c = rng.normal(size=(3, 4)), rng.normal(size=5), np.array(rng.normal())
    want = np.linalg.norm(np.concatenate([a.ravel(), b, c.ravel()]))
    expect.close("GlobalNorm().forward(a, b, c)", want, dtype=np.float64)


@exercise("GlobalNorm.forward")
def test_float32_in_float64_out(rng):
    a, b = rng.normal(size=(6, 5)).astype(np.float32), rng.normal(size=(2, 1)).astype(np.float32)
    want = np.sqrt((a.astype(np.float64) ** 2).sum() + (b.astype(np.float64) ** 2).sum())
    expect.close("GlobalNorm().forward(a, b)", want, dtype=np.float64)


@exercise("GlobalNorm.forward")
def test_squares_too_large_for_float32():
    a, b = np.array([3e30], np.float32), np.array([[4e30]], np.float32)
    expect.close("GlobalNorm().forward(a, b)", 5e30)


@exercise("GlobalNorm.forward")
def test_empty_and_zero():
    a, b = np.zeros((0, 3)), np.zeros(2)
    expect.close("GlobalNorm().forward(a)", 0.0, dtype=np.float64)
    expect.close("GlobalNorm().forward(b, a)", 0.0)


@exercise("GlobalNorm.forward")
def test_not_finite():
    a, b = np.array([1.0, np.inf]), np.array([1.0, np.nan], np.float32)
    expect.close("GlobalNorm().forward(a)", np.inf)
    expect.close("GlobalNorm().forward(b)", np.nan)


# ---------------------------------------------------------------- clip_grad_norm


@exercise("clip_grad_norm")
def test_one_factor_for_all():
    a, b = parameter([0.0, 0.0], [3.0, 0.0]), parameter([[0.0]], [[-4.0]])
    expect.close("clip_grad_norm([a, b], max_norm=1.0)", 5.0)
    expect.close("a.grad", [0.6, 0.0])
    expect.close("b.grad", np.array([[-0.8]]))


@exercise("clip_grad_norm")
def test_a_factor_other_than_one():
    a = parameter([0.0, 0.0], [6.0, 8.0])
    expect.close("clip_grad_norm([a], 2.5)", 10.0)
    expect.close("a.grad", [1.5, 2.0])


@exercise("clip_grad_norm")
def test_small_gradients_keep_every_bit(rng):
    g = rng.normal(size=5) * 0.1
    a, none = parameter(np.zeros(5), g), parameter([1.0])
    expect.close("clip_grad_norm([none, a], 2.0)", np.linalg.norm(g))
    expect.equal("a.grad", g)
    expect.true("none.grad is None", "a parameter without a gradient stays without one")


@exercise("clip_grad_norm")
def test_gradients_change_in_place():
    a = parameter([0.0], [8.0])
    before = a.grad
    expect.value("clip_grad_norm([a], 2.0)")
    expect.true("a.grad is before", "the gradient is still the same Tensor")
    expect.close("before", [2.0])


@exercise("clip_grad_norm")
def test_parameters_may_come_one_by_one():
    a, b = parameter([0.0], [3.0]), parameter([0.0], [4.0])
    expect.close("clip_grad_norm((p for p in (a, b)), 1.0)", 5.0)
    expect.close("b.grad", [0.8])


@exercise("clip_grad_norm")
def test_no_gradients_at_all():
    a = parameter([1.0])
    expect.equal("clip_grad_norm([a], 1.0)", 0.0)
    expect.equal("clip_grad_norm([], 1.0)", 0.0)


@exercise("clip_grad_norm")
def test_the_millionth_beside_the_norm():
    a = parameter([0.0], [2e-6])
    expect.close("clip_grad_norm([a], 1e-6)", 2e-6, rtol=1e-6, atol=0)
    expect.close("a.grad", [2e-6 * 1e-6 / 3e-6], rtol=1e-6, atol=0)


@exercise("clip_grad_norm")
def test_the_norm_is_a_python_number():
    a = parameter([1.0], [0.5])
    expect.equal("clip_grad_norm([a], 1.0)", 0.5)


@exercise("clip_grad_norm")
def test_gradients_whose_squares_are_too_large_for_float32():
    a, b = (Tensor(np.zeros(1, np.float32), requires_grad=True) for _ in range(2))
    a.grad, b.grad = Tensor(np.array([3e30], np.float32)), Tensor(np.array([-4e30], np.float32))
    expect.close("clip_grad_norm([a, b], 1.0)", 5e30)
    expect.close("a.grad", [0.6], dtype=np.float32)
    expect.close("b.grad", [-0.8], dtype=np.float32)


@exercise("clip_grad_norm")
def test_a_gradient_that_is_not_finite():
    a, b = parameter([0.0], [np.nan]), parameter([0.0], [8.0])
    expect.raises("clip_grad_norm([a, b], 1.0)", GradientError)
    expect.close("b.grad", [8.0])
    a.grad.assign_(np.inf)
    expect.raises("clip_grad_norm([a, b], 1.0)", GradientError)
    expect.raises("clip_grad_norm([a], 1.0)", GradientError)


@exercise("clip_grad_norm")
def test_a_limit_that_is_none():
    a = parameter([0.0], [8.0])
    expect.raises("clip_grad_norm([a], 0.0)", ValueError)
    expect.raises("clip_grad_norm([a], -1.0)", ValueError)
    expect.raises("clip_grad_norm([a], float('nan'))", ValueError)
    expect.raises("clip_grad_norm([], 0.0)", ValueError)
    expect.close("a.grad", [8.0])
